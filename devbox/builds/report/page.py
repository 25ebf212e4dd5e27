"""The report of a build as a page: one file that loads nothing, for light and dark, wide and narrow screens.

What it shows stands in it as text, escaped. Its one script only hides rows of a table, and its policy lets no other
run; without scripts, all rows are shown.
"""

from __future__ import annotations

import base64
import hashlib
import time
from html import escape
from typing import TYPE_CHECKING

from devbox.builds.report.picture import COLOURS, CRITICAL, duration, history_svg, hits_svg, svg
from devbox.builds.report.timeline import slower

if TYPE_CHECKING:
    from collections.abc import Sequence

    from devbox.builds.report.timeline import Build, Step, Timeline

SHOWN = 15


def html(timeline: Timeline | None, builds: Sequence[Build], *, title: str, place: str = "") -> str:
    """Return a page about the last build of a tree and those before it. `place` is what stands below its heading."""
    body = [f"<h1>{escape(title)}</h1>", f"<p class=soft>{escape(place)}</p>" if place else ""]
    if timeline is not None:
        body += [_summary(timeline), _wide(svg(timeline)), *_critical(timeline), *_compared(timeline)]
    if builds:
        body += ["<h2>History</h2>", _wide(history_svg(builds))]
        if any(build.cached for build in builds):
            body += ["<h2>From the compiler cache</h2>", _wide(hits_svg(builds))]
    if timeline is not None:
        body += ["<h2>Commands</h2>", _FILTER, _table(timeline.slowest(len(timeline.steps)), name="commands")]
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    return _PAGE.format(
        title=escape(title),
        body="\n".join(part for part in body if part),
        style=_STYLE,
        script=_SCRIPT,
        policy=f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'",
    )


def _wide(picture: str) -> str:
    return f"<div class=wide>\n{picture}</div>"


def _summary(timeline: Timeline) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(timeline.begun))
    compiled = [step for step in timeline.steps if step.kind == "compile"]
    hits = sum(step.outcome == "hit" for step in compiled)
    known = sum(step.outcome in {"hit", "miss"} for step in compiled)
    cached = f", {hits} of {known} from {escape(str(timeline.cache))}" if known else ""
    return (
        f"<p>{when}: {len(timeline.steps)} commands, {len(compiled)} objects{cached}, {duration(timeline.seconds)} "
        f"with {escape(str(timeline.jobs))} jobs; {duration(timeline.work)} of work.</p>"
    )


def _critical(timeline: Timeline) -> list[str]:
    path = timeline.critical_path()
    if not path:
        return []
    share = sum(step.seconds for step in path)
    said = (
        f"<h2>Critical path</h2><p>{len(path)} commands that wait for each other take {duration(share)} of "
        f"{duration(timeline.seconds)}: more jobs cannot make the build shorter than that.</p>"
    )
    return [said, _table(path)]


def _compared(timeline: Timeline) -> list[str]:
    known = [(step.seconds, step.before) for step in timeline.steps if step.before is not None]
    if not known:
        return []
    now, then = (sum(values) for values in zip(*known, strict=True))
    found = slower(timeline.steps)
    said = (
        f"<h2>Slower than before</h2><p>{len(known)} of these commands are known from an earlier build, with the same "
        f"answer of the cache: {duration(now)} now, {duration(then)} the last time. "
    )
    if not found:
        return [f"{said}None of them took notably longer.</p>"]
    more = f" The {SHOWN} that lost most:" if len(found) > SHOWN else ""
    took = "took" if len(found) == 1 else "of them took"
    return [f"{said}{len(found)} {took} notably longer.{more}</p>", _table(found[:SHOWN])]


def _table(steps: Sequence[Step], *, name: str = "") -> str:
    asked = any(step.outcome for step in steps)
    compared = any(step.before is not None for step in steps)
    rows = "\n".join(_row(step, asked=asked, compared=compared) for step in steps)
    head = f'<th class=n>took</th>{"<th class=n>before</th>" if compared else ""}<th class="n less">began at</th>'
    head += f"{'<th>cache</th>' if asked else ''}<th>command</th>"
    of = f' id="{name}"' if name else ""
    return f"<div class=rows{of}><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"


def _row(step: Step, *, asked: bool, compared: bool) -> str:
    kinds = [step.kind, *(["critical"] if step.critical else []), *(["slower"] if slower([step]) else [])]
    kinds += ["hit"] if step.outcome == "hit" else ["miss"] if step.kind == "compile" else []
    before = "" if step.before is None else duration(step.before)
    return (
        f'<tr class="{" ".join(kinds)}"><td class=n>{duration(step.seconds)}</td>'
        f"{f'<td class=n>{before}</td>' if compared else ''}"
        f'<td class="n less">{duration(step.start)}</td>'
        f"{f'<td>{escape(step.outcome)}</td>' if asked else ''}"
        f"<td><code>{escape(step.source or step.output)}</code></td></tr>"
    )


_FILTER = """\
<form id="filter" hidden>
<input type="search" placeholder="words of a name" aria-label="Filter by words">
<select aria-label="Which commands">
<option value="">all</option>
<option value="compile">compiles</option>
<option value="miss">compiles that the cache did not have</option>
<option value="hit">from the cache</option>
<option value="slower">slower than before</option>
<option value="critical">on the critical path</option>
<option value="link">links</option>
<option value="other">other</option>
</select>
<output></output>
</form>"""

_SCRIPT = """
const form = document.getElementById("filter"), rows = document.querySelectorAll("#commands tbody tr");
const names = Array.from(rows, row => row.textContent.toLowerCase());
function show() {
  const words = form.querySelector("input").value.toLowerCase().split(" ").filter(Boolean);
  const kind = form.querySelector("select").value;
  let shown = 0;
  rows.forEach((row, index) => {
    row.hidden = !(words.every(word => names[index].includes(word)) && (!kind || row.classList.contains(kind)));
    shown += !row.hidden;
  });
  form.querySelector("output").textContent = shown + " of " + rows.length;
}
if (form) {
  form.hidden = false;
  form.addEventListener("input", show);
  form.addEventListener("submit", event => event.preventDefault());
  show();
}
"""

_STYLE = f"""
:root {{ color-scheme: light dark; --bg: #fff; --text: #14161a; --soft: #555b66; --rule: #e4e6ea; --area: #cfd6e0;
  --level: #8a9099; --critical: {CRITICAL} }}
@media (prefers-color-scheme: dark) {{ :root {{ --bg: #14171c; --text: #e4e7ec; --soft: #a2abb8; --rule: #2d343e;
  --area: #3b4655; --level: #6b7686; --critical: #fff }} }}
* {{ box-sizing: border-box }}
body {{ font: 14px/1.5 system-ui, sans-serif; color: var(--text); background: var(--bg); margin: 2em auto;
  padding: 0 16px; max-width: 1232px; overflow-wrap: anywhere }}
h1 {{ font-size: 1.5em; margin-bottom: 0 }} h1 + p {{ margin-top: .2em }} h2 {{ font-size: 1.15em; margin-top: 2.2em }}
.soft {{ color: var(--soft) }}
.wide {{ overflow-x: auto }} .wide svg {{ display: block; max-width: 100%; height: auto; min-width: 720px }}
svg .bg {{ fill: var(--bg) }} svg .text {{ fill: var(--text) }} svg .soft {{ fill: var(--soft) }}
svg .rule {{ stroke: var(--rule) }} svg .area {{ fill: var(--area) }} svg .level {{ stroke: var(--level) }}
svg .critical {{ stroke: var(--critical) }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; padding: 2px 14px 2px 0; border-bottom: 1px solid var(--rule); vertical-align: top }}
th {{ color: var(--soft); font-weight: 600; white-space: nowrap }}
td:last-child, th:last-child {{ width: 99% }}
.n {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }}
tr.hit td:last-child {{ box-shadow: inset 3px 0 {COLOURS["hit"]} }}
tr.miss td:last-child {{ box-shadow: inset 3px 0 {COLOURS["miss"]} }}
td:last-child, th:last-child {{ padding-left: 10px }}
#commands {{ max-height: 80vh; overflow-y: auto }} #commands th {{ position: sticky; top: 0; background: var(--bg) }}
form {{ display: flex; flex-wrap: wrap; gap: 8px; align-items: center; margin: 0 0 .8em }}
form[hidden] {{ display: none }}
input, select {{ font: inherit; color: inherit; background: var(--bg); border: 1px solid var(--level);
  border-radius: 4px; padding: 4px 8px; max-width: 100% }}
input {{ flex: 1 1 240px }} output {{ color: var(--soft) }}
@media (max-width: 640px) {{ .less {{ display: none }} th, td {{ padding-right: 8px }} code {{ font-size: 12px }}
  body {{ margin-top: 1em }} }}
@media print {{ #commands {{ max-height: none }} form {{ display: none }} }}
"""

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
<script>{script}</script>
</body>
</html>
"""
