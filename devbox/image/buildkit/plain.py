"""BuildKit's plain progress, read as what it is: lines `#N text`, where N is a step. And Podman's, step by step."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

KEPT_LINES = 25
# `[devel 2/3] RUN …`, with the target's name before the stage's where bake builds several. Copying takes no time, and
# BuildKit does not say of every copy that it came from the cache.
_STEP = re.compile(r"\[[^]]*\d+/\d+\] RUN ")
_BASE_IMAGE = "[internal] load metadata for "
# Podman's: `[2/5] STEP 3/10: RUN …`, of the second of five stages; without the first part where there is only one.
_PODMAN_STEP = re.compile(r"(?:\[(\d+/\d+)\] )?STEP (\d+/\d+): (.*)")
_PODMAN_FROM = re.compile(r"\[[^]]*\] FROM (\S+)")
_PODMAN_CACHED = "--> Using cache "
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
        if (found := _PODMAN_FROM.match(self.title)) is not None:
            return found[1]
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
            self._other(line)
            return
        step = self.steps.setdefault(int(number), Step(text))
        if text.startswith("ERROR: "):
            step.error = text.removeprefix("ERROR: ")
        elif text == "CACHED":
            step.cached = True
        elif text != step.title:
            step.lines.append(_without_time(text))
            del step.lines[:-KEPT_LINES]

    def _other(self, line: str) -> None:
        """Take a line of no step of BuildKit's: its last word, or what Podman says."""
        found = _PODMAN_STEP.fullmatch(line)
        last = self.steps.get(len(self.steps)) if self.steps else None
        if found is not None:
            self.steps[len(self.steps) + 1] = Step(f"[{' '.join(filter(None, found.groups()[:2]))}] {found[3]}")
        elif line.startswith("ERROR: "):
            self.error = line.removeprefix("ERROR: ")
        elif line.startswith("Error: "):
            self.error = line.removeprefix("Error: ")
            if last is not None:
                # The whole instruction stands quoted before the reason.
                last.error = (
                    self.error.rpartition('": ')[2] if self.error.startswith("building at STEP") else self.error
                )
        elif last is not None and line.startswith(_PODMAN_CACHED):
            last.cached = True
        elif last is not None and line:
            last.lines.append(line)
            del last.lines[:-KEPT_LINES]

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
