"""Reading a contract: kinds, paths, types, warnings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from devbox.devcontainer.generated import dump, is_generated, sealed
from devbox.devcontainer.read import read, require_supported
from devbox.errors import ContractError

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.devcontainer.model import Contract


def contract(workspace: Path, content: dict[str, Any] | str, **environ: str) -> Contract:
    path = workspace / ".devcontainer/devcontainer.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read(path, workspace, environ)


def test_an_image(tmp_path: Path) -> None:
    found = contract(tmp_path, {"image": "${localEnv:BASE:debian:12}", "name": "x"}, BASE="ubuntu:24.04")
    assert (found.kind, found.image, found.build) == ("image", "ubuntu:24.04", None)
    assert found.raw["image"] == "${localEnv:BASE:debian:12}"
    assert found.workspace_folder == f"/workspaces/{tmp_path.name}"
    assert found.workspace_mount == f"type=bind,source={tmp_path},target=/workspaces/{tmp_path.name}"
    assert found.warnings == ()
    assert not found.generated


def test_a_build(tmp_path: Path) -> None:
    found = contract(
        tmp_path,
        {
            "build": {
                "dockerfile": "../docker/Dockerfile",
                "args": {"A": "${localEnv:X}"},
                "target": "dev",
                "cacheFrom": "ref",
                "options": ["--build-context=c=${localWorkspaceFolder}/r"],
            }
        },
        X="1",
    )
    assert found.kind == "build"
    recipe = found.build
    assert recipe is not None
    assert recipe.dockerfile == tmp_path / "docker/Dockerfile"
    assert recipe.context == tmp_path / "docker"
    assert (recipe.args, recipe.target, recipe.cache_from) == ((("A", "1"),), "dev", ("ref",))
    assert recipe.options == (f"--build-context=c={tmp_path}/r",)


def test_the_older_names_of_a_build(tmp_path: Path) -> None:
    found = contract(tmp_path, {"dockerFile": "Dockerfile", "context": "..", "build": {"args": {"A": "1"}}})
    assert found.build is not None
    assert found.build.dockerfile == tmp_path / ".devcontainer/Dockerfile"
    assert found.build.context == tmp_path
    assert found.build.args == (("A", "1"),)


def test_compose_is_read_and_refused(tmp_path: Path) -> None:
    found = contract(tmp_path, {"dockerComposeFile": "c.yml", "service": "dev"})
    assert (found.kind, found.workspace_folder, found.workspace_mount) == ("compose", "/", None)
    with pytest.raises(ContractError, match="Docker Compose"):
        require_supported(found)
    with pytest.raises(ContractError, match="'service'"):
        contract(tmp_path, {"dockerComposeFile": "c.yml"})


def test_features_are_refused_by_name(tmp_path: Path) -> None:
    found = contract(tmp_path, {"image": "a", "features": {"ghcr.io/x/y:1": {}}})
    with pytest.raises(ContractError, match=r"ghcr\.io/x/y:1"):
        require_supported(found)
    require_supported(contract(tmp_path, {"image": "a", "features": {}}))


def test_nothing_to_run(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="nothing to run"):
        contract(tmp_path, {"name": "x", "build": {"target": "y"}})


def test_of_several_sources_the_first_wins_with_a_warning(tmp_path: Path) -> None:
    found = contract(tmp_path, {"image": "a", "build": {"dockerfile": "Dockerfile"}})
    assert found.kind == "build"
    assert "'build.dockerfile' is used and 'image' ignored" in found.warnings[0]


def test_an_unknown_key_warns_with_the_nearest_one(tmp_path: Path) -> None:
    found = contract(tmp_path, {"image": "a", "containerenv": {}, "zzz": 1, "build": {"dockerFile": "D"}})
    assert len(found.warnings) == 3
    assert "did you mean 'containerEnv'?" in found.warnings[0]
    assert "did you mean" not in found.warnings[1]
    assert "did you mean 'build.dockerfile'?" in found.warnings[2]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("name", 1, "a string"),
        ("image", None, "a string"),
        ("build", "Dockerfile", "an object"),
        ("runArgs", "--privileged", "a list of strings"),
        ("runArgs", ["--cpus", 4], "a list of strings"),
        ("containerEnv", {"A": 1}, "an object with string values"),
        ("containerEnv", {"A": None}, "an object with string values"),
        ("remoteEnv", {"A": 1}, "strings or null"),
        ("mounts", [{"source": "a"}], "type, source and target"),
        ("mounts", "type=volume", "a list"),
        ("init", "true", "true or false"),
        ("privileged", 1, "true or false"),
        ("userEnvProbe", "shell", "one of none, loginShell"),
        ("waitFor", "postAttachCommand", "one of initializeCommand"),
        ("postCreateCommand", {"a": {"b": "c"}}, "a string, a list of strings"),
        ("postCreateCommand", ["a", 1], "a string, a list of strings"),
        ("appPort", True, "a port number"),
        ("forwardPorts", [{}], "a list of port numbers"),
        ("hostRequirements", [], "an object"),
        ("customizations", [], "an object"),
    ],
)
def test_a_value_of_another_type_names_file_key_and_type(tmp_path: Path, key: str, value: Any, expected: str) -> None:
    with pytest.raises(ContractError) as caught:
        contract(tmp_path, {"image": "a", key: value})
    assert f"{tmp_path}/.devcontainer/devcontainer.json: '{key}' must be " in caught.value.message
    assert expected in caught.value.message


@pytest.mark.parametrize(("key", "value"), [("args", {"A": 1}), ("options", "--x"), ("target", 1), ("cacheFrom", [1])])
def test_a_wrong_value_inside_build(tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(ContractError, match=rf"'build\.{key}' must be"):
        contract(tmp_path, {"build": {"dockerfile": "D", key: value}})


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="does not exist"):
        read(tmp_path / "devcontainer.json", tmp_path, {})
    with pytest.raises(ContractError, match="must be named"):
        read(tmp_path / "other.json", tmp_path, {})
    (tmp_path / "devcontainer.json").mkdir()
    with pytest.raises(ContractError, match="cannot be read"):
        read(tmp_path / "devcontainer.json", tmp_path, {})
    (tmp_path / ".devcontainer.json").write_bytes(b'{"image": "\xff"}')
    with pytest.raises(ContractError, match="not UTF-8"):
        read(tmp_path / ".devcontainer.json", tmp_path, {})


def test_paths_with_commas_and_quotes_give_a_mount_that_docker_reads(tmp_path: Path) -> None:
    from devbox.engine.spec import Mount

    for name in ("a,b", 'a"b', 'a "b", c', "é ü"):
        workspace = tmp_path / name
        mount = contract(workspace, {"image": "a"}).workspace_mount
        assert mount is not None
        parsed = Mount.parse(mount)
        assert (parsed.source, parsed.target) == (str(workspace), f"/workspaces/{name}")


def test_what_devbox_wrote_is_known_until_it_is_touched(tmp_path: Path) -> None:
    text = dump(sealed({"image": "a", "customizations": {"vscode": {}, "devbox": {"framework": "cuda"}}}))
    assert contract(tmp_path, text).generated
    assert contract(tmp_path, text).devbox["framework"] == "cuda"
    for edited in (text.replace('"a"', '"b"'), text + "// mine\n", text.replace("  ", "    "), "{}", "[]", "x", "null"):
        assert not is_generated(edited)
    assert dump(sealed(json.loads(text))) == text


def test_a_workspace_folder_that_is_not_absolute_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"'workspaceFolder' must be an absolute path, not 'rel'"):
        contract(tmp_path, {"image": "a", "workspaceFolder": "rel"})
