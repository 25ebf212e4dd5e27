"""What is asked of a build: settings and contract, and what the command line says beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from devbox.builds.request import BuildRequest, Mode
    from devbox.cli.application import Application
    from devbox.config.table import Flags
    from devbox.container.target import Target


def request(run: Application, inside: Target, flags: Flags) -> BuildRequest:
    """Return what settings, contract and `flags` (settings by name) say of a build, for a command to add to."""
    from devbox.builds.caches import choose
    from devbox.builds.choose import architectures, framework_of
    from devbox.builds.request import BuildRequest

    settings = run.settings(inside.workspace, flags)
    framework = framework_of(inside, settings, run.console)
    return BuildRequest(
        framework=framework,
        build_type=settings.build_type,
        arch=architectures(inside, framework, settings, run.engine),
        jobs=settings.jobs,
        cache=choose.compiler_cache(settings, run.environ),
        client=_client(),
    )


def _client() -> str:
    """Return what somebody who waits for this build is told."""
    import os

    from devbox.facts.host import user

    return f"devbox build of {user().name} on {os.uname().nodename}, process {os.getpid()}"


def define_of(text: str) -> tuple[str, str]:
    """Return the name and value of a `-D NAME=VALUE`. Raises UsageError."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"-D {text} has no value", hint=f"-D {name or 'NAME'}=VALUE")
    return name, value


def options_of(texts: Sequence[str], *, benchmarks: bool, cpp_only: bool) -> tuple[tuple[str, str | None], ...]:
    """Return the options of the framework's build script as (name, value), None for one without a value."""
    pairs = (text.partition("=") for text in texts)
    given = tuple((name, value if equals else None) for name, equals, value in pairs)
    own = (("benchmarks", benchmarks), ("cpp-only", cpp_only))
    return (*((name, None) for name, chosen in own if chosen), *given)


def mode_of(*, incremental: bool, clean: bool, reconfigure: bool) -> Mode:
    """Return how the tree is built. Raises UsageError where more than one way was named."""
    if incremental + clean + reconfigure > 1:
        raise UsageError("--incremental, --clean and --reconfigure exclude each other", hint="devbox build --help")
    return "clean" if clean else "reconfigure" if reconfigure else "incremental"


def seed_of(choice: str, inside: Path) -> str:
    """Return what a new tree starts from: `auto`, `none` or a workspace's absolute path. Raises UsageError."""
    if choice in {"auto", "none"}:
        return choice
    from devbox.builds.seed import named

    return named(choice, inside)
