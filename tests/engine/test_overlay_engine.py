"""What a person lays over a hand-written contract is in the container, stays, and is seen by the other tools."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.engine.lab import Checkout, devbox, remove, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine


@pytest.fixture
def work(engine: Engine, base_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Checkout]:
    """A checkout with a hand-written contract, and settings of the user's own beside it."""
    monkeypatch.setenv("DEVBOX_CONFIG_DIR", str(tmp_path / "config"))
    (tmp_path / "config").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data/weights").write_text("1")
    one = Checkout(tmp_path / "work", engine, base_image)
    one.path.mkdir()
    yield one
    remove(engine, one.path)


def own(work: Checkout, text: str) -> None:
    """Write the user's table for the workspace."""
    (work.path.parent / "config/config.toml").write_text(f'[workspace."{work.path}"]\n{text}')


def execute(work: Checkout, script: str, **environ: str) -> str:
    process = work.cli("exec", "--", "sh", "-c", script, **environ)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    return out


MINE = """\
gpus = "none"
mounts = ["../data:/data:ro"]
env = ["COLOUR=blue", "HF_TOKEN"]
run_args = ["--hostname=deep"]
hooks = { postCreateCommand = "cat /tmp/theirs >> /tmp/mine" }
"""
SCRIPT = 'cat /data/weights /tmp/mine; echo "|$COLOUR|$HF_TOKEN|$(hostname)"'


def test_an_image_contract(work: Checkout, reference_cli: str) -> None:
    work.write(runArgs=["--gpus=all"], postCreateCommand="echo theirs > /tmp/theirs", remoteUser="root")
    own(work, MINE + 'user = "1500:1500"\n')
    first = work.up()
    assert any("root, who keeps its own ids" in text for text in work.said.warnings)
    assert execute(work, SCRIPT, HF_TOKEN="hf_abc") == "1theirs\n|blue|hf_abc|deep\n"
    inspected = work.engine.container(first.container)
    assert "hf_abc" not in json.dumps(inspected)

    # Nobody was asked, and nothing is left to do; another tool takes the same container and runs no hook again.
    assert work.up().outcome == "running"
    theirs = work.reference(reference_cli, "--include-merged-configuration")
    assert theirs["containerId"] == first.container
    assert theirs["mergedConfiguration"]["containerEnv"] == {"COLOUR": "blue"}
    assert execute(work, "cat /tmp/mine") == "theirs\n"

    # A flag holds for one time: it replaces, and without it the container is as the settings say again.
    other = work.up(env=["COLOUR=red"])
    assert other.outcome == "created"
    assert other.reasons == ("containerEnv COLOUR: blue → red",)
    assert any("--env holds for this time" in note for note in other.notes)
    assert work.up().reasons == ("containerEnv COLOUR: red → blue",)

    listed = devbox("config", "contract", "--show-origin", cwd=work.path).stdout
    (line,) = (line for line in listed.splitlines() if line.startswith("overlay.mounts"))
    assert line.endswith(f'[workspace."{work.path}"]')


def test_a_dockerfile_contract_with_a_feature_and_other_ids(work: Checkout, base_image: str) -> None:
    folder = work.path / ".devcontainer"
    work.write(build={"dockerfile": "Dockerfile"}, remoteUser="dora", updateRemoteUserUID=False)
    (folder / "Dockerfile").write_text(f"FROM {base_image}\nRUN useradd --create-home --uid 4242 dora\n")
    (folder / "tool").mkdir()
    (folder / "tool/devcontainer-feature.json").write_text('{"id": "tool", "version": "1.0.0", "name": "Tool"}')
    (folder / "tool/install.sh").write_text("#!/bin/sh\necho tool > /tool\n")
    own(work, 'features = ["./tool"]\nuser = "4343:4444"\n')
    container = work.up().container
    assert execute(work, "cat /tool; id -u; id -g") == "tool\n4343\n4444\n"
    assert not (folder / "devcontainer-lock.json").exists()
    assert work.up().container == container
    own(work, 'features = ["./tool"]\n')
    assert work.up().reasons == ("the remote user's ids: 4343:4444 → nothing",)


def test_a_compose_contract(work: Checkout, engine_name: Callable[[str], str], reference_cli: str) -> None:
    compose: dict[str, Any] = {
        "name": engine_name("overlay"),
        "services": {"dev": {"image": work.image, "command": ["sleep", "infinity"]}},
    }
    work.write(dockerComposeFile="compose.json", service="dev", workspaceFolder="/")
    (work.path / ".devcontainer/compose.json").write_text(json.dumps(compose))
    own(work, 'mounts = ["../data:/data:ro"]\nenv = ["COLOUR=blue"]\nports = ["80"]\nrun_args = ["--init"]\n')
    try:
        first = work.up(ports=["18474:8080"])
        assert execute(work, "cat /data/weights; echo $COLOUR") == "1blue\n"
        inspected = work.engine.container(first.container)
        assert inspected is not None
        assert list(inspected["HostConfig"]["PortBindings"]) == ["8080/tcp"]
        assert work.up(ports=["18474:8080"]).outcome == "running"
        assert work.reference(reference_cli)["containerId"] == first.container
        # What the reference CLI executes ends after its answer. Until then somebody works there: nothing is replaced.
        until(lambda: not (work.engine.container(first.container) or {}).get("ExecIDs"))
        own(work, 'env = ["COLOUR=blue"]\n')
        assert work.up().outcome == "created"
        assert execute(work, "ls /data 2>&1 || true").startswith("ls: cannot access")
    finally:
        work.engine.run(["compose", "--project-name", compose["name"], "down", "--volumes"], check=False)


def test_what_the_checkout_says_is_asked_for_like_its_contract(work: Checkout) -> None:
    work.write()
    (work.path / "devbox.toml").write_text(
        'env = ["COLOUR=green"]\n[hooks]\npostCreateCommand = "echo hook > /tmp/h"\n'
    )
    work.up()
    assert execute(work, "cat /tmp/h; echo $COLOUR") == "hook\ngreen\n"
