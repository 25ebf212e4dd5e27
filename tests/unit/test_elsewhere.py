"""A contract whose engine does not see the checkout: what its container mounts over there."""

from __future__ import annotations

import contextlib
import json
import os
import re
from typing import TYPE_CHECKING

import pytest

from devbox.container.checkout.elsewhere import (
    copied_at,
    mounts_there,
    placed,
    placed_service,
    project_there,
)
from devbox.container.desired import Image
from devbox.devcontainer.identity import CA_BUNDLE, volume_name
from devbox.devcontainer.merge import merge
from devbox.devcontainer.read import read
from devbox.engine.docker import Engine
from devbox.engine.spec import Mount
from devbox.errors import ContractError, RefusedError
from devbox.oneshot import run
from devbox.paths import state_dir
from devbox.reporter import Silent
from devbox.trust.reach import Reach

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.devcontainer.jsonc import JSON
    from devbox.devcontainer.model import Contract


def mounts(*texts: str, workspace: Path) -> list[str]:
    (workspace / ".devcontainer.json").write_text('{"image": "x"}')
    contract = read(workspace / ".devcontainer.json", workspace, {})
    return [one.csv() for one in mounts_there(contract, map(Mount.parse, texts))]


def test_the_workspace_is_a_volume_that_takes_nothing_of_the_image(tmp_path: Path) -> None:
    (tmp_path / ".devcontainer.json").write_text('{"image": "x", "workspaceFolder": "/w"}')
    contract = placed(read(tmp_path / ".devcontainer.json", tmp_path, {}))
    name = volume_name(os.getuid(), "source", tmp_path)
    assert contract.elsewhere == "/w"
    assert contract.workspace_mount == f"type=volume,source={name},target=/w,volume-nocopy=true"
    mounted = {"Config": {"Labels": {}}, "Mounts": [{"Type": "volume", "Name": name, "Destination": "/w"}]}
    assert copied_at(mounted) == "/w"
    assert copied_at({**mounted, "Config": {"Labels": {"devbox.copy": "/w/part"}}}) == "/w/part"
    assert copied_at({**mounted, "Config": {"Labels": {"devbox.copy": "/etc"}}}) == "/w"
    assert copied_at({**mounted, "Mounts": [{"Type": "bind", "Source": str(tmp_path), "Destination": "/w"}]}) == ""
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


def test_a_folder_that_the_checkout_is_in_has_the_copy_at_its_place(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    mount = f"type=bind,source={tmp_path},target=/all"
    text = json.dumps({"image": "x", "workspaceFolder": "/all/here/sub", "workspaceMount": mount})
    (here / ".devcontainer.json").write_text(text)
    contract = placed(read(here / ".devcontainer.json", here, {}))
    assert contract.elsewhere == "/all/here"
    assert "target=/all," in (contract.workspace_mount or "")


def composed(*volumes: JSON, **more: JSON) -> JSON:
    return {"services": {"dev": {"image": "x", "volumes": list(volumes)}, **more}}


def bind(source: object, target: str) -> JSON:
    return {"type": "bind", "source": str(source), "target": target, "bind": {"create_host_path": True}}


def service_contract(workspace: Path) -> Contract:
    text = '{"dockerComposeFile": "c.yml", "service": "dev", "workspaceFolder": "/work"}'
    (workspace / ".devcontainer.json").write_text(text)
    return read(workspace / ".devcontainer.json", workspace, {})


def test_services_that_mount_the_checkout_have_its_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVBOX_STATE_DIR", str(tmp_path / "state"))
    here = tmp_path / "here"
    here.mkdir()
    data = {"type": "volume", "source": "data", "target": "/data"}
    config = composed(
        bind(tmp_path, "/workspaces"),
        bind("/ca.pem", CA_BUNDLE),
        bind(f"{state_dir()}/ssh", "/agent"),
        bind("/models", "/models"),
        web={"volumes": [{**bind(here, "/srv"), "read_only": True}, data]},
        db={"image": "db"},
    )
    volume = volume_name(os.getuid(), "source", here)
    copy = {"type": "volume", "source": volume, "volume": {"nocopy": True}}
    there = project_there(config, here)
    assert there["services"]["dev"]["volumes"] == [
        {**copy, "target": "/workspaces"},
        {**bind("/models", "/models"), "bind": {"create_host_path": False}},
    ]
    assert there["services"]["web"]["volumes"] == [{**copy, "target": "/srv", "read_only": True}, data]
    assert there["services"]["db"] == {"image": "db"}
    assert there["volumes"] == {volume: {"name": volume}}
    contract = placed_service(service_contract(here), config, "dev")
    assert contract.elsewhere == "/workspaces/here"
    assert contract.extra_mounts == (f"type=bind,source=/ca.pem,target={CA_BUNDLE},readonly",)


@pytest.mark.parametrize("way", ["part", "checkout", "secret", "other service"])
def test_what_of_this_machine_no_service_can_have_there_is_named(tmp_path: Path, way: str) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "other/.git").mkdir(parents=True)
    here = tmp_path / "here"
    contract = service_contract(here)
    config = composed(bind(here, "/work"), **({} if way != "secret" else {"db": {"secrets": [{"source": "key"}]}}))
    config["secrets"] = {"key": {"file": str(here / "key.pem")}}
    named = {"part": here / "data", "checkout": tmp_path / "other", "secret": here / "key.pem"}.get(way, here)
    if way in {"part", "checkout"}:
        config["services"]["dev"]["volumes"].append(bind(named, "/named"))
    elif way == "other service":
        config = composed(web={"volumes": [bind(here, "/srv")]})
    with pytest.raises(ContractError, match=f"mounts {re.escape(str(named))}"):
        placed_service(contract, config, "dev")
    if way == "part":
        # A folder of that name over there would be another one.
        with pytest.raises(ContractError, match="mounts"):
            placed_service(contract, composed(bind(named, "/work")), "dev")
    # What mounts nothing of the checkout is the same anywhere.
    assert placed_service(contract, composed(), "dev") is contract


@pytest.mark.parametrize("agreed", [False, True])
def test_the_checkout_is_brought_when_all_was_agreed_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, agreed: bool
) -> None:
    """What is asked for last are the names on the engine."""
    (tmp_path / ".devcontainer.json").write_text('{"image": "x"}')
    contract = placed(read(tmp_path / ".devcontainer.json", tmp_path, {}))
    image, done = Image("x", "sha256:x", ""), []
    wanted = contract, merge(contract, [], {}, {}), image, None
    somebodys = Reach("volume", "v", "mounts v, a volume that is there already")

    def see(_: Path, __: Path, reach: tuple[Reach, ...]) -> None:
        if reach and not agreed:
            raise RefusedError("no")

    monkeypatch.setattr(run, "_wanted", lambda *_: wanted)
    monkeypatch.setattr(run, "with_host_ids", lambda *_, **__: None)
    monkeypatch.setattr(run, "gpus_for", lambda *_: None)
    monkeypatch.setattr(run, "names_taken", lambda *_: (somebodys,))
    monkeypatch.setattr(run, "needs_consent", see)
    monkeypatch.setattr(run, "running_container", lambda *_: None)
    monkeypatch.setattr(run, "claimed", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(run, "bring", lambda *_: done.append("brought"))
    monkeypatch.setattr(run, "run_watched", lambda *_, **__: done.append("run"))
    with contextlib.nullcontext() if agreed else pytest.raises(RefusedError):
        run.run(Engine(), tmp_path, ["true"], Silent())
    assert done == (["brought", "run"] if agreed else [])
