"""A build backend with the habits of a large one: it compiles for an hour unless a variable stops it.

PYEXT_PREBUILT names an archive, whose libraries it unpacks into the checkout, as a prebuilt C++ part. The variables
that it was called with are in the environment's `pyext-backend.json`.
"""

import json
import os
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
INFO = "pyext-1.0.dist-info"


def _c_part() -> None:
    prebuilt = os.environ.get("PYEXT_PREBUILT")
    if prebuilt is None:
        raise SystemExit("compiling for an hour")
    with zipfile.ZipFile(prebuilt) as archive:
        for name in archive.namelist():
            if name.startswith("pyext/") and name.endswith(".so"):
                (HERE / name).write_bytes(archive.read(name))
    told = {name: value for name, value in os.environ.items() if name.startswith("PYEXT_")}
    Path(sys.prefix, "pyext-backend.json").write_text(json.dumps(told))


def _wheel(folder: str, tag: str, files: dict[str, bytes]) -> str:
    lines = (HERE / "requirements.txt").read_text().split("\n")
    needs = "".join(f"Requires-Dist: {line}\n" for line in lines if line and not line.startswith("#"))
    files = {
        **files,
        f"{INFO}/METADATA": f"Metadata-Version: 2.1\nName: pyext\nVersion: 1.0\n{needs}".encode(),
        f"{INFO}/WHEEL": f"Wheel-Version: 1.0\nGenerator: pyext\nRoot-Is-Purelib: false\nTag: {tag}\n".encode(),
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{INFO}/RECORD"])
    name = f"pyext-1.0-{tag}.whl"
    with zipfile.ZipFile(Path(folder, name), "w") as archive:
        for path, content in {**files, f"{INFO}/RECORD": record.encode()}.items():
            archive.writestr(path, content)
    return name


def _tag() -> str:
    version = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    return "py3-none-any" if os.environ.get("PYEXT_PURE") else f"{version}-{version}-linux_x86_64"


def build_editable(wheel_directory: str, config_settings: object = None, metadata_directory: object = None) -> str:
    _c_part()
    return _wheel(wheel_directory, "py3-none-any", {"__editable__pyext.pth": f"{HERE}\n".encode()})


def build_wheel(wheel_directory: str, config_settings: object = None, metadata_directory: object = None) -> str:
    _c_part()
    return _wheel(wheel_directory, _tag(), {"pyext/__init__.py": (HERE / "pyext/__init__.py").read_bytes()})
