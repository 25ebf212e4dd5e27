"""A contract that is tried: the files as they were before it are kept until a container runs by it, or are put back.

So a choice that docker refuses is not what the next `devbox up` starts from. The files are kept outside the checkout:
a run that is killed leaves them, and the next one that fails puts them back.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from devbox import lean
from devbox.container.memory import attempt_file
from devbox.devcontainer.writing.write import changes, put_back
from devbox.facts import checkout as checkout_facts
from devbox.files import private_folder, write_atomically
from devbox.trust import grants

if TYPE_CHECKING:
    from devbox.container.contract.author import Draft


class Kept(NamedTuple):
    """What is kept for a time: the texts of files, and the choices that devbox recorded for the framework."""

    files: dict[Path, str | None]
    framework: str
    choices: dict[str, str]


def begin(made: Draft) -> None:
    """Keep what the files of a contract hold before it is written; of several attempts in a row, before the first."""
    workspace, framework = made.checkout.path, made.framework.name
    file = attempt_file(workspace)
    kept = _kept(file)
    first = kept if kept and kept.framework == framework else Kept({}, framework, grants.choices(workspace, framework))
    found = changes(made.checkout, made.generated)
    files = [[str(path), first.files.get(path, old), new] for path, (old, new) in found.items()]
    private_folder(file.parent)
    data = {"files": files, "framework": first.framework, "choices": first.choices}
    write_atomically(file, json.dumps(data), mode=0o600)


def take_back(workspace: Path) -> bool:
    """Put the files back, and return whether there was anything to put back.

    Where somebody has changed one of them since, they are left as they are.
    """
    file = attempt_file(workspace)
    kept = _kept(file)
    if kept is not None:
        put_back(checkout_facts.gather(workspace), kept.files)
        grants.remember_choices(workspace, kept.framework, kept.choices)
    file.unlink(missing_ok=True)
    return kept is not None


def _kept(file: Path) -> Kept | None:
    """Return what is kept, None where there is nothing, or the attempt's files are not there any more."""
    try:
        data = json.loads(lean.stored(file))
        files = [(Path(path), old, new) for path, old, new in data["files"]]
        kept = Kept({path: old for path, old, _ in files}, str(data["framework"]), dict(data["choices"]))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return kept if all(_is(path, new) for path, _, new in files) else None


def _is(path: Path, text: str | None) -> bool:
    try:
        return lean.stored(path).decode("utf-8", "surrogateescape") == text
    except FileNotFoundError:
        return text is None
    except OSError:
        return False
