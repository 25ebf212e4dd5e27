"""Building an image, and saying which step of it failed."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from devbox.errors import EngineError, ImageError
from devbox.image.buildkit.inputs import LABEL, inputs_digest, is_made_from
from devbox.image.buildkit.plain import PlainLog
from devbox.masking import passwords
from devbox.paths import state_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from devbox.engine.docker import Engine
    from devbox.engine.spec import ImageBuild
    from devbox.reporter import Reporter

__all__ = ["build", "current", "inputs_digest"]

KEPT_LOGS = 20
_BOOTING = "[internal] booting buildkit"
_FRONTEND = "resolve image config for docker-image://"
_NO_BUILDER = re.compile(r'no builder "([^"]+)" found')
# What uv and pip say of an index that does not answer. The stages that install packages source this file.
_NO_INDEX = re.compile(r"Failed to fetch:\s+`?(\S+?)`?$|Failed to establish a new connection|Name or service not known")
_STAGE = "/run/devbox/lib.sh"
# What pip, curl, git, apt and Go say where a site opens TLS, and its authority is not known in the build.
_UNTRUSTED = re.compile(r"CERTIFICATE_VERIFY_FAILED|self.signed certificate|local issuer certificate|unknown authority")
# A step that BuildKit took over from the same build of a client that was killed may find that one's session gone, which
# had its secrets. Asked again, it has ours.
_FORSAKEN = "no active session"
_AUTHORITIES = "devbox doctor network   # which authorities a build gets: the setting ca_bundle names them"
_OWN_BUILDER = "docker buildx use default   # the engine's own; for one command: BUILDX_BUILDER=default"


def current(engine: Engine, reference: str, digest: str) -> str | None:
    """Return the id of the local image `reference` if it was built from the inputs `digest`, else None."""
    image = engine.image(reference)
    return str(image["Id"]) if image is not None and is_made_from(image, digest) else None


def build(
    engine: Engine,
    build: ImageBuild,
    reporter: Reporter,
    *,
    digest: str,
    environ: Mapping[str, str] | None = None,
) -> str:
    """Build an image, label it with the digest of its inputs, and return its id. `build` needs a tag.

    `environ` holds values that must not be in an argv: those of arguments that are passed by name. BuildKit's lines go
    to the reporter and into a log that is kept, both masked. Raises ImageError with the failed step's last lines.
    """
    labelled = replace(build, labels=(*build.labels, (LABEL, digest)), options=("--progress=plain", *build.options))
    log = log_path(digest)
    log.unlink(missing_ok=True)
    run_buildx(engine, engine.build_args(labelled), reporter, log=log, environ=environ)
    image = engine.image(build.tags[0])
    if image is None:
        raise ImageError(
            f"the image {build.tags[0]} was built, but the engine does not have it",
            hint="docker buildx use default   # a builder of its own does not always load what it builds",
        )
    return str(image["Id"])


def run_buildx(
    engine: Engine,
    args: Sequence[str],
    reporter: Reporter,
    *,
    log: Path,
    environ: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> PlainLog:
    """Run `docker buildx` with plain progress, pass its lines on, add them to `log`, and return its steps.

    `environ` are variables that docker gets beside its own; passwords in them are masked. Raises ImageError with the
    failed step's last lines.
    """
    reporter.mask.hide(passwords((environ or {}).values()))

    def once() -> tuple[PlainLog, bool]:
        steps = PlainLog()
        with log.open("a", encoding="utf-8") as stream:

            def take(line: str) -> None:
                line = reporter.mask(line)
                stream.write(f"{line}\n")
                steps.feed(line)
                if on_line is not None:
                    on_line(line)
                if line:
                    reporter.output(line, prefix="build")

            return steps, engine.stream(args, take, secrets=environ).ok

    steps, well = once()
    if not well and _FORSAKEN in (steps.error or ""):
        steps, well = once()
    if not well:
        raise failure(steps, log)
    return steps


def failure(steps: PlainLog, log: Path) -> EngineError:
    """Return the error for a build that failed: its step, the step's last lines, and where the whole log is."""
    whole = f"less {shlex.quote(str(log))}   # the whole log"
    step = steps.failed()
    known = builder_failure(steps)
    if known is not None:
        return known
    if step is None:
        return ImageError(
            f"the image could not be built: {steps.error or 'docker buildx build said nothing'}", hint=whole
        )
    if step.base_image is not None and steps.apart is not None:
        return ImageError(
            f"the base image {step.base_image} cannot be pulled; the builder '{steps.apart}' sees none of the engine's",
            hint=f"--builder {steps.apart}   # hands it the engine's; or: {_OWN_BUILDER}",
            detail=step.error,
        )
    if step.base_image is not None:
        return ImageError(
            f"the base image {step.base_image} is neither on the engine nor can it be pulled",
            hint="devbox image base   # makes one from packages; or choose another with --base-image",
            detail=step.error,
        )
    detail = "\n".join([*step.lines, step.reason])
    what, hint = f"{_short(step.title)} failed", whole
    unreachable = next((found for line in step.lines if (found := _NO_INDEX.search(line))), None)
    if _UNTRUSTED.search(detail):
        what, hint = f"{_short(step.title)} trusts nobody who signs for this network", _AUTHORITIES
    elif unreachable is not None and _STAGE in step.title:
        what = f"{unreachable[1] or 'the index of packages'} cannot be reached"
        hint = f"--find-links FOLDER   # wheels that were had otherwise; the log: {shlex.quote(str(log))}"
    return ImageError(f"the image could not be built: {what}", hint=hint, detail=detail)


def builder_failure(steps: PlainLog) -> EngineError | None:
    """Return the error for a build that could not begin: for want of its builder, or of what reads the Dockerfile."""
    step = steps.failed()
    absent = _NO_BUILDER.search(steps.error or "")
    if absent:
        return ImageError(
            f"docker buildx has no builder '{absent[1]}'", hint=f"docker buildx ls   # shows them; {_OWN_BUILDER}"
        )
    if step is not None and step.title == _BOOTING:
        return ImageError(
            f"the builder '{steps.apart}' of docker buildx cannot be started", hint=_OWN_BUILDER, detail=step.error
        )
    if step is not None and step.title.startswith(_FRONTEND):
        image = step.title.removeprefix(_FRONTEND)
        return ImageError(
            f"the image {image}, which the Dockerfile's line '# syntax=' asks for, cannot be pulled",
            hint="remove the line: the engine reads Dockerfiles itself; or name a mirror's image in it",
            detail=step.error,
        )
    return None


def _short(title: str) -> str:
    """Return a step's title without the mounts and flags of its RUN line."""
    place, bracket, command = title.partition("] ")
    words = [word for word in command.split() if not word.startswith("--")]
    text = f"{place}{bracket}{' '.join(words)}"
    return text if len(text) <= 100 else f"{text[:99]}…"


def log_path(digest: str) -> Path:
    """Return where the log of the build with this digest goes. The folder is made, and logs of older builds removed."""
    folder = state_dir() / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    older = sorted(folder.glob("image-*.log"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in older[KEPT_LOGS - 1 :]:
        path.unlink(missing_ok=True)
    return folder / f"image-{digest.removeprefix('sha256:')[:12]}.log"
