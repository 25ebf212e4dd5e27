"""What devbox remembers about workspaces and containers, outside the checkout. All of it may be deleted at any time.

`workspaces/HASH.json` says which contract a workspace last used, `containers/ID.json` how commands are executed in a
container. `exec` reads these files, so this module imports next to nothing at its top.
"""

from __future__ import annotations

import os

from devbox.container.target import Target
from devbox.errors import UsageError
from devbox.lean import loads, stored
from devbox.paths import state_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Any, NamedTuple

    from devbox.reporter import Reporter
else:
    from devbox.lean import NamedTuple

SCHEMA = 1
# Is there where a workspace was ever brought up elsewhere than on docker's engine.
_ON = "on"


class Workspace(NamedTuple):
    """What is remembered of a workspace: its folder, the devcontainer.json that it last used, and its framework.

    Where only a question about the framework was answered there is no contract yet. `on` is where its containers run,
    None for the engine that docker means.
    """

    path: str
    contract: str | None
    framework: str | None = None
    on: str | None = None


def _place() -> str:
    """Return the state directory; for who has none, one in which nothing can be: so nothing is remembered."""
    try:
        return state_folder()
    except UsageError:
        return os.devnull


def _folder(name: str) -> Path:
    from pathlib import Path

    return Path(_place(), name)


def _workspace_file(workspace: Path | str, suffix: str) -> Path:
    from devbox.devcontainer.identity import workspace_hash

    return _folder("workspaces") / f"{workspace_hash(workspace)}{suffix}"


def _read(path: Path | str) -> dict[str, Any] | None:
    """Return a remembered object; None where there is none, or one of another version, or a damaged file."""
    try:
        data = loads(stored(path))
    except (OSError, ValueError):
        return None
    return data if isinstance(data, dict) and data.get("schema") == SCHEMA else None


def _write(path: Path, data: dict[str, Any]) -> None:
    import json

    from devbox.files import private_folder, write_atomically

    state_folder()  # says it where there is none
    private_folder(path.parent)
    write_atomically(path, json.dumps({"schema": SCHEMA, **data}, ensure_ascii=False, indent=1) + "\n", mode=0o600)


def lock(workspace: Path, reporter: Reporter | None = None) -> AbstractContextManager[None]:
    """Hold the workspace's lock. Who has it is waited for, and told to `reporter`; without one BusyError is raised."""
    from devbox.files import lock as hold

    def waiting(holder: str) -> None:
        if reporter is not None:
            reporter.info(f"another devbox works on {workspace} ({holder}); waiting for it")

    return hold(_workspace_file(workspace, ".lock"), on_wait=None if reporter is None else waiting)


def recall(workspace: Path | str) -> Workspace | None:
    """Return what is remembered of a workspace."""
    return _workspace(_read(_workspace_file(workspace, ".json")))


def last_contract(workspace: str) -> str | None:
    """Return the devcontainer.json that a workspace last used, or None."""
    remembered = recall(workspace)
    return None if remembered is None else remembered.contract


def remember(workspace: Path, *, contract: Path | str | None, framework: str | None) -> None:
    """Remember the contract in force of a workspace, and its framework."""
    before = recall(workspace)
    on = None if before is None else before.on
    _note(Workspace(str(workspace), None if contract is None else str(contract), framework, on), before)


def remember_up(workspace: Path, *, contract: Path | str, framework: str | None, on: str | None) -> None:
    """Remember what `remember` does, and where the containers run, as `place_of` returns it."""
    _note(Workspace(str(workspace), str(contract), framework, on), recall(workspace))


def _note(new: Workspace, before: Workspace | None) -> None:
    if before != new:
        _write(_workspace_file(new.path, ".json"), new._asdict())
        if new.on is not None:
            _folder(_ON).touch()


def place_of(workspace: Path | str) -> str | None:
    """Return where the containers of a workspace run, None for the engine that docker means."""
    found = recall(workspace)
    return None if found is None else found.on


def places() -> tuple[str, ...]:
    """Return where workspaces run elsewhere than on docker's engine, each once."""
    return tuple(dict.fromkeys(one.on for one in known() if one.on is not None))


def any_on_cluster() -> bool:
    """Tell in a moment whether a workspace may run elsewhere than on docker's engine: without looking for one."""
    return os.path.exists(f"{_place()}/{_ON}")  # noqa: PTH110


def attempt_file(workspace: Path) -> Path:
    """Return the file that keeps a workspace's contract as it was, for as long as another one is tried."""
    return _workspace_file(workspace, ".attempt")


def known() -> tuple[Workspace, ...]:
    """Return all workspaces that are remembered, by path."""
    try:
        files = sorted(_folder("workspaces").glob("*.json"))
    except OSError:
        return ()
    found = (_workspace(_read(path)) for path in files)
    return tuple(sorted(one for one in found if one is not None))


def _workspace(data: dict[str, Any] | None) -> Workspace | None:
    if data is None or not isinstance(data.get("path"), str):
        return None
    said = (data[key] if isinstance(data.get(key), str) else None for key in ("contract", "framework", "on"))
    return Workspace(data["path"], *said)


def _container_name(container: str, suffix: str = ".json") -> str:
    return f"{_place()}/containers/{container}{suffix}"


def _container_file(container: str, suffix: str = ".json") -> Path:
    return _folder("containers") / f"{container}{suffix}"


def stamp(path: Path | str | None) -> list[int] | None:
    """Return what tells one content of a file from another without reading it, or None if there is no such file."""
    try:
        status = None if path is None else os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return None if status is None else [status.st_mtime_ns, status.st_size, status.st_ino]


def has_used(container: str) -> bool:
    """Tell whether devbox has used a container as a dev container: `up` has seen it by its contract."""
    return os.path.exists(_container_name(container))  # noqa: PTH110


def recall_target(container: str, started_at: str, *, ask_late: bool = False) -> Target | None:
    """Return how commands are executed in a container; None if that is not known for this start and this contract.

    With `ask_late`, an answer for which the user's shell took too long is none.
    """
    data = _read(_container_name(container))
    if data is None or data.get("started_at") != started_at or (ask_late and data.get("late")):
        return None
    try:
        if data["stamp"] != stamp(data["config_file"]):
            return None
        env_file = _container_name(container, ".env") if data["env_file"] else None
        if env_file is not None and not os.path.isfile(env_file):  # noqa: PTH113
            return None

        return Target(
            container=container,
            workspace=str(data["workspace"]),
            folder=data["folder"],
            user=data["user"],
            config_file=data["config_file"] or None,
            started_at=started_at,
            env_file=env_file,
            carried=tuple((name, value) for name, value in data["carried"]),
            host_env=tuple(
                (name, tuple(part if isinstance(part, str) else (part[0], part[1]) for part in parts))
                for name, parts in data["host_env"]
            ),
            copied=data["copy"],
        )
    except (KeyError, TypeError, ValueError, IndexError):
        return None


def remember_target(target: Target, env_lines: str, *, complete: bool = True, is_late: bool = False) -> Target:
    """Keep how commands are executed in a container, and return it with the file for docker's `--env-file`.

    Where nothing can be kept, its variables are passed on one by one.
    `env_lines` is what that file holds. Only the owner may read it. What is not `complete` is good for this once;
    what `is_late` lacks the environment of a shell that took too long, and is good until `up` asks again.
    """
    try:
        return _kept(target, env_lines, complete=complete, is_late=is_late)
    except (OSError, UsageError):
        pairs = (line.partition("=") for line in env_lines.splitlines())
        return target._replace(carried=(*target.carried, *((name, value) for name, _, value in pairs)))


def _kept(target: Target, env_lines: str, *, complete: bool, is_late: bool) -> Target:
    from devbox.files import private_folder, write_atomically

    path = _container_file(target.container, ".env")
    private_folder(path.parent)
    if env_lines:
        write_atomically(path, env_lines, mode=0o600)
    _write(
        _container_file(target.container),
        {
            "started_at": target.started_at,
            "workspace": str(target.workspace),
            "folder": target.folder,
            "user": target.user,
            "config_file": str(target.config_file) if target.config_file else None,
            "stamp": stamp(target.config_file) if complete else "incomplete",
            "late": is_late,
            "env_file": bool(env_lines),
            "carried": target.carried,
            "host_env": target.host_env,
            "copy": target.copied,
        },
    )
    return target._replace(env_file=path if env_lines else None)


def hooks_done(container: str, moments: tuple[str, str], *, dotfiles: bool = False) -> bool:
    """Tell whether a container's lifecycle commands are known to have succeeded for its creation and this start.

    With `dotfiles`, whether these are known to be installed, too.
    """
    data = _read(_container_file(container, ".hooks.json"))
    return data is not None and data.get("moments") == list(moments) and (not dotfiles or data.get("dotfiles") is True)


def remember_hooks(container: str, moments: tuple[str, str], *, dotfiles: bool = False) -> None:
    """Remember that the lifecycle commands of a container succeeded for its creation and this start."""
    _write(_container_file(container, ".hooks.json"), {"moments": moments, "dotfiles": dotfiles})


def forget_hooks(container: str) -> None:
    """Forget that the lifecycle commands of a container succeeded: one of them is run again."""
    _container_file(container, ".hooks.json").unlink(missing_ok=True)


def hooks_log(container: str) -> Path:
    """Return where lifecycle commands that run in the background write."""
    return _container_file(container, ".hooks.log")


class HookRun(NamedTuple):
    """The last run of a lifecycle name: the moment that it was for, its exit code, and how many seconds it took."""

    moment: str
    code: int
    seconds: float


def hook_runs(container: str) -> dict[str, HookRun]:
    """Return the last run of each lifecycle name in a container, as far as devbox has run it."""
    data = _read(_container_file(container, ".runs.json")) or {}
    runs = data.get("runs")
    try:
        return {name: HookRun(*run) for name, run in runs.items()} if isinstance(runs, dict) else {}
    except TypeError:
        return {}


def remember_hook_run(container: str, name: str, run: HookRun) -> None:
    """Remember the last run of a lifecycle name in a container."""
    _write(_container_file(container, ".runs.json"), {"runs": {**hook_runs(container), name: run}})


def identity_given(container: str) -> bool:
    """Tell whether a container has been given the user's git identity."""
    return _read(_container_file(container, ".git.json")) is not None


def has_foreign(container: str) -> bool:
    """Tell whether repositories in a container belonged to another user when it was given the identity."""
    return bool((_read(_container_file(container, ".git.json")) or {}).get("foreign"))


def remember_identity(container: str, *, foreign: bool) -> None:
    """Remember that a container has been given the user's git identity: what becomes of it there is its own affair.

    `foreign` tells that repositories in it belong to another user: more may come, which have to be named to git.
    """
    _write(_container_file(container, ".git.json"), {"foreign": foreign})


def mounts_it(container: str, started_at: str, file: Path) -> bool:
    """Tell whether a container is known to have the folder of a contract's `file`, as that is now, since its start."""
    data = _read(_container_file(container, ".mounted.json"))
    return data is not None and (data.get("started_at"), data.get("stamp")) == (started_at, stamp(file))


def remember_mounts_it(container: str, started_at: str, file: Path) -> None:
    """Remember that a container has the folder of a contract's `file` as that is now."""
    _write(_container_file(container, ".mounted.json"), {"started_at": started_at, "stamp": stamp(file)})


def remember_look(what: str, data: dict[str, Any]) -> None:
    """Keep what was seen of volumes, `trees` or `sizes`; where nothing can be kept, it is looked at again."""
    try:
        _write(_folder("looks") / f"{what}.json", data)
    except (OSError, UsageError):
        return


def recall_look(what: str) -> dict[str, Any] | None:
    """Return what was seen of volumes, where nothing of devbox's has changed one since."""
    return _read(f"{_place()}/looks/{what}.json")


def forget_looks() -> None:
    """Forget what was seen of volumes: one of them is about to change."""
    for what in ("trees", "sizes"):
        try:
            os.unlink(f"{_place()}/looks/{what}.json")  # noqa: PTH108
        except OSError:
            continue


def remember_image(volume: str, image: str) -> None:
    """Remember the image of the dev container that trees in a build volume were last configured in."""
    if recall_image(volume) != image:
        _write(_folder("images") / f"{volume}.json", {"image": image})


def recall_image(volume: str) -> str | None:
    """Return the image by which a build volume was last used."""
    image = (_read(f"{_place()}/images/{volume}.json") or {}).get("image")
    return image if isinstance(image, str) else None


def forget_image(volume: str) -> None:
    """Forget a build volume that is gone."""
    (_folder("images") / f"{volume}.json").unlink(missing_ok=True)


def forget_container(container: str) -> None:
    """Forget a container that is gone."""
    for suffix in (".json", ".env", ".git.json", ".hooks.json", ".runs.json", ".hooks.log", ".mounted.json"):
        _container_file(container, suffix).unlink(missing_ok=True)
