"""What a compiler cache answered in one build: read in ccache's log, or from what sccache's server counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

# What sccache counts beside the files that a build names: the parts of one CUDA compile.
PARTS = ("CUDA (Device code)", "PTX", "CUBIN")
HITS = ("direct_cache_hit", "preprocessed_cache_hit")
MISS = "cache_miss"
# ccache's counters for calls that it cannot answer, as a person would say it.
UNCACHEABLE = {
    "bad_compiler_arguments": "arguments that ccache does not understand",
    "compile_failed": "the compile failed",
    "compiler_produced_stdout": "the compiler wrote to stdout",
    "could_not_use_modules": "C++ modules",
    "could_not_use_precompiled_header": "a precompiled header",
    "disabled": "ccache is switched off for it",
    "internal_error": "an error inside ccache",
    "modified_input_file": "the source was edited during the compile",
    "multiple_source_files": "several sources in one command",
    "preprocessor_error": "the preprocessor failed",
    "unsupported_code_directive": "a directive that includes files past the preprocessor (.incbin)",
    "unsupported_compiler_option": "a compiler option that ccache does not support",
    "unsupported_environment_variable": "a variable that changes what the compiler does",
    "unsupported_source_language": "a language that ccache does not support",
}


class Counts(NamedTuple):
    """What the cache answered in one build.

    `languages` has (hits, misses) of each, `remote` the hits that came from the shared storage, `outcomes` for each
    source file `hit`, `miss` or why it could not be cached; sccache does not say that of single files.
    """

    hits: int
    misses: int
    languages: dict[str, list[int]]
    remote: int
    outcomes: dict[str, str]
    errors: int = 0


def read_log(path: str) -> Counts:
    """Read a ccache statistics log: for each call a line `# SOURCE`, and a line for each of its counters."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            lines = stream.read().splitlines()
    except OSError:
        lines = []
    hits = misses = remote = errors = 0
    languages: dict[str, list[int]] = {}
    outcomes: dict[str, str] = {}
    source = ""
    for line in lines:
        if line.startswith("# "):
            source = line[2:]
        elif line in HITS or line == MISS:
            hit = line != MISS
            hits, misses = hits + hit, misses + (not hit)
            languages.setdefault(language(source), [0, 0])[not hit] += 1
            outcomes[source] = "hit" if hit else "miss"
        elif line in UNCACHEABLE:
            outcomes[source] = UNCACHEABLE[line]
        elif line == "remote_storage_hit":
            remote += 1
        elif line in ("remote_storage_error", "remote_storage_timeout"):
            errors += 1
    return Counts(hits, misses, languages, remote, outcomes, errors)


def language(source: str) -> str:
    """Return the language of a source file by its name."""
    ending = source.rpartition(".")[2]
    return {"cu": "CUDA", "c": "C", "S": "assembler", "s": "assembler"}.get(ending, "C++")


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Counts:
    """Return what a server answered between two of its statistics; the parts of a CUDA compile are left out."""
    languages: dict[str, list[int]] = {}
    for index, name in enumerate(("cache_hits", "cache_misses")):
        earlier = _counts(before, name)
        for spoken, number in _counts(after, name).items():
            if number > earlier.get(spoken, 0) and spoken not in PARTS:
                languages.setdefault(spoken, [0, 0])[index] = number - earlier.get(spoken, 0)
    hits, misses = (sum(pair[index] for pair in languages.values()) for index in (0, 1))
    errors = [sum(_counts(statistics, "cache_errors").values()) for statistics in (before, after)]
    return Counts(hits, misses, languages, 0, {}, max(0, errors[1] - errors[0]))


def _counts(statistics: Mapping[str, Any], name: str) -> dict[str, int]:
    return dict(statistics.get("stats", {}).get(name, {}).get("counts", {}))
