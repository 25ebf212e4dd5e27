"""The forms in which devbox writes a contract, and what a written one records of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devbox.devcontainer.record import Record
    from devbox.frameworks.model import Framework


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a contract.

    `shared`: without a fact of a person or a machine, to be committed. `compose`: started by Docker Compose, together
    with services. `inline`: what the image needs of the checkout stands in the Dockerfile, for tools that pass no
    `build.options`. `flat`: the devcontainer.json lies at the top of the checkout.
    """

    shared: bool = False
    compose: bool = False
    inline: bool = False
    flat: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """What a contract records of its form. A shared one records its name, and where one lies, its path says."""
        return tuple(name for name in ("compose", "inline") if getattr(self, name))


PERSONAL = Form()


def form_of(record: Record) -> Form:
    """Return the form that a contract records; the personal one where it records none."""
    return Form(shared=record.shared is not None, compose="compose" in record.form, inline="inline" in record.form)


def definition(framework: Framework, *, gpu: bool) -> str:
    """Return the name of a shared contract: framework, variant and, where it can have GPUs, whether it has them.

    What asks for GPUs does not start where there are none, so one file cannot be for both kinds of machines.
    """
    kind = [] if not framework.gpu else ["gpu" if gpu else "cpu"]
    return "-".join([framework.name, framework.variant, *kind])
