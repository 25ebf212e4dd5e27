"""The drivers on small trees that have the layout of the frameworks: presets, build_wheel.py, scikit-build-core, cargo.

The agent runs on this host as it runs in a container. What is counted is what the build programs themselves logged.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest

from devbox.agent import protocol
from devbox.frameworks.model import BuildRules, Step
from tests.oracle.build_lab import COUNT, FILES, JSON, Lab, path_with_tools

if TYPE_CHECKING:
    from collections.abc import Iterator

TREES = Path(__file__).parents[1] / "trees"


def files_of(name: str) -> dict[str, str]:
    folder = TREES / name
    found = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {str(path.relative_to(folder)): path.read_text() for path in found}


def fault(lab: Lab, **fields: object) -> JSON:
    running = lab.start(**fields)
    found = running.until("fault")
    assert running.close() == 1
    return found


class TestPresets:
    PRESETS: ClassVar[JSON] = {
        "version": 3,
        "configurePresets": [
            {
                "name": "base",
                "hidden": True,
                "generator": "Unix Makefiles",
                "binaryDir": "${sourceDir}/cmake-build-${presetName}",
                "cacheVariables": {
                    "LOUD": {"type": "BOOL", "value": "ON"},
                    "CMAKE_C_COMPILER_LAUNCHER": "/nowhere/ccache",
                },
                "environment": {"CFLAGS": "-DFROM_PRESET"},
            },
            {"name": "loud", "inherits": "base", "cacheVariables": {"CMAKE_BUILD_TYPE": "Release"}},
            {"name": "quiet", "inherits": "loud", "cacheVariables": {"LOUD": "OFF"}, "environment": {"CFLAGS": None}},
        ],
    }

    @pytest.fixture
    def lab(self, tmp_path: Path) -> Iterator[Lab]:
        lab = Lab(tmp_path / "lab", {**FILES, "CMakePresets.json": json.dumps(self.PRESETS)})
        yield lab
        lab.close()

    def test_a_preset_is_mapped_on_the_build_tree(self, lab: Lab) -> None:
        loud = lab.build(preset="loud")
        assert loud["code"] == 0, loud["failure"]
        assert loud["key"].startswith("release-")
        assert subprocess.check_output([f"{loud['tree']}/lab"], text=True).startswith("loud")
        assert "-DFROM_PRESET" in (Path(loud["tree"]) / "compile_commands.json").read_text()
        assert "/nowhere" not in (Path(loud["tree"]) / "build.ninja").read_text()
        assert not list(lab.workspace.glob("cmake-build-*"))
        assert lab.build(preset="loud")["commands"] == 0

    def test_each_preset_has_its_tree_and_the_user_comes_first(self, lab: Lab) -> None:
        loud = lab.build(preset="loud")
        quiet = lab.build(preset="quiet", type="Debug", chosen=["type"])
        assert quiet["key"].startswith("debug-")
        assert loud["key"] != quiet["key"]
        assert not subprocess.check_output([f"{quiet['tree']}/lab"], text=True).startswith("loud")
        again = lab.build(preset="quiet", type="Debug", chosen=["type"], defines=[["LOUD", "ON"]])
        assert again["key"] == quiet["key"]
        assert again["configured"]
        assert lab.build(preset="loud")["commands"] == 0

    def test_a_changed_preset_configures_anew(self, lab: Lab) -> None:
        first = lab.build(preset="loud")
        changed = json.dumps(self.PRESETS).replace("-DFROM_PRESET", "-DFROM_ANOTHER")
        lab.write("CMakePresets.json", changed)
        second = lab.build(preset="loud")
        assert second["key"] == first["key"]
        assert second["configured"] == ["environment changed: CFLAGS"]
        assert second["compiled"] == COUNT

    def test_no_such_preset(self, lab: Lab) -> None:
        said = fault(lab, preset="lod")
        assert "no preset 'lod'" in said["message"]
        assert "--list-presets" in said["hint"]


class TestMakefiles:
    def test_the_other_generator_builds_but_proves_nothing(self, tmp_path: Path) -> None:
        if shutil.which("make") is None:
            pytest.skip("no make")
        lab = Lab(tmp_path / "lab")
        lab.rules = BuildRules(memory_per_job=64, arch_define=None, generator="Unix Makefiles")
        try:
            lab.branch("other", {"shared.h": "#define SHARED 7\n"})
            first = lab.build()
            assert first["code"] == 0, first["failure"]
            lab.check(first)
            lab.git("switch", "-q", "other")
            lab.check(lab.build())
            lab.git("switch", "-q", "main")
            back = lab.build()
            lab.check(back)
            assert back["healed"]["lowered"] == 0
            assert any("only ninja keeps a log" in reason for reason in back["reasons"])
        finally:
            lab.close()


# Which options its script had not yet: in 2025, up to 0.16, and in 0.5.
_SPRING_2025 = ("configure-only", "build_root", "no-venv")
_UP_TO_016 = (*_SPRING_2025, "generator", "linking_install_binary", "skip_requirements", "yes")
ERAS = {"2025": _SPRING_2025, "0.16": _UP_TO_016, "0.5": (*_UP_TO_016, "configure_cmake", "micro_benchmarks", "nvtx")}


class WheelLab(Lab):
    """A checkout with TensorRT-LLM's layout."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, files_of("trtllm"))
        self.rules = BuildRules(
            driver="build_wheel", source=("cpp",), memory_per_job=64, defines=(("CMAKE_EXPORT_COMPILE_COMMANDS", "ON"),)
        )
        self.request = {"type": "Release", "arch": "90-real"}
        self.libraries = self.workspace / "tensorrt_llm" / "libs"

    def make_older(self, era: str = "2025") -> None:
        """Take the options away that older scripts do not have, and let them tell a first build as these do."""
        script = (self.workspace / "scripts" / "build_wheel.py").read_text()
        for name in ERAS[era]:
            script = re.sub(rf'    parser.add_argument\("--{name}".*\n', "", script)
            script = script.replace(f"args.{name.replace('-', '_')}", "None")
        if era != "2025":
            script = script.replace('(build_dir / "CMakeFiles").exists()', "build_dir.exists()")
        self.write("scripts/build_wheel.py", script)
        self.commit("an older script")

    def runs(self) -> int:
        """Return how often the script went through its requirements, wherever it keeps them."""
        found = [self.workspace / ".venv" / "runs", self.volume / ".devbox" / "build_wheel" / ".venv" / "runs"]
        return sum(len(path.read_text().splitlines()) for path in found if path.exists())

    def says(self, result: JSON) -> str:
        """Call the linked library in another process, as Python does."""
        code = "import ctypes, sys; print(ctypes.CDLL(sys.argv[1]).bound(20))"
        path = self.workspace / "tensorrt_llm" / "bindings.so"
        assert path.readlink().is_relative_to(result["tree"])
        return subprocess.check_output([sys.executable, "-c", code, str(path)], text=True).strip()


class TestBuildWheel:
    @pytest.fixture
    def lab(self, tmp_path: Path) -> Iterator[WheelLab]:
        lab = WheelLab(tmp_path / "lab")
        yield lab
        lab.close()

    def test_the_script_configures_and_links_and_ninja_does_the_rest(self, lab: WheelLab) -> None:
        first = lab.build()
        assert first["code"] == 0, first["failure"]
        assert first["compiled"] == 3
        assert lab.says(first) == "41"
        assert (Path(first["tree"]) / "compile_commands.json").exists()
        assert not (lab.workspace / "cpp" / "build").exists()
        assert not (lab.workspace / ".venv").exists()
        runs = lab.runs()
        assert runs == 2

        assert lab.build()["commands"] == 0
        lab.write("cpp/include/scale.h", "#define FACTOR 3\n")
        edited = lab.build()
        assert (edited["configured"], edited["compiled"]) == ([], 1)
        assert lab.says(edited) == "61"
        assert lab.runs() == runs

    def test_a_branch_there_and_back_compiles_nothing(self, lab: WheelLab) -> None:
        lab.branch("other", {"cpp/include/scale.h": "#define FACTOR 5\n"})
        lab.build()
        lab.git("switch", "-q", "other")
        lab.git("switch", "-q", "main")
        back = lab.build()
        assert (back["code"], back["compiled"], back["configured"]) == (0, 0, [])
        assert back["healed"]["lowered"] == 1

    def test_another_type_gets_its_tree_and_the_links_follow(self, lab: WheelLab) -> None:
        release = lab.build()
        debug = lab.build(type="Debug")
        assert debug["key"] != release["key"]
        assert lab.says(debug) == "41"
        back = lab.build()
        assert back["commands"] == 0
        assert lab.says(back) == "41"
        (lab.workspace / "tensorrt_llm" / "bindings.so").unlink()
        assert lab.says(lab.build()) == "41"

    def test_options_are_the_script_s_and_a_dropped_one_is_forgotten(self, lab: WheelLab) -> None:
        lab.build()
        fast = lab.build(options=[["fast_build", None], ["benchmarks", None]])
        assert fast["code"] == 0, fast["failure"]
        assert fast["configured"][0].startswith("arguments changed: now --fast_build, --micro_benchmarks")
        cache = (Path(fast["tree"]) / "CMakeCache.txt").read_text()
        assert "FAST_BUILD:BOOL=ON" in cache
        assert (Path(fast["tree"]) / "micro_benchmarks").exists()
        slow = lab.build()
        assert slow["configured"][0].startswith("arguments changed: no longer --fast_build")
        assert "FAST_BUILD:BOOL=OFF" in (Path(slow["tree"]) / "CMakeCache.txt").read_text()

    def test_a_script_that_copies_does_so_after_each_build(self, lab: WheelLab) -> None:
        script = (lab.workspace / "scripts" / "build_wheel.py").read_text()
        script = re.sub(r'    parser.add_argument\("--linking_install_binary".*\n', "", script)
        lab.write("scripts/build_wheel.py", script.replace("args.linking_install_binary", "False"))
        lab.commit("a script that copies")
        copied = lab.workspace / "tensorrt_llm" / "bindings.so"
        lab.build()
        runs = lab.runs()
        assert lab.build()["commands"] == 0
        assert lab.runs() == runs
        before = copied.read_bytes()
        lab.write("cpp/bindings.cpp", 'extern "C" int bound(int value) { return value; }\n')
        assert lab.build()["code"] == 0
        assert copied.read_bytes() != before

    def test_a_python_that_is_gone_configures_anew(self, lab: WheelLab) -> None:
        first = lab.build(defines=[["Python3_EXECUTABLE:FILEPATH", "/nowhere/python3"]])
        assert first["code"] == 0, first["failure"]
        again = lab.build(defines=[["Python3_EXECUTABLE:FILEPATH", "/nowhere/python3"]])
        assert again["configured"] == ["/nowhere/python3 is gone"]

    def test_c_plus_plus_alone_stays_in_the_tree(self, lab: WheelLab) -> None:
        result = lab.build(options=[["cpp-only", None]])
        assert (result["code"], result["compiled"]) == (0, 2)
        assert not lab.libraries.exists()

    def test_an_image_with_conan_keeps_its_packages(self, lab: WheelLab, tmp_path: Path) -> None:
        conan = tmp_path / "bin" / "conan"
        conan.parent.mkdir()
        conan.write_text("#!/bin/sh\n")
        conan.chmod(0o755)
        lab.environ["PATH"] += f":{conan.parent}"
        assert lab.build()["code"] == 0
        assert lab.runs() == 0

    def test_an_older_script_builds_while_it_configures(self, lab: WheelLab) -> None:
        lab.make_older()
        first = lab.build()
        assert first["code"] == 0, first["failure"]
        assert lab.says(first) == "41"
        runs = lab.runs()
        assert runs == 1
        lab.write("cpp/kernels/scale.cpp", 'extern "C" int scale(int value) { return 7 * value; }\n')
        edited = lab.build()
        assert (edited["configured"], edited["compiled"], lab.says(edited)) == ([], 1, "141")
        assert lab.runs() == runs

    @pytest.mark.parametrize("era", ["0.16", "0.5"])
    def test_an_older_script_is_told_what_it_knows(self, lab: WheelLab, era: str) -> None:
        lab.make_older(era)
        first = lab.build()
        assert (first["code"], first["compiled"]) == (0, 3), first["failure"]
        cache = (Path(first["tree"]) / "CMakeCache.txt").read_text()
        assert "CMAKE_GENERATOR:INTERNAL=Ninja" in cache
        assert "CMAKE_CUDA_ARCHITECTURES:UNINITIALIZED=90-real" in cache
        lab.write("cpp/kernels/scale.cpp", 'extern "C" int scale(int value) { return 7 * value; }\n')
        edited = lab.build()
        assert (edited["code"], edited["configured"], edited["compiled"]) == (0, [], 1)
        again = lab.build(mode="reconfigure")
        # What cannot configure a folder that is there begins anew.
        assert (again["code"], again["compiled"]) == (0, 3 if era == "0.5" else 0)

    @pytest.mark.parametrize("era", [None, "0.5"])
    def test_a_dry_run_says_what_is_done_and_does_nothing(self, lab: WheelLab, era: str | None) -> None:
        if era is not None:
            lab.make_older(era)
        said = lab.ask(protocol.Foresee).result()
        assert (said["there"], said["reasons"]) == (False, ["the tree is new"])
        assert not Path(said["tree"]).exists()
        script = str(lab.workspace / "scripts" / "build_wheel.py")
        assert said["configure"]["argv"][1:3] == [script, "--build_type=Release"]
        assert ("--clean" in said["configure"]["argv"]) == (era is not None)
        assert said["configure"]["environ"] == ({"CMAKE_GENERATOR": "Ninja"} if era else {})
        assert said["build"][0]["argv"][0].endswith("ninja")
        assert "no --generator" in said["notes"][0] if era else "--generator on line" in said["notes"][0]
        built = lab.build()
        assert (built["code"], built["tree"]) == (0, said["tree"])
        again = lab.ask(protocol.Foresee).result()
        assert (again["there"], again["reasons"], again["configure"]) == (True, [], None)
        other = lab.ask(protocol.Foresee, options=[["nccl_root", "/opt/nccl"]]).result()
        assert other["reasons"] == ["arguments changed: now --nccl_root=/opt/nccl"]
        assert lab.build()["commands"] == 0

    def test_an_older_script_s_build_does_not_hide_what_came_meanwhile(self, lab: WheelLab) -> None:
        """A file with an old time takes a source's place after the script compiled it, before ninja looks at it."""
        lab.make_older()
        script = (lab.workspace / "scripts" / "build_wheel.py").read_text()
        end = "    if args.cpp_only:\n        return\n    libraries ="
        late = 'os.replace(PROJECT / "late", SOURCE / "kernels" / "scale.cpp")'
        assert end in script
        late = f'    if (PROJECT / "late").exists():\n        {late}\n'
        lab.write("scripts/build_wheel.py", script.replace(end, late + end))
        lab.commit("a script that is slow")
        path = lab.write("late", 'extern "C" int scale(int value) { return 7 * value; }\n')
        os.utime(path, (1_600_000_000, 1_600_000_000))
        first = lab.build()
        assert first["code"] == 0, first["failure"]
        assert first["compiled"] == 3  # the script's are told, too
        assert lab.says(first) == "141"
        assert lab.build()["commands"] == 0

    def test_an_error_in_an_older_script_s_build_is_ninja_s_to_show(self, lab: WheelLab) -> None:
        lab.make_older()
        lab.write("cpp/kernels/scale.cpp", "int scale(int value) { return wrong; }\n")
        broken = lab.build()
        assert broken["code"] != 0
        assert broken["failure"]["step"] == "build"
        assert "wrong" in broken["failure"]["output"]
        lab.write("cpp/kernels/scale.cpp", 'extern "C" int scale(int value) { return value; }\n')
        mended = lab.build()
        assert (mended["code"], mended["configured"]) == (0, [])
        assert lab.says(mended) == "21"

    @pytest.mark.parametrize("older", [False, True])
    def test_a_failed_configure_poisons_nothing(self, lab: WheelLab, older: bool) -> None:
        if older:
            lab.make_older()
        good = (lab.workspace / "cpp" / "CMakeLists.txt").read_text()
        lab.write("cpp/CMakeLists.txt", good + "message(FATAL_ERROR nothing)\n")
        failed = lab.build()
        assert failed["failure"]["step"] == "configure"
        assert "nothing" in failed["failure"]["output"]
        lab.write("cpp/CMakeLists.txt", good)
        mended = lab.build()
        assert mended["code"] == 0, mended["failure"]
        assert "the last configure did not end well" in mended["configured"][0] or "new" in mended["configured"][0]
        assert lab.says(mended) == "41"

    def test_what_cannot_be_said_is_refused_before_anything_runs(self, lab: WheelLab) -> None:
        assert "--jobs" in fault(lab, options=[["job_count", "4"]])["hint"]
        unknown = fault(lab, options=[["nvtxx", None]])
        assert "no option --nvtxx" in unknown["message"]
        assert "nvtx" in unknown["hint"]
        assert "splits" in fault(lab, defines=[["LIST", "a;b"]])["message"]
        (lab.workspace / "scripts" / "build_wheel.py").unlink()
        assert "has no scripts/build_wheel.py" in fault(lab)["message"]


class TestScikit:
    @pytest.fixture
    def lab(self, tmp_path: Path) -> Iterator[Lab]:
        pytest.importorskip("scikit_build_core")
        lab = Lab(tmp_path / "lab", files_of("sglang"))
        # The Python that has scikit-build-core comes first, as the image's environment does.
        lab.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), lab.environ["PATH"]])
        lab.rules = BuildRules(
            driver="scikit",
            source=("python/sglang/kernels/aot", "sgl-kernel"),
            memory_per_job=64,
            arch_define=None,
            install=True,
            install_prefix="{source}/python",
        )
        yield lab
        lab.close()

    def test_scikit_configures_ninja_builds_and_the_modules_are_installed(self, lab: Lab) -> None:
        module = lab.workspace / "sgl-kernel" / "python" / "sgl_kernel" / "common_ops.abi3.so"
        first = lab.build()
        assert first["code"] == 0, first["failure"]
        assert (first["compiled"], first["installed"]) == (2, ["sgl_kernel/common_ops.abi3.so"])
        assert module.exists()
        assert lab.git("status", "--short") == ""
        assert lab.build()["commands"] == 0
        lab.write("sgl-kernel/csrc/rope.cpp", 'extern "C" int rope() { return 9; }\n')
        edited = lab.build()
        assert (edited["configured"], edited["compiled"]) == ([], 1)
        code = "import ctypes, sys; print(ctypes.CDLL(sys.argv[1]).rope())"
        assert subprocess.check_output([sys.executable, "-c", code, str(module)], text=True) == "9\n"

    def test_a_define_is_given_and_dropped(self, lab: Lab) -> None:
        lab.build()
        wide = lab.build(defines=[["ENABLE_WIDE:BOOL", "ON"]])
        assert (wide["code"], wide["compiled"]) == (0, 1)
        narrow = lab.build()
        assert narrow["configured"]
        assert "ENABLE_WIDE:BOOL=OFF" in (Path(narrow["tree"]) / "CMakeCache.txt").read_text()

    def test_a_branch_there_and_back_compiles_nothing(self, lab: Lab) -> None:
        lab.branch("other", {"sgl-kernel/csrc/norm.cpp": 'extern "C" int norm() { return 5; }\n'})
        lab.build()
        lab.git("switch", "-q", "other")
        lab.git("switch", "-q", "main")
        assert lab.build()["compiled"] == 0

    def test_another_backend_is_refused(self, lab: Lab) -> None:
        lab.write("sgl-kernel/pyproject.toml", '[build-system]\nbuild-backend = "setuptools.build_meta"\n')
        assert "does not name scikit-build-core" in fault(lab)["message"]


class TestCargo:
    STEPS = (
        Step(
            (
                "cargo",
                "build",
                "--locked",
                "--offline",
                "--profile",
                "{profile}",
                "--features",
                "dynamo-llm/block-manager",
            )
        ),
        Step(("maturin", "develop", "--offline", "--profile", "{profile}"), ("lib/bindings/python",), python=True),
    )

    @pytest.fixture
    def lab(self, tmp_path: Path) -> Iterator[Lab]:
        path = path_with_tools("cargo", "rustc", "maturin")
        lab = Lab(tmp_path / "lab", files_of("dynamo"))
        lab.environ["PATH"] = path
        # Toolchains of rustup lie in the user's home.
        for name, folder in (("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")):
            lab.environ[name] = os.environ.get(name, str(Path.home() / folder))
        lab.rules = BuildRules(driver="cargo", memory_per_job=64, arch_define=None, steps=self.STEPS[:1])
        yield lab
        lab.close()

    @staticmethod
    def says(result: JSON, profile: str = "debug") -> str:
        return subprocess.check_output([f"{result['tree']}/{profile}/dynamo-llm"], text=True).strip()

    def test_the_target_folder_lies_in_the_tree(self, lab: Lab) -> None:
        first = lab.build()
        assert first["code"] == 0, first["failure"]
        assert first["compiled"] == 2
        assert self.says(first) == "14"
        assert not (lab.workspace / "target").exists()
        assert sorted(name for name, _ in first["slowest"]) == ["dynamo-llm", "dynamo-runtime"]
        again = lab.build()
        assert (again["compiled"], again["code"]) == (0, 0)
        lab.write("lib/llm/src/main.rs", 'fn main() { println!("{}", dynamo_runtime::workers()); }\n')
        edited = lab.build()
        assert (edited["compiled"], self.says(edited)) == (1, "4")

    def test_an_older_file_of_another_branch_is_compiled(self, lab: Lab) -> None:
        lab.build()
        path = lab.write("lib/runtime/src/lib.rs", "pub fn workers() -> u32 { 1 }\n")
        os.utime(path, (1, 1))
        assert self.says(lab.build()) == "11"

    def test_types_are_profiles_in_trees_of_their_own(self, lab: Lab) -> None:
        debug = lab.build()
        release = lab.build(type="Release")
        assert release["key"] != debug["key"]
        assert self.says(release, "release") == "14"
        assert lab.build()["compiled"] == 0

    def test_a_target_is_a_package(self, lab: Lab) -> None:
        assert lab.build(targets=["dynamo-runtime"])["compiled"] == 1
        result = lab.build(targets=["dynamo-llm"])
        assert (result["compiled"], self.says(result)) == (1, "14")

    def test_an_error_is_shown(self, lab: Lab) -> None:
        lab.write("lib/llm/src/main.rs", "fn main() { missing }\n")
        broken = lab.build()
        assert broken["code"] != 0
        assert "cannot find value `missing`" in broken["failure"]["output"]
        assert broken["failure"]["command"].startswith("cargo build")

    def test_bindings_go_into_the_environment_on_the_volume(self, lab: Lab) -> None:
        lab.rules = BuildRules(driver="cargo", memory_per_job=64, arch_define=None, steps=self.STEPS)
        result = lab.build()
        assert result["code"] == 0, result["failure"]
        program = lab.volume / "python" / "bin" / "dynamo-bindings"
        assert subprocess.check_output([program], text=True) == "4 workers\n"
        assert lab.git("status", "--short") == ""

    def test_what_cargo_does_not_take_is_refused(self, lab: Lab) -> None:
        assert "-D" in fault(lab, defines=[["A", "1"]])["message"]
        assert "no build script" in fault(lab, options=[["fast", None]])["message"]
