"""Which image somebody has built already for this checkout: candidates in order, each looked for until one is there.

They are looked for on the engine and then in their registries, by the head of a manifest. Nothing is pulled to find
out, and a registry that does not answer is asked once.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

from devbox.errors import ImageError
from devbox.image.platforms import machine_of
from devbox.image.registry import tags as tag_names
from devbox.image.registry.client import RegistryError, UnreachableError
from devbox.image.registry.reference import parse
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from devbox.engine.docker import Engine
    from devbox.image.prebuilt.candidates import Candidate
    from devbox.image.registry.reference import Reference
    from devbox.image.registry.remote import Registries

State = Literal["local", "registry", "missing", "denied", "unreachable", "failed", "skipped"]

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a candidate. `reference` is what was found, or what was looked for first.

    `behind` is how many commits lie between the one asked for and the image's. `size` is what a pull downloads, in
    bytes, where that is known.
    """

    reference: str
    stage: str
    why: str
    state: State
    said: str
    digest: str | None = None
    size: int | None = None
    behind: int | None = None

    @property
    def found(self) -> bool:
        """Whether the image can be had."""
        return self.state in {"local", "registry"}


@dataclass(frozen=True, slots=True)
class Resolution:
    """What was looked for, in order, and the first that was found; None: it has to be built."""

    tried: tuple[Outcome, ...]
    chosen: Outcome | None


def resolve(
    wanted: Sequence[Candidate],
    *,
    local: Callable[[str], bool],
    registries: Registries,
    platform: str,
    everything: bool = False,
) -> Resolution:
    """Look for the candidates in order until one is found; with `everything`, for the others too.

    `local` says whether an image is on the engine, `platform` is the engine's (`linux/amd64`). No registry that is out
    of reach or says no stops it: that is an outcome.
    """
    tried: list[Outcome] = []
    for candidate in wanted:
        tried.append(_look(candidate, local, registries, platform))
        if tried[-1].found and not everything:
            break
    return Resolution(tuple(tried), next((one for one in tried if one.found), None))


def _look(candidate: Candidate, local: Callable[[str], bool], registries: Registries, platform: str) -> Outcome:
    first = candidate.references[0] if candidate.references else candidate.pattern or candidate.template
    outcome = Outcome(first, candidate.stage, candidate.why, "skipped", candidate.skipped or "")
    if candidate.skipped is not None:
        return outcome
    for number, name in enumerate(candidate.references):
        if local(name):
            behind = number if candidate.commits else None
            return replace(outcome, reference=name, state="local", said="it is on the engine", behind=behind)
    if not candidate.published:
        return replace(outcome, state="missing", said="it is not on the engine")
    try:
        found = _listed(candidate, registries) if candidate.pattern else _probed(candidate, registries)
    except RegistryError as error:
        return replace(outcome, state=_state(error), said=error.message)
    if found is None:
        several = len(candidate.references) or len(candidate.commits)
        what = f"none of the {several} newest is published" if several > 1 else "it is not published"
        return replace(outcome, state="missing", said=what)
    reference, number = found
    behind = number if candidate.commits else None
    return _fits(replace(outcome, reference=str(reference), behind=behind), reference, registries, platform)


def _fits(outcome: Outcome, reference: Reference, registries: Registries, platform: str) -> Outcome:
    """Return the outcome for an image that is there: one for another platform cannot be had."""
    try:
        image = registries.image(reference, platform=platform)
    except RegistryError as error:
        return replace(outcome, state=_state(error), said=error.message)
    one = image.platform(platform)
    if one is None:
        names = ", ".join(each.name for each in image.platforms) or "no platform"
        return replace(outcome, state="missing", said=f"it is for {names} alone", digest=image.digest)
    return replace(outcome, state="registry", said="it can be pulled", digest=image.digest, size=one.size)


def _probed(candidate: Candidate, registries: Registries) -> tuple[Reference, int] | None:
    """Return the first of a candidate's references that its registry has, and its number. Raises RegistryError."""
    references = [parse(text) for text in candidate.references]

    def there(reference: Reference) -> bool:
        try:
            registries.digest(reference)
        except RegistryError as error:
            if error.status != 404:
                raise
            return False
        return True

    # The first alone: it learns whether the registry answers at all, and gets the token that the others go with.
    if there(references[0]):
        return references[0], 0
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        answers = pool.map(there, references[1:])
        number = next((number for number, yes in enumerate(answers, 1) if yes), None)
    finally:
        pool.shutdown(cancel_futures=True)
    return None if number is None else (references[number], number)


def _listed(candidate: Candidate, registries: Registries) -> tuple[Reference, int] | None:
    """Return the image of the first of a candidate's commits among the tags of its repository. Raises RegistryError."""
    repository, _, pattern = (candidate.pattern or "").rpartition(":")
    place = parse(repository)
    names = [name for name in registries.tags(place) if fnmatchcase(name, pattern)]
    found = tag_names.of_commits(names, candidate.commits)
    return None if found is None else (place.with_tag(found[0]), found[1])


def _state(error: RegistryError) -> State:
    if error.status in {401, 403}:
        return "denied"
    if isinstance(error, UnreachableError):
        return "unreachable"
    return "missing" if error.status == 404 else "failed"


def nothing(resolution: Resolution, what: str, hint: str) -> ImageError:
    """Return the error for a resolution that found nothing of `what`. Its detail says what was looked for."""
    reasons = "\n".join(f"{one.reference}: {one.said}" for one in resolution.tried)
    return ImageError(f"there is no {what} to be had", hint=hint, detail=reasons or None)


def platform_of(engine: Engine) -> tuple[str, str]:
    """Return the engine's platform (`linux/amd64`), and its machine type as uname has it (`x86_64`)."""
    platform = engine.run(["version", "--format", "{{.Server.Os}}/{{.Server.Arch}}"]).stdout.strip()
    return platform, machine_of(platform.partition("/")[2])
