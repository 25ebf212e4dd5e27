"""Features, against the reference CLI: the same order, options, metadata, lock file and image."""

from __future__ import annotations

import getpass
import json
import os
import random
import subprocess
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from devbox import config
from devbox.container.up.apply import Journal, apply
from devbox.container.up.feature_layer import resolve, with_features
from devbox.container.up.images import image_of
from devbox.devcontainer.features.lock import lock_path
from devbox.devcontainer.merge import image_metadata, merge
from devbox.devcontainer.read import read
from devbox.engine.docker import Engine
from devbox.errors import ContractError, DriftError
from devbox.image.base.package import reference
from devbox.image.registry.client import RegistryError
from devbox.reporter import Silent
from tests.oracle.feature_lab import (
    PASSWORD,
    USER,
    FeatureRegistry,
    archive,
    running_registry,
    running_server,
    write_feature,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from devbox.devcontainer.features.order import Feature
    from devbox.devcontainer.model import Contract

# The reference CLI, too, asks the engine about the image.
pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("base_image")]

IMAGE = reference(None, "debian:12")


class Workspace:
    """A folder with a contract, read by both tools."""

    def __init__(self, folder: Path, reference_cli: str) -> None:
        self.folder = folder
        self.cli = reference_cli
        self.path = folder / ".devcontainer/devcontainer.json"
        self.path.parent.mkdir(parents=True)
        self.scratch = folder.with_name(f"{folder.name}-scratch")
        manifest = self.scratch / f"devcontainercli-{getpass.getuser()}" / "control-manifest.json"
        manifest.parent.mkdir(parents=True)
        # With it there the reference does not ask for one.
        manifest.write_text('{"disallowedFeatures":[],"featureAdvisories":[]}')

    def write(self, **contract: Any) -> None:
        self.path.write_text(json.dumps({"image": IMAGE, **contract}))

    def contract(self) -> Contract:
        return read(self.path, self.folder, os.environ)

    def reference(self, command: str, *args: str, **environ: str) -> Any:
        """Return what the reference CLI answers, None where it fails."""
        done = subprocess.run(
            [self.cli, command, "--workspace-folder", str(self.folder), *args],
            env={**os.environ, "TMPDIR": str(self.scratch), **environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        try:
            answer = json.loads(done.stdout.splitlines()[-1])
        except (IndexError, ValueError):
            return None
        return None if answer.get("outcome") == "error" else answer

    def theirs(self, **environ: str) -> list[tuple[str, Any]] | None:
        """Return identifiers and options in the order of the reference."""
        answer = self.reference(
            "read-configuration", "--include-features-configuration", "--docker-path", "true", **environ
        )
        if answer is None:
            return None
        sets = answer["featuresConfiguration"]["featureSets"]
        return [(one["sourceInformation"]["userFeatureId"], one["features"][0]["value"]) for one in sets]

    def ours(self, warnings: list[str] | None = None, *, pull: bool = False, **environ: str) -> tuple[Feature, ...]:
        engine = Engine(environ={**os.environ, **environ})
        settings = config.load(self.folder, environ=engine.environ, flags={})
        said: list[str] = [] if warnings is None else warnings
        features, locking = resolve(engine, self.contract(), settings, said.append, pull=pull)
        apply(engine, locking, Silent())
        return features


def in_order(features: tuple[Feature, ...]) -> list[tuple[str, Any]]:
    return [(feature.identifier, feature.value) for feature in features]


@pytest.fixture
def workspace(tmp_path: Path, reference_cli: str) -> Workspace:
    return Workspace(tmp_path / "work", reference_cli)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureRegistry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureRegistry]:
    with running_registry(tmp_path_factory.mktemp("secured"), secured=True) as running:
        yield running


def random_value(random_: random.Random) -> Any:
    return random_.choice([{}, {}, "1", "2", {"version": "1"}, {"version": "2", "b": True}, {"b": False}, {"c": "x"}])


def random_graph(random_: random.Random, names: list[str]) -> dict[str, dict[str, Any]]:
    """Return the metadata of Features that depend on each other, now and then in a circle."""
    graph: dict[str, dict[str, Any]] = {}
    for index, name in enumerate(names):
        later = names[index + 1 :] or names
        graph[name] = {
            "dependsOn": {one: random_value(random_) for one in random_.sample(later, random_.choice([0, 0, 1]))},
            "installsAfter": random_.sample(names if random_.random() < 0.1 else later, random_.choice([0, 1])),
            "options": {"version": {"type": "string", "default": "0"}, "b": {"type": "boolean", "default": True}},
        }
    return graph


@pytest.mark.parametrize("seed", range(8))
def test_features_of_the_checkout_have_the_order_of_the_reference(seed: int, workspace: Workspace) -> None:
    random_ = random.Random(seed)
    names = random_.sample(["./alpha", "./Beta", "./b-c", "./b_c", "./bc", "./delta1", "./delta-1"], 6)
    for name, metadata in random_graph(random_, names).items():
        write_feature(workspace.path.parent / name, **metadata)
    wanted = {name: random_value(random_) for name in random_.sample(names, 4)}
    override = random_.sample(names, random_.choice([0, 2]))
    workspace.write(features=wanted, overrideFeatureInstallOrder=override)
    theirs = workspace.theirs()
    if theirs is None:
        with pytest.raises(ContractError, match="in a circle"):
            workspace.ours()
    else:
        assert in_order(workspace.ours()) == theirs
    assert not lock_path(workspace.path).exists(), "there is nothing to hold"


def publish_graph(registry: FeatureRegistry, folder: Path, space: str, random_: random.Random) -> list[str]:
    """Publish Features that depend on each other, each in two versions, and return their identifiers."""
    names = ["alpha", "b-c", "bc", "delta", "eps"]
    full = {name: f"{registry.host}/{space}/{name}" for name in names}
    graph = random_graph(random_, names)
    for name in names:
        metadata = graph[name]
        metadata["dependsOn"] = {
            random_.choice([full[one], f"{full[one]}:1"]): value for one, value in metadata["dependsOn"].items()
        }
        metadata["installsAfter"] = [full[one] for one in metadata["installsAfter"]]
        for version, tags in (("1.0.0", ("1", "1.0.0")), ("2.0.0", ("2", "2.0.0", "latest"))):
            made = write_feature(folder / version / name, **{**metadata, "version": version})
            registry.publish(made, f"{space}/{name}", *tags, annotated=random_.random() < 0.8)
    return list(full.values())


@pytest.mark.parametrize("seed", range(6))
def test_published_features_have_order_and_lock_file_of_the_reference(
    seed: int, workspace: Workspace, registry: FeatureRegistry, tmp_path: Path
) -> None:
    random_ = random.Random(seed)
    names = publish_graph(registry, tmp_path / "published", f"seed{seed}/features", random_)
    tags = ["", ":1", ":2", ":1.0.0", ":latest"]
    wanted = {f"{name}{random_.choice(tags)}": random_value(random_) for name in random_.sample(names, 3)}
    wanted[f"{names[0]}:2.0.0"] = {}
    workspace.write(features=wanted, overrideFeatureInstallOrder=random_.sample(names, 2))
    lock = lock_path(workspace.path)
    theirs = workspace.theirs()
    if theirs is None:
        with pytest.raises(ContractError, match="in a circle"):
            workspace.ours()
        return
    ours = workspace.ours()
    assert in_order(ours) == theirs
    written = lock.read_bytes()
    lock.unlink()
    workspace.reference("upgrade", "--docker-path", "true")
    assert lock.read_bytes() == written


def test_the_lock_file_holds_a_feature_where_its_tag_has_moved(
    workspace: Workspace, registry: FeatureRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "moving/features/one"
    identifier = f"{registry.host}/{name}:1"
    first = registry.publish(write_feature(tmp_path / "a/one", version="1.0.0"), name, "1")
    workspace.write(features={identifier: {}})
    assert [feature.digest for feature in workspace.ours()] == [first]
    held = lock_path(workspace.path).read_text()
    second = registry.publish(write_feature(tmp_path / "b/one", version="1.1.0"), name, "1")
    # A cache that knows nothing: what counts is the lock file.
    monkeypatch.setenv("DEVBOX_CACHE_DIR", str(tmp_path / "another cache"))
    assert [feature.digest for feature in workspace.ours()] == [first]
    assert lock_path(workspace.path).read_text() == held
    lock_path(workspace.path).unlink()
    with pytest.raises(DriftError, match="is not there"):
        workspace.ours(DEVBOX_FEATURES_LOCK="frozen")
    monkeypatch.setenv("DEVBOX_CACHE_DIR", str(tmp_path / "a third cache"))
    assert [feature.digest for feature in workspace.ours(DEVBOX_FEATURES_LOCK="off")] == [second]
    assert not lock_path(workspace.path).exists()
    lock_path(workspace.path).write_text(held)
    assert [feature.digest for feature in workspace.ours(DEVBOX_FEATURES_LOCK="frozen")] == [first]
    workspace.write(features={identifier: {}, f"{registry.host}/{name}": {}})
    registry.publish(tmp_path / "b/one", name, "latest")
    with pytest.raises(DriftError, match="does not fit"):
        workspace.ours(DEVBOX_FEATURES_LOCK="frozen")


def test_a_tag_is_looked_up_once_and_again_where_newer_ones_are_asked_for(workspace: Workspace, tmp_path: Path) -> None:
    ours = partial(workspace.ours, DEVBOX_FEATURES_LOCK="off")
    with running_registry(tmp_path / "registry") as registry:
        workspace.write(features={f"{registry.host}/a/b/one:1": {}})
        first = registry.publish(write_feature(tmp_path / "a/one", version="1.0.0"), "a/b/one", "1")
        assert [feature.digest for feature in ours()] == [first]
        second = registry.publish(write_feature(tmp_path / "b/one", version="1.1.0"), "a/b/one", "1")
        assert [feature.digest for feature in ours()] == [first]
        assert [feature.digest for feature in ours(pull=True)] == [second]
        assert [feature.digest for feature in ours()] == [second]
    warnings: list[str] = []
    assert [feature.digest for feature in ours(warnings, pull=True)] == [second]
    assert f"no newer {registry.host}/a/b/one:1 could be had" in warnings[0]


def test_an_archive_on_a_server(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "devcontainer-feature-packed.tgz"
    served = tmp_path / "served"
    served.mkdir()
    (served / name).write_bytes(archive(write_feature(tmp_path / "packed", dependsOn={"./own": {}})))
    write_feature(workspace.path.parent / "own")
    with running_server(served, tmp_path) as (port, certificate):
        identifier = f"https://localhost:{port}/{name}"
        workspace.write(features={identifier: {"version": "1"}})
        with pytest.raises(RegistryError, match="CERTIFICATE_VERIFY_FAILED"):
            workspace.ours()
        trusted = partial(workspace.ours, DEVBOX_CA_BUNDLE=str(certificate))
        ours = trusted()
        lock = lock_path(workspace.path)
        written = lock.read_bytes()
        node = {"NODE_EXTRA_CA_CERTS": str(certificate)}
        assert in_order(ours) == workspace.theirs(**node)
        lock.unlink()
        workspace.reference("upgrade", "--docker-path", "true", **node)
        assert lock.read_bytes() == written
        (served / name).write_bytes(archive(write_feature(tmp_path / "packed", version="2.0.0")))
        # What is cached is not asked for again; where it is gone, other content is refused.
        assert workspace.ours() == ours
        monkeypatch.setenv("DEVBOX_CACHE_DIR", str(tmp_path / "another cache"))
        with pytest.raises(ContractError, match=r"is not what .* holds it at"):
            trusted()
        lock.unlink()
        assert [feature.metadata.version for feature in trusted()] == ["2.0.0"]


def test_what_was_fetched_once_needs_no_network(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_registry(tmp_path / "registry") as registry:
        one, two = f"{registry.host}/a/b/one:1", f"{registry.host}/a/b/two"
        registry.publish(write_feature(tmp_path / "one", dependsOn={two: {}}), "a/b/one", "1")
        registry.publish(write_feature(tmp_path / "two"), "a/b/two", "latest")
        workspace.write(features={one: {}})
        first = workspace.ours()
    # The registry is gone. With or without the lock file, both are known.
    assert workspace.ours() == first
    lock_path(workspace.path).unlink()
    assert workspace.ours() == first
    monkeypatch.setenv("DEVBOX_CACHE_DIR", str(tmp_path / "another cache"))
    with pytest.raises(RegistryError, match=f"Could not resolve Feature '{one}': {registry.host} cannot be reached"):
        workspace.ours()


def test_a_private_registry(
    workspace: Workspace, secured: FeatureRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identifier = f"{secured.host}/private/features/one:1"
    digest = secured.publish(write_feature(tmp_path / "one"), "private/features/one", "1")
    workspace.write(features={identifier: {}})
    docker = tmp_path / "docker"
    docker.mkdir()
    with pytest.raises(RegistryError, match="does not let you read") as caught:
        workspace.ours(DOCKER_CONFIG=str(docker))
    assert caught.value.hint == f"docker login {secured.host}"
    (docker / "config.json").write_text(json.dumps(secured.login))
    assert [feature.digest for feature in workspace.ours(DOCKER_CONFIG=str(docker))] == [digest]
    # A credential helper, for a cache that knows nothing yet.
    monkeypatch.setenv("DEVBOX_CACHE_DIR", str(tmp_path / "another cache"))
    helper = docker / "docker-credential-devbox-test"
    answer = json.dumps({"ServerURL": secured.host, "Username": USER, "Secret": PASSWORD})
    helper.write_text(f"#!/bin/sh\ncat > {docker}/asked\necho '{answer}'\n")
    helper.chmod(0o755)
    (docker / "config.json").write_text('{"credsStore": "devbox-test"}')
    monkeypatch.setenv("PATH", f"{docker}{os.pathsep}{os.environ['PATH']}")
    assert [feature.digest for feature in workspace.ours(DOCKER_CONFIG=str(docker))] == [digest]
    assert (docker / "asked").read_text() == secured.host


def test_the_image_is_the_references(
    workspace: Workspace,
    registry: FeatureRegistry,
    engine: Engine,
    engine_name: Callable[[str], str],
    tmp_path: Path,
) -> None:
    beside = workspace.path.parent
    remote = f"{registry.host}/built/features/remote:1"
    more = write_feature(tmp_path / "remote", init=True, containerEnv={"REMOTE": 'a "b" \\c', "PATH": "/r:${PATH}"})
    registry.publish(more, "built/features/remote", "1")
    write_feature(
        beside / "local",
        dependsOn={remote: {}},
        options={"version": {"type": "string", "default": "9"}},
        containerEnv={"LOCAL": "$REMOTE!"},
        capAdd=["SYS_PTRACE"],
        securityOpt=["seccomp=unconfined"],
        entrypoint="/bin/true",
        mounts=[{"type": "volume", "source": "v-${devcontainerId}", "target": "/v"}],
        customizations={"vscode": {"extensions": ["a.b"], "settings": {"price": "5 $"}}},
        postCreateCommand="true",
        postStartCommand={"a": "true", "b": ["true"]},
    )
    script = "#!/bin/sh\nenv | grep -E '^(SAID|ON|_[RC])' | sort >> /installed\n"
    options = {"said": {"type": "string"}, "on": {"type": "boolean", "default": False}}
    write_feature(beside / "plain", script, options=options)
    workspace.write(
        features={"./plain": {"said": "it's $HOME"}, "./local": "3"},
        overrideFeatureInstallOrder=["./plain"],
        remoteUser="games",
        postCreateCommand="echo own",
    )
    contract = workspace.contract()
    base = image_of(IMAGE, engine.image(IMAGE) or {}, "")
    planned = Journal(engine, Silent(), dry_run=True)
    dry = with_features(planned, contract, base, environ={})
    ours = with_features(Journal(engine, Silent()), contract, base, environ={})
    written = lock_path(workspace.path).read_bytes()
    lock_path(workspace.path).unlink()
    name = engine_name("features")
    theirs = None
    try:
        assert workspace.reference("build", "--image-name", name) is not None
        theirs = image_of(name, engine.image(name) or {}, "")

        def inside(image: str) -> str:
            return engine.run(["run", "--rm", image, "cat", "/installed"]).stdout

        assert inside(ours.reference) == inside(name)
        assert "SAID=it's /root" in inside(name)
        assert sorted(ours.config["Env"]) == sorted(theirs.config["Env"])
        assert (ours.config.get("User") or "root") == (theirs.config.get("User") or "root")
        assert lock_path(workspace.path).read_bytes() == written
        # The reference's image has the contract's own entry too; devbox adds that to the container.
        entries = image_metadata(theirs.config["Labels"])
        merged = merge(contract, image_metadata(ours.config["Labels"]), ours.config, os.environ)
        assert list(merged.metadata) == entries
        assert (dry.reference, image_metadata(dry.config["Labels"])) == (ours.reference, entries[:-1])
        assert [step.title for step in planned.steps if "docker" in step.lines[0]] == [
            "Installing Features: plain, remote, local"
        ]
        there = Journal(engine, Silent(), dry_run=True)
        again = with_features(there, contract, base, environ={})
        assert (again, [step for step in there.steps if "docker" in step.lines[0]]) == (ours, [])
    finally:
        engine.run(["image", "rm", "--force", ours.reference, name], check=False)
