"""What a build is asked to do."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Literal

from devbox.builds.caches.choose import CompilerCache
from devbox.values import dataclass

if TYPE_CHECKING:
    from devbox.frameworks.model import Framework, Pairs

Mode = Literal["incremental", "clean", "reconfigure"]


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """One `devbox build`.

    `arch` is in the framework's own notation (`90-real` or `9.0`), None for a build without architectures. `args` go to
    the build program as they are. `jobs` of None means as many as CPUs and memory allow. `heal` of False sets no file
    times, `trace` asks for a timeline with nvcc's phases.
    `seed` says what a new tree starts from: `auto`, `none`, or the absolute path of another workspace. `watch` asks
    for the files whose times were set. `client` is what a second build says that it waits for. `preset` is one of
    CMake's, and `chosen` which of "type" and "arch" come before it, since the user named them. `options` are those of
    the framework's own build script, with None for one that takes no value.
    """

    framework: Framework
    build_type: str | None = None
    arch: str | None = None
    jobs: int | None = None
    targets: tuple[str, ...] = ()
    defines: Pairs = ()
    options: tuple[tuple[str, str | None], ...] = ()
    preset: str | None = None
    chosen: frozenset[str] = frozenset()
    args: tuple[str, ...] = ()
    mode: Mode = "incremental"
    heal: bool = True
    cache: CompilerCache = field(default_factory=CompilerCache)
    trace: bool = False
    seed: str = "auto"
    watch: bool = False
    client: str = "devbox build"
