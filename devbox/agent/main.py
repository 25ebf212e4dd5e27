"""The agent's entry: a request as one line of JSON on stdin, which stays open as the lifeline; events on stdout."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, Any

from . import protocol
from .events import AgentError, Events
from .process import INTERRUPTED, Interrupted, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    from .protocol import R

LONGEST_REQUEST = 1 << 20


def main() -> int:
    """Do what the request says and return the exit code; what happened is told by the last event."""
    # It lives for one request. To look for cycles among the names of a large tree takes longer than to read them.
    gc.disable()
    events = Events()
    events.send(protocol.Hello(version=protocol.VERSION, python=sys.version.split()[0]))
    try:
        request = protocol.read_request(_read_line(0))
        result = COMMANDS[type(request)](request, events)
    except AgentError as fault:
        events.send(protocol.Fault(message=fault.message, hint=fault.hint, code=fault.code))
        return 1
    except protocol.ProtocolError as fault:
        events.send(protocol.Fault(message=str(fault)))
        return 1
    except Interrupted:
        return INTERRUPTED
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        events.send(protocol.Fault(message=f"{error.strerror or error}{where}"))
        return 1
    events.send(result)
    return 0


def _read_line(descriptor: int) -> bytes:
    """Read up to the first newline. Raises Interrupted if there is none."""
    data = b""
    while b"\n" not in data:
        chunk = os.read(descriptor, 1 << 16)
        if not chunk:
            raise Interrupted
        data += chunk
        if len(data) > LONGEST_REQUEST:
            raise protocol.ProtocolError(f"the request is longer than {LONGEST_REQUEST >> 10} KiB")
    return data.partition(b"\n")[0]


def build(request: protocol.Build, events: Events) -> protocol.Built:
    """Build one tree."""
    from .attempt import build as start

    return start(request, events, Supervisor(0))


def trees(request: protocol.List, _: Events) -> protocol.TreesTold:
    """List the trees of the volume."""
    from .trees import describe

    return protocol.TreesTold(trees=describe(request.volume))


def look(request: protocol.Look, _: Events) -> protocol.VolumesTold:
    """List the trees of several volumes."""
    from .trees import look as start

    return start(request)


def remove(request: protocol.Remove, events: Events) -> protocol.Removed:
    """Remove trees of several volumes."""
    from .trees import as_owner
    from .trees import remove as start

    done = {}
    for volume, keys in request.trees.items():
        with as_owner(volume):
            done[volume] = start(volume, keys, events)
    return protocol.Removed(removed=done)


def seed(request: protocol.Seed, events: Events) -> protocol.Seeded:
    """Copy a tree of another workspace into the volume."""
    from .seed import copy

    return copy(request, events, Supervisor(0))


def cache(request: protocol.CacheRequest[R], _: Events) -> R:
    """Ask or change the compiler cache."""
    from .caching import act

    return act(request)


def report(request: protocol.Report, _: Events) -> protocol.Reported:
    """Tell of the builds of one tree."""
    from .timeline import tell

    return tell(request)


def python(request: protocol.Python, events: Events) -> protocol.PythonDone:
    """Install the Python package, or make a wheel of it."""
    from .package import act

    return act(request, events, Supervisor(0))


def foresee(request: protocol.Foresee, events: Events) -> protocol.Foreseen:
    """Say what a build would do."""
    from .foresee import foresee as look

    return look(request, events)


def test(request: protocol.Test, _: Events) -> protocol.TestCommand:
    """Tell how the tests are run."""
    from .testing import command

    return command(request)


COMMANDS: dict[type[protocol.Request[Any]], Callable[[Any, Events], protocol.Result]] = {
    protocol.Build: build,
    protocol.Foresee: foresee,
    protocol.Python: python,
    protocol.Test: test,
    protocol.List: trees,
    protocol.Look: look,
    protocol.Remove: remove,
    protocol.Seed: seed,
    protocol.CountCache: cache,
    protocol.ClearCache: cache,
    protocol.LookAtCache: cache,
    protocol.ExplainCache: cache,
    protocol.Report: report,
}
