"""What a framework is, as frozen values. The loader fills them from TOML; nothing else makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from devbox.errors import ContractError
from devbox.values import dataclass

if TYPE_CHECKING:
    from pathlib import Path

Pairs = tuple[tuple[str, str], ...]
# Paths in a checkout of which the first that exists counts, because upstream moved it. A single string is one of them.
Alternatives = Annotated[tuple[str, ...], "alternatives"]


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

    def folder(self, checkout: Path) -> Path | None:
        """Return the folder of a checkout, None where it has none.

        Raises ContractError where a link leads out of the checkout: a build would read what is there.
        """
        place = checkout / self.path
        if not place.is_dir():
            return None
        if not place.resolve().is_relative_to(checkout.resolve()):
            raise ContractError(f"{place} leads out of the checkout, to {place.resolve()}", hint=f"ls -ld {place}")
        return place


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a build that is a list of commands, such as cargo's, and the folder in which it runs.

    Its words may hold the placeholders of `BuildRules`. `folder` is relative to the source folder: the first of its
    alternatives that exists. `python` runs it in the Python environment on the build volume.
    """

    command: tuple[str, ...]
    folder: Alternatives = (".",)
    python: bool = False


@dataclass(frozen=True, slots=True)
class BuildRules:
    """How the framework's C++/CUDA part is built inside the container.

    `source` is the folder of what is configured, relative to the checkout: the first of its alternatives that exists.
    `defines` and `env` values may hold the placeholders {source} {build} {python} {type} {arch} {threads} {jobs}
    {prefix} and {profile}, the build type as cargo calls it. `memory_per_job` is in MiB. `arch_form` is the notation of
    the framework's build system: "cmake" (`90-real`) or "torch" (`9.0`). `arch_switches` are for one that takes no
    list: a CMake option is ON where one of the architectures satisfies its rule, such as `<9.0`, else OFF. `steps` are
    what the driver "cargo" runs.
    """

    driver: Literal["cmake", "build_wheel", "scikit", "cargo"] = "cmake"
    source: Alternatives = (".",)
    generator: str = "Ninja"
    build_type: str = "Release"
    build_types: tuple[str, ...] = ("Release", "RelWithDebInfo", "Debug", "MinSizeRel")
    arch_form: Literal["cmake", "torch"] = "cmake"
    arch_define: str | None = "CMAKE_CUDA_ARCHITECTURES"
    arch_env: str | None = None
    arch_switches: Pairs = ()
    nvcc_threads: int = 1
    memory_per_job: int = 2048
    defines: Pairs = ()
    env: Pairs = ()
    install: bool = False
    install_prefix: str | None = None
    steps: tuple[Step, ...] = ()
    test: tuple[str, ...] = ("ctest", "--test-dir", "{build}", "--output-on-failure")
    test_junit: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Assigned:
    """Where a checkout says something of itself: `key` is assigned a string in the first of `file` that has it."""

    file: Alternatives
    key: str


@dataclass(frozen=True, slots=True)
class Catalog:
    """A YAML file in which a checkout says which images go together: the table `section` has one for each `entry`.

    `entry` is the one that is meant, such as `cuda13.0`; another CUDA release is another entry. `base_image` and
    `runtime_image` are the keys there whose values make a reference, joined by colons.
    """

    file: str
    section: str
    entry: str
    base_image: tuple[str, ...] = ()
    runtime_image: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pin:
    """A build argument that is the version to which a checkout pins a package: in the first of `file` that does.

    Names of files may hold `args` of the framework, as placeholders; with one that its variant lacks, there is none.
    """

    arg: str
    package: str
    file: Alternatives


@dataclass(frozen=True, slots=True)
class Make:
    """A checkout's Makefile that builds its images by targets such as `devel_build`, relative to the checkout's top.

    `targets` gives for devbox's stages what stands before `_build`: several where the first leaves to the next what it
    does not say. `given` are variables that devbox says, as on make's command line; values as in `Upstream.args`.
    Where the variable `staging` is 1, make pushes under another name, as `rewrite` says (`OLD=NEW`).
    """

    file: Alternatives
    targets: Pairs = ()
    given: Pairs = ()
    staging: str | None = None
    rewrite: str | None = None


@dataclass(frozen=True, slots=True)
class SharedCache:
    """How a Dockerfile is told of the storage that compilers share.

    `args` are its build arguments; values may hold {bucket} {region} {endpoint} {prefix} of an `s3://` storage.
    `secrets` and `secret_files` give for ids of its secrets the variable that holds the secret, or names its file.
    """

    args: Pairs
    secrets: Pairs = ()
    secret_files: Pairs = ()


@dataclass(frozen=True, slots=True)
class Upstream:
    """The framework's own Dockerfile. `dockerfile` are alternatives, relative to the checkout: the first that exists.

    `make` says what the checkout's Makefile would be asked; it is read, and what it says comes before all constants
    here, which are those of `source` at `date`. `target` is its stage for development, None the last one. `args` are
    its build arguments; values may hold {arch} {cuda} {python} {jobs} {threads} {version} {commit}. `cuda` is the one
    that says the CUDA release: of the values that the Dockerfile takes, that of the release is said. `render` is a
    command of the checkout that writes the Dockerfile first, its words with the same placeholders, {variant} {stage}
    {machine} ("amd64") {platform} ("linux/amd64") and those of `values`; an option without a value is left out, and a
    checkout without the command's file has its Dockerfile already. `efa` are the words that `--efa` adds, `efa_stage`
    what has it then. `stages` are its names for devbox's stages: of several the first that is there, "" the last one.
    `without` says which Dockerfile stands in for one that does not declare an argument.
    What is rendered for a stage ends with it, but for those of `within`, with their names there. `sccache` is how it
    shares a compiler cache.
    """

    dockerfile: Alternatives
    target: str | None = None
    args: Pairs = ()
    cuda: str | None = None
    render: tuple[str, ...] = ()
    values: Pairs = ()
    efa: tuple[str, ...] = ()
    efa_stage: str | None = None
    stages: Pairs = ()
    within: Pairs = ()
    sccache: SharedCache | None = None
    without: Pairs = ()
    make: Make | None = None
    source: str = ""
    date: str = ""


@dataclass(frozen=True, slots=True)
class Prebuilt:
    """An image that somebody may have built already, one candidate of several, in the order of trust.

    `reference` may hold {version} {tag} {commit} {short} {merge_base} {machine} {key}; with a commit in it, `back`
    commits of the first-parent history are tried. {short} and `*` stand for what only a registry's list of tags tells.
    `file` and `key` say where the checkout itself names it: a properties file, or a source file in which `key` is
    assigned a string. `machines` gives the key on another machine type.
    {machine} is "x86_64" or "aarch64", as are the keys of `machines`. `stage` is what it stands for, `why` the reason
    in a few words.
    """

    stage: str
    why: str
    reference: str = "{key}"
    file: Alternatives = ()
    key: str | None = None
    machines: Pairs = ()
    back: int = 0


@dataclass(frozen=True, slots=True)
class RunRules:
    """How an image of the framework runs that is no dev container (`devbox image run`).

    `ipc` "host" needs no `shm`; where it is private, `shm` is the size of /dev/shm (`16g`). `env` are the container's
    own variables, `forward` names of variables that are taken from the client's environment, tokens among them.
    `caches` are names below /cache, as for a dev container; `devices` and `groups` what else the hardware needs.
    """

    stage: str = "release"
    command: tuple[str, ...] = ()
    entrypoint: str | None = None
    workdir: str | None = None
    ports: tuple[int, ...] = ()
    ipc: Literal["host", "private"] = "host"
    shm: str | None = None
    env: Pairs = ()
    forward: tuple[str, ...] = ("HF_TOKEN",)
    caches: tuple[str, ...] = ("huggingface",)
    cap_add: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskOption:
    """An option of a task: `devbox task run NAME --NAME VALUE`. `flag` is how the command says it, None only by {name}.

    `kind` is what a value must be; `minimum` bounds a number.
    """

    name: str
    help: str
    kind: Literal["text", "number", "path", "choice", "switch"] = "text"
    default: str | None = None
    flag: str | None = None
    choices: tuple[str, ...] = ()
    minimum: int = 1

    @property
    def required(self) -> bool:
        """Whether it must be given: without a value nothing would stand where the command names it."""
        return self.default is None and self.flag is None and self.kind != "switch"


@dataclass(frozen=True, slots=True)
class Task:
    """A named one-shot or serving container of a framework: image, command, mounts, ports and readiness as data.

    `image` is a reference, or `stage:NAME` for the framework's own. Words of `command`, `mounts` and `env` may hold an
    option's {name}, and {gpu}, the GPU's name as a folder is called. `ready` is a URL path on the first of `ports` that
    answers once it serves. `shell` runs the command's words as one line of `bash -c`, each option's value quoted.
    """

    name: str
    title: str
    image: str
    command: tuple[str, ...]
    options: tuple[TaskOption, ...] = ()
    mounts: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    ready: str | None = None
    gpus: str = "all"
    ipc: Literal["host", "private"] = "host"
    shm: str | None = None
    env: Pairs = ()
    forward: tuple[str, ...] = ("HF_TOKEN",)
    caches: tuple[str, ...] = ()
    entrypoint: str | None = None
    shell: bool = False


@dataclass(frozen=True, slots=True)
class Compatible:
    """One row of what goes together, with where that is written and when it was read (`date`, YYYY-MM-DD)."""

    source: str
    date: str
    version: str = ""
    cuda: str = ""
    base_image: str = ""
    torch: str = ""
    python: str = ""
    arch: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Preflight:
    """What a checkout and its machine must have before a long build. `disk` is in GiB, at the engine's data root.

    `lfs` are folders whose git-lfs files a build reads, `history` says that the version comes from git's tags.
    Submodules without content are always looked for.
    """

    disk: int = 0
    lfs: tuple[str, ...] = ()
    history: bool = False


@dataclass(frozen=True, slots=True)
class PythonRules:
    """The Python package of a framework, which is installed without its C++ part (`devbox build --install`).

    `project` are alternatives for the folder of the pyproject.toml: the first that exists. `env` is what makes the
    build backend leave the C++ part alone, `wheel_env` what makes it build all of it; without that, a wheel gets the
    files that the build installed into the checkout. Values may hold the placeholders of `BuildRules`, and {empty}, an
    archive with nothing in it. `precompiled` are the variables that make the backend take a prebuilt C++ part,
    `precompiled_version` and `precompiled_location` replace them where the user named a version or commit, or a file,
    folder or URL: {precompiled} is what was named. `native` are the files and folders, relative to the checkout, that
    the C++ part is made from: a prebuilt one does not fit where they are others.
    """

    project: Alternatives = (".",)
    env: Pairs = ()
    wheel_env: Pairs = ()
    precompiled: Pairs = ()
    precompiled_version: Pairs = ()
    precompiled_location: Pairs = ()
    native: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Framework:
    """A framework in one of its variants, complete: everything that differs between trees is in here.

    `stages` are names of files in dockerfiles/, in order; the last but one (`user` comes last) is what a dev
    container runs. `image_stages` are further ones that only `devbox image build` reads: wheel, release, test …
    `runtime_image` is what release starts from, `base_image` a registry reference; of both a checkout's `catalog` may
    say the tag. `package_base` names the base that is made from packages where no registry answers ("cuda" or "cpu";
    None where none can be). `default_arch` is a compute capability such as "9.0", used where neither a GPU nor `--arch`
    says one. `args` are build arguments of the Dockerfile, and `pins` those that a checkout says where `args` do not.
    `version` is where a checkout says its own; without it git does. `caches` are names below /cache. `settings` are VS
    Code's. `services` run beside the dev container where it is one of several. `rules` are 16 hex digits of all of it
    where the checkout's own files say some of it, else "".
    """

    name: str
    variant: str
    title: str
    variants: tuple[str, ...]
    source: str
    workspace_path: str
    base_image: str
    package_base: Literal["cuda", "cpu"] | None
    cuda: str | None
    default_arch: str | None
    stages: tuple[str, ...]
    detect: Detect
    build: BuildRules
    image_stages: tuple[str, ...] = ()
    runtime_image: str | None = None
    run: RunRules = RunRules()
    version: Assigned | None = None
    catalog: Catalog | None = None
    upstream: Upstream | None = None
    prebuilt: tuple[Prebuilt, ...] = ()
    tasks: tuple[Task, ...] = ()
    compatibility: tuple[Compatible, ...] = ()
    preflight: Preflight = Preflight()
    python: PythonRules | None = None
    contexts: tuple[CheckoutContext, ...] = ()
    args: Pairs = ()
    pins: tuple[Pin, ...] = ()
    env: Pairs = ()
    caches: tuple[str, ...] = ("ccache",)
    ports: tuple[int, ...] = ()
    gpu: bool = True
    extensions: tuple[str, ...] = ()
    settings: Pairs = ()
    services: tuple[str, ...] = ()
    post_create: str | None = None
    rules: str = ""


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
