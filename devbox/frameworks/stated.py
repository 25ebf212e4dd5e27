"""What a checkout states where a framework's file has constants: its version, and what its Makefile hands to docker.

The checkout's word counts, and is told with its file and line; the constants stand in where it says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from devbox.agent.placeholders import fill
from devbox.errors import UsageError
from devbox.facts.makefile import read_makefile
from devbox.facts.stated import Stated, assigned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from devbox.facts.makefile import Makefile
    from devbox.frameworks.model import Framework, Pairs, Upstream


@dataclass(frozen=True, slots=True)
class Told:
    """What a build of one stage of the framework's own Dockerfile is told.

    `stage` is its name there, None for the last one. `stated` are what the checkout says of it, and `own` are the names
    of those of the `args` for which it says nothing. `staging` is there where it pushes under another name.
    """

    stage: str | None
    args: Pairs
    stated: tuple[Stated, ...] = ()
    own: tuple[str, ...] = ()
    staging: Stated | None = None

    def notes(self, upstream: Upstream) -> Iterator[str]:
        """Yield where the arguments come from, a line for each file."""
        places: dict[str, list[str]] = {}
        for one in self.stated:
            places.setdefault(one.file, []).append(f"{one.name} (line {one.line})")
        for file, names in places.items():
            yield f"{file} says {', '.join(names)}"
        if self.own and upstream.source:
            yield f"devbox says {', '.join(self.own)}: as of {upstream.source}, {upstream.date}"


def version(framework: Framework, checkout: Path) -> Stated | None:
    """Return the version that the checkout says it is, None where its framework names no file or that has none."""
    where = framework.version
    return None if where is None else assigned(checkout, where.file, where.key)


def told(upstream: Upstream, stage: str, known: Mapping[str, str], checkout: Path) -> Told:
    """Return what a build of `stage` is told: by the checkout's Makefile where it has one, else by the constants.

    `stage` is devbox's name of one, the Dockerfile's, or what stands before `_build` in one of the Makefile's targets.
    `known` are the values of placeholders; what is empty is not said. Raises UsageError where the Makefile lacks a
    target that the framework's variant means.
    """
    inner = dict(upstream.stages).get(stage, stage) or None
    constants = {name: value for name, text in upstream.args if (value := fill(text, known))}
    makefile = _makefile(upstream, known, checkout)
    if upstream.make is None or makefile is None:
        return Told(inner, tuple(constants.items()), own=tuple(constants))
    targets = dict(upstream.make.targets).get(stage, stage).split()
    lacking = [one for one in targets if one not in makefile.prefixes()]
    if lacking and stage in dict(upstream.make.targets):
        raise UsageError(
            f"{makefile.file} of this checkout has no target {lacking[0]}_build",
            hint=f"devbox image build --upstream {' | '.join(makefile.prefixes())}",
        )
    full = [f"{one}_build" for one in targets]
    if not lacking and (own := makefile.stated("STAGE", *full)) is not None:
        inner = own.value or None
    found = makefile.arguments(*full)
    # What its recipe names and cannot be read without running it is devbox's to know.
    args = {name: one.value if one is not None else constants.get(name, "") for name, one in found.items()}
    stated = tuple(one for one in found.values() if one is not None and args[one.name])
    own_names = tuple(name for name, one in found.items() if one is None and args[name])
    staging = makefile.stated(upstream.make.staging, *full) if upstream.make.staging else None
    return Told(
        inner,
        tuple((name, value) for name, value in args.items() if value),
        stated,
        own_names,
        staging if staging is not None and staging.value == "1" else None,
    )


def _makefile(upstream: Upstream, known: Mapping[str, str], checkout: Path) -> Makefile | None:
    if upstream.make is None:
        return None
    given = {name: value for name, text in upstream.make.given if (value := fill(text, known))}
    found = (read_makefile(checkout, file, given) for file in upstream.make.file)
    return next((one for one in found if one is not None), None)


def everything(framework: Framework, checkout: Path) -> Iterator[Stated]:
    """Yield all that the checkout states of a framework in its variant, for people to read."""
    if (own := version(framework, checkout)) is not None:
        yield own
    upstream = framework.upstream
    makefile = None if upstream is None else _makefile(upstream, {}, checkout)
    if upstream is None or upstream.make is None or makefile is None:
        return
    for name, targets in upstream.make.targets:
        full = [f"{one}_build" for one in targets.split() if one in makefile.prefixes()]
        if full:
            rows = [makefile.stated("STAGE", *full), *makefile.arguments(*full).values()]
            yield from (
                Stated(f"{name}: {one.name}", one.value, one.file, one.line) for one in rows if one and one.value
            )
