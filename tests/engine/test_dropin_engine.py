"""`devbox devcontainer` on a real engine: what a CI job or an editor's plugin calls, mixed with the reference's own."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from devbox.dropin.main import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from devbox.engine.docker import Engine

    Ours = Callable[..., dict[str, Any]]

pytestmark = pytest.mark.engine
# What version 0.89 adds to some answers of its own checks.
OWN = "ociAuthDiagnostics"


@pytest.fixture
def ours(capfd: pytest.CaptureFixture[str]) -> Ours:
    """Return what runs a command line here, and demands its exit code and an answer on stdout."""

    def call(*argv: str, code: int = 0) -> dict[str, Any]:
        assert main(argv) == code, capfd.readouterr().err
        answer: dict[str, Any] = json.loads(capfd.readouterr().out)
        return answer

    return call


def written(folder: Path, **contract: Any) -> str:
    path = folder / ".devcontainer/devcontainer.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(contract))
    return str(folder)


def theirs(cli: str, *argv: str) -> dict[str, Any]:
    done = subprocess.run([cli, *argv], capture_output=True, text=True, check=True, timeout=120)
    answer: dict[str, Any] = json.loads(done.stdout)
    return {key: value for key, value in answer.items() if key != OWN}


def test_a_container_is_the_same_for_both_programs(
    ours: Ours, reference_cli: str, base_image: str, engine_name: Callable[[str], str], tmp_path: Path,
    capfd: pytest.CaptureFixture[str], engine: Engine,
) -> None:  # fmt: skip
    contract = {
        "image": base_image,
        "runArgs": ["--name", engine_name("dropin")],
        "postCreateCommand": "echo created >> /hooks",
        "postAttachCommand": {"one": "echo attached >> /hooks"},
        "remoteEnv": {"WHERE": "${containerEnv:PATH}", "ID": "${devcontainerId}"},
        "customizations": {"vscode": {"extensions": ["a.b"]}},
    }
    folder = ("--workspace-folder", written(tmp_path, **contract))
    secrets = tmp_path.with_name(f"{tmp_path.name}-secrets.json")
    secrets.write_text('{"A": "workspaces"}')
    words = ("--remote-env", "CALL=1", "--mount", f"type=bind,source={tmp_path},target=/more")
    assert main(["up", *folder, *words, "--secrets-file", str(secrets)]) == 0
    out, log = capfd.readouterr()
    made = json.loads(out)
    assert made["outcome"] == "success"
    assert "Running the postCreateCommand from devcontainer.json..." in log
    assert "Running the postAttachCommand from devcontainer.json..." in log
    assert "Running one of postAttachCommand from devcontainer.json..." in log

    both = ("--include-configuration", "--include-merged-configuration")
    assert theirs(reference_cli, "up", *folder, *both) == ours("up", *folder, *both)
    assert theirs(reference_cli, "read-configuration", *folder, both[1]) == ours("read-configuration", *folder, both[1])
    # Nothing is drift that the call alone said.
    assert (
        ours("up", *folder, "--expect-existing-container", "--skip-post-attach")["containerId"] == made["containerId"]
    )
    assert theirs(reference_cli, "run-user-commands", *folder) == ours("run-user-commands", *folder)
    capfd.readouterr()
    script = "cat /hooks; ls /more; echo $CALL $WHERE; exit 7"
    assert main(["exec", *folder, "--remote-env", "CALL=2", "--remote-env", "WHERE=no", "sh", "-c", script]) == 7
    *said, where = capfd.readouterr().out.split()
    assert said == ["created", *["attached"] * 5, "2"]
    assert where.startswith("/")

    replaced = ours("up", *folder, "--remove-existing-container", "--prebuild")
    assert replaced["containerId"] != made["containerId"]
    assert engine.container(made["containerId"]) is None


def test_a_container_of_labels_of_ones_own(
    ours: Ours, base_image: str, engine_name: Callable[[str], str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name = engine_name("dropin")
    contract = {"image": base_image, "runArgs": ["--name", name], "postCreateCommand": "touch /made"}
    override = tmp_path / "any-name.json"
    override.write_text(json.dumps(contract))
    folder = ("--workspace-folder", str(tmp_path), "--override-config", str(override), "--id-label", f"dropin={name}")
    assert ours("up", *folder, "--expect-existing-container", code=1)["message"] == (
        "The expected container does not exist."
    )
    made = ours("up", *folder, "--skip-post-create")
    assert ours("up", *folder)["containerId"] == made["containerId"]
    capfd.readouterr()
    assert main(["exec", "--id-label", f"dropin={name}", "ls", "/made"]) == 0
    assert capfd.readouterr().out == "/made\n"


def test_any_container_is_set_up(
    ours: Ours, reference_cli: str, base_image: str, engine: Engine, engine_name: Callable[[str], str], tmp_path: Path
) -> None:
    name = engine_name("dropin")
    label = json.dumps([{"remoteEnv": {"A": "${containerEnv:HOME}"}, "postCreateCommand": "echo x >> /made"}])
    engine.run(["run", "--detach", "--init", "--name", name, "--label", f"devcontainer.metadata={label}", base_image,
                "sleep", "infinity"])  # fmt: skip
    file = tmp_path / "devcontainer.json"
    file.write_text('{"postAttachCommand": "echo y >> /made"}')
    words = ("set-up", "--container-id", name, "--config", str(file), "--include-merged-configuration")
    assert ours(*words) == theirs(reference_cli, *words)
    assert engine.run(["exec", name, "cat", "/made"]).stdout.split() == ["x", "y", "y"]


def test_nobody_is_asked_and_nothing_runs_unasked(
    ours: Ours, base_image: str, engine_name: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = {"image": base_image, "runArgs": ["--name", engine_name("dropin")], "initializeCommand": "touch ran"}
    folder = ("--workspace-folder", written(tmp_path, **contract))
    refused = ours("up", *folder, code=1)
    assert refused["outcome"] == "error"
    assert "touch ran" in refused["description"]
    assert not (tmp_path / "ran").exists()
    monkeypatch.setenv("DEVBOX_DEVCONTAINER_TRUST", "always")
    assert ours("up", *folder)["outcome"] == "success"
    assert (tmp_path / "ran").exists()


def test_an_image_is_built_and_named(ours: Ours, base_image: str, engine: Engine, tmp_path: Path) -> None:
    folder = written(tmp_path, build={"dockerfile": "Dockerfile"}, postCreateCommand="true")
    (tmp_path / ".devcontainer/Dockerfile").write_text(f"FROM {base_image}\nRUN touch /made\n")
    names = [f"devbox-dropin-{tmp_path.name}:{number}" for number in (1, 2)]
    tags = [word for name in names for word in ("--image-name", name)]
    try:
        answer = ours("build", "--workspace-folder", folder, *tags, "--label", "mine=1")
        assert answer == {"outcome": "success", "imageName": names}
        image = engine.image(names[1])
        assert image is not None
        assert image["Config"]["Labels"]["mine"] == "1"
        assert json.loads(image["Config"]["Labels"]["devcontainer.metadata"]) == [{"postCreateCommand": "true"}]
    finally:
        engine.run(["image", "rm", *names], check=False)
    assert "Command failed" in ours("build", "--workspace-folder", folder, "--platform", "no/such", code=1)["message"]
