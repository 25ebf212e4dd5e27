"""Labels, ids and names: what every other tool computes too."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from devbox.devcontainer.identity import absolute, devcontainer_id, id_labels, volume_name, workspace_hash

if TYPE_CHECKING:
    import pytest

KNOWN_ID = "0fclmbvgt9gmmto53iskq35bkmtgn1d1smileu91fc5h98a0nkid"


def test_labels_are_the_paths_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = tmp_path / "real"
    real.mkdir()
    link = tmp_path / "link"
    link.symlink_to(real)
    monkeypatch.chdir(tmp_path)
    for given_ in (link, f"{link}/", "link", "./x/../link"):
        labels = id_labels(given_, f"{given_}/.devcontainer/devcontainer.json")
        assert labels == (
            ("devcontainer.local_folder", str(link)),
            ("devcontainer.config_file", f"{link}/.devcontainer/devcontainer.json"),
        )


def test_two_leading_slashes_are_one() -> None:
    assert absolute("//a/b") == "/a/b"


def test_the_id_of_known_labels() -> None:
    """Computed by the reference CLI 0.89.0."""
    labels = {
        "devcontainer.local_folder": "/home/ada/vllm",
        "devcontainer.config_file": "/home/ada/vllm/.devcontainer/devcontainer.json",
    }
    assert devcontainer_id(labels) == KNOWN_ID
    assert devcontainer_id(tuple(reversed(labels.items()))) == KNOWN_ID


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=3))
def test_an_id_has_52_digits_of_base_32(labels: dict[str, str]) -> None:
    identifier = devcontainer_id(labels)
    assert len(identifier) == 52
    assert set(identifier) <= set("0123456789abcdefghijklmnopqrstuv")


def test_volume_names() -> None:
    name = volume_name(1000, "build", Path("/home/ada/vllm"))
    assert name == f"devbox-1000-build-{workspace_hash('/home/ada/vllm')}"
    assert len(workspace_hash("/home/ada/vllm")) == 12
    assert volume_name(1000, "ccache") == "devbox-1000-ccache"
    assert workspace_hash("/home/ada/vllm/") == workspace_hash("/home/ada/vllm") != workspace_hash("/home/ada/vllm2")


def test_a_path_that_is_no_utf8_has_a_hash() -> None:
    assert len(workspace_hash("/a\udcff")) == 12
    assert len(devcontainer_id({"devcontainer.local_folder": "/a\udcff"})) == 52
