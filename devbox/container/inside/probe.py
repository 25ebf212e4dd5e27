"""How commands are executed in a container: its user, its folder, and the environment that the user's own shells have.

Asked of the container once for each start of it and each content of its contract; the answer is kept (`memory`).
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from devbox.container import memory
from devbox.container.checkout.elsewhere import copied_at
from devbox.container.inside import supervise
from devbox.container.inside.home import OWN_HOME
from devbox.container.target import CONFIG_FILE, LOCAL_FOLDER, Target, Template, folder_of, missing_user, no_folder
from devbox.devcontainer.spelling import host_spelling
from devbox.engine.exec import Exec
from devbox.engine.process import NoAnswerError
from devbox.errors import DevboxError
from devbox.masking import is_secret_name
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from devbox.devcontainer.model import Contract, Merged
    from devbox.engine.docker import Engine

JSON = dict[str, Any]

PROBE_SECONDS = 10.0
CONTRACT_LABEL = "devbox.contract"

_FLAGS = {"loginInteractiveShell": "-lic", "loginShell": "-lc", "interactiveShell": "-ic"}
# Of the shell itself, or of the probe: they say nothing about the commands that are run later.
_NOT_THE_USERS = frozenset({"PWD", "OLDPWD", "SHLVL", "_", "HOSTNAME", "TERM", supervise.TOKEN})
_LOCAL_ENV = re.compile(r"\$\{(?:localEnv|env):([^:}]+)(?::([^:}]*)[^}]*)?\}")
# Docker reads env files by lines and refuses longer ones.
_LONGEST_LINE = 60_000

# $1 are the shell's flags ("" asks no shell), $2 a mark: what start-up files print stands outside of the two marks. $3
# is the folder that commands start in, $4 says whose word $HOME is. The first line tells of the folder, the second is
# the shell. Where $HOME is a folder of somebody else's, the user's own takes its place; but one that a contract names
# and that is not there yet, a lifecycle command may make.
_PROBE = rf"""
{OWN_HOME}
if [ ! -d "$3" ]; then echo gone; elif [ ! -w "$3" ]; then stat -c 'unwritable %u' "$3"; else echo usable; fi
[ -n "$1" ] || exit 0
if [ ! -w "$HOME" ] && {{ [ "$4" != contract ] || [ -e "$HOME" ]; }}; then
  home=$(own_home)
  if [ -n "$home" ] && [ -d "$home" ] && [ -w "$home" ]; then export HOME="$home"; fi
fi
shell=${{SHELL:-$(getent passwd "$(id -u)" 2>/dev/null | cut -d: -f7)}}
case $shell in */nologin | */false) shell= ;; esac
[ -x "$shell" ] || shell=/bin/sh
echo "$shell"
exec "$shell" "$1" "printf %s $2; cat /proc/self/environ; printf %s $2"
"""


@dataclass(frozen=True, slots=True)
class Reading:
    """A container and its contract, read together. `contract` is None where its file is gone."""

    inspected: JSON
    contract: Contract | None
    merged: Merged | None

    @property
    def id(self) -> str:
        """The container's id."""
        return str(self.inspected["Id"])

    @property
    def running(self) -> bool:
        """Whether it runs and is not paused; a list of containers may be a moment old."""
        return bool(self.inspected["State"].get("Running")) and not self.paused

    @property
    def paused(self) -> bool:
        """Whether it is paused: nothing can be executed in it."""
        return bool(self.inspected["State"].get("Paused"))

    @property
    def labels(self) -> Mapping[str, str]:
        """The container's labels."""
        labels: Mapping[str, str] = self.inspected["Config"].get("Labels") or {}
        return labels

    @property
    def environ(self) -> dict[str, str]:
        """The environment that the container was created with."""
        return variables(self.inspected["Config"].get("Env") or ())

    @property
    def moments(self) -> tuple[str, str]:
        """When it was created and last started, exactly as the engine writes it."""
        return str(self.inspected["Created"]), str(self.inspected["State"]["StartedAt"])

    @property
    def workspace(self) -> Path:
        """The folder on the host that it belongs to; `/` where its labels name none."""
        if self.contract is not None:
            return self.contract.workspace
        return Path(folder_of(self.labels) if LOCAL_FOLDER in self.labels else "/")

    @property
    def folder(self) -> str:
        """The folder inside where the workspace is: as it was made, as its contract has it, or where it is mounted."""
        made = recorded(self.labels).get("workspaceFolder")
        if isinstance(made, str):
            return made
        if self.contract is not None:
            return self.contract.workspace_folder
        for mount in self.inspected.get("Mounts") or ():
            if mount.get("Source") == str(self.workspace):
                return str(mount["Destination"])
        return str(self.inspected["Config"].get("WorkingDir") or "/")

    @property
    def user(self) -> str:
        """The remote user."""
        if self.merged is not None and self.merged.remote_user:
            return self.merged.remote_user
        return str(recorded(self.labels).get("remoteUser") or self.inspected["Config"].get("User") or "root")


def recorded(labels: Mapping[str, str]) -> JSON:
    """Return the desired state that devbox recorded on a container; empty for a container that devbox did not make."""
    try:
        value = json.loads(labels.get(CONTRACT_LABEL, "{}"))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def project_of(labels: Mapping[str, str]) -> str | None:
    """Return the compose project that a container belongs to.

    Not every container with the label: docker compose puts it on the images that it builds, too, and what is made of
    these has it from there. The number is on containers alone, and devbox's own record is always written in full.
    """
    from devbox.devcontainer.compose.model import NUMBER, PROJECT  # not for `exec`, which needs nothing of compose

    own = recorded(labels)
    if own:
        return own.get("project")
    return labels.get(PROJECT) if NUMBER in labels else None


def read_container(engine: Engine, container: str) -> Reading:
    """Inspect a container and read its contract as the reference CLI does for an existing container.

    The label `devcontainer.metadata` is the truth where there is one, and the file has a say in the remote user and its
    environment only. Raises DevboxError if the container is gone.
    """
    inspected = engine.container(container)
    if inspected is None:
        raise DevboxError(f"the container {container[:12]} is gone", hint="devbox up")
    return reading(engine, inspected)


def reading(engine: Engine, inspected: JSON, contract: Contract | None = None) -> Reading:
    """Return the `Reading` of an inspected container; its file may be gone, but not malformed (ContractError).

    `contract` is the content of the file where that was read already; it is used for a container without labels, too.
    """
    from devbox.devcontainer.merge import image_metadata, merge
    from devbox.devcontainer.read import read

    labels = inspected["Config"].get("Labels") or {}
    file = host_spelling(labels.get(CONFIG_FILE, ""))
    folder = host_spelling(labels.get(LOCAL_FOLDER, ""))
    varied = contract is not None and (contract.variation.labels or contract.variation.content)
    if contract is None or not (varied or not (file and folder)):
        # Another user's file, which may not be read, is as good as gone.
        if not file or not folder or not os.access(file, os.R_OK):
            return Reading(inspected, None, None)
        if contract is None or (str(contract.path), str(contract.workspace)) != (file, folder):
            contract = read(Path(file), Path(folder), engine.environ)
    entries: Sequence[JSON] = image_metadata(labels)
    for_merge = replace(contract, overlays=())
    if entries and dict(contract.labels).keys() <= labels.keys():
        from devbox.devcontainer.overlay import without_overlays

        # What was laid over the contract when it was made is as true of it as the rest of the label.
        entries, overlays = without_overlays(entries)
        kept = ("remoteUser", "userEnvProbe", "remoteEnv", "runArgs")
        for_merge = replace(
            contract,
            raw={key: contract.raw[key] for key in kept if key in contract.raw},
            config={key: contract.config[key] for key in kept if key in contract.config},
            overlays=overlays,
        )
    merged = merge(for_merge, entries, inspected["Config"], engine.environ)
    return Reading(inspected, contract, merged)


def resolve(engine: Engine, container: str) -> Target:
    """Return how commands are executed in a running container: remembered, or asked of it and kept."""
    inspected = engine.container(container)
    if inspected is None:
        raise DevboxError(f"the container {container[:12]} is gone", hint="devbox up")
    remembered = memory.recall_target(container, inspected["State"]["StartedAt"])
    return remembered if remembered is not None else learn(engine, reading(engine, inspected))[0]


def learn(engine: Engine, read: Reading) -> tuple[Target, str | None]:
    """Ask a running container how commands are executed in it, and keep the answer; also return a warning, if any."""
    asked = user_environ(engine, read)
    shell = asked.environ
    own = read.environ
    environ = {name: value for name, value in shell.items() if name not in _NOT_THE_USERS}
    if "PATH" in environ and "PATH" in own:
        environ["PATH"] = joined_path(environ["PATH"], own["PATH"], root=read.user in {"root", "0"})
    environ = {name: value for name, value in environ.items() if own.get(name) != value}
    host_env: dict[str, Template] = {}
    withheld: list[str] = []
    if read.contract is not None and read.merged is not None:
        fixed, host_env = remote_env(read.contract, read.merged, own)
        for name, value in fixed.items():
            environ.pop(name, None)
            if value is not None:
                environ[name] = value
        withheld = [name for name, parts in host_env.items() if _takes_secret(parts)]
        if withheld and not agreed(read.contract, read.labels):
            host_env = {name: parts for name, parts in host_env.items() if name not in withheld}
        else:
            withheld = []
        for name in host_env:
            environ.pop(name, None)
    lines, carried = env_file(environ)
    target = Target(
        container=read.id,
        workspace=read.workspace,
        folder=read.folder,
        user=read.user,
        config_file=read.contract.path if read.contract is not None else None,
        started_at=read.moments[1],
        carried=tuple(carried.items()),
        host_env=tuple(host_env.items()),
        copied=copied_at(read.inspected),
    )
    # An answer that lacks something is not an answer for the next time: the person may agree in between.
    return memory.remember_target(target, lines, complete=not withheld, is_late=asked.is_late), asked.warning


def agreed(contract: Contract, labels: Mapping[str, str]) -> bool:
    """Tell whether the person agreed to all secrets that the contract, with its image, takes from the host."""
    from devbox.devcontainer.merge import image_metadata
    from devbox.trust.contracts import of_contract
    from devbox.trust.grants import missing

    reach = of_contract(contract, image_metadata(labels))
    return not missing(contract.workspace, (one for one in reach if one.kind == "variable"))


def _takes_secret(parts: Template) -> bool:

    return any(is_secret_name(part[0]) for part in parts if not isinstance(part, str))


# What an interactive bash says wherever it has no terminal.
_NO_REASON = ("no job control in this shell", "Inappropriate ioctl for device")


class Answer(NamedTuple):
    """The environment of a user's shell, and what there is to warn of. One that ran out of time is late."""

    environ: dict[str, str]
    warning: str | None = None
    is_late: bool = False


def user_environ(engine: Engine, read: Reading) -> Answer:
    """Ask the user's shell for its environment (`userEnvProbe`); what cannot be had is a warning.

    It gets ten seconds, as with the reference CLI; then the shell is ended. Raises ContractError where the container
    has not the user, or not the folder that commands start in.
    """
    merged, user = read.merged, read.user
    flags = _FLAGS.get(merged.user_env_probe, "") if merged is not None else _FLAGS["loginInteractiveShell"]
    of_home = "contract" if merged is not None and "HOME" in dict(merged.container_env) else "image"
    token = supervise.new_token()
    mark = f"devbox-{token}"
    argv = ("sh", "-c", _PROBE, "probe", flags, mark, read.folder, of_home)
    asked = Exec(read.id, argv, user, interactive=False, env=((supervise.TOKEN, token),))
    try:
        done = engine.execute(asked, timeout=PROBE_SECONDS)
    except NoAnswerError:
        supervise.end(read.id, token, user=user, environ=engine.environ, docker=engine.docker)
        late = (
            f"the shell of {user} gave no environment within {PROBE_SECONDS:g} s, so commands run without it until the "
            'next `devbox up`, which asks again; see its start-up files, or set "userEnvProbe": "none"'
        )
        return Answer({}, late, is_late=True)
    if (missing := missing_user(user, done)) is not None:
        raise missing
    head, *parts = done.stdout.split(mark)
    folder, _, told = head.partition("\n")
    if folder == "gone":
        gone = no_folder(read.folder)
        if read.contract is None or not read.contract.variation.lenient:
            raise gone
        return Answer({}, gone.message)
    warning = _unwritable(read, int(folder.split()[1])) if folder.startswith("unwritable ") else None
    if not flags:
        return Answer({}, warning)
    if len(parts) != 2:
        shell = told.partition("\n")[0]
        last = [line.strip() for line in done.stderr.strip().splitlines() if not line.endswith(_NO_REASON)][-1:]
        why = f" ({last[0] if last else 'it ended without a word'})"
        return Answer(
            {},
            f"{shell or 'the shell'} of {user} could not be asked for its environment{why}, so commands run without "
            'what its start-up files set; see these, set it by remoteEnv, or set "userEnvProbe": "none"',
        )
    return Answer(parse_environ(parts[0]), warning)


def _unwritable(read: Reading, owner: int) -> str | None:
    """Return the sentence about a workspace that the user cannot write; None where the contract has it so."""
    for mount in read.inspected.get("Mounts") or ():
        if mount.get("Destination") == read.folder and not mount.get("RW", True):
            return None
    return (
        f"{read.user} cannot write {read.folder}, which belongs to the user {owner} inside: name one who can as "
        f"remoteUser, or see updateRemoteUserUID; on the host: ls -ld {read.workspace}"
    )


def parse_environ(text: str) -> dict[str, str]:
    """Read the content of /proc/PID/environ."""
    return {
        name: value for name, equals, value in (item.partition("=") for item in text.split("\0")) if name and equals
    }


def joined_path(shell: str, container: str, *, root: bool) -> str:
    """Return the shell's PATH with what it lacks of the container's, each at its place among its neighbours.

    Login shells reset PATH, and the image's own folders (a virtual environment, CUDA) would be lost. Folders called
    `sbin` are root's alone.
    """
    result = shell.split(":")
    place = 0
    for entry in container.split(":"):
        if entry in result:
            place = result.index(entry) + 1
        elif root or "sbin" not in entry.split("/"):
            result.insert(place, entry)
            place += 1
    return ":".join(result)


def remote_env(
    contract: Contract, merged: Merged, container: Mapping[str, str]
) -> tuple[dict[str, str | None], dict[str, Template]]:
    """Return `remoteEnv` in two parts: the values that are fixed now, and those made from the host's environment.

    The latter may be secrets, so only their form is kept. None unsets a variable. `${containerEnv:…}` is the
    environment that the container was created with, `container`, and not the shell's, as with the reference CLI.
    """
    from devbox.devcontainer.substitute import ContainerVariables, HostVariables, IdVariables, substitute

    running = ContainerVariables(container)
    raw: dict[str, str | None] = {}
    for entry in merged.metadata:
        raw.update(entry.get("remoteEnv") or {})
    fixed: dict[str, str | None] = {}
    from_host: dict[str, Template] = {}
    for name, value in merged.remote_env:
        written = raw.get(name)
        if value is None:
            fixed[name] = None
        elif written is not None and _LOCAL_ENV.search(written):
            known = HostVariables({}, str(contract.workspace), contract.workspace_folder)

            def text(part: str, known: HostVariables = known) -> str:
                return str(
                    substitute(substitute(substitute(part, known), IdVariables(contract.devcontainer_id)), running)
                )

            pieces = _LOCAL_ENV.split(written)
            # The pieces repeat: text, name, default; the last is text.
            parts: list[str | tuple[str, str]] = [text(pieces[0])]
            for index in range(1, len(pieces), 3):
                parts += [(pieces[index], pieces[index + 1] or ""), text(pieces[index + 2])]
            from_host[name] = tuple(part for part in parts if part)
        else:
            fixed[name] = str(substitute(value, running))
    return fixed, from_host


def env_file(environ: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return `environ` as the text of an env file of docker's, and the variables that such a file cannot hold.

    Docker reads one variable a line, verbatim: no value with a line break, no line of more than 64 KiB, no name that
    looks like a comment.
    """
    lines: list[str] = []
    carried: dict[str, str] = {}
    for name, value in sorted(environ.items()):
        if not _plain(name):
            continue
        if "\n" in value or "\r" in value or len(value.encode()) > _LONGEST_LINE:
            carried[name] = value
        else:
            lines.append(f"{name}={value}\n")
    return "".join(lines), carried


def _plain(name: str) -> bool:
    return not name.startswith("#") and not any(character.isspace() for character in name)


def variables(items: Iterable[str]) -> dict[str, str]:
    """Read `NAME=VALUE` items."""
    return dict(item.partition("=")[::2] for item in items)
