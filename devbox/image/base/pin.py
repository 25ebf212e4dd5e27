"""What goes into a lock file: which images, and the digest that each has now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.errors import DriftError, UsageError
from devbox.image.base.lock import FILE_NAME
from devbox.image.registry.client import RegistryError
from devbox.image.registry.reference import parse
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from devbox.frameworks.model import Framework
    from devbox.image.registry.remote import Registries


@dataclass(frozen=True, slots=True)
class Pin:
    """An image with its digest now, and the one that it was locked at before."""

    name: str
    digest: str
    before: str | None

    @property
    def changed(self) -> bool:
        """Whether the lock file has to say something else."""
        return self.digest != self.before


def wanted(held: Mapping[str, str], framework: Framework, more: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the images to be locked: those that are, those of `framework`, and `more`; each once.

    Raises UsageError for a name that has a digest, or is none.
    """
    names = [*held, framework.base_image, *((framework.runtime_image,) if framework.runtime_image else ()), *more]
    found: dict[str, str] = {}
    for name in names:
        reference = parse(name)
        if reference.digest and name in more:
            raise UsageError(f"{name} has a digest already", hint=f"devbox image lock {reference.repository}:TAG")
        if not reference.digest:
            found.setdefault(reference.full, name)
    return tuple(found.values())


def look(
    names: Sequence[str], held: Mapping[str, str], registries: Registries, *, update: bool = False
) -> tuple[Pin, ...]:
    """Return the pins of `names`. What is held is not looked up again without `update`.

    Raises RegistryError for the first image that its registry has no answer for.
    """
    pins = []
    for name in names:
        before = held.get(name)
        try:
            known = before if before is not None and not update else registries.digest(parse(name))
        except RegistryError as error:
            raise RegistryError(
                f"{name} cannot be locked: {error.message}", status=error.status, hint=error.hint
            ) from None
        pins.append(Pin(name, known, before))
    return tuple(pins)


def drift(pins: Sequence[Pin], workspace: Path) -> DriftError | None:
    """Return the error for pins that are not what the lock file of `workspace` says, None where all are."""
    changed = [one.name for one in pins if one.changed]
    if not changed:
        return None
    return DriftError(
        f"{workspace / FILE_NAME} does not hold what the registries have now: {', '.join(changed)}",
        hint="devbox image lock --update",
    )
