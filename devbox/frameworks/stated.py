"""What a checkout states where a framework's file has constants.

That is its version, the images that its own start from, the build arguments that its Makefile hands to docker, and the
values that its Dockerfile takes.
The checkout's word counts, and is told with its file and line; the constants stand in where it says nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from devbox.agent.placeholders import fill
from devbox.errors import UsageError
from devbox.facts.dockerfile import default, fits, is_plain, taken
from devbox.facts.makefile import read_makefile
from devbox.facts.stated import Stated, assigned, table
from devbox.facts.stated import pinned as pinned_to
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from devbox.facts.makefile import Makefile
    from devbox.frameworks.model import Catalog, Framework, Pairs, Upstream

# What stands before a CUDA release in the name of a catalog's entry.
_CUDA = "cuda"


@dataclass(frozen=True, slots=True)
class Told:
    """What a build of one stage of the framework's own Dockerfile is told.

    `stage` is its name there, None for the last one. `stated` are what the checkout says of it, and `own` are the names
    of those of the `args` for which it says nothing. What it hands over `unknown`, only its own script can tell.
    `staging` is there where it pushes under another name.
    """

    stage: str | None
    args: Pairs
    stated: tuple[Stated, ...] = ()
    own: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
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
        for name in self.unknown:
            yield f"the checkout hands over {name}, and only running its script tells what: --arg {name}=VALUE"


def version(framework: Framework, checkout: Path) -> Stated | None:
    """Return the version that the checkout says it is, None where its framework names no file or that has none."""
    where = framework.version
    return None if where is None else assigned(checkout, where.file, where.key)


def releases(catalog: Catalog, checkout: Path) -> dict[str, Stated]:
    """Return the CUDA releases for which a checkout's catalog has images, each with where it says so."""
    found = table(checkout, catalog.file, catalog.section)
    return {name.removeprefix(_CUDA): one for name, one in found.items() if name.startswith(_CUDA)}


def release(framework: Framework, checkout: Path, asked: str | None = None) -> str:
    """Return the CUDA release that a checkout's own images are built on, "" where they are on none.

    `asked` is the one that was asked for. Raises UsageError where the checkout has no such images.
    """
    catalog = framework.catalog
    if catalog is None:
        return asked or framework.cuda or ""
    there = releases(catalog, checkout)
    meant = catalog.entry.removeprefix(_CUDA) if catalog.entry.startswith(_CUDA) else ""
    if asked is not None and (asked not in there if there else asked != meant):
        places = f"   # {', '.join(one.place for one in there.values())}" if there else ""
        hint = f"--cuda {' | '.join(there) or meant}{places}" if there or meant else "leave --cuda out"
        raise UsageError(f"this checkout has no images of {catalog.section} for CUDA {asked}", hint=hint)
    return asked or (meant if meant in there or not (meant and there) else max(there, key=_order))


def images(framework: Framework, checkout: Path | None, cuda: str | None = None) -> Framework:
    """Return `framework` with the tags of its images that the checkout's catalog has: of the release `cuda`, if asked.

    Only an image of the same repository is taken: what else a checkout names is not one that devbox knows.
    """
    catalog = framework.catalog
    if catalog is None or checkout is None:
        return framework
    entry = catalog.entry if cuda is None else f"{_CUDA}{cuda}"
    there = releases(catalog, checkout)
    if cuda is None and entry.startswith(_CUDA) and there and entry.removeprefix(_CUDA) not in there:
        entry = f"{_CUDA}{max(there, key=_order)}"
    says = table(checkout, catalog.file, catalog.section, entry)

    def of(keys: tuple[str, ...], own: str | None) -> str | None:
        said = ":".join(says[key].value for key in keys if key in says)
        return said if own is not None and keys and said.rpartition(":")[0] == own.rpartition(":")[0] else own

    base = of(catalog.base_image, framework.base_image) or framework.base_image
    return replace(framework, base_image=base, runtime_image=of(catalog.runtime_image, framework.runtime_image))


def _order(release: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else 0 for part in release.split("."))


def _of_release(
    upstream: Upstream, constant: str | None, checkout: Path, asked: str | None
) -> tuple[Stated | None, str | None]:
    """Return what the argument for the CUDA release is, as the Dockerfile states it, and as devbox's constant is.

    A value that the Dockerfile takes for the release of the constant, or the one that was `asked` for, is its own: its
    default first, then the newest. Raises UsageError where it takes none that was asked for.
    """
    name, file = upstream.cuda, next((one for one in upstream.dockerfile if (checkout / one).is_file()), None)
    wanted = asked or ".".join((constant or "").split(".")[:2])
    if name is None or file is None or not wanted:
        return None, constant
    own, patterns = default(checkout, file, name), taken(checkout, file, name)
    there = [one for one in (own, *reversed(patterns)) if one is not None and is_plain(one.value)]
    there = [one for one in there if not patterns or fits(one.value, patterns)]
    found = next((one for one in there if f"{one.value}.".startswith(f"{wanted}.")), None)
    if found is not None:
        return found, None
    # Nothing is known against the constant where no step refuses a value.
    if constant is not None and f"{constant}.".startswith(f"{wanted}.") and (not patterns or fits(constant, patterns)):
        return None, constant
    if asked is not None:
        places = ", ".join(f"{value} ({one.place})" for value, one in {one.value: one for one in there}.items())
        raise UsageError(f"{file} names no {name} for CUDA {asked}", hint=f"--arg {name}=…; it has {places or 'none'}")
    return None, None


def pins(framework: Framework, checkout: Path | None) -> tuple[Stated, ...]:
    """Return the build arguments that a checkout's pins say; of what the framework's `args` say, none."""
    args = dict(framework.args)
    if checkout is None:
        return ()
    asked = [one for one in framework.pins if one.arg not in args]
    found = [(one.arg, pinned_to(checkout, [fill(file, args) for file in one.file], one.package)) for one in asked]
    return tuple(replace(said, name=arg) for arg, said in found if said is not None)


def told(upstream: Upstream, stage: str, known: Mapping[str, str], checkout: Path, *, cuda: str | None = None) -> Told:
    """Return what a build of `stage` is told: by the checkout's Makefile where it has one, else by the constants.

    `stage` is devbox's name of one, the Dockerfile's, or what stands before `_build` in one of the Makefile's targets.
    `known` are the values of placeholders; what is empty is not said. `cuda` is the release that was asked for. Raises
    UsageError where the Makefile lacks a target that the framework's variant means, and the Dockerfile the release.
    """
    inner = dict(upstream.stages).get(stage, stage) or None
    constants = {name: value for name, text in upstream.args if (value := fill(text, known))}
    makefile = _makefile(upstream, known, checkout)
    if upstream.make is None or makefile is None:
        found_there, constant = _of_release(upstream, constants.pop(upstream.cuda or "", None), checkout, cuda)
        said = {} if found_there is None else {found_there.name: found_there.value}
        constants |= {} if constant is None or upstream.cuda is None else {upstream.cuda: constant}
        listed = () if found_there is None else (found_there,)
        return Told(inner, tuple({**constants, **said}.items()), listed, own=tuple(constants))
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
        tuple(name for name, one in found.items() if one is None and not args[name]),
        staging if staging is not None and staging.value == "1" else None,
    )


def _makefile(upstream: Upstream, known: Mapping[str, str], checkout: Path) -> Makefile | None:
    if upstream.make is None:
        return None
    given = {name: value for name, text in upstream.make.given if (value := fill(text, known))}
    found = (read_makefile(checkout, file, given) for file in upstream.make.file)
    return next((one for one in found if one is not None), None)


def pinned(framework: Framework, checkout: Path | None) -> Framework:
    """Return the framework with the arguments that the checkout's pins say."""
    return replace(framework, args=(*framework.args, *((one.name, one.value) for one in pins(framework, checkout))))


def everything(framework: Framework, checkout: Path) -> Iterator[Stated]:
    """Yield all that the checkout states of a framework in its variant, for people to read."""
    if (own := version(framework, checkout)) is not None:
        yield own
    if (catalog := framework.catalog) is not None:
        for name in table(checkout, catalog.file, catalog.section):
            for key, one in table(checkout, catalog.file, catalog.section, name).items():
                yield replace(one, name=f"{name}: {key}")
    yield from pins(framework, checkout)
    upstream = framework.upstream
    if upstream is not None and upstream.cuda is not None:
        for file in (one for one in upstream.dockerfile if (checkout / one).is_file()):
            found = default(checkout, file, upstream.cuda)
            yield from (() if found is None else (found,))
            yield from taken(checkout, file, upstream.cuda)
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
