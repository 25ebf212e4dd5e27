"""compile_commands.json for the host: what it says about the container's paths, said about the host's.

A build tree's file names paths inside the container. Where the host has the same file elsewhere (the checkout, a bind
mount), its path is put in. What only the container has (CUDA, the compiler's own headers, generated headers) is
reported, and becomes a path below a folder of copies where there is one. nvcc's commands become clang's, because clangd
reads them with clang's own driver. Pure: paths and text in, text out.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections import Counter
from dataclasses import field
from typing import TYPE_CHECKING, Any

from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

JSON = dict[str, Any]

# Options whose value is a path, joined to them or as the next argument; nvcc also takes "=" between the two.
_INCLUDES = ("-I", "-isystem", "-iquote", "-idirafter", "--include-path", "--system-include")
_FILES = ("-include", "-imacros", "--pre-include", "-include-pch")
_ROOTS = ("--sysroot", "-isysroot", "--gcc-toolchain")
_PATHS = (*_INCLUDES, *_FILES, *_ROOTS)
_SPELLED = {"--include-path": "-I", "--system-include": "-isystem", "--pre-include": "-include"}
# What writes files, with and without a value. A language server writes none, and their folders are not on the host.
_OUTPUTS = frozenset({"-o", "-MF", "-MT", "-MQ", "-MJ"})
_DEPENDENCIES = frozenset({"-c", "-M", "-MM", "-MD", "-MMD", "-MP", "-MG"})
_LAUNCHERS = frozenset({"ccache", "sccache", "distcc", "icecc"})
# nvcc's options that clang does not know and a language server does not need. Those with a value of their own come
# second; either may be written with "=".
_NVCC = re.compile(
    r"-(?:-?forward-unknown-(?:to-host-compiler|opts)|-?extended-lambda|-?expt-.*|-?lineinfo|-?generate-line-info|-?G|-?dc|-?dw"
    r"|-?device-c|-?rdc=.*|-?relocatable-device-code=.*|-?source-in-ptx|-?restrict|-?keep|-?compress-.*|-?t=.*|-?threads=.*"
    r"|-?maxrregcount=.*|-?diag[-_].*|-?default-stream=.*|-?ccbin=.*|-?compiler-bindir=.*|-?code=.*|-?static-global-template-stub.*"
    r"|-?ftz=.*|-?prec-(?:div|sqrt)=.*|-?fmad=.*|-?res-usage|-?resource-usage|-?dlto|-?cudart=.*|-?Xptxas=.*|-?ptxas-options=.*"
    r"|-?Xcudafe=.*|-?Xfatbin=.*|-?Xnvlink=.*|-?Werror=?.*(?:all-warnings|cross-execution-space-call|reorder)|-?no-compress)"
)
_NVCC_VALUES = frozenset(
    {
        "-Xptxas", "--ptxas-options", "-Xcudafe", "--cudafe-options", "-Xfatbin", "--fatbin-options", "-Xnvlink",
        "--nvlink-options", "-Xlinker", "-ccbin", "--compiler-bindir", "-code", "--gpu-code", "-maxrregcount",
        "--threads", "-t", "-rdc", "--relocatable-device-code", "-default-stream", "--default-stream",
        "-diag-suppress", "--diag-suppress", "-diag-warn",
        "--diag-warn", "-diag-error", "--diag-error", "-ftz", "-prec-div", "-prec-sqrt", "-fmad",
    }
)  # fmt: skip
_HOST_OPTIONS = ("-Xcompiler", "--compiler-options")
_ARCH_OPTIONS = ("-gencode", "--generate-code", "-arch", "--gpu-architecture")
_FAST_MATH = frozenset({"-use_fast_math", "--use_fast_math"})
_ARCH = re.compile(r"(?:sm|compute)_(\d+[af]?)")


@dataclass(frozen=True, slots=True)
class Places:
    """Which folders of the container the host has, and where: (inside, on the host) pairs.

    `copies` is the host folder below which everything else of the container is found by its path inside, if anything
    was copied. `hidden` are the folders inside that something else was mounted over.
    """

    pairs: tuple[tuple[str, str], ...]
    copies: str | None = None
    hidden: tuple[str, ...] = ()

    def on_host(self, path: str) -> str | None:
        """Return the host's path of an absolute path inside, or None if only the container has it."""
        best = max(
            (pair for pair in (*self.pairs, *((one, "") for one in self.hidden)) if _within(path, pair[0])),
            key=lambda pair: len(pair[0]),
            default=None,
        )
        if best is None or not best[1]:
            return None
        return posixpath.normpath(posixpath.join(best[1], posixpath.relpath(path, best[0])))


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The entries for the host.

    `missing` are the folders and files that only the container has, with the number of commands that name each;
    `left_out` are sources that only the container has.
    """

    entries: tuple[JSON, ...] = field(hash=False)
    missing: tuple[tuple[str, int], ...] = ()
    left_out: tuple[str, ...] = ()


def rewrite(
    entries: Iterable[Mapping[str, Any]],
    places: Places,
    *,
    workspace: str,
    builtin: Mapping[str, Sequence[str]] | None = None,
) -> Rewritten:
    """Return the entries of a compile_commands.json for the host.

    `workspace` is a folder on the host that stands for working directories that it does not have. `builtin` are the
    folders where a compiler finds its standard headers, by the compiler's path, where these were copied.
    """
    made: list[JSON] = []
    missing: Counter[str] = Counter()
    left_out: list[str] = []
    for entry in entries:
        directory = str(entry["directory"])
        source = _absolute(str(entry["file"]), directory)
        file = places.on_host(source)
        if file is None:
            left_out.append(source)
            continue
        words = [*map(str, entry["arguments"])] if "arguments" in entry else shlex.split(str(entry["command"]))
        command = _Command(directory, places)
        arguments = command.rewritten(words, source, file, (builtin or {}))
        missing.update(dict.fromkeys(command.missing, 1))
        made.append({"directory": places.on_host(directory) or workspace, "arguments": arguments, "file": file})
    counted = sorted(missing.items(), key=lambda item: (-item[1], item[0]))
    return Rewritten(tuple(made), tuple(counted), tuple(left_out))


def compilers(entries: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the compilers that the entries call, each once; nvcc's host compiler is what counts, so it is `c++`."""
    found: dict[str, None] = {}
    for entry in entries:
        words = [*map(str, entry["arguments"])] if "arguments" in entry else shlex.split(str(entry["command"]))
        if words := _unlaunched(words):
            found[host_compiler(words[0])] = None
    return tuple(found)


def host_compiler(program: str) -> str:
    """Return the program whose standard headers a compile command uses."""
    return "c++" if _is_nvcc(program) else program


def toolkits(entries: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the CUDA toolkits whose nvcc the entries call."""
    found: dict[str, None] = {}
    for entry in entries:
        words = [*map(str, entry["arguments"])] if "arguments" in entry else shlex.split(str(entry["command"]))
        if (words := _unlaunched(words)) and _is_nvcc(words[0]) and (toolkit := _toolkit(words[0])):
            found[toolkit] = None
    return tuple(found)


def _is_nvcc(program: str) -> bool:
    return posixpath.basename(program) == "nvcc"


def _toolkit(nvcc: str) -> str | None:
    return posixpath.dirname(posixpath.dirname(nvcc)) if posixpath.isabs(nvcc) else None


def _unlaunched(words: list[str]) -> list[str]:
    while len(words) > 1 and posixpath.basename(words[0]) in _LAUNCHERS:
        words = words[1:]
    return words


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


def _absolute(path: str, directory: str) -> str:
    return posixpath.normpath(posixpath.join(directory, path))


class _Command:
    """One compile command on its way to the host. `missing` collects what only the container has."""

    def __init__(self, directory: str, places: Places) -> None:
        self.directory = directory
        self.places = places
        self.missing: list[str] = []

    def rewritten(self, words: list[str], source: str, file: str, builtin: Mapping[str, Sequence[str]]) -> list[str]:
        """Return the arguments for the host. `source` and `file` are the source inside and on the host."""
        program, *rest = _unlaunched(words) or ["c++"]
        nvcc = _is_nvcc(program)
        arguments = list(_clang(rest) if nvcc else rest)
        result = ["clang++" if nvcc else program]
        if nvcc:
            result += self._cuda(program)
        result += self._mapped(arguments, source)
        for folder in builtin.get(host_compiler(program), ()):
            result += ["-isystem", self._path(folder)]
        if builtin.get(host_compiler(program)):
            # The standard headers are the container's; clang keeps its own, which come with it.
            result += ["-nostdlibinc", "-nostdinc++"]
        return [*result, "--", file]

    def _cuda(self, nvcc: str) -> list[str]:
        """Name the toolkit. Without a copy of it, clang's own CUDA headers would only add an error to each file."""
        toolkit = _toolkit(nvcc)
        there = None if toolkit is None else self.places.on_host(toolkit)
        if there is None and (toolkit is None or self.places.copies is None):
            if toolkit is not None:
                self.missing.append(f"{toolkit}/include")
            return ["-nocudainc", "-nocudalib"]
        return [f"--cuda-path={there or f'{self.places.copies}{toolkit}'}", "-Wno-unknown-cuda-version"]

    def _mapped(self, words: Iterable[str], source: str) -> Iterator[str]:
        queue = iter(words)
        for word in queue:
            if word in _OUTPUTS:
                next(queue, None)
            elif word in _DEPENDENCIES or word == "--" or self._is(word, source):
                continue
            elif word in _PATHS:
                yield from (_SPELLED.get(word, word), self._path(next(queue, "")))
            elif (option := next((one for one in _PATHS if word.startswith(one)), None)) is not None:
                value = word.removeprefix(option)
                # `-isystem=X` is nvcc's spelling, `--sysroot=X` everybody's; `-I=X` means below the sysroot.
                joined = "=" if value.startswith("=") and option in _ROOTS else ""
                value = value.removeprefix("=")
                if option in {"-I", *_ROOTS}:
                    yield f"{option}{joined}{self._path(value)}"
                else:
                    yield from (_SPELLED.get(option, option), self._path(value))
            else:
                yield word

    def _is(self, word: str, source: str) -> bool:
        return not word.startswith("-") and _absolute(word, self.directory) == source

    def _path(self, path: str) -> str:
        inside = _absolute(path, self.directory)
        there = self.places.on_host(inside)
        if there is not None:
            return there
        self.missing.append(inside)
        return inside if self.places.copies is None else f"{self.places.copies}{inside}"


def _clang(words: Iterable[str]) -> Iterator[str]:
    """Return nvcc's arguments as clang understands them: one architecture, the host compiler's options as its own."""
    queue = iter(words)
    arch: str | None = None
    for word in queue:
        name, equals, value = word.partition("=")
        if name in _HOST_OPTIONS:
            yield from (value if equals else next(queue, "")).split(",")
        elif name in _ARCH_OPTIONS:
            if found := _ARCH.findall(value if equals else next(queue, "")):
                arch = arch or found[-1]
        elif word in _FAST_MATH:
            yield "-ffast-math"
        elif word == "-x":
            language = next(queue, "")
            yield from ("-x", "cuda" if language == "cu" else language)
        elif word in _NVCC_VALUES:
            next(queue, None)
        elif not _NVCC.fullmatch(word):
            yield word
    if arch is not None:
        yield f"--cuda-gpu-arch=sm_{arch}"
