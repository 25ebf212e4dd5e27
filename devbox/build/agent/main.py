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
    """List the trees of the volume."""
    from .trees import describe

    return {"trees": describe(request["volume"])}


COMMANDS = {"build": build, "list": trees}
