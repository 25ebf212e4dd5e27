"""BuildKit's plain progress, read as what it is: lines `#N text`, where N is a step."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

KEPT_LINES = 25
# `[devel 2/3] RUN …`, with the target's name before the stage's where bake builds several. Copying takes no time, and
# BuildKit does not say of every copy that it came from the cache.
_STEP = re.compile(r"\[[^]]*\d+/\d+\] RUN ")
_BASE_IMAGE = "[internal] load metadata for "
_BUILDER = re.compile(r'building with "(?P<name>[^"]+)" instance using (?P<driver>\S+) driver')


@dataclass(slots=True)
class Step:
    """One step: its title and the last lines that it wrote."""

    title: str
    lines: list[str] = field(default_factory=list)
    error: str | None = None
    cached: bool = False

    @property
    def base_image(self) -> str | None:
        """The image that the step looks up in a registry, if that is what it does."""
        return self.title.removeprefix(_BASE_IMAGE) if self.title.startswith(_BASE_IMAGE) else None

    @property
    def reason(self) -> str:
        """Why it failed. BuildKit quotes the whole script before it, which the title and the lines already show."""
        return (self.error or "").rpartition(" did not complete successfully: ")[2]


@dataclass(slots=True)
class PlainLog:
    """The steps of one build, as far as they have been read, and BuildKit's own last word."""

    steps: dict[int, Step] = field(default_factory=dict)
    error: str | None = None

    def feed(self, line: str) -> None:
        """Take one line, without its newline."""
        number, _, text = line.removeprefix("#").partition(" ")
        if not line.startswith("#") or not number.isdigit():
            if line.startswith("ERROR: "):
                self.error = line.removeprefix("ERROR: ")
            return
        step = self.steps.setdefault(int(number), Step(text))
        if text.startswith("ERROR: "):
            step.error = text.removeprefix("ERROR: ")
        elif text == "CACHED":
            step.cached = True
        elif text != step.title:
            step.lines.append(_without_time(text))
            del step.lines[:-KEPT_LINES]

    @property
    def apart(self) -> str | None:
        """The name of the builder where that is not the engine's own: it sees none of the engine's images."""
        found = next((match for step in self.steps.values() if (match := _BUILDER.search(step.title))), None)
        return found["name"] if found is not None and found["driver"] != "docker" else None

    def built(self) -> tuple[int, int]:
        """Return how many RUN steps there were, and how many of them came from the cache."""
        ours = [step for step in self.steps.values() if _STEP.match(step.title)]
        return len(ours), sum(step.cached for step in ours)

    def failed(self) -> Step | None:
        """Return the step that failed last: steps that ran beside it are cancelled, and say so without an error."""
        return next((step for step in reversed(self.steps.values()) if step.error is not None), None)


def _without_time(text: str) -> str:
    """Return a step's output line without the seconds since the step's start that BuildKit puts before it."""
    seconds, _, rest = text.partition(" ")
    return rest if seconds.replace(".", "", 1).isdigit() else text
