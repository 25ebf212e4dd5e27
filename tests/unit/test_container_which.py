"""Which workspace, contract and framework a command means, when nobody says it, and who decides in doubt."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from devbox.container import memory, which
from devbox.devcontainer.identity import volume_name
from devbox.devcontainer.record import Record, dump, sealed
from devbox.engine.docker import Engine
from devbox.errors import ContractError, UsageError
from devbox.facts.model import EngineFacts, Gpu, Gpus
from devbox.frameworks.detect import Match
from devbox.reporter import Silent
from tests.git import git

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# There is no docker on this PATH: whoever asked the engine would fail.
NO_ENGINE = Engine(environ={"PATH": "/nonexistent", "DOCKER_HOST": "unix:///nonexistent"})
FACTS = EngineFacts("26", False, True, True, ("nvidia.com/gpu=all",), True, None)
CMAKE = "cmake_minimum_required(VERSION 3.18)\nproject(x CXX CUDA)\n"


class Answering(Silent):
    """Somebody who chooses the last one, unless `absent`, and keeps what was said."""

    def __init__(self, *, absent: bool = False) -> None:
        super().__init__()
        self.absent = absent
        self.asked: list[str] = []
        self.said: list[str] = []

    def choose(self, question: str, choices: Sequence[str]) -> str | None:
        self.asked.append(question)
        return None if self.absent else choices[-1]

    def info(self, text: str) -> None:
        self.said.append(text)


def repository(path: Path) -> Path:
    """Make a git repository, as far as devbox looks."""
    (path / ".git").mkdir(parents=True)
    (path / ".git/HEAD").write_text("ref: refs/heads/main\n")
    return path


def put(path: Path, record: Record | None = None) -> Path:
    """Write a contract of the repository's own, or one of devbox's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if record is None:
        path.write_text(json.dumps({"image": "a"}))
    else:
        path.write_text(dump(sealed({"image": "a", "customizations": {"devbox": record.json()}})))
    return path


def folder(path: Path, **files: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (path / name.replace("_", ".")).write_text(text)
    return path


class TestWorkspace:
    def test_a_folder_on_its_own_is_one(self, tmp_path: Path) -> None:
        assert which.workspace(folder(tmp_path / "a/b")) == tmp_path / "a/b"

    def test_a_sub_folder_belongs_to_the_top_of_its_repository(self, tmp_path: Path) -> None:
        top = repository(tmp_path / "vllm")
        assert which.workspace(folder(top / "csrc/attention")) == top
        assert which.workspace(top) == top
        # Nothing above the repository counts, whatever is there.
        put(tmp_path / ".devcontainer.json")
        assert which.workspace(top / "csrc") == top

    def test_the_nearest_with_a_contract_settings_or_memory_comes_first(self, tmp_path: Path) -> None:
        top = repository(tmp_path)
        put(top / ".devcontainer/devcontainer.json")
        deep = folder(top / "a/b/c")
        assert which.workspace(deep) == top
        memory.remember(top / "a", contract=top / "x/devcontainer.json", framework=None)
        assert which.workspace(deep) == top / "a"
        (top / "a/b/devbox.toml").touch()
        assert which.workspace(deep) == top / "a/b"
        put(deep / ".devcontainer/one/devcontainer.json")
        assert which.workspace(deep) == deep

    def test_a_part_with_its_own_cmake_lists_is_no_workspace_where_the_top_is_one(self, tmp_path: Path) -> None:
        top = repository(tmp_path)
        part = folder(top / "cpp", CMakeLists_txt=CMAKE, a_cu="")
        assert which.workspace(part) == part
        folder(top, CMakeLists_txt=CMAKE, b_cu="")
        assert which.workspace(part) == top

    def test_without_git_what_is_above_counts_too(self, tmp_path: Path) -> None:
        deep = folder(tmp_path / "src/deep")
        (tmp_path / ".devcontainer.json").write_text("{}")
        assert which.workspace(deep) == tmp_path

    def test_the_home_folder_is_nobodys_workspace(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        put(repository(tmp_path) / ".devcontainer.json")
        new = folder(tmp_path / "src/new")
        assert which.workspace(new) == new
        # Unless one stands in it.
        assert which.workspace(tmp_path) == tmp_path

    def test_what_others_may_have_put_there_does_not_count(self, tmp_path: Path) -> None:
        put(repository(tmp_path) / ".devcontainer.json")
        mine = folder(tmp_path / "mine/src")
        assert which.workspace(mine) == tmp_path
        tmp_path.chmod(0o1777)
        assert which.workspace(mine) == mine

    def test_through_symlinks(self, tmp_path: Path) -> None:
        top = repository(tmp_path / "vllm")
        folder(top / "csrc")
        (tmp_path / "link").symlink_to(top)
        assert which.workspace(tmp_path / "link/csrc") == tmp_path / "link"
        other = repository(tmp_path / "other")
        (other / "kernels").symlink_to(top / "csrc")
        # The other repository only points there.
        assert which.workspace(other / "kernels") == top
        # It is one workspace, by the name that came first.
        memory.remember(tmp_path / "link", contract=top / "x/devcontainer.json", framework=None)
        assert which.workspace(top / "csrc") == tmp_path / "link"
        (tmp_path / "link").unlink()
        assert which.workspace(top / "csrc") == top

    def test_a_worktree_and_a_submodule_are_checkouts_of_their_own(self, tmp_path: Path) -> None:
        for name in ("main", "lib"):
            folder(tmp_path / name, f_txt="")
            git(tmp_path / name, "init", "-q")
            git(tmp_path / name, "add", ".")
            git(tmp_path / name, "commit", "-qm", "c")
        main = tmp_path / "main"
        put(main / ".devcontainer/devcontainer.json")
        git(main, "worktree", "add", "-q", "trees/one")
        git(main, "submodule", "add", "-q", str(tmp_path / "lib"), "3rdparty/lib")
        for part in ("trees/one", "3rdparty/lib"):
            assert which.workspace(folder(main / part / "src")) == main / part
        assert which.workspace(main / "3rdparty") == main


def three(workspace: Path) -> list[Path]:
    return [put(workspace / f".devcontainer/{name}/devcontainer.json") for name in ("sglang", "trtllm", "vllm")]


class TestContract:
    def test_of_several_the_person_chooses_once(self, tmp_path: Path) -> None:
        *_, vllm = three(tmp_path)
        person = Answering()
        assert which.contract(tmp_path, NO_ENGINE, person) == vllm
        assert which.contract(tmp_path, NO_ENGINE, person) == vllm == which.contract(tmp_path, NO_ENGINE, Silent())
        assert len(person.asked) == 1
        assert {path.name for path in tmp_path.iterdir()} == {".devcontainer"}
        vllm.unlink()
        with pytest.raises(ContractError):
            which.contract(tmp_path, NO_ENGINE, Silent())

    def test_where_nobody_can_be_asked_the_choices_are_named_with_the_command(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        three(tmp_path)
        monkeypatch.chdir(tmp_path)
        with pytest.raises(ContractError, match=r"sglang/devcontainer\.json, \.devcontainer/trtllm") as raised:
            which.contract(tmp_path, NO_ENGINE, Silent())
        assert str(raised.value.hint).startswith("devbox up --config .devcontainer/sglang/devcontainer.json")
        assert "--framework" not in str(raised.value.hint)
        folder(tmp_path, CMakeLists_txt=CMAKE, a_cu="")
        monkeypatch.chdir("/")
        with pytest.raises(ContractError) as raised:
            which.contract(tmp_path, NO_ENGINE, Silent())
        typed = f"devbox up {tmp_path} --config {tmp_path}/.devcontainer/sglang/devcontainer.json"
        assert typed in str(raised.value.hint)
        assert "devbox up --framework cuda writes one of devbox's" in str(raised.value.hint)

    def test_one_of_devboxs_own_may_be_chosen_instead(self, tmp_path: Path) -> None:
        three(tmp_path)
        folder(tmp_path, CMakeLists_txt=CMAKE, a_cu="")
        assert which.contract(tmp_path, NO_ENGINE, Answering()) is None

    def test_of_a_project_that_is_known_devboxs_own_is_taken_where_nobody_can_be_asked(self, tmp_path: Path) -> None:
        three(tmp_path)
        folder(tmp_path, Cargo_toml="")
        for name in ("lib/runtime/Cargo.toml", "container/render.py"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        (tmp_path / "lib/bindings/python").mkdir(parents=True)
        nobody = Answering(absent=True)
        assert which.contract(tmp_path, NO_ENGINE, nobody) is None
        (said,) = nobody.said
        assert said.startswith(
            "devbox's own for dynamo is taken: the checkout has .devcontainer/sglang/devcontainer.json"
        )
        assert said.endswith(".devcontainer/vllm/devcontainer.json (--config takes one of them, which is remembered)")
        # It is what the next command means, also where nothing is remembered.
        mine = put(tmp_path / ".devcontainer/dynamo/devcontainer.json", Record("dynamo", "vllm"))
        assert which.contract(tmp_path, NO_ENGINE, nobody) == mine

    def test_what_only_devboxs_own_can_have_decides_for_it(self, tmp_path: Path) -> None:
        three(tmp_path)
        assert which.contract(tmp_path, NO_ENGINE, Silent(), own=True) is None
        mine = put(tmp_path / ".devcontainer/x/devcontainer.json", Record("cuda", "cpu"))
        assert which.contract(tmp_path, NO_ENGINE, Silent(), own=True) == mine

    @pytest.mark.parametrize("has", [True, False])
    def test_of_a_pair_the_one_for_this_machine_is_taken_and_said(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has: bool
    ) -> None:
        gpu = put(tmp_path / ".devcontainer/devcontainer.json", Record("cuda", "cuda13", shared="cuda-cuda13-gpu"))
        cpu = put(
            tmp_path / ".devcontainer/cuda-cuda13-cpu/devcontainer.json",
            Record("cuda", "cuda13", shared="cuda-cuda13-cpu"),
        )
        devices = (Gpu(0, "H200", "GPU-0", None),) if has else ()
        monkeypatch.setattr("devbox.facts.engine.gather", lambda _: FACTS)
        monkeypatch.setattr("devbox.facts.gpu.gather", lambda *_: Gpus(devices, reason="" if has else "no GPU here"))
        person = Answering()
        assert which.contract(tmp_path, NO_ENGINE, person) == (gpu if has else cpu)
        assert person.asked == []
        assert "is taken" in person.said[0]
        assert "--config" in person.said[0]
        # What was used last needs no look.
        memory.remember(tmp_path, contract=cpu, framework="cuda")
        assert which.contract(tmp_path, NO_ENGINE, Silent()) == cpu

    def test_without_an_engine_it_is_the_one_that_every_tool_takes(self, tmp_path: Path) -> None:
        gpu = put(tmp_path / ".devcontainer/devcontainer.json", Record("cuda", shared="cuda-cuda13-gpu"))
        put(tmp_path / ".devcontainer/cpu/devcontainer.json", Record("cuda", shared="cuda-cuda13-cpu"))
        assert which.contract(tmp_path, NO_ENGINE, Silent()) == gpu
        # Where none is, it is one of the choices.
        gpu.rename(put(tmp_path / ".devcontainer/gpu/devcontainer.json"))
        put(tmp_path / ".devcontainer/a/devcontainer.json")
        with pytest.raises(ContractError, match=r"a/dev.*cpu/dev.*gpu/dev"):
            which.contract(tmp_path, NO_ENGINE, Silent())


def matches(monkeypatch: pytest.MonkeyPatch, *found: tuple[str, int]) -> None:
    result = tuple(Match(name, None, (f"{name}.txt is there",), weight) for name, weight in found)
    monkeypatch.setattr("devbox.frameworks.detect.detect", lambda _: result)


class TestFramework:
    def test_the_requested_one_is_taken_without_a_look(self, tmp_path: Path) -> None:
        assert which.framework(tmp_path, "vllm", Silent()) == which.Chosen("vllm")

    def test_the_best_match_is_taken_and_said_why(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        matches(monkeypatch, ("vllm", 20), ("cuda", 10))
        assert which.framework(tmp_path, None, Silent()) == which.Chosen("vllm", None, "vllm.txt is there")

    def test_in_doubt_the_person_is_asked_once_and_else_the_choices_are_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        matches(monkeypatch, ("vllm", 20), ("sglang", 20), ("cuda", 10))
        with pytest.raises(UsageError, match=r"vllm \(.*sglang \(") as raised:
            which.framework(tmp_path, None, Silent())
        assert "--framework" in str(raised.value.hint)
        assert which.framework(tmp_path, None, Answering()).name == "sglang"
        assert which.framework(tmp_path, None, Silent()).name == "sglang"
        # A person's answer is no reason for what is everybody's.
        assert len(which.frameworks(tmp_path, personal=False)) == 2
        # An answer breaks a tie and no more.
        matches(monkeypatch, ("vllm", 20), ("sglang", 10))
        assert which.framework(tmp_path, None, Silent()).name == "vllm"

    def test_nothing_matches(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="none of the frameworks") as raised:
            which.framework(tmp_path, None, Silent())
        assert "--framework" in str(raised.value.hint)

    def test_the_contract_in_force_comes_before_what_the_files_show(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        matches(monkeypatch, ("vllm", 20))
        path = put(tmp_path / ".devcontainer/devcontainer.json", Record("cuda", "cpu"))
        wanted = which.Chosen("cuda", "cpu", ".devcontainer/devcontainer.json says so", path)
        assert which.framework(tmp_path, None, Silent()) == wanted
        assert which.frameworks(tmp_path, personal=False)[0].name == "vllm"
        # What it says may be of another devbox, or nonsense.
        put(path, Record("no-such", "cpu"))
        assert which.framework(tmp_path, None, Silent()).name == "vllm"
        put(path, Record("cuda", "no-such"))
        assert which.framework(tmp_path, None, Silent())[:2] == ("cuda", "cuda13")


def test_a_moved_checkout_is_told_by_the_volume_in_its_contract(tmp_path: Path) -> None:
    made, there = tmp_path / "made", tmp_path / "there"
    config = {"image": "a", "mounts": [f"type=volume,source={volume_name(7, 'build', made)},target=/build"]}
    file = made / ".devcontainer/devcontainer.json"
    file.parent.mkdir(parents=True)
    file.write_text(dump(sealed({**config, "customizations": {"devbox": Record(framework="cuda").json()}})))
    assert which.formerly(made) is None
    made.rename(there)
    assert which.formerly(there) == "another folder"
    memory.remember(made, contract=file, framework="cuda")
    assert which.formerly(there) == str(made)
    # What somebody wrote by hand is what it is.
    put(there / ".devcontainer/devcontainer.json")
    assert which.formerly(there) is None


def test_a_folder_below_that_looks_like_a_framework_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("apps", "cpp"):
        (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match=r"looks like none of the frameworks that devbox knows \([^)]*\)$"):
        which.framework(tmp_path, None, Silent())
    (tmp_path / "cpp/CMakeLists.txt").write_text(CMAKE)
    with pytest.raises(UsageError, match=r"but its folder cpp like cuda: CMakeLists.txt is there$") as raised:
        which.framework(tmp_path, None, Silent())
    assert str(raised.value.hint).startswith(f"devbox up {tmp_path}/cpp   # for that folder alone; or --framework cuda")


@pytest.mark.parametrize(
    ("why", "told"),
    [
        (("a is there",), "a is there"),
        (("a is there", "b is there", "c is there"), "a, b and c are there"),
        (("a is there", "b is there", "c says 'x'"), "a and b are there and c says 'x'"),
        (("c says 'x'",), "c says 'x'"),
    ],
)
def test_why_a_framework_fits_is_one_phrase(
    why: tuple[str, ...], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devbox.frameworks.detect.detect", lambda _: (Match("vllm", "cpu", why, 1),))
    assert which.framework(tmp_path, None, Silent()).told == f"vllm (cpu), because {told}"
