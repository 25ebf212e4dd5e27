"""What the host and the agent say to each other: one request, then events, of which the result is the last.

Both sides import this module, and nothing else says how a request or an event is written. Each is one line of JSON with
the names below. A name that a side does not know is left alone, so that the other may be newer; one that has no default
must be there. Lists may arrive where a tuple was sent.

`Message` is no dataclass and no named tuple: the agent pays for each import and for each class at every build.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self, dataclass_transform

    JSON = Mapping[str, Any]
    Pairs = Sequence[tuple[str, str]]
else:

    def dataclass_transform(**_):
        """Do nothing: this is for type checkers."""
        return lambda found: found


# To be raised when a side could misunderstand the other; a new name with a default is no such change.
VERSION = 1
# CMake presets for editors, in the source folder: the person's if devbox wrote them, else a file for theirs to include.
PRESETS = ("CMakeUserPresets.json", "CMakeDevboxPresets.json")


class ProtocolError(Exception):
    """What the other side wrote is no request or event that this side can take; the message is a sentence."""


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Message:
    """Named values that do not change. `PARTS` says how a value that is itself made of messages is read."""

    KIND: ClassVar[str] = ""
    NAMES: ClassVar[tuple[str, ...]] = ()
    PARTS: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}

    def __init_subclass__(cls, kind: str = "") -> None:
        super().__init_subclass__()
        cls.KIND = kind or cls.KIND
        own = [name for name, of in cls.__annotations__.items() if not of.startswith("ClassVar")]
        cls.NAMES = tuple(dict.fromkeys([*cls.NAMES, *own]))

    def __init__(self, **values: Any) -> None:
        missing = [name for name in self.NAMES if name not in values and not hasattr(type(self), name)]
        strange = values.keys() - set(self.NAMES)
        if missing or strange:
            raise TypeError(f"{type(self).__name__} lacks {missing} and has no {sorted(strange)}")
        self.__dict__.update(values)

    def __setattr__(self, name: str, _: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} does not change")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.values() == other.values()

    __hash__ = None  # type: ignore[assignment]  # it may hold lists

    def values(self) -> dict[str, Any]:
        """Return the values by name, defaults included. There is no `repr`: requests carry secrets."""
        return {name: getattr(self, name) for name in self.NAMES}

    # As of a named tuple: by this name JSON is made of it, however deep it lies.
    _asdict = values

    def but(self, **changes: Any) -> Self:
        """Return the same with other values."""
        return type(self)(**{**self.__dict__, **changes})

    @classmethod
    def of(cls, said: JSON) -> Self:
        """Read a message. Raises ProtocolError, with a sentence, where something is missing."""
        missing = [name for name in cls.NAMES if name not in said and not hasattr(cls, name)]
        if missing:
            raise ProtocolError(f"'{cls.KIND or cls.__name__}' came without {', '.join(missing)}")
        values = {name: said[name] for name in cls.NAMES if name in said}
        for name, read in cls.PARTS.items():
            if values.get(name) is not None:
                values[name] = read(values[name])
        return cls(**values)


def several(part: type[Message]) -> Callable[[Sequence[JSON]], list[Message]]:
    """Return what reads a list of messages."""
    return lambda said: [part.of(one) for one in said]


def by_name(part: type[Message]) -> Callable[[Mapping[str, JSON]], dict[str, Message]]:
    """Return what reads messages by name."""
    return lambda said: {name: part.of(one) for name, one in said.items()}


def _line(**said: Any) -> str:
    return json.dumps(said, separators=(",", ":"), default=vars)


# What the agent says on the way.


class Event(Message):
    """Something that the agent says."""

    def to_line(self) -> str:
        """Return the event as it travels."""
        return _line(event=self.KIND, **self.__dict__)


class Hello(Event, kind="hello"):
    """The agent runs, before it has read its request. `python` is the version of what runs it."""

    version: int
    python: str


class Phase(Event, kind="phase"):
    """Something begins that a person may wait for. `step` is "configure" where a tree is about to be configured."""

    title: str
    step: str = ""


class Info(Event, kind="info"):
    """One line for a person."""

    text: str


class Warn(Event, kind="warn"):
    """One line that should not be missed."""

    text: str


class Output(Event, kind="output"):
    """One line that the program `source` wrote; `step` is CMake's title of the build step that wrote it, if known."""

    line: str
    source: str
    step: str = ""


class Progress(Event, kind="progress"):
    """How far the build program is: see `ninja.output.Progress`. With `least`, `eta` may well be more."""

    done: int
    total: int
    running: Sequence[str]
    finished: Sequence[str]
    eta: float | None = None
    least: bool = False


class Tree(Event, kind="tree"):
    """Which build tree it is about, and where that lies inside."""

    key: str
    path: str


class Healed(Event, kind="healed"):
    """The files whose times were set, for who watches them: path, mtime, size, ctime and inode of each."""

    files: Sequence[Sequence[Any]]


class WantSeed(Event, kind="seed"):
    """A question: copy a tree for this one, as `Seed` says. Any line answers."""

    key: str
    digest: str
    token: str


class Fault(Event, kind="fault"):
    """The request could not be done: the sentence, a hint that can be typed, the error's code. It is the last event."""

    message: str
    hint: str | None = None
    code: str = "build"


# The results: the last event where all went as foreseen, also of a build that failed.


class Result(Event, kind="result"):
    """What came of a request. Which class it is, the request says."""


class CacheUse(Message):
    """What the compiler cache did in a build: `languages` has hits and misses, `errors` counts its storage's."""

    kind: str = "none"
    languages: Mapping[str, Sequence[int]] = {}
    remote: int = 0
    errors: int = 0


class Built(Result):
    """What a build did; see `devbox.builds.report.summary.BuildReport`."""

    PARTS: ClassVar[Mapping[str, Any]] = {"cache": CacheUse.of}

    code: int
    key: str
    tree: str
    seconds: float
    reasons: Sequence[str] = ()
    configured: Sequence[str] = ()
    configure_seconds: float = 0.0
    commands: int = 0
    compiled: int = 0
    cached: int | None = None
    missed: int | None = None
    cache: CacheUse = CacheUse()
    timeline: JSON | None = None
    slowest: Sequence[tuple[str, float]] = ()
    jobs: int = 0
    jobs_reason: str = ""
    healed: Mapping[str, int] = {}
    installed: Sequence[str] = ()
    seeded: str | None = None
    failure: JSON | None = None


class Called(Message):
    """A program that a build starts: its words, the folder, and what is added to the build's environment."""

    argv: Sequence[str]
    cwd: str
    environ: Mapping[str, str] = {}


class Foreseen(Result):
    """What a build of a tree would do; see `devbox.builds.foresee`.

    `there` says whether the tree is there, `inputs` what its key is made from, `reasons` why it is configured (none: it
    is not), by `configure`, and `environment` what that reads once. `notes` are for people.
    """

    PARTS: ClassVar[Mapping[str, Any]] = {"configure": Called.of, "build": several(Called)}

    key: str
    tree: str
    there: bool
    inputs: JSON
    jobs: int
    jobs_reason: str
    reasons: Sequence[str] = ()
    configure: Called | None = None
    build: Sequence[Called] = ()
    environment: Mapping[str, str] = {}
    notes: Sequence[str] = ()


class PythonDone(Result):
    """What was done for the Python package; see `devbox.builds.report.summary.PythonReport`."""

    code: int
    did: str
    seconds: float
    package: str = ""
    environment: str = ""
    made: bool = False
    wheel: str | None = None
    bytes: int = 0
    added: int = 0
    failure: JSON | None = None


class TestCommand(Result):
    """How tests are run: the command line, the variables that it gets, and whether the tree `key` is built."""

    argv: Sequence[str]
    env: Mapping[str, str]
    built: bool
    key: str


class Past(Message):
    """An attempt in a tree's history: `start` in nanoseconds since the epoch; without `seconds` it was copied then."""

    start: int = 0
    seconds: float | None = None
    code: int = 0
    commands: int = 0
    compiled: int = 0
    cached: int | None = None
    missed: int | None = None
    reasons: Sequence[str] = ()
    client: str = ""


class TreeTold(Message):
    """One build tree: bytes on disk, times in nanoseconds since the epoch (0: unknown), and its key's inputs.

    `bytes` are those of its other `states` too, so many of which are kept. Where its details were asked for, `sources`
    is their number, and `history` its attempts, the oldest first.
    """

    PARTS: ClassVar[Mapping[str, Any]] = {"history": several(Past)}

    key: str
    path: str
    bytes: int
    current: bool
    building: bool
    state: str
    created: int
    built: int
    code: int
    inputs: JSON
    states: int = 0
    sources: int = 0
    configured: bool = False
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = {}
    history: Sequence[Past] = ()


class TreesTold(Result):
    """The build trees of one volume."""

    PARTS: ClassVar[Mapping[str, Any]] = {"trees": several(TreeTold)}

    trees: Sequence[TreeTold]


class VolumeTold(Message):
    """The build trees of a volume, or of a part of it, and the workspace on the host that it belongs to, if known."""

    PARTS: ClassVar[Mapping[str, Any]] = {"trees": several(TreeTold)}

    trees: Sequence[TreeTold]
    workspace: str | None = None
    further: Mapping[str, VolumeTold] = {}


VolumeTold.PARTS = {**VolumeTold.PARTS, "further": by_name(VolumeTold)}


class VolumesTold(Result):
    """Several volumes by name. `further` of each are the parts of further checkouts, by their folder in the volume."""

    PARTS: ClassVar[Mapping[str, Any]] = {"volumes": by_name(VolumeTold)}

    volumes: Mapping[str, VolumeTold]


class Removal(Message):
    """What became of a tree that was to be removed; `why` it was not, "" if it was."""

    key: str
    removed: bool
    why: str


class Removed(Result):
    """What became of each tree, by the folder of its volume."""

    PARTS: ClassVar[Mapping[str, Any]] = {
        "removed": lambda said: {volume: [Removal.of(one) for one in ones] for volume, ones in said.items()}
    }

    removed: Mapping[str, Sequence[Removal]]


class Seeded(Result):
    """The workspace that a tree was copied from, "" for none, and why not from others."""

    seeded: str
    why: Sequence[str]


class CacheTold(Result):
    """Something about the compiler cache of this `kind`, in this folder."""

    kind: str
    folder: str


class CacheCounts(CacheTold):
    """A compiler cache's size and counters: ccache's own `counters`, or what sccache's `server` says."""

    counters: Mapping[str, int] = {}
    languages: Mapping[str, Sequence[int]] = {}
    server: JSON | None = None
    bytes: int = 0


class CacheCleared(CacheTold):
    """How many bytes were removed."""

    removed: int


class CacheLook(CacheCounts):
    """What tells whether a cache is set up well. `settings` and `by_hand` are ccache's: value and origin of each.

    `unreachable` is why the shared storage does not answer at its address, where it does not. Where it was tried, it
    `took` an object and `gave` it back in `trial_seconds`, or `why` it did not.
    """

    exists: bool
    writable: bool
    shared: bool
    uid: int
    owner: int = 0
    group: int = 0
    mode: int = 0
    groups: Sequence[int] = ()
    free: int = 0
    foreign: str = ""
    skew: float = 0.0
    settings: Mapping[str, Sequence[str]] = {}
    by_hand: Mapping[str, Sequence[str]] = {}
    problem: str | None = None
    unreachable: str = ""
    took: bool | None = None
    gave: bool = False
    why: str = ""
    trial_seconds: float = 0.0


class CacheExplained(CacheTold):
    """What a cache says to one compile: ccache in its `log`, sccache by `hits`, `misses` and what it `refused`.

    `last` is what it answered in the tree's last build; `compilers` are those that differ from another tree's, each as
    JSON of (variable, then, now).
    """

    source: str
    tree: str
    last: str
    code: int
    log: Sequence[str] = ()
    compilers: Sequence[str] = ()
    hits: int = 0
    misses: int = 0
    refused: Sequence[str] = ()


class Reported(Result):
    """The timeline of a tree's last build that ran anything, and the tree's history; the key is "" without a tree."""

    PARTS: ClassVar[Mapping[str, Any]] = {"history": several(Past)}

    key: str
    timeline: JSON | None
    history: Sequence[Past]


# The requests.

R = TypeVar("R", bound=Result)


class Request(Message, Generic[R]):
    """Something to do. `volume` is where the build volume lies for the agent, `RESULT` the class of the result."""

    RESULT: ClassVar[type[Result]]

    volume: str = ""

    def to_line(self) -> str:
        """Return the request as it travels."""
        return _line(version=VERSION, request=self.KIND, **self.__dict__)


class Step(Message):
    """A command of a build that the driver "cargo" runs, in the first of the `folder`s that exists."""

    command: Sequence[str]
    folder: Sequence[str]
    python: bool


class Rules(Message):
    """How a framework's C++/CUDA part is built; see `devbox.frameworks.model.BuildRules`."""

    PARTS: ClassVar[Mapping[str, Any]] = {"steps": several(Step)}

    driver: str
    source: Sequence[str]
    generator: str
    arch_form: str
    arch_define: str | None
    arch_env: str | None
    nvcc_threads: int
    memory_per_job: int
    defines: Pairs
    env: Pairs
    install: bool
    install_prefix: str | None
    steps: Sequence[Step]
    test: Sequence[str]


class PythonRules(Message):
    """How a framework's Python package is installed; see `devbox.frameworks.model.PythonRules`."""

    project: Sequence[str]
    env: Pairs
    wheel_env: Pairs
    precompiled: Pairs
    precompiled_version: Pairs
    precompiled_location: Pairs
    native: Sequence[str]


class Precompiled(Message):
    """A prebuilt C++ part: one of the backend's own choice (`kind` ""), of a "version", or from a "location"."""

    kind: str
    value: str


class Storage(Message):
    """The storage that machines share: `secrets` are variables, `files` the texts of key files by their variable.

    `url` is where it is, without what nobody may see.
    """

    url: str = ""
    variables: Mapping[str, str] = {}
    secrets: Mapping[str, str] = {}
    files: Mapping[str, str] = {}


class CacheChoice(Message):
    """Which compiler cache is wanted; `folders` are those of the cache volumes by kind. No cache needs no more."""

    PARTS: ClassVar[Mapping[str, Any]] = {"storage": Storage.of}

    kind: str
    size: str = ""
    folders: Mapping[str, str] = {}
    prefix: str | None = None
    group: bool = False
    storage: Storage = Storage()


class Configured(Request[R]):
    """What is said of a build configuration, which `Build` and others have in common.

    `seed` says whether a new tree may be copied from another workspace, `watch` whether to tell of each time that was
    set. `chosen` are those of "type" and "arch" that the user named, `container` identifies what lies outside the
    workspace, and `owner` is the workspace on the host.
    """

    PARTS: ClassVar[Mapping[str, Any]] = {"rules": Rules.of, "cache": CacheChoice.of}

    client: str
    framework: str
    variant: str
    rules: Rules
    type: str
    arch: str | None
    jobs: int | None
    targets: Sequence[str]
    defines: Pairs
    args: Sequence[str]
    mode: str
    heal: bool
    cache: CacheChoice
    workspace: str
    container: str
    options: Sequence[Sequence[Any]] = ()
    preset: str | None = None
    chosen: Sequence[str] = ()
    trace: bool = False
    seed: bool = False
    watch: bool = False
    owner: str = ""


class Build(Configured[Built], kind="build"):
    """Build one tree."""

    RESULT = Built


class Foresee(Configured[Foreseen], kind="foresee"):
    """Say what a build of one tree would do, and do nothing of it."""

    RESULT = Foreseen


class Python(Configured[PythonDone], kind="python"):
    """Install the Python package, or with the action "wheel" make one of it."""

    RESULT = PythonDone
    PARTS: ClassVar[Mapping[str, Any]] = {
        **Configured.PARTS,
        "package": PythonRules.of,
        "precompiled": Precompiled.of,
    }

    action: str
    package: PythonRules
    precompiled: Precompiled | None
    force: bool
    deps: bool


class Test(Configured[TestCommand], kind="test"):
    """Tell how tests are run; `words` are a person's own arguments, `python` says whether a package is installed."""

    RESULT = TestCommand

    words: Sequence[str]
    python: bool


class List(Request[TreesTold], kind="list"):
    """List the trees of the volume."""

    RESULT = TreesTold


class Look(Request[VolumesTold], kind="look"):
    """List the trees of several volumes: their folders by name. `details` is the key of a tree to tell all of."""

    RESULT = VolumesTold

    volumes: Mapping[str, str]
    sizes: bool = True
    details: str | None = None


class Remove(Request[Removed], kind="remove"):
    """Remove trees: `trees` gives keys by the folder of their volume."""

    RESULT = Removed

    trees: Mapping[str, Sequence[str]]


class Source(Message):
    """A volume that a tree may be copied from, and the workspace that it belongs to.

    `sibling` says that this is of the same repository; `least` is the part of the sources that must be the same.
    """

    volume: str
    workspace: str
    sibling: bool
    least: float


class Seed(Request[Seeded], kind="seed"):
    """Copy the nearest tree of `sources` into the volume; the rest is what `WantSeed` said."""

    RESULT = Seeded
    PARTS: ClassVar[Mapping[str, Any]] = {"sources": several(Source)}

    key: str
    digest: str
    token: str
    sources: Sequence[Source]


class CacheRequest(Request[R]):
    """A request about the compiler cache."""

    PARTS: ClassVar[Mapping[str, Any]] = {"cache": CacheChoice.of}

    cache: CacheChoice


class CountCache(CacheRequest[CacheCounts], kind="cache stats"):
    """Return its size and counters."""

    RESULT = CacheCounts


class ClearCache(CacheRequest[CacheCleared], kind="cache clear"):
    """Remove what it holds."""

    RESULT = CacheCleared


class LookAtCache(CacheRequest[CacheLook], kind="cache look"):
    """Return how it is set up."""

    RESULT = CacheLook


class ExplainCache(CacheRequest[CacheExplained], kind="cache explain"):
    """Compile the source `file` again, and say what the cache says to it."""

    RESULT = CacheExplained

    file: str
    key: str | None = None


class Report(Request[Reported], kind="report"):
    """Tell of the builds of the tree `key`, or of the one that was built last."""

    RESULT = Reported

    key: str | None = None


EVENTS: dict[str, type[Event]] = {
    one.KIND: one for one in (Hello, Phase, Info, Warn, Output, Progress, Tree, Healed, WantSeed, Fault)
}
_ABOUT_CACHE = (CountCache, ClearCache, LookAtCache, ExplainCache)
REQUESTS: dict[str, type[Request[Any]]] = {
    one.KIND: one for one in (Build, Foresee, Python, Test, List, Look, Remove, Seed, Report, *_ABOUT_CACHE)
}


def read_request(line: bytes) -> Request[Any]:
    """Read a request. Raises ProtocolError where it is none, or one of another version."""
    try:
        said = json.loads(line)
        version, kind = said["version"], said["request"]
    except (ValueError, KeyError, TypeError):
        raise ProtocolError("what came is no request") from None
    check_version(version)
    if kind not in REQUESTS:
        raise ProtocolError(f"the agent knows no request '{kind}'")
    return REQUESTS[kind].of(said)


def read_event(said: JSON, request: Request[Any]) -> Event | None:
    """Read what the agent said to a request; None for what this side does not know. Raises ProtocolError."""
    kind = said.get("event")
    found = request.RESULT if kind == Result.KIND else EVENTS.get(str(kind))
    return found.of(said) if found is not None else None


def check_version(version: object) -> None:
    """Raise ProtocolError for another version of the protocol than this side's."""
    if version != VERSION:
        raise ProtocolError(f"one side speaks version {version} of the protocol, and this one version {VERSION}")
