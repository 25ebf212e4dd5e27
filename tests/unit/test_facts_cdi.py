"""Device names in CDI specifications, JSON and the YAML that generators write."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.facts import cdi

if TYPE_CHECKING:
    from pathlib import Path

# The shape of `nvidia-ctk cdi generate`: keys sorted, so `name` comes after the edits of its device.
GENERATED = """\
---
cdiVersion: 0.5.0
containerEdits:
  deviceNodes:
  - path: /dev/nvidiactl
  env:
  - NVIDIA_VISIBLE_DEVICES=void
  hooks:
  - args:
    - nvidia-cdi-hook
    hookName: createContainer
    name: not-a-device
devices:
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
    - name: also-not-a-device
  name: "0"
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
  name: GPU-5a3f9c1e-77b2-4d08-9e6a-0c41d2b7e815
- containerEdits:
    deviceNodes:
    - path: /dev/nvidia0
  name: all
kind: nvidia.com/gpu
"""
HAND_WRITTEN = """\
cdiVersion: "0.6.0"
kind: "nvidia.com/gpu"   # the kind
devices:
  # one
  - name: '0'
    containerEdits:
      deviceNodes:
        - path: /dev/null
  - name: all   # every one

    annotations:
      name: no
containerEdits:
  env: []
"""


def test_generated_yaml() -> None:
    assert cdi.names_in(GENERATED, yaml=True) == (
        "nvidia.com/gpu=0",
        "nvidia.com/gpu=GPU-5a3f9c1e-77b2-4d08-9e6a-0c41d2b7e815",
        "nvidia.com/gpu=all",
    )


def test_hand_written_yaml() -> None:
    assert cdi.names_in(HAND_WRITTEN, yaml=True) == ("nvidia.com/gpu=0", "nvidia.com/gpu=all")


def test_json() -> None:
    text = json.dumps({"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "devices": [{"name": "0"}, {"name": "all"}]})
    assert cdi.names_in(text, yaml=False) == ("nvidia.com/gpu=0", "nvidia.com/gpu=all")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"kind": "a/b"}', '{"kind": "a/b", "devices": 3}', "{", "null"])
def test_broken_json_names_nothing(text: str) -> None:
    assert cdi.names_in(text, yaml=False) == ()


@given(st.text())
def test_any_text_is_survived(text: str) -> None:
    assert isinstance(cdi.names_in(text, yaml=True), tuple)
    assert isinstance(cdi.names_in(text, yaml=False), tuple)


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,20}", fullmatch=True)


@given(st.lists(NAMES, max_size=5), st.sampled_from(["", "'", '"']), st.booleans())
def test_names_come_back_from_yaml(names: list[str], quote: str, first: bool) -> None:
    lines = ["kind: nvidia.com/gpu", "devices:"]
    for name in names:
        edits = ["  containerEdits:", "    deviceNodes:", "    - path: /dev/null"]
        own = f"name: {quote}{name}{quote}"
        lines += [f"- {own}", *edits] if first else [edits[0].replace("  ", "- ", 1), *edits[1:], f"  {own}"]
    expected = tuple(f"nvidia.com/gpu={name}" for name in names)
    assert cdi.names_in("\n".join(lines), yaml=True) == expected


def test_folders_are_read_together_and_other_files_are_left_alone(tmp_path: Path) -> None:
    etc, run = tmp_path / "etc", tmp_path / "run"
    etc.mkdir()
    run.mkdir()
    (etc / "nvidia.yaml").write_text(GENERATED)
    (run / "fake.json").write_text(json.dumps({"kind": "vendor.com/net", "devices": [{"name": "eth0"}]}))
    (run / "broken.json").write_text("{")
    (run / "notes.txt").write_text(HAND_WRITTEN)
    found = cdi.devices([str(etc), str(run), str(tmp_path / "missing")])
    assert found == (
        "nvidia.com/gpu=0",
        "nvidia.com/gpu=GPU-5a3f9c1e-77b2-4d08-9e6a-0c41d2b7e815",
        "nvidia.com/gpu=all",
        "vendor.com/net=eth0",
    )
    assert list(cdi.of_kind(found, "vendor.com/net")) == ["eth0"]


def test_a_folder_that_the_engine_sees_as_a_link_is_told(tmp_path: Path) -> None:
    real, link, empty = tmp_path / "real", tmp_path / "link", tmp_path / "empty"
    real.mkdir()
    (real / "nvidia.yaml").write_text(GENERATED)
    link.symlink_to("real")
    empty.symlink_to("nowhere")
    assert cdi.seen([str(real), str(link), str(empty)], None) == ((str(real), str(empty)), (str(link),))
    assert cdi.seen([str(real)], os.getpid()) == ((f"/proc/{os.getpid()}/root{real}",), ())
    # Of a process that may not be looked into nothing is known.
    assert cdi.seen([str(real)], 1 << 30) == ((str(real),), ())


def test_podman_looks_where_its_configuration_says(tmp_path: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    before = cdi.podman_folders(environ, rootless=True)
    (tmp_path / "containers/containers.conf.d").mkdir(parents=True)
    (tmp_path / "containers/containers.conf").write_text('[engine]\ncdi_spec_dirs = ["/one"]\n')
    assert cdi.podman_folders(environ, rootless=True) == ("/one",)
    (tmp_path / "containers/containers.conf.d/a.conf").write_text('[engine]\ncdi_spec_dirs = ["/two"]\n')
    (tmp_path / "containers/containers.conf.d/b.conf").write_text("[engine\n")
    assert cdi.podman_folders(environ, rootless=True) == ("/two",)
    assert cdi.podman_folders(environ, rootless=False) == before
