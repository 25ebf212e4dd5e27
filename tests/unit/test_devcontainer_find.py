"""Which contract is in force, and where a new one goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from devbox.devcontainer.find import Placement, advice, contract_in, place
from devbox.devcontainer.record import dump, sealed
from devbox.errors import ContractError, RefusedError
from devbox.facts.model import Checkout


def put(workspace: Path, relative: str, framework: str | None = None, shared: str | None = None) -> Path:
    """Write a contract: the repository's own, or one of devbox's for `framework`, `shared` by that name."""
    path = workspace / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    own = sealed({"image": "a", "customizations": {"devbox": {"framework": framework, "shared": shared}}})
    path.write_text(dump(own) if framework else json.dumps({"image": "a"}))
    return path


def test_a_bare_checkout_has_none(tmp_path: Path) -> None:
    assert contract_in(tmp_path) == ()
    assert contract_in(tmp_path, framework="vllm") == ()
    assert contract_in(tmp_path, last=tmp_path / "gone.json") == ()


def test_the_well_known_places_in_their_order(tmp_path: Path) -> None:
    below = put(tmp_path, ".devcontainer/one/devcontainer.json")
    assert contract_in(tmp_path) == (below,)
    flat = put(tmp_path, ".devcontainer.json")
    assert contract_in(tmp_path) == (flat,)
    first = put(tmp_path, ".devcontainer/devcontainer.json")
    assert contract_in(tmp_path) == (first,)


def test_several_below_are_doubt(tmp_path: Path) -> None:
    one = put(tmp_path, ".devcontainer/one/devcontainer.json")
    two = put(tmp_path, ".devcontainer/two/devcontainer.json")
    assert contract_in(tmp_path) == (one, two)


def test_a_shared_contract_and_its_twin_for_other_machines_are_doubt(tmp_path: Path) -> None:
    gpu = put(tmp_path, ".devcontainer/devcontainer.json", "cuda", "cuda-cuda13-gpu")
    put(tmp_path, ".devcontainer/other/devcontainer.json")
    put(tmp_path, ".devcontainer/cuda-cpu/devcontainer.json", "cuda", "cuda-cpu")
    assert contract_in(tmp_path) == (gpu,)
    cpu = put(tmp_path, ".devcontainer/cuda-cuda13-cpu/devcontainer.json", "cuda", "cuda-cuda13-cpu")
    assert contract_in(tmp_path) == (gpu, cpu)
    assert contract_in(tmp_path, last=cpu) == (cpu,)


def test_what_was_used_last_comes_before_the_repositorys_own(tmp_path: Path) -> None:
    put(tmp_path, ".devcontainer/devcontainer.json")
    last = put(tmp_path, ".devcontainer/vllm/devcontainer.json", "vllm")
    assert contract_in(tmp_path, last=last) == (last,)


def test_config_comes_before_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = put(tmp_path, ".devcontainer/devcontainer.json")
    given = put(tmp_path, ".devcontainer/two/devcontainer.json")
    monkeypatch.chdir(tmp_path)
    assert contract_in(tmp_path, config=Path(".devcontainer/two/devcontainer.json"), framework="x", last=last) == (
        given,
    )
    with pytest.raises(ContractError, match="does not exist"):
        contract_in(tmp_path, config=tmp_path / "none/devcontainer.json")


def test_with_a_framework_only_devboxs_own_file_for_it_counts(tmp_path: Path) -> None:
    own = put(tmp_path, ".devcontainer/devcontainer.json")
    assert contract_in(tmp_path, framework="vllm", last=own) == ()
    cuda = put(tmp_path, ".devcontainer/cuda/devcontainer.json", "cuda")
    vllm = put(tmp_path, ".devcontainer/vllm/devcontainer.json", "vllm")
    assert contract_in(tmp_path, framework="vllm", last=cuda) == (vllm,)
    vllm.write_text(vllm.read_text() + "// edited\n")
    assert contract_in(tmp_path, framework="vllm") == (vllm,)
    vllm.write_text("{ broken")
    assert contract_in(tmp_path, framework="vllm") == ()


def test_places(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    top = Placement(".devcontainer/devcontainer.json", ".devcontainer/Dockerfile")
    below = Placement(".devcontainer/vllm/devcontainer.json", ".devcontainer/vllm/Dockerfile")
    assert place(checkout, "vllm") == top

    path = put(tmp_path, ".devcontainer/devcontainer.json", "vllm")
    (tmp_path / ".devcontainer/Dockerfile").write_text("FROM a\n")
    assert place(checkout, "vllm") == top
    assert place(checkout, "cuda").config == ".devcontainer/cuda/devcontainer.json"

    path.write_text("{}")
    assert place(checkout, "vllm") == below
    with pytest.raises(RefusedError, match="--flat"):
        place(checkout, "vllm", flat=True)


def test_a_repository_with_a_configuration_of_its_own_keeps_its_folder(tmp_path: Path) -> None:
    tracked = Checkout(tmp_path, git_top=tmp_path, tracked=frozenset({".devcontainer/other/devcontainer.json"}))
    assert place(tracked, "vllm").config == ".devcontainer/vllm/devcontainer.json"
    flat = Checkout(tmp_path, git_top=tmp_path, tracked=frozenset({".devcontainer.json"}))
    assert place(flat, "vllm").config == ".devcontainer/vllm/devcontainer.json"
    taken = Checkout(tmp_path, git_top=tmp_path, tracked=frozenset({".devcontainer/vllm/devcontainer.json"}))
    assert place(taken, "vllm").config == ".devcontainer/devbox-vllm/devcontainer.json"


def test_a_dockerfile_of_the_users_is_not_in_the_way(tmp_path: Path) -> None:
    (tmp_path / ".devcontainer").mkdir()
    (tmp_path / ".devcontainer/Dockerfile").write_text("FROM mine\n")
    assert place(Checkout(tmp_path), "cuda").dockerfile == ".devcontainer/cuda/Dockerfile"
    assert place(Checkout(tmp_path), "cuda", flat=True).dockerfile == ".devcontainer/cuda/Dockerfile"


def test_flat(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    assert place(checkout, "cuda", flat=True) == Placement(".devcontainer.json", ".devcontainer/Dockerfile")
    put(tmp_path, ".devcontainer.json", "cuda", "cuda-cuda13-gpu")
    assert place(checkout, "cuda", flat=True, shared="cuda-cuda13-gpu").config == ".devcontainer.json"
    with pytest.raises(RefusedError, match="contract for cuda-cuda13-gpu"):
        place(checkout, "cuda", flat=True, shared="cuda-cuda13-cpu")


def test_advice_for_the_other_tools(tmp_path: Path) -> None:
    assert advice(tmp_path, tmp_path / ".devcontainer/devcontainer.json") is None
    assert "CLion may not" in str(advice(tmp_path, tmp_path / ".devcontainer.json"))
    below = str(advice(tmp_path, tmp_path / ".devcontainer/vllm/devcontainer.json"))
    assert "'vllm'" in below
    assert "--config .devcontainer/vllm/devcontainer.json" in below
    assert "--config /else" in str(advice(tmp_path, Path("/else/devcontainer.json")))
