"""Reading a contract: kinds, paths, types, warnings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from devbox.devcontainer.read import read
from devbox.devcontainer.record import dump, is_generated, sealed
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


def test_compose_is_read(tmp_path: Path) -> None:
    found = contract(tmp_path, {"dockerComposeFile": "c.yml", "service": "dev"})
    assert (found.kind, found.workspace_folder, found.workspace_mount) == ("compose", "/", None)
    with pytest.raises(ContractError, match="'service'"):
        contract(tmp_path, {"dockerComposeFile": "c.yml"})


def test_nothing_to_run(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="nothing to run"):
        contract(tmp_path, {"name": "x", "build": {"target": "y"}})


def test_of_several_sources_the_first_wins_with_a_warning(tmp_path: Path) -> None:
    found = contract(tmp_path, {"image": "a", "build": {"dockerfile": "Dockerfile"}})
    assert found.kind == "build"
    assert "'build.dockerfile' is used and 'image' ignored" in found.warnings[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"image": "a", "build": {"args": {"A": "1"}}}, "'build' does nothing beside 'image'"),
        ({"image": "a", "service": "dev"}, "'service' does nothing beside 'image'"),
        ({"dockerFile": "D", "runServices": ["db"]}, "'runServices' does nothing beside 'build.dockerfile'"),
        (
            {"dockerComposeFile": "c.yml", "service": "dev", "runArgs": ["--ipc=host"], "appPort": 1},
            "'runArgs' does nothing beside 'dockerComposeFile'",
        ),
    ],
)
def test_what_another_kind_of_contract_has_is_said_to_do_nothing(
    tmp_path: Path, content: dict[str, Any], said: str
) -> None:
    assert contract(tmp_path, content).warnings[0].endswith(said)


def test_an_unknown_key_warns_with_the_nearest_one(tmp_path: Path) -> None:
    found = contract(tmp_path, {"image": "a", "containerenv": {}, "zzz": 1, "build": {"dockerFile": "D"}})
    assert len(found.warnings) == 4
    assert "did you mean 'containerEnv'?" in found.warnings[0]
    assert "did you mean" not in found.warnings[1]
    assert "did you mean 'build.dockerfile'?" in found.warnings[2]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("name", 1, "a string"),
        ("build", "Dockerfile", "an object"),
        ("runArgs", "--privileged", "a list of strings"),
        ("runArgs", ["--cpus", 4], "a list of strings"),
        ("containerEnv", ["A=1"], "an object with string values"),
        ("remoteEnv", "A=1", "an object whose values are strings or null"),
        ("mounts", [{"source": "a"}], "type, source and target"),
        ("mounts", "type=volume", "a list"),
        ("init", "true", "true or false"),
        ("privileged", 1, "true or false"),
        ("userEnvProbe", "shell", "one of none, loginShell"),
        ("waitFor", "postAttachCommand", "one of initializeCommand"),
        ("postCreateCommand", {"a": {"b": "c"}}, "a string, a list of strings"),
        ("postCreateCommand", ["a", 1], "a string, a list of strings"),
        ("appPort", True, "a port number"),
        ("appPort", 65536, "a port number"),
        ("forwardPorts", [{}], "a list of port numbers"),
        ("forwardPorts", 3000, "a list of port numbers"),
        ("features", ["a"], "an object"),
        ("secrets", ["A"], "an object"),
        ("hostRequirements", [], "an object"),
        ("customizations", [], "an object"),
    ],
)
def test_a_value_of_another_type_names_file_key_and_type(tmp_path: Path, key: str, value: Any, expected: str) -> None:
    with pytest.raises(ContractError) as caught:
        contract(tmp_path, {"image": "a", key: value})
    column = len('{"image": "a", "') + len(key) + len('": ') + 1
    assert f"{tmp_path}/.devcontainer/devcontainer.json:1:{column}: '{key}' must be " in caught.value.message
    assert expected in caught.value.message


@pytest.mark.parametrize(
    ("content", "place", "name"),
    [
        (
            '{\n  // env\n  "image": "a",\n  "containerEnv": {\n    "A": "x", "B": null\n  }\n}',
            "5:20",
            "containerEnv.B",
        ),
        ('{"image": "a", "init": true, /* again */ "init": 1}', "1:50", "init"),
        ('\ufeff{"image": "a",\n "remoteEnv": {"x": [\n]}}', "2:21", "remoteEnv.x"),
        ('{"build": {"dockerfile": "D", "args": {"A": {}}}}', "1:45", "build.args.A"),
        ('{"image": "a", "features": {"x": 1.5}}', "1:34", "features.x"),
    ],
)
def test_a_wrong_value_is_found_in_the_text(tmp_path: Path, content: str, place: str, name: str) -> None:
    with pytest.raises(ContractError) as caught:
        contract(tmp_path, content)
    assert f"devcontainer.json:{place}: '{name}' must be " in caught.value.message


def test_null_says_nothing(tmp_path: Path) -> None:
    found = contract(tmp_path, {"image": "a", "remoteUser": None, "mounts": None, "remoteEnv": {"A": None}})
    assert found.config == {"image": "a", "remoteEnv": {"A": None}}
    assert [warning.partition(": ")[2] for warning in found.warnings] == [
        "'remoteUser' is null, which says nothing",
        "'mounts' is null, which says nothing",
    ]
    with pytest.raises(ContractError, match="nothing to run"):
        contract(tmp_path, {"image": None})


def test_numbers_where_the_container_needs_text_are_that_text(tmp_path: Path) -> None:
    numbers = {"A": 8080, "B": True, "C": 0.5, "D": 2.0, "E": "x"}
    found = contract(tmp_path, {"build": {"dockerfile": "D", "args": numbers}, "containerEnv": numbers})
    text = {"A": "8080", "B": "true", "C": "0.5", "D": "2", "E": "x"}
    assert found.config["containerEnv"] == text
    assert found.build is not None
    assert dict(found.build.args) == text
    assert "'build.args.A' should be a string; it is taken as \"8080\"" in found.warnings[0]
    assert len(found.warnings) == 8


@pytest.mark.parametrize(
    ("key", "value", "left", "said"),
    [
        (
            "hostRequirements",
            {"cpus": "4", "gpu": True},
            {"gpu": True},
            "'hostRequirements.cpus' must be a whole number",
        ),
        ("hostRequirements", {"memory": "8GB"}, {}, "'hostRequirements.memory' must be a size in lower case"),
        ("hostRequirements", {"gpu": "yes"}, {}, "'hostRequirements.gpu' must be true, false, \"optional\""),
        ("hostRequirements", {"gpu": {"cores": 0}}, {"gpu": {}}, "'hostRequirements.gpu.cores' must be"),
        ("hostRequirements", {"cpu": 1}, {"cpu": 1}, "did you mean 'hostRequirements.cpus'?"),
        ("portsAttributes", {"80": {"protocol": "ftp"}}, {"80": {}}, "'portsAttributes.80.protocol' must be one of"),
        ("portsAttributes", {"80": {"lable": "x"}}, {"80": {"lable": "x"}}, "did you mean 'portsAttributes.80.label'?"),
        (
            "otherPortsAttributes",
            {"onAutoForward": 1},
            {},
            "'otherPortsAttributes.onAutoForward' must be one of notify",
        ),
        ("secrets", {"T": {"descripton": "x"}}, {"T": {"descripton": "x"}}, "did you mean 'secrets.T.description'?"),
    ],
)
def test_what_devbox_can_do_without_is_a_warning(tmp_path: Path, key: str, value: Any, left: Any, said: str) -> None:
    found = contract(tmp_path, {"image": "a", key: value})
    assert found.config[key] == left
    (warning,) = found.warnings
    assert said in warning


def test_customizations_are_free(tmp_path: Path) -> None:
    found = contract(tmp_path, {"image": "a", "customizations": {"vscode": {"anything": [None]}, "mine": 1}})
    assert found.warnings == ()


@pytest.mark.parametrize(("key", "value"), [("args", {"A": []}), ("options", "--x"), ("target", 1), ("cacheFrom", [1])])
def test_a_wrong_value_inside_build(tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(ContractError, match=rf"'build\.{key}(\.A)?' must be"):
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
    assert contract(tmp_path, text).record.framework == "cuda"
    for edited in (text.replace('"a"', '"b"'), text + "// mine\n", text.replace("  ", "    "), "{}", "[]", "x", "null"):
        assert not is_generated(edited)
    assert dump(sealed(json.loads(text))) == text


def test_a_workspace_folder_that_is_not_absolute_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"'workspaceFolder' must be an absolute path, not 'rel'"):
        contract(tmp_path, {"image": "a", "workspaceFolder": "rel"})


def test_what_variables_may_not_be_meant_to_do_is_said_with_its_place(tmp_path: Path) -> None:
    """A default that ends at its colon, and what is nothing without a variable that is not set."""
    file = tmp_path / "devcontainer.json"
    file.write_text(
        """{
          "image": "debian:${localEnv:TAG}",
          "mounts": ["source=${localEnv:MODELS},target=/m,type=bind", "source=${localEnv:M:/m},target=/n,type=bind"],
          "runArgs": ["-v", "${env:DATA}:/d", "-e", "A=${localEnv:A}", "--env=B=${localEnv:B}", "--cpus=${env:SET}"],
          "remoteEnv": {"HF_TOKEN": "${localEnv:HF_TOKEN}", "PROXY": "${localEnv:PROXY:http://proxy:3128}"}
        }"""
    )
    found = read(file, tmp_path, {"SET": "2"})
    assert [warning.removeprefix(f"{file}:") for warning in found.warnings] == [
        "2:20: TAG is not set on this machine, so ${localEnv:TAG} is empty",
        "3:22: MODELS is not set on this machine, so ${localEnv:MODELS} is empty",
        "4:29: DATA is not set on this machine, so ${env:DATA} is empty",
        "5:70: the default in ${localEnv:PROXY:http://proxy:3128} ends at its colon: it is 'http'",
    ]
