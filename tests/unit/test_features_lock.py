"""`devcontainer-lock.json`: what it says, when it is written again, and what a broken one does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from devbox.devcontainer.features import lock
from devbox.devcontainer.features.ids import parse
from devbox.devcontainer.features.metadata import read as read_metadata
from devbox.devcontainer.features.order import Feature
from devbox.errors import ContractError

CONTRACT = Path("/w/.devcontainer/devcontainer.json")
DIGEST = "sha256:" + "0" * 64


def feature(identifier: str, **properties: Any) -> Feature:
    reference = parse(identifier, CONTRACT, Path("/w"))
    metadata = read_metadata(json.dumps({"id": reference.id, "version": "1.2.3", "name": "x", **properties}), CONTRACT)
    return Feature(identifier, {}, reference, metadata, Path("/f"), None if identifier.startswith(".") else DIGEST)


def test_the_text_is_the_references() -> None:
    features = [
        feature("https://x.org/devcontainer-feature-é.tgz".replace("é", "e")),
        feature("./local"),
        feature("owner/repository/released@v1"),
        feature("ghcr.io/N/b:1", dependsOn={"ghcr.io/n/A": {}}),
        feature("ghcr.io/n/A"),
    ]
    assert (
        lock.render(features)
        == f"""{{
  "features": {{
    "ghcr.io/n/A": {{
      "version": "1.2.3",
      "resolved": "ghcr.io/n/a@{DIGEST}",
      "integrity": "{DIGEST}"
    }},
    "ghcr.io/N/b:1": {{
      "version": "1.2.3",
      "resolved": "ghcr.io/n/b@{DIGEST}",
      "integrity": "{DIGEST}",
      "dependsOn": [
        "ghcr.io/n/A"
      ]
    }},
    "https://x.org/devcontainer-feature-e.tgz": {{
      "version": "1.2.3",
      "resolved": "https://x.org/devcontainer-feature-e.tgz",
      "integrity": "{DIGEST}"
    }}
  }}
}}
"""
    )


def test_a_hidden_configuration_has_a_hidden_lock_file() -> None:
    assert lock.lock_path(Path("/w/.devcontainer.json")) == Path("/w/.devcontainer-lock.json")
    assert lock.lock_path(CONTRACT) == Path("/w/.devcontainer/devcontainer-lock.json")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    contract = tmp_path / "devcontainer.json"
    assert lock.read(contract).differs("anything")
    text = lock.render([feature("ghcr.io/n/A:1")])
    lock.lock_path(contract).write_text(text)
    held = lock.read(contract)
    assert held.digest("ghcr.io/n/a:1") == held.digest("ghcr.io/n/A:1") == DIGEST
    assert held.digest("ghcr.io/n/a:2") is None
    assert not held.differs(text)
    lock.lock_path(contract).write_text(text.replace("  ", "\t") + "\n")
    assert not lock.read(contract).differs(text), "blanks say nothing"
    assert lock.read(contract).differs(lock.render([feature("ghcr.io/n/A:2")]))


def test_an_empty_file_asks_for_one(tmp_path: Path) -> None:
    contract = tmp_path / "devcontainer.json"
    lock.lock_path(contract).write_text(" \n")
    held = lock.read(contract)
    assert (held.text, held.differs(lock.render([]))) == ("", True)
    lock.lock_path(contract).unlink()
    assert lock.read(contract).text is None


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[]",
        "{}",
        '{"features": []}',
        '{"features": {"a": 1}}',
        '{"features": {"a": {}}}',
        '{"features": {"a": {"integrity": "sha256:1"}}}',
        '{"features": {"a": {"integrity": 1}}}',
        "[" * 100_000,
    ],
)
def test_a_broken_one_is_an_error_that_says_what_to_do(text: str, tmp_path: Path) -> None:
    contract = tmp_path / "devcontainer.json"
    path = lock.lock_path(contract)
    path.write_text(text)
    with pytest.raises(ContractError) as caught:
        lock.read(contract)
    assert str(path) in caught.value.message
    assert (caught.value.hint or "").startswith(f"rm {path} ")
