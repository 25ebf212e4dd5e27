"""What a framework's values must be beyond their types: names, ranges, dates and placeholders that mean something."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from devbox import units
from devbox.agent.placeholders import BUILD
from devbox.agent.placeholders import names as placeholders
from devbox.errors import UsageError
from devbox.frameworks import arch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from devbox.frameworks.model import Framework, Pairs, PythonRules, Task, Upstream

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STAGE = re.compile(r"[a-z][a-z0-9._-]*")
_PLAIN_PATH = re.compile(r"(/[\w.@+-]+)+", re.ASCII)
_DATE = re.compile(r"20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")
# What stands for a value, by where it may stand; see the dataclasses in `model`.
UPSTREAM = frozenset({"arch", "cuda", "python", "jobs", "threads", "version", "commit"})
RENDER = UPSTREAM | {"variant", "stage", "machine", "platform"}
SHARED = frozenset({"bucket", "region", "endpoint", "prefix"})
PRECOMPILED = BUILD | {"precompiled"}
PREBUILT = frozenset({"version", "tag", "commit", "short", "merge_base", "machine", "key"})


def problems(framework: Framework) -> Iterator[tuple[str, str]]:
    """Yield the dotted key and what is wrong with it ("must be …"), for each value that makes no sense."""
    yield from _image(framework)
    yield from _build(framework)
    yield from _elsewhere(framework)
    for number, task in enumerate(framework.tasks):
        yield from _task(task, f"tasks[{number}]")
    yield from _pairs(framework)


def _image(framework: Framework) -> Iterator[tuple[str, str]]:
    if not framework.stages:
        yield "stages", "must name at least one stage"
    for key, names in (("stages", framework.stages), ("image_stages", framework.image_stages)):
        for number, name in enumerate(names):
            if not _STAGE.fullmatch(name):
                yield f"{key}[{number}]", f"must be the name of a stage, not '{name}'"
    # It stands in a mount, which has words of its own between commas.
    if not _PLAIN_PATH.fullmatch(framework.workspace_path):
        yield "workspace_path", "must be an absolute path in the container, of letters, digits and ._@+-"
    for number, name in enumerate(framework.caches):
        if not _STAGE.fullmatch(name):
            yield f"caches[{number}]", f"must be a plain name, not '{name}'"
    if framework.default_arch is not None:
        try:
            arch.parse(framework.default_arch)
        except UsageError as error:
            yield "default_arch", f"must be a compute capability: {error.message}"


def _build(framework: Framework) -> Iterator[tuple[str, str]]:
    rules = framework.build
    if rules.build_type not in rules.build_types:
        yield "build.build_type", f"must be one of {', '.join(rules.build_types)}"
    for key, number in (("nvcc_threads", rules.nvcc_threads), ("memory_per_job", rules.memory_per_job)):
        if number < 1:
            yield f"build.{key}", "must be 1 or more"
    yield from _inside("build.source", rules.source)
    for name, rule in rules.arch_switches:
        try:
            arch.rule_of(rule)
        except UsageError as error:
            yield f"build.arch_switches.{name}", f"must be a rule: {error.message}, {error.hint}"
    for number, step in enumerate(rules.steps):
        yield from _placeholders(f"build.steps[{number}].command", step.command, BUILD)
        yield from _inside(f"build.steps[{number}].folder", step.folder)
    yield from _placeholders("build.test", rules.test, BUILD)
    yield from _placeholders("build.test_junit", rules.test_junit, frozenset({"file"}))
    yield from _placeholders("build.install_prefix", (rules.install_prefix or "",), BUILD)
    yield from _placeholders("build.defines", (value for _, value in rules.defines), BUILD)
    yield from _placeholders("build.env", (value for _, value in rules.env), BUILD)


def _elsewhere(framework: Framework) -> Iterator[tuple[str, str]]:
    for key, ports in (("ports", framework.ports), ("run.ports", framework.run.ports)):
        if any(not 0 < port < 1 << 16 for port in ports):
            yield key, "must be port numbers, 1 to 65535"
    if framework.run.shm is not None and (units.size(framework.run.shm) is None or framework.run.shm.isdigit()):
        yield "run.shm", "must be a size such as 16g"
    for number, part in enumerate(framework.contexts):
        yield from _inside(f"contexts[{number}].path", (part.path,))
        if not _STAGE.fullmatch(part.name):
            yield f"contexts[{number}].name", f"must be the name of a stage, not '{part.name}'"
    yield from _stated(framework)
    for number, one in enumerate(framework.prebuilt):
        yield from _placeholders(f"prebuilt[{number}].reference", (one.reference,), PREBUILT)
        yield from _inside(f"prebuilt[{number}].file", one.file)
        if ("{key}" in one.reference) != (one.key is not None and bool(one.file)):
            yield f"prebuilt[{number}].reference", "must hold {key} where 'file' and 'key' say one, and only there"
    for number, row in enumerate(framework.compatibility):
        if not _DATE.fullmatch(row.date):
            yield f"compatibility[{number}].date", f"must be a day such as 2026-08-22, not '{row.date}'"
    if framework.python is not None:
        yield from _python(framework.python)


def _stated(framework: Framework) -> Iterator[tuple[str, str]]:
    """Check where a checkout states something, and what is taken where it does not."""
    if framework.version is not None:
        yield from _inside("version.file", framework.version.file)
    if framework.catalog is not None:
        yield from _inside("catalog.file", (framework.catalog.file,))
    for number, pin in enumerate(framework.pins):
        yield from _inside(f"pins[{number}].file", pin.file)
        if not _VARIABLE.fullmatch(pin.arg):
            yield f"pins[{number}].arg", "must be the name of a build argument"
    if framework.upstream is not None:
        yield from _upstream(framework.upstream)


def _upstream(upstream: Upstream) -> Iterator[tuple[str, str]]:
    yield from _inside("upstream.dockerfile", upstream.dockerfile)
    yield from _inside("upstream.without", (file for _, file in upstream.without))
    yield from _placeholders("upstream.args", (value for _, value in upstream.args), UPSTREAM)
    if upstream.make is not None:
        yield from _inside("upstream.make.file", upstream.make.file)
        yield from _placeholders("upstream.make.given", (value for _, value in upstream.make.given), RENDER)
    if upstream.date and not _DATE.fullmatch(upstream.date):
        yield "upstream.date", f"must be a day such as 2026-08-22, not '{upstream.date}'"
    known = RENDER | dict(upstream.values).keys()
    yield from _placeholders("upstream.render", (*upstream.render, *upstream.efa), known)
    if upstream.sccache is not None:
        yield from _placeholders("upstream.sccache.args", (value for _, value in upstream.sccache.args), SHARED)


def _python(rules: PythonRules) -> Iterator[tuple[str, str]]:
    yield from _inside("python.project", rules.project)
    yield from _inside("python.native", rules.native)
    for key, pairs, known in (
        ("env", rules.env, BUILD | {"empty"}),
        ("wheel_env", rules.wheel_env, BUILD | {"empty"}),
        ("precompiled", rules.precompiled, PRECOMPILED),
        ("precompiled_version", rules.precompiled_version, PRECOMPILED),
        ("precompiled_location", rules.precompiled_location, PRECOMPILED),
    ):
        yield from _placeholders(f"python.{key}", (value for _, value in pairs), known)


def _task(task: Task, at: str) -> Iterator[tuple[str, str]]:
    names = [option.name for option in task.options]
    if len(set(names)) < len(names):
        yield f"{at}.options", "must have a name each"
    for number, option in enumerate(task.options):
        key = f"{at}.options[{number}]"
        if bool(option.choices) != (option.kind == "choice"):
            yield f"{key}.choices", "must be there for the kind 'choice', and only there"
        elif option.default and option.kind == "choice" and option.default not in option.choices:
            yield f"{key}.default", f"must be one of {', '.join(option.choices)}"
        if option.default and option.kind == "number" and not option.default.isdecimal():
            yield f"{key}.default", f"must be a number, not '{option.default}'"
    known = frozenset(names) | {"gpu"}
    yield from _placeholders(f"{at}.command", task.command, known | {"options"})
    yield from _placeholders(f"{at}.mounts", task.mounts, known)
    yield from _placeholders(f"{at}.env", (value for _, value in task.env), known)
    if task.ready is not None and not task.ports:
        yield f"{at}.ports", "must name the port that 'ready' is asked on"


def _pairs(framework: Framework) -> Iterator[tuple[str, str]]:
    """Check the names of variables wherever a table of them stands."""
    tables: dict[str, Pairs] = {
        "env": framework.env,
        "args": framework.args,
        "build.env": framework.build.env,
        "run.env": framework.run.env,
    }
    if framework.python is not None:
        tables |= {"python.env": framework.python.env, "python.precompiled": framework.python.precompiled}
    for key, pairs in tables.items():
        for name, _ in pairs:
            if not _VARIABLE.fullmatch(name):
                yield f"{key}.{name}", "must be the name of a variable"


def _placeholders(key: str, values: Iterable[str], known: frozenset[str]) -> Iterator[tuple[str, str]]:
    for value in values:
        for name in placeholders(value):
            if name not in known:
                yield key, f"must not hold {{{name}}}; it may hold {', '.join(f'{{{one}}}' for one in sorted(known))}"


def _inside(key: str, paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    for path in paths:
        if path.startswith("/") or ".." in path.split("/"):
            yield key, f"must be relative to the checkout's top and inside it, not '{path}'"
