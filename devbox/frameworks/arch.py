"""GPU architectures: what a person may write, which ones are meant, and the notation that a build system takes.

A compute capability is written as in NVIDIA's documents: "9.0", or with the suffix of an architecture-specific ("9.0a")
or family-specific ("10.0f") feature set. One form for each, sorted, so that two ways to say the same give one build
tree.
"""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Literal

from devbox.errors import UsageError
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

    from devbox.facts.model import Gpus
    from devbox.frameworks.model import Framework, Pairs

_HINT = "--arch auto, or a list such as --arch 9.0,10.0 (90, sm_90, 90-real and 90a are understood)"
_WORD = re.compile(r"(?:sm_?)?(?P<digits>\d+)(?:\.(?P<minor>\d))?(?P<suffix>[af]?)(?:-real)?", re.ASCII)
_COMPARE = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq}
# Maxwell, 5.0, is the oldest that any toolkit in use compiles for; below it a number is a slip of the pen ("9" for
# "9.0"). Of generations that are complete all are known, by `nvcc --list-gpu-arch` of CUDA 11.8 to 13.3. Of a later one
# any will do, but for what no GPU will be in years.
_OLDEST_MAJOR, _FAR_MAJOR = 5, 20
_MINORS = {5: "023", 6: "012", 7: "025", 8: "06789", 9: "0", 10: "013", 11: "0"}


@dataclass(frozen=True, slots=True)
class Arch:
    """The compute capabilities to build for, sorted, and where they come from in words. None: no GPU code is built."""

    capabilities: tuple[str, ...]
    origin: str


def resolve(framework: Framework, requested: str | None, gpus: Gpus) -> Arch:
    """Return the architectures to build `framework` for.

    `requested` is what a person wrote: "auto" or None for the GPUs of the engine's host, and without any the
    framework's default; else a list. Raises UsageError, naming the word, if it makes no sense.
    """
    wanted = requested is not None and requested.strip().lower() != "auto"
    asked = parse(requested) if wanted and requested is not None else ()
    if not framework.gpu:
        ignored = f", so '{requested}' is not used" if wanted else ""
        return Arch((), f"{framework.name} in its variant {framework.variant} has no GPU code{ignored}")
    if wanted:
        return Arch(asked, f"asked for as '{requested}'")
    seen = [gpu for gpu in gpus.devices if gpu.compute_capability]
    if seen:
        found = parse(" ".join(str(gpu.compute_capability) for gpu in seen))
        return Arch(found, f"of the GPU {', '.join(sorted({gpu.name for gpu in seen}))}")
    if framework.default_arch is None:
        return Arch((), f"{framework.name} names no default, and no GPU tells its compute capability")
    why = gpus.reason or "no GPU was found"
    if gpus.devices:
        why = "the GPU does not tell its compute capability"
    return Arch(parse(framework.default_arch), f"the default of {framework.name}: {why}")


def parse(text: str) -> tuple[str, ...]:
    """Return the compute capabilities in a list separated by commas, semicolons or spaces: sorted, each once.

    Raises UsageError, naming the word that is none.
    """
    words = [word for word in re.split(r"[,;\s]+", text.lower()) if word]
    if not words:
        raise UsageError(f"'{text}' names no GPU architecture", hint=_HINT)
    return tuple(sorted({_capability(word) for word in words}, key=_order))


def _capability(word: str) -> str:
    found = _WORD.fullmatch(word)
    if found is None:
        if word.endswith(("+ptx", "-virtual")) or word.startswith("compute_"):
            hint = "PTX is not built: name the architectures of the GPUs it runs on, such as --arch 9.0,10.0"
            raise UsageError(f"'{word}' asks for PTX instead of code for a GPU", hint=hint)
        raise UsageError(f"'{word}' is no GPU architecture", hint=_HINT)
    digits, minor, suffix = found["digits"], found["minor"], found["suffix"]
    # Without the point, the last digit is the minor version: 90 is 9.0, 100 is 10.0.
    major, minor = (digits, minor) if minor is not None else (digits[:-1], digits[-1])
    if not major or not _OLDEST_MAJOR <= int(major) < _FAR_MAJOR:
        raise UsageError(f"'{word}' is no GPU architecture", hint=_HINT)
    generation = _MINORS.get(int(major), minor)
    if minor not in generation:
        there = ", ".join(f"{int(major)}.{one}" for one in generation)
        raise UsageError(f"'{word}' is no GPU architecture; of its generation are {there}", hint=_HINT)
    return f"{int(major)}.{minor}{suffix}"


def _order(capability: str) -> tuple[int, int, str]:
    major, _, rest = capability.partition(".")
    return int(major), int(rest[0]), rest[1:]


def switches(capabilities: Iterable[str], rules: Pairs) -> Pairs:
    """Return each option of `rules` with ON where one of the capabilities satisfies its rule, else OFF.

    A rule is `<`, `<=`, `>`, `>=` or `=` and a capability. Raises UsageError for another one.
    """
    asked = [_order(capability)[:2] for capability in capabilities]
    found = []
    for option, rule in rules:
        sign, bound = rule_of(rule)
        found.append((option, "ON" if any(_COMPARE[sign](one, bound) for one in asked) else "OFF"))
    return tuple(found)


def rule_of(text: str) -> tuple[str, tuple[int, int]]:
    """Return the sign and the capability of a rule such as `<9.0`. Raises UsageError if it is none."""
    parts = re.fullmatch(r"([<>]=?|=)\s*(\d+\.\d)", text, re.ASCII)
    if parts is None:
        raise UsageError(f"'{text}' is no rule for architectures", hint="such as <9.0 or >=10.0")
    return parts[1], _order(parts[2])[:2]


def form(arch: Arch, notation: Literal["cmake", "torch"]) -> str:
    """Return the architectures as a build system takes them.

    "cmake" is CMAKE_CUDA_ARCHITECTURES (`90-real;100-real`), "torch" is TORCH_CUDA_ARCH_LIST (`9.0;10.0`).
    """
    if notation == "torch":
        return ";".join(arch.capabilities)
    return ";".join(f"{capability.replace('.', '')}-real" for capability in arch.capabilities)
