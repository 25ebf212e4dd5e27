"""How the rooms talk to a person without knowing a terminal: a small protocol that they are handed."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from devbox.masking import Mask

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager


class PassedOverError(Exception):
    """Raised through a step whose work could not be done, where something else takes its place: it did not fail."""


class Reporter(Protocol):
    """What a room may say. Implemented by `devbox.ui.console.Console`; `Silent` is for tests and `--quiet`.

    All that is shown goes through `mask`. Who learns a secret hides it there; who keeps a log passes its lines through.
    With `verbose` nothing is folded.
    """

    mask: Mask
    verbose: bool

    def info(self, text: str) -> None:
        """Say one line."""

    def warn(self, text: str) -> None:
        """Say one line that the person should not miss; it also goes into the JSON envelope's `warnings`."""

    def step(self, title: str) -> AbstractContextManager[None]:
        """Show that `title` is under way, and how long it took when it ends."""

    def output(self, line: str, *, prefix: str = "") -> None:
        """Pass on one line of an inner command's output (no newline), with the name of the command before it."""

    def progress(
        self, done: int, total: int, *, eta: float | None = None, running: Sequence[str] = (), least: bool = False
    ) -> None:
        """Show a build's progress: edges done and in all, the seconds left if known, and the files being compiled."""

    def confirm(self, question: str, *, shown: Sequence[str] = ()) -> bool | None:
        """Ask yes or no, below the lines `shown`, which are never cut. None where there is no terminal to ask on."""

    def choose(self, question: str, choices: Sequence[str]) -> str | None:
        """Ask for one of `choices`. None where there is no terminal to ask on."""


class Silent:
    """A reporter that says nothing and cannot be asked; it keeps the warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.mask = Mask()
        self.verbose = False

    def info(self, text: str) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """Keep the warning."""
        self.warnings.append(self.mask(text))

    @contextmanager
    def step(self, title: str) -> Iterator[None]:  # noqa: ARG002  # a protocol's signature
        """Do nothing around the step."""
        yield

    def output(self, line: str, *, prefix: str = "") -> None:
        """Say nothing."""

    def progress(
        self, done: int, total: int, *, eta: float | None = None, running: Sequence[str] = (), least: bool = False
    ) -> None:
        """Say nothing."""

    def confirm(self, question: str, *, shown: Sequence[str] = ()) -> bool | None:  # noqa: ARG002
        """Nobody to ask."""
        return None

    def choose(self, question: str, choices: Sequence[str]) -> str | None:  # noqa: ARG002
        """Nobody to ask."""
        return None
