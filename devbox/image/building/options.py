"""The words of `devbox image build`'s options, read before anything is built."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.engine.spec import csv_record, fields_of
from devbox.errors import UsageError
from devbox.masking import is_secret_name
from devbox.paths import expanded
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from devbox.frameworks.model import Pairs

_SECRET_HINT = "--secret id=NAME,src=FILE   # or env=VARIABLE"  # noqa: S105
_ARG_HINT = "--arg NAME=VALUE   # or --arg NAME, which takes it from the environment"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A framework that `--framework NAME[/VARIANT][=CHECKOUT]` names."""

    name: str
    variant: str | None = None
    checkout: Path | None = None


def framework(text: str) -> Chosen:
    """Read a `--framework`. Raises UsageError where the checkout is no folder."""
    place, equals, folder = text.partition("=")
    name, _, variant = place.partition("/")
    checkout = _absolute(folder) if equals else None
    if checkout is not None and not checkout.is_dir():
        raise UsageError(f"--framework {text}: there is no folder {checkout}", hint="--framework NAME/VARIANT=CHECKOUT")
    return Chosen(name, variant or None, checkout)


def arguments(words: Sequence[str]) -> tuple[Pairs, tuple[str, ...]]:
    """Read `--arg`: those with a value, and the names of those that docker takes from its environment.

    Raises UsageError for a value that looks like a secret: build arguments can be read from the image.
    """
    pairs, names = [], []
    for word in words:
        name, equals, value = word.partition("=")
        if not name:
            raise UsageError(f"--arg '{word}' has no name", hint=_ARG_HINT)
        if is_secret_name(name):
            raise UsageError(
                f"the build argument {name} looks like a secret, and arguments can be read from the image",
                hint=f"--secret id={name},env={name}   # and RUN --mount=type=secret,id={name} in the stage",
            )
        if equals:
            pairs.append((name, value))
        else:
            names.append(name)
    return tuple(pairs), tuple(names)


def python_release(text: str) -> str:
    """Read `--python`: "3.12"; a checkout's own Dockerfile may take "3.10.12". Raises UsageError for anything else."""
    if not re.fullmatch(r"\d+\.\d+(\.\d+)?", text, re.ASCII):
        raise UsageError(f"'{text}' is no release of Python", hint="--python 3.12")
    return text


def shm_size(text: str) -> str:
    """Read `--shm-size`: "4g". Raises UsageError for what is no size."""
    if not re.fullmatch(r"[1-9]\d*[bkmgBKMG]?", text, re.ASCII):
        raise UsageError(f"'{text}' is no size", hint="--shm-size 4g")
    return text


def contexts(words: Sequence[str]) -> Pairs:
    """Read `--context NAME=PLACE`; a folder becomes absolute. Raises UsageError."""
    pairs = []
    for word in words:
        name, _, place = word.partition("=")
        if not name or not place:
            raise UsageError(f"--context '{word}' is not NAME=PLACE", hint="--context devel=docker-image://IMAGE")
        if "://" not in place:
            folder = _absolute(place)
            if not folder.is_dir():
                raise UsageError(f"--context {word}: there is no folder {folder}")
            place = str(folder)
        pairs.append((name, place))
    return tuple(pairs)


def secrets(words: Sequence[str], environ: Mapping[str, str]) -> tuple[Pairs, Pairs]:
    """Read `--secret`, which docker writes as `id=NAME,src=FILE`, `id=NAME,env=VARIABLE`, or `id=NAME` alone.

    Return those of files and those of variables, by id. Raises UsageError for one that is not there: docker would say
    so only in the step that reads it.
    """
    files, variables = [], []
    for word in words:
        said = fields_of(word)
        name = said.get("id", "")
        path, variable = said.get("src") or said.get("source"), said.get("env")
        if not name or (path and variable) or set(said) - {"id", "src", "source", "env", "type"}:
            raise UsageError(f"--secret '{word}' cannot be read", hint=_SECRET_HINT)
        if path is None and variable is None:
            # As docker does: a variable of this name, else a file.
            variable, path = (name, None) if name in environ else (None, name)
        if path is not None:
            file = _absolute(path)
            if not file.is_file():
                raise UsageError(f"--secret {name}: there is no file {file}", hint=_SECRET_HINT)
            files.append((name, str(file)))
        elif variable is not None:
            if variable not in environ:
                raise UsageError(f"--secret {name}: the variable {variable} is not set", hint=f"export {variable}=…")
            variables.append((name, variable))
    return tuple(files), tuple(variables)


def platforms(words: Sequence[str]) -> tuple[str, ...]:
    """Read the platforms to build for: `linux/amd64,linux/arm64`, or one a word."""
    return tuple(one for word in words for one in word.split(",") if one)


def attestations(*, sbom: bool, provenance: str | None) -> tuple[str, ...]:
    """Return what `--sbom` and `--provenance` say, as words of buildx's `--attest`."""
    found = ["type=sbom"] if sbom else []
    if provenance == "false":
        found.append("type=provenance,disabled=true")
    elif provenance is not None:
        found.append("type=provenance" if provenance == "true" else f"type=provenance,{provenance}")
    return tuple(found)


def output(word: str) -> str:
    """Read `--output`: a folder, or words as buildx takes them. `-` is refused: stdout is for the result's name."""
    if word == "-" or "dest=-" in word.split(","):
        raise UsageError("--output cannot be stdout", hint="--output type=tar,dest=FILE")
    if "=" in word and word.partition("=")[0] in {"type", "dest"}:
        return word
    return csv_record(["type=local", f"dest={_absolute(word)}"])


def _absolute(text: str) -> Path:
    """Return a path as an absolute one; symlinks stay, and so does a `~` that names nobody."""
    return Path(os.path.abspath(expanded(text)))  # noqa: PTH100
