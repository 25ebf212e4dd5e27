"""What a container that docker is to make reaches: judged by the very values that become docker's words."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.devcontainer.identity import workspace_hash
from devbox.engine.run_args import is_reserved_label
from devbox.engine.spec import Mount
from devbox.masking import is_secret_name
from devbox.paths import state_dir
from devbox.trust.content import of_files
from devbox.trust.reach import Reach, is_inside

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from devbox.engine.run_args import RunArg
    from devbox.engine.spec import ContainerSpec

_SOCKETS = ("docker.sock", "containerd.sock", "podman.sock", "buildkitd.sock")
# Options of `docker run` that stay within the container, or are looked at by themselves. Every other one is shown: a
# list of the dangerous ones would never be complete.
_HARMLESS = frozenset({
    "add-host", "cap-drop", "cpus", "cpuset-cpus", "cpuset-mems", "dns", "dns-search", "entrypoint", "gpus",
    "group-add", "hostname", "init", "interactive", "label", "memory", "memory-swap", "name", "pids-limit", "platform",
    "publish", "pull", "read-only", "restart", "rm", "shm-size", "stop-signal", "stop-timeout", "tmpfs", "tty",
    "ulimit", "user", "workdir",
})  # fmt: skip
# Harmless, unless the value is the host's, or another container's.
_NAMESPACES = frozenset({"cgroupns", "ipc", "pid", "userns", "uts"})
_OWN_NAMESPACES = frozenset({"", "private", "shareable", "none"})
_KINDS = {"privileged": "privileged", "cap-add": "capability", "security-opt": "security", "device": "device",
          "use-api-socket": "socket"}  # fmt: skip
_WORKSPACE_HASH = re.compile(r"[0-9a-f]{12}")
_DEVBOXES = re.compile(r"devbox-(group)?(\d+)-")
_CONTAINER_ID = re.compile(r"(?<![0-9a-z])[0-9a-v]{52}(?![0-9a-z])")
# What is read of a file of variables.
_MOST = 1 << 20
_ENDS = frozenset({"no", "false", ""})
_SHARED = frozenset({"shared", "rshared"})


def of_container(spec: ContainerSpec, workspace: Path, *, own: Iterable[str] = ()) -> Iterator[Reach]:
    """Yield what a container reaches. `own` are mounts of devbox's finding: a worktree's repository.

    Raises ContractError for words that cannot be read without doubt.
    """
    from devbox.engine.run_args import parse

    yield from of_switches(privileged=spec.privileged, capabilities=spec.cap_add, options=spec.security_opt)
    devboxes = frozenset(own)
    mounts = [Mount.parse(text) for text in spec.mounts if text not in devboxes]
    restarts = ""
    for argument in parse(spec.run_args, str(workspace)) if spec.run_args else ():
        if argument.name == "restart" and argument.value not in _ENDS:
            restarts = argument.word
        mounts += _mounts(argument, workspace)
        yield from _of_run_arg(argument, workspace)
    for mount in mounts:
        yield from of_mount(mount, workspace)
    yield from of_restarts(mounts, workspace, restarts)


def of_switches(*, privileged: bool, capabilities: Iterable[str], options: Iterable[str]) -> Iterator[Reach]:
    """Yield what these words of a contract, an image's metadata or a compose file reach."""
    if privileged:
        yield Reach("privileged", "", "runs privileged: root in the container is root on the host")
    for capability in capabilities:
        yield Reach("capability", str(capability), f"has the capability {capability}")
    for option in options:
        yield Reach("security", str(option), f"sets the security option {option}", content=_profile(str(option)))


def _profile(option: str) -> str:
    """Return a digest of the profile that a security option names, "" for any other option."""
    profile = option.removeprefix("seccomp=")
    return of_files(Path("/"), [profile]) if profile != option and profile.startswith("/") else ""


def of_mount(mount: Mount, workspace: Path) -> Iterator[Reach]:
    """Yield what a mount reaches: folders by their real path, with how they can be used."""
    options = dict(mount.options)
    if (options.get("bind-propagation") or "").lower() in _SHARED:
        yield Reach("option", f"{mount.target} shared", f"shares what is mounted below {mount.target} with the host")
    for key, value in mount.options:
        if key == "volume-label" and is_reserved_label((value or "").partition("=")[0]):
            yield Reach(
                "name", value or "", f"gives a volume the label {value}, by which tools know what is somebody's"
            )
    if "volume-opt" in options or options.get("volume-driver") not in {None, "local"}:
        text = mount.csv()
        said = f"mounts a volume with driver options, which can be any folder of the host: {text}"
        yield Reach("path", text, said)
    elif mount.type == "bind":
        yield from of_source(mount.source or "", mount.target, workspace, readonly=mount.readonly)
    elif mount.type == "volume" and mount.source:
        yield from of_volume(mount.source, workspace)


def of_source(source: str, target: str, workspace: Path, *, readonly: bool) -> Iterator[Reach]:
    """Yield what the absolute path `source` of the host is, where it is not the workspace's."""
    if source.endswith(_SOCKETS):
        said = f"mounts the container engine's socket {source}: that is root on the host"
        yield Reach("socket", source, said)
    elif source == str(state_dir() / "ssh" / "mounted"):
        yield agent()
    elif not is_inside(source, workspace):
        real = os.path.realpath(source)
        by = "" if real == source else f", which {source} leads to,"
        mode = "read-only" if readonly else ""
        said = f"mounts {real if by else source}{by} of the host at {target}{', read-only' if readonly else ''}"
        yield Reach("path", real, said, mode)


def agent() -> Reach:
    """Return what the folder of devbox's with the ssh-agent's socket is."""
    return Reach("agent", "", "uses your ssh-agent: whatever runs inside can sign with your keys, as long as it runs")


def is_devboxes(name: str) -> bool:
    """Tell whether a volume's name is one that devbox gives, which says whose it is."""
    return _DEVBOXES.match(name) is not None


def of_volume(name: str, workspace: Path) -> Iterator[Reach]:
    """Yield a volume that by its name is somebody's: devbox's, by the folder or user, or one by `${devcontainerId}`.

    A user's, and a group's, caches are shared on purpose, and others' names tell nothing. Whoever knows the container's
    id takes out its own.
    """
    owner = name.rpartition("-")[2]
    owned = name.startswith("devbox-") and ("-build-" in name or _WORKSPACE_HASH.fullmatch(owner))
    others = owned and owner not in {workspace_hash(workspace), workspace_hash(os.path.realpath(workspace))}
    if others or _CONTAINER_ID.search(name):
        yield Reach("volume", name, f"mounts {name}, the volume of another workspace")
    elif (match := _DEVBOXES.match(name)) is not None:
        group, number = match.groups()
        if number not in map(str, {os.getgid(), *os.getgroups()} if group else {os.getuid()}):
            whose = "a group that you are not in" if group else "another user of this machine"
            yield Reach("volume", name, f"mounts {name}, the volume of {whose}")


def of_restarts(mounts: Iterable[Mount], workspace: Path, policy: str) -> Iterator[Reach]:
    """Yield the sources that docker would look up again by itself, after the container could have made them links.

    `policy` is how the contract asks for restarts; none if it does not.
    """
    for mount in mounts if policy else ():
        source = mount.source or ""
        if mount.type == "bind" and source != str(workspace) and is_inside(source, workspace):
            said = f"is restarted by docker itself ({policy}), which then mounts whatever {source} has become by then"
            yield Reach("restart", f"{policy} {source}", said)


def of_network(name: str, word: str) -> Iterator[Reach]:
    """Yield what a network of this `name` is, unless it is the container's own. `word` is how it is asked for."""
    if name == "host" or name.startswith("container:"):
        yield Reach("namespace", f"network {name}", word)
    elif name not in {"none", "bridge", "default"}:
        yield Reach("network", name, f"{word}: whatever else is in that network can be reached, and reaches it")


def _of_run_arg(argument: RunArg, workspace: Path) -> Iterator[Reach]:
    name, value, said = argument.name, argument.value, f"passes to docker run: {argument.word}"
    if name == "network":
        from devbox.engine.networks import Network

        yield from of_network(Network.parse(value or "").name, said)
    elif name in _NAMESPACES:
        if (value or "") not in _OWN_NAMESPACES:
            yield Reach("namespace", f"{name} {value}", said)
    elif name == "env":
        if "=" not in (value or "") and is_secret_name(value or ""):
            yield variable(value or "")
    elif name in {"env-file", "label-file"}:
        yield Reach("path", os.path.realpath(value or ""), said, "read-only", of_files(workspace, [value or ""]))
        yield from _of_lines(value or "", labels=name == "label-file")
    elif name in _KINDS:
        if value != "false":
            yield Reach(_KINDS[name], value or "", said, content=_profile(value or ""))
    elif name == "group-add" and (value or "").startswith("keep"):
        # Podman's word for all of the person's groups.
        yield Reach("security", f"{name} {value}", said)
    elif name == "gpus" and "driver" in (value or "").lower():
        yield Reach("device", value or "", said)
    elif name not in _HARMLESS | {"mount", "volume"}:
        yield Reach("option", argument.word, said)


def _of_lines(file: str, *, labels: bool) -> Iterator[Reach]:
    """Yield what the lines of a file of variables, or of labels, are: a name without a value is the host's variable."""
    if not os.path.isfile(file):  # noqa: PTH113
        return
    try:
        with open(file, encoding="utf-8", errors="replace") as stream:  # noqa: PTH123
            lines = [line.lstrip() for line in stream.read(_MOST).splitlines()]
    except (OSError, ValueError):
        return
    for name, equals, _ in (line.partition("=") for line in lines if not line.startswith("#")):
        if labels and is_reserved_label(name):
            yield Reach("name", name, f"carries the label {name}, by which tools know somebody's container")
        elif not labels and not equals and (is_secret_name(name) or "*" in name):
            yield variable(name.strip())


def _mounts(argument: RunArg, workspace: Path) -> list[Mount]:
    from devbox.engine.run_args import Volume

    if argument.name == "mount":
        return [Mount.parse(argument.value or "")]
    return [Volume.parse(argument.value or "", str(workspace)).mount] if argument.name == "volume" else []


def variable(name: str) -> Reach:
    """Return what a variable of the host's is."""
    return Reach("variable", name, f"reads the host's variable {name}")
