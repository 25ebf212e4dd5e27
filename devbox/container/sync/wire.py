"""The talk with a receiver in a container: messages, contents in frames, and a deadline for each wait."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from devbox.agent import receiver
from devbox.engine.api import patience
from devbox.errors import EngineError, last_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from devbox.container.sync.line import Place
    from devbox.reporter import Reporter

    # What fits, by key.
    Shape = Mapping[str, Callable[[Any], bool]]

# The other end says something every few seconds.
SECONDS = 60.0
# So many times that is what the other end has for a wait: it says nothing of its own while git packs here.
_OTHER_END = 5
# The deadline is one for each piece: a slow line needs long for all of a large message.
_PIECE = 1 << 16
_NO_SPACE = frozenset({28, 122})
# A file that is taken back comes in one line.
_LONGEST_LINE = 1 << 30
AGAIN = "devbox sync   # goes on from there"


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _are_edits(value: Any) -> bool:
    return isinstance(value, list) and all(_are_texts(one) and len(one) == 3 for one in value)


def _are_entries(value: Any) -> bool:
    entries = value.values() if isinstance(value, dict) else () if value is None else [None]
    return all(isinstance(one, list) and list(map(type, one)) == [str, str, int] for one in entries)


# What each answer has.
STATE: Shape = {
    **dict.fromkeys(("digest", "head", "moved"), _is_text),
    **dict.fromkeys(("cut", "git", "shallow"), _is_flag),
    "edited": _are_edits,
    "have": _are_entries,
}
TAKEN: Shape = dict.fromkeys(("kept", "missed"), _are_texts)


class CutError(EngineError):
    """The talk ended in its midst: the other end is gone, or says nothing."""


class Wire:
    """A receiver that runs, for the length of a block. A wait for another sync of the same checkout is reported."""

    def __init__(self, place: Place, environ: Mapping[str, str], reporter: Reporter) -> None:
        """Take where it runs; `environ` says how long each wait may take."""
        self._place, self._reporter = place, reporter
        self._seconds = patience(environ, SECONDS)
        self._line = bytearray()

    def __enter__(self) -> Self:
        program = Path(receiver.__file__).read_text(encoding="utf-8")
        argv = ("python3", "-I", "-S", "-c", program, self._place.folder, f"{_OTHER_END * self._seconds:g}")
        try:
            self._way = self._place.start(argv, self._seconds)
        except TimeoutError:
            raise self._lost(f"was not asked within {self._seconds:g} s") from None
        try:
            if "waits" in self.hear():
                self._reporter.info("waiting for another sync of this checkout")
                self.hear()
        except BaseException:
            self._way.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._way.close()

    def ask(self, message: dict[str, Any], contents: Iterable[bytes] = (), *, has: Shape) -> dict[str, Any]:
        """Send a message and the frames behind it; return the answer, which `has` what is said. Raises EngineError."""
        try:
            for data in chain([json.dumps(message, separators=(",", ":")).encode() + b"\n"], contents):
                for begin in range(0, len(data), _PIECE):
                    self._way.send(memoryview(data)[begin : begin + _PIECE])
        except TimeoutError:
            raise self._lost(f"took nothing for {self._seconds:g} s") from None
        except OSError:
            # It has said why.
            pass
        said = self.hear()
        # A container's word: whatever runs there may answer.
        if not all(fits(said.get(key)) for key, fits in has.items()):
            raise EngineError(f"what {self._place.title} answers makes no sense", hint=AGAIN)
        return said

    def hear(self) -> dict[str, Any]:
        """Return the next message that says something. Raises EngineError for a fault, and for silence."""
        looked = 0
        while True:
            # A file that is taken back is one line: what was looked through is not looked through for each piece.
            end = self._line.find(b"\n", looked)
            if end < 0:
                looked = len(self._line)
                self._receive()
                continue
            head, looked = bytes(self._line[:end]), 0
            del self._line[: end + 1]
            try:
                said = json.loads(head)
            except (ValueError, RecursionError):
                continue
            if not isinstance(said, dict):
                continue
            if "fault" in said:
                raise self._failed(said)
            if "alive" not in said:
                return said

    def _receive(self) -> None:
        if len(self._line) > _LONGEST_LINE:
            raise CutError("the container's answer has no end", hint=AGAIN)
        try:
            data = self._way.receive()
        except TimeoutError:
            raise self._lost(f"said nothing for {self._seconds:g} s") from None
        except OSError as error:
            raise self._lost(str(error.strerror or error)) from None
        if data is None:
            raise self._ended()
        self._line.extend(data)

    def _failed(self, said: dict[str, Any]) -> EngineError:
        if said.get("errno") in [*_NO_SPACE]:
            return EngineError(
                f"the engine's disk is full: {said['fault']}", hint=f"{self._place.full}   # then: devbox sync"
            )
        return EngineError(f"the checkout could not be brought to the engine: {said['fault']}", hint=AGAIN)

    def _lost(self, how: str) -> EngineError:
        return CutError(f"{self._place.title} {how}: the connection is lost", hint=AGAIN)

    def _ended(self) -> EngineError:
        told = f"{self._line.decode('utf-8', 'replace')}{self._way.told()}".strip()
        if "executable file not found" in told or "python3: not found" in told:
            return EngineError(
                "the container has no python3, by which a checkout is brought to an engine elsewhere",
                hint="add python3 to the image's packages",
            )
        return CutError(
            "the connection to the container was cut", hint=AGAIN, detail=last_lines(told) if told else None
        )


def framed(data: bytes) -> bytes:
    """Return a frame; the empty one ends a content."""
    return len(data).to_bytes(4, "big") + data
