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
# A line that goes on, and what does not count after it: comments, behind whatever Unicode calls a space, and blanks.
_GOES_ON = re.compile(r"[\\`][ \t]*\r*\n")
_PASSED_OVER = re.compile(r"[^\S\n]*(?:#[^\n]*)?(?:\n|\Z)")
_SPLIT = rf"(?:{_GOES_ON.pattern}(?:[^\S\n]*(?:#[^\n]*)?\n)*)*"
# Wherever a line begins: what stands before it may be a continued line, a comment or a document, or only look so.
_ADD = re.compile(
    rf"^(?:[^\S\n]|\ufeff)*(?:{_SPLIT.join('ONBUILD')}(?:[^\S\n]|{_SPLIT[:-1]}+)+)?{_SPLIT.join('ADD')}(?=[\s\\`])",
    re.IGNORECASE | re.MULTILINE,
)
_FLAGS = re.compile(r"(?:--\S+\s+)*")
_SHEBANG = re.compile(r"\A\ufeff?#![^\n]*\n?")
_DIRECTIVE = re.compile(
    r"^(?:[^\S\n]|\ufeff)*(?:#|//)[^\S\n]*syntax[^\S\n]*=[^\S\n]*(\S+)", re.IGNORECASE | re.MULTILINE
)
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
    told = 0
    for match in _ADD.finditer(text):
        # One in the lines of another has its words.
        if match.start() < told:
            continue
        rest, told = _line(text, match.end())
        *sources, last = _words(rest.strip()) or [""]
        # Where flags hide that it is a list, or something follows it, the last word may be all of it.
        sources += [last] if "[" in last else []
        yield from (source for source in sources if re.search(r"[:$]|\\u", source))


def _line(text: str, at: int) -> tuple[str, int]:
    """Return what stands from there to the end of a line that may go on, and where it ends."""
    parts = []
    while found := _GOES_ON.search(text, at, _end_of_line(text, at)):
        parts.append(text[at : found.start()])
        at = found.end()
        while at < len(text) and (passed := _PASSED_OVER.match(text, at)):
            at = passed.end()
    end = _end_of_line(text, at)
    return "".join([*parts, text[at:end]]), end


def _end_of_line(text: str, at: int) -> int:
    return text.find("\n", at) + 1 or len(text)


def _words(text: str) -> list[str]:
    text = text[_FLAGS.match(text).end() :]  # type: ignore[union-attr]  # matches ""
    try:
        # What follows a list is not read.
        words = json.JSONDecoder().raw_decode(text)[0] if text.startswith("[") else None
    except (ValueError, RecursionError):
        words = None
    return list(map(str, words)) if isinstance(words, list) else text.split()


def _frontends(text: str) -> Iterator[str]:
    yield from _DIRECTIVE.findall(text)
    text = _SHEBANG.sub("", text).lstrip("\ufeff")
    if text.lstrip(" \t\r\n").startswith("{"):
        try:
            said = json.loads(text)["syntax"]
        except (ValueError, LookupError, TypeError, RecursionError):
            return
        yield str(said).split()[0] if str(said).split() else ""
