"""The overview as a frame: facts in, lines of so many columns out. Drawn with rich, which is imported for it alone."""

from __future__ import annotations

import os
from io import StringIO
from typing import TYPE_CHECKING

from devbox.masking import visible
from devbox.ui.console import counted, seconds, size
from devbox.ui.tables import age

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

    from devbox.builds.running import Running
    from devbox.container.status import ContainerStatus, VolumeStatus
    from devbox.facts.gpu_use import GpuUse
    from devbox.overview import Overview

# From so many columns on there is room for what is nice to know.
WIDE = 98
# Below so many columns only what matters most is said.
NARROW = 76
# A size that was added up longer ago than this says when.
_OLD_SECONDS = 600.0
_MIB = 1 << 20
_STATES = {"running": "green", "paused": "yellow", "restarting": "yellow", "exited": "dim", "created": "dim"}


def frame(facts: Overview, width: int, height: int | None = None, *, colour: bool = False) -> list[str]:
    """Return the overview in lines of at most `width` columns, and at most `height` of them: what is below is counted.

    With `colour` they hold ANSI styles.
    """
    from rich.console import Console

    console = Console(
        file=StringIO(),
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        highlight=False,
        legacy_windows=False,
        _environ={},
    )
    lines = _rendered(console, facts, width)
    if height is not None and len(lines) > height:
        left = len(lines) - height + 1
        return [*lines[: height - 1], f"… {counted(left, 'more line')}: a taller terminal shows {_them(left)}"[:width]]
    return lines


def _them(number: int) -> str:
    return "it" if number == 1 else "them"


def _rendered(console: Console, facts: Overview, width: int) -> list[str]:
    with console.capture() as captured:
        for part in parts(facts, width):
            console.print(part, end="" if part == "\n" else "\n")
    return [line.rstrip() for line in captured.get().rstrip("\n").split("\n")]


def parts(facts: Overview, width: int) -> Iterator[RenderableType]:
    """Yield what the frame is made of, from top to bottom."""
    from rich.padding import Padding

    sections = (
        ("builds", "BUILDS", facts.builds, _builds, "nothing is being built"),
        ("containers", "CONTAINERS", facts.containers, _containers, "no dev container: devbox up"),
        ("gpus", "GPUS", facts.gpus, _gpus, "no nvidia-smi here"),
        ("volumes", "CACHES AND TREES", facts.volumes, _volumes, "none"),
        ("disks", "DISK", facts.disks, _disks, "none"),
    )
    trouble = facts.trouble or {}
    for name, title, found, draw, nothing in sections:
        if name != "builds":
            yield "\n"
        yield _text(title, "bold")
        said = trouble.get(name)
        if name == "volumes" and found is None and trouble.get("containers"):
            said = "unknown, as containers are"
        if said:
            yield Padding(_text(f"! {said}", "red", wrap=True), (0, 0, 0, 2))
        if found:
            yield from draw(facts, width)
        elif not said:
            yield _text("  …" if found is None else f"  {nothing}", "dim")


def _text(text: str, style: str = "", *, wrap: bool = False) -> Text:
    from rich.text import Text

    return Text(visible(text), style=style, no_wrap=not wrap, overflow="fold" if wrap else "ellipsis")


def _grid(width: int, *columns: tuple[str, int | None]) -> Table:
    """Return a table as wide as the screen: each column "left" or "right", and as wide as it must or as is left."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.width = width
    for side, fixed in columns:
        ratio = None if fixed is not None else 1
        table.add_column(
            justify="right" if side == "right" else "left", width=fixed, ratio=ratio, no_wrap=True, overflow="ellipsis"
        )
    return table


def _bar(share: float, width: int, style: str = "green") -> Text:
    """Return a bar in eighths of a character."""
    from rich.text import Text

    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    full, part = divmod(eighths, 8)
    done = "█" * full + (" ▏▎▍▌▋▊▉"[part] if part else "")
    return Text.assemble((done, style), ("·" * (width - len(done)), "dim"))


def _bar_width(width: int) -> int:
    return 20 if width >= WIDE else 12 if width >= NARROW else 6


def _builds(facts: Overview, width: int) -> Iterator[RenderableType]:
    from rich.text import Text

    bar = _bar_width(width)
    for one in facts.builds or ():
        table = _grid(width, ("left", None), ("left", bar), ("right", 9), ("right", 18 if width >= NARROW else 12))
        share = one.done / one.total if one.total else 0.0
        count = f"{one.done}/{one.total}" if one.total else ""
        table.add_row(
            Text.assemble("  ", (_name(one.workspace), "bold"), (f"  {one.key}" if width >= NARROW else "", "dim")),
            _bar(share, bar) if one.total else _text("…", "dim"),
            _text(count),
            _text(_left(one, facts.at) if width >= NARROW else _left(one, facts.at).removesuffix(" left")),
        )
        yield table
        now = ", ".join(one.running) if one.total else one.phase
        if now:
            yield _text(f"    {now}", "dim")


def _left(one: Running, now: float) -> str:
    if one.eta is not None:
        return f"{'≥ ' if one.least else ''}{seconds(one.eta)} left"
    return f"for {seconds(max(0.0, now - one.begun))}"


def _name(workspace: str) -> str:
    return visible(os.path.basename(workspace) or workspace)  # noqa: PTH119  # of text


def _containers(facts: Overview, width: int) -> Iterator[RenderableType]:
    wide = width >= WIDE
    columns = [
        ("left", None),
        ("left", 24 if width >= NARROW else 18),
        ("left", 10),
        *([("left", None)] if wide else []),
    ]
    table = _grid(width, *columns)
    for one in facts.containers or ():
        gone = "" if one.workspace_exists else " (gone)"
        words = [
            _text(f"  {one.name}", "" if one.workspace_exists else "dim"),
            _text(one.status or one.state, _STATES.get(one.state, "")),
            _text(one.framework or ("-" if one.ours else "another's"), "dim"),
            _text(f"{_short(one)}{gone}", "dim"),
        ]
        table.add_row(*words[: len(columns)])
        for beside in one.services:
            said = (f"    {beside.name}", beside.status or beside.state, "service", "")
            table.add_row(*[_text(word, "dim") for word in said[: len(columns)]])
    yield table


def _short(one: ContainerStatus) -> str:
    home = os.path.expanduser("~")  # noqa: PTH111  # of text
    inside = home not in {"/", "~"} and one.workspace.startswith(f"{home}/")
    return f"~{one.workspace[len(home) :]}" if inside else one.workspace


def _gpus(facts: Overview, width: int) -> Iterator[RenderableType]:
    for gpu in facts.gpus or ():
        table = _grid(width, ("left", None), ("left", _bar_width(width)), ("right", 15), ("right", 5))
        share = gpu.used / gpu.total if gpu.used is not None and gpu.total else 0.0
        table.add_row(
            _text(f"  {gpu.index}  {gpu.name}"),
            _bar(share, _bar_width(width), "red" if share > 0.9 else "yellow" if share > 0.5 else "green"),
            _text(_memory(gpu)),
            _text("" if gpu.busy is None else f"{gpu.busy} %", "bold" if gpu.busy else "dim"),
        )
        yield table
        if gpu.holders:
            holders = _grid(width, ("left", None), ("left", None), ("right", 9))
            for one in gpu.holders:
                holders.add_row(
                    _text(f"     {one.container or 'on the host'}"),
                    _text(" ".join(filter(None, [one.program, f"{one.pid}", one.user])), "dim"),
                    _text("-" if one.memory is None else size(one.memory * _MIB)),
                )
            yield holders


def _memory(gpu: GpuUse) -> str:
    used, total = ("?" if value is None else f"{value / 1024:.1f}" for value in (gpu.used, gpu.total))
    return f"{used}/{total} GiB"


def _volumes(facts: Overview, width: int) -> Iterator[RenderableType]:
    sizes = facts.sizes or {}
    wide = width >= WIDE
    columns = [("left", None), ("right", 10), *([("left", None)] if wide else [])]
    table = _grid(width, *columns)
    for title, ones in _by_kind(facts.volumes or ()):
        known = [sizes[one.name] for one in ones if one.name in sizes]
        users = sorted({user for one in ones for user in one.used_by})
        row = [
            _text(f"  {title}"),
            _text(size(sum(known)) if known else "…" if facts.sizes is None else "-"),
            _text(f"used by {', '.join(users)}" if users else "", "dim"),
        ]
        table.add_row(*row[: len(columns)])
    yield table
    if facts.sizes is not None and facts.at - facts.sized > _OLD_SECONDS:
        yield _text(f"  sizes of {age(facts.sized, facts.at)} ago", "dim")


def _by_kind(volumes: Sequence[VolumeStatus]) -> Sequence[tuple[str, Sequence[VolumeStatus]]]:
    """Return caches one by one, then the trees of each workspace, and those of workspaces that are not known as one."""
    found: dict[tuple[bool, str], list[VolumeStatus]] = {}
    for one in volumes:
        found.setdefault((one.kind == "build", one.title if one.kind == "cache" else one.workspace or ""), []).append(
            one
        )
    return [(_volume_title(*of), found[of]) for of in sorted(found, key=lambda of: (of[0], not of[1], of[1]))]


def _volume_title(is_build: bool, of: str) -> str:  # noqa: FBT001
    if not is_build:
        return of
    return f"trees of {_name(of)}" if of else "trees of workspaces that are not known"


def _disks(facts: Overview, width: int) -> Iterator[RenderableType]:
    table = _grid(width, ("left", None), ("left", _bar_width(width)), ("right", 27 if width >= NARROW else 14))
    for one in facts.disks or ():
        share = 1 - one.free / one.total if one.total else 0.0
        table.add_row(
            _text(f"  {one.folder}"),
            _bar(share, _bar_width(width), "red" if share > 0.9 else "yellow" if share > 0.8 else "green"),
            _text(f"{size(one.free)}{f' of {size(one.total)}' if width >= NARROW else ''} free"),
        )
    yield table
