"""What compilers, linkers and CMake complain of, taken out of a build's output: file, line, text, target and object.

The forms are those of GCC and clang (gcc, "Formatting of diagnostics"), nvcc, ptxas, GNU ld, gold and lld, CMake and
ninja, as these write them.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

Severity = Literal["error", "warning", "note"]

# As GCC and clang show the line, or nvcc.
_SOURCE = re.compile(r"(?: *\d+ \| |  (?=\S))(.*)")
_ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|\x1b\]8;[^\x07\x1b]*(?:\x07|\x1b\\)")
_GNU = re.compile(
    r"(?P<file>(?!In file included from |\s)[^:\n]+):(?P<line>\d+)(?::(?P<column>\d+))?: "
    r"(?P<severity>fatal error|error|warning|note|sorry, unimplemented|internal compiler error): (?P<text>.+?)"
    r"(?: \[(?P<option>-W[^\][]+|-f[^\][]+)\])?"
)
_NVCC = re.compile(
    r"(?P<file>\S.*?)\((?P<line>\d+)\): (?P<severity>catastrophic error|internal error|error|warning|remark)"
    r"(?: (?P<option>#\d+(?:-D)?))?: (?P<text>.+)"
)
_PTXAS = re.compile(r"ptxas (?:(?P<file>.+?), line (?P<line>\d+); )?(?P<severity>error|warning|fatal) *: (?P<text>.+)")
_LINKER = re.compile(
    r"(?:\S*/)?(?:ld(?:\.\w+)?|lld): (?:(?P<severity>error|warning): )?"
    r"(?P<text>(?:cannot find|undefined symbol|duplicate symbol|unable to find|unrecognized) ?.+)"
)
_REFERENCE = re.compile(
    r"(?P<file>[^:\n]+):(?:(?P<line>\d+)|\(\.[^)]*\)): (?P<text>(?:undefined reference to|multiple definition of) .+)"
)
_COLLECT = re.compile(r"(?:collect2|clang(?:\+\+)?|nvlink): ?(?P<severity>error|fatal) *: (?P<text>.+)")
_CMAKE = re.compile(
    r"CMake (?P<severity>Error|Warning|Deprecation Warning|Deprecation Error)(?: \(dev\))?"
    r"(?: at (?P<file>.+?):(?P<line>\d+) \(\w+\))?(?: in (?P<in>.+?))?: ?(?P<text>.*)"
)
_NINJA = re.compile(r"ninja: (?P<severity>error|fatal): (?P<text>.+)")
_FAILED = re.compile(r"FAILED: (?:\[code=\d+\] )?(?P<outputs>\S+)")
# What stands in a message's place: the linker's errors have said why.
_TEMPORARY = re.compile(r"(?:^|/)(?:tmpxft_|cc[A-Za-z0-9]{6}\.)")
_TITLE = re.compile(r"\b(?:object|library|executable|module) (\S+)$")
_OF_TARGET = re.compile(r"(?:^|/)CMakeFiles/([^/]+)\.dir/")
_LIBRARY = re.compile(r"^(?:lib)?(.+?)(?:\.(?:a|so(?:\.\d+)*|dylib|exe))?$")


class Diagnostic(NamedTuple):
    """One complaint. `file` is relative to the checkout where it lies there, else as it is called inside.

    A `line` or `column` of 0 was not said, nor an empty text. `option` is what asks for it, such as -Wunused, or
    nvcc's number of it; `target` and `object` are what was being built, `source` is the line as the compiler shows it.
    """

    severity: Severity
    text: str
    file: str = ""
    line: int = 0
    column: int = 0
    option: str = ""
    target: str = ""
    object: str = ""
    source: str = ""

    @property
    def place(self) -> str:
        """Where it is, as editors take it; empty where that is not known."""
        return ":".join([self.file, *(str(number) for number in (self.line, self.column) if number)])


class Collector:
    """Takes a build's output line by line, and keeps what is complained of, each once and in that order."""

    def __init__(self, folder: str, tree: str, on_found: Callable[[Diagnostic], None] = lambda _: None) -> None:
        """Take where the checkout is inside, and the build tree, in which ninja's commands run.

        `on_found` is told each complaint when it is complete.
        """
        self._folder = folder
        self._tree = tree
        self._on_found = on_found
        self._found: dict[tuple[object, ...], Diagnostic] = {}
        # Of the step whose output comes: its title, and what it makes.
        self._step: str | None = None
        self._made = ("", "")
        self._step_failed = False
        # Waits for its source line.
        self._open: Diagnostic | None = None
        # Of a message of CMake's, which goes on in lines that are indented.
        self._message: tuple[dict[str, str], list[str]] | None = None

    def take(self, line: str, source: str, step: str = "") -> None:
        """Take a line that the program `source` wrote, in the build step with this title."""
        text = _ESCAPE.sub("", line).rstrip()
        if step != self._step:
            self._step, self._made, self._step_failed = step, _made(step), False
        if self._open is not None:
            shown = _SOURCE.fullmatch(text)
            self._commit(self._open._replace(source=shown[1].strip() if shown is not None else ""))
        if self._message is not None:
            if not text or text.startswith("  "):
                self._message[1].append(text.strip())
                return
            self._end_message()
        base = self._folder if source == "cmake" else self._tree
        if (cmake := _CMAKE.fullmatch(text)) is not None:
            said = {name: value or "" for name, value in cmake.groupdict().items()}
            said["file"] = said["file"] or said.pop("in")
            self._message = (said, [said["text"]])
        elif (failed := _FAILED.match(text)) is not None:
            self._made = _of_output(failed["outputs"])
        elif (collected := _COLLECT.fullmatch(text)) is not None:
            if not self._step_failed:
                self._keep(collected.groupdict(), base)
        else:
            for form in (_GNU, _NVCC, _PTXAS, _REFERENCE, _LINKER, _NINJA):
                if (said_ := form.fullmatch(text)) is not None and not text.startswith("ninja: build stopped"):
                    self._keep(said_.groupdict(), base, shown=form in {_GNU, _NVCC})
                    break

    def found(self) -> tuple[Diagnostic, ...]:
        """Return what was complained of so far."""
        self._end_message()
        if self._open is not None:
            self._commit(self._open)
        return tuple(self._found.values())

    def _end_message(self) -> None:
        if self._message is not None:
            said, lines = self._message
            self._message = None
            text = " ".join(filter(None, lines))
            if text:
                self._keep({**said, "text": text}, self._folder)

    def _keep(self, said: dict[str, str | None], base: str, *, shown: bool = False) -> None:
        """Keep a complaint; where its source line is `shown`, that comes next."""
        severity = _severity(said.get("severity") or "error")
        file = said.get("file") or ""
        if file and _TEMPORARY.search(file):
            # A file that nobody can look at.
            file, said = "", {**said, "line": None}
        one = Diagnostic(
            severity,
            (said.get("text") or "").strip(),
            self._place(file, base),
            int(said.get("line") or 0),
            int(said.get("column") or 0),
            said.get("option") or "",
            *self._made,
        )
        self._step_failed |= severity == "error"
        if shown:
            self._open = one
        else:
            self._commit(one)

    def _commit(self, one: Diagnostic) -> None:
        self._open = None
        known = (one.severity, one.text, one.file, one.line, one.column)
        if known not in self._found:
            self._found[known] = one
            self._on_found(one)

    def _place(self, file: str, base: str) -> str:
        if not file or file.startswith("<"):
            return file
        path = posixpath.normpath(posixpath.join(base, file))
        return path.removeprefix(f"{self._folder}/")


def _severity(word: str) -> Severity:
    if word in {"note", "remark"}:
        return "note"
    return "warning" if word.lower().endswith("warning") else "error"


def _made(step: str) -> tuple[str, str]:
    """Return the target and the object of a step with CMake's title."""
    title = _TITLE.search(step)
    return _of_output(title[1]) if title is not None else ("", "")


def _of_output(output: str) -> tuple[str, str]:
    target = _OF_TARGET.search(output)
    if target is not None:
        return target[1], output
    named = _LIBRARY.match(posixpath.basename(output))
    return (named[1] if named is not None else ""), output


def first_error(found: tuple[Diagnostic, ...]) -> Diagnostic | None:
    """Return the first error, one with a place before others."""
    errors = [one for one in found if one.severity == "error"]
    return next((one for one in errors if one.line), errors[0] if errors else None)


def sarif(found: tuple[Diagnostic, ...], version: str) -> dict[str, Any]:
    """Return the complaints as a SARIF log (OASIS SARIF 2.1.0, section 3), for `version` of devbox."""
    results = []
    for one in found:
        result: dict[str, object] = {"level": one.severity, "message": {"text": one.text}}
        if one.option:
            result["ruleId"] = one.option
        if one.file:
            inside = one.file.startswith(("/", "<"))
            location: dict[str, object] = {
                "artifactLocation": {"uri": _uri(one.file), **({} if inside else {"uriBaseId": "%SRCROOT%"})}
            }
            if one.line:
                location["region"] = {"startLine": one.line, **({"startColumn": one.column} if one.column else {})}
            result["locations"] = [{"physicalLocation": location}]
        properties = {name: value for name, value in (("target", one.target), ("object", one.object)) if value}
        if properties:
            result["properties"] = properties
        results.append(result)
    rules = sorted({one.option for one in found if one.option})
    driver = {"name": "devbox", "version": version, "rules": [{"id": rule} for rule in rules]}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "columnKind": "utf16CodeUnits", "results": results}],
    }


def _uri(path: str) -> str:
    from urllib.parse import quote

    encoded = quote(path, errors="surrogateescape")
    return f"file://{encoded}" if path.startswith("/") else encoded
