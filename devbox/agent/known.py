"""What is known of a tree before an attempt: its last record, and the contents that were read on the way to a seed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from .drivers import cmake_call
from .events import AgentError
from .files import remove
from .protocol import WantSeed
from .record import ATTEMPT, FILES
from .seed import Seeding
from .volume import current_key, states_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .content import Entry
    from .context import Context
    from .proof.sources import Sources
    from .record import Attempt


class Past(NamedTuple):
    """What was there before: the last attempt, None for a new tree, and contents by the absolute path of files."""

    last: Attempt | None
    seen: Mapping[str, Entry]


def recall(context: Context, sources: Sources) -> Past:
    """Read the tree's record. A tree without one is emptied, or filled by a copy of another workspace's.

    Raises AgentError if the tree was configured for other folders.
    """
    decided, request = context.decided, context.request
    key, tree = decided.key, decided.tree
    last = context.records.attempt(key)
    clean = request.mode == "clean"
    if last is not None and (last.digest != decided.digest or not os.path.isdir(tree)):
        last = None
    if not clean:
        _refuse_another_place(context)
    if clean or (last is None and os.path.isdir(tree)):
        _empty(context)
        last = None
    if last is None:
        remove(context.records.path(key, name) for name in FILES)
    seen: Mapping[str, Entry] = {}
    # What a seeded tree may miss has to be told to ninja: without healing there is no seed.
    if last is None and request.seed and request.heal and not clean:
        last, seen = _seed(context, sources)
    os.makedirs(tree, exist_ok=True)
    if last is None:
        _explain_new_tree(context)
    elif not last.closed and last.code == -1:
        context.reasons.append("the last build was cut off")
    return Past(last, seen)


def _refuse_another_place(context: Context) -> None:
    """Raise AgentError if the tree was configured for other folders: it is not what the key says that it is."""
    decided = context.decided
    known = cmake_call.places(decided.tree)
    for what, now, then in (("build tree", decided.tree, known.tree), ("sources", decided.source, known.source)):
        if then and os.path.realpath(then) != os.path.realpath(now):
            raise AgentError(
                f"{decided.tree} was configured for the {what} {then}, and these are at {now} here",
                hint="devbox build --clean   # empties it and starts anew",
            )


def _seed(context: Context, sources: Sources) -> tuple[Attempt | None, Mapping[str, Entry]]:
    """Let the client have a tree of another workspace copied here; return its attempt, and the contents it took."""
    decided = context.decided
    seeding = Seeding(decided.state, decided.key, decided.tree)
    seen = {sources.path(name): entry for name, entry in sources.entries({}, list).items() if not entry.is_link}
    seeding.ask(seen)
    context.events.send(WantSeed(key=decided.key, digest=decided.digest, token=seeding.token))
    context.supervisor.answer()
    taken = seeding.take(context.records)
    if taken is None:
        return None, seen
    context.reasons.append(taken.reason)
    context.result["seeded"] = taken.reason
    return taken.attempt, seen


def _empty(context: Context) -> None:
    """Remove everything from the tree but what FetchContent downloaded."""
    import shutil

    tree = context.decided.tree
    context.events.phase(f"emptying {tree}")
    remove([context.records.path(context.decided.key, ATTEMPT)])
    shutil.rmtree(states_of(context.decided.volume, context.decided.key), ignore_errors=True)
    if not os.path.isdir(tree):
        return
    context.reasons.append("the tree was emptied")
    downloads = os.path.join(tree, "_deps")
    for entry in [*os.scandir(tree), *(os.scandir(downloads) if os.path.isdir(downloads) else ())]:
        if entry.path == downloads or (entry.path.startswith(downloads) and not entry.name.endswith("-build")):
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)


def _explain_new_tree(context: Context) -> None:
    """Say how the tree differs from the one that was built before."""
    decided = context.decided
    current = current_key(decided.volume)
    other = context.records.attempt(current) if current not in {"", decided.key} else None
    if other is not None:
        old, new = other.inputs, decided.inputs
        changed = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
        context.reasons.append(f"another tree than {current}: {', '.join(changed)} changed")
