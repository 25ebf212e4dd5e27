"""Where things lie in a build volume: the trees by their keys, and what devbox keeps beside them."""

from __future__ import annotations

import os

# The folder of records, locks and the agent itself; a hidden folder is no tree.
STATE = ".devbox"
# The folder that holds a volume's worth for each further checkout of the container.
REPOSITORIES = ".repositories"
# The link to the tree that was built last.
CURRENT = "current"


def state_of(volume: str) -> str:
    """Return the folder in which devbox keeps what it knows of a volume."""
    return os.path.join(volume, STATE)


def records_of(volume: str) -> str:
    """Return the folder of the records of the trees in a volume."""
    return os.path.join(volume, STATE, "records")


def states_of(volume: str, key: str) -> str:
    """Return the folder of the states that a tree was configured in before."""
    return os.path.join(volume, STATE, "states", key)


def timelines_of(state: str, key: str) -> tuple[str, str]:
    """Return the file in which the last build of a tree is kept, and the folder of those before it."""
    folder = os.path.join(state, "timelines")
    return os.path.join(folder, f"{key}.json"), os.path.join(folder, key)


def current_key(volume: str) -> str:
    """Return the key of the tree that was built last, "" without one."""
    try:
        return os.readlink(os.path.join(volume, CURRENT))
    except OSError:
        return ""
