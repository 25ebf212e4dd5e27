"""By what a tree is proven: by content where ninja keeps a log of what it made, else by time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

from ..drivers import cmake_call

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..content import Entry
    from ..context import Context
    from ..record import Attempt
    from .by_content import ByContent
    from .by_time import ByTime
    from .sources import Sources

    Proof = Union[ByContent, ByTime]


def proof_for(context: Context, sources: Sources, last: Attempt | None, seen: Mapping[str, Entry]) -> Proof:
    """Return the proof of the tree that is built; `seen` are contents that were read already."""
    if context.decided.ninja is None:
        from .by_time import ByTime

        return ByTime(context, sources, last)
    from .by_content import ByContent

    return ByContent(context, cmake_call.compiling(context.decided.environ), seen)
