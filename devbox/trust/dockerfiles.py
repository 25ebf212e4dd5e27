"""What a Dockerfile has the engine do by itself: fetch what an `ADD` names, and run a frontend that is not docker's.

A step has a container's network. What BuildKit fetches comes by the network of the engine's machine, with all that
listens on its loopback, and a server may answer with a way to there. So each such source is shown, whatever its host.
Where a text could be read in two ways, both are looked at. Source: moby/buildkit, `frontend/dockerfile/parser`
(directives, continued lines), `dockerfile2llb/convert.go` (`dispatchCopy`), `source/http`.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

from devbox.errors import ContractError
from devbox.trust.reach import Reach

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# The argument of a build that counts before the line in the file.
SYNTAX = "BUILDKIT_SYNTAX"
_ADD = re.compile(r"[\s\ufeff]*(?:ONBUILD\s+)?ADD\s+(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_COMMENTS = re.compile(r"^[ \t\v\f\r]*#.*\n?", re.MULTILINE)
_FLAGS = re.compile(r"(?:--\S+\s+)*")
_DIRECTIVE = re.compile(r"^[\s\ufeff]*(?:#|//)\s*syntax\s*=\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_DOCKERS = re.compile(r"(?:docker\.io/)?docker/dockerfile(?:-upstream)?(?::[\w.-]+)?(?:@[\w:]+)?")
# A Dockerfile is small. What is larger is not looked at, and shown.
_MOST = 4 << 20


def of_file(place: str) -> Iterator[Reach]:
    """Yield what the Dockerfile at `place` has the engine do; nothing where there is none."""
    if not os.path.isfile(place):  # noqa: PTH113
        return
    try:
        with open(place, encoding="utf-8", errors="replace", newline="") as stream:  # noqa: PTH123
            text = stream.read(_MOST + 1)
    except OSError:
        return
    if len(text) > _MOST:
        yield Reach("remote", place, f"is built from {place}, which is too large to be looked at")
    yield from of_text(text)


def of_text(text: str) -> Iterator[Reach]:
    """Yield what the text of a Dockerfile has the engine do."""
    for source in dict.fromkeys(fetched(text)):
        said = f"has the engine fetch {source} into its image, by the network of this machine itself"
        yield Reach("remote", source, said)
    for image in dict.fromkeys(_frontends(text)):
        yield from of_frontend(image)


def see_triggers(triggers: Iterable[str], place: str) -> None:
    """See that no ONBUILD instruction of the images that `place` builds on has the engine fetch something.

    Raises ContractError.
    """
    for source in (source for text in triggers for source in fetched(text)):
        raise ContractError(
            f"a base image of {place} has the engine fetch {source} by this machine's own network (ONBUILD ADD)",
            hint="start from another image, and ADD it in a Dockerfile itself: that is asked for",
        )


def of_frontend(image: str) -> Iterator[Reach]:
    """Yield what the program is that reads a Dockerfile: one of docker's own does what the file says, and no more."""
    if not _DOCKERS.fullmatch(image):
        said = f"is built by the program {image}, which has the engine fetch what it likes by this machine's network"
        yield Reach("remote", image, said)


def fetched(text: str) -> Iterator[str]:
    """Yield the sources of each ADD that are no files of the context, or not surely: URLs, and what a variable says."""
    without = _COMMENTS.sub("", text)
    joined = (re.sub(rf"{re.escape(escape)}[ \t]*\r?\n(?:\s*\n)*", "", without) for escape in "\\`")
    for line in dict.fromkeys(line for whole in (text, *joined) for line in whole.split("\n")):
        if match := _ADD.match(line):
            rest = match["rest"].strip()
            *sources, _ = _words(rest[_FLAGS.match(rest).end() :]) or [""]  # type: ignore[union-attr]  # matches ""
            yield from (source for source in sources if re.search(r"[:$]|\\u", source))


def _words(text: str) -> list[str]:
    try:
        words = json.loads(text) if text.startswith("[") else None
    except (ValueError, RecursionError):
        words = None
    return list(map(str, words)) if isinstance(words, list) else text.split()


def _frontends(text: str) -> Iterator[str]:
    yield from _DIRECTIVE.findall(text)
    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        try:
            said = json.loads(text.lstrip("\ufeff"))["syntax"]
        except (ValueError, LookupError, TypeError, RecursionError):
            return
        yield str(said).split()[0] if str(said).split() else ""
