"""A contract whose engine does not see the checkout: what its container mounts over there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from devbox.container.checkout.elsewhere import is_copy, mounts_there, placed
from devbox.devcontainer.identity import volume_name
from devbox.devcontainer.read import read
from devbox.engine.spec import Mount
from devbox.errors import ContractError
from devbox.paths import state_dir

if TYPE_CHECKING:
    from pathlib import Path


def mounts(*texts: str, workspace: Path) -> list[str]:
    (workspace / ".devcontainer.json").write_text('{"image": "x"}')
    contract = read(workspace / ".devcontainer.json", workspace, {})
    return [one.csv() for one in mounts_there(contract, map(Mount.parse, texts))]


def test_the_workspace_is_a_volume_that_takes_nothing_of_the_image(tmp_path: Path) -> None:
    (tmp_path / ".devcontainer.json").write_text('{"image": "x", "workspaceFolder": "/w"}')
    contract = placed(read(tmp_path / ".devcontainer.json", tmp_path, {}))
    name = volume_name(os.getuid(), "source", tmp_path)
    assert contract.elsewhere
    assert contract.workspace_mount == f"type=volume,source={name},target=/w,volume-nocopy=true"
    assert is_copy({"Mounts": [{"Type": "volume", "Name": name}]})
    assert not is_copy({"Mounts": [{"Type": "bind", "Source": str(tmp_path)}]})
    # Whoever clones into a volume of their own needs no copy.
    (tmp_path / ".devcontainer.json").write_text(
        '{"image": "x", "workspaceFolder": "/w", "workspaceMount": "type=volume,source=mine,target=/w"}'
    )
    own = read(tmp_path / ".devcontainer.json", tmp_path, {})
    assert placed(own) is own


def test_what_this_machine_alone_has_is_left_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVBOX_STATE_DIR", str(tmp_path / "state"))
    repository = tmp_path / "whole.git"
    (repository / "objects").mkdir(parents=True)
    files = volume_name(os.getuid(), "files", tmp_path)
    found = mounts(
        f"type=bind,source={state_dir()}/ssh/agent,target=/agent",
        f"type=bind,source={repository},target={repository}",
        "type=bind,source=/etc/ssl/ca.pem,target=/etc/devbox/ca-bundle.pem,readonly",
        "type=bind,source=/models,target=/models",
        "type=volume,source=v,target=/v",
        workspace=tmp_path,
    )
    assert found == [
        f"type=volume,source={files},target=/etc/devbox",
        "type=bind,source=/models,target=/models",
        "type=volume,source=v,target=/v",
    ]


def test_a_further_checkout_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other/.git").mkdir(parents=True)
    with pytest.raises(ContractError, match="only the workspace itself is brought there"):
        mounts(f"type=bind,source={tmp_path}/other,target=/other", workspace=tmp_path)
