"""`devbox generate` for the shared form, which needs no engine: what is written, kept, compared and refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devbox import paths
from devbox.cli.app import run
from devbox.container.contract.generate import GenerateOptions, GenerateResult, generate
from devbox.container.up.images import plan_image
from devbox.devcontainer import record
from devbox.devcontainer.find import contract_in
from devbox.devcontainer.read import read
from devbox.engine.docker import Engine
from devbox.errors import ConfigError, DriftError, RefusedError, UsageError
from devbox.reporter import Silent
from tests.asked import asked
from tests.git import git

CONFIG, DOCKERFILE, COMPOSE = (f".devcontainer/{name}" for name in ("devcontainer.json", "Dockerfile", "compose.yaml"))
# There is no docker on this PATH: whoever asked the engine would fail.
NO_ENGINE = Engine(environ={"PATH": "/nonexistent"})


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    (top / "requirements/build").mkdir(parents=True)
    (top / "CMakeLists.txt").touch()
    (top / "a.cu").touch()
    git(top, "init", "--quiet")
    return top


def shared(tree: Path, **values: Any) -> GenerateResult:
    result, error = attempt(tree, **values)
    assert error is None
    return result


def attempt(tree: Path, **values: Any) -> tuple[GenerateResult, DriftError | None]:
    return generate(GenerateOptions(path=tree, shared=True, **asked(**values)), NO_ENGINE, Silent())


def content(tree: Path, name: str = CONFIG) -> Any:
    return json.loads((tree / name).read_text())


def test_what_is_shared_is_seen_by_git_and_current(tree: Path) -> None:
    result = shared(tree)
    assert result.written == result.files == (tree / CONFIG, tree / DOCKERFILE)
    assert ".devcontainer" in git(tree, "status", "--porcelain")
    assert content(tree)["runArgs"][-1] == "--gpus=all"
    assert shared(tree).written == ()
    assert attempt(tree, check=True)[1] is None


def test_a_committed_contract_is_renewed_but_an_edited_one_is_not(tree: Path) -> None:
    shared(tree)
    git(tree, "add", ".devcontainer")
    assert shared(tree, base_image="site/cuda:13").written == (tree / CONFIG,)
    assert content(tree)["build"]["args"]["BASE_IMAGE"] == "site/cuda:13"
    # What was asked for stays asked for.
    assert shared(tree).written == ()

    dockerfile = tree / DOCKERFILE
    dockerfile.write_text(dockerfile.read_text() + "# mine\n")
    with pytest.raises(RefusedError, match="Dockerfile was edited"):
        shared(tree)
    with pytest.raises(RefusedError, match="tracked by git"):
        shared(tree, force=True)
    assert dockerfile.read_text().endswith("# mine\n")
    git(tree, "rm", "--quiet", "-rf", "--cached", ".devcontainer")
    assert shared(tree, force=True).written == (dockerfile,)


def test_check_names_what_differs_and_diff_shows_it(tree: Path, tmp_path: Path) -> None:
    missing, error = attempt(tree, check=True, diff=True)
    assert error is not None
    assert error.exit_code == 8
    assert f"{tree / CONFIG} is missing" in error.message
    assert not (tree / ".devcontainer").exists()
    patch = tmp_path / "patch"
    patch.write_text(str(missing.diff))
    git(tree, "apply", str(patch))
    assert shared(tree, check=True).stale == ()

    changed, error = attempt(tree, check=True, diff=True, base_image="site/cuda:13")
    assert error is not None
    assert "is out of date" in error.message
    assert '+      "BASE_IMAGE": "site/cuda:13",' in str(changed.diff).splitlines()
    (tree / CONFIG).write_text((tree / CONFIG).read_text() + "\n")
    _, error = attempt(tree, check=True)
    assert error is not None
    assert "was edited" in error.message


def test_both_kinds_stand_side_by_side(tree: Path) -> None:
    shared(tree)
    cpu = shared(tree, gpus="none")
    assert cpu.contract == tree / ".devcontainer/cuda-cuda13-cpu/devcontainer.json"
    assert "--gpus=all" not in json.loads(cpu.contract.read_text())["runArgs"]
    # Each finds its own again.
    assert shared(tree, gpus="all").contract == tree / CONFIG
    assert shared(tree, gpus="none").written == ()


def test_whoever_names_none_means_all_that_are_there(tree: Path) -> None:
    gpu, cpu = shared(tree, gpus="all"), shared(tree, variant="cpu", inline=True)
    both = shared(tree)
    assert (both.files, both.written) == ((*gpu.files, *cpu.files), ())
    assert attempt(tree, check=True)[1] is None
    assert shared(tree, base_image="site/base:1").written == (gpu.contract, cpu.contract)
    cpu.files[1].unlink()
    result, error = attempt(tree, check=True)
    assert error is not None
    assert result.stale == (f"{cpu.files[1]} is missing",)


def test_a_shared_contract_is_the_repositorys_own(tree: Path) -> None:
    shared(tree)
    assert record.at(tree / CONFIG).personal is None
    assert contract_in(tree) == (tree / CONFIG,)
    # With a framework, a personal one is written beside it.
    assert contract_in(tree, framework="cuda") == ()


def test_only_what_the_checkout_says_counts(tree: Path) -> None:
    paths.config_dir().mkdir(parents=True)
    (paths.config_dir() / "config.toml").write_text('base_image = "mine:1"\ngpus = "none"\nuser = "root"\n')
    (tree / "devbox.local.toml").write_text('base_image = "mine:2"\n')
    (tree / "devbox.toml").write_text('ccache_size = "7G"\n')
    shared(tree)
    written = content(tree)
    assert written["build"]["args"]["BASE_IMAGE"].startswith("nvidia/cuda:")
    assert written["runArgs"][-1] == "--gpus=all"
    assert written["containerEnv"]["CCACHE_MAXSIZE"] == "7G"


@pytest.mark.parametrize(
    "values", [{"user": "root"}, {"find_links": Path("/wheels")}, {"name": "mine"}, {"gpus": "0,1"}]
)
def test_what_is_one_persons_or_machines_is_refused(tree: Path, values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="shared contract"):
        shared(tree, **values)
    assert not (tree / ".devcontainer").exists()


def test_the_compose_form_comes_goes_and_stays(tree: Path) -> None:
    shared(tree, compose=True, services="redis,etcd")
    assert content(tree)["dockerComposeFile"] == "compose.yaml"
    text = (tree / COMPOSE).read_text()
    assert "condition: service_healthy" in text
    assert shared(tree).written == ()
    gone = shared(tree, compose=False)
    assert gone.removed == (tree / COMPOSE,)
    assert "build" in content(tree)
    assert not (tree / COMPOSE).exists()


def test_an_edited_compose_file_is_the_persons(tree: Path) -> None:
    shared(tree, compose=True)
    compose = tree / COMPOSE
    compose.write_text(compose.read_text() + "# mine\n")
    with pytest.raises(RefusedError, match=r"compose\.yaml was edited"):
        shared(tree, services="redis")
    # A form that has no compose file leaves it where it is.
    assert shared(tree, compose=False).removed == ()
    assert compose.read_text().endswith("# mine\n")


def test_services_of_ones_own_and_those_that_are_none(tree: Path) -> None:
    with pytest.raises(UsageError, match="no service called 'reddis'") as raised:
        shared(tree, compose=True, services="reddis")
    assert "did you mean 'redis'" in str(raised.value.hint)
    own = paths.config_dir() / "services/mine.toml"
    own.parent.mkdir(parents=True)
    own.write_text('image = "debian:bookworm"\nhealth = ["CMD", "true"]\n[environment]\nA = "$B"\n')
    shared(tree, compose=True, services="mine")
    assert "A: $$B" in (tree / COMPOSE).read_text()
    own.write_text('image = "debian:bookworm"\nports = [1]\n')
    with pytest.raises(ConfigError, match="no key 'ports'"):
        shared(tree, compose=True)


def test_the_flat_form_lies_at_the_top(tree: Path) -> None:
    result = shared(tree, flat=True)
    assert result.contract == tree / ".devcontainer.json"
    assert content(tree, ".devcontainer.json")["build"]["dockerfile"] == DOCKERFILE
    assert shared(tree, flat=True).written == ()


@pytest.fixture
def vllm(tree: Path) -> Path:
    (tree / "requirements/build/cpu.txt").write_text("-r ../common.txt\ntorch==2.11\nEOT\n")
    (tree / "requirements/common.txt").write_text("numpy  # the last line has no end")
    (tree / "requirements/cpu.txt").write_text("--requirement=common.txt\n")
    (tree / "requirements/other.txt").write_text("unrelated\n")
    return tree


def test_requirements_are_inlined_and_their_drift_is_seen(vllm: Path) -> None:
    inline = {"framework": "vllm", "variant": "cpu", "inline": True}
    shared(vllm, **inline)
    text = (vllm / DOCKERFILE).read_text()
    assert "COPY <<'EOT_' /build/cpu.txt\n-r ../common.txt\ntorch==2.11\nEOT\nEOT_\n" in text
    assert "COPY <<'EOT' /common.txt\nnumpy  # the last line has no end\nEOT\n" in text
    assert "unrelated" not in text.partition("AS checkout\n")[2].partition("FROM ")[0]
    assert "options" not in content(vllm)["build"]
    assert attempt(vllm, check=True)[1] is None
    (vllm / "requirements/common.txt").write_text("numpy<3\n")
    result, error = attempt(vllm, check=True, diff=True)
    assert error is not None
    assert f"{vllm / DOCKERFILE} is out of date" in error.message
    assert "+numpy<3" in str(result.diff)


def test_nothing_outside_the_requirements_is_inlined(vllm: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2\n")
    options = GenerateOptions(path=vllm, shared=True, flags={"framework": "vllm", "variant": "cpu"}, inline=True)
    (vllm / "requirements/common.txt").unlink()
    (vllm / "requirements/common.txt").symlink_to(secret)
    with pytest.raises(Exception, match="leads out of"):
        generate(options, NO_ENGINE, Silent())
    (vllm / "requirements/common.txt").unlink()
    (vllm / "requirements/common.txt").write_text("-r ../../secret\n")
    with pytest.raises(Exception, match="leads out of"):
        generate(replace(options, check=True), NO_ENGINE, Silent())
    assert not (vllm / ".devcontainer").exists()


@pytest.mark.parametrize("with_git", [True, False])
def test_each_kind_has_its_own_file_with_git_and_without(tree: Path, with_git: bool) -> None:
    if not with_git:
        shutil.rmtree(tree / ".git")
    gpu, cpu = shared(tree), shared(tree, gpus="none")
    assert set(gpu.files).isdisjoint(cpu.files)
    assert shared(tree).files == (*gpu.files, *cpu.files)
    assert (gpu.next == f"git add {CONFIG} {DOCKERFILE}") is with_git
    # They would be one file, so the second is refused, and the first stays.
    for path in (*gpu.files, *cpu.files):
        path.unlink()
    flat = shared(tree, flat=True).contract.read_text()
    with pytest.raises(RefusedError, match="cuda-cuda13-gpu"):
        shared(tree, flat=True, gpus="none")
    assert (tree / ".devcontainer.json").read_text() == flat


def test_what_to_type_next_starts_what_was_written(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(tree / ".git")
    monkeypatch.chdir(tree)
    (tree / CONFIG).parent.mkdir()
    (tree / CONFIG).write_text('{"image": "theirs"}')
    result = shared(tree)
    assert result.next == f"devbox up --config {result.contract}"
    (tree / CONFIG).unlink()
    assert shared(tree).next == "devbox up"
    # Of the two, `up` alone would take the one for this machine.
    cpu = shared(tree, gpus="none")
    assert cpu.next == f"devbox up --config {cpu.contract}"
    assert shared(tree).next == "devbox up"
    shutil.rmtree(cpu.contract.parent)
    monkeypatch.chdir("/")
    assert shared(tree).next == f"devbox up {tree}"


def test_a_patch_that_changes_something_says_so_by_the_exit_code(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    assert run(["generate", "--shared", "--diff"]) == 8
    assert run(["generate", "--shared"]) == 0
    assert run(["generate", "--shared", "--diff"]) == 0
    (tree / CONFIG).write_text((tree / CONFIG).read_text() + "\n")
    assert run(["generate", "--shared", "--diff"]) == 8


def test_a_shared_contract_on_the_package_base_names_the_image_that_devbox_makes(tree: Path) -> None:
    made = shared(tree, base_image="package")
    assert content(tree)["build"]["args"]["BASE_IMAGE"] == "devbox-base:cuda13.0-debian12"
    assert "devbox image base --cuda 13.0" in " ".join(made.notes)
    assert shared(tree).written == ()
    contract = read(tree / CONFIG, tree, {})
    there = {"Id": "sha256:1", "Config": {}}
    assert plan_image(lambda _: there, contract, pull=True).pulls == ()
    (step,) = plan_image(lambda _: None, contract).pulls
    assert step.lines(NO_ENGINE) == ["devbox image base --cuda 13.0"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"base_image": "no name::"}, "--base-image: 'no name::' is no name of an image"),
        ({"features": ["nowhere"]}, "--features: there is no Feature 'nowhere'"),
        ({"features": ["./tools"]}, "--features: there is no folder"),
    ],
)
def test_what_up_would_refuse_later_is_not_recorded(tree: Path, flags: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        shared(tree, **flags)
    assert not (tree / CONFIG).exists()


def test_services_without_compose_are_said_to_do_nothing(tree: Path) -> None:
    assert "redis would run beside" in " ".join(shared(tree, services="redis").notes)
    assert shared(tree, services="redis", compose=True).notes == ()


def test_a_variant_without_gpus_has_one_contract_for_all_machines(tree: Path) -> None:
    first = shared(tree, variant="cpu")
    second = shared(tree, variant="cpu", gpus="none")
    assert first.contract == second.contract
    assert "one contract is for all machines" in " ".join(second.notes)


def test_a_look_ends_with_a_verdict_and_an_error_with_the_command_that_shows_more(tree: Path) -> None:
    result, error = attempt(tree, check=True, gpus="none")
    assert result.verdict == "2 files would be written"
    assert error is not None
    assert str(error.hint).startswith("devbox generate --shared --gpus none --diff")
    assert shared(tree, gpus="none").verdict is None
    result = shared(tree, gpus="none", check=True, diff=True)
    assert (result.verdict, result.diff) == (f"{tree / CONFIG} is current", "")
    (tree / CONFIG).write_text((tree / CONFIG).read_text() + "\n")
    assert "only --force writes over it" in str(shared(tree, gpus="none", diff=True).verdict)
    with pytest.raises(RefusedError) as raised:
        shared(tree, gpus="none")
    assert str(raised.value.hint).startswith("devbox generate --shared --gpus none --diff")
