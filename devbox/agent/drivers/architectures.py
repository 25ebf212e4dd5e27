"""By which variable a CMake project is told its GPU architectures: read of its CMake files, which are not run.

CMake's own is CMAKE_CUDA_ARCHITECTURES. Some projects read one of their own beside it or in its place, torch reads its
own of the environment, and some set CMake's whatever they are told.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..protocol import Rules

CMAKES = "CMAKE_CUDA_ARCHITECTURES"
TORCHS = "TORCH_CUDA_ARCH_LIST"
# Names such as CUTLASS_NVCC_ARCHS, GPU_ARCHS, CUDA_ARCH_BIN, DALI's CUDA_TARGET_ARCHS.
_NAME = r"(?!CMAKE_|TORCH_)(?:\w+_)?(?:CUDA|NVCC|GPU)_(?:TARGET_)?(?:ARCH|ARCHS|ARCH_BIN|ARCH_LIST|ARCHITECTURES)"
# A variable is the user's to give where it is in the cache, or where the project asks whether it is set.
_TAKEN = re.compile(
    rf"\bset\s*\(\s*({_NAME})\s([^()]*?)\bCACHE\s+STRING\b|\bif\s*\(\s*(?:NOT\s+)?(?:DEFINED\s+)?({_NAME})\s*\)",
    re.IGNORECASE,
)
_FORCED = re.compile(
    r"\bset\s*\(\s*CMAKE_CUDA_ARCHITECTURES\s+([^()$\s][^()$]*)\)|\b(if|endif)\s*\(([^()]*)", re.IGNORECASE
)
_TORCH = re.compile(r"\bfind_package\s*\(\s*Torch\b", re.IGNORECASE)
_INCLUDE = re.compile(
    r"\binclude\s*\(\s*\"?(?:\$\{(?:CMAKE_(?:CURRENT_)?(?:SOURCE|LIST)_DIR|PROJECT_SOURCE_DIR)\}/)?([\w./+-]+)",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"#.*")
# Files, what is read of each, and variables that a default is made of: the text is a checkout's, and may be made to
# take for ever.
_MOST_FILES, _MOST_TEXT, _MOST_NAMES = 64, 1 << 20, 16
_PLACES = ("", "cmake", "CMake")


class Told(NamedTuple):
    """A variable that the project reads, the value that means what is asked for, and where it is read."""

    name: str
    value: str
    place: str


class Read(NamedTuple):
    """What a project reads: a `define` of its own, torch's `variable`, and where it sets CMake's itself (`forced`)."""

    define: Told | None = None
    variable: Told | None = None
    forced: Told | None = None

    def notes(self, given: Sequence[str]) -> list[str]:
        """Say in words how the project is told; of the variables that are `given` somebody else says that."""
        own = (one for one in (self.define, self.variable) if one is not None and one.name not in given)
        said = [f"architectures go by {one.name}={one.value}, which {one.place} reads" for one in own]
        if self.forced is not None:
            name, value, place = self.forced
            said.append(f"{place} sets {name} to {value} itself: --arch does not change that")
        return said


def read(rules: Rules, source: str, arch: str | None) -> Read:
    """Return by what the project in `source` is told `arch` (CMake's notation), beside what its `rules` say.

    Nothing where these name another variable than CMake's own, or where there is nothing to be told.
    """
    if not arch or rules.driver != "cmake" or rules.arch_define != CMAKES:
        return Read()
    define = variable = forced = None
    numbers = re.findall(r"(\d+)(\d)([af]?)", arch)
    for name, text in _texts(source):
        taken = define or _taken(text)
        if taken is not None and define is None:
            define = Told(taken.name, _written(numbers, taken.value), f"{name}:{taken.place}")
        if variable is None and (found := _TORCH.search(text)):
            variable = Told(
                TORCHS, ";".join(f"{major}.{minor}{more}" for major, minor, more in numbers), _at(name, text, found)
            )
        forced = forced or _forced(name, text)
    # torch sets CMake's own to OFF, and takes the project's flags from its own variable.
    return Read(None if variable else define, variable, None if variable else forced)


def told(rules: Rules, found: Read) -> Rules:
    """Return the rules with what the project reads, after what they say and before what a preset or a user says."""
    if found.variable is not None:
        given = (found.variable.name, found.variable.value)
        return rules.but(arch_form="torch", arch_define="", env=[*rules.env, given])
    if found.define is not None:
        return rules.but(defines=[*rules.defines, (found.define.name, found.define.value)])
    return rules


def _texts(source: str) -> Iterator[tuple[str, str]]:
    """Yield, of the project's first CMake file and its own that this includes, what may say it; without comments."""
    pending, seen = ["CMakeLists.txt"], set()
    while pending:
        name = pending.pop(0)
        path = os.path.normpath(os.path.join(source, name))
        if path in seen or not path.startswith(source + os.sep):
            continue
        seen.add(path)
        try:
            # What is no file, such as a pipe, would be waited for.
            if not os.path.isfile(path):
                continue
            with open(path, encoding="utf-8", errors="replace") as stream:
                text = stream.read(_MOST_TEXT)
        except OSError:
            continue
        if "ARCH" in text or "Torch" in text:
            yield os.path.relpath(path, source), _COMMENT.sub("", text)
        if name == "CMakeLists.txt":
            words = [*dict.fromkeys(_INCLUDE.findall(text))][:_MOST_FILES]
            pending += [
                os.path.join(place, word if word.endswith(".cmake") else f"{word}.cmake")
                for word in words
                for place in _PLACES
            ]


def _taken(text: str) -> Told | None:
    """Return the first variable that is the user's to give, with the words of its default, and its line."""
    for found in _TAKEN.finditer(text):
        name = found[1] or found[3]
        words = found[2] or " ".join(re.findall(rf"\bset\s*\(\s*{name}\s([^()]*)\)", text, re.IGNORECASE))
        for other in [*dict.fromkeys(re.findall(r"\$\{(\w+)\}", words))][:_MOST_NAMES]:
            given = re.findall(rf"\b(?:set|list)\s*\(\s*(?:APPEND\s+)?{other}\s([^()]*)\)", text, re.IGNORECASE)
            words = f"{words} {' '.join(given)}"
        return Told(name, words, str(1 + text.count("\n", 0, found.start())))
    return None


def _written(numbers: list[tuple[str, str, str]], default: str) -> str:
    """Return capabilities in the notation of a default such as `7.5;8.0`, `"75 80"`, `75-real` or `75`."""
    dot = "." if re.search(r"\b\d+\.\d\b", default) else ""
    real = "-real" if "-real" in default else ""
    between = " " if re.search(r"\"\s*\d[\w.-]*(?: +\d[\w.-]*)+\s*\"", default) else ";"
    return between.join(f"{major}{dot}{minor}{more}{real}" for major, minor, more in numbers)


def _forced(name: str, text: str) -> Told | None:
    """Return where CMake's own variable is set to words, and no `if` around that asks for it first."""
    guards: list[bool] = []
    for found in _FORCED.finditer(text):
        kind = (found[2] or "").lower()
        if kind == "if":
            guards.append(CMAKES in found[3])
        elif kind == "endif":
            del guards[-1:]
        elif not any(guards) and not re.search(r"\bPARENT_SCOPE\b", found[1]):
            value, *cached = re.split(r"\bCACHE\b", found[1])
            if cached and not re.search(r"\bFORCE\b", cached[-1]):
                continue
            words = re.sub(r"\s+", ";", value.replace('"', " ").strip())
            return Told(CMAKES, words, _at(name, text, found))
    return None


def _at(name: str, text: str, found: re.Match[str]) -> str:
    return f"{name}:{1 + text.count(chr(10), 0, found.start())}"
