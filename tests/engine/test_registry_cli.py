"""Tags, resolution, push, pull, manifests and locks by the command line, with a real registry that wants a password."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devbox.cli.app import run
from devbox.image.base import lock
from tests.git import git
from tests.oracle.feature_lab import PASSWORD, USER, running_registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine

FRAMEWORK = """\
title = "A tree with prebuilt images"
source = "https://localhost/tree"
default_variant = "cpu"
workspace_path = "/workspaces/tree"
stages = ["toolchain", "devel-cuda", "user"]
base_image = "{host}/base:1"
gpu = false

[detect]
all = ["CMakeLists.txt", "ci.properties"]
weight = 99

[build]
driver = "cmake"

[[prebuilt]]
stage = "devel"
reference = "{{key}}"
file = ["gone.groovy", "ci.properties"]
key = "DEVEL_IMAGE"
why = "named by CI"

[[prebuilt]]
stage = "devel"
reference = "{host}/release:{{version}}"
why = "the release of a tag"

[[prebuilt]]
stage = "devel"
reference = "{host}/nightly:nightly-{{commit}}"
back = 10
why = "the nightly of a commit"

[[prebuilt]]
stage = "test"
reference = "{host}/dev:dev-*-{{short}}"
back = 10
why = "the dated build of a commit"

[variants.cpu]
package_base = "cpu"
cuda = ""
default_arch = ""
"""


@dataclass(frozen=True)
class Lab:
    """A registry, a checkout, and the command line."""

    host: str
    folder: Path
    tree: Path
    engine: Engine
    capture: pytest.CaptureFixture[str]

    def devbox(self, *args: str, code: int = 0) -> str:
        """Run `devbox image ARGS` in the checkout and return its stdout; stderr is kept in `said`."""
        self.capture.readouterr()
        assert run(["image", *args]) == code, self.capture.readouterr().err
        written = self.capture.readouterr()
        (self.folder / "said").write_text(written.err)
        return written.out.strip()

    @property
    def said(self) -> str:
        return (self.folder / "said").read_text()

    def data(self, *args: str) -> Any:
        return json.loads(self.devbox(*args, "--json"))["data"]

    def image(self, name: str, content: str = "", *, platform: str = "linux/amd64", epoch: int = 0) -> str:
        """Build a tiny image on the engine and return its name at the registry."""
        context = self.folder / "context"
        context.mkdir(exist_ok=True)
        (context / "content").write_text(content or name)
        (context / "Dockerfile").write_text("FROM scratch\nCOPY content /content\n")
        reference = f"{self.host}/{name}"
        words = ["--load", "--provenance=false", "--platform", platform, "--tag", reference]
        dated = ["--build-arg", f"SOURCE_DATE_EPOCH={epoch}"] if epoch else []
        self.engine.run(["buildx", "build", *words, *dated, str(context)])
        return reference

    def publish(self, name: str, content: str = "", *, platform: str = "linux/amd64", epoch: int = 0) -> str:
        """Push a tiny image, take it off the engine, and return its name."""
        reference = self.image(name, content, platform=platform, epoch=epoch)
        self.engine.run(["push", reference])
        self.forget(reference)
        return reference

    def forget(self, *references: str) -> None:
        self.engine.run(["image", "rm", "--force", *references])

    def commit(self, message: str) -> str:
        git(self.tree, "commit", "--quiet", "--allow-empty", "--message", message)
        return git(self.tree, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Iterator[str]:
    with running_registry(tmp_path_factory.mktemp("registry"), secured=True) as registry:
        yield registry.host
        for sign, field in ((":", "Tag"), ("@", "Digest")):
            there = engine.run(["image", "ls", "--digests", "--format", f"{{{{.Repository}}}}{sign}{{{{.{field}}}}}"])
            for name in set(there.stdout.split()):
                if name.startswith(f"{registry.host}/") and not name.endswith("<none>"):
                    engine.run(["image", "rm", "--force", name], check=False)


@pytest.fixture
def lab(
    host: str, tmp_path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Lab:
    """A checkout of a framework whose images are in the registry, in a name space of this test's own."""
    docker = tmp_path / "docker"
    docker.mkdir()
    plugins = Path.home() / ".docker/cli-plugins"
    if plugins.is_dir():
        (docker / "cli-plugins").symlink_to(plugins)
    monkeypatch.setenv("DOCKER_CONFIG", str(docker))
    engine.run(["login", "--username", USER, "--password-stdin", host], input_text=PASSWORD)
    tree = tmp_path / "tree"
    tree.mkdir()
    space = f"{host}/{tmp_path.name.replace('_', '-')}".lower()
    frameworks = Path(os.environ["DEVBOX_CONFIG_DIR"], "frameworks")
    frameworks.mkdir(parents=True)
    (frameworks / "tree.toml").write_text(FRAMEWORK.format(host=space))
    (tree / "CMakeLists.txt").write_text("project(tree LANGUAGES CXX)\n")
    (tree / "ci.properties").write_text(f"DEVEL_IMAGE={space}/ci:gone\n")
    git(tree, "init", "--quiet", "--initial-branch=main", ".")
    git(tree, "add", "--all")
    monkeypatch.chdir(tree)
    monkeypatch.setenv("PWD", str(tree))
    return Lab(space, tmp_path, tree, engine, capsys)


def test_push_and_pull_with_a_password(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    reference = lab.image("app:1")
    assert lab.devbox("push", reference, "--dry-run") == f"docker push {reference}"
    pushed = lab.devbox("push", reference)
    assert pushed.startswith(f"{reference}@sha256:")
    lab.forget(reference)
    assert lab.devbox("pull", reference) == reference
    assert lab.engine.image(reference) is not None
    assert lab.data("pull", pushed)["pulled"] is True
    monkeypatch.setenv("DOCKER_CONFIG", str(lab.folder / "nobody"))
    registry = lab.host.partition("/")[0]
    for command in (["push", reference], ["pull", f"{lab.host}/app:2"], ["tags", f"{lab.host}/app"]):
        lab.devbox(*command, code=3)
        assert f"hint: docker login {registry}\n" in lab.said
    assert PASSWORD not in lab.said


def test_a_staging_name_leaves_the_other_alone(lab: Lab) -> None:
    reference = lab.image("product:1")
    staged = f"{lab.host}/product-staging:1"
    rule = ("--rewrite", "/product:=/product-staging:")
    assert lab.devbox("push", reference, *rule, "--dry-run") == f"docker tag {reference} {staged}\ndocker push {staged}"
    assert lab.devbox("push", reference, *rule).startswith(f"{staged}@sha256:")
    # As a setting of the team, which one push may go without.
    (lab.tree / "devbox.toml").write_text('push_rewrite = ["/product:=/product-staging:"]\n')
    assert lab.devbox("push", reference, "--dry-run").endswith(f"docker push {staged}")
    assert "needs your consent (--trust): pushes images under other names" in lab.said
    lab.devbox("push", reference, code=5)
    assert "hint: devbox image push --trust" in lab.said
    assert lab.devbox("push", reference, "--trust").startswith(f"{staged}@sha256:")
    assert lab.devbox("push", reference, "--dry-run", "--no-rewrite") == f"docker push {reference}"
    lab.devbox("push", f"{lab.host}/another:1", "--dry-run", code=2)
    assert "--no-rewrite" in lab.said
    lab.devbox("tags", f"{lab.host}/product", code=3)
    assert "has no" in lab.said
    lab.devbox("push", "devbox-nothing:1", code=2)
    lab.devbox("push", f"{lab.host}/nothing:1", "--no-rewrite", code=3)
    assert "is not on the engine" in lab.said


def test_tags_newest_first(lab: Lab) -> None:
    names = {"v0.9.0": 300, "v0.10.0": 100, "v0.10.0rc1": 200, "nightly-20260801": 500, "latest": 400}
    for name, day in names.items():
        lab.publish(f"many:{name}", epoch=1_700_000_000 + day * 86_400)
    repository = f"{lab.host}/many"
    found = lab.data("tags", repository)["repositories"][0]
    assert [tag["name"] for tag in found["tags"]] == ["nightly-20260801", "v0.10.0", "v0.10.0rc1", "v0.9.0", "latest"]
    found = lab.data("tags", repository, "--created", "--limit", "3")["repositories"][0]
    assert [tag["name"] for tag in found["tags"]] == ["nightly-20260801", "latest", "v0.9.0"]
    assert (found["matching"], found["total"]) == (5, 5)
    lines = lab.devbox("tags", repository, "--filter", "v0.10*").splitlines()
    assert [line.split()[0] for line in lines] == ["TAG", "v0.10.0", "v0.10.0rc1"]


def test_the_image_of_a_commit(lab: Lab) -> None:
    shas = [lab.commit(str(number)) for number in range(4)]
    nightly = lab.publish(f"nightly:nightly-{shas[1]}")
    dated = lab.publish(f"dev:dev-20260801-{shas[0][:8]}")
    assert lab.devbox("tags", "--ref", "HEAD") == nightly
    assert "2 commits before" in lab.said
    assert lab.devbox("tags", "--ref", shas[1]) == nightly
    assert lab.devbox("tags", "--ref", shas[0]) == dated
    assert lab.devbox("tags", f"{lab.host}/nightly", "--ref", "HEAD") == nightly
    lab.devbox("tags", "--ref", "HEAD", "--back", "1", code=3)
    assert lab.engine.image(nightly) is None
    assert lab.devbox("pull", "--ref", "HEAD") == nightly
    assert lab.engine.image(nightly) is not None
    lab.devbox("pull", "--ref", "nosuch", code=2)


def test_candidates_are_looked_for_in_order(lab: Lab) -> None:
    lab.commit("released")
    git(lab.tree, "tag", "v1.0.0")
    head = lab.commit("after it")
    lab.devbox("resolve", code=3)
    assert "hint: devbox image build devel" in lab.said
    lab.devbox("resolve", "--stage", "nosuch", code=2)
    lab.devbox("pull", "--stage", "nosuch", code=2)
    assert "--target devel --tag devbox-tree:cpu-devel" in lab.devbox("pull", "--build", "--dry-run")
    nightly = lab.publish(f"nightly:nightly-{head}")
    assert lab.devbox("resolve") == nightly
    assert f"- {lab.host}/ci:gone  (named by CI): it is not published" in lab.said
    # One that is for another machine does not count; one that is nearer to the top does.
    lab.publish("release:1.0.0", platform="linux/arm64")
    assert lab.devbox("resolve") == nightly
    assert "it is for linux/arm64 alone" in lab.said
    release = lab.publish("release:1.0.0")
    found = lab.data("resolve", "--all")
    assert found["chosen"]["reference"] == release
    assert [item["state"] for item in found["tried"]] == ["missing", "registry", "registry", "missing"]
    assert found["chosen"]["size"] > 0
    named = lab.publish("ci:here")
    (lab.tree / "ci.properties").write_text(f"DEVEL_IMAGE={named}\n")
    assert lab.devbox("pull", "--stage", "devel", "--dry-run") == f"docker pull {named}"
    assert lab.devbox("pull") == named
    assert lab.data("resolve")["chosen"]["state"] == "local"


def test_a_registry_that_is_out_of_reach_is_an_outcome(lab: Lab) -> None:
    nightly = lab.publish(f"nightly:nightly-{lab.commit('one')}")
    (lab.tree / "ci.properties").write_text("DEVEL_IMAGE=localhost:1/ci:1\n")
    assert lab.devbox("resolve") == nightly
    assert "localhost:1 cannot be reached" in lab.said


def test_one_name_for_two_platforms(lab: Lab) -> None:
    name = f"{lab.host}/both:1"
    members = [lab.image(f"both:1-{arch}", arch, platform=f"linux/{arch}") for arch in ("amd64", "arm64")]
    create = f"docker buildx imagetools create --tag {name} {' '.join(members)}"
    assert lab.devbox("manifest", "push", name, "--dry-run").splitlines() == [
        *(f"docker push {member}" for member in members),
        create,
    ]
    assert lab.devbox("manifest", "create", name, "--dry-run") == create
    lab.devbox("manifest", "create", name, code=3)
    made = lab.data("manifest", "push", name)
    assert [platform["name"] for platform in made["platforms"]] == ["linux/amd64", "linux/arm64"]
    assert lab.data("manifest", "show", name) == made
    lab.forget(*members)
    for arch in ("arm64", "amd64"):
        lab.engine.run(["pull", "--quiet", "--platform", f"linux/{arch}", name])
        assert (lab.engine.image(name) or {})["Architecture"] == arch
    lab.devbox("manifest", "create", f"{lab.host}/both:2", members[0], members[0], code=3)
    assert "are both for linux/amd64" in lab.said


def test_a_locked_base_image_stays_what_it_was(lab: Lab) -> None:
    reference = f"{lab.host}/base:1"
    lab.publish("base:1", "before")
    file = Path(lab.devbox("lock"))
    assert file == lab.tree / "devbox.lock"
    pinned = lock.locked(reference, lab.tree)
    assert pinned.startswith(f"{reference}@sha256:")
    lab.devbox("lock", "--check")
    lab.publish("base:1", "after")
    lab.devbox("lock", "--check", code=8)
    assert "hint: devbox image lock --update" in lab.said
    assert lab.data("lock")["changed"] is False
    # The contract, and what is built from it, start from the old one.
    assert run(["generate"]) == 0
    contract = json.loads((lab.tree / ".devcontainer/devcontainer.json").read_text())
    assert contract["build"]["args"]["BASE_IMAGE"] == pinned
    out = lab.folder / "out"
    text = f"FROM {pinned} AS base\nFROM scratch\nCOPY --from=base /content /\n"
    lab.engine.run(["buildx", "build", "--output", f"type=local,dest={out}", "--file", "-", "."], input_text=text)
    assert (out / "content").read_text() == "before"
    # A newer lock makes another contract, without being asked for.
    assert lab.data("lock", "--update")["changed"] is True
    assert run(["generate"]) == 0
    contract = json.loads((lab.tree / ".devcontainer/devcontainer.json").read_text())
    assert contract["build"]["args"]["BASE_IMAGE"] == lock.locked(reference, lab.tree) != pinned
    file.write_text("[images]\nx = 1\n")
    lab.devbox("lock", code=2)
    assert f"{file}: 'images.x' must be a digest" in lab.said
