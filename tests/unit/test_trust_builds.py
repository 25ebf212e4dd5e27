"""What image builds reach: each part of the value that docker's words are made of is judged."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from devbox.container.up.complete import _ignore_file
from devbox.devcontainer.model import BuildRecipe
from devbox.engine.spec import BuildOptions, ImageBuild
from devbox.errors import ContractError
from devbox.trust.builds import JUDGES, of_image_build, of_proxies
from devbox.trust.names import Names, taken

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.engine.docker import Engine

BUILD = ImageBuild("{me}/Dockerfile", "{me}")
# What each part of a build must not be unasked.
REACHING: dict[str, list[Any]] = {
    "dockerfile": ["/etc/passwd", "{me}/link/x", "{me}/../x"],
    "context": ["/", "{me}/link", "https://elsewhere/x.git", "git@elsewhere:x", "-", "docker-image://x"],
    "contexts": [
        (("a", place),)
        for place in ("/etc", "{me}/link", "https://elsewhere/x.git", "git://x", "oci-layout:///etc", "target:x",
                      "docker-image:/etc", "ssh://git@elsewhere/x", "x")
    ],
    "args": [(("BUILDKIT_SYNTAX", "x"),)],
    "forwarded": [("HF_TOKEN",), ("A", "DATABASE_URL")],
    "secrets": [(("a", "/etc/passwd"),), (("a", "{me}/link/x"),)],
    "env_secrets": [(("a", "PLAIN"),)],
    "ssh": [("default",), ("a=/x.sock",)],
    "cache_from": [("type=local,src=/x",), ("type=gha",), ("type=s3,bucket=x",)],
    "cache_to": [("type=local,dest=/x",), ("elsewhere/x:1",), ("type=registry,ref=elsewhere/x:1",)],
    "outputs": [("type=registry",), ("type=local,dest=/x",), ("type=local,dest={me}/link",), ("type=image,push=true",)],
    "network": ["host", "somebodys", "container:x"],
    "options": [("--tag=x",), ("--ssh", "default"), ("--allow=security.insecure",), ("--output=/x",), ("--load",)],
}  # fmt: skip


def filled(value: Any, me: Path) -> Any:
    if isinstance(value, tuple):
        return tuple(filled(item, me) for item in value)
    return value.replace("{me}", str(me)) if isinstance(value, str) else value


def test_no_part_of_a_build_is_judged_by_nobody() -> None:
    assert JUDGES.keys() == {one.name for one in fields(ImageBuild)}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in REACHING.items() for value in values])
def test_what_a_build_reaches_is_told_unless_the_person_said_it(tmp_path: Path, key: str, value: Any) -> None:
    me = tmp_path / "me"
    me.mkdir()
    (me / "link").symlink_to("/etc")
    build = replace(BUILD, dockerfile=str(me / "Dockerfile"), context=str(me))
    assert not [*of_image_build(build, me)]
    build = replace(build, **{key: filled(value, me)})
    assert [*of_image_build(build, me)]
    if key in {one.name for one in fields(BuildOptions)}:
        given = BuildOptions(**{key: filled(value, me)})
        assert not [*of_image_build(build, me, given=given)]


def test_what_stays_in_a_build_is_not_asked_for(tmp_path: Path) -> None:
    me = str(tmp_path)
    build = ImageBuild(
        f"{me}/Dockerfile",
        me,
        args=(("BUILDKIT_SYNTAX", "docker/dockerfile:1"), ("A", "b")),
        forwarded=("HTTP_PROXY",),
        contexts=(("a", f"{me}/a"), ("b", "docker-image://x:1")),
        secrets=(("a", "/dev/null"), ("b", f"{me}/b")),
        cache_from=("elsewhere/x:1", "type=registry,ref=x"),
        outputs=(f"type=local,dest={me}/dist",),
        network="none",
        options=("--pull", f"--build-context=a={me}", "--label", "a=b"),
    )
    assert not [*of_image_build(build, tmp_path)]


@pytest.mark.parametrize(
    "name",
    [
        "devbox-vllm:cuda13-devel",
        "devbox-base:cpu-debian12",
        "docker.io/library/devbox-features:0123456789ab",
        "index.docker.io/devbox-user:1",
        "library/vsc-x-features",
    ],
)
def test_the_names_of_tools_are_asked_for_before_anybody_has_them(tmp_path: Path, name: str) -> None:
    class Nothing:
        def image(self, _: str) -> None:
            return None

        volume = network = image

        def containers(self, _: object) -> tuple[()]:
            return ()

    def of(*names: str) -> list[str]:
        asked = taken(Names("p", images=names), cast("Engine", Nothing()), tmp_path, lambda _: False)
        return [one.kind for one in asked]

    assert of(name) == ["name"]
    assert of("registry.example.com/devbox-x:1", "mine:1") == []


def test_an_ignore_file_that_is_a_link_is_not_copied_to_where_steps_can_read_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    me = tmp_path / "me"
    me.mkdir()
    recipe = BuildRecipe(me / "Dockerfile", me)
    assert _ignore_file(recipe) is None
    (me / "Dockerfile.dockerignore").symlink_to(tmp_path / "secret")
    with pytest.raises(ContractError, match="link out of its folder"):
        _ignore_file(recipe)


def test_a_proxys_password_is_asked_for_where_a_checkouts_steps_get_it() -> None:
    proxies = {"http_proxy": "http://ada:hunter2@proxy:1", "https_proxy": "http://proxy:1", "no_proxy": "localhost"}
    (one,) = of_proxies(proxies)
    assert (one.kind, one.value) == ("variable", "http_proxy")
    assert "hunter2" not in one.said
