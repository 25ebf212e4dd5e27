"""A framework's own Dockerfile, built with its own arguments: what its scripts do, without them."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from devbox.agent.placeholders import fill
from devbox.engine import process
from devbox.errors import ImageError, UsageError, last_lines
from devbox.trust.content import of_files
from devbox.trust.reach import Reach

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from devbox.frameworks.model import Framework, Upstream
    from devbox.reporter import Reporter


def rules(framework: Framework) -> Upstream:
    """Return how `framework` builds by itself. Raises UsageError where devbox does not know."""
    if framework.upstream is None:
        raise UsageError(
            f"{framework.name} ({framework.variant}) has no Dockerfile of its own that devbox knows",
            hint="leave --upstream out",
        )
    return framework.upstream


def command(upstream: Upstream, known: Mapping[str, str], checkout: Path, *, efa: bool = False) -> list[str]:
    """Return the command of the checkout that writes the Dockerfile, [] where none has to, or the checkout has none.

    A Python script runs by the interpreter that devbox has. With `efa` it gets the words for that; UsageError where
    there are none.
    """
    if efa and not upstream.efa:
        raise UsageError("its own Dockerfile has no EFA that can be asked for", hint="leave --upstream or --efa out")
    if not upstream.render or not (checkout / upstream.render[0]).is_file():
        return []
    words = [fill(word, known) for word in (*upstream.render, *(upstream.efa if efa else ()))]
    return [sys.executable, *words] if words[0].endswith(".py") else words


def dockerfile(upstream: Upstream, checkout: Path) -> Path:
    """Return the first of the framework's Dockerfiles that the checkout has. Raises UsageError where it has none."""
    for name in upstream.dockerfile:
        if (checkout / name).is_file():
            return checkout / name
    raise UsageError(
        f"{checkout} has none of its Dockerfiles: {', '.join(upstream.dockerfile)}",
        hint="devbox image build   # without --upstream: devbox's own stages",
    )


def foreseen(stage: str, arguments: Iterable[str]) -> str:
    """Return what stands, in a dry run, for a Dockerfile that is not rendered yet: `stage`, which takes `arguments`."""
    return "\n".join([f"FROM scratch AS {stage or 'last'}", *(f"ARG {name}" for name in arguments), ""])


def reach(argv: list[str], upstream: Upstream, checkout: Path) -> Reach:
    """Return what the checkout's own command is, which may do anything on the host: it is asked for, with its bytes."""
    line = shlex.join(argv)
    said = f"runs on the host, to write its Dockerfile: {line}"
    return Reach("command", line, said, content=of_files(checkout, [upstream.render[0]]))


def render(argv: list[str], checkout: Path, reporter: Reporter) -> None:
    """Run the checkout's own command on the host. Raises ImageError where it fails."""
    line = shlex.join(argv)
    with reporter.step("Rendering the Dockerfile"):
        done = process.stream(argv, lambda text: reporter.output(text, prefix="render"), cwd=checkout)
        if not done.ok:
            raise ImageError(
                f"the Dockerfile could not be rendered: {line} failed",
                hint=f"cd {shlex.quote(str(checkout))} && {line}",
                detail=last_lines(done.stderr),
            )
