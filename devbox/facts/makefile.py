"""A Makefile that builds images, read and not run: what its variables are for a target, what it hands to docker.

https://www.gnu.org/software/make/manual/make.html: variables, those of targets and patterns, conditionals, and the
functions that such files use. `$(shell …)` starts nothing. What a line only reads of the checkout's own files, by grep
and tr or from a file of assignments, is read here; any other value is unknown, and so is all that is made from it.
"""

from __future__ import annotations

import itertools
import posixpath
import re
import shlex
from dataclasses import field
from typing import TYPE_CHECKING

from devbox.facts.stated import Stated, text_of
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

# Stands in a text for what is not known.
_UNKNOWN = "\0"
_DEEP = 40
_ASSIGNMENT = re.compile(
    r"(?:(?P<target>[^:=#\s]+)\s*:(?!=)\s*)?(?:(?:override|export)\s+)?(?P<name>[\w.-]+)\s*(?P<how>\?|\+|!|::?)?=\s*(?P<value>.*)"
)
_RULE = re.compile(r"(?P<targets>[^:=#\t]+)\t*:(?![=:])")
_CONDITION = re.compile(r"(?P<how>ifn?eq)\b\s*(?P<sides>.*)|(?P<word>ifn?def)\s+(?P<name>\S+)")
_QUOTED_SIDES = re.compile(r"([\"'])(?P<left>.*?)\1\s*([\"'])(?P<right>.*?)\3")
_ARGUMENT = re.compile(r"--build-arg\s+(?P<name>\w+)=[\"']?\$[({](?P<variable>\w+)[)}]")
_VALUE = re.compile(r"=(?:\"[^\"]*\"|'[^']*'|\S*)")
_COMMENT = re.compile(r"(?<!\\)#")
_BUILD = re.compile(r"\bdocker\s+(?:buildx\s+)?build\b")
# What grep's patterns and Python's mean differently, and what tr takes for more than the characters themselves.
_NOT_PLAIN = re.compile(r"[\\+?|(){}]|\[[:.=]")
_NOT_CHARACTERS = re.compile(r"[\\\[]|.-.")
_NAME = re.compile(r"[\w.-]+")
# A text that grows beyond this is taken for one that is not known.
_LONGEST = 1 << 16
# In a line that is longer no pattern is looked for.
_LONGEST_SEARCHED = 1 << 10
_SOURCED = re.compile(r"\.\s+(?P<file>\S+)\s*&&\s*echo\s+\$(?P<name>\w+)")
_FUNCTIONS: Mapping[str, Callable[..., str]] = {
    "filter": lambda patterns, text="": " ".join(word for word in text.split() if _fits(patterns.split(), word)),
    "findstring": lambda wanted, text="": wanted if wanted in text else "",
    "strip": lambda text: " ".join(text.split()),
}
_MOST_ARGUMENTS = {"filter": 2, "findstring": 2, "strip": 1}


@dataclass(frozen=True, slots=True)
class Definition:
    """A line that gives a variable its value: for every target, or for those that fit the pattern `target`."""

    name: str
    value: str
    line: int
    target: str | None = None
    adds: bool = False
    weak: bool = False


@dataclass(slots=True)
class Makefile:
    """A checkout's Makefile; `file` is relative to its top. `given` are variables as on make's command line."""

    checkout: Path
    file: str
    given: Mapping[str, str] = field(default_factory=dict)
    definitions: list[Definition] = field(default_factory=list)
    recipes: dict[str, list[str]] = field(default_factory=dict)
    # Each variable's value; while it is made, unknown, so that one made of itself ends.
    _values: dict[tuple[object, ...], str] = field(default_factory=dict, init=False)

    def prefixes(self) -> tuple[str, ...]:
        """Return what stands before `_build` in the targets that it knows by a pattern such as `devel_%`, in order."""
        patterns = (one.target for one in self.definitions if one.target and one.target.endswith("_%"))
        return tuple(dict.fromkeys(pattern[:-2] for pattern in patterns))

    def stated(self, name: str, *targets: str) -> Stated | None:
        """Return the value of a variable for `targets`, of which the first that gives one counts; None if unknown."""
        lines = self._lines(name, targets)
        if not lines:
            return None
        value = self._expanded(f"$({name})", targets)
        return None if _UNKNOWN in value else Stated(name, value.strip(), self.file, lines[-1].line)

    def arguments(self, *targets: str) -> dict[str, Stated | None]:
        """Return the build arguments that the recipe of the first target hands to docker: None for an unknown value.

        An argument is stated where its variable is, or where that is said which is given.
        """
        lines = [line for line in self._recipe(targets[0]) if _BUILD.search(line)]
        found: dict[str, Stated | None] = {}
        for line in lines[:1]:
            variables = {match["name"]: match["variable"] for match in _ARGUMENT.finditer(line)}
            for name, value in _build_arguments(self._expanded(line, targets)):
                own = self._lines(variables.get(name, ""), targets)
                known = _UNKNOWN not in value and _UNKNOWN not in line
                found[name] = Stated(name, value, self.file, own[-1].line if own else 0) if known else None
        return found

    def _lines(self, name: str, targets: tuple[str, ...]) -> list[Definition]:
        """Return the lines whose values make up a variable's, the last of which counts: [] where there is none.

        Those of the first target that has some, the most exact pattern last; `+=` adds to what the next ones have, and
        at last to what is said for every target.
        """
        own = [one for one in self.definitions if one.name == name]
        for at, target in enumerate(targets):
            fitting = [(stem, one) for one in own if (stem := _stem(one.target, target)) is not None]
            found = _added_up(one for _, one in sorted(fitting, key=lambda pair: -pair[0]))
            if found:
                return [*(self._lines(name, targets[at + 1 :]) if found[0].adds else ()), *found]
        return _added_up(one for one in own if one.target is None)

    def _recipe(self, target: str) -> list[str]:
        fitting = [(stem, name) for name in self.recipes if (stem := _stem(name, target)) is not None]
        return self.recipes[min(fitting)[1]] if fitting else []

    # Expanding.

    def _expanded(self, text: str, targets: tuple[str, ...], depth: int = 0) -> str:
        if depth > _DEEP:
            return _UNKNOWN
        found, at = [], 0
        while (start := text.find("$", at)) >= 0:
            found.append(text[at:start])
            opened = text[start + 1 : start + 2]
            if opened in "({" and opened:
                end = _closing(text, start + 1)
                found.append(self._reference(text[start + 2 : end], targets, depth + 1))
            else:
                end = start + 1
                found.append("$" if opened == "$" else self._variable(opened, targets, depth + 1))
            at = end + 1
        whole = "".join([*found, text[at:]])
        return whole if len(whole) <= _LONGEST else _UNKNOWN

    def _reference(self, inner: str, targets: tuple[str, ...], depth: int) -> str:
        function, space, rest = inner.partition(" ")
        if not space:
            return self._variable(self._expanded(inner, targets, depth), targets, depth)
        arguments = _split(rest)
        if most := _MOST_ARGUMENTS.get(function):
            arguments[most - 1 :] = [",".join(arguments[most - 1 :])] if arguments[most - 1 :] else []
        if function == "shell":
            return self._shell(self._expanded(rest, targets, depth))
        if function == "if":
            condition = self._expanded(arguments[0].strip(), targets, depth)
            chosen = arguments[1:2] if condition else arguments[2:3]
            value = "".join(self._expanded(one, targets, depth) for one in chosen)
            # Which names such a text has is known, which values is not.
            return f"{_VALUE.sub(f'={_UNKNOWN}', value)}{_UNKNOWN}" if _UNKNOWN in condition else value
        values = [self._expanded(one, targets, depth) for one in arguments]
        known = function in _FUNCTIONS and not any(_UNKNOWN in value for value in values)
        return _FUNCTIONS[function](*values) if known else _UNKNOWN

    def _variable(self, name: str, targets: tuple[str, ...], depth: int) -> str:
        if name in self.given:
            return self.given[name]
        lines = self._lines(name, targets)
        if not lines:
            # Such as `$(NAME:a=b)`, or `$@`.
            return "" if _NAME.fullmatch(name) else _UNKNOWN
        known = (name, targets, len(self.definitions))
        if known not in self._values:
            self._values[known] = _UNKNOWN
            self._values[known] = self._expanded(" ".join(one.value for one in lines), targets, depth)
        return self._values[known]

    def _shell(self, line: str) -> str:
        """Return what a line of shell prints that does nothing but read a file of the checkout."""
        if _UNKNOWN in line:
            return _UNKNOWN
        if sourced := _SOURCED.fullmatch(line.strip()):
            text = self._text(sourced["file"])
            values = re.findall(rf"^{sourced['name']}=(.*)$", text or "", re.MULTILINE)
            return _UNKNOWN if text is None else "".join(values[-1:]).strip("\"'")
        found: list[str] | None = None
        for part in line.split("|"):
            found = self._filtered(part, found)
            if found is None:
                return _UNKNOWN
        return " ".join(found or [])

    def _filtered(self, part: str, before: list[str] | None) -> list[str] | None:
        """Return the lines that one program of a pipe passes on; None for a program that is not known here."""
        try:
            words = shlex.split(part)
            only, words = "-o" in words[1:2], [word for word in words if word != "-o"]
            pattern = re.compile(words[1] if words[:1] == ["grep"] and len(words) > 1 else "")
        except (ValueError, re.error):
            return None
        if (
            words[:2] == ["tr", "-d"]
            and len(words) == 3
            and before is not None
            and not _NOT_CHARACTERS.search(words[2])
        ):
            return [line.translate(dict.fromkeys(map(ord, words[2]))) for line in before]
        if words[:1] != ["grep"] or len(words) != (2 if before is not None else 3) or _NOT_PLAIN.search(words[1]):
            return None
        repeats = words[1].count("*")
        text = None if before is not None else self._text(words[2])
        lines = before if before is not None else text.splitlines() if text is not None else None
        # A pattern takes the square of a line for each of its stars.
        if lines is None or repeats > 1 or (repeats and max(map(len, lines), default=0) > _LONGEST_SEARCHED):
            return None
        return [match[0] if only else line for line in lines if (match := pattern.search(line))]

    def _text(self, name: str) -> str | None:
        """Return the text of a file, which a recipe names from the folder of the Makefile: "" where there is none."""
        place = posixpath.normpath(posixpath.join(posixpath.dirname(self.file), name))
        if place.startswith("../"):
            return None
        return text_of(self.checkout, place) if (self.checkout / place).exists() else ""

    # Reading.

    def read(self, text: str) -> None:
        """Read the lines of the file, but for those that a conditional leaves out.

        What stands under a condition that is not known is there, and its value is unknown.
        """
        kept: list[bool | None] = []
        # Whether one of a conditional's parts was kept: those after it are not.
        had: list[bool | None] = []
        rule: list[str] = []
        inside_define = False
        for number, line in _logical(text):
            words = line.split()
            if inside_define or line.startswith("define "):
                inside_define = words[:1] != ["endef"]
            elif line.startswith("\t"):
                if False not in kept:
                    rule.append(line.strip() + (_UNKNOWN if None in kept else ""))
            elif words[:1] == ["endif"]:
                del kept[-1:], had[-1:]
            elif words[:1] == ["else"] and kept:
                condition = _CONDITION.match(line.strip()[4:].lstrip())
                holds = condition is None or self._holds(condition)
                kept[-1] = False if had[-1] or holds is False else None if had[-1] is None else holds
                had[-1] = kept[-1] if had[-1] is False else had[-1]
            elif condition := _CONDITION.match(line.strip()):
                kept.append(self._holds(condition))
                had.append(kept[-1])
            elif False in kept or not words or line.startswith("#"):
                continue
            elif found := _ASSIGNMENT.fullmatch(line.strip()):
                value = found["value"] if "$(shell" in found["value"] else _uncommented(found["value"])
                value = f"$(shell {value})" if found["how"] == "!" else value
                value = _UNKNOWN if None in kept else value
                adds, weak = found["how"] == "+", found["how"] == "?"
                self.definitions.append(Definition(found["name"], value, number, found["target"], adds, weak))
            elif heading := _RULE.match(line):
                rule = []
                self.recipes.update(dict.fromkeys(heading["targets"].split(), rule))

    def _holds(self, condition: re.Match[str]) -> bool | None:
        """Return whether a condition is met, None where that is not known."""
        if condition["word"]:
            # Whether something was said is asked, not what comes of it.
            lines = self._lines(condition["name"], ())
            said = self.given.get(condition["name"], "".join(one.value for one in lines))
            return None if said == _UNKNOWN else bool(said) == (condition["word"] == "ifdef")
        sides = condition["sides"]
        quoted = _QUOTED_SIDES.match(sides)
        inner = _split(sides[1 : _closing(sides, 0)]) if sides.startswith("(") else []
        pair = [quoted["left"], quoted["right"]] if quoted else inner
        left, right = (self._expanded(side.strip(), ()) for side in (*pair, "", "")[:2])
        return None if _UNKNOWN in left + right else (left == right) == (condition["how"] == "ifeq")


def _uncommented(text: str) -> str:
    comment = _COMMENT.search(text)
    return text if comment is None else text[: comment.start()].rstrip()


def read_makefile(checkout: Path, file: str, given: Mapping[str, str]) -> Makefile | None:
    """Return the Makefile `file` of a checkout, None where it has none. `given` comes before what it says itself."""
    text = text_of(checkout, file)
    if text is None:
        return None
    found = Makefile(checkout, file, given)
    found.read(text)
    return found


def _added_up(lines: Iterable[Definition]) -> list[Definition]:
    """Return those of a variable's lines whose values make up its own, in order."""
    found: list[Definition] = []
    for one in lines:
        found = [*found, one] if one.adds else found if one.weak and found else [one]
    return found


def _stem(pattern: str | None, target: str) -> int | None:
    """Return how much of a target `%` stands for in a pattern, None where it does not fit."""
    before, percent, after = (pattern or "").partition("%")
    if not percent:
        return 0 if pattern == target else None
    fits = len(target) > len(before) + len(after) and target.startswith(before) and target.endswith(after)
    return len(target) - len(before) - len(after) if fits else None


def _fits(patterns: Iterable[str], word: str) -> bool:
    """Return whether a word is one of those that `filter` lets through: its `%` may stand for nothing."""
    pairs = ((one, *one.partition("%")) for one in patterns)
    return any(
        one == word or (percent and len(word) >= len(one) - 1 and word.startswith(before) and word.endswith(after))
        for one, before, percent, after in pairs
    )


def _logical(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line with those that continue it, and its number."""
    number, held, first = 0, "", 1
    for number, line in enumerate(text.splitlines(), 1):
        first = first if held else number
        if line.endswith("\\"):
            held += f"{line[:-1]} "
        else:
            yield first, held + line
            held = ""
    if held:
        yield first, held


def _closing(text: str, start: int) -> int:
    """Return where the parenthesis that opens at `start` closes: at the end of the text where it does not."""
    depth, pair = 0, {"(": ")", "{": "}"}[text[start]]
    for at in range(start, len(text)):
        depth += (text[at] == text[start]) - (text[at] == pair)
        if not depth:
            return at
    return len(text)


def _split(text: str) -> list[str]:
    """Return the arguments of a function: what commas divide that stand in no parenthesis."""
    found, depth = [""], 0
    for one in text:
        depth += (one in "({") - (one in ")}")
        if one == "," and not depth:
            found.append("")
        else:
            found[-1] += one
    return found


def _build_arguments(line: str) -> Iterator[tuple[str, str]]:
    """Yield the build arguments of a command line."""
    try:
        words = shlex.split(line)
    except ValueError:
        return
    for word, value in itertools.pairwise(words):
        if word == "--build-arg" and "=" in value:
            name, _, text = value.partition("=")
            yield name, text
