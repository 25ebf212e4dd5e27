"""A finding: what a check saw, why it matters, and what mends it. Every check of devbox says it in this one form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from devbox.errors import DevboxError
    from devbox.reporter import Reporter

Severity = Literal["error", "warning", "info", "ok"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info", "ok")


@dataclass(frozen=True, slots=True)
class Finding:
    """What the check or rule `check` saw.

    `message` is what was seen, `why` the reason to mind, where the message does not say it. `remedy` is what to type or
    to write, `fix` the commands of it that devbox can run itself, as argv lists for the checkout's top. `path` and
    `line` say where; line 0 is the whole file.
    """

    check: str
    severity: Severity
    message: str
    remedy: str | None = None
    why: str | None = None
    path: str | None = None
    line: int = 0
    fix: tuple[tuple[str, ...], ...] = ()

    @property
    def sentence(self) -> str:
        """What was seen, and why it matters."""
        return f"{self.message}: {self.why}" if self.why else self.message


def of_error(check: str, error: DevboxError) -> Finding:
    """Return the finding that a command, had it met this, would have failed with."""
    return Finding(check, "error", error.message, error.hint)


def warn(findings: Iterable[Finding | None], reporter: Reporter, *, first: str | None = None) -> None:
    """Say, before something that takes long, what is not well, with its remedy; `first` is one for all."""
    for one in findings:
        if one is not None and one.severity in {"error", "warning"}:
            remedy = f"{first}, or: {one.remedy}" if first and one.remedy else one.remedy
            reporter.warn(f"{one.sentence} ({remedy})" if remedy else one.sentence)
