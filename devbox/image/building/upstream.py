"""A framework's own Dockerfile, built with its own arguments: what its scripts do, without them."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from typing import TYPE_CHECKING, NamedTuple

from devbox.agent import placeholders
from devbox.agent.parsers import options
from devbox.agent.placeholders import fill
from devbox.engine import process
from devbox.errors import ImageError, UsageError, last_lines
from devbox.facts.stated import text_of
from devbox.trust.content import of_files
from devbox.trust.reach import Reach

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from devbox.frameworks.model import Framework, Pairs, Upstream
    from devbox.reporter import Reporter

_PLATFORM = "--platform"
# What a module is called where it is installed from, if not by its own name.
_PACKAGES = {"yaml": "pyyaml"}
# The variables of sccache for what an argument of a Dockerfile may be told.
_STORAGE = {
    "bucket": "SCCACHE_BUCKET",
    "region": "SCCACHE_REGION",
    "endpoint": "SCCACHE_ENDPOINT",
    "prefix": "SCCACHE_S3_KEY_PREFIX",
}


class Shared(NamedTuple):
    """What a build is told of a shared compiler cache: arguments, secrets by variable and by file, and what to say."""

    args: Pairs
    secrets: Pairs
    files: Pairs
    notes: tuple[str, ...]


def rules(framework: Framework) -> Upstream:
    """Return how `framework` builds by itself. Raises UsageError where devbox does not know."""
    if framework.upstream is None:
        raise UsageError(
            f"{framework.name} ({framework.variant}) has no Dockerfile of its own that devbox knows",
            hint="leave --upstream out",
        )
    return framework.upstream


def renders(upstream: Upstream, checkout: Path) -> bool:
    """Return whether a command of the checkout writes its Dockerfile."""
    return bool(upstream.render) and (checkout / upstream.render[0]).is_file()


def command(upstream: Upstream, known: Mapping[str, str], checkout: Path, *, efa: bool = False) -> list[str]:
    """Return the command of the checkout that writes the Dockerfile, [] where none has to, or the checkout has none.

    A Python script runs by the person's Python, which has what it imports: devbox's own need not. It gets the options
    that its own parser has: UsageError for one that it lacks. With `efa` it gets the words for that; UsageError where
    there are none.
    """
    if efa and not upstream.efa:
        raise UsageError("its own Dockerfile has no EFA that can be asked for", hint="leave --upstream or --efa out")
    if not renders(upstream, checkout):
        return []
    script, *words = upstream.render
    there = {name: one for one in options(text_of(checkout, script) or "") for name in one.names}
    found: list[str] = []
    while words:
        word, *words = words
        if not word.startswith("--"):
            found.append(fill(word, known))
            continue
        value = words.pop(0) if words and not words[0].startswith("--") else ""
        if placeholders.names(value) and not fill(value, known):
            continue
        if there and word not in there:
            raise UsageError(f"{script} of this checkout has no {word}", hint=f"it has {', '.join(there)}")
        found.append(word)
        if value:
            # Before 2026-04 it took an architecture alone, and anything else for arm64.
            alone = word == _PLATFORM and bool(there) and "/" not in (there[word].default or "/")
            found.append(_architecture(fill(value, known)) if alone else fill(value, known))
    found = [script, *found, *(upstream.efa if efa else ())]
    return [shutil.which("python3") or sys.executable, *found] if script.endswith(".py") else found


def _architecture(platform: str) -> str:
    if "," in platform:
        raise UsageError(f"this checkout renders for one platform, not for {platform}", hint="--target-platform ONE")
    return platform.rpartition("/")[2]


def cached(upstream: Upstream, storage: Mapping[str, str], environ: Mapping[str, str]) -> Shared:
    """Return what a build of the framework's own Dockerfile is told of the `storage` that compilers share.

    `storage` are the variables by which sccache reaches it; secrets come from `environ` alone. Raises UsageError where
    the Dockerfile has no place for one of them.
    """
    rules = upstream.sccache
    if rules is None:
        raise UsageError("its own Dockerfile is told of no shared cache", hint="leave --upstream or --sccache out")
    known = {name: storage.get(variable, "") for name, variable in _STORAGE.items()}
    taken = {name for _, text in rules.args for name in placeholders.names(text)}
    lacking = sorted(name for name, value in known.items() if value and name not in taken)
    if not known["bucket"] or lacking:
        what = f"it takes no {lacking[0]}" if lacking else "it takes a bucket of S3 alone"
        raise UsageError(
            f"its own Dockerfile cannot reach that storage: {what}", hint="--sccache s3://BUCKET?region=REGION"
        )
    variables = dict((*rules.secrets, *rules.secret_files))
    unset = sorted({name for name in variables.values() if not environ.get(name)})
    secrets = () if unset else rules.secrets
    files = () if unset else tuple((name, environ[variable]) for name, variable in rules.secret_files)
    notes = (f"its steps log in to the shared cache by {' and '.join(unset)} of the environment, which is not set",)
    args = tuple((name, value) for name, text in rules.args if (value := fill(text, known)))
    return Shared(args, secrets, files, notes if unset else ())


def dockerfile(upstream: Upstream, checkout: Path) -> Path:
    """Return the first of the framework's Dockerfiles that the checkout has, or what stands in for it.

    Raises UsageError where it has none, or none that takes what it must.
    """
    for name in upstream.dockerfile:
        found = checkout / name
        if not found.is_file():
            continue
        text = text_of(checkout, name) or ""
        for argument, other in upstream.without:
            if not re.search(rf"^\s*ARG\b.*\b{re.escape(argument)}\b", text, re.MULTILINE):
                if (checkout / other).is_file():
                    return checkout / other
                raise UsageError(
                    f"{name} of this checkout takes no {argument}, and there is no {other}",
                    hint="devbox image build   # without --upstream: devbox's own stages",
                )
        return found
    raise UsageError(
        f"{checkout} has none of its Dockerfiles: {', '.join(upstream.dockerfile)}",
        hint="devbox image build   # without --upstream: devbox's own stages",
    )


def foreseen(stage: str, arguments: Iterable[str]) -> str:
    """Return what stands, in a dry run, for a Dockerfile that is not rendered yet: `stage`, which takes `arguments`."""
    return "\n".join([f"FROM scratch AS {stage or 'last'}", *(f"ARG {name}" for name in arguments), ""])


def reach(argv: list[str], upstream: Upstream, checkout: Path) -> Reach:
    """Return what the checkout's own command is, which may do anything on the host: it is asked for, with its bytes."""
    line = shlex.join(argv)
    said = f"runs on the host, to write its Dockerfile: {line}"
    return Reach("command", line, said, content=of_files(checkout, [upstream.render[0]]))


def render(argv: list[str], checkout: Path, reporter: Reporter) -> None:
    """Run the checkout's own command on the host. Raises ImageError where it fails."""
    line = shlex.join(argv)
    with reporter.step("Rendering the Dockerfile"):
        done = process.stream(argv, lambda text: reporter.output(text, prefix="render"), cwd=checkout)
        if not done.ok:
            lacking = re.search(r"No module named '(\w+)'", done.stderr)
            raise ImageError(
                f"the Dockerfile could not be rendered: {line} failed",
                hint=_installed(argv[0], lacking[1]) if lacking else f"cd {shlex.quote(str(checkout))} && {line}",
                detail=last_lines(done.stderr),
            )


def _installed(python: str, module: str) -> str:
    return f"{python} -m pip install {_PACKAGES.get(module, module)}"
