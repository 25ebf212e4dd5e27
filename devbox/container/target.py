"""A dev container, as a value: which of several belongs to a folder, and how a command is executed in it.

`exec` needs all of it on its way, so this module imports next to nothing.
"""

from __future__ import annotations

import os

from devbox.devcontainer.spelling import host_spelling
from devbox.errors import ContractError, DevboxError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path
    from typing import Any, NamedTuple

    from devbox.engine.process import Completed
else:
    from devbox.lean import NamedTuple

LOCAL_FOLDER = "devcontainer.local_folder"
CONFIG_FILE = "devcontainer.config_file"
# Of a container that runs one command like the dev container's: the folder that it is for.
ONE_SHOT = "devbox.run"
# Of one that looks into build volumes for a moment.
HELPER = "devbox.helper"
# Where Docker Desktop has the folders of its host, some of them by names that tell nothing.
_DESKTOP = ("/host_mnt/", "/run/desktop/mnt/host/")
# What loaders, libraries, docker and its helpers look for. Proxies are none: docker asks its own socket without.
_STEERING = frozenset({
    "BASH_ENV", "CDPATH", "ENV", "GCONV_PATH", "GOCOVERDIR", "GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT",
    "GOTRACEBACK", "HOME", "HOSTALIASES", "IFS", "LOCALDOMAIN", "LOCPATH", "NLSPATH", "NODE_OPTIONS", "PATH",
    "RES_OPTIONS", "SHELL", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE", "SSH_AUTH_SOCK", "SSH_SK_HELPER", "SSH_SK_PROVIDER",
    "SSLKEYLOGFILE", "SSL_CERT_DIR", "SSL_CERT_FILE", "TERM", "TERMINFO", "TERMINFO_DIRS", "TMPDIR", "USER",
})  # fmt: skip
_STEERING_PREFIXES = (
    "BUILDKIT_", "BUILDX_", "COMPOSE_", "CONTAINERD_", "DBUS_", "DEVBOX_", "DOCKER_", "GLIBC_", "KRB5", "LD_",
    "MALLOC_", "NOTARY_", "NSS_", "OTEL_", "PERL", "PODMAN_", "PYTHON", "RUBY", "XDG_",
)  # fmt: skip
# Where the build volume is mounted.
VOLUME = "/build"

# A value with variables of the host's environment in it: literal text, and (name, default) pairs.
Template = tuple[str | tuple[str, str], ...]


class Target:
    """A dev container and how commands are executed in it.

    `container` is its full id, `workspace` the folder on the host as its label has it, `folder` the same one inside.
    `env_file` holds the environment of the user's shells for docker's `--env-file`; `carried` are variables that such
    a file cannot hold. `host_env` are variables made from the host's environment, which are never stored: docker is
    told their names and finds the values in its own environment. `volume` is where build trees lie inside. `copied`
    is where the container has a copy of the checkout, which its engine does not see; empty where it has none. What is
    on the host may be given as text, and is a path when it is asked for: `exec` makes one of these, and asks for none.
    """

    def __init__(  # noqa: PLR0917  # in the order in which they are told above
        self,
        container: str,
        workspace: Path | str,
        folder: str,
        user: str,
        config_file: Path | str | None = None,
        started_at: str = "",
        env_file: Path | str | None = None,
        carried: tuple[tuple[str, str], ...] = (),
        host_env: tuple[tuple[str, Template], ...] = (),
        volume: str = VOLUME,
        copied: str = "",
    ) -> None:
        """Take the values, which do not change."""
        self._said = {name: value for name, value in locals().items() if name != "self"}
        self.container, self.folder, self.user, self.started_at = container, folder, user, started_at
        self.env_name, self.carried, self.host_env, self.volume = env_file, carried, host_env, volume
        self.copied = copied

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Target) and self._texts() == other._texts()

    def __hash__(self) -> int:
        return hash(self.container)

    def __repr__(self) -> str:
        return f"Target({self.container!r}, {str(self._said['workspace'])!r})"

    def _texts(self) -> dict[str, Any]:
        paths = {name: self._said[name] and str(self._said[name]) for name in ("workspace", "config_file", "env_file")}
        return {**self._said, **paths}

    def _replace(self, **changes: Any) -> Target:
        return Target(**{**self._said, **changes})

    @property
    def workspace(self) -> Path:
        """The folder on the host."""
        from pathlib import Path

        return Path(self._said["workspace"])

    @property
    def config_file(self) -> Path | None:
        """The devcontainer.json on the host."""
        from pathlib import Path

        said = self._said["config_file"]
        return Path(said) if said else None

    @property
    def env_file(self) -> Path | None:
        """The file for docker's `--env-file`; `env_name` is the same as it was given."""
        from pathlib import Path

        return Path(self.env_name) if self.env_name else None

    def inside(self, path: Path | str) -> str | None:
        """Return the folder inside that matches `path` on the host, or None if that is not part of the workspace."""
        workspace = str(self._said["workspace"])
        for name in (str, os.path.realpath):
            base, place = name(workspace), name(str(path))
            if place == base:
                return self.folder
            below = f"{base.rstrip('/')}/"
            if place.startswith(below):
                return f"{self.folder.rstrip('/')}/{place.removeprefix(below)}"
        return None

    def variables(self, environ: Mapping[str, str]) -> tuple[tuple[str, str | None], ...]:
        """Return the variables that no file holds, for docker: by their names, so that their values are not seen.

        Their names are the contract's and the container's to choose. What would steer docker here is told by its value.
        """
        client = self.client_environ(environ)
        return tuple((name, None if client.get(name) == value else value) for name, value in self._values(environ))

    def client_environ(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the environment that docker has to run in: `environ`, and what `variables` passes by name."""
        return {**environ, **{name: value for name, value in self._values(environ) if not steers(name)}}

    def _values(self, environ: Mapping[str, str]) -> list[tuple[str, str]]:
        made = [(name, "".join(_resolved(part, environ) for part in parts)) for name, parts in self.host_env]
        return list({**dict(self.carried), **dict(made)}.items())


def steers(name: str) -> bool:
    """Tell whether a variable of this name may decide what a program of the host does, or which one it is."""
    upper = name.upper()
    if not upper.startswith(_STEERING_PREFIXES):
        return upper in _STEERING
    from devbox.masking import is_secret_name

    # Such a one is nobody's way, and its value is not to be seen.
    return upper.startswith("LD_") or not is_secret_name(upper)


def _resolved(part: str | tuple[str, str], environ: Mapping[str, str]) -> str:
    return part if isinstance(part, str) else environ.get(part[0], part[1])


class Candidate(NamedTuple):
    """A dev container that may be the one of a folder: `workspace` and `config_file` as they are called here.

    `created` is in seconds since the epoch. `mounted` tells that the folder is mounted into it, by itself or in one
    above: a label is text that any image can carry, and the mount is not. Without, devbox itself has to have used it.
    """

    id: str
    workspace: str
    config_file: str
    running: bool
    created: int
    mounted: bool = True


def nearest(
    candidates: Iterable[Candidate], folder: str, *, preferred: Callable[[str], str | None]
) -> Candidate | None:
    """Return the dev container of `folder` or else of the nearest folder above it, or None.

    Of several for one folder, one that mounts it wins, then the one of the contract that `preferred` names for it, then
    one that runs, then the newest. Labels are compared as text first, as every tool does it; a folder reached through a
    symlink is found in a second round.
    """
    known = list(candidates)
    for place, name in ((folder, str), (os.path.realpath(folder), os.path.realpath)):
        by_folder: dict[str, list[Candidate]] = {}
        for candidate in known:
            by_folder.setdefault(str(name(candidate.workspace)), []).append(candidate)
        here = place
        while True:
            if here in by_folder:
                found = by_folder[here]
                first = preferred(found[0].workspace) if len(found) > 1 else None
                return max(found, key=lambda one: (one.mounted, one.config_file == first, one.running, one.created))
            above = os.path.dirname(here)  # noqa: PTH120  # pure text, on the hot path
            if above == here:
                break
            here = above
    return None


def mounts_of(folder: str, sources: Iterable[str]) -> bool:
    """Tell whether one of `sources` is the folder, or has it in itself, as far as the engine's names tell."""
    known = list(sources)

    def mounted(name: str) -> bool:
        inner = f"{name.rstrip('/')}/"
        return any(inner.startswith(f"{one.rstrip('/')}/") or one.startswith(_DESKTOP) for one in known)

    return mounted(folder) or mounted(os.path.realpath(folder))


def logical_cwd(environ: Mapping[str, str]) -> str:
    """Return the current folder as the shell knows it: with the symlinks that the kernel resolves."""
    real = os.getcwd()  # noqa: PTH109
    logical = environ.get("PWD", "")
    if logical != real and logical.startswith("/"):
        try:
            if os.path.samefile(logical, real):  # noqa: PTH121
                return os.path.normpath(logical)
        except OSError:
            pass
    return real


def no_container(folder: str | Path, why: str | None = None) -> DevboxError:
    """Return the error for a folder without a dev container."""
    return DevboxError(f"there is no dev container for {folder}", hint="devbox up   # in the checkout", detail=why)


def not_running(workspace: str | Path, *, paused: bool = False) -> DevboxError:
    """Return the error for a dev container that is stopped, or paused."""
    import shlex

    how = "paused" if paused else "stopped"
    return DevboxError(f"the dev container of {workspace} is {how}", hint=f"devbox up {shlex.quote(str(workspace))}")


def missing_user(user: str, done: Completed) -> ContractError | None:
    """Return the error for a `docker exec` that failed because the container has no such user, else None."""
    # The engine says this where the command's own output would have been.
    if "unable to find user" not in f"{done.stdout}{done.stderr}":
        return None

    return ContractError(
        f"the container has no user {user}",
        hint='set "remoteUser" in the contract to a user that the image has, and run devbox up again',
    )


def no_folder(folder: str) -> ContractError:
    """Return the error for a container without the folder that commands start in."""
    return ContractError(
        f"the container has no folder {folder}, where commands start",
        hint='set "workspaceFolder" in the contract to one that is there or is mounted, and run devbox up again',
    )


def folder_of(labels: Mapping[str, str]) -> str:
    """Return the folder on the host that a dev container's labels name, as it is called here."""
    return host_spelling(labels[LOCAL_FOLDER])
