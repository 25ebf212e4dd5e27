"""What identifiers of Features refer to, and the errors for those that refer to nothing."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devbox.devcontainer.features.ids import Archive, Artifact, Local, migrated, modern, parse
from devbox.errors import ContractError

WORKSPACE = Path("/w")
CONTRACT = WORKSPACE / ".devcontainer/devcontainer.json"
DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("identifier", "reference"),
    [
        ("ghcr.io/user/repo/go", Artifact("ghcr.io", "user/repo/go", "latest")),
        ("ghcr.io/user/repo/go:1", Artifact("ghcr.io", "user/repo/go", "1")),
        ("ghcr.io/user/repo/go:1.2.3", Artifact("ghcr.io", "user/repo/go", "1.2.3")),
        ("GHCR.io/User/Repo/Go:Latest", Artifact("ghcr.io", "user/repo/go", "latest")),
        (f"ghcr.io/user/repo/go@{DIGEST}", Artifact("ghcr.io", "user/repo/go", None, DIGEST)),
        ("localhost:5000/a/go", Artifact("localhost:5000", "a/go", "latest")),
        ("localhost:5000/a/go:2", Artifact("localhost:5000", "a/go", "2")),
        ("localhost/a/go", Artifact("localhost", "a/go", "latest")),
        ("registry:5000/a/go", Artifact("registry:5000", "a/go", "latest")),
        ("ghcr.io/devcontainers-contrib/x/y:1", Artifact("ghcr.io", "devcontainers-extra/x/y", "1")),
        ("node", Artifact("ghcr.io", "devcontainers/features/node", "1")),
        ("golang", Artifact("ghcr.io", "devcontainers/features/go", "1")),
        ("./go", Local(WORKSPACE / ".devcontainer/go")),
        ("./features/../go/", Local(WORKSPACE / ".devcontainer/go")),
        (
            "https://x.org/r/devcontainer-feature-go.tgz?token=1",
            Archive("https://x.org/r/devcontainer-feature-go.tgz?token=1", "go"),
        ),
        (
            "./devcontainer-feature-go.tgz",
            Archive(str(WORKSPACE / ".devcontainer/devcontainer-feature-go.tgz"), "go"),
        ),
        ("User/repo/Go", Archive("https://github.com/User/repo/releases/latest/download/Go.tgz", "Go", released=True)),
        ("u/r/go@v1.2", Archive("https://github.com/u/r/releases/download/v1.2/go.tgz", "go", released=True)),
    ],
)
def test_what_an_identifier_refers_to(identifier: str, reference: object) -> None:
    assert parse(identifier, CONTRACT, WORKSPACE) == reference


@pytest.mark.parametrize(
    ("identifier", "said"),
    [
        ("unknown", "names neither a registry nor a folder"),
        ("user/repo/feature:1", "names no registry"),
        ("user/repo/feature@a/b", "names no registry"),
        ("user/../feature", "names no registry"),
        ("/abs/feature", "is an absolute path"),
        ("../outside", "lies outside"),
        ("./", "lies outside"),
        ("./a/../../b", "lies outside"),
        ("http://x.org/devcontainer-feature-go.tgz", "not fetched over https"),
        ("https://x.org/go.tgz", "must be called devcontainer-feature-ID.tgz"),
        ("ghcr.io/user/repo/go@sha256:12", "is no digest"),
        ("ghcr.io/user/repo/go@md5:12", "is no digest"),
        ("ghcr.io/user//go", "is no name"),
        ("ghcr.io/go", "is no name"),
        ("ghcr.io/user/repo/go:-1", "is no tag"),
    ],
)
def test_an_identifier_that_refers_to_nothing_is_an_error(identifier: str, said: str) -> None:
    with pytest.raises(ContractError, match=said) as caught:
        parse(identifier, CONTRACT, WORKSPACE)
    assert str(CONTRACT) in caught.value.message


def test_a_symlink_does_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "w/.devcontainer").mkdir(parents=True)
    (tmp_path / "w/.devcontainer/link").symlink_to(tmp_path / "outside")
    with pytest.raises(ContractError, match="lies outside"):
        parse("./link", tmp_path / "w/.devcontainer/devcontainer.json", tmp_path / "w")


def test_a_configuration_in_a_folder_of_its_own_may_share_features() -> None:
    contract = WORKSPACE / ".devcontainer/cuda/devcontainer.json"
    assert parse("../shared", contract, WORKSPACE) == Local(WORKSPACE / ".devcontainer/shared")
    with pytest.raises(ContractError, match="lies outside"):
        parse("../../shared", contract, WORKSPACE)


def test_old_short_names_are_warned_about() -> None:
    assert modern("common") == (
        "ghcr.io/devcontainers/features/common-utils:1",
        "the Feature 'common' is an old short name; write \"ghcr.io/devcontainers/features/common-utils:1\"",
    )
    assert modern("ghcr.io/a/b") == ("ghcr.io/a/b", None)


def test_features_that_became_options() -> None:
    java = "ghcr.io/devcontainers/features/java"
    wanted, warnings = migrated({"gradle": {}, "maven": "latest"})
    assert wanted == {f"{java}:1": {"installGradle": True, "installMaven": True}}
    assert len(warnings) == 2
    assert migrated({f"{java}:2": "17", "maven": {}})[0] == {f"{java}:2": {"version": "17", "installMaven": True}}
    assert migrated({"ghcr.io/a/b": {}}) == ({"ghcr.io/a/b": {}}, ())


@given(st.text())
@example("localhost:")
@example("[::1]:5000/a/b")
@example("a.b/c:d@e")
@example("./\0")
def test_any_text_is_a_reference_or_a_clean_error(identifier: str) -> None:
    with contextlib.suppress(ContractError):
        assert isinstance(parse(identifier, CONTRACT, WORKSPACE), (Local, Archive, Artifact))
