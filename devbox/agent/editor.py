"""CMake presets by which editors drive the very tree that `devbox build` builds: `generate --editor-tasks` makes them.

A preset names the tree's own folder: cmake would take the link to it for another one, and compile all of it again. So
each build says in it which tree is the current one. What else the file holds is its owner's.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from .files import read_json, write_bytes
from .protocol import PRESETS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .configuration import Configuration
    from .protocol import Rules

    JSON = dict[str, Any]

NAME = "devbox"
# The first version of the format with `condition`, of CMake 3.21: cmake-presets(7).
VERSION = 3
_KINDS = ("configurePresets", "buildPresets", "testPresets")


def empty() -> JSON:
    """Return a file of presets before there is a tree."""
    return {
        "version": VERSION,
        "cmakeMinimumRequired": {"major": 3, "minor": 21},
        "vendor": {NAME: "`devbox build` keeps the presets named devbox true to its build tree"},
    }


def _is_sound(document: JSON) -> bool:
    """Tell whether presets have names: anybody may have written into the file, and cmake says what is wrong with it."""
    lists = [document.get(kind) or [] for kind in _KINDS]
    return all(
        isinstance(ones, list) and all(isinstance(one, dict) and "name" in one for one in ones) for ones in lists
    )


def is_ours(document: Any) -> bool:
    """Tell whether devbox wrote a file of presets, whatever was added to it since."""
    return isinstance(document, dict) and isinstance(document.get("vendor"), dict) and NAME in document["vendor"]


def with_tree(
    document: JSON, *, source: str, tree: str, generator: str | None, jobs: int, environ: Mapping[str, str]
) -> JSON:
    """Return the presets with those named devbox as they are for `tree`, first; others stay as they are.

    They are for the container alone: on the host the sources lie elsewhere, and the condition hides them.
    """
    inside = {"type": "equals", "lhs": "${sourceDir}", "rhs": source}
    user = {"name": NAME, "configurePreset": NAME}
    ours: dict[str, JSON] = {
        "configurePresets": {
            "name": NAME,
            "displayName": f"devbox ({os.path.basename(tree)})",
            "condition": inside,
            "generator": generator,
            "binaryDir": tree,
            "environment": dict(environ),
        },
        "buildPresets": {**user, "jobs": jobs},
        "testPresets": {**user, "output": {"outputOnFailure": True}},
    }
    found = dict(document)
    for kind, preset in ours.items():
        others: list[Any] = [one for one in document.get(kind) or () if one["name"] != NAME]
        found[kind] = [preset, *others]
    return found


def text(document: JSON) -> str:
    """Return the text of a file of presets."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def keep(decided: Configuration, rules: Rules, jobs: int) -> None:
    """Have the presets of devbox's in the checkout name the tree that is being built, by so many jobs.

    `rules` are the framework's: what a preset of the checkout adds to the environment may be a secret.
    """
    environ = {name: decided.environ[name] for name, _ in rules.env if name in decided.environ}
    for name in PRESETS:
        path = os.path.join(decided.source, name)
        known = read_json(path) if os.path.isfile(path) else {}
        if not is_ours(known) or not _is_sound(known):
            continue
        new = with_tree(
            known,
            source=decided.source,
            tree=decided.tree,
            generator=rules.generator,
            jobs=jobs,
            environ=environ,
        )
        if new != known:
            # Half a character, which JSON can name, stands for one that cannot be written.
            write_bytes(path, text(new).encode("utf-8", "replace"), lasting=False)
