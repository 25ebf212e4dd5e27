"""Compose contracts as values: files and their order, the project's name, what is read again, and the override."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.container.desired import Image, desired_service
from devbox.container.project import forget, one_shot_file, one_shot_files, one_shot_project, override_file
from devbox.devcontainer.compose import model, mounts, sources
from devbox.devcontainer.compose import override as overriding
from devbox.devcontainer.compose.model import Project
from devbox.devcontainer.compose.override import ProjectSpec
from devbox.devcontainer.compose.reading import documents
from devbox.devcontainer.compose.sealed import sealed
from devbox.devcontainer.compose.sources import Sources
from devbox.devcontainer.identity import id_labels
from devbox.devcontainer.merge import merge
from devbox.devcontainer.model import Variation
from devbox.devcontainer.read import read
from devbox.errors import ContractError
from devbox.masking import MASK, is_secret, is_secret_name
from devbox.trust.projects import of_project

if TYPE_CHECKING:
    from devbox.devcontainer.model import Contract, Merged


def contract(workspace: Path, files: Any = "compose.yaml", **config: Any) -> Contract:
    path = workspace / ".devcontainer/devcontainer.json"
    text = json.dumps({"dockerComposeFile": files, "service": "app", **config})
    return read(path, workspace, {}, text=text)


def project(config: dict[str, Any] | None = None, **values: Any) -> Project:
    services = config or {"app": {"image": "debian"}, "db": {"image": "debian"}}
    return Project(
        "p",
        Sources((Path("/w/compose.yaml"),)),
        Path("/state/p.yml"),
        "app",
        (),
        {"name": "p", "services": services},
        **values,
    )


def override(one: Project, made: Merged, mounts: tuple[str, ...] = (), **values: Any) -> dict[str, Any]:
    config = values.pop("image_config", {})
    return overriding.override(
        one, made, script="exec $@", mounts=mounts, labels=[("a", "$b")], image_config=config, **values
    )


def merged(tmp_path: Path, **config: Any) -> Merged:
    return merge(contract(tmp_path, **config), (), {}, {})


# Files


def test_files_are_beside_the_devcontainer_json(tmp_path: Path) -> None:
    found = sources.sources(contract(tmp_path, ["../compose.yaml", "extra.yaml"]), {})
    assert found == Sources((tmp_path / "compose.yaml", tmp_path / ".devcontainer/extra.yaml"))
    assert found.args() == ["-f", str(found.files[0]), "-f", str(found.files[1])]


def test_an_empty_list_means_what_the_environment_or_the_folder_says(tmp_path: Path) -> None:
    empty = contract(tmp_path, [])
    assert sources.sources(empty, {}).files == (tmp_path / "docker-compose.yml",)
    (tmp_path / "docker-compose.override.yml").touch()
    assert sources.sources(empty, {}).files[1:] == (tmp_path / "docker-compose.override.yml",)
    (tmp_path / ".env").write_text("COMPOSE_FILE=a.yml:b.yml\n")
    found = sources.sources(empty, {})
    assert found == Sources((tmp_path / "a.yml", tmp_path / "b.yml"), tmp_path / ".env")
    assert sources.sources(empty, {"COMPOSE_FILE": "c.yml"}).files == (tmp_path / "c.yml",)


@pytest.mark.parametrize(
    ("environ", "dotenv", "resolved", "file", "expected"),
    [
        ({"COMPOSE_PROJECT_NAME": "My Env"}, "COMPOSE_PROJECT_NAME=dot", "x", ".devcontainer/c.yml", "myenv"),
        ({}, "COMPOSE_PROJECT_NAME=dot.Env", "x", ".devcontainer/c.yml", "dotenv"),
        ({}, "", "its-own", ".devcontainer/c.yml", "its-own"),
        ({}, "", "devcontainer", ".devcontainer/c.yml", "llama.cpp_devcontainer".replace(".", "")),
        ({}, "", "llamacpp", "c.yml", "llamacpp"),
        ({"COMPOSE_PROJECT_NAME": "€"}, "", "devcontainer", ".devcontainer/c.yml", "llamacpp_devcontainer"),
    ],
)
def test_the_projects_name(
    tmp_path: Path, environ: dict[str, str], dotenv: str, resolved: str, file: str, expected: str
) -> None:
    folder = tmp_path / "llama.cpp"
    (folder / ".devcontainer").mkdir(parents=True)
    (folder / ".env").write_text(dotenv)
    (folder / file).write_text("services: {}\n")
    where = Sources((folder / file,))
    assert sources.project_name(contract(folder), where, resolved, environ) == expected


def test_a_project_may_be_called_devcontainer(tmp_path: Path) -> None:
    file = tmp_path / ".devcontainer/compose.yaml"
    file.parent.mkdir()
    file.write_text("name: devcontainer\nservices: {app: {ports: !reset null}}\n")
    assert sources.project_name(contract(tmp_path), Sources((file,)), "devcontainer", {}) == "devcontainer"


def test_what_docker_run_alone_knows_does_nothing(tmp_path: Path) -> None:
    found = contract(tmp_path, runArgs=["-u", "me"], appPort=80, workspaceMount="type=bind,source=/,target=/w")
    assert [warning.partition("'")[2].partition("'")[0] for warning in found.warnings] == [
        "runArgs", "appPort", "workspaceMount"
    ]  # fmt: skip
    made = merge(found, (), {})
    assert (made.remote_user, made.run_args, made.publish, found.workspace_mount) == ("root", (), (), None)


# What is read again


def test_every_file_that_compose_reads_counts(tmp_path: Path) -> None:
    file, included = tmp_path / "compose.yaml", tmp_path / "sub/more.yaml"
    included.parent.mkdir()
    file.write_text(
        "include: [sub/more.yaml, {path: [other.yaml], env_file: inc.env}]\n"
        "services:\n"
        "  app: {extends: {file: base.yaml, service: x}, env_file: [a.env, {path: b.env, required: false}]}\n"
        "  db: !override {env_file: c.env, image: x}\n"
    )
    included.write_text("services: {x: {env_file: deep.env}}\n")
    names = {"compose.yaml", "sub/more.yaml", "other.yaml", "inc.env", "base.yaml", "a.env", "b.env", "c.env", ".env"}
    found, unsure = sources.inputs(Sources((file,)))
    assert not unsure
    assert names | {"sub/deep.env", "sub/.env"} == {str(path.relative_to(tmp_path)) for path in found}


def test_what_cannot_be_followed_is_asked_each_time(tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text("services: {app: {env_file: '${X}.env'}}")
    assert sources.inputs(Sources((file,)))[1]


BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in itertools.pairwise("abcdefgh")
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("include: ['https://host/x.yaml']", "files of this machine alone"),
        ("include: [git@host:a/b]", "files of this machine alone"),
        ("include: [{path: ['oci:host/image:1']}]", "files of this machine alone"),
        ("include: [github.com/a/b]", "files of this machine alone"),
        ("include: ['../a.git#main']", "files of this machine alone"),
        ("include: ['${X}.yaml']", "files of this machine alone"),
        ("services: {a: {extends: {file: 'git://host/a', service: b}}}", "files of this machine alone"),
        ('"inc\\x6cude": ["\\x68ttps://host/x"]', "files of this machine alone"),
        ("services: {}\n---\ninclude: ['https://host/x']", "files of this machine alone"),
        ("x: &x {include: ['https://host/x']}\n<<: *x", "files of this machine alone"),
        ('include: "a\\0b"', "files of this machine alone"),
        ("services: [", "no YAML"),
        ("a: &a [*a]", "alias"),
        (BOMB, "by its aliases"),
        ("a: " + "[" * 60 + "]" * 60, "nested too deeply"),
        ("a: 1\na: 2", "says 'a' twice"),
        ("a: !!python/object/apply:os.system [x]", "has the tag"),
        ("a: !include x", "has the tag"),
        ("? [a]\n: b", "no word"),
        ("a: " + "x" * (1 << 20), "larger than"),
        ("\ufeffa: \udc80", "UTF-8"),
    ],
)
def test_what_docker_compose_is_not_to_see(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "compose.yaml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ContractError, match=said):
        sources.inputs(Sources((file,)))


def test_the_key_changes_with_files_and_the_variables_that_they_name(tmp_path: Path) -> None:
    file, absent = tmp_path / "compose.yaml", tmp_path / ".env"
    file.write_text("services: {app: {image: '${IMAGE:-x}'}}")
    key = sources.inputs_key([file, absent], {"IMAGE": "a", "OTHER": "1"})
    assert sources.inputs_key([file, absent], {"IMAGE": "a", "OTHER": "2"}) == key
    assert sources.inputs_key([file, absent], {"IMAGE": "b", "OTHER": "1"}) != key
    assert sources.inputs_key([file, absent], {"IMAGE": "a", "COMPOSE_PROFILES": "x"}) != key
    absent.touch()
    assert sources.inputs_key([file, absent], {"IMAGE": "a", "OTHER": "1"}) != key


@pytest.mark.parametrize("name", ["DB_\\x50ASSWORD", "DB_\\u0050ASSWORD", "DB_PASS\\\n      WORD", "DB_\\0120ASSWORD"])
def test_a_variable_is_told_however_its_name_is_written(tmp_path: Path, name: str) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(f'services: {{app: {{environment: {{FOO: "${{{name}}}"}}}}}}')
    key = sources.inputs_key([file], {"DB_PASSWORD": "hunter2"})
    assert sources.inputs_key([file], {"DB_PASSWORD": "hunter3"}) != key
    found = sources.host_reads([file], [], {"DB_PASSWORD": "hunter2"}, tmp_path, is_secret_name)
    assert found == (("variable", "DB_PASSWORD"),)


def test_what_is_no_key_of_docker_compose_is_not_passed_on() -> None:
    chosen = {"x-named": {"image": "a", "x-bake": {}, "environment": {"x-kept": "1"}, "labels": {"x-kept": "1"}}}
    config = {"x-top": {}, "services": {**chosen, "b": {"build": {"x-bake": {}, "args": {"x-kept": "1"}}}}}
    kept = {"image": "a", "environment": {"x-kept": "1"}, "labels": {"x-kept": "1"}}
    assert sealed(config, {})[0] == {"services": {"x-named": kept, "b": {"build": {"args": {"x-kept": "1"}}}}}


def test_a_short_secret_that_the_files_name_is_sealed() -> None:
    config = {"services": {"app": {"environment": {"FOO": "hunter2"}, "healthcheck": {"test": ["a hunter2"]}}}}
    assert sealed(config, {"DB_PASSWORD": "hunter2"})[1] == {}
    written, secrets = sealed(config, {"DB_PASSWORD": "hunter2"}, ["DB_PASSWORD"])
    assert "hunter2" not in json.dumps(written)
    assert set(secrets.values()) == {"hunter2"}


def test_a_run_leaves_the_files_alone_that_an_up_or_another_run_may_read(tmp_path: Path) -> None:
    one, made = contract(tmp_path), project()
    first, second = (one_shot_project(one, made, name) for name in ("a", "b"))
    files = [made.path, override_file(one), first.path, one_shot_file(first), second.path, one_shot_file(second)]
    assert len(set(files)) == len(files)
    assert first == replace(made, path=first.path)
    for file in files[1:]:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    with one_shot_files("a"):
        forget(dict(id_labels(one.workspace, one.path)), keep_name=False)
        assert [file.exists() for file in files[1:]] == [False, True, True, True, True]
    assert [file.exists() for file in files[2:]] == [False, False, True, True]
    os.utime(second.path, (0, 0))
    with one_shot_files("c"):
        pass
    assert [file.exists() for file in files[4:]] == [False, True]


def test_secrets_of_a_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("export A_TOKEN='a b' # x\nB_KEY: c # d\nC_KEY=\"e#\"\nPLAIN=f\n#D_KEY=g\n")
    found = sources.dotenv_secrets(Sources((tmp_path / "compose.yaml",)), is_secret_name)
    assert found == {"A_TOKEN": "a b", "B_KEY": "c", "C_KEY": "e#"}
    assert sources.dotenv_secrets(Sources((tmp_path / "x/compose.yaml",)), is_secret_name) == {}


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace")))
def test_any_text_is_yaml_or_an_error_of_its_own(text: bytes) -> None:
    with contextlib.suppress(ContractError):
        documents(Path("compose.yaml"), text)


# Services


def test_services_to_start() -> None:
    services = {
        "app": {"depends_on": {"db": {}}},
        "db": {"depends_on": {"disk": {}}},
        "disk": {"profiles": ["x"]},
        "web": {},
        "debug": {"profiles": ["debug"]},
    }
    every = project(services)
    assert every.named() == ()
    assert every.started() == ("app", "db", "disk", "web")
    debugged = project(services, profiles=("debug",))
    assert "debug" in debugged.started()
    only = Project("p", every.sources, every.path, "app", ("web",), every.config)
    assert (only.named(), only.started()) == (("web", "app"), ("app", "db", "disk", "web"))


def test_services_that_do_not_stay() -> None:
    services = {
        "app": {"depends_on": {"migrate": {"condition": "service_completed_successfully"}, "db": {}}},
        "migrate": {},
        "db": {},
        "none": {"scale": 0},
        "few": {"deploy": {"replicas": 0}},
    }
    one = project(services)
    assert (one.started(), one.run_once()) == (("app", "db", "migrate"), {"migrate"})


def test_a_service_with_a_profile_that_is_off_is_named() -> None:
    one = project({"app": {"profiles": ["dev"]}, "db": {}})
    assert one.named() == ("db", "app")


def test_secrets_are_not_kept() -> None:
    config = {"services": {"app": {"environment": {"HF_TOKEN": "abc", "A": "1", "B": None}, "build": {"args": {}}}}}
    assert model.without_secrets(config, is_secret)["services"]["app"]["environment"] == {
        "HF_TOKEN": MASK, "A": "1", "B": None
    }  # fmt: skip


# The image


def test_a_build_section_becomes_a_recipe(tmp_path: Path) -> None:
    build = {
        "context": "/w", "dockerfile": "d/Dockerfile", "target": "dev", "args": {"A": "$5", "N": None},
        "cache_from": ["c"], "additional_contexts": {"x": "/y"}, "ssh": ["default"], "network": "host",
        "extra_hosts": ["h=1.2.3.4"], "secrets": [{"source": "ca"}],
    }  # fmt: skip
    one = project({"app": {"build": build}})
    one.config["secrets"] = {"ca": {"file": "/etc/ca,1.pem"}}
    made = model.as_image_contract(contract(tmp_path), one, {})
    assert made is not None
    assert made.build is not None
    assert (made.kind, made.build.context, made.build.dockerfile) == ("build", Path("/w"), Path("/w/d/Dockerfile"))
    assert (made.build.target, made.build.args, made.build.cache_from) == ("dev", (("A", "$5"),), ("c",))
    assert made.build.options == (
        "--build-context=x=/y", '--secret=id=ca,"src=/etc/ca,1.pem"', "--ssh=default", "--network=host",
        "--add-host=h:1.2.3.4",
    )  # fmt: skip


@pytest.mark.parametrize(
    "build",
    [
        {"context": "https://host/repo.git"},
        {"context": "/w", "dockerfile_inline": "FROM x"},
        {"context": "/w", "args": {"TOKEN": MASK}},
        {"context": "/w", "secrets": [{"source": "gone"}]},
    ],
)
def test_only_compose_can_build_the_rest(tmp_path: Path, build: dict[str, Any]) -> None:
    assert model.as_image_contract(contract(tmp_path), project({"app": {"build": build}}), {}) is None


def test_a_hidden_argument_and_a_proxy_are_passed_by_name(tmp_path: Path) -> None:
    one = project({"app": {"build": {"context": "/w", "args": {"TOKEN": MASK, "http_proxy": "http://proxy"}}}})
    made = model.as_image_contract(contract(tmp_path), one, {"TOKEN": "abc", "http_proxy": "http://proxy"})
    assert made is not None
    assert made.build is not None
    assert (made.build.args, made.build.options) == ((), ("--build-arg=TOKEN", "--build-arg=http_proxy"))


# The override


def test_mounts_keep_what_they_say(tmp_path: Path) -> None:
    mounts = (
        "type=bind,source=/a$b,target=/a,readonly,bind-propagation=rslave",
        "type=volume,source=v,target=/v,volume-nocopy=true,volume-opt=type=tmpfs,volume-opt=device=tmpfs",
        "type=volume,target=/anonymous",
        "type=tmpfs,target=/t,tmpfs-size=1g,tmpfs-mode=1770",
        "type=volume,source=known,target=/k,ro",
    )
    one = project()
    one.config["volumes"] = {"known": {"name": "x"}}
    made = override(one, merged(tmp_path), mounts)
    assert made["services"]["app"]["volumes"] == [
        {
            "type": "bind", "source": "/a$$b", "target": "/a", "read_only": True,
            "bind": {"create_host_path": True, "propagation": "rslave"},
        },
        {"type": "volume", "source": "v", "target": "/v", "volume": {"nocopy": True}},
        {"type": "volume", "target": "/anonymous"},
        {"type": "tmpfs", "target": "/t", "tmpfs": {"size": "1g", "mode": 0o1770}},
        {"type": "volume", "source": "known", "target": "/k", "read_only": True},
    ]  # fmt: skip
    assert made["volumes"] == {
        "v": {"driver": "local", "driver_opts": {"type": "tmpfs", "device": "tmpfs"}},
        "known": {},
    }


def test_a_mode_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="tmpfs-mode"):
        override(project(), merged(tmp_path), ("type=tmpfs,target=/t,tmpfs-mode=rw",))


def test_properties_go_into_the_override(tmp_path: Path) -> None:
    made = merged(
        tmp_path, init=True, privileged=True, capAdd=["A"], securityOpt=["b=c"], containerUser="u",
        containerEnv={"PRICE": "$5", "LINES": "a\nb"},
    )  # fmt: skip
    app = override(project(), made, image="other")["services"]["app"]
    assert (app["init"], app["privileged"], app["cap_add"], app["security_opt"]) == (True, True, ["A"], ["b=c"])
    assert (app["user"], app["image"]) == ("u", "other")
    assert app["environment"] == {"PRICE": "$$5", "LINES": "a\nb"}
    assert app["labels"] == {"a": "$$b"}
    assert app["entrypoint"][:4] == ["/bin/sh", "-c", "exec $$@", "-"]


def test_a_line_break_is_what_the_reference_makes_of_it_for_those_who_call_it(tmp_path: Path) -> None:
    """And nothing has changed by that for `devbox up`, which finds the same recorded."""
    plain = contract(tmp_path, containerEnv={"LINES": "a\nb"})
    as_reference = replace(plain, variation=Variation(lenient=True))
    image = Image("debian", "sha256:1", "sha256:1", {})
    found = [
        desired_service(one, merge(one, (), {}, {}), image, project(), path=tmp_path / "override.yml")
        for one in (plain, as_reference)
    ]
    services = [json.loads(one.spec.text())["services"]["app"] for one in found if isinstance(one.spec, ProjectSpec)]
    assert [service["environment"] for service in services] == [{"LINES": "a\nb"}, {"LINES": "a\\nb"}]
    assert found[0].state == found[1].state


@pytest.mark.parametrize(
    ("config", "service", "entrypoint", "command"),
    [
        ({}, {}, ["/e$$"], ["c"]),
        ({}, {"command": ["x"]}, ["/e$$"], ["x"]),
        ({}, {"entrypoint": ["y", "$z"], "command": ["$"]}, ["y", "$$z"], ["$$"]),
        ({}, {"entrypoint": [], "command": ["x"]}, [], ["x"]),
        ({"overrideCommand": True}, {"entrypoint": ["y"], "command": ["x"]}, [], []),
        ({"overrideCommand": False}, {"command": None}, ["/e$$"], ["c"]),
    ],
)
def test_the_first_process(
    tmp_path: Path, config: dict[str, Any], service: dict[str, Any], entrypoint: list[str], command: list[str]
) -> None:
    image = {"Entrypoint": ["/e$"], "Cmd": ["c"]}
    made = override(project({"app": service}), merged(tmp_path, **config), image_config=image)["services"]["app"]
    assert (made["entrypoint"][4:], made["command"]) == (entrypoint, command)


def spec(services: dict[str, Any]) -> ProjectSpec:
    one = project(services)
    return ProjectSpec(one, {"services": {"app": {"init": True}}}, Path("/s/override.yml"))


def test_gpus_are_reserved_in_full() -> None:
    item = {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    made = overriding.with_gpus(spec({"app": {}}), item).override["services"]["app"]
    assert made == {"init": True, "deploy": {"resources": {"reservations": {"devices": [item]}}}}


def test_a_refused_limit_is_lowered_where_it_is_set() -> None:
    services = {"app": {"ulimits": {"memlock": -1}}, "db": {"ulimits": {"memlock": -1, "core": 0}}, "web": {}}
    made = overriding.with_limit(spec(services), "memlock", 64).override["services"]
    limit = {"memlock": {"soft": 64, "hard": 64}}
    assert made == {"app": {"init": True, "ulimits": limit}, "db": {"ulimits": limit}}


def test_the_override_is_json_that_shows_no_secret(tmp_path: Path) -> None:
    made = merged(tmp_path, containerEnv={"HF_TOKEN": "hunter2"})
    one = ProjectSpec(project(), override(project(), made), Path("/s/override.yml"))
    assert json.loads(one.text()) == one.override == documents(one.path, one.text().encode())[0]
    assert "hunter2" not in one.shown(is_secret)


def test_a_container_for_one_command_is_no_dev_container(tmp_path: Path) -> None:
    made = ProjectSpec(project(), override(project(), merged(tmp_path)), Path("/s/o.yml"))
    shot = overriding.one_shot(made, labels=[("devbox.run", "/w")], env=[("A", "$")], ulimits={})
    app = shot.override["services"]["app"]
    assert (app["labels"], app["environment"]) == ({"devbox.run": "/w"}, {"A": "$$"})
    assert (app["entrypoint"], app["command"]) == ([], [])


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=60))
def test_escaped_text_has_no_single_dollar(text: str) -> None:
    assert mounts.escaped(text).replace("$$", "") == text.replace("$", "")


def test_a_relative_compose_file_is_absolute(tmp_path: Path) -> None:
    found = sources.sources(contract(tmp_path, "../../x.yaml"), {})
    assert found.files == (Path(os.path.abspath(tmp_path / "../x.yaml")),)  # noqa: PTH100


# What services reach


def reach(tmp_path: Path, service: dict[str, Any], **top: Any) -> tuple[str, ...]:
    return tuple(one.said for one in of_project({"services": {"app": service}, **top}, tmp_path))


@pytest.mark.parametrize(
    ("service", "words"),
    [
        ({"privileged": True}, "runs privileged"),
        ({"cap_add": ["SYS_ADMIN"]}, "has the capability SYS_ADMIN"),
        ({"security_opt": ["seccomp=unconfined"]}, "sets the security option"),
        ({"devices": [{"source": "/dev/kvm"}]}, "sets devices:"),
        ({"network_mode": "host"}, "sets network_mode: host"),
        ({"network_mode": "container:other"}, "sets network_mode: container:other"),
        ({"pid": "host"}, "sets pid: host"),
        ({"volumes": [{"type": "bind", "source": "/etc", "target": "/e"}]}, "mounts /etc of the host at /e"),
        ({"volumes": [{"type": "bind", "source": "/var/run/docker.sock", "target": "/s"}]}, "engine's socket"),
        ({"volumes_from": ["container:other"]}, "sets volumes_from"),
        ({"use_api_socket": True}, "sets use_api_socket"),
        ({"provider": {"type": "program"}}, "sets provider"),
        ({"a_key_of_tomorrow": 1}, "sets a_key_of_tomorrow: 1"),
        ({"build": {"context": "/elsewhere", "ssh": ["default"]}}, 'is built with ssh: ["default"]'),
        ({"build": {"context": "/elsewhere"}}, "takes the build context /elsewhere from outside"),
    ],
)
def test_what_a_service_reaches_is_said(tmp_path: Path, service: dict[str, Any], words: str) -> None:
    found = reach(tmp_path, service)
    assert found
    assert words in found[0]
    assert found[0].startswith("the service app ")


def test_volumes_and_secrets_may_be_folders_of_the_host(tmp_path: Path) -> None:
    volumes = {"v": {"driver_opts": {"type": "none", "o": "bind", "device": "/"}}}
    found = reach(tmp_path, {"volumes": [{"type": "volume", "source": "v", "target": "/v"}]}, volumes=volumes)
    assert "device=/" in found[0]
    found = reach(tmp_path, {}, secrets={"key": {"file": "/home/me/.ssh/id"}, "token": {"environment": "TOKEN"}})
    assert found == (
        "a service reads /home/me/.ssh/id of the host, as its secret key",
        "a service reads the host's variable TOKEN",
    )


def test_an_ordinary_service_reaches_nothing(tmp_path: Path) -> None:
    inside = {"type": "bind", "source": str(tmp_path), "target": "/work"}
    service = {
        "image": "x", "command": ["y"], "ports": [{"target": 1}], "volumes": [inside], "network_mode": "service:db",
        "ulimits": {}, "healthcheck": {}, "build": {"context": str(tmp_path), "dockerfile": "Dockerfile"},
        "cap_drop": ["ALL"], "networks": {"default": None}, "devices": None,
    }  # fmt: skip
    assert reach(tmp_path, service) == ()


def test_what_the_files_take_from_the_host(tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    workspace.mkdir()
    inside, outside = workspace / "compose.yaml", tmp_path / "aws.env"
    inside.write_text("services: {app: {environment: ['HF_TOKEN', 'X=${API_KEY}', 'HOME']}}")
    outside.write_text("A=1")
    environ = {"HF_TOKEN": "a", "API_KEY": "b", "HOME": "/", "OTHER_TOKEN": "c"}
    read = [inside, outside, workspace / "gone"]
    found = sources.host_reads(read, ["$HOME/x"], environ, workspace, is_secret_name)
    assert found == (
        ("path", str(outside)),
        ("unsure", "$HOME/x"),
        ("variable", "API_KEY"),
        ("variable", "HF_TOKEN"),
    )
