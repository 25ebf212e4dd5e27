"""What is kept of builds in a tree, for their report: each command with its times, and what the cache said.

The last one that ran anything is `KEY.json`; those before it lie in the folder `KEY`, for comparison.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from . import history
from .files import read_json, write_json
from .ninja import output
from .protocol import Reported
from .volume import current_key, records_of, state_of, timelines_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .caches.counts import Counts
    from .configuration import Configuration
    from .protocol import Report


# The newest builds are kept for comparison whatever they did, and of older ones so many.
_NEWEST, _OLDER = 4, 8


def keep(
    decided: Configuration,
    result: dict[str, Any],
    commands: Sequence[output.Command],
    answered: Counts | None,
    *,
    start_ns: int,
) -> None:
    """Put what the cache answered into the result, and keep the commands of a build that ran any.

    Where nvcc's phases were asked for, the result also holds the timeline.
    """
    cache: dict[str, Any] = {"kind": decided.cache.kind}
    if answered is not None:
        result["cached"], result["missed"] = answered.hits, answered.misses
        cache.update(languages=answered.languages, remote=answered.remote, errors=answered.errors)
    result["cache"] = cache
    if not commands:
        return
    kept = {
        "key": decided.key,
        "begun": start_ns / 1e9,
        "jobs": result.get("jobs", 0),
        "cache": decided.cache.kind,
        "steps": [[command.start, command.end, *command.outputs] for command in commands],
        "outcomes": answered.outcomes if answered else {},
        "phases": phases(decided.cache.phases) if decided.cache.phases else {},
    }
    _put_aside(decided.state, decided.key)
    write_json(timelines_of(decided.state, decided.key)[0], kept)
    if decided.cache.phases:
        result["timeline"] = describe(decided.state, decided.tree)


def _put_aside(state: str, key: str) -> None:
    """Move the last build to those before it. Of too many of these the smallest goes: it tells least."""
    last, folder = timelines_of(state, key)
    try:
        stamp = os.stat(last).st_mtime_ns
    except OSError:
        return
    os.makedirs(folder, exist_ok=True)
    os.rename(last, os.path.join(folder, f"{stamp:020}.json"))
    older = sorted(os.listdir(folder))[:-_NEWEST]
    if len(older) > _OLDER:
        os.unlink(min((os.path.join(folder, name) for name in older), key=os.path.getsize))


def _before(state: str, key: str, sources: dict[str, str]) -> dict[tuple[str, bool], float]:
    """Return how long each command took last, before the last build: by its output, and whether the cache had it."""
    folder = timelines_of(state, key)[1]
    found = {}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        kept = read_json(os.path.join(folder, name))
        try:
            hits = {source for source, outcome in kept["outcomes"].items() if outcome == "hit"}
            for start, end, output_, *_ in kept["steps"]:
                found[output_, sources.get(output_, "") in hits] = end - start
        except (TypeError, LookupError, ValueError, AttributeError):
            continue  # of another version, or damaged: nothing is compared with it
    return found


def describe(state: str, tree: str) -> dict[str, Any] | None:
    """Return the timeline of a tree's last build that ran anything, with its critical path; None if there is none."""
    kept = read_json(timelines_of(state, os.path.basename(tree))[0])
    if not isinstance(kept, dict):
        return None
    from .ninja import graph

    made = graph.read(tree)
    commands = [output.Command(tuple(outputs), start, end) for start, end, *outputs in kept["steps"]]
    before = _before(state, os.path.basename(tree), made.source)
    critical = set(graph.critical_path(commands, made.inputs))
    steps = []
    for index, command in enumerate(commands):
        source = made.source.get(command.output, "") if command.output.endswith(output.OBJECTS) else ""
        outcome = kept["outcomes"].get(source, "") if source else ""
        steps.append(
            {
                "output": command.output,
                "source": source,
                "start": command.start,
                "end": command.end,
                "outcome": outcome,
                "critical": index in critical,
                "phases": kept["phases"].get(command.output, []),
                "before": before.get((command.output, outcome == "hit")),
            }
        )
    return {**{name: kept[name] for name in ("key", "begun", "jobs", "cache")}, "steps": steps}


def tell(request: Report) -> Reported:
    """Return the timeline of a tree's last build that ran anything, and the tree's history.

    The tree is that with the request's `key`, or the one that was built last ("" if none was).
    """
    volume = request.volume
    key = request.key or current_key(volume)
    past = history.read(os.path.join(records_of(volume), key, history.NAME))
    return Reported(key=key, timeline=describe(state_of(volume), os.path.join(volume, key)), history=past)


def phases(folder: str) -> dict[str, list[list[Any]]]:
    """Read nvcc's tables (`--time`): for each object (phase, architecture, milliseconds), in the order of the table.

    The columns are: source, phase, its inputs, its output, architecture, tool, metric, unit. Each compile has a table
    of its own, and the row of the driver names the object.
    """
    found: dict[str, list[list[Any]]] = {}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        rows = []
        output = ""
        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as stream:
            for line in stream:
                cells = [cell.strip() for cell in line.split(" , ")]
                cells = cells if len(cells) == 8 else [cell.strip() for cell in line.split(",")]
                if len(cells) != 8 or cells[7] != "ms":
                    continue
                if cells[1].startswith("nvcc"):
                    output = cells[3]
                try:
                    rows.append([cells[1], cells[4], float(cells[6])])
                except ValueError:
                    continue
        if output:
            found[output] = rows
    return found
