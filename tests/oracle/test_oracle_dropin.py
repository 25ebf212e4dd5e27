"""`devbox devcontainer` beside the reference: Features, their versions and lock file, and Templates of a registry."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from devbox.devcontainer.features.ids import Artifact
from devbox.dropin.features import Versions, versions
from devbox.dropin.main import main
from tests.oracle.feature_lab import running_registry, write_feature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.oracle.feature_lab import FeatureRegistry

    Both = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureRegistry]:
    with running_registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture
def both(reference_cli: str, capfd: pytest.CaptureFixture[str]) -> Both:
    """Return what says what either program writes to stdout."""

    def call(*argv: str) -> tuple[str, str]:
        done = subprocess.run([reference_cli, *argv], capture_output=True, text=True, check=False, timeout=120)
        capfd.readouterr()
        assert main(argv) == done.returncode, capfd.readouterr().err
        return done.stdout, capfd.readouterr().out

    return call


@pytest.fixture
def workspace(registry: FeatureRegistry, tmp_path: Path) -> Path:
    """A workspace with Features of the registry, of which there are newer ones than its lock file holds."""
    for version, tags in (("1.0.0", ()), ("1.2.0", ("1", "1.2")), ("2.0.1", ("2", "latest"))):
        folder = write_feature(tmp_path / version / "one", version=version, dependsOn={f"{registry.host}/a/two": {}})
        registry.publish(folder, "a/one", version, *tags)
    folder = write_feature(tmp_path / "two", version="0.3.0", options={"x": {"type": "string", "default": "y"}})
    registry.publish(folder, "a/two", "0.3.0", "latest")
    work = tmp_path / "work"
    features: dict[str, Any] = {f"{registry.host}/a/one:1": {}, f"{registry.host}/a/two:latest": {"x": "z"}}
    (work / ".devcontainer").mkdir(parents=True)
    (work / ".devcontainer/devcontainer.json").write_text(json.dumps({"image": "debian:12", "features": features}))
    return work


def test_versions_and_the_lock_file_are_the_references(workspace: Path, registry: FeatureRegistry, both: Both) -> None:
    folder = ("--workspace-folder", str(workspace))
    lock = workspace / ".devcontainer/devcontainer-lock.json"
    theirs, ours = both("outdated", *folder, "--output-format", "json")
    assert json.loads(ours) == json.loads(theirs)
    theirs, ours = both("outdated", *folder)
    assert [line.split() for line in ours.splitlines()] == [line.split() for line in theirs.splitlines()]
    theirs, ours = both("upgrade", *folder, "--dry-run")
    assert json.loads(ours) == json.loads(theirs)
    assert not lock.exists()
    lock.write_text(ours.replace("1.2.0", "1.0.0"))
    theirs, ours = both("outdated", *folder, "--output-format", "json")
    assert json.loads(ours) == json.loads(theirs)
    assert main(["upgrade", *folder, "--feature", f"{registry.host}/a/one", "--target-version", "2"]) == 0
    assert f'"{registry.host}/a/one:2"' in (workspace / ".devcontainer/devcontainer.json").read_text()
    assert '"version": "2.0.1"' in lock.read_text()
    assert main(["upgrade", *folder, "--feature", "a", "--target-version", "new"]) == 1


def test_versions_of_what_is_gone_or_pinned_are_the_references(
    workspace: Path, registry: FeatureRegistry, both: Both
) -> None:
    pinned = registry.publish(write_feature(workspace.parent / "3/one", version="3.0.0"), "b/one", "3.0.0")
    features: dict[str, Any] = {
        f"{registry.host}/a/gone:1": {},
        f"{registry.host}/b/one@{pinned}": {},
        "./local": {},
        "git": {},
    }
    written = {"image": "debian:12", "features": features}
    (workspace / ".devcontainer/devcontainer.json").write_text(json.dumps(written))
    theirs, ours = both("outdated", "--workspace-folder", str(workspace), "--output-format", "json")
    assert json.loads(ours) == json.loads(theirs)
    assert json.loads(ours)["features"][f"{registry.host}/b/one@{pinned}"]["current"] == "3.0.0"


@pytest.mark.engine
def test_the_order_of_features_is_the_references(workspace: Path, both: Both) -> None:
    theirs, ours = both("features", "resolve-dependencies", "--workspace-folder", str(workspace))
    assert json.loads(ours[ours.index("{") :]) == json.loads(theirs[theirs.index("{") :])
    words = ("read-configuration", "--workspace-folder", str(workspace), "--include-features-configuration")
    said = [json.loads(text)["featuresConfiguration"]["featureSets"] for text in both(*words)]
    for sets in said:
        for one in sets:
            # Where either keeps it; and what the reference keeps of the registry's answer beside.
            assert one["features"][0].pop("cachePath")
            one["sourceInformation"].pop("manifest", None)
            one["sourceInformation"].pop("featureRef")
            one.pop("computedDigest", None)
    assert said[0] == said[1]


def test_what_a_registry_has_of_a_feature(workspace: Path, registry: FeatureRegistry, both: Both) -> None:
    for mode in ("manifest", "tags", "verbose"):
        theirs, ours = both("features", "info", mode, f"{registry.host}/a/one:1", "--output-format", "json")
        assert json.loads(ours) == json.loads(theirs)
    theirs, ours = both("features", "info", "manifest", f"{registry.host}/a/nothing", "--output-format", "json")


def test_a_template_is_applied(registry: FeatureRegistry, both: Both, tmp_path: Path) -> None:
    template = tmp_path / "tree"
    (template / ".devcontainer").mkdir(parents=True)
    (template / "devcontainer-template.json").write_text(
        json.dumps({"id": "tree", "version": "1.0.0", "options": {"variant": {"type": "string", "default": "12"}}})
    )
    (template / ".devcontainer/devcontainer.json").write_text('{"image": "debian:${templateOption:variant}"}')
    (template / "README.md").write_text("no")
    (template / "left.txt").write_text("${templateOption: other }")
    registry.publish(template, "t/tree", "latest")
    words = ("templates", "apply", "--template-id", f"{registry.host}/t/tree", "--omit-paths", '["left.txt"]')
    theirs, ours = both(*words, "--workspace-folder", str(tmp_path / "applied"))
    assert json.loads(ours) == json.loads(theirs) == {"files": ["./.devcontainer/devcontainer.json"]}
    words = ("templates", "apply", "--template-id", f"{registry.host}/t/tree", "--template-args", '{"other": "x"}')
    assert main([*words, "--workspace-folder", str(tmp_path / "own"), "--features", '[{"id": "a/b/c:1"}]']) == 0
    own = json.loads((tmp_path / "own/.devcontainer/devcontainer.json").read_text())
    assert own == {"image": "debian:12", "features": {"a/b/c:1": {}}}
    assert (tmp_path / "own/left.txt").read_text() == "x"
    assert not (tmp_path / "own/README.md").exists()
    (tmp_path / "link").mkdir()
    (tmp_path / "link/.devcontainer").symlink_to(tmp_path)
    assert main([*words, "--workspace-folder", str(tmp_path / "link")]) == 1
    assert not (tmp_path / "devcontainer.json").exists()


@pytest.mark.parametrize(
    ("tag", "locked", "expected"),
    [
        ("latest", None, Versions("10.0.0", "10.0.0", "10.0.0")),
        ("1", None, Versions("1.10.0", "1.10.0", "10.0.0")),
        ("1.2", "1.2.1", Versions("1.2.1", "1.2.3", "10.0.0")),
        ("3", None, Versions(None, None, "10.0.0")),
    ],
)
def test_versions_are_compared_by_their_numbers(tag: str, locked: str | None, expected: Versions) -> None:
    tags = ("1", "1.2.3", "1.10.0", "1.2.1", "10.0.0", "latest", "10")
    assert versions(Artifact("r", "a/b", tag), tags, locked) == expected
