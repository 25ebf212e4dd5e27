"""The agent's entry: a request as one line of JSON on stdin, which stays open as the lifeline; events on stdout."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from .events import AgentError, Events
from .process import INTERRUPTED, Interrupted, Supervisor

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_REQUEST = 1 << 20


def main() -> int:
    """Do what the request says and return the exit code; what happened is told by the last event."""
    events = Events()
    events.send("hello", python=sys.version.split()[0])
    try:
        request = json.loads(_read_line(0))
        result = COMMANDS[request["command"]](request, events)
    except AgentError as fault:
        events.send("fault", message=fault.message, hint=fault.hint, code=fault.code)
        return 1
    except Interrupted:
        return INTERRUPTED
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        events.send("fault", message=f"{error.strerror or error}{where}", hint=None, code="build")
        return 1
    events.send("result", **result)
    return 0


def _read_line(descriptor: int) -> bytes:
    """Read up to the first newline. Raises Interrupted if there is none."""
    data = b""
    while b"\n" not in data and len(data) < LONGEST_REQUEST:
        chunk = os.read(descriptor, 1 << 16)
        if not chunk:
            raise Interrupted
        data += chunk
    return data.partition(b"\n")[0]


def build(request: Mapping[str, Any], events: Events) -> dict[str, Any]:
    """Build one tree."""
    from .attempt import build as start

    return start(request, events, Supervisor(0))


def trees(request: Mapping[str, Any], events: Events) -> dict[str, Any]:  # noqa: ARG001
    """List the trees of the volume, or of several `volumes`."""
    from .trees import describe, each

    if "volumes" in request:
        return {"volumes": each(request["volumes"], request)}
    return {"trees": describe(request["volume"])}


def remove(request: Mapping[str, Any], events: Events) -> dict[str, Any]:
    """Remove trees of several volumes: `remove` gives keys by the volume's folder."""
    from .trees import as_owner
    from .trees import remove as start

    done = {}
    for volume, keys in request["remove"].items():
        with as_owner(volume):
            done[volume] = start(volume, keys, events)
    return {"removed": done}


def seed(request: Mapping[str, Any], events: Events) -> dict[str, Any]:
    """Copy a tree of another workspace into the volume."""
    from .seed import copy

    supervisor = Supervisor(0)
    return copy(request, events, supervisor)


def cache(request: Mapping[str, Any], events: Events) -> dict[str, Any]:  # noqa: ARG001
    """Ask or change the compiler cache."""
    from .caches.requests import act

    return act(request)


def report(request: Mapping[str, Any], events: Events) -> dict[str, Any]:  # noqa: ARG001
    """Tell of the builds of one tree."""
    from .timeline import tell

    return tell(request)


def python(request: Mapping[str, Any], events: Events) -> dict[str, Any]:
    """Install the Python package, or make a wheel of it."""
    from .python.package import act

    return act(request, events, Supervisor(0))


def test(request: Mapping[str, Any], events: Events) -> dict[str, Any]:  # noqa: ARG001
    """Tell how the tests are run."""
    from .testing import command

    return command(request)


COMMANDS = {
    "build": build,
    "python": python,
    "test": test,
    "list": trees,
    "remove": remove,
    "seed": seed,
    "cache": cache,
    "report": report,
}
