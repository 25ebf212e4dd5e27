"""What the contract's `build` says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devbox.config.network import Network
from devbox.devcontainer.users import ContainerUser
from devbox.errors import UsageError
from devbox.frameworks import load
from devbox.image.assembly import stage_files
from devbox.image.assembly.recipe import recipe
from devbox.image.base.choose import pinned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devbox.devcontainer.writing.request import Recipe

ALICE = ContainerUser("alice", 1000, 100, "/home/alice")


def make(
    checkout: Path,
    *,
    framework: str = "vllm",
    user: ContainerUser | None = ALICE,
    find_links: Path | None = None,
    args: Sequence[str] = (),
    network: Network | None = None,
) -> Recipe:
    return recipe(
        pinned(load.load(framework), checkout),
        base_image="base:1",
        user=user,
        find_links=find_links,
        network=network or Network(),
        checkout=checkout,
        args=args,
    )


def test_arguments_name_the_base_and_the_user(tmp_path: Path) -> None:
    made = make(tmp_path)
    args = dict(made.args)
    assert args["BASE_IMAGE"] == "base:1"
    assert (args["DEV_UID"], args["DEV_GID"], args["DEV_NAME"]) == ("1000", "100", "alice")
    assert args["DEV_CACHES"].split() == list(load.load("vllm").caches)
    assert args["BUILD_REQUIREMENTS"] == "build/cuda.txt"
    # What only the stages of `devbox image build` take is not for a dev container.
    assert "COMMAND" not in args
    assert made.target == "user"
    assert made.dockerfile == stage_files.assemble(load.load("vllm"))


def test_the_torch_of_the_image_is_the_one_that_the_checkout_pins(tmp_path: Path) -> None:
    # Two of them would be stored: the shared layer's, and the requirements' over it.
    assert "TORCH_VERSION" not in dict(make(tmp_path).args)
    (tmp_path / "requirements/build").mkdir(parents=True)
    (tmp_path / "requirements/build/cuda.txt").write_text("cmake\ntorch==2.11.0\n")
    assert dict(make(tmp_path).args)["TORCH_VERSION"] == "2.11.0"
    # A person's word is before the checkout's, and a variant's, such as the nightly's, too.
    assert dict(make(tmp_path, args=["TORCH_VERSION=2.9.1"]).args)["TORCH_VERSION"] == "2.9.1"
    nightly = load.load("vllm", "nightly-torch")
    assert pinned(nightly, tmp_path).args == nightly.args


@pytest.mark.parametrize(
    ("arg", "hint"),
    [
        ("TORCH_VERSON=1", "TORCH_VERSION"),
        ("NOTHING_LIKE_IT=1", "one of: "),
        ("BASE_IMAGE=x", "--base-image"),
        ("DEV_UID=0", "--user"),
    ],
)
def test_an_argument_that_no_stage_takes_or_that_is_devboxs_own_is_refused(tmp_path: Path, arg: str, hint: str) -> None:
    with pytest.raises(UsageError) as raised:
        make(tmp_path, args=[arg])
    assert hint in str(raised.value.hint)


def test_every_argument_is_declared(tmp_path: Path) -> None:
    made = make(tmp_path)
    for name, _ in made.args:
        assert f"ARG {name}=" in made.dockerfile, name


def test_a_shared_recipe_says_nothing_of_this_user(tmp_path: Path) -> None:
    names = [name for name, _ in make(tmp_path, user=None).args]
    assert "BASE_IMAGE" in names
    assert not {"DEV_UID", "DEV_GID", "DEV_NAME", "DEV_HOME"} & set(names)


def test_only_the_requirements_of_the_checkout_are_a_context(tmp_path: Path) -> None:
    assert make(tmp_path).contexts == ()
    (tmp_path / "requirements").mkdir()
    made = make(tmp_path, find_links=Path("/opt/wheels, mine"))
    assert made.contexts == (("checkout", "requirements"), ("wheels", "/opt/wheels, mine"))
    assert made.options() == [
        "--build-context",
        "checkout=${localWorkspaceFolder}/requirements",
        "--build-context",
        "wheels=/opt/wheels, mine",
    ]


def test_the_ca_is_a_secret_and_a_comma_in_its_path_is_quoted(tmp_path: Path) -> None:
    made = make(tmp_path, framework="cuda", network=Network(ca_bundle=Path("/etc/a,b.crt")))
    assert made.secrets == (("ca_bundle", "/etc/a,b.crt"),)
    assert made.options() == ["--secret", 'id=ca_bundle,"src=/etc/a,b.crt"']


def test_proxies_are_named_and_never_written(tmp_path: Path) -> None:
    made = make(
        tmp_path, framework="cuda", network=Network(https_proxy="http://me:hunter2@proxy:3128", no_proxy="localhost")
    )
    assert set(made.options()) == {"--build-arg", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"}
    assert "hunter2" not in repr(made)
