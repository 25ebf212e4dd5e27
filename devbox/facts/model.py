"""Facts, as frozen values. The modules beside this one gather them; everything else only reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from devbox.values import dataclass

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class User:
    """The person on the host whose files must stay theirs."""

    uid: int
    gid: int
    name: str
    home: str


@dataclass(frozen=True, slots=True)
class Host:
    """The host as a build sees it.

    `cpus` is the affinity's size, `cpu_quota` the cgroup's in CPUs (None: unlimited), memory is in MiB.
    """

    user: User
    cpus: int
    cpu_quota: float | None
    memory_total: int
    memory_available: int
    hostname: str = ""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU. `compute_capability` is "9.0"; None where only the device is known. `memory` is in MiB."""

    index: int
    uuid: str | None
    name: str
    compute_capability: str | None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Gpus:
    """The GPUs of the engine's host. No GPU is a normal answer, and `reason` says how that is known."""

    devices: tuple[Gpu, ...] = ()
    driver: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """The engine: `cdi` says whether it takes CDI names, `cdi_devices` which it has (`nvidia.com/gpu=all`).

    `nvidia_runtime` says whether `--gpus` can work. `memlock` (bytes), `stack` (bytes) and `nofile` (open files) are
    the highest limits that it can grant: None means unlimited, 0 that it could not be learned. `local` is false for
    an engine on another machine. `data_root` is the folder where it keeps images and volumes, as it is called there.
    `cdi_folders` are those of its CDI specifications, `proxy` is the one through which it pulls, `clock` its time in
    seconds since the epoch (0: unknown) and `memory` its machine's in bytes.
    `hidden_cdi` are folders of specifications that the engine names and cannot look into.
    """

    version: str
    rootless: bool
    local: bool
    cdi: bool
    cdi_devices: tuple[str, ...]
    nvidia_runtime: bool
    memlock: int | None
    stack: int | None = 0
    nofile: int | None = 0
    operating_system: str = ""
    data_root: str = ""
    cdi_folders: tuple[str, ...] = ()
    proxy: str = ""
    clock: float = 0.0
    memory: int = 0
    flavour: Literal["docker", "podman"] = "docker"
    hidden_cdi: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Checkout:
    """A checkout on the host. `path` is absolute, as the user gave it: symlinks are not resolved.

    `git_top` is None outside git. `git_common_dir` is set where the repository lies elsewhere and `.git` is a file that
    points there: a linked worktree, or a submodule. `git_link` is how it points; "both" is an absolute worktree with
    submodules, which always point relatively. `head` is the commit, if any.
    """

    path: Path
    git_top: Path | None = None
    git_dir: Path | None = None
    git_common_dir: Path | None = None
    git_link: Literal["absolute", "relative", "both"] = "absolute"
    head: str | None = None
    tracked: frozenset[str] = frozenset()
