"""What `devbox image run` and `prune` decide, without an engine."""

from __future__ import annotations

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from devbox.cli.image import run
from devbox.engine.ports import ports
from devbox.engine.spec import ContainerSpec, Mount
from devbox.errors import UsageError
from devbox.frameworks.load import load
from devbox.image.building import blueprint
from devbox.image.life import OwnImage, _own, prunable
from devbox.image.names import made_from
from devbox.oneshot.image_run import RunPlan


@pytest.mark.parametrize(
    ("asked", "published"),
    [
        ((), ("127.0.0.1:8000:8000",)),
        (("9000:8000",), ("127.0.0.1:9000:8000",)),
        (("0.0.0.0:80:8000", "1"), ("0.0.0.0:80:8000", "127.0.0.1:1:1")),
        (("[::1]:80:8000",), ("[::1]:80:8000",)),
        (("none",), ()),
    ],
)
def test_a_port_is_this_machines_own_unless_somebody_says_otherwise(
    asked: tuple[str, ...], published: tuple[str, ...]
) -> None:
    assert ports(asked, [8000]) == published


@given(st.text(alphabet=st.sampled_from("0123456789:.[]none-x"), max_size=16))
def test_no_port_is_too_odd(word: str) -> None:
    try:
        found = ports([word], [])
    except UsageError as error:
        assert "no port" in error.message  # noqa: PT017
    else:
        assert all(1 <= int(port.rpartition(":")[2]) < 65536 for port in found)


def test_fresh_caches_are_given_to_the_user_before() -> None:
    cache = Mount("volume", "/cache/huggingface", "devbox-1000-huggingface-as-2000")
    plan = RunPlan(ContainerSpec("image:1"), ("HF_TOKEN",), {}, owner="2000:0", owned=(cache,))
    args = plan.preparation()
    assert args[:5] == ["run", "--rm", "--user", "0:0", "--network"]
    assert args[-3:] == ["image:1", "2000:0", "/cache/huggingface"]
    assert plan.args("--rm")[:4] == ["run", "--rm", "--env", "HF_TOKEN"]
    assert RunPlan(ContainerSpec("image:1"), (), {}).preparation() == []


def test_what_an_image_says_of_itself() -> None:
    assert made_from({"Config": {"Labels": {"devbox.image": "vllm/cpu/release"}}}) == ("vllm", "cpu", "release")
    for odd in (None, {}, {"Config": None}, {"Config": {"Labels": {"devbox.image": "x"}}}):
        assert made_from(odd) is None


@pytest.mark.parametrize(
    ("name", "framework"),
    [("devbox-vllm:0123456789ab", "vllm"), ("devbox-my-tree:0123456789ab", None), ("devbox-cuda:latest", "cuda")],
)
def test_the_image_of_a_dev_container_tells_of_which_framework_it_is(name: str, framework: str | None) -> None:
    found = _own({"Id": "sha256:1", "RepoTags": [name], "Config": {}, "Created": ""}, {})
    assert found is not None
    assert (found.kind, found.framework, found.variant) == ("dev", framework, None)


def image(name: str | None, created: float, kind: str = "dev", *, used: bool = False) -> OwnImage:
    return OwnImage(
        id=f"sha256:{name}{created}",
        names=(name,) if name else (),
        kind=kind,  # type: ignore[arg-type]
        created=created,
        size=1,
        used_by=("container",) if used else (),
    )


OLD, NEW = image("devbox-vllm:000000000000", 1), image("devbox-vllm:111111111111", 2)
USED = image("devbox-cuda:000000000000", 1, used=True)
USED_NEWER = image("devbox-cuda:111111111111", 2)
NAMELESS = image(None, 1)
STAGE = image("devbox-vllm:cuda13-release", 3, "stage")
BASE = image("devbox-base:cpu-debian12", 0, "base")
MINE = image("registry.example/me/release:1", 1, "stage")
EVERY = (OLD, NEW, USED, USED_NEWER, NAMELESS, STAGE, BASE, MINE)


def pruned(*, older_than: float | None = None, everything: bool = False, bases: bool = False) -> set[OwnImage]:
    found = prunable(EVERY, now=10, older_than=older_than, everything=everything, bases=bases)
    assert all(reason for _, reason in found)
    return {one for one, _ in found}


def test_only_what_was_replaced_or_lost_its_name_goes_unasked() -> None:
    assert pruned() == {OLD, NAMELESS}
    assert pruned(older_than=9.5) == set()
    assert pruned(everything=True) == {OLD, NEW, USED_NEWER, NAMELESS, STAGE}
    assert pruned(everything=True, bases=True) == {OLD, NEW, USED_NEWER, NAMELESS, STAGE, BASE}


def test_a_cuda_release_chooses_variant_or_base_image() -> None:
    assert blueprint.with_cuda("vllm", None, None).variant == "cuda13"
    assert blueprint.with_cuda("vllm", None, "12.9").variant == "cuda12"
    assert blueprint.with_cuda("vllm", "cuda13", "13.0").cuda == "13.0"
    other = blueprint.with_cuda("cuda", "cuda13", "13.2")
    assert (other.cuda, other.base_image) == ("13.2", "devbox-base:cuda13.2-debian12")
    with pytest.raises(UsageError, match=r"no base image for CUDA 9\.0") as caught:
        blueprint.with_cuda("cuda", None, "9.0")
    assert "13.0" in (caught.value.hint or "")


def test_jobs_for_a_dockerfile_that_has_to_be_told() -> None:
    from devbox.facts.model import Host, User

    host = Host(User(1, 1, "a", "/"), cpus=64, cpu_quota=None, memory_total=65536, memory_available=1)
    assert blueprint.jobs(load("vllm"), host) == 8
    assert blueprint.jobs(load("cuda"), host) == 32


@pytest.mark.parametrize(
    ("words", "image", "command"),
    [
        (["--", "id", "-u"], None, ["id", "-u"]),
        (["release", "--", "sh", "-c", "exit 7"], "release", ["sh", "-c", "exit 7"]),
        (["release", "id"], "release", ["id"]),
        (["--port", "1:1", "--", "a", "--", "b"], None, ["a", "--", "b"]),
        (["release"], "release", []),
    ],
)
def test_what_follows_the_dashes_is_never_the_image(
    words: list[str], image: str | None, command: list[str] | None
) -> None:
    params = typer.main.get_command(run.app).make_context("run", words).params
    assert (params["image"], list(params["command"])) == (image, command)
