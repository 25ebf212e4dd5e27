"""Python builds without pip: the command line's choices, what `--precompiled` names, wheels, and the test command."""

from __future__ import annotations

import csv
import io
import sys
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.agent import protocol, testing
from devbox.agent.events import AgentError, Events
from devbox.agent.python import environment, precompiled, wheel
from devbox.builds.precompiled import Precompiled, named
from devbox.cli.app import run
from devbox.cli.builds.python import PythonChoices
from devbox.container.target import Target
from devbox.engine.docker import Engine
from devbox.errors import UsageError
from devbox.frameworks.load import available, load
from devbox.reporter import Silent

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class TestChoices:
    @pytest.mark.parametrize(
        ("choices", "builds", "actions"),
        [
            (PythonChoices(), True, ()),
            (PythonChoices(install=True), True, ("install",)),
            (PythonChoices(wheel=True), True, ("wheel",)),
            (PythonChoices(install=True, wheel=True), True, ("install", "wheel")),
            (PythonChoices(only=True), False, ("install",)),
            (PythonChoices(only=True, wheel=True), False, ("wheel",)),
            (PythonChoices(precompiled=""), False, ("install",)),
            (PythonChoices(precompiled="1.0", wheel=True, install=True), False, ("install", "wheel")),
        ],
    )
    def test_what_is_done(self, choices: PythonChoices, builds: bool, actions: tuple[str, ...]) -> None:
        assert (choices.builds, choices.actions) == (builds, actions)

    @pytest.mark.parametrize(
        "args",
        [
            ["--watch", "--install"],
            ["--python", "--target", "x"],
            ["--precompiled", "0.11.0"],
            ["--force"],
            ["--no-deps"],
            ["--wheel", "--no-deps"],
        ],
    )
    def test_what_does_not_go_together_is_said_before_anything_is_asked(
        self, args: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["build", *args]) == UsageError.exit_code
        assert "hint: " in capsys.readouterr().err

    def test_the_value_of_precompiled_may_be_left_out(self, capsys: pytest.CaptureFixture[str]) -> None:
        # After `--` it is an argument of the build program, which is refused with it.
        assert run(["build", "--precompiled", "--", "--precompiled"]) == UsageError.exit_code
        assert "no C++ is built" in capsys.readouterr().err


class TestNamed:
    def named(self, text: str, workspace: Path) -> Precompiled:
        target = Target("c", workspace, "/workspaces/w", "dev")
        return named(text, target, Engine(environ={}), Silent())

    def test_nothing(self, tmp_path: Path) -> None:
        assert self.named("", tmp_path) == Precompiled("", "")

    @pytest.mark.parametrize("text", ["0.11.0", "v1.2.0rc5", "dbc3d9991", "a" * 40])
    def test_a_version_or_commit(self, text: str, tmp_path: Path) -> None:
        assert self.named(text, tmp_path) == Precompiled("version", text)

    def test_a_url(self, tmp_path: Path) -> None:
        assert self.named("https://x.example/a.whl", tmp_path) == Precompiled("location", "https://x.example/a.whl")

    def test_what_is_in_the_checkout_is_named_as_it_is_called_inside(self, tmp_path: Path) -> None:
        (tmp_path / "dist").mkdir()
        (tmp_path / "dist/a.whl").touch()
        assert self.named(f"{tmp_path}/dist/a.whl", tmp_path).value == "/workspaces/w/dist/a.whl"

    def test_a_folder_elsewhere_cannot_be_seen(self, tmp_path: Path) -> None:
        (tmp_path / "other").mkdir()
        (tmp_path / "work").mkdir()
        with pytest.raises(UsageError, match="does not see"):
            self.named(str(tmp_path / "other"), tmp_path / "work")

    @pytest.mark.parametrize("text", ["nightly", "./missing.whl", "-x", "ftp://x/a.whl"])
    def test_anything_else_is_refused(self, text: str, tmp_path: Path) -> None:
        with pytest.raises(UsageError):
            self.named(text, tmp_path)


class TestVersionOfWheel:
    @pytest.mark.parametrize(
        ("place", "version"),
        [
            ("/d/vllm-0.11.2.dev278+gdbc3d9991-cp38-abi3-manylinux1_x86_64.whl", "dbc3d9991"),
            ("https://w.example/x/vllm-0.11.2.dev278%2Bgdbc3d9991-cp38-abi3-linux_x86_64.whl?a=1", "dbc3d9991"),
            ("vllm-0.33.1.dev0+gb2723aedf.d20261121.cpu-cp311-cp311-linux_x86_64.whl", "b2723aedf"),
            ("tensorrt_llm-1.2.0rc5-cp312-cp312-linux_x86_64.whl", "1.2.0rc5"),
            ("vllm-0.11.0+cu129-cp38-abi3-manylinux1_x86_64.whl", "0.11.0"),
            ("build.tar.gz", None),
        ],
    )
    def test_the_commit_comes_before_the_version(self, place: str, version: str | None) -> None:
        assert precompiled.version_of(place) == version


class TestAbi:
    NEW = b"\0_ZN3c105ErrorC2ENS_14SourceLocationENSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE\0"
    OLD = b"\0_ZN3c105ErrorC2ENS_14SourceLocationESs\0"

    @pytest.mark.parametrize(("content", "abi"), [(NEW, True), (OLD, False), (NEW + OLD, None), (b"\x7fELF", None)])
    def test_a_wheel_s_libraries_tell_it(self, content: bytes, abi: bool | None, tmp_path: Path) -> None:
        wheel = write_wheel(tmp_path / "a-1-cp312-cp312-linux_x86_64.whl", {"a/libs/libth.so": content, "a/b.py": b""})
        assert precompiled.abi_of(str(wheel)) is abi
        assert precompiled.abi_of(str(tmp_path)) is None

    def test_a_damaged_wheel_does_not(self, tmp_path: Path) -> None:
        wheel = tmp_path / "a-1-cp312-cp312-linux_x86_64.whl"
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.so", self.NEW * 100)
        content = bytearray(wheel.read_bytes())
        content[34:40] = b"\xff" * 6
        wheel.write_bytes(content)
        assert precompiled.abi_of(str(wheel)) is None

    @pytest.mark.parametrize(("content", "torch", "warned"), [(OLD, 1, True), (NEW, 0, True), (NEW, 1, False)])
    def test_another_one_than_torch_s_is_warned_of(
        self, content: bytes, torch: int, warned: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "torch.py").write_text(f"def compiled_with_cxx11_abi(): return bool({torch})\n")
        wheel = write_wheel(tmp_path / "a-1-cp312-cp312-linux_x86_64.whl", {"a/libs/libth.so": content})
        named = protocol.Precompiled(kind="location", value=str(wheel))
        precompiled.compare_abi(named, sys.executable, {"PYTHONPATH": str(tmp_path)}, Events())
        assert ("its libraries will not load" in capfd.readouterr().out) is warned


class TestEnvironmentVariables:
    @given(st.lists(st.sampled_from(["/usr/bin", "/build/python/bin", "/opt/venv/bin", "/build/pythonic/bin"])))
    def test_it_is_taken_off_the_path_and_nothing_else_is(self, folders: list[str]) -> None:
        found = environment.outside({"PATH": ":".join(folders), "VIRTUAL_ENV": "/build/python"}, "/build")
        assert [one for one in found["PATH"].split(":") if one] == [
            one for one in folders if one != "/build/python/bin"
        ]
        assert found.get("VIRTUAL_ENV") != "/build/python"

    def test_the_one_of_the_image_is_named_again(self, tmp_path: Path) -> None:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/python3").touch(mode=0o755)
        (tmp_path / "pyvenv.cfg").touch()
        environ = {"PATH": f"/build/python/bin:{tmp_path}/bin", "VIRTUAL_ENV": "/build/python"}
        assert environment.outside(environ, "/build") == {"PATH": f"{tmp_path}/bin", "VIRTUAL_ENV": str(tmp_path)}

    def test_an_environment_of_the_image_stays_named(self) -> None:
        assert environment.outside({"PATH": "", "VIRTUAL_ENV": "/opt/venv"}, "/build")["VIRTUAL_ENV"] == "/opt/venv"

    def test_a_program_in_it_sees_no_other_python(self) -> None:
        layer = environment.Environment("/build/p", "/build/p/bin/python3", "/usr/bin/python3", made=False)
        found = layer.inside({"PATH": "/usr/bin", "PYTHONPATH": "/elsewhere", "PYTHONHOME": "/usr", "HOME": "/h"})
        assert found == {"PATH": "/build/p/bin:/usr/bin", "VIRTUAL_ENV": "/build/p", "HOME": "/h"}


def write_wheel(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        archive.writestr(
            "pkg-1.dist-info/RECORD", "".join(f"{name},,\n" for name in [*files, "pkg-1.dist-info/RECORD"])
        )
    return path


class TestWheel:
    @given(
        members=st.dictionaries(st.sampled_from(["a.py", "b.so", "sub/c.so"]), st.binary(max_size=9)),
        built=st.dictionaries(st.sampled_from(["b.so", "sub/c.so", "d.so"]), st.binary(max_size=9)),
    )
    def test_built_files_replace_and_complete_its_own(
        self, members: dict[str, bytes], built: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        folder = tmp_path_factory.mktemp("wheel")
        made = write_wheel(
            folder / "pkg-1-cp311-cp311-linux_x86_64.whl",
            {"pkg/__init__.py": b"", **{f"pkg/{name}": content for name, content in members.items()}},
        )
        files = {}
        for number, (name, content) in enumerate(built.items()):
            (folder / str(number)).write_bytes(content)
            files[f"pkg/{name}"] = str(folder / str(number))
        added = wheel.add(str(made), files)
        with zipfile.ZipFile(made) as archive:
            assert archive.testzip() is None
            names = archive.namelist()
            assert len(names) == len(set(names))
            there = {name.removeprefix("pkg/"): archive.read(name) for name in names if name.startswith("pkg/")}
            record = archive.read("pkg-1.dist-info/RECORD").decode()
        assert there == {"__init__.py": b"", **members, **built}
        assert added == sorted(f"pkg/{name}" for name in built if members.get(name) != built[name])
        assert sorted(row[0] for row in csv.reader(io.StringIO(record))) == sorted(names)

    def test_files_outside_its_packages_are_not_its_own(self, tmp_path: Path) -> None:
        made = write_wheel(tmp_path / "pkg-1-cp311-cp311-linux_x86_64.whl", {"pkg/__init__.py": b""})
        (tmp_path / "x").touch()
        assert wheel.add(str(made), {"include/x.h": str(tmp_path / "x"), "x.so": str(tmp_path / "x")}) == []

    def test_one_for_any_platform_holds_no_library(self, tmp_path: Path) -> None:
        made = write_wheel(tmp_path / "pkg-1-py3-none-any.whl", {"pkg/__init__.py": b""})
        (tmp_path / "x").touch()
        with pytest.raises(AgentError, match="any platform"):
            wheel.add(str(made), {"pkg/x.so": str(tmp_path / "x")})

    @pytest.mark.parametrize(
        ("text", "setuptools"),
        [
            ('[build-system]\nbuild-backend = "setuptools.build_meta"\n', True),
            ('[build-system]\nbuild-backend = "scikit_build_core.build"\n', False),
            ('[build-system]\nrequires = ["setuptools"]\n', True),
            (None, True),
        ],
    )
    def test_setuptools_works_outside_the_checkout(self, text: str | None, setuptools: bool, tmp_path: Path) -> None:
        work = tmp_path / "work"
        for name in ("lib", "temp.linux-x86_64"):
            (work / name).mkdir(parents=True)
        if text is not None:
            (tmp_path / "pyproject.toml").write_text(text)
        found = wheel.setuptools_settings(str(tmp_path), str(work))
        assert any(str(work) in word for word in found) == setuptools
        if setuptools:
            assert [path.name for path in work.iterdir()] == ["temp.linux-x86_64"]


@dataclass
class Checkout:
    path: Path

    def replaced(self, argv: list[str], more: list[str]) -> list[str]:
        return testing.replaced(argv, more, str(self.path))


class TestTestCommand:
    @pytest.fixture
    def checkout(self, tmp_path: Path) -> Checkout:
        (tmp_path / "tests/kernels").mkdir(parents=True)
        (tmp_path / "tests/test_one.py").touch()
        return Checkout(tmp_path)

    def test_options_are_added(self, checkout: Checkout) -> None:
        assert checkout.replaced(["pytest", "tests"], ["-k", "x"]) == ["pytest", "tests", "-k", "x"]

    @pytest.mark.parametrize("name", ["tests/test_one.py", "tests/test_one.py::test_a[1]", "tests/kernels"])
    def test_files_replace_those_of_the_framework(self, checkout: Checkout, name: str) -> None:
        assert checkout.replaced(["pytest", "-m", "tests", "tests"], [name]) == ["pytest", "-m", "tests", name]

    def test_a_folder_outside_the_checkout_is_none_of_them(self, checkout: Checkout) -> None:
        argv = ["ctest", "--test-dir", "/build/release"]
        assert checkout.replaced(argv, ["/usr"]) == [*argv, "/usr"]


class TestFrameworks:
    @pytest.mark.parametrize("name", available())
    def test_no_placeholder_is_misspelt(self, name: str) -> None:
        rules = load(name).python
        if rules is None:
            return
        known = {"source", "build", "python", "type", "arch", "threads", "jobs", "prefix", "empty"}
        for pairs, more in (
            (rules.env, set()),
            (rules.wheel_env, set()),
            (rules.precompiled, {"precompiled"}),
            (rules.precompiled_version, {"precompiled"}),
            (rules.precompiled_location, {"precompiled"}),
        ):
            for _, value in pairs:
                found = {part.partition("}")[0] for part in value.split("{")[1:]}
                assert found <= known | more
