"""The compose files of a contract: which they are, the project's name, and all that docker compose reads with them.

Nothing here asks docker. What it makes of the files is `compose.Project`.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from devbox import lean
from devbox.devcontainer.compose.reading import documents, files_of
from devbox.devcontainer.identity import absolute
from devbox.errors import ContractError
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from devbox.devcontainer.model import Contract

# What compose itself calls a project whose file lies in .devcontainer; the other tools do not take it for a name.
_DEFAULT_NAME = "devcontainer"
_WORD = re.compile(r"[A-Za-z_]\w*")
# What YAML and `.env` files can write in the place of a character, or between two of one word.
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U(000[0-9A-Fa-f]{5})|0([0-7]{1,3})|\s*[\r\n]\s*)")
_PAIR = re.compile(r"^\s*(?:export\s+)?(\w+)\s*[=:]\s*(.*?)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Sources:
    """The compose files of a contract in their order, and the file that is passed as `--env-file`, if any."""

    files: tuple[Path, ...]
    env_file: Path | None = None

    @property
    def dotenv(self) -> Path:
        """The file that docker compose reads variables from, whether it is there or not."""
        return self.env_file or self.files[0].parent / ".env"

    def args(self) -> list[str]:
        """Return the options of `docker compose` that name them."""
        env_file = ["--env-file", str(self.env_file)] if self.env_file is not None else []
        return [*(word for file in self.files for word in ("-f", str(file))), *env_file]


def sources(contract: Contract, environ: Mapping[str, str]) -> Sources:
    """Return the compose files that a contract names, as the reference finds them.

    An empty list means COMPOSE_FILE of the environment or of the workspace's `.env`, or docker-compose.yml with its
    override beside it.
    """
    given = contract.config["dockerComposeFile"]
    names = [given] if isinstance(given, str) else given
    if names:
        return Sources(tuple(Path(absolute(contract.path.parent / name)) for name in names))
    folder = contract.workspace
    dotenv = folder / ".env"
    env_file = dotenv if dotenv.is_file() else None
    listed = environ.get("COMPOSE_FILE") or dotenv_value(dotenv, "COMPOSE_FILE")
    if listed:
        return Sources(tuple(Path(absolute(folder / name)) for name in listed.split(os.pathsep)), env_file)
    override = folder / "docker-compose.override.yml"
    return Sources((folder / "docker-compose.yml", *([override] if override.is_file() else [])), env_file)


def dotenv_value(path: Path, name: str) -> str | None:
    """Return a variable of a `.env` file as the reference reads it: a line NAME=VALUE, taken as it is."""
    try:
        text = lean.text(path, errors="replace")
    except OSError:
        return None
    found = re.search(rf"^{name}=(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else None


def dotenv_secrets(where: Sources, is_secret_name: Callable[[str], bool]) -> dict[str, str]:
    """Return the variables like secrets of the `.env` file that docker compose reads, those of one line."""
    try:
        text = lean.text(where.dotenv, errors="replace")
    except OSError:
        return {}
    return {name: _unquoted(value) for name, value in _PAIR.findall(text) if is_secret_name(name)}


def _unquoted(value: str) -> str:
    quoted = re.match(r"""(["'])(.*?)\1""", value)
    return quoted[2] if quoted else value.partition(" #")[0].rstrip()


def project_name(contract: Contract, where: Sources, resolved: str, environ: Mapping[str, str]) -> str:
    """Return the project's name as the reference computes it; both tools find the container by it.

    COMPOSE_PROJECT_NAME of the environment, of the workspace's `.env`, the name that docker compose `resolved` unless
    it is its default, the workspace's name with `_devcontainer` for files in `.devcontainer`, the files' folder's name.
    """
    folder = contract.workspace
    for name in (environ.get("COMPOSE_PROJECT_NAME"), dotenv_value(folder / ".env", "COMPOSE_PROJECT_NAME")):
        if name and _filtered(name):
            return _filtered(name)
    if resolved and (resolved != _DEFAULT_NAME or any(_has_name(file) for file in where.files)):
        return _filtered(resolved)
    beside = where.files[0].parent
    if beside == folder / ".devcontainer":
        return _filtered(f"{folder.name}_devcontainer")
    return _filtered(beside.name)


def is_project_name(name: str) -> bool:
    """Tell whether docker compose takes a project's name: it begins with a letter or a digit."""
    return re.fullmatch(r"[a-z0-9][-_a-z0-9]*", name) is not None


def unset(variable: str, dotenv: Path, workspace_dotenv: Path) -> str:
    """Return the sentence about a variable that docker compose replaces by nothing; it reads `dotenv` alone."""
    said = f"the compose files name {variable}, which is set nowhere and counts as empty"
    if dotenv != workspace_dotenv and dotenv_value(workspace_dotenv, variable) is not None:
        return f"{said}: {workspace_dotenv} has it, but docker compose reads {dotenv}"
    return said


def _filtered(name: str) -> str:
    return re.sub(r"[^-_a-z0-9]", "", name.lower())


def _has_name(file: Path) -> bool:
    try:
        return any(isinstance(one, dict) and one.get("name") for one in documents(file))
    except (OSError, ContractError):
        return False


def inputs(where: Sources, drafts: Mapping[Path, str] | None = None) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Return every file that `docker compose config` reads, also those that are not there but would count.

    And the names of those that it may read: with variables in them, or of the home folder. Raises
    ContractError, naming the file, for what docker compose is not to see: other places than files of this machine, and
    what is not plain YAML within limits.
    """
    found, unsure = files_of(where.files, drafts)
    return tuple(dict.fromkeys([*found, where.dotenv])), tuple(unsure)


def _words(text: str) -> set[str]:
    """Return the words of a file as it is written and as it is read; a warm start has no time to read its YAML."""

    def character(match: re.Match[str]) -> str:
        digits = next((group for group in match.groups()[:3] if group), None)
        return chr(int(digits, 16)) if digits else chr(int(match[4], 8)) if match[4] else ""

    read = _ESCAPE.sub(character, text) if "\\" in text else ""
    return {*_WORD.findall(text), *_WORD.findall(read)}


def inputs_key(files: Iterable[Path], environ: Mapping[str, str]) -> str:
    """Return a digest of the content of `files` and of those variables of `environ` whose names occur in them.

    `docker compose config` says the same again as long as it stays the same.
    """
    content = hashlib.sha256()
    words: set[str] = set()
    for file in files:
        try:
            text = lean.stored(file)
        except OSError:
            text = b"\0"
        content.update(b"\0".join((os.fsencode(file), b"%d" % len(text), text)))
        words.update(_words(text.decode("utf-8", "replace")))
    for name in sorted(environ):
        if name in words or name.startswith("COMPOSE_"):
            content.update(os.fsencode(f"\0{name}={environ[name]}"))
    return content.hexdigest()


def host_reads(
    files: Iterable[Path],
    unsure: Iterable[str],
    environ: Mapping[str, str],
    workspace: Path,
    is_secret_name: Callable[[str], bool],
) -> tuple[tuple[str, str], ...]:
    """Return what compose files take from the host, each with its kind: variables like secrets, files elsewhere.

    `unsure` are those of `inputs` by that word.
    """
    real = os.path.realpath(workspace)
    words: set[str] = set()
    found = []
    for file in files:
        if not file.is_file():
            continue
        words.update(_words(file.read_text(encoding="utf-8", errors="replace")))
        if not Path(os.path.realpath(file)).is_relative_to(real):
            found.append(("path", str(file)))
    return (
        *found,
        *(("unsure", name) for name in unsure),
        *(("variable", name) for name in sorted(words & environ.keys()) if is_secret_name(name)),
    )
