"""What a framework is, as frozen values. The loader fills them from TOML; nothing else makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Detect:
    """How a checkout of the framework is known. Paths are relative to the checkout's top.

    `all` must exist, none of `none` may, at least one of `any` must if there are some, and each of `text` is (file,
    substring). `weight` decides between frameworks that all match: the highest wins, a tie is doubt.
    """

    all: tuple[str, ...] = ()
    any: tuple[str, ...] = ()
    none: tuple[str, ...] = ()
    text: Pairs = ()
    weight: int = 10


@dataclass(frozen=True, slots=True)
class CheckoutContext:
    """A narrow part of the checkout that a stage reads, as a build context (`RUN --mount=type=bind,from=NAME`)."""

    name: str
    path: str


@dataclass(frozen=True, slots=True)
class BuildRules:
    """How the framework's C++/CUDA part is built inside the container.

    `defines` and `env` values may hold the placeholders {source} {build} {python} {type} {arch} {threads} {jobs}
    {prefix}. `memory_per_job` is in MiB. `arch_form` is the notation of the framework's build system: "cmake"
    (`90-real`) or "torch" (`9.0`).
    """

    driver: Literal["cmake"] = "cmake"
    source: str = "."
    generator: str = "Ninja"
    build_type: str = "Release"
    build_types: tuple[str, ...] = ("Release", "RelWithDebInfo", "Debug", "MinSizeRel")
    arch_form: Literal["cmake", "torch"] = "cmake"
    arch_define: str | None = "CMAKE_CUDA_ARCHITECTURES"
    arch_env: str | None = None
    nvcc_threads: int = 1
    memory_per_job: int = 2048
    defines: Pairs = ()
    env: Pairs = ()
    install: bool = False
    install_prefix: str | None = None
    test: tuple[str, ...] = ("ctest", "--test-dir", "{build}", "--output-on-failure")


@dataclass(frozen=True, slots=True)
class Framework:
    """A framework in one of its variants, complete: everything that differs between trees is in here.

    `stages` are names of files in dockerfiles/, in order; the last but one (`user` comes last) is what a dev
    container runs. `base_image` is a registry reference; `package_base` names the base that is made from packages
    where no registry answers ("cuda" or "cpu"). `default_arch` is a compute capability such as "9.0", used where
    neither a GPU nor `--arch` says one. `args` are build arguments of the Dockerfile. `caches` are names below
    /cache. `settings` are VS Code's. `services` run beside the dev container where it is one of several.
    """

    name: str
    variant: str
    title: str
    variants: tuple[str, ...]
    source: str
    workspace_path: str
    base_image: str
    package_base: Literal["cuda", "cpu"]
    cuda: str | None
    default_arch: str | None
    stages: tuple[str, ...]
    detect: Detect
    build: BuildRules
    contexts: tuple[CheckoutContext, ...] = ()
    args: Pairs = ()
    env: Pairs = ()
    caches: tuple[str, ...] = ("ccache",)
    ports: tuple[int, ...] = ()
    gpu: bool = True
    extensions: tuple[str, ...] = ()
    settings: Pairs = ()
    services: tuple[str, ...] = ()
    post_create: str | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """A service of a compose file; the host name under which the dev container reaches it is its name.

    `volume` is the folder in it that outlives it, `health` a `test` as compose takes it, and `env` what the dev
    container is told of it; `environment` is its own.
    """

    name: str
    image: str
    command: tuple[str, ...] = ()
    volume: str | None = None
    health: tuple[str, ...] = ()
    env: Pairs = ()
    environment: Pairs = ()
