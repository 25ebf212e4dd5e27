"""Write a contract: a pure function from facts and choices to the files' text.

In the personal form everything that depends on the machine (limits, GPUs, user, CA bundle) is resolved here, so that
each tool starts the same container from the same words. In the shared form nothing of that is in it.
"""

from __future__ import annotations

import json
import posixpath
from typing import TYPE_CHECKING

from devbox.devcontainer.identity import CA_BUNDLE, group_volume_name, volume_name
from devbox.devcontainer.properties import PROPERTIES
from devbox.devcontainer.record import Record, definition, dump, sealed, text_hash
from devbox.devcontainer.worktree import git_mounts
from devbox.devcontainer.writing.compose_file import SERVICE, compose_file
from devbox.devcontainer.writing.editors import editors
from devbox.devcontainer.writing.request import Generated, GenerateRequest
from devbox.engine.spec import Mount, csv_record

if TYPE_CHECKING:
    from devbox.devcontainer.jsonc import JSON

BUILD_FOLDER = "/build"
CACHE_FOLDER = "/cache"
# The Python environment on the build volume.
PYTHON_FOLDER = f"{BUILD_FOLDER}/python"
SSH_AGENT_FOLDER = "/run/devbox/ssh"
# Every program that brings its own idea of a CA bundle has its own variable for it.
CA_VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "NODE_EXTRA_CA_CERTS",
)
# What a group may share. Only ccache lets the group read its files: sccache's are their owner's alone.
SHARED_CACHES = ("ccache",)
# Where the tools that share a cache look for it. Those that a framework alone knows are in its own file.
CACHE_VARIABLES = {
    "cargo": "CARGO_HOME",
    "huggingface": "HF_HOME",
    "pip": "PIP_CACHE_DIR",
    "sccache": "SCCACHE_DIR",
    "uv": "UV_CACHE_DIR",
}


def generate(request: GenerateRequest) -> Generated:
    """Return the contract for `request`: the same request always gives the same bytes."""
    form, placement = request.form, request.placement
    others = [(placement.dockerfile, request.recipe.dockerfile)]
    if form.compose:
        env = _container_env(request)
        others.append((placement.compose, compose_file(request, env, _mounts(request))))
    values = _common(request) | (_composed(request) if form.compose else _alone(request))
    values["features"] = {name: json.loads(text) for name, text in request.additions.features}
    values |= _own_hooks(request, values)
    values["customizations"] = {**editors(request.framework), "devbox": _record(request, others).json()}
    devcontainer = sealed({key: values[key] for key in PROPERTIES if values.get(key) not in (None, [], {})})
    return Generated(((placement.config, dump(devcontainer)), *others), devcontainer, form.shared)


def _common(request: GenerateRequest) -> JSON:
    """Return the properties that do not depend on who starts the container."""
    framework = request.framework
    kind = "" if not (request.form.shared and framework.gpu) else ", GPU" if request.gpu is not None else ", no GPU"
    return {
        "name": f"{framework.title} ({framework.variant}{kind})",
        # A port that is published is on the host already.
        "forwardPorts": [port for port in framework.ports if port not in request.additions.inner_ports],
        "remoteEnv": _remote_env(request) | request.additions.remote_env(),
        "remoteUser": request.user.name,
        # The image's last stage made the user with the right ids; a tool that changes them again builds one more image.
        # In the shared form nobody knows them yet.
        "updateRemoteUserUID": request.form.shared,
        # The environment is what the image's ENV says, in every tool alike. A login shell would replace PATH by the
        # distribution's own, without CUDA's and Python's folders, and costs each tool one more process at each start.
        "userEnvProbe": "none",
        # Closing an editor must not end a build that a terminal started.
        "shutdownAction": "none",
        "workspaceFolder": framework.workspace_path,
        "postCreateCommand": framework.post_create,
    }


def _own_hooks(request: GenerateRequest, values: JSON) -> JSON:
    """Return the lifecycle commands that a person adds, beside devbox's own where there is one."""
    found: JSON = {}
    for name, text in request.additions.hooks:
        own = json.loads(text)
        if values.get(name):
            own = {request.framework.name: values[name], **(own if isinstance(own, dict) else {"own": own})}
        found[name] = own
    return found


def _alone(request: GenerateRequest) -> JSON:
    """Return what tools run with `docker run`."""
    return {
        "containerEnv": _container_env(request),
        "overrideCommand": True,
        "init": True,
        # What debuggers need: the engine's default system call filter allows ptrace with it. The filter therefore
        # stays on. All that gdb misses is switching address space randomisation off, which it says and does without.
        "capAdd": ["SYS_PTRACE"],
        "mounts": [mount.csv() for mount in _mounts(request)],
        "build": _build(request),
        "workspaceMount": _workspace_mount(request),
        "runArgs": _run_args(request),
        "appPort": list(request.additions.ports),
    }


def _composed(request: GenerateRequest) -> JSON:
    """Return what tools need of a compose project; what they would lose of it stands in the compose file."""
    placement = request.placement
    return {
        "dockerComposeFile": posixpath.relpath(placement.compose, posixpath.dirname(placement.config) or "."),
        "service": SERVICE,
        # The compose file's own command keeps the container alive.
        "overrideCommand": False,
    }


def _container_env(request: GenerateRequest) -> dict[str, str]:
    framework = request.framework
    env: dict[str, str] = {}
    if "ccache" in framework.caches:
        # No sloppiness of any kind: a cache that everybody shares must not believe in timestamps.
        env["CCACHE_DIR"] = f"{CACHE_FOLDER}/ccache"
        env["CCACHE_COMPILERCHECK"] = "content"
        env["CCACHE_MAXSIZE"] = request.ccache_size
        if request.cache_group is not None:
            env["CCACHE_UMASK"] = "002"
    for cache in framework.caches:
        if cache in CACHE_VARIABLES:
            env[CACHE_VARIABLES[cache]] = f"{CACHE_FOLDER}/{cache}"
    if request.network.ca_bundle is not None:
        env |= dict.fromkeys(CA_VARIABLES, CA_BUNDLE)
    if not request.network.secret:
        env |= dict(sorted(request.network.proxies().items()))
    if request.ssh_agent is not None:
        # An editor that forwards the agent by itself sets this variable for its own terminals.
        env["SSH_AUTH_SOCK"] = f"{SSH_AGENT_FOLDER}/agent.sock"
    return env | dict(framework.env) | dict(request.additions.env)


def _remote_env(request: GenerateRequest) -> dict[str, str]:
    """Put the Python environment first, and pass proxies with a password on by name.

    Their value is in no file, label or argv. The environment is made by the first `devbox build --install`; as long as
    there is none, programs are found where the image has them.
    """
    env = {}
    if request.framework.python is not None or any(one.python for one in request.repositories):
        env = {"PATH": f"{PYTHON_FOLDER}/bin:${{containerEnv:PATH}}", "VIRTUAL_ENV": PYTHON_FOLDER}
    if not request.network.secret:
        return env
    for name, value in sorted(request.network.proxies().items()):
        spellings = (name, name.swapcase())
        host_name = next((spelling for spelling in spellings if request.environ.get(spelling) == value), name)
        env[name] = f"${{localEnv:{host_name}}}"
    return env


def _mounts(request: GenerateRequest) -> tuple[Mount, ...]:
    """Return all mounts but the checkout's. The person's own take the place of devbox's at the same target."""
    own = request.additions.mounts
    taken = {mount.target for mount in own}
    return (*(mount for mount in _own_mounts(request) if mount.target not in taken), *own)


def _own_mounts(request: GenerateRequest) -> tuple[Mount, ...]:
    mounts = [Mount("volume", BUILD_FOLDER, _volume(request, "build"))]
    mounts += [Mount("volume", f"{CACHE_FOLDER}/{name}", _volume(request, name)) for name in request.framework.caches]
    if request.form.shared:
        return tuple(mounts)
    if request.network.ca_bundle is not None:
        mounts.append(Mount("bind", CA_BUNDLE, str(request.network.ca_bundle), readonly=True))
    if request.ssh_agent is not None:
        # The folder and not the socket: that is another one after each login. Nothing inside may put a socket there.
        mounts.append(Mount("bind", SSH_AGENT_FOLDER, str(request.ssh_agent), readonly=True))
    mounts += git_mounts(request.checkout, request.framework.workspace_path)
    mounts += [mount for one in request.repositories for mount in one.mounts()]
    return tuple(mounts)


def _volume(request: GenerateRequest, name: str) -> str:
    """Return a volume's name on the engine. The specification's variable keeps those of a shared contract apart."""
    if request.owner is None:
        return f"devbox-{name}-${{devcontainerId}}"
    if request.cache_group is not None and name in SHARED_CACHES:
        return group_volume_name(request.cache_group, name)
    if name == "build":
        return volume_name(request.owner, name, request.checkout.path)
    return volume_name(request.owner, name, inside=request.guest)


def _workspace_mount(request: GenerateRequest) -> str:
    """Return the mount of the checkout.

    The variable's value is put in as it is, into a CSV record. Inside quotes a comma does no harm; a quote in the
    path would, so such a path is written out, with its quotes doubled.
    """
    target, path = request.framework.workspace_path, "" if request.form.shared else str(request.checkout.path)
    if '"' in path or "\n" in path:
        return Mount("bind", target, path).csv()
    source = "source=${localWorkspaceFolder}"
    if "," in path:
        source = f'"{source}"'
    return f"type=bind,{source},{csv_record([f'target={target}'])}"


def _build(request: GenerateRequest) -> JSON:
    recipe, placement = request.recipe, request.placement
    folder = posixpath.dirname(placement.config) or "."
    dockerfile = posixpath.relpath(placement.dockerfile, folder)
    build: JSON = {
        "dockerfile": dockerfile,
        "context": posixpath.dirname(dockerfile) or ".",
        "args": dict(recipe.args),
        "options": recipe.options(),
        "target": recipe.target,
    }
    return {key: value for key, value in build.items() if value not in ([], {})}


def _run_args(request: GenerateRequest) -> list[str]:
    """Return what has no property of its own.

    One word an argument, so that no tool can take an option from its value. With the host's ipc, /dev/shm is the
    host's and needs no size.
    """
    name = [f"--name={request.container_name}"] if request.container_name else []
    groups = [f"--group-add={group}" for group in request.groups]
    devices = [f"--device={device}" for device in request.devices]
    gpus = request.gpu.args if request.gpu is not None else ()
    return [*name, "--ipc=host", *groups, *request.limits, *devices, *gpus, *request.additions.run_args]


def _record(request: GenerateRequest, files: list[tuple[str, str]]) -> Record:
    """Return what the contract records: what it was made from, and how the `files` beside it looked."""
    framework, form = request.framework, request.form
    return Record(
        framework=framework.name,
        variant=framework.variant,
        shared=definition(framework, gpu=request.gpu is not None) if form.shared else None,
        form=form,
        arch=request.arch.capabilities if request.arch is not None else None,
        choices=dict(request.choices),
        settings=dict(request.settings),
        repositories={one.name: one.record() for one in request.repositories},
        # In the other form the build's arguments say it.
        base_image=dict(request.recipe.args).get("BASE_IMAGE") if form.compose else None,
        dockerfile=text_hash(files[0][1]),
        compose=text_hash(files[1][1]) if len(files) > 1 else None,
    )
