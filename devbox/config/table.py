"""The table of settings: each one declared once, and from it the loader, the options of commands, and the pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, overload

from devbox.config import kinds
from devbox.config.kinds import Items, Kind, Named, One, Switch, checked, choice, plain
from devbox.masking import is_secret_name, masked
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


T = TypeVar("T")

DEFAULT = "default"
# What was typed on the command line: by the settings' keys, a text or a list of them.
Flags = Mapping[str, Any]


class Checkouts(NamedTuple):
    """What a setting in a checkout's own files may do, because a container and a colleague can write them.

    `inside`: what they like, for it takes effect in a container or an image, whose reach is judged by itself. `asked`:
    what the person agreed to, before anything is done with it; `used`: the same, asked by the one command that uses it.
    `refused`: nothing of what `why` names. `why` says what a value does beyond the container, None for nothing, by the
    host's variables.
    """

    how: Literal["inside", "asked", "used", "refused"]
    why: Callable[[Any, Mapping[str, str]], str | None] = lambda _, __: None


class Setting(NamedTuple):
    """A setting. `help` says what it is; `more` goes on in Markdown, on the page; `default` says what holds without it.

    `flag`, `short` and `metavar` are its option, where a command has one. A `choice` is a flag of `up` that a contract
    records; what else a contract depends on is `written` into it; what can be put on top of one that devbox has not
    written is `laid` over it. `personal` means something on one machine or for one person alone. `secret` values are
    URLs that may hold a password. `checkouts` is what a checkout's own files may do with it.
    """

    key: str
    kind: Kind[Any]
    help: str
    checkouts: Checkouts
    more: str = ""
    default: str = ""
    flag: str = ""
    short: str | None = None
    metavar: str = ""
    choice: bool = False
    written: bool = False
    laid: bool = False
    personal: bool = False
    secret: bool = False

    @property
    def variable(self) -> str:
        """The variable that makes the setting."""
        return f"DEVBOX_{self.key.upper()}"

    def shown(self, text: str | None) -> str | None:
        """Return a value, as a text, as it may be shown: without a password."""
        web = self.secret or (text or "").startswith(("http://", "https://"))
        return masked(text) if text and web else text


@overload
def _of(kind: Kind[T], help: str, *, checkouts: Checkouts, value: T, **more: Any) -> T: ...
@overload
def _of(kind: Kind[T], help: str, *, checkouts: Checkouts, **more: Any) -> T | None: ...
def _of(
    kind: Kind[Any],
    help: str,  # noqa: A002
    *,
    checkouts: Checkouts,
    value: Any = None,
    flag: str = "",
    **more: Any,
) -> Any:
    """Return the field of a setting whose value is `value` where nobody says one."""
    return field(default=value, metadata={"kind": kind, "help": help, "checkouts": checkouts, "flag": flag, **more})


def _secrets_of_host(variables: Sequence[str], _: object) -> str | None:
    found = next((name for name in variables if "=" not in name and is_secret_name(name)), None)
    return None if found is None else f"takes {found}, which looks like a secret of yours"


def _agreement(answer: str, _: object) -> str | None:
    return "agrees to everything in your place" if answer == "always" else None


def _proxy(url: str | None, _: object) -> str:
    return f"leads what devbox and image builds fetch through {masked(url)}" if url else "takes your proxy away"


def _login(url: str | None, environ: Mapping[str, str]) -> str | None:
    names = [name for name in LOGINS.get((url or "").partition(":")[0], ()) if environ.get(name)]
    return f"hands {', '.join(names)} to builds, and to {masked(url)}" if url and names else None


def _rewritten(rules: Sequence[str], _: object) -> str | None:
    return f"pushes images under other names: {', '.join(rules)}" if rules else None


def _group(name: str | None, _: object) -> str | None:
    return (
        f"shares the compiler cache of your group {name}: what is put there gets into others' builds" if name else None
    )


def _builder(name: str | None, _: object) -> str | None:
    return f"sends what builds read, secrets among them, to the builder {name}" if name else None


def _file(path: Path | None, _: object) -> str | None:
    return None if path is None else f"takes {path} of the host for builds"


INSIDE = Checkouts("inside")
FROM_HOST = Checkouts("asked", _file)
PROXY = Checkouts("asked", _proxy)
ENGINE = Checkouts("refused", lambda _, __: "says on which machine containers run")
CLUSTER = Checkouts("refused", lambda _, __: "says what is asked of a cluster in your name")
HOST = Checkouts("refused", lambda _, __: "gives a container more of this machine")
# By what a storage of a compiler cache knows who asks, by its scheme; Google's names a file.
_REDIS = ("SCCACHE_REDIS_USERNAME", "SCCACHE_REDIS_PASSWORD")
LOGINS = {
    "redis": _REDIS,
    "rediss": _REDIS,
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    "gs": ("SCCACHE_GCS_KEY_PATH", "GOOGLE_APPLICATION_CREDENTIALS"),
}

TEXT = One(plain)
OPTIONAL = One(plain, none=True)
FILE = One(kinds.path, none=True)


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """The settings in force. None and () are what nobody said, or switched off. Paths are absolute."""

    # fmt: off
    framework: str | None = _of(
        TEXT, "The framework of the checkout.", default="detected", short="-f", metavar="NAME", checkouts=INSIDE)
    context: str | None = _of(
        TEXT, "The docker context of the engine.", more="[More](../reach.md).", default="docker's choice",
        metavar="NAME", checkouts=ENGINE)
    variant: str | None = _of(
        TEXT, "The framework's variant, such as cuda13 or cpu.", default="the framework's", choice=True,
        metavar="NAME", checkouts=INSIDE)
    base_image: str | None = _of(
        TEXT, "Build on this image; 'package' means the package base.", default="the framework's", choice=True,
        metavar="IMAGE", checkouts=INSIDE)
    gpus: str | None = _of(
        One(kinds.gpu_choice), "The GPUs that the container gets.", default="auto", choice=True, laid=True,
        metavar="none|auto|all|0,1|UUID", checkouts=INSIDE)
    arch: str | None = _of(
        One(checked(kinds.arch)), "The GPU architectures to compile for.", default="auto", choice=True,
        metavar="auto|90|9.0", checkouts=INSIDE)
    user: str | None = _of(
        One(checked(kinds.user)), "Who you are inside.", default="host", choice=True, laid=True, personal=True,
        metavar="host|root|UID:GID[:NAME]", checkouts=INSIDE)
    build_type: str | None = _of(
        TEXT, "The build type, such as Release or Debug.", default="the framework's", flag="--type", metavar="TYPE",
        checkouts=INSIDE)
    jobs: int | None = _of(
        One(kinds.whole("jobs")), "How many compilers, or tests, at once.", default="what memory allows", short="-j",
        metavar="N", checkouts=INSIDE)
    compiler_cache: str = _of(
        One(choice("compiler cache", "ccache", "sccache", "none"), needed=True), "The compiler cache.",
        more="[More](../caches.md).", value="ccache", written=True, metavar="ccache|sccache|none", checkouts=INSIDE)
    ccache_size: str = _of(
        One(checked(kinds.size), needed=True), "How large the compiler cache may grow.", value="20G", written=True,
        metavar="SIZE", checkouts=INSIDE)
    cache_remote: str | None = _of(
        OPTIONAL, "A storage that machines share.", secret=True,
        metavar="redis://HOST:PORT|s3://BUCKET|gs://BUCKET|none", checkouts=Checkouts("asked", _login))
    cache_group: str | None = _of(
        TEXT, "A group of this machine that shares the compiler cache.", written=True, metavar="GROUP",
        checkouts=Checkouts("asked", _group))
    compiler_prefix: str | None = _of(
        TEXT, "A program before the compiler where the cache has nothing, such as icecc.", metavar="PROGRAM",
        checkouts=INSIDE)
    find_links: Path | None = _of(  # it makes a field
        FILE, "A folder of wheels that image builds may install from.", choice=True, personal=True,
        metavar="FOLDER|none", checkouts=FROM_HOST)
    args: tuple[str, ...] = _of(
        Items(kinds.argument, lines=True), "A build argument of the framework's stages.",
        more="`devbox frameworks show NAME` lists those that it says itself.", value=(), flag="--arg", choice=True,
        metavar="NAME=VALUE|none", checkouts=INSIDE)
    services: tuple[str, ...] | None = _of(
        Items(kinds.service), "What runs beside the container, with --compose.", default="the framework's",
        choice=True, metavar="redis,etcd|none", checkouts=INSIDE)
    repositories: tuple[Path, ...] = _of(
        Items(kinds.path), "Further checkouts in the same container.", value=(), choice=True, personal=True,
        metavar="PATH,…|none", checkouts=HOST)
    mounts: tuple[str, ...] = _of(
        Items(kinds.mount, lines=True), "A further mount.",
        more="[More](../guide.md#mounts-variables-and-ports-of-your-own).", value=(), flag="--mount", choice=True,
        laid=True, personal=True, metavar="SOURCE:TARGET[:ro]|type=…|none", checkouts=HOST)
    env: tuple[str, ...] = _of(
        Items(kinds.variable, lines=True), "A variable; by its name, the host's.", value=(), short="-e", choice=True,
        laid=True, metavar="NAME[=VALUE]|none", checkouts=Checkouts("refused", _secrets_of_host))
    ports: tuple[str, ...] = _of(
        Items(kinds.port, numbers=True), "A port to publish, on this machine alone unless an address is named.",
        value=(), flag="--port", short="-p", choice=True, laid=True, metavar="[[ADDRESS:]OUTER:]INNER|none",
        checkouts=INSIDE)
    run_args: tuple[str, ...] = _of(
        Items(kinds.run_argument, lines=True), "A word for `docker run`, such as --network=host.",
        more="Not with compose.", value=(), flag="--run-arg", choice=True, laid=True, personal=True,
        metavar="WORD|none", checkouts=HOST)
    features: tuple[tuple[str, str], ...] = _of(
        Named(kinds.feature, bare=True), "A Feature beside the contract's own.",
        more="In a file, a list of them, or a table with their options.", value=(), choice=True, laid=True,
        metavar="ID|{ID:OPTIONS}|none", checkouts=INSIDE)
    hooks: tuple[tuple[str, str], ...] = _of(
        Named(kinds.hook), "Lifecycle commands of your own, after the contract's.",
        more='A table: `postCreateCommand = "…"`.', value=(), written=True, laid=True, metavar="{NAME:COMMAND}|none",
        checkouts=INSIDE)
    push_rewrite: tuple[str, ...] = _of(
        Items(plain), "Push under another name: OLD in it becomes NEW.", more="Of `image push`.", value=(),
        flag="--rewrite", metavar="OLD=NEW", checkouts=Checkouts("used", _rewritten))
    ssh_agent: bool = _of(
        Switch(), "Whether a personal contract mounts the way to your ssh-agent.", value=True, written=True,
        checkouts=INSIDE)
    builder: str | None = _of(
        OPTIONAL, "The builder of buildx that builds images, such as one on another machine.",
        more="[More](../reach.md#builders).", metavar="NAME|none", checkouts=Checkouts("refused", _builder))
    ca_bundle: Path | None = _of(
        FILE, "A private CA bundle, PEM; `none` for none at all.", default="from the host", written=True,
        metavar="FILE|none", checkouts=FROM_HOST)
    http_proxy: str | None = _of(
        OPTIONAL, "The proxy for http.", default="from the host", secret=True, metavar="URL|none", checkouts=PROXY)
    https_proxy: str | None = _of(
        OPTIONAL, "The proxy for https.", default="from the host", secret=True, metavar="URL|none", checkouts=PROXY)
    no_proxy: str | None = _of(
        OPTIONAL, "Hosts that are reached without a proxy.", default="from the host", metavar="HOST,…|none",
        checkouts=PROXY)
    features_lock: str = _of(
        One(choice("way to treat a lock file", "write", "frozen", "off"), needed=True),
        "The lock file of Features: `write` and honour it; `frozen`: it must be there and fit; `off`: neither read nor "
        "written.", value="write", metavar="write|frozen|off", checkouts=INSIDE)
    devcontainer_trust: str = _of(
        One(choice("answer", "ask", "always"), needed=True),
        "What `devbox devcontainer`, which never asks, does with what reaches the host and is not agreed to.",
        more="`ask`: it ends, and `devbox up` asks. [More](../devcontainer-cli.md#consent).", value="ask",
        metavar="ask|always", checkouts=Checkouts("refused", _agreement))
    dotfiles_repository: str | None = _of(
        OPTIONAL, "Your dotfiles, cloned into the container once.", more="[More](lifecycle.md#dotfiles).",
        metavar="URL|OWNER/REPO", checkouts=INSIDE)
    dotfiles_install_command: str | None = _of(
        TEXT, "What installs them, in their folder.", default="the first script found", metavar="COMMAND",
        checkouts=INSIDE)
    dotfiles_target_path: str | None = _of(
        TEXT, "Where they go.", default="~/dotfiles", metavar="FOLDER", checkouts=INSIDE)
    on: str | None = _of(
        One(kinds.place), "Where dev containers run: on docker's engine, or as pods of a cluster.",
        more="[More](../reach.md#kubernetes).", default="where the workspace was last", personal=True,
        metavar="docker|kubernetes[:CONTEXT[/NAMESPACE]]", checkouts=ENGINE)
    kubernetes_registry: str | None = _of(
        OPTIONAL, "Where images for pods are pushed to.", metavar="HOST/PATH|none", checkouts=CLUSTER)
    kubernetes_load: str | None = _of(
        OPTIONAL, "A command that takes an image to a node of this machine, from an archive on its stdin.",
        metavar="COMMAND|none", checkouts=CLUSTER)
    kubernetes_pull_secret: str | None = _of(
        One(kinds.object_name), "The secret of the namespace by which nodes pull images.", metavar="NAME",
        checkouts=CLUSTER)
    kubernetes_gpus: int | None = _of(
        One(kinds.count), "How many GPUs a pod asks for.", default="as the contract asks", metavar="N",
        checkouts=CLUSTER)
    kubernetes_cpus: str = _of(
        One(kinds.amount, needed=True), "The CPUs that a pod asks for, and the most that it gets.", value="2",
        metavar="N[-MOST]", checkouts=CLUSTER)
    kubernetes_memory: str | None = _of(
        One(kinds.amount), "The memory that a pod asks for, and the most that it gets.",
        default="a compiler's for each CPU", metavar="SIZE[-MOST]", checkouts=CLUSTER)
    kubernetes_shm: str = _of(
        One(kinds.amount, needed=True), "How large /dev/shm may grow, which counts as memory.", value="2Gi",
        metavar="SIZE", checkouts=CLUSTER)
    kubernetes_claim_size: str = _of(
        One(kinds.amount, needed=True), "How large the claim of a workspace is made.", value="100Gi", metavar="SIZE",
        checkouts=CLUSTER)
    kubernetes_storage_class: str | None = _of(
        One(kinds.object_name), "The storage class of claims.", default="the cluster's", metavar="NAME",
        checkouts=CLUSTER)
    kubernetes_node_selector: tuple[str, ...] = _of(
        Items(kinds.selector), "A label of the nodes that may run a pod.", value=(), metavar="NAME=VALUE,…|none",
        checkouts=CLUSTER)
    kubernetes_tolerations: tuple[str, ...] = _of(
        Items(kinds.toleration), "A taint of nodes that a pod may run on all the same.", value=(),
        metavar="KEY[=VALUE][:EFFECT],…|none", checkouts=CLUSTER)
    kubernetes_owner: str | None = _of(
        One(kinds.object_name), "What tells your pods from those of others in a namespace.",
        default="your account and this machine", metavar="NAME", checkouts=CLUSTER)
    # fmt: on

    origins: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    def origin(self, key: str) -> str:
        """Return where the value of `key` came from: a file, a variable, a flag or "default"."""
        return dict(self.origins).get(key, DEFAULT)

    def said(self, key: str) -> bool:
        """Tell whether somebody set `key`, be it to nothing."""
        return self.origin(key) != DEFAULT

    def asked(self, key: str) -> bool:
        """Tell whether a flag or a variable set `key`, this time."""
        return self.origin(key).startswith(("--", "DEVBOX_"))

    def text(self, key: str) -> str | None:
        """Return the value of `key` as a text, None where nobody said one and there is none by default."""
        value = getattr(self, key)
        return None if value in (None, ()) and not self.said(key) else TABLE[key].kind.write(value)

    def items(self) -> Iterator[tuple[str, str | None]]:
        """Yield key and value of each setting as they may be shown: without the passwords of proxies."""
        for key, setting in TABLE.items():
            yield key, setting.shown(self.text(key))

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{key}={value!r}' for key, value in self.items() if value is not None)})"


def _setting(key: str, *, flag: str, **declared: Any) -> Setting:
    return Setting(key, flag=flag or f"--{key.replace('_', '-')}", **declared)


TABLE: dict[str, Setting] = {one.name: _setting(one.name, **one.metadata) for one in fields(Settings) if one.metadata}
# What of the settings a generated contract depends on. Given as a flag, it makes devbox write its contract again.
CHOICES = tuple(key for key, setting in TABLE.items() if setting.choice)
# Of these, what means something on one machine or for one person alone.
PERSONAL = tuple(key for key in CHOICES if TABLE[key].personal)
# What `up` alone has options for, beside them.
DOTFILES = tuple(key for key in TABLE if key.startswith("dotfiles_"))
# What else of the settings is in a contract.
WRITTEN = tuple(key for key, setting in TABLE.items() if setting.written)
# What of a checkout's own files the person is asked for.
OF_CHECKOUTS = tuple(key for key, setting in TABLE.items() if setting.checkouts.how == "asked")
# What of them can be laid over a contract that devbox has not written.
LAID = tuple(key for key, setting in TABLE.items() if setting.laid)
