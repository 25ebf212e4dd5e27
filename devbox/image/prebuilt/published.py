"""What one command wants of registries, put together: the tags of a repository, and the image of a checkout."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from devbox.errors import UsageError
from devbox.image.building.targets import known_stage
from devbox.image.prebuilt import history
from devbox.image.prebuilt.candidates import candidates, of_commit
from devbox.image.prebuilt.resolve import platform_of, resolve
from devbox.image.registry import tags as tag_names
from devbox.image.registry.client import RegistryError
from devbox.image.registry.reference import parse
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from devbox.engine.docker import Engine
    from devbox.frameworks.model import Framework
    from devbox.image.prebuilt.candidates import Candidate
    from devbox.image.prebuilt.resolve import Resolution
    from devbox.image.registry.reference import Reference
    from devbox.image.registry.remote import Registries
    from devbox.image.registry.tags import Tag

# Each tag's date costs three requests, which a registry may count.
MOST_DATED = 200
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Tags:
    """The newest tags of a repository, of `matching` that fit what was asked for, of `total` that there are."""

    repository: str
    tags: tuple[Tag, ...]
    matching: int
    total: int


def list_tags(
    repository: str, registries: Registries, *, pattern: str | None = None, limit: int = 0, created: bool = False
) -> Tags:
    """Return the tags of a repository that fit a shell pattern, the newest first; `limit` 0 means all.

    With `created` their age is that of their images, not what their names tell. Raises RegistryError, and UsageError
    for a repository with a tag or for more tags than whose images should be looked at.
    """
    place = parse(repository)
    if place.tag or place.digest:
        raise UsageError(
            f"{repository} names one image, not a repository", hint=f"devbox image tags {place.repository}"
        )
    names = registries.tags(place)
    fitting = tag_names.matching(names, pattern)
    dates = _dates(place, fitting, registries) if created else None
    found = tag_names.newest_first(fitting, dates)
    return Tags(place.repository, tuple(found[:limit] if limit else found), len(fitting), len(names))


def _dates(place: Reference, names: Sequence[str], registries: Registries) -> dict[str, str | None]:
    if len(names) > MOST_DATED:
        raise UsageError(
            f"{place.repository} has {len(names)} such tags: --created would look at each one's image",
            hint=f"devbox image tags {place.repository} --created --filter PATTERN   # at most {MOST_DATED}",
        )

    def date(name: str) -> str | None:
        try:
            # Any platform will do: they are built together.
            return registries.created(place.with_tag(name))
        except RegistryError:
            return None

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(names, pool.map(date, names), strict=True))


def image_of(
    engine: Engine,
    registries: Registries,
    workspace: Path,
    framework: Framework,
    *,
    stage: str,
    back: int | None = None,
    everything: bool = False,
) -> Resolution:
    """Look for the image of a stage that somebody has built for the checkout as it is.

    `back` is how many commits further back will do, None what the framework says. Raises EngineError and ConfigError,
    and UsageError for a stage that is neither the framework's own nor one that somebody publishes.
    """
    if all(rule.stage != stage for rule in framework.prebuilt):
        known_stage(framework, stage)
    platform, machine = platform_of(engine)
    past = history.gather(workspace, back=max(back or 0, history.BACK, *(rule.back for rule in framework.prebuilt)))
    wanted = candidates(framework, workspace, past, stage=stage, machine=machine, back=back)
    return resolve(wanted, local=_local(engine), registries=registries, platform=platform, everything=everything)


def find_commit(
    engine: Engine,
    registries: Registries,
    workspace: Path,
    ref: str,
    *,
    framework: Framework | None = None,
    repository: str | None = None,
    pattern: str | None = None,
    stage: str | None = None,
    back: int | None = None,
) -> Resolution:
    """Look for the image of the commit `ref`, or of the nearest one before it that has one.

    It is looked for among the tags of `repository` that fit `pattern`, or wherever `framework` publishes by commit.
    Raises UsageError for a ref that the checkout does not have, and where nothing is published by commit.
    """
    platform, machine = platform_of(engine)
    past = history.gather(workspace, ref, back=history.BACK if back is None else back)
    wanted: tuple[Candidate, ...] = ()
    if framework is None:
        wanted = (of_commit(repository or "", pattern, past, back=back),)
    else:
        wanted = candidates(framework, workspace, past, stage=stage, machine=machine, commits_only=True, back=back)
        if not wanted:
            raise UsageError(
                f"{framework.title} ({framework.variant}) publishes no such image by commit",
                hint=f"devbox image tags REPO --ref {ref}",
            )
    return resolve(wanted, local=_local(engine), registries=registries, platform=platform)


def _local(engine: Engine) -> Callable[[str], bool]:
    return lambda name: engine.image(name) is not None


def repositories(framework: Framework) -> tuple[str, ...]:
    """Return the repositories in which a framework's images are published, as far as their names are known."""
    found = (rule.reference.rpartition(":")[0] for rule in framework.prebuilt)
    return tuple(dict.fromkeys(name for name in found if name and "{" not in name and not parse(name).official))
