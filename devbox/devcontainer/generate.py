"""Write the personal contract of a workspace: a pure function from facts and choices to the files' text.

Everything that depends on the machine (limits, GPUs, user, CA bundle) is resolved here, so that the terminal, VS Code
and CLion run the same container from the same words.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from devbox.devcontainer.generated import dump, sealed, text_hash
from devbox.devcontainer.identity import volume_name
from devbox.devcontainer.limits import UNCLAMPED
from devbox.devcontainer.properties import PROPERTIES
from devbox.engine.spec import Mount, csv_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devbox.config import Network
    from devbox.devcontainer.find import Placement
    from devbox.devcontainer.model import JSON
    from devbox.facts.model import Checkout, Host
    from devbox.frameworks.arch import Arch
    from devbox.frameworks.model import Framework

SCHEMA = 1
BUILD_FOLDER = "/build"
CACHE_FOLDER = "/cache"
CA_BUNDLE = "/etc/devbox/ca-bundle.pem"
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
# Where the tools that share a cache look for it. Those that a framework alone knows are in its own file.
_CACHE_VARIABLES = {
    "cargo": "CARGO_HOME",
    "huggingface": "HF_HOME",
    "pip": "PIP_CACHE_DIR",
    "sccache": "SCCACHE_DIR",
    "uv": "UV_CACHE_DIR",
}
_CLANGD = "llvm-vs-code-extensions.vscode-clangd"
_CMAKE_TOOLS = "ms-vscode.cmake-tools"


class Recipe(Protocol):
    """What the contract says of its image's build. The image room has the recipe itself."""

    @property
    def dockerfile(self) -> str:
        """The text of a self-contained Dockerfile."""

    @property
    def target(self) -> str:
        """Its last stage."""

    @property
    def args(self) -> tuple[tuple[str, str], ...]:
        """Build arguments."""

    def options(self) -> list[str]:
        """Return further arguments for `docker build`: named contexts, secrets."""


class ContainerUser(Protocol):
    """Who works in the container."""

    @property
    def name(self) -> str:
        """A name with a passwd entry in the image: tools do not take a number."""


@dataclass(frozen=True, slots=True)
class GenerateRequest:
    """All that a generated contract depends on.

    `gpu_args` and `limits` are arguments for `docker run` that the engine can grant. `choices` are what a person asked
    for, as it was written: they are recorded, so that the next contract can be made from them. `environ` is the host's
    environment: it tells by which name a proxy's URL that holds a password can be passed on without being written
    down.
    """

    checkout: Checkout
    framework: Framework
    recipe: Recipe
    arch: Arch
    user: ContainerUser
    host: Host
    network: Network
    placement: Placement
    gpu_args: tuple[str, ...] = ()
    limits: tuple[str, ...] = UNCLAMPED
    ccache_size: str = "20G"
    container_name: str | None = None
    choices: tuple[tuple[str, str], ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Generated:
    """The files of a contract, (path relative to the workspace, text), the devcontainer.json first; and its content."""

    files: tuple[tuple[str, str], ...]
    devcontainer: JSON = field(hash=False)


def generate(request: GenerateRequest) -> Generated:
    """Return the personal contract for `request`: the same request always gives the same bytes."""
    framework, recipe = request.framework, request.recipe
    remote_env = _remote_env(request)
    values: JSON = {
        "name": f"{framework.title} ({framework.variant})",
        "forwardPorts": list(framework.ports),
        "containerEnv": _container_env(request),
        "remoteEnv": remote_env,
        "remoteUser": request.user.name,
        # The image's last stage made the user with the right ids. A tool that changes them again builds one more image.
        "updateRemoteUserUID": False,
        # The environment is what the image's ENV says, in every tool alike. A login shell would replace PATH by the
        # distribution's own, without CUDA's and Python's folders, and costs each tool one more process at each start.
        "userEnvProbe": "none",
        "overrideCommand": True,
        # Closing an editor must not end a build that a terminal started.
        "shutdownAction": "none",
        "init": True,
        # What debuggers need: the engine's default system call filter allows ptrace with it. The filter therefore
        # stays on. All that gdb misses is switching address space randomisation off, which it says and does without.
        "capAdd": ["SYS_PTRACE"],
        "mounts": _mounts(request),
        "customizations": _customizations(request),
        "build": _build(request),
        "workspaceMount": _workspace_mount(request),
        "workspaceFolder": framework.workspace_path,
        "runArgs": _run_args(request),
        "postCreateCommand": framework.post_create,
    }
    present = {key: values[key] for key in PROPERTIES if key in values and values[key] not in (None, [], {})}
    devcontainer = sealed(present)
    return Generated(
        ((request.placement.config, dump(devcontainer)), (request.placement.dockerfile, recipe.dockerfile)),
        devcontainer,
    )


def _container_env(request: GenerateRequest) -> dict[str, str]:
    framework = request.framework
    env: dict[str, str] = {}
    if "ccache" in framework.caches:
        # No sloppiness of any kind: a cache that everybody shares must not believe in timestamps.
        env["CCACHE_DIR"] = f"{CACHE_FOLDER}/ccache"
        env["CCACHE_COMPILERCHECK"] = "content"
        env["CCACHE_MAXSIZE"] = request.ccache_size
    for cache in framework.caches:
        if cache in _CACHE_VARIABLES:
            env[_CACHE_VARIABLES[cache]] = f"{CACHE_FOLDER}/{cache}"
    if request.network.ca_bundle is not None:
        env |= dict.fromkeys(CA_VARIABLES, CA_BUNDLE)
    if not request.network.secret:
        env |= dict(sorted(request.network.proxies().items()))
    return env | dict(framework.env)


def _remote_env(request: GenerateRequest) -> dict[str, str]:
    """Pass proxies with a password on by name: their value is in no file, label or argv."""
    if not request.network.secret:
        return {}
    env = {}
    for name, value in sorted(request.network.proxies().items()):
        spellings = (name, name.swapcase())
        host_name = next((spelling for spelling in spellings if request.environ.get(spelling) == value), name)
        env[name] = f"${{localEnv:{host_name}}}"
    return env


def _mounts(request: GenerateRequest) -> list[str]:
    checkout, uid = request.checkout, request.host.user.uid
    mounts = [Mount("volume", BUILD_FOLDER, volume_name(uid, "build", checkout.path))]
    mounts += [Mount("volume", f"{CACHE_FOLDER}/{name}", volume_name(uid, name)) for name in request.framework.caches]
    if request.network.ca_bundle is not None:
        mounts.append(Mount("bind", CA_BUNDLE, str(request.network.ca_bundle), readonly=True))
    common = checkout.git_common_dir
    if common is not None and not common.is_relative_to(checkout.path):
        # A worktree's .git names this folder by its path on the host, so git finds it only there.
        mounts.append(Mount("bind", str(common), str(common)))
    return [mount.csv() for mount in mounts]


def _workspace_mount(request: GenerateRequest) -> str:
    """Return the mount of the checkout.

    The variable's value is put in as it is, into a CSV record. Inside quotes a comma does no harm; a quote in the
    path would, so such a path is written out, with its quotes doubled.
    """
    target, path = request.framework.workspace_path, str(request.checkout.path)
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
    return [*name, "--ipc=host", *request.limits, *request.gpu_args]


def _customizations(request: GenerateRequest) -> JSON:
    framework = request.framework
    settings: dict[str, Any] = {}
    if _CLANGD in framework.extensions:
        settings["clangd.arguments"] = [f"--compile-commands-dir={BUILD_FOLDER}/current", "--background-index"]
        # Two language servers over one tree cost twice the memory and contradict each other.
        settings["C_Cpp.intelliSenseEngine"] = "disabled"
    if _CMAKE_TOOLS in framework.extensions:
        # The build trees are devbox's: the extension would configure one of its own inside the checkout.
        settings["cmake.configureOnOpen"] = False
    return {
        "vscode": {"extensions": list(framework.extensions), "settings": settings},
        "jetbrains": {"backend": "CLion"},
        "devbox": {
            "schema": SCHEMA,
            "framework": framework.name,
            "variant": framework.variant,
            "arch": list(request.arch.capabilities),
            **({"choices": dict(request.choices)} if request.choices else {}),
            "dockerfile": text_hash(request.recipe.dockerfile),
        },
    }
