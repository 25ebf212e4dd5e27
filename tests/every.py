"""Runs command lines of devbox one after the other, each in a fork of this process, which has imported all of devbox.

`python -m tests.every` reads JSON lists from stdin, one a line: the words, and what is done to the streams. It writes a
JSON list for each: the exit code, and what came on stdout and on stderr. A fork costs a tenth of a start.
"""

from __future__ import annotations

import json
import os
import pkgutil
import sys
import tempfile
from importlib import import_module
from typing import BinaryIO

import devbox

# What escaped from `main`, which Python would have told by a traceback that a broken stream hides.
ESCAPED = 99
STREAMS = ("stdin", "stdout", "stderr")


def damage(what: str) -> None:
    """Close streams, fill their disk, or take their reader away: `out full in closed`."""
    words = what.split()
    for stream, kind in zip(words[::2], words[1::2], strict=True):
        number = ("in", "out", "err").index(stream)
        if kind == "closed":
            os.close(number)
            setattr(sys, STREAMS[number], None)  # as the interpreter does when it starts
        elif kind == "full":
            os.dup2(os.open("/dev/full", os.O_WRONLY), number)
        else:
            reader, writer = os.pipe()
            os.close(reader)
            os.dup2(writer, number)


def one(words: list[str], what: str, out: BinaryIO, err: BinaryIO) -> int:
    """Run one command line in a fork and return its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = ESCAPED
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        damage(what)
        from devbox.__main__ import main

        code = main(words)
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else ESCAPED
    except BaseException:  # noqa: BLE001  # that is what is looked for
        import traceback

        os.write(err.fileno(), traceback.format_exc().encode("utf-8", "backslashreplace"))
    finally:
        os._exit(code)


def serve() -> None:
    for module in pkgutil.walk_packages(devbox.__path__, "devbox."):
        if "_data" not in module.name and not module.name.endswith("__main__"):
            import_module(module.name)
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    for line in requests:
        words, what = json.loads(line)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            code = one(words, what, out, err)
            out.seek(0)
            err.seek(0)
            said = [stream.read().decode("utf-8", "backslashreplace") for stream in (out, err)]
        answers.write(json.dumps([code, *said]).encode() + b"\n")


if __name__ == "__main__":
    serve()
