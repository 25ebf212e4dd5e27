"""Checkouts that try to reach the host unasked, as data: each kind of hole in several spellings.

`{out}` is a folder of the host outside the workspace, `{port}` a listener on loopback, `{me}` the workspace and
`{image}` an image that is there. `says` is a part of what a person is shown, or of the error. `config` is a
devcontainer.json, `files` are others of the checkout.
"""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

IMAGE = "devbox-base:cpu-debian12"


class Case(NamedTuple):
    kind: str
    config: dict[str, Any]
    says: str
    files: Mapping[str, str] = MappingProxyType({})


def image(kind: str, says: str, *configs: dict[str, Any]) -> list[Case]:
    return [Case(kind, {"image": IMAGE, **config}, says) for config in configs]


def mounts(kind: str, says: str, *texts: Any) -> list[Case]:
    return image(kind, says, *({"mounts": [text]} for text in texts))


def run_args(kind: str, says: str, *arguments: list[str]) -> list[Case]:
    return image(kind, says, *({"runArgs": one} for one in arguments))


def compose(kind: str, says: str, *texts: str, **files: str) -> list[Case]:
    config = {"dockerComposeFile": "c.yaml", "service": "a"}
    more = {name.replace("__", "/").replace("_", "."): text for name, text in files.items()}
    return [Case(kind, config, says, {".devcontainer/c.yaml": text, **more}) for text in texts]


def services(kind: str, says: str, *definitions: dict[str, Any], **top: Any) -> list[Case]:
    texts = [json.dumps({"services": {"a": {"image": IMAGE, **one}}, **top}) for one in definitions]
    return compose(kind, says, *texts)


REMOTE = "files of this machine alone"
CASES = [
    # docker compose fetches while it only says what the files mean
    *compose(
        "include",
        REMOTE,
        "include: ['https://127.0.0.1:{port}/x.git']\nservices: {a: {image: x}}",
        "include: ['git@127.0.0.1:a/b.git']\nservices: {a: {image: x}}",
        "include: [{path: 'ssh://127.0.0.1:{port}/a'}]\nservices: {a: {image: x}}",
        "include: ['oci://127.0.0.1:{port}/a:1']\nservices: {a: {image: x}}",
        "include: ['oci:127.0.0.1:{port}/a:1']\nservices: {a: {image: x}}",
        "include: [github.com/a/b]\nservices: {a: {image: x}}",
        'include: ["\\x67it@127.0.0.1:a/b"]\nservices: {a: {image: x}}',
        '? "inclu\\x64e"\n: [git://127.0.0.1/x]\nservices: {a: {image: x}}',
        "include: ['${NOWHERE}']\nservices: {a: {image: x}}",
        "include: ['${X:-git://127.0.0.1/x}']\nservices: {a: {image: x}}",
        "services: {a: {extends: {file: 'https://127.0.0.1:{port}/c.git', service: x}}}",
        "services: {a: {extends: {file: 'git@127.0.0.1:a', service: x}}}",
        "services: {a: {image: x}}\n---\ninclude: ['https://127.0.0.1:{port}/x']",
        "x-a: &a {include: ['https://127.0.0.1:{port}/x']}\n<<: *a\nservices: {a: {image: x}}",
        _env="GIT_SSH_COMMAND=touch {out}/fired\n",
    ),
    *[
        Case(
            "include",
            {"dockerComposeFile": "c.yaml", "service": "a"},
            REMOTE,
            {
                ".devcontainer/c.yaml": "include: [more.yaml]\nservices: {a: {image: x}}",
                ".devcontainer/more.yaml": text,
            },
        )
        for text in ("include: ['https://127.0.0.1:{port}/x']", "services: {b: {extends: {file: 'oci:x', service: y}}}")
    ],
    *compose(
        "yaml",
        "alias|nested|larger|twice|tag|UTF-8|no YAML|no word",
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
        "services: &a {a: *a}",
        "services: " + "[" * 100 + "]" * 100,
        "services: {a: {image: x}}\nservices: {a: {privileged: true}}",
        "services: {a: {image: x, image: y}}",
        "services: !!python/object/apply:os.system ['touch {out}/fired']",
        "services: !include /etc/passwd",
        "services: {a: {image: x}",
        "{? [1] : x}",
    ),
    # spellings that Python and Go read differently
    *mounts(
        "mount",
        "outside|control character|no option of a mount|twice|cannot be read|mounts |no volume's name|no source",
        "type=bind,source={out},target=/x",
        "type=bind\r,source={out},target=/x",
        "type=bind,source={out}\r\n,target=/x",
        "TYPE=bind,SOURCE={out},TARGET=/x",
        "Type=BIND,Src={out},Dst=/x",
        "type=volume,type=bind,source={out},target=/x",
        "type=bind,source={me},source={out},target=/x",
        "type=bind,source={me},src={out},target=/x",
        '"type=bind","source={out}","target=/x"',
        'type=bind,"source={out}",target=/x',
        'type=bind,source="{out}",target=/x',
        " type=bind,source={out},target=/x",
        "type=bind,\u212aource={out},source={me},target=/x",
        "type=bind,source={out},target=/x,readonly",
        "type=bind,source={me}/../out,target=/x",
        "type=bind,source={me}/./../out,target=/x",
        "type=bind,source=//{out},target=/x",
        "source={out},target=/x",
        "type=bind,source=..,target=/x",
        "type=bind,source=./..,target=/x",
        "type=bind,source=../out,target=/x",
        {"type": "bind", "source": "{out}", "target": "/x"},
        {"type": "bind", "source": "{me}/..", "target": "/x"},
        {"type": "bind", "source": "{me},source={out}", "target": "/x"},
    ),
    *mounts(
        "volume-opt",
        "driver options|no option of a mount|control character",
        "type=volume,source=v,target=/x,volume-opt=type=none,volume-opt=o=bind,volume-opt=device={out}",
        "type=volume,source=v,target=/x,Volume-Opt=type=none,VOLUME-OPT=o=bind,volume-OPT=device={out}",
        "target=/x,source=v,volume-opt=device={out},volume-driver=local",
        'source=v,target=/x,"volume-opt=device={out}"',
        "source=v,target=/x,volume-driver=vieux/sshfs",
        "source=v,target=/x,volume-opt\r=device={out}",
    ),
    *image(
        "workspaceMount",
        "mounts |control character|twice|no option of a mount",
        {"workspaceMount": "type=bind,source={out},target=/w", "workspaceFolder": "/w"},
        {"workspaceMount": "Type=bind,SRC={out},target=/w", "workspaceFolder": "/w"},
        {"workspaceMount": "type=bind,source={me},target=/w,source={out}", "workspaceFolder": "/w"},
        {"workspaceMount": "type=bind,source=..,target=/w", "workspaceFolder": "/w"},
        {"workspaceMount": "type=bind,source=${localWorkspaceFolder}/..,target=/w", "workspaceFolder": "/w"},
        {"workspaceMount": "type=bind\n,source={out},target=/w", "workspaceFolder": "/w"},
    ),
    *run_args(
        "-v",
        "mounts |cannot be read|neither|control character|no mode",
        ["-v", "{out}:/x"],
        ["-v{out}:/x"],
        ["-v={out}:/x"],
        ["--volume={out}:/x"],
        ["--volume", "{out}:/x:ro"],
        ["-itv", "{out}:/x"],
        ["-v", "..:/x"],
        ["-v", "./..:/x"],
        ["-v", "{me}/../out:/x"],
        ["-v", "~:/x"],
        ["-v", "{out}:/x:z,rw"],
        ["-v", "{out}\r:/x"],
        ["--mount", "type=bind,src={out},dst=/x"],
        ["--mount=TYPE=bind,SRC={out},DST=/x"],
        ["-v", "c:\\x:/x"],
        ["-v", "{out}:/x:shared"],
    ),
    *run_args(
        "option",
        "passes to docker run|has the|no option|value|image|true nor false|does not know",
        ["--privileged"],
        ["--privileged=1"],
        ["--privileged=TRUE"],
        ["--cap-add=ALL"],
        ["--cap-add", "sys_admin"],
        ["--security-opt", "seccomp=unconfined"],
        ["--security-opt=apparmor=unconfined"],
        ["--device=/dev/kvm"],
        ["--device", "/dev/mem:/dev/null:r"],
        ["--device-cgroup-rule=a *:* rwm"],
        ["--volumes-from", "other"],
        ["--volumes-from=other:ro"],
        ["--env-file", "{out}/secret"],
        ["--label-file={out}/secret"],
        ["--cidfile={out}/fired"],
        ["--runtime=evil"],
        ["--cgroup-parent", "/"],
        ["--use-api-socket"],
        ["-P"],
        ["--link", "db"],
        ["--sysctl", "kernel.x=1"],
        ["--log-driver=syslog"],
        ["--storage-opt=size=1"],
        ["--annotation=x=y"],
        ["--unknown-flag=x"],
        ["--unknown-flag", "x"],
        ["other-image"],
        ["--", "other-image"],
        ["--init", "other-image", "sh"],
        ["--name", "--privileged"],
        ["-e", "--privileged"],
        ["-zz"],
        ["--Privileged"],
        ["--privileged\r"],
        ["\u2013-privileged"],
        ["--init=perhaps"],
    ),
    *run_args(
        "namespace",
        "passes to docker run|option of joining|no name of a network",
        ["--network=host"],
        ["--net=host"],
        ["--network", "host"],
        ["--network=name=host"],
        ["--network", "name=host,alias=x"],
        ["--network=NAME=host"],
        ["--network=name=HOST"],
        ["--network=name= host"],
        ["--network=container:db"],
        ["--network", "prod"],
        ["--pid=host"],
        ["--pid", "container:db"],
        ["--ipc=host"],
        ["--ipc=container:db"],
        ["--uts=host"],
        ["--userns=host"],
        ["--cgroupns=host"],
    ),
    *run_args(
        "label",
        "mark by which|no label",
        ["--label", "devcontainer.local_folder=/other"],
        ["--label=devcontainer.local_folder=/other"],
        ["-l", "devcontainer.config_file=/other"],
        ["-ldevbox.workspace=/other"],
        ["--label=DEVBOX.contract={}"],
        ["--label", "com.docker.compose.project=other"],
        ["--label= devcontainer.local_folder=/other"],
    ),
    *mounts(
        "volume",
        "volume of another workspace",
        "source=devbox-1000-build-0123456789ab,target=/b",
        "type=volume,src=devbox-0-build-ffffffffffff,dst=/b",
        "type=volume,source=devbox-1000-build-0123456789ab,target=/b,readonly",
    ),
    *run_args("volume", "volume of another workspace", ["-v", "devbox-1000-build-0123456789ab:/b"]),
    *mounts(
        "socket",
        "engine's socket|mounts /",
        "type=bind,source=/var/run/docker.sock,target=/x",
        "type=bind,src=/run/docker.sock,target=/x,readonly",
        "type=bind,source=//var//run/./docker.sock,target=/x",
        "type=bind,source=/var/run,target=/x",
    ),
    # commands on the host
    *image(
        "command",
        "runs on the host",
        {"initializeCommand": "touch {out}/fired"},
        {"initializeCommand": ["touch", "{out}/fired"]},
        {"initializeCommand": {"a": "true", "b": ["touch", "{out}/fired"]}},
        {"initializeCommand": "true " + " " * 500 + "; touch {out}/fired"},
        {"initializeCommand": "true\r\x1b[2K\x1b[1A; touch {out}/fired"},
        {"initializeCommand": "echo \u202e; touch {out}/fired"},
    ),
    # secrets of the host
    *image(
        "variable",
        "host's variable",
        {"remoteEnv": {"X": "${localEnv:HF_TOKEN}"}},
        {"containerEnv": {"X": "${env:HF_TOKEN}"}},
        {"containerEnv": {"INNOCENT": "a${localEnv:HF_TOKEN:b}c"}},
        {"remoteEnv": {"X": "${localEnv:GH_PAT}"}},
        {"remoteEnv": {"X": "${localEnv:DATABASE_URL}"}},
        {"remoteEnv": {"X": "${localEnv:PGPASSWORD}"}},
        {"remoteEnv": {"X": "${localEnv:MYSQL_PWD}"}},
        {"remoteEnv": {"X": "${localEnv:SENTRY_DSN}"}},
        {"secrets": {"HF_TOKEN": {}}},
        {"runArgs": ["-e", "HF_TOKEN"]},
        {"runArgs": ["--env=HF_TOKEN"]},
        {"postCreateCommand": "echo ${localEnv:HF_TOKEN}"},
        {"mounts": ["source=${localEnv:HF_TOKEN},target=/x"]},
        {"build": {"dockerfile": "D", "args": {"A": "${localEnv:AWS_SECRET_ACCESS_KEY}"}}, "image": None},
    ),
    *compose(
        "variable",
        "host's variable HF_TOKEN",
        "services: {a: {image: {image}, environment: {X: '${HF_TOKEN}'}}}",
        "services: {a: {image: {image}, environment: [HF_TOKEN]}}",
        'services: {a: {image: {image}, environment: {X: "${\\x48F_TOKEN}"}}}',
        'services: {a: {image: {image}, environment: {"\\u0048F_TOKEN": }}}',
        'services: {a: {image: {image}, labels: {X: "a$\\x48F_TOKEN"}}}',
        'services:\n  a:\n    image: {image}\n    environment:\n      X: "${HF_\\\n        TOKEN}"',
        "services: {a: {image: {image}, environment: {X: '${NOT:-$HF_TOKEN}'}}}",
        "services: {a: {image: {image}}}\nsecrets: {s: {environment: HF_TOKEN}}",
    ),
    # files of the host that compose reads, by names that say nothing or in a place that somebody else says
    *compose(
        "read",
        "reads ",
        "services: {a: {image: {image}, env_file: ['{out}/secret']}}",
        "services: {a: {image: {image}, env_file: ['${OUT}/secret']}}",
        "services: {a: {image: {image}, env_file: [{path: '$OUT/secret', required: false}]}}",
        "services: {a: {image: {image}, env_file: [{path: '~/secret', required: false}]}}",
        "services: {a: {image: {image}, env_file: ['${NOWHERE:-{out}}/secret']}}",
        "services: {a: {image: {image}, env_file: ['${FILE:-more.yaml}']}}",
        "services: {a: {image: {image}, env_file: ['../../out/secret']}}",
        "include: [{path: more.yaml, env_file: '${OUT}/secret'}]\nservices: {a: {image: {image}}}",
        "include: [{path: more.yaml, env_file: '{out}/secret'}]\nservices: {a: {image: {image}}}",
        "include: [{path: read.yaml, project_directory: '{out}'}]\nservices: {a: {image: {image}}}",
        "include: [{path: read.yaml, project_directory: '$OUT'}]\nservices: {a: {image: {image}}}",
        "include: [{path: read.yaml, project_directory: '${OUT}'}]\nservices: {a: {image: {image}}}",
        "include: [{path: read.yaml, project_directory: ../../out}]\nservices: {a: {image: {image}}}",
        _devcontainer__more_yaml="services: {b: {image: x}}",
        _devcontainer__read_yaml="services: {b: {image: x, env_file: [secret]}}",
        _devcontainer___env="FILE={out}/secret",
    ),
    # what a variable like a secret holds is reached, not only the variable
    *compose(
        "under-a-key",
        "/out(/secret)? of the host|/out from outside|engine's socket|container:somebodys|SYS_ADMINISTER",
        "services: {a: {image: {image}, volumes: ['${OUT_KEY}:/o']}}",
        "services: {a: {image: {image}, volumes: ['${OUT_KEY}/secret:/o']}}",
        "services: {a: {image: {image}, volumes: ['${SOCK_KEY}:/o']}}",
        "services: {a: {build: {context: '${OUT_KEY}'}}}",
        "services: {a: {build: {context: ., additional_contexts: {x: '${OUT_KEY}'}}}}",
        "services: {a: {image: {image}, secrets: [s]}}\nsecrets: {s: {file: '${OUT_KEY}/secret'}}",
        "services: {a: {image: {image}, configs: [s]}}\nconfigs: {s: {file: '${OUT_KEY}/secret'}}",
        "services: {a: {image: {image}, pid: '${SPACE_KEY}'}}",
        "services: {a: {image: {image}, cap_add: ['${CAP_KEY}']}}",
    ),
    # image builds that reach the host
    *[
        Case(
            "build",
            {"build": {"dockerfile": "D", **build}},
            "docker build|outside the workspace|is built with",
            {".devcontainer/D": f"FROM {IMAGE}"},
        )
        for build in (
            {"options": ["--ssh=default"]},
            {"options": ["--secret", "id=x,src={out}/secret"]},
            {"options": ["--secret=id=x,src=/dev/null,src={out}/secret"]},
            {"options": ["--secret=id=x,src={me}/../out/secret"]},
            {"options": ["--secret=id=HF_TOKEN"]},
            {"options": ["--secret=id=x,env=HF_TOKEN"]},
            {"options": ['--secret=id=x,"src={out}/secret"']},
            {"options": ["--secret=id=x,Src={out}/secret,src=/dev/null"]},
            {"context": "/"},
            {"options": ["--network=host"]},
            {"options": ["--build-context=x={out}"]},
            {"context": "../.."},
            {"options": ["--allow", "security.insecure"]},
            {"options": ["--output=type=local,dest={out}"]},
            {"options": ["{out}"]},
            {"options": ["--build-context", "x={out}"]},
            {"options": ["--build-context=x=.."]},
            {"options": ["--no-cache", "{out}"]},
            {"options": ["--shm-size=1g", "--ssh", "default"]},
            {"options": ["--label"]},
            {"cacheFrom": "type=local,src={out}"},
            {"cacheFrom": ["type=gha"]},
            {"dockerfile": "../../D"},
        )
    ],
    *services(
        "compose build",
        "is built|outside the workspace|is elsewhere|of the host",
        *(
            {"build": {"context": ".", **build}}
            for build in (
                {"additional_contexts": {"x": "{out}"}},
                {"additional_contexts": ["x={out}"]},
                {"ssh": ["default"]},
                {"additional_contexts": {"x": "https://127.0.0.1:{port}/x.git"}},
                {"network": "host"},
                {"ssh": ["default"], "dockerfile_inline": "FROM x"},
                {"cache_from": ["type=s3,region=x,bucket=y,name=z"]},
                {"privileged": True},
                {"entitlements": ["network.host"]},
                {"cache_to": ["type=local,dest={out}/fired"]},
                {"cache_from": ["type=local,src={out}"]},
                {"context": "/"},
                {"context": "https://127.0.0.1:{port}/x.git"},
                {"context": "../.."},
                {"dockerfile": "../../D"},
            )
        ),
    ),
    *services(
        "service",
        "the service a",
        {"privileged": True},
        {"cap_add": ["ALL"]},
        {"security_opt": ["seccomp=unconfined"]},
        {"devices": ["/dev/kvm"]},
        {"network_mode": "host"},
        {"network_mode": "container:x"},
        {"network_mode": "prod"},
        {"pid": "host"},
        {"ipc": "host"},
        {"uts": "host"},
        {"userns_mode": "host"},
        {"cgroup": "host"},
        {"cgroup_parent": "/"},
        {"runtime": "evil"},
        {"volumes": ["{out}:/x"]},
        {"volumes": ["../..:/x"]},
        {"volumes": ["/var/run/docker.sock:/s"]},
        {"volumes": [{"type": "bind", "source": "{out}", "target": "/x"}]},
        {"volumes_from": ["container:x"]},
        {"device_cgroup_rules": ["a *:* rwm"]},
        {"credential_spec": {"file": "x"}},
        {"annotations": {"run.oci.handler": "x"}},
        {"logging": {"driver": "syslog", "options": {"syslog-address": "tcp://127.0.0.1:{port}"}}},
        {"logging": {"driver": "fluentd"}},
        {"external_links": ["prod:db"], "network_mode": "bridge"},
        {"oom_score_adj": -1000},
        {"oom_kill_disable": True},
        {
            "deploy": {
                "resources": {
                    "reservations": {
                        "devices": [{"driver": "cdi", "device_ids": ["x.y/z=all"], "capabilities": ["gpu"]}]
                    }
                }
            }
        },
        {"volumes": [{"type": "bind", "source": "../x", "target": "/d", "bind": {"propagation": "shared"}}]},
        {"labels": {"devcontainer.local_folder": "/other"}},
        {"labels": ["devbox.workspace=/other"]},
        {"restart": "always", "volumes": ["../data:/d"]},
        {"restart": "unless-stopped", "volumes": ["./x:/d"]},
        {"deploy": {"restart_policy": {"condition": "any"}}, "volumes": ["../data:/d"]},
    ),
    *services("network", "the network", {}, networks={"default": {"driver": "macvlan"}}),
    *services(
        "network", "the network", {}, networks={"default": {"driver": "ipvlan", "driver_opts": {"parent": "eth0"}}}
    ),
    *services("network", "the network", {}, networks={"default": {"ipam": {"config": [{"subnet": "0.0.0.0/1"}]}}}),
    *services("network", "the network", {}, networks={"default": {"ipam": {"config": [{"subnet": "8.8.8.0/24"}]}}}),
    *services("network", "the network", {}, networks={"default": {"external": True, "name": "host"}}),
    *services("network", "the network", {}, networks={"default": {"external": True, "name": "prod"}}),
    *services(
        "network", "the network", {}, networks={"default": {"driver_opts": {"com.docker.network.bridge.name": "x"}}}
    ),
    *services(
        "driver",
        "driver options",
        {"volumes": ["vol:/x"]},
        volumes={"vol": {"driver_opts": {"type": "none", "o": "bind", "device": "{out}"}}},
    ),
    *services("driver", "driver options", {"volumes": ["vol:/x"]}, volumes={"vol": {"driver": "vieux/sshfs"}}),
    *services(
        "driver",
        "another workspace",
        {"volumes": ["vol:/x"]},
        volumes={"vol": {"external": True, "name": "devbox-0-build-ffffffffffff"}},
    ),
    *services("file", "of the host", {"secrets": ["s"]}, secrets={"s": {"file": "{out}/secret"}}),
    *services("file", "of the host", {"configs": ["s"]}, configs={"s": {"file": "{out}/secret"}}),
    # what steps ask BuildKit for, which nobody has given them
    *[
        Case(
            "steps",
            {"build": {"dockerfile": "Dockerfile"}},
            "network.host is not allowed|ssh forward key|not found|invalid reference",
            {".devcontainer/Dockerfile": f"FROM {{image}}\n{step}\n"},
        )
        for step in (
            "RUN --network=host exec 3<>/dev/tcp/127.0.0.1/{port}",
            "RUN --mount=type=ssh,required=true true",
            "RUN --mount=type=secret,id=HF_TOKEN,required=true true",
            "COPY --from={out} secret /x",
        )
    ],
    # what the engine itself would fetch, by the network of this machine
    *[
        Case(
            "fetch",
            {"build": {"dockerfile": "D"}},
            "has the engine fetch|is built by the program",
            {".devcontainer/D": text},
        )
        for text in (
            "FROM {image}\nADD http://127.0.0.1:{port}/x /x",
            "FROM {image}\nARG U=http://127.0.0.1:{port}/x\nADD $U /x",
            "FROM {image}\nADD git://127.0.0.1:{port}/x.git /x",
            'FROM {image}\nADD ["\\u0068ttp://127.0.0.1:{port}/x", "/x"]',
            "FROM {image}\nAD\\\nD \\\n# comment\nhttp://127.0.0.1:{port}/x /x",
            "# escape=`\nFROM {image}\nADD `\nhttp://127.0.0.1:{port}/x /x",
            "# syntax=127.0.0.1:{port}/x:1\nFROM {image}",
            "#!/bin/x\n// syntax=127.0.0.1:{port}/x:1\nFROM {image}",
        )
    ],
    Case(
        "fetch",
        {"build": {"dockerfile": "D", "args": {"BUILDKIT_SYNTAX": "127.0.0.1:{port}/x:1"}}},
        "is built by the program",
        {".devcontainer/D": "FROM {image}"},
    ),
    *services(
        "fetch",
        "has the engine fetch|is built by the program",
        {"build": {"context": ".", "dockerfile_inline": "FROM {image}\nADD http://127.0.0.1:{port}/x /x"}},
        {
            "build": {
                "context": ".",
                "dockerfile_inline": "FROM {image}\n",
                "args": {"BUILDKIT_SYNTAX": "127.0.0.1:{port}/x"},
            }
        },
        {
            "build": {
                "context": ".",
                "dockerfile_inline": "FROM {image}\n",
                "args": ["BUILDKIT_SYNTAX=127.0.0.1:{port}/x"],
            }
        },
    ),
    # settings of the checkout
    *[
        Case(
            "setting",
            {"image": IMAGE},
            "for builds|gives a container|host's environment|secret of yours|reaches the host|of the host|fetch through"
            "|your proxy away|others' builds|hands AWS_",
            {"devbox.toml": text},
        )
        for text in (
            'ca_bundle = "{out}/secret"',
            'find_links = "{out}"',
            'find_links = "../out"',
            'mounts = ["{out}:/x"]',
            'run_args = ["--privileged"]',
            'repositories = ["{out}"]',
            'env = ["HF_TOKEN"]',
            'env = ["X=${localEnv:HF_TOKEN}"]',
            'http_proxy = "http://127.0.0.1:{port}"',
            'https_proxy = "http://127.0.0.1:{port}"',
            'https_proxy = "none"',
            'no_proxy = "*"',
            'cache_group = "docker"',
            'cache_remote = "s3://b?endpoint=http://127.0.0.1:{port}"',
            'base_image = "x${localEnv:HF_TOKEN}"',
            'hooks = {postCreateCommand = "curl 127.0.0.1:{port}/${env:HF_TOKEN}"}',
            'framework = "x"\n[frameworks.x]\nextends = "cuda"\nargs = {A = "${localEnv:HF_TOKEN}"}',
        )
    ],
    *[
        Case(
            "setting",
            {"image": IMAGE},
            "for builds",
            {"devbox.local.toml": f'ca_bundle = "{{out}}/secret"\nfind_links = "{name}"'},
        )
        for name in ("{out}", "../out", "~")
    ],
]
