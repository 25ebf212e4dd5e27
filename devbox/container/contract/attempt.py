"""A contract that is tried: the files as they were before it are kept until a container runs by it, or are put back.

So a choice that docker refuses is not what the next `devbox up` starts from. The files are kept outside the checkout:
a run that is killed leaves them, and the next one that fails puts them back.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.container.memory import attempt_file
from devbox.devcontainer.writing.write import changes, put_back
from devbox.facts import checkout as checkout_facts
from devbox.files import private_folder, write_atomically

if TYPE_CHECKING:
    from devbox.container.contract.author import Draft


def begin(made: Draft) -> None:
    """Keep what the files of a contract hold before it is written; of several attempts in a row, before the first."""
    file = attempt_file(made.checkout.path)
    first = _before(file) or {}
    found = changes(made.checkout, made.generated)
    files = [[str(path), first.get(path, old), new] for path, (old, new) in found.items()]
    private_folder(file.parent)
    write_atomically(file, json.dumps(files), mode=0o600)


def take_back(workspace: Path) -> bool:
    """Put the files back, and return whether there was anything to put back.

    Where somebody has changed one of them since, they are left as they are.
    """
    file = attempt_file(workspace)
    before = _before(file)
    if before is not None:
        put_back(checkout_facts.gather(workspace), before)
    file.unlink(missing_ok=True)
    return before is not None


def _before(file: Path) -> dict[Path, str | None] | None:
    """Return the texts that are kept, None where there are none, or the attempt's files are not there any more."""
    try:
        files = [(Path(path), old, new) for path, old, new in json.loads(file.read_bytes())]
    except (OSError, ValueError, TypeError):
        return None
    return {path: old for path, old, _ in files} if all(_is(path, new) for path, _, new in files) else None


def _is(path: Path, text: str | None) -> bool:
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape") == text
    except FileNotFoundError:
        return text is None
    except OSError:
        return False
