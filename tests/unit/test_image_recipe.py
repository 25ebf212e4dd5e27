"""What the contract's `build` says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from devbox.config.network import Network
from devbox.devcontainer.users import ContainerUser
from devbox.frameworks import load
from devbox.image.assembly import stage_files
from devbox.image.assembly.recipe import recipe

if TYPE_CHECKING:
    from devbox.devcontainer.writing.request import Recipe

ALICE = ContainerUser("alice", 1000, 100, "/home/alice")


def make(
    checkout: Path,
    *,
    framework: str = "vllm",
    user: ContainerUser | None = ALICE,
    find_links: Path | None = None,
    network: Network | None = None,
) -> Recipe:
    return recipe(
        load.load(framework),
        base_image="base:1",
        user=user,
        find_links=find_links,
        network=network or Network(),
        checkout=checkout,
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
