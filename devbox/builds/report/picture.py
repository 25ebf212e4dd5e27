"""The report of a build as pictures: the timeline, the history, and what came from the cache, as SVG without a script.

Colours stand in attributes, so that a file shows them everywhere; by the classes a page gives them its own.
"""

from __future__ import annotations

import time
from html import escape
from typing import TYPE_CHECKING

from devbox.builds.report.timeline import lanes, parallelism

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devbox.builds.report.timeline import Build, Step, Timeline

WIDTH = 1200
LEFT, RIGHT = 64, 16
LANE = 22
TICKS = 10
GRAPH = 72
BAR_HEIGHT = 96
HISTORY = 60
# Readable on white and for eyes that tell red and green badly apart.
COLOURS = {
    "hit": "#56b4e9",
    "miss": "#e69f00",
    "compile": "#b8a06a",
    "link": "#8073ac",
    "other": "#a8adb5",
}
CRITICAL = "#c1272d"
LEGEND = (
    ("miss", "compiled"),
    ("hit", "from the compiler cache"),
    ("compile", "compiled, or from sccache"),
    ("link", "linked"),
    ("other", "other"),
)
_TEXT = 'font-family="system-ui, sans-serif" font-size="11"'
_SOFT = f'fill="#555" class="soft" {_TEXT}'
_DARK = f'fill="#222" class="text" {_TEXT}'
_RULE = 'stroke="#e4e6ea" class="rule"'
_LEVEL = 'stroke="#8a9099" class="level"'
_CRITICAL = f'stroke="{CRITICAL}" class="critical" stroke-width="2"'
_SVG = '<svg xmlns="http://www.w3.org/2000/svg"'


def svg(timeline: Timeline) -> str:
    """Return the timeline as an SVG: a lane for each job, the critical path outlined, and the jobs at work below."""
    rows = lanes(timeline.steps)
    top, width = 44, WIDTH - LEFT - RIGHT
    bottom = top + len(rows) * LANE
    height = bottom + 34 + GRAPH + 34
    total = max(timeline.seconds, 0.001)
    scale = width / total
    parts = [
        f'{_SVG} viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff" class="bg"/>',
        _legend(timeline),
        *_axis(total, scale, top, bottom),
    ]
    for index, steps in enumerate(rows):
        y = top + index * LANE
        parts.append(f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end" {_SOFT}>{index + 1}</text>')
        # The critical path comes last, so that no neighbour covers its outline.
        parts += [_step(step, y, scale, timeline.cache) for step in sorted(steps, key=lambda step: step.critical)]
    parts += _jobs(timeline, bottom + 34, total)
    return "\n".join([*parts, "</svg>", ""])


def _legend(timeline: Timeline) -> str:
    x = LEFT
    parts = []
    seen = {_paint(step, timeline.cache) for step in timeline.steps}
    for name, text in LEGEND:
        if name in seen:
            parts.append(f'<rect x="{x}" y="10" width="12" height="12" rx="2" fill="{COLOURS[name]}"/>')
            parts.append(f'<text x="{x + 17}" y="20" {_DARK}>{text}</text>')
            x += 32 + 6 * len(text)
    if any(step.critical for step in timeline.steps):
        parts.append(f'<rect x="{x}" y="11" width="11" height="10" rx="2" fill="none" {_CRITICAL}/>')
        parts.append(f'<text x="{x + 17}" y="20" {_DARK}>critical path</text>')
    return "\n".join(parts)


def _axis(total: float, scale: float, top: int, bottom: int) -> list[str]:
    step = _round_step(total / TICKS)
    parts = []
    for number in range(int(total / step) + 1):
        x = LEFT + number * step * scale
        parts.append(f'<line x1="{x:.1f}" y1="{top - 6}" x2="{x:.1f}" y2="{bottom}" {_RULE}/>')
        parts.append(f'<text x="{x:.1f}" y="{top - 9}" text-anchor="middle" {_SOFT}>{_time(number * step)}</text>')
    return parts


def _round_step(rough: float) -> float:
    """Return the next of 1, 2, 5, 10, 20, 30, 60 … seconds (or tenths) that is not less than `rough`."""
    for step in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600):
        if step >= rough:
            return float(step)
    return 7200.0


def _time(value: float) -> str:
    if value >= 60:
        return f"{int(value // 60)}:{round(value % 60):02d}"
    return f"{value:g} s" if value == int(value) else f"{value:.1f} s"


def _paint(step: Step, cache: str) -> str:
    if step.kind != "compile":
        return step.kind
    if step.outcome in {"hit", "miss"}:
        return step.outcome
    # Without a cache, and where ccache could not cache it, it was compiled. sccache does not tell.
    return "compile" if cache == "sccache" else "miss"


def _step(step: Step, y: int, scale: float, cache: str) -> str:
    x, width = LEFT + step.start * scale, max(1.0, step.seconds * scale - 0.5)
    outline = f" {_CRITICAL}" if step.critical else ""
    said = [step.source or step.output, duration(step.seconds)]
    said += [text for text in (step.outcome and f"cache: {step.outcome}", step.critical and "critical path") if text]
    said += [f"  {phase.name} {phase.arch} {phase.milliseconds:.0f} ms" for phase in step.phases]
    fill = f'fill="{COLOURS[_paint(step, cache)]}"{outline}'
    box = f'<rect x="{x:.1f}" y="{y + 2}" width="{width:.1f}" height="{LANE - 4}" rx="2" {fill}/>'
    room = int((width - 8) / 6)
    label = ""
    if room >= 4:
        text = step.title if len(step.title) <= room else f"{step.title[: room - 1]}…"
        label = f'<text x="{x + 4:.1f}" y="{y + 15}" fill="#14161a" {_TEXT}>{escape(text)}</text>'
    return f"<g><title>{escape(chr(10).join(said))}</title>{box}{label}</g>"


def duration(value: float) -> str:
    """Return seconds for people, with more digits the fewer there are."""
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s" if value < 60 else f"{_time(value)} min"


def _jobs(timeline: Timeline, top: int, total: float) -> list[str]:
    """Draw how many commands ran at each time."""
    width = WIDTH - LEFT - RIGHT
    values = parallelism(timeline.steps, total, width // 4)
    most = max([timeline.jobs, *values, 1])
    base = top + GRAPH
    points = " ".join(f"{LEFT + index * 4:.0f},{base - value / most * GRAPH:.1f}" for index, value in enumerate(values))
    level = base - timeline.jobs / most * GRAPH
    mean = timeline.work / total
    return [
        f'<polygon points="{LEFT},{base} {points} {LEFT + (len(values) - 1) * 4},{base}" fill="#cfd6e0" class="area"/>',
        f'<path d="M{LEFT},{level:.1f}H{WIDTH - RIGHT}" stroke="#555" class="level" stroke-dasharray="3 3"/>',
        f'<text x="{LEFT - 8}" y="{level + 4:.1f}" text-anchor="end" {_SOFT}>{timeline.jobs} jobs</text>',
        f'<line x1="{LEFT}" y1="{base}" x2="{WIDTH - RIGHT}" y2="{base}" {_LEVEL}/>',
        f'<text x="{LEFT}" y="{base + 16}" {_SOFT}>commands at work: {mean:.1f} on average</text>',
    ]


def history_svg(builds: Sequence[Build]) -> str:
    """Return the last builds as bars: how long each took, and above it the share that came from the cache."""
    shown = list(builds)[-HISTORY:]
    said = "the last build" if len(shown) == 1 else f"the last {len(shown)} builds"
    width, top = 14, 22
    height = top + BAR_HEIGHT + 24
    most = max([build.seconds for build in shown], default=0) or 1.0
    total = LEFT + len(shown) * (width + 4) + RIGHT
    total = max(total, 640)
    parts = [
        f'{_SVG} viewBox="0 0 {total} {height}" width="{total}" height="{height}">',
        f'<text x="{LEFT - 8}" y="{top + 8}" text-anchor="end" {_SOFT}>{duration(most)}</text>',
        f'<line x1="{LEFT}" y1="{top + BAR_HEIGHT}" x2="{total - RIGHT}" y2="{top + BAR_HEIGHT}" {_LEVEL}/>',
    ]
    for index, build in enumerate(shown):
        x = LEFT + index * (width + 4)
        size = max(1.0, build.seconds / most * BAR_HEIGHT)
        asked = (build.cached or 0) + (build.missed or 0)
        share = (build.cached or 0) / asked if asked else 0.0
        y = top + BAR_HEIGHT - size
        colour = CRITICAL if build.code else COLOURS["miss"]
        parts.append(
            f"<g><title>{escape(_said(build))}</title>"
            f'<rect x="{x}" y="{y:.1f}" width="{width}" height="{size:.1f}" fill="{colour}"/>'
            f'<rect x="{x}" y="{y:.1f}" width="{width}" height="{size * share:.1f}" fill="{COLOURS["hit"]}"/></g>'
        )
    parts.append(
        f'<text x="{LEFT}" y="{height - 6}" {_SOFT}>{said}; '
        f"blue: the share that came from the cache; red: failed</text>"
    )
    return "\n".join([*parts, "</svg>", ""])


def _said(build: Build) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(build.begun))
    rate = "" if build.cached is None else f", {build.cached} of {build.cached + (build.missed or 0)} from the cache"
    failed = f", exit code {build.code}" if build.code else ""
    return f"{when}: {duration(build.seconds)}, {build.compiled} objects{rate}{failed}"


def hits_svg(builds: Sequence[Build]) -> str:
    """Return the share of each build's objects that came from the compiler cache, where there was one to ask."""
    shown = [build for build in builds if (build.cached or 0) + (build.missed or 0)][-HISTORY:]
    width, top = 14, 14
    base = top + BAR_HEIGHT
    total = max(LEFT + len(shown) * (width + 4) + RIGHT, 640)
    parts = [f'{_SVG} viewBox="0 0 {total} {base + 28}" width="{total}" height="{base + 28}">']
    for share in (0.0, 0.5, 1.0):
        y = base - share * BAR_HEIGHT
        parts += [
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{total - RIGHT}" y2="{y:.1f}" {_RULE}/>',
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end" {_SOFT}>{share:.0%}</text>',
        ]
    for index, build in enumerate(shown):
        size = (build.cached or 0) / ((build.cached or 0) + (build.missed or 0)) * BAR_HEIGHT
        parts.append(
            f"<g><title>{escape(_said(build))}</title>"
            f'<rect x="{LEFT + index * (width + 4)}" y="{top}" width="{width}" height="{BAR_HEIGHT}" fill-opacity="0"/>'
            f'<rect x="{LEFT + index * (width + 4)}" y="{base - size:.1f}" width="{width}" height="{size:.1f}" '
            f'fill="{COLOURS["hit"]}"/></g>'
        )
    said = f"{len(shown)} builds, the newest on the right: the share of the objects that came from the cache"
    parts.append(f'<text x="{LEFT}" y="{base + 20}" {_SOFT}>{said}</text>')
    return "\n".join([*parts, "</svg>", ""])
