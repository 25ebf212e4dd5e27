"""Limits of the container, clamped to what the engine can grant: a container that asks for more does not start.

Raising a hard limit needs CAP_SYS_RESOURCE, which a nested or rootless engine lacks; it can then give no more than
it has itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from devbox.facts.model import EngineFacts

# 64 MiB of stack, for the deep recursions of template-heavy compilers and of some kernels' host code.
_STACK = 64 * 1024 * 1024
# For linkers, servers and many worker processes.
_NOFILE = 65536
UNCLAMPED = ("--ulimit=memlock=-1", f"--ulimit=stack={_STACK}", f"--ulimit=nofile={_NOFILE}:{_NOFILE}")
# The others raise a hard limit, which nested, rootless and capped engines refuse; memory is locked by CUDA and RDMA
# alone.
GRANTED_EVERYWHERE = (f"--ulimit=stack={_STACK}",)

_KIB = 1024
_MIB = 1024 * _KIB


def limit_args(engine: EngineFacts) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the arguments for `docker run` that set memlock, stack and nofile, and a sentence for each clamped one.

    A limit that could not be learned is asked for in full. The sum of pinned host memory, which CUDA and RDMA copy
    from, counts against memlock.
    """
    memlock, memlock_note = memlock_arg(engine)
    stack, stack_note = _clamped(_STACK, engine.stack)
    nofile, nofile_note = _clamped(_NOFILE, engine.nofile)
    notes = (
        memlock_note,
        f"the stack is limited to {_size(stack)}: the engine itself has no more" if stack_note else None,
        f"open files are limited to {nofile}: the engine itself may not open more" if nofile_note else None,
    )
    args = (memlock, f"--ulimit=stack={stack}", f"--ulimit=nofile={nofile}:{nofile}")
    return args, tuple(note for note in notes if note)


def memlock_arg(engine: EngineFacts) -> tuple[str, str | None]:
    """Return the memlock argument for `docker run`, and a sentence where it is not unlimited, or not known to work."""
    if engine.memlock is None:
        return "--ulimit=memlock=-1", None
    if engine.memlock == 0:
        return "--ulimit=memlock=-1", "the engine's memlock limit could not be learned, so unlimited is asked for"
    note = f"locked memory is limited to {_size(engine.memlock)}: the engine itself may not lock more"
    return f"--ulimit=memlock={engine.memlock}", note


def _clamped(wanted: int, granted: int | None) -> tuple[int, bool]:
    """Return the lower of both, and whether that is less than wanted. None is unlimited, 0 unknown."""
    return (granted, True) if granted and granted < wanted else (wanted, False)


def _size(value: int) -> str:
    return f"{value // _MIB} MiB" if value >= _MIB else f"{value // _KIB} KiB"
