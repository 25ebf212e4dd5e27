"""Secrets for lifecycle commands: where they come from, and that none of them is shown.

They come from a JSON file that maps names to values (`--secrets-file`, as with the reference CLI), and from the host's
environment for the names that the contract declares under `secrets`. They reach a command in docker's own environment,
by name: no argv, file, label or `docker inspect` holds a value.
"""

from __future__ import annotations

import re
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.container.inside.probe import agreed
from devbox.devcontainer import jsonc
from devbox.errors import ContractError, UsageError
from devbox.masking import is_secret_name
from devbox.trust.contracts import secret_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from devbox.container.target import Target
    from devbox.devcontainer.model import Contract
    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter

# Read secrets from stdin.
STDIN = Path("-")

# As the schema of the specification has it.
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
# The docker client would take these for itself.
_CLIENTS = re.compile(
    r"PATH|HOME|LD_.*|DEVBOX_EXEC_ID|(?:HTTPS?|NO|ALL)_PROXY"
    r"|DOCKER_(?:HOST|CONTEXT|CONFIG|CERT_PATH|TLS|TLS_VERIFY|API_VERSION|DEFAULT_PLATFORM|CUSTOM_HEADERS)",
    re.IGNORECASE,
)


def gather(
    contract: Contract | None, environ: Mapping[str, str], file: Path | None, reporter: Reporter
) -> dict[str, str]:
    """Return the secrets by name, those of `file` first, and have their values masked from now on.

    Names that the contract declares are taken from `environ` where they are set there; the caller has seen to the
    person's consent. Raises UsageError, naming file and key, where the file is not what it should be.
    """
    found = {**declared(contract, environ), **(read(file) if file is not None else {})}
    reporter.mask.hide(found.values())
    if contract is not None:
        hide((contract.raw,), environ, reporter)
    if file is not None and _open_to_others(file):
        reporter.warn(f"others may read the secrets in {file}: chmod 600 {file}")
    return found


def declared(contract: Contract | None, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the values of the names under the contract's `secrets` that are set in `environ`."""
    names = contract.config.get("secrets") or {} if contract is not None else {}
    return {name: environ[name] for name in names if environ.get(name) and _NAME.fullmatch(name)}


def read(path: Path) -> dict[str, str]:
    """Read a secrets file, JSON with comments; `-` is stdin. Raises UsageError; no value is in its message."""
    name = "stdin" if path == STDIN else str(path)
    try:
        text = sys.stdin.read() if path == STDIN else path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the secrets file {name} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"the secrets file {name} is not UTF-8 text (byte {error.start})") from None
    try:
        data = jsonc.loads(text, Path(name))
    except ContractError as error:
        # It names a place and cites nothing.
        raise UsageError(f"the secrets file {error.message}", hint='{"NAME": "value", …}') from None
    for key, value in data.items():
        if not _NAME.fullmatch(key):
            raise UsageError(f"the secrets file {name}: '{key}' is no name of a variable")
        if _CLIENTS.fullmatch(key):
            raise UsageError(f"the secrets file {name}: {key} is for the docker client; choose another name")
        if not isinstance(value, str):
            raise UsageError(f"the secrets file {name}: the value of {key} must be a string")
    return {str(key): str(value) for key, value in data.items()}


def hide(values: Iterable[Mapping[str, object]], environ: Mapping[str, str], reporter: Reporter) -> None:
    """Have masked what a contract's raw content, or metadata entries, take of the host's secrets, by their names."""
    reporter.mask.hide(environ.get(name, "") for name in secret_names(tuple(values)))


def hide_passed(target: Target, environ: Mapping[str, str], reporter: Reporter) -> None:
    """Have masked what commands in a container get of the host's secrets, told by their names."""
    named = [part for _, parts in target.host_env for part in parts if not isinstance(part, str)]
    reporter.mask.hide(environ.get(name, "") for name, _ in named if is_secret_name(name))


def for_container(
    engine: Engine, contract: Contract | None, labels: Mapping[str, str], file: Path | None, reporter: Reporter
) -> dict[str, str]:
    """Return the secrets for a container that is there; those of the environment only if the person agreed to them."""
    wanted = declared(contract, engine.environ)
    if contract is not None and wanted and not agreed(contract, labels):
        reporter.warn(
            f"{contract.path} asks for {', '.join(sorted(wanted))}, and you have not agreed to that yet: devbox up"
        )
        contract = None
    return gather(contract, engine.environ, file, reporter)


def _open_to_others(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) and bool(mode & 0o077)
