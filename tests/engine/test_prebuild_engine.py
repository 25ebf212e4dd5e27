"""An image that was built once is what the next developer starts from: users, variables, hooks and Features arrive."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from devbox.container.prebuild import PrebuildRequest, prebuild
from devbox.container.up.complete import Wishes
from devbox.devcontainer.merge import image_metadata
from devbox.errors import EngineError, RefusedError, UsageError
from devbox.reporter import Silent
from devbox.trust.ask import Answers
from tests.engine.lab import Checkout, remove
from tests.oracle.feature_lab import running_registry, write_feature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine

DOCKERFILE = """\
FROM {image}
RUN useradd --create-home --uid 4242 dora
COPY note /note
USER dora
"""
CONTRACT: dict[str, Any] = {
    "build": {"dockerfile": "Dockerfile"},
    "features": {"./tool": {"version": "2"}},
    "containerEnv": {"COLOUR": "blue", "ODD": 'a "b" $HOME \\c', "MINE": "${localEnv:HOME}"},
    "updateRemoteUserUID": False,
    "postCreateCommand": "cat /note /installed > /tmp/done",
}


@pytest.fixture
def author(engine: Engine, base_image: str, tmp_path: Path) -> Iterator[Checkout]:
    """A checkout whose contract builds an image with a Feature; its image is removed in the end."""
    work = Checkout(tmp_path / "author", engine)
    folder = work.path / ".devcontainer"
    write_feature(folder / "tool", options={"version": {"type": "string", "default": "1"}})
    (folder / "Dockerfile").write_text(DOCKERFILE.format(image=base_image))
    (folder / "note").write_text("noted\n")
    work.write(**CONTRACT)
    yield work
    engine.run(["image", "rm", "--force", "devbox-author:prebuilt"], check=False)


def built(work: Checkout, *, answers: Answers | None = None, **wishes: Any) -> Any:
    request = PrebuildRequest(work.path, Wishes(**wishes), answers=answers or Answers(asks=False))
    return prebuild(request, work.engine, Silent())


def test_a_contract_that_names_it_starts_from_it(
    author: Checkout, reference_cli: str, tmp_path: Path, engine_name: Callable[[str], str]
) -> None:
    made = built(author, labels=(("owner", "me"),))
    assert made.images == ("devbox-author:prebuilt",)
    inspected = author.engine.image(made.images[0])
    assert inspected is not None
    labels = inspected["Config"]["Labels"]
    assert labels["owner"] == "me"
    # Who starts it without a tool has what holds for everybody, and nothing of the builder's.
    known = dict(one.split("=", 1) for one in inspected["Config"]["Env"])
    assert (known["COLOUR"], known["ODD"]) == ("blue", 'a "b" $HOME \\c')
    assert "MINE" not in known
    assert tuple(image_metadata(labels)) == made.metadata

    theirs = reference_label(author, reference_cli, tmp_path / "scratch", engine_name("reference"))
    assert json.loads(labels["devcontainer.metadata"]) == theirs

    other = Checkout(tmp_path / "other", author.engine, made.images[0])
    other.path.mkdir()
    other.write()
    try:
        container = other.up().container
        assert other.inside(container, "cat", "/tmp/done") == "noted\ntool 2 dora /home/dora dora\n"
        assert other.inside(container, "printenv", "COLOUR") == "blue\n"
        assert other.reference(reference_cli)["containerId"] == container
        assert other.reference(reference_cli)["remoteUser"] == "dora"
    finally:
        remove(author.engine, other.path)


def reference_label(work: Checkout, cli: str, scratch: Path, tag: str) -> Any:
    """Return the label that `build` of the reference CLI gives the image of a checkout."""
    manifest = scratch / f"devcontainercli-{getpass.getuser()}/control-manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text('{"disallowedFeatures":[],"featureAdvisories":[]}')
    argv = [cli, "build", "--workspace-folder", str(work.path), "--image-name", tag]
    subprocess.run(argv, env={**os.environ, "TMPDIR": str(scratch)}, check=True, capture_output=True)
    inspected = work.engine.image(tag)
    work.engine.run(["image", "rm", tag])
    assert inspected is not None
    return json.loads(inspected["Config"]["Labels"]["devcontainer.metadata"])


def test_it_is_pushed_and_started_from_where_nobody_has_it(author: Checkout, tmp_path: Path) -> None:
    with running_registry(tmp_path / "registry") as registry:
        name = f"{registry.host}/team/dev:1"
        assert built(author, tags=(name,), push=True).images == (name,)
        author.engine.run(["image", "rm", "--force", name], check=False)
        other = Checkout(tmp_path / "other", author.engine, name)
        other.path.mkdir()
        other.write()
        try:
            assert other.inside(other.up().container, "cat", "/note") == "noted\n"
        finally:
            remove(author.engine, other.path)
            author.engine.run(["image", "rm", "--force", name], check=False)


def test_what_the_build_reaches_is_asked_for_and_nothing_else(author: Checkout) -> None:
    author.write(**{**CONTRACT, "runArgs": ["--privileged"], "mounts": ["type=bind,source=/,target=/host"]})
    assert built(author, answers=Answers(asks=False, dry_run=True)).notes == ()
    author.write(**{**CONTRACT, "build": {"dockerfile": "Dockerfile", "options": ["--network=host"]}})
    with pytest.raises(RefusedError):
        built(author)


def test_what_the_builder_cannot_do_is_said_before_anything_is_built(author: Checkout) -> None:
    for wishes in ({"cache_to": ("type=registry,ref=localhost/a:c",)}, {"platforms": ("linux/amd64", "linux/arm64")}):
        with pytest.raises(EngineError, match="cannot"):
            built(author, **wishes)
    with pytest.raises(EngineError, match="no builder other"):
        built(author, builder="other", outputs=("type=image",))


def test_a_dry_run_prints_the_build_and_builds_nothing(author: Checkout) -> None:
    made = built(author, answers=Answers(asks=False, dry_run=True), platforms=("linux/arm64",))
    (*_, line) = made.steps_to_do[-1].lines
    assert "--platform linux/arm64" in line
    assert author.engine.image(made.images[0]) is None


def test_an_image_is_not_built_upon_itself(author: Checkout) -> None:
    author.write(image="team/dev:1", postCreateCommand="once")
    with pytest.raises(UsageError, match="starts from team/dev:1 itself"):
        built(author, tags=("team/dev:1",))


def test_a_push_needs_a_name(author: Checkout) -> None:
    with pytest.raises(UsageError):
        built(author, push=True)
