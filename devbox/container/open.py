"""`devbox open`: the address by which an IDE finds the dev container, and starting the IDE there.

The address of VS Code's Dev Containers extension, which Cursor has taken over, is not documented. Its authority is
`dev-container+` and the hexadecimal digits of JSON: `hostPath` is compared with the label `devcontainer.local_folder`,
and `configFile` is the URI of the devcontainer.json in VS Code's own form. So it is seen in windows that VS Code
opened, and so other tools build it (microsoft/vscode-remote-release#2133 and #8764, michidk/vscli, coder/vscode-coder).
Without `configFile` the extension would ask which of several contracts is meant.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING
from urllib.parse import quote

from devbox.devcontainer.identity import CONFIG_FILE, LOCAL_FOLDER
from devbox.devcontainer.spelling import host_spelling, wsl_distribution
from devbox.engine.exec import is_pod
from devbox.engine.kubernetes.place import CONTAINER, Pod
from devbox.errors import DevboxError, UsageError
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devbox.container.inside.probe import Reading

# An IDE's launcher that has not failed by then has started it, or is the IDE itself.
START_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Ide:
    """An IDE: its title, the programs that start it, the first that is there, and whether it takes an address."""

    title: str
    programs: tuple[str, ...]
    takes_uri: bool = True


IDES = {
    "code": Ide("VS Code", ("code", "code-insiders")),
    "cursor": Ide("Cursor", ("cursor",)),
    "clion": Ide("CLion", ("clion", "clion.sh"), takes_uri=False),
}


@dataclass(frozen=True, slots=True)
class Opening:
    """How an IDE is opened on a dev container.

    `argv` starts it; empty where that cannot be done from here. `uri` is the address, None where there is none, as for
    CLion, or where it cannot be known. `steps` are what is left for the person to do.
    """

    ide: str
    workspace: str
    container: str
    folder: str
    uri: str | None
    argv: tuple[str, ...]
    steps: tuple[str, ...] = ()


def ide_of(name: str) -> Ide:
    """Return the IDE that a person means. Raises UsageError for one that devbox does not know."""
    if name not in IDES:
        raise UsageError(f"devbox does not know how to open '{name}'", hint=f"devbox open {'|'.join(IDES)}")
    return IDES[name]


def folder_uri(
    labels: Mapping[str, str], folder: str, *, ssh_host: str | None = None, distribution: str | None = None
) -> str:
    """Return the address of `folder` inside the dev container with these labels, as VS Code and Cursor take it.

    `ssh_host` is what the machine with the window calls this one in its ssh configuration. Where the window is on
    another machine than the files, with ssh and with WSL, the file's URI has another scheme.
    """
    scheme = "file" if ssh_host is None and distribution is None else "vscode-fileHost"
    where: dict[str, object] = {"hostPath": labels[LOCAL_FOLDER], "localDocker": False}
    if config := labels.get(CONFIG_FILE):
        where["configFile"] = {"$mid": 1, "path": config, "scheme": scheme}
    digits = json.dumps(where, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogateescape").hex()
    # A bare + in the authority is read as one, too, but not when two authorities are nested.
    machine = "" if ssh_host is None else f"@ssh-remote%2B{quote(ssh_host, safe='')}"
    return f"vscode-remote://dev-container%2B{digits}{machine}{quote(folder)}"


def pod_uri(container: str, image: str, folder: str) -> str:
    """Return the address of `folder` in a pod, as VS Code and Cursor take it with the Kubernetes extension."""
    pod = Pod.parse(container)
    words = {
        "context": pod.place.context,
        "podname": pod.name,
        "namespace": pod.place.namespace,
        "name": CONTAINER,
        "image": image,
    }
    told = "+".join(["k8s-container", *(f"{key}={value}" for key, value in words.items())])
    return f"vscode-remote://{quote(told, safe='')}{quote(folder)}"


def opening(
    name: str, read: Reading, environ: Mapping[str, str], *, ssh_host: str | None = None, kernel: str | None = None
) -> Opening:
    """Return how the IDE `name` is opened on a dev container. `kernel` is the kernel's release, this one by default."""
    ide = ide_of(name)
    workspace = str(read.workspace)
    program = next((path for one in ide.programs if (path := shutil.which(one, path=environ.get("PATH")))), None)
    if not ide.takes_uri and is_pod(read.id):
        raise UsageError(f"{ide.title} has no way into a pod that devbox knows", hint="devbox open code")
    if not ide.takes_uri:
        argv = () if program is None or _far_away(environ) else (program, workspace)
        return Opening(
            name, workspace, read.id, read.folder, None, argv, _clion_steps(read, environ, started=bool(argv))
        )
    distribution = wsl_distribution(environ, kernel or os.uname().release)
    if is_pod(read.id):
        uri = pod_uri(read.id, str(read.inspected["Config"]["Image"]), read.folder)
    else:
        uri = folder_uri(read.labels, read.folder, ssh_host=ssh_host, distribution=distribution)
    command = shlex.join([ide.programs[0], "--folder-uri", uri])
    # In a terminal of VS Code's own, on a machine that it reached by ssh, its program talks to the window at the other
    # end. Any other ssh session has no window.
    attached = ssh_host is not None and "VSCODE_IPC_HOOK_CLI" in environ
    steps: tuple[str, ...]
    if _far_away(environ) and ssh_host is None:
        steps = (
            f"{ide.title} runs where you sit; NAME is what the ssh configuration there calls this machine:",
            f"devbox open {name} --ssh-host NAME",
        )
        return Opening(name, workspace, read.id, read.folder, None, (), steps)
    if _far_away(environ) and not attached:
        steps = ("on the machine where you sit:", command)
    elif program is None:
        steps = (
            f"{ide.title} is not installed here, or '{ide.programs[0]}' is not on PATH; once it is:",
            command,
            f"or open the folder {workspace} and choose 'Dev Containers: Reopen in Container'",
        )
    else:
        return Opening(name, workspace, read.id, read.folder, uri, (program, "--folder-uri", uri))
    return Opening(name, workspace, read.id, read.folder, uri, (), steps)


def _far_away(environ: Mapping[str, str]) -> bool:
    """Tell whether this is an ssh session that cannot show a window."""
    return "SSH_CONNECTION" in environ and not (environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def _clion_steps(read: Reading, environ: Mapping[str, str], *, started: bool) -> tuple[str, ...]:
    """Return how CLion gets into a dev container: no launcher option and no link of JetBrains's leads there.

    It reads the same devcontainer.json, but looks for containers that it made itself. So it makes its own beside the
    one that runs, with the same image and, where devbox wrote the contract, the same build volume and caches.
    """
    contract = host_config(read) or "devcontainer.json"
    same = "; the build volume and the caches are the same" if read.labels.get("devbox.framework") else ""
    where = "over SSH (Remote Development > SSH)" if _far_away(environ) else "in CLion"
    return (
        *(() if started else (f"open {read.workspace} {where}",)),
        f"open {contract} in the editor",
        "click the container icon beside its first line: Create Dev Container and Mount Sources, with CLion as backend",
        f"CLion makes a container of its own from this file{same}",
    )


def host_config(read: Reading) -> str | None:
    """Return the devcontainer.json of a container as it is called here, if its labels name one."""
    return host_spelling(read.labels.get(CONFIG_FILE, "")) or None


def start(opening: Opening, environ: Mapping[str, str]) -> None:
    """Start the IDE of `opening`, in a session of its own. Raises DevboxError with its words if it fails at once."""
    with tempfile.TemporaryFile() as words:
        try:
            started = subprocess.Popen(
                opening.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=words,
                env=dict(environ),
                start_new_session=True,
            )
        except OSError as error:
            raise DevboxError(f"{opening.argv[0]} cannot be started: {error.strerror}") from None
        try:
            code = started.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            return
        if code:
            words.seek(0)
            detail = words.read().decode("utf-8", "replace").strip()
            raise DevboxError(
                f"{opening.argv[0]} ended with exit code {code}",
                hint=f"devbox open {opening.ide} --print   # shows what it was given",
                detail=detail or None,
            )
