"""Which workspace, which contract and which framework a command means: one rule for each, used by every command.

What a person says now comes first, then what is written in the checkout, then what its files show. Where that leaves
several, the person is asked, and the answer is remembered outside the checkout; where nobody can be asked, the error
names the choices and the flag that decides.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from devbox import lean
from devbox.container import memory
from devbox.devcontainer import record
from devbox.devcontainer.find import candidates_in, contract_in, git_top
from devbox.devcontainer.identity import workspace_hash
from devbox.errors import ContractError, EngineError, UsageError
from devbox.paths import expanded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devbox.config.table import Settings
    from devbox.devcontainer.record import Record
    from devbox.engine.docker import Engine
    from devbox.frameworks.model import Framework
    from devbox.reporter import Reporter

# What a personal contract mounts that belongs to its checkout alone.
_OWN_VOLUME = re.compile(r"devbox-\d+-build-([0-9a-f]{12})")
# So many folders of a checkout that looks like nothing are looked at.
_MOST_FOLDERS = 50
# The framework of any tree that CMake builds: such a one may well have been made for its own containers alone.
_ANY_TREE = "cuda"
_THERE = " is there"
# Settings of a checkout's own make a folder a workspace, too.
_SETTINGS = ("devbox.toml", "devbox.local.toml")


class Chosen(NamedTuple):
    """A framework, its variant (None for the default one), and `why` it is meant; None where it was asked for.

    `contract` is the one that says so, if any does.
    """

    name: str
    variant: str | None = None
    why: str | None = None
    contract: Path | None = None

    @property
    def told(self) -> str:
        """What it is, and why, in words."""
        return f"{self.name}{f' ({self.variant})' if self.variant else ''}, because {self.why}"


def _in_words(why: Sequence[str]) -> str:
    """Return why a framework fits in one phrase: what is there by name, and what files say."""
    *more, last = [one.removesuffix(_THERE) for one in why if one.endswith(_THERE)] or [""]
    there = [f"{', '.join(more)} and {last} are there" if more else f"{last}{_THERE}"] if last else []
    return " and ".join([*there, *(one for one in why if not one.endswith(_THERE))])


def workspace(folder: Path) -> Path:
    """Return the workspace that the absolute `folder` is, or is a part of.

    That is the nearest folder with a contract, settings of its own, or a dev container that devbox remembers. Of a git
    repository it is else the top, unless only `folder` looks like a framework. The search ends at the top of the
    repository, and before a folder of somebody else, one that everybody writes into, and the person's home: what lies
    there is not meant for what is below. A symlink to a workspace that devbox remembers means that one, by its name.
    """
    # As it is called, and then as it is: a shell may stand in a symlink to a sub-folder.
    for place in dict.fromkeys((folder, Path(os.path.realpath(folder)))):
        places, top = _places(place)
        found = next((one for one in places if _is_workspace(one)), None)
        if found is None and top is not None:
            from devbox.frameworks.detect import detect

            found = place if place != top and not detect(top) and detect(place) else top
        if found is not None:
            return _as_first_named(found)
    return _as_first_named(folder)


def _as_first_named(folder: Path) -> Path:
    """Return what a workspace was called first, where a symlink leads from one name to another: it is one workspace."""
    if memory.recall(folder) is not None:
        return folder
    real = os.path.realpath(folder)
    return next((Path(one.path) for one in memory.known() if os.path.realpath(one.path) == real), folder)


def _places(folder: Path) -> tuple[list[Path], Path | None]:
    """Return `folder` and those above it that may be its workspace, the nearest first; and the repository's top."""
    real, home, top = Path(os.path.realpath(folder)), expanded("~"), git_top(folder)
    owners = {os.getuid(), folder.stat().st_uid}
    places = [folder]
    for place in folder.parents:
        status = place.stat()
        if places[-1] == top or place == home or status.st_uid not in owners or status.st_mode & stat.S_ISVTX:
            break
        # What is above a symlink by its name alone is another checkout.
        if not real.is_relative_to(os.path.realpath(place)):
            break
        places.append(place)
    return places, top if top in places else None


def _is_workspace(folder: Path) -> bool:
    if memory.recall(folder) is not None or candidates_in(folder):
        return True
    return any((folder / name).is_file() for name in _SETTINGS)


def contract(
    workspace: Path,
    engine: Engine,
    reporter: Reporter,
    *,
    config: Path | None = None,
    framework: str | None = None,
    own: bool = False,
) -> Path | None:
    """Return the contract in force, None where devbox has to write one; see `devbox.devcontainer.find.find`.

    Of shared ones that differ in their GPUs alone the one for this machine is taken, which is said. In doubt it is
    devbox's `own` where something was asked for that only such a one can have; else the person is asked. Where nobody
    can be, devbox's own is taken, which is said, if there is one or the checkout is of a project that devbox knows.
    Else ContractError is raised, with the choices.
    """
    found = contracts(workspace, config=config, framework=framework)
    if len(found) > 1:
        found = _for_this_machine(workspace, found, engine, reporter)
    if len(found) > 1 and own:
        found = tuple(path for path in found if record.at(path).personal)
    return _asked(workspace, found, reporter) if len(found) > 1 else next(iter(found), None)


def contracts(workspace: Path, *, config: Path | None = None, framework: str | None = None) -> tuple[Path, ...]:
    """Return the contracts that may be in force, with what is remembered; see `devbox.devcontainer.find.find`."""
    last = memory.last_contract(str(workspace))
    return contract_in(workspace, config=config, framework=framework, last=None if last is None else Path(last))


def formerly(workspace: Path, contract: Path | None = None) -> str | None:
    """Return what the checkout was called for which devbox wrote its contract; None where it has that name still.

    One that was moved or copied has a contract with the volume of another folder.
    """
    for path in contracts(workspace) if contract is None else (contract,):
        if record.at(path).personal is None:
            continue
        for file in (path, path.with_name("compose.yaml")):
            try:
                found = _OWN_VOLUME.search(lean.text(file))
            except (OSError, UnicodeDecodeError):
                continue
            if found is not None and found[1] != workspace_hash(workspace):
                known = (one.path for one in memory.known() if workspace_hash(one.path) == found[1])
                return next(known, "another folder")
    return None


def _for_this_machine(workspace: Path, found: tuple[Path, ...], engine: Engine, reporter: Reporter) -> tuple[Path, ...]:
    """Return `found` without those that have a twin which fits this machine better."""
    known = {path: record.at(path) for path in found}
    pairs = {path for path, one in known.items() if any(one.is_twin_of(other) for other in known.values())}
    if not pairs:
        return found
    from devbox.devcontainer.gpu import gpu_args
    from devbox.facts import engine as engine_facts
    from devbox.facts import gpu

    try:
        facts = engine_facts.gather(engine)
        choice = gpu_args("auto", gpu.gather(engine, facts), facts)
    except EngineError:
        # Whoever needs the engine will be told so; for the others it is the one that every tool takes first, if any.
        return tuple(path for path in found if found[0] not in pairs or path not in pairs or path == found[0])
    left = tuple(path for path in found if path not in pairs or known[path].for_gpus == (choice.grant is not None))
    for path in left:
        if path in pairs:
            reporter.info(f"{_name(workspace, path)} is taken: {choice.reason} (--config takes another)")
    return left


def _asked(workspace: Path, found: Sequence[Path], reporter: Reporter) -> Path | None:
    known = [one.name for one in frameworks(workspace)]
    own = " or ".join(known)
    offers: dict[str, Path | None] = {_name(workspace, path): path for path in found}
    if own:
        offers[f"one that devbox writes, for {own}"] = None
    answer = reporter.choose(f"{workspace} has several dev container configurations. Which one?", tuple(offers))
    if answer is None:
        names = ", ".join(_name(workspace, path) for path in found)
        mine = [path for path in found if record.at(path).personal]
        if len(mine) == 1 or (not mine and len(known) == 1 and known[0] != _ANY_TREE):
            what = _name(workspace, mine[0]) if mine else f"devbox's own for {own}"
            reporter.info(
                f"{what} is taken: the checkout has {names} (--config takes one of them, which is remembered)"
            )
            return next(iter(mine), None)
        # A relative name is good where it can be typed.
        first = _name(workspace, found[0]) if Path.cwd() == workspace else str(found[0])
        or_own = f"; devbox up --framework {own.partition(' ')[0]} writes one of devbox's" if own else ""
        raise ContractError(
            f"{workspace} has several dev container configurations: {names}",
            hint=f"{up_line(workspace, '--config', first)}   # or another one, which is remembered{or_own}",
        )
    path = offers[answer]
    if path is not None:
        memory.remember(workspace, contract=path, framework=record.at(path).framework)
    return path


def up_line(workspace: Path, *words: str) -> str:
    """Return the `devbox up` that means `workspace` from the current folder, with further `words`."""
    return shlex.join(["devbox", "up", *([] if Path.cwd().is_relative_to(workspace) else [str(workspace)]), *words])


def _name(workspace: Path, path: Path) -> str:
    return str(path.relative_to(workspace)) if path.is_relative_to(workspace) else str(path)


def frameworks(workspace: Path, said: str | None = None, *, personal: bool = True) -> tuple[Chosen, ...]:
    """Return the framework of a checkout: what was `said`, else the contract's, else what its files show.

    Several mean doubt, and none that it looks like none of those that devbox knows. Without `personal` the files alone
    count, which are the same for everybody. Raises ConfigError for a mistake in how a framework is known.
    """
    if said is not None:
        return (Chosen(said),)
    if personal and (written := _written(workspace)) is not None:
        return (written,)
    from devbox.frameworks.detect import detect

    matches = detect(workspace)
    best = [Chosen(one.name, one.variant, _in_words(one.why)) for one in matches if one.weight == matches[0].weight]
    last = memory.recall(workspace) if personal and len(best) > 1 else None
    answered = [one for one in best if last is not None and one.name == last.framework]
    return tuple(answered or best)


def framework(workspace: Path, said: str | None, reporter: Reporter, *, personal: bool = True) -> Chosen:
    """Return the framework of a checkout as `frameworks` does; in doubt the person is asked.

    Raises UsageError with the choices where nobody can be asked, or nothing matches.
    """
    found = frameworks(workspace, said, personal=personal)
    if not found:
        from devbox.frameworks.load import available

        known = available(workspace)
        message = f"{workspace} looks like none of the frameworks that devbox knows ({', '.join(known)})"
        below = _below(workspace)
        if below is not None:
            folder, one = below
            hint = f"{up_line(workspace / folder)}   # for that folder alone; or {_hint(one.name)}"
            raise UsageError(f"{message}, but its folder {folder} like {one.name}: {one.why}", hint=hint)
        raise UsageError(message, hint=_hint(known[0]))
    if len(found) == 1:
        return found[0]
    choices = {one.name: one for one in found}
    answer = reporter.choose(f"Which framework is {workspace.name}?", tuple(choices))
    if answer is None:
        raise several(workspace, found)
    memory.remember(workspace, contract=memory.last_contract(str(workspace)), framework=answer)
    return choices[answer]


def _below(workspace: Path) -> tuple[str, Chosen] | None:
    """Return the first folder of a checkout that looks like a framework, and which; None where there is none."""
    from devbox.frameworks.detect import detect

    try:
        names = sorted(
            entry.name for entry in os.scandir(workspace) if entry.is_dir() and not entry.name.startswith(".")
        )
    except OSError:
        return None
    for name in names[:_MOST_FOLDERS]:
        if matches := detect(workspace / name):
            return name, Chosen(matches[0].name, matches[0].variant, _in_words(matches[0].why))
    return None


def several(workspace: Path, found: Sequence[Chosen]) -> UsageError:
    """Return the error for a checkout that may be of several frameworks."""
    reasons = "; ".join(f"{one.name} ({one.why})" for one in found)
    return UsageError(f"{workspace} looks like several frameworks: {reasons}", hint=_hint(found[0].name))


def _hint(name: str) -> str:
    return f'--framework {name}   # or another of them; in every command: framework = "{name}" in devbox.toml'


def framework_for(workspace: Path, settings: Settings, reporter: Reporter) -> Framework:
    """Return the framework of a checkout in its variant, and say why it is that one, unless that was asked for.

    Raises UsageError as `framework` does, and for a variant that there is not.
    """
    from devbox.frameworks.load import load

    chosen = framework(workspace, settings.framework, reporter)
    if chosen.why is not None:
        reporter.info(f"note: {chosen.told}")
    return load(chosen.name, settings.variant or chosen.variant, workspace)


def recorded(written: Record, workspace: Path) -> Framework | None:
    """Return the framework that a contract's record names, if it is one that devbox knows."""
    from devbox.frameworks.load import available, load

    if written.framework is None or written.framework not in available(workspace):
        return None
    known = load(written.framework, workspace=workspace)
    return load(known.name, written.variant, workspace) if written.variant in known.variants else known


def _written(workspace: Path) -> Chosen | None:
    """Return the framework that the contract in force is for; several count where they are all for the same one."""
    paths = contracts(workspace)
    known = [recorded(record.at(path), workspace) for path in paths]
    if not known or known[0] is None or any(one != known[0] for one in known):
        return None
    return Chosen(known[0].name, known[0].variant, f"{_name(workspace, paths[0])} says so", paths[0])
