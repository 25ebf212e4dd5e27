"""A build's timeline in the Trace Event Format, which chrome://tracing and Perfetto show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devbox.builds.report.timeline import lanes

if TYPE_CHECKING:
    from devbox.builds.report.timeline import Step, Timeline

JSON = dict[str, Any]
PROCESS = 1
# The format's reserved colour names.
_COLOURS = {"hit": "good", "miss": "thread_state_running"}


def chrome(timeline: Timeline) -> JSON:
    """Return the trace: a complete event (`X`) for each command, on a thread for each job, with nvcc's phases inside.

    Times are microseconds since the build program began, as the format wants them. nvcc says how long each phase took,
    not when it began: they are laid out one after the other, shortened where they ran at the same time.
    """
    events: list[JSON] = [
        {"ph": "M", "pid": PROCESS, "name": "process_name", "args": {"name": f"build of {timeline.key}"}}
    ]
    for lane, steps in enumerate(lanes(timeline.steps), start=1):
        name = {"ph": "M", "pid": PROCESS, "tid": lane, "name": "thread_name", "args": {"name": f"job {lane}"}}
        events.append(name)
        for step in steps:
            events.append(_event(step, lane))
            events += _phases(step, lane)
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {"key": timeline.key, "jobs": timeline.jobs, "cache": timeline.cache, "begun": timeline.begun},
    }


def _event(step: Step, lane: int) -> JSON:
    categories = [
        step.kind,
        *(["critical"] if step.critical else []),
        *(["cache hit"] if step.outcome == "hit" else []),
    ]
    args = {"output": step.output, "source": step.source, "cache": step.outcome, "critical path": step.critical}
    event: JSON = {
        "ph": "X",
        "pid": PROCESS,
        "tid": lane,
        "name": step.title,
        "cat": ",".join(categories),
        "ts": _micro(step.start),
        "dur": _micro(step.end) - _micro(step.start),
        "args": {name: value for name, value in args.items() if value},
    }
    if step.outcome in _COLOURS:
        event["cname"] = _COLOURS[step.outcome]
    return event


def _phases(step: Step, lane: int) -> list[JSON]:
    total = sum(phase.milliseconds for phase in step.phases) / 1000
    scale = min(1.0, step.seconds / total) if total > 0 else 0.0
    events = []
    at = step.start
    for phase in step.phases:
        until = min(step.end, at + phase.milliseconds / 1000 * scale)
        events.append(
            {
                "ph": "X",
                "pid": PROCESS,
                "tid": lane,
                "name": f"{phase.name} {phase.arch}".strip(),
                "cat": "nvcc",
                "ts": _micro(at),
                "dur": _micro(until) - _micro(at),
                "args": {"milliseconds": phase.milliseconds},
            }
        )
        at = until
    return events


def _micro(value: float) -> int:
    return round(value * 1_000_000)
