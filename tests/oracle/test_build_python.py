"""The Python package of a checkout: the agent with a real pip, on the host, without a container.

The oracle is Python itself: what was installed is imported, what was made a wheel is installed elsewhere and imported.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devbox.agent import protocol
from devbox.frameworks.model import BuildRules, PythonRules
from tests.oracle.build_lab import Lab, Running

if TYPE_CHECKING:
    from collections.abc import Iterator

JSON = dict[str, Any]
TREE = Path(__file__).resolve().parents[1] / "trees/pyext"
RULES = PythonRules(
    env=(("PYEXT_PREBUILT", "{empty}"), ("PYEXT_SOURCE", "{source}")),
    precompiled=(("PYEXT_PREBUILT", "{empty}"),),
    precompiled_version=(("PYEXT_PREBUILT", "{empty}"), ("PYEXT_VERSION", "{precompiled}")),
    precompiled_location=(("PYEXT_PREBUILT", "{precompiled}"),),
    native=("csrc", "CMakeLists.txt"),
)


@dataclass
class PythonLab:
    """The tree `pyext` in a lab. Its image's Python is a virtual environment, as in the images of the frameworks."""

    lab: Lab
    image: Path

    def python(self, action: str = "install", *, mode: str = "incremental", **asked: object) -> JSON:
        return self.start(action=action, mode=mode, **{"precompiled": None, **asked}).result()

    def start(self, **asked: object) -> Running:
        fields = {"action": "install", "package": asdict(RULES), "force": False, "deps": True, **asked}
        return self.lab.ask(protocol.Python, **fields)

    def refused(self, **asked: object) -> str:
        running = self.start(**asked)
        message = str(running.until("fault")["message"])
        running.close()
        return message

    @property
    def layer(self) -> Path:
        return self.lab.volume / "python"

    def says(self, code: str, *, program: str = "python3") -> str:
        """Run a line of Python in the environment, in a folder from which nothing is imported."""
        argv = [str(self.layer / "bin" / program), "-c", code]
        done = subprocess.run(argv, cwd="/", env=self.lab.environ, capture_output=True, text=True, check=False)
        return (done.stdout if done.returncode == 0 else done.stderr).strip()

    def told(self) -> JSON:
        """Return the variables that the build backend got."""
        return dict(json.loads((self.layer / "pyext-backend.json").read_text()))


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An `/opt/venv`: pip, and a package that only the image has."""
    pip = pytest.importorskip("pip")
    folder = tmp_path_factory.mktemp("image") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = next((folder / "lib").glob("python*/site-packages"))
    source = Path(pip.__file__).parent
    shutil.copytree(source, packages / "pip", ignore=shutil.ignore_patterns("__pycache__"))
    for name, version in (("torch", "2.13.0+cpu"), ("ofimage", "1.0"), ("pip", pip.__version__)):
        about = packages / f"{name}-{version}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (about / "RECORD").write_text("")
    (packages / "ofimage.py").write_text("")
    (packages / "torch").mkdir()
    (packages / "torch/__init__.py").write_text("")
    (packages / "torch/version.py").write_text("__version__ = '2.13.0+cpu'\n")
    program = folder / "bin/ofimage"
    program.write_text(f"#!{folder}/bin/python3\nimport pyext\nprint('sees', pyext.__name__)\n")
    program.chmod(0o755)
    return folder


@pytest.fixture
def work(tmp_path: Path, image: Path) -> Iterator[PythonLab]:
    names = [path for path in TREE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    files = {str(path.relative_to(TREE)): path.read_text() for path in names}
    lab = Lab(tmp_path, {**files, ".gitignore": "*.so\n__pycache__\ndist\n"})
    lab.environ["PATH"] = f"{image}/bin:{lab.environ['PATH']}"
    # Whatever a test installs lies here; the network is not asked.
    lab.environ.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path / "wheels"), PIP_CONFIG_FILE=os.devnull)
    (tmp_path / "wheels").mkdir()
    lab.rules = BuildRules(memory_per_job=64, arch_define=None, install=True, install_prefix="{source}")
    yield PythonLab(lab, image)
    lab.close()


def wheel(folder: Path, name: str, version: str, *needs: str) -> None:
    """Write a small wheel for pip to find."""
    about = f"{name}-{version}.dist-info"
    needs_text = "".join(f"Requires-Dist: {need}\n" for need in needs)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs_text}")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", f"{name}.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n")


class TestEnvironment:
    def test_the_package_is_imported_from_the_checkout_with_the_built_library(self, work: PythonLab) -> None:
        assert work.lab.build()["code"] == 0
        done = work.python()
        assert (done["code"], done["did"], done["package"], done["made"]) == (0, "installed", "pyext 1.0", True)
        assert work.says("import pyext; print(pyext.answer())") == "42"
        assert work.says("import pyext; print(pyext.__file__)").startswith(str(work.lab.workspace))

    def test_packages_and_programs_of_the_image_are_there_too(self, work: PythonLab) -> None:
        work.python()
        assert work.says("import ofimage, sys; print(sys.prefix != ofimage.__file__)") == "True"
        program = work.layer / "bin/ofimage"
        done = subprocess.run([str(program)], cwd="/", env=work.lab.environ, capture_output=True, text=True, check=True)
        assert done.stdout == "sees pyext\n"

    def test_what_a_person_installs_goes_into_the_environment_alone(self, work: PythonLab) -> None:
        work.python()
        wheel(Path(work.lab.environ["PIP_FIND_LINKS"]), "extra", "1.0")
        pip = [str(work.layer / "bin/python3"), "-m", "pip", "install", "--quiet", "extra"]
        subprocess.run(pip, env=work.lab.environ, check=True)
        assert work.says("import extra; print(extra.__file__)").startswith(str(work.layer))
        assert not list(work.image.glob("lib/*/site-packages/extra*"))

    def test_it_is_made_once_and_installed_until_the_project_changes(self, work: PythonLab) -> None:
        work.python()
        again = work.python()
        assert (again["did"], again["made"]) == ("nothing", False)
        work.lab.write("requirements.txt", "# another one\n")
        assert work.python()["did"] == "installed"

    def test_a_package_that_was_removed_is_installed_again(self, work: PythonLab) -> None:
        work.python()
        pip = [str(work.layer / "bin/python3"), "-m", "pip", "uninstall", "--quiet", "--yes", "pyext"]
        subprocess.run(pip, env=work.lab.environ, check=True)
        assert work.python()["did"] == "installed"

    def test_clean_starts_from_nothing(self, work: PythonLab) -> None:
        work.python()
        mark = work.layer / "mark"
        mark.touch()
        done = work.python(mode="clean")
        assert (done["made"], done["did"]) == (True, "installed")
        assert not mark.exists()

    def test_another_torch_gets_an_environment_beside(self, work: PythonLab) -> None:
        work.python()
        before = work.layer.resolve()
        version = next(work.image.glob("lib/*/site-packages/torch/version.py"))
        text = version.read_text()
        version.write_text("__version__ = '2.14.0+cpu'\n")
        try:
            assert work.python()["made"]
            assert work.layer.resolve() != before
            assert before.is_dir()
        finally:
            version.write_text(text)
        assert not work.python()["made"]
        assert work.layer.resolve() == before

    def test_one_that_was_cut_off_is_made_again(self, work: PythonLab) -> None:
        work.python()
        (work.layer / "devbox.json").unlink()
        shutil.rmtree(work.layer / "lib")
        assert work.python()["made"]
        assert work.says("import pyext; print('there')") == "there"

    def test_the_build_tree_does_not_depend_on_it(self, work: PythonLab) -> None:
        work.lab.rules = BuildRules(arch_form="torch", memory_per_job=64, arch_define=None)
        before = work.lab.build()
        work.python()
        # As the contract puts it: the environment is first.
        work.lab.environ.update(PATH=f"{work.layer}/bin:{work.lab.environ['PATH']}", VIRTUAL_ENV=str(work.layer))
        after = work.lab.build()
        assert after["key"] == before["key"]
        assert (after["configured"], after["commands"]) == ([], 0)

    def test_a_clean_build_with_a_wheel_leaves_what_it_installed(self, work: PythonLab) -> None:
        work.lab.build()
        work.python(mode="clean")
        assert work.python("wheel", mode="clean")["code"] == 0
        assert work.says("import pyext; print(pyext.answer())") == "42"


class TestNeeds:
    def test_they_are_installed_beside_the_package(self, work: PythonLab) -> None:
        wheels = Path(work.lab.environ["PIP_FIND_LINKS"])
        wheel(wheels, "needed", "2.0", "deeper")
        wheel(wheels, "deeper", "1.0")
        work.lab.write("requirements.txt", "needed>=2\nofimage\nabsent; python_version < '3'\n")
        done = work.python()
        assert done["code"] == 0, done
        assert work.says("import needed, deeper; print('both')") == "both"

    def test_the_torch_of_the_image_stays_whatever_the_checkout_pins(self, work: PythonLab) -> None:
        wheel(Path(work.lab.environ["PIP_FIND_LINKS"]), "torch", "2.14.0")
        wheel(Path(work.lab.environ["PIP_FIND_LINKS"]), "needed", "2.0", "torch")
        work.lab.write("requirements.txt", "torch==2.14.0\nneeded\n")
        assert work.python()["code"] == 0
        warnings = [event["text"] for event in work.lab.started[-1].events if event["event"] == "warn"]
        assert any("torch==2.14.0" in text for text in warnings)
        assert work.says("import importlib.metadata as m; print(m.version('torch'))") == "2.13.0+cpu"

    def test_they_are_left_out_where_nobody_wants_them(self, work: PythonLab) -> None:
        work.lab.write("requirements.txt", "nowhere\n")
        assert work.python(deps=False)["code"] == 0

    def test_one_that_cannot_be_had_is_a_failure_and_tried_again(self, work: PythonLab) -> None:
        work.lab.write("requirements.txt", "nowhere\n")
        for _ in range(2):
            done = work.python()
            assert done["code"] != 0
            assert "nowhere" in done["failure"]["output"]
        wheel(Path(work.lab.environ["PIP_FIND_LINKS"]), "nowhere", "1.0")
        assert work.python()["did"] == "installed"


class TestBackend:
    def test_it_gets_what_makes_it_leave_the_c_part_alone(self, work: PythonLab) -> None:
        work.python()
        told = work.told()
        assert zipfile.ZipFile(told["PYEXT_PREBUILT"]).namelist() == []
        assert told["PYEXT_SOURCE"] == str(work.lab.workspace)

    def test_what_it_says_when_it_fails_is_the_report(self, work: PythonLab) -> None:
        done = work.python(package={**asdict(RULES), "env": ()})
        assert done["code"] != 0
        assert "compiling for an hour" in done["failure"]["output"]
        assert done["failure"]["step"] == "pip"

    def test_a_client_that_is_gone_ends_it(self, work: PythonLab) -> None:
        work.lab.write("backend.py", "import time\ntime.sleep(600)\n")
        running = work.start(precompiled=None)
        running.until("output")
        running.hang_up()
        assert running.until("result")["code"] == 130
        running.close()

    def test_a_checkout_without_a_project_says_so(self, work: PythonLab) -> None:
        assert "no Python project" in work.refused(package={**asdict(RULES), "project": ["python"]}, precompiled=None)


class TestWheel:
    def test_it_has_the_library_of_the_build_tree(self, work: PythonLab, tmp_path: Path) -> None:
        work.lab.build()
        done = work.python("wheel")
        assert (done["code"], done["did"], done["added"]) == (0, "wheel", 1)
        place = work.lab.workspace / done["wheel"]
        assert place.parent == work.lab.workspace / "dist"
        assert place.stat().st_size == done["bytes"]
        target = tmp_path / "elsewhere"
        pip = [str(work.image / "bin/python3"), "-m", "pip", "install", "--quiet", "--target", str(target), str(place)]
        subprocess.run(pip, env=work.lab.environ, check=True)
        argv = [sys.executable, "-c", "import pyext; print(pyext.answer(), pyext.__file__)"]
        said = subprocess.run(argv, cwd=target, capture_output=True, text=True, check=True).stdout
        assert said.startswith(f"42 {target}")

    def test_its_record_is_true(self, work: PythonLab) -> None:
        work.lab.build()
        with zipfile.ZipFile(work.lab.workspace / work.python("wheel")["wheel"]) as archive:
            rows = list(csv.reader(archive.read("pyext-1.0.dist-info/RECORD").decode().splitlines()))
            assert sorted(row[0] for row in rows) == sorted(archive.namelist())
            for name, digest, size in rows:
                if not name.endswith("RECORD"):
                    content = archive.read(name)
                    text = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                    assert (digest, size) == (f"sha256={text}", str(len(content)))

    def test_a_library_in_a_wheel_for_any_platform_is_refused(self, work: PythonLab) -> None:
        work.lab.build()
        work.lab.environ["PYEXT_PURE"] = "1"
        assert "is for any platform" in work.refused(action="wheel", precompiled=None)
        assert not (work.lab.workspace / "dist").exists()

    def test_nothing_is_added_where_the_backend_builds_all_of_it(self, work: PythonLab) -> None:
        work.lab.build()
        rules = {**asdict(RULES), "wheel_env": (("PYEXT_PREBUILT", "{empty}"),)}
        assert work.python("wheel", package=rules).get("added", 0) == 0


class TestPrecompiled:
    @pytest.fixture
    def wheel(self, work: PythonLab) -> Path:
        """A wheel of the first commit, whose tag is v1.0, with a library in it."""
        work.lab.git("tag", "v1.0")
        work.lab.build()
        made = Path(work.lab.workspace, work.python("wheel")["wheel"])
        (work.lab.workspace / "pyext/answer.so").unlink()
        return made

    def test_its_library_is_taken(self, work: PythonLab, wheel: Path) -> None:
        done = work.python(precompiled={"kind": "location", "value": str(wheel)})
        assert done["did"] == "installed"
        assert work.says("import pyext; print(pyext.answer())") == "42"

    def test_the_next_build_puts_its_own_library_back(self, work: PythonLab, wheel: Path) -> None:
        work.python(precompiled={"kind": "location", "value": str(wheel)})
        library = work.lab.workspace / "pyext/answer.so"
        library.write_bytes(b"somebody else's")
        result = work.lab.build()
        assert (result["commands"], result["installed"]) == (0, ["pyext/answer.so"])

    @pytest.mark.parametrize(("change", "kind"), [("edited", "location"), ("new", "version"), ("committed", "")])
    def test_it_is_refused_where_the_sources_are_others(
        self, work: PythonLab, wheel: Path, change: str, kind: str
    ) -> None:
        value = {"location": str(wheel), "version": "1.0", "": ""}[kind]
        work.lab.git("switch", "-q", "-c", "mine")
        name = "csrc/more.c" if change == "new" else "csrc/answer.c"
        work.lab.write(name, "int answer(void) { return 41; }\n")
        if change == "committed":
            work.lab.commit("mine")
        precompiled = {"kind": kind, "value": value}
        assert name in work.refused(precompiled=precompiled)
        assert work.python(precompiled=precompiled, force=True)["did"] == "installed"

    def test_other_files_may_differ(self, work: PythonLab, wheel: Path) -> None:
        work.lab.write("pyext/more.py", "")
        assert work.python(precompiled={"kind": "version", "value": "v1.0"})["did"] == "installed"

    def test_a_short_commit_is_named_in_full(self, work: PythonLab) -> None:
        commit = work.lab.git("rev-parse", "HEAD").strip()
        work.python(precompiled={"kind": "version", "value": commit[:8]})
        assert work.told()["PYEXT_VERSION"] == commit

    def test_one_that_cannot_be_compared_is_taken_with_a_warning(self, work: PythonLab) -> None:
        work.python(precompiled={"kind": "version", "value": "9.9"})
        warnings = [event["text"] for event in work.lab.started[-1].events if event["event"] == "warn"]
        assert any("9.9 is no commit or tag" in text for text in warnings)

    def test_it_is_unpacked_each_time(self, work: PythonLab) -> None:
        asked = {"kind": "version", "value": "9.9"}
        assert [work.python(precompiled=asked)["did"] for _ in range(2)] == ["installed", "installed"]

    def test_a_framework_that_knows_none_says_so(self, work: PythonLab) -> None:
        rules = {**asdict(RULES), "precompiled": ()}
        assert "does not know" in work.refused(package=rules, precompiled={"kind": "", "value": ""})


class TestTests:
    def command(self, work: PythonLab, *words: str, more: tuple[str, ...] = ()) -> JSON:
        rules = {**asdict(work.lab.rules), "test": list(words)}
        return work.lab.ask(protocol.Test, rules=rules, words=list(more), python=True).result()

    def test_they_run_in_the_environment(self, work: PythonLab) -> None:
        work.lab.build()
        work.python()
        said = self.command(work, "python3", "-m", "unittest", "checks/answer.py", more=("-k", "test_answer"))
        argv = ["env", *(f"{name}={value}" for name, value in said["env"].items()), *said["argv"]]
        done = subprocess.run(argv, cwd=work.lab.workspace, env=work.lab.environ, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr

    def test_a_tree_that_is_not_built_is_told(self, work: PythonLab) -> None:
        assert not self.command(work, "ctest", "--test-dir", "{build}")["built"]
        built = work.lab.build()
        said = self.command(work, "ctest", "--test-dir", "{build}")
        assert (said["built"], said["argv"]) == (True, ["ctest", "--test-dir", built["tree"]])

    def test_a_program_that_is_not_there_is_named(self, work: PythonLab) -> None:
        rules = {**asdict(work.lab.rules), "test": ["nosuchtest"]}
        running = work.lab.ask(protocol.Test, rules=rules, words=[], python=True)
        assert "nosuchtest" in running.until("fault")["message"]
        running.close()
