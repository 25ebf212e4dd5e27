"""The table of settings: each one declared once, and from it the loader, the options of commands, and the pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, overload

from devbox.config import kinds
from devbox.config.kinds import Items, Kind, Named, One, Switch, checked, choice, plain
from devbox.masking import is_secret_name, masked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


T = TypeVar("T")

DEFAULT = "default"
# What was typed on the command line: by the settings' keys, a text or a list of them.
Flags = Mapping[str, Any]


class Setting(NamedTuple):
    """A setting. `help` says what it is; `more` goes on in Markdown, on the page; `default` says what holds without it.

    `flag`, `short` and `metavar` are its option, where a command has one. A `choice` is a flag of `up` that a contract
    records; what else a contract depends on is `written` into it; what can be put on top of one that devbox has not
    written is `laid` over it. `personal` means something on one machine or for one person alone. `secret` values are
    URLs that may hold a password. `reach` says what of the host a value gives to a container, None for nothing: a
    checkout's files may not, because a container and a colleague can write them.
    """

    key: str
    kind: Kind[Any]
    help: str
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
    reach: Callable[[Any], str | None] | None = None

    @property
    def variable(self) -> str:
        """The variable that makes the setting."""
        return f"DEVBOX_{self.key.upper()}"

    def shown(self, text: str | None) -> str | None:
        """Return a value, as a text, as it may be shown: without a password."""
        web = self.secret or (text or "").startswith(("http://", "https://"))
        return masked(text) if text and web else text


@overload
def _of(kind: Kind[T], help: str, *, value: T, **more: Any) -> T: ...
@overload
def _of(kind: Kind[T], help: str, **more: Any) -> T | None: ...
def _of(kind: Kind[Any], help: str, *, value: Any = None, flag: str = "", **more: Any) -> Any:  # noqa: A002
    """Return the field of a setting whose value is `value` where nobody says one."""
    return field(default=value, metadata={"kind": kind, "help": help, "flag": flag, **more})


def _host(_: object) -> str:
    return "gives a container more of this machine"


def _secrets_of_host(variables: Sequence[str]) -> str | None:
    found = next((name for name in variables if "=" not in name and is_secret_name(name)), None)
    return None if found is None else f"takes {found}, which looks like a secret of yours"


def _agreement(answer: str) -> str | None:
    return "agrees to everything in your place" if answer == "always" else None


TEXT = One(plain)
OPTIONAL = One(plain, none=True)
FILE = One(kinds.path, none=True)


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """The settings in force. None and () are what nobody said, or switched off. Paths are absolute."""

    # fmt: off
    framework: str | None = _of(
        TEXT, "The framework of the checkout.", default="detected", short="-f", metavar="NAME")
    variant: str | None = _of(
        TEXT, "The framework's variant, such as cuda13 or cpu.", default="the framework's", choice=True,
        metavar="NAME")
    base_image: str | None = _of(
        TEXT, "Build on this image; 'package' means the package base.", default="the framework's", choice=True,
        metavar="IMAGE")
    gpus: str | None = _of(
        One(kinds.gpu_choice), "The GPUs that the container gets.", default="auto", choice=True, laid=True,
        metavar="none|auto|all|0,1|UUID")
    arch: str | None = _of(
        One(checked(kinds.arch)), "The GPU architectures to compile for.", default="auto", choice=True,
        metavar="auto|90|9.0")
    user: str | None = _of(
        One(checked(kinds.user)), "Who you are inside.", default="host", choice=True, laid=True, personal=True,
        metavar="host|root|UID:GID[:NAME]")
    build_type: str | None = _of(
        TEXT, "The build type, such as Release or Debug.", default="the framework's", flag="--type", metavar="TYPE")
    jobs: int | None = _of(
        One(kinds.whole("jobs")), "How many compilers, or tests, at once.", default="what memory allows", short="-j",
        metavar="N")
    compiler_cache: str = _of(
        One(choice("compiler cache", "ccache", "sccache", "none"), needed=True), "The compiler cache.",
        more="[More](../caches.md).", value="ccache", written=True, metavar="ccache|sccache|none")
    ccache_size: str = _of(
        One(checked(kinds.size), needed=True), "How large the compiler cache may grow.", value="20G", written=True,
        metavar="SIZE")
    cache_remote: str | None = _of(
        OPTIONAL, "A storage that machines share.", secret=True,
        metavar="redis://HOST:PORT|s3://BUCKET|gs://BUCKET|none")
    cache_group: str | None = _of(
        TEXT, "A group of this machine that shares the compiler cache.", written=True, metavar="GROUP")
    compiler_prefix: str | None = _of(
        TEXT, "A program before the compiler where the cache has nothing, such as icecc.", metavar="PROGRAM")
    find_links: Path | None = _of(  # noqa: RUF009  # it makes a field
        FILE, "A folder of wheels that image builds may install from.", choice=True, personal=True,
        metavar="FOLDER|none")
    services: tuple[str, ...] | None = _of(
        Items(kinds.service), "What runs beside the container, with --compose.", default="the framework's",
        choice=True, metavar="redis,etcd|none")
    repositories: tuple[Path, ...] = _of(
        Items(kinds.path), "Further checkouts in the same container.", value=(), choice=True, personal=True,
        reach=_host, metavar="PATH,…|none")
    mounts: tuple[str, ...] = _of(
        Items(kinds.mount, lines=True), "A further mount.",
        more="[More](../guide.md#mounts-variables-and-ports-of-your-own).", value=(), flag="--mount", choice=True,
        laid=True, personal=True, reach=_host, metavar="SOURCE:TARGET[:ro]|type=…|none")
    env: tuple[str, ...] = _of(
        Items(kinds.variable, lines=True), "A variable; by its name, the host's.", value=(), short="-e", choice=True,
        laid=True, reach=_secrets_of_host, metavar="NAME[=VALUE]|none")
    ports: tuple[str, ...] = _of(
        Items(kinds.port, numbers=True), "A port to publish, on this machine alone unless an address is named.",
        value=(), flag="--port", short="-p", choice=True, laid=True, metavar="[[ADDRESS:]OUTER:]INNER|none")
    run_args: tuple[str, ...] = _of(
        Items(kinds.run_argument, lines=True), "A word for `docker run`, such as --network=host.",
        more="Not with compose.", value=(), flag="--run-arg", choice=True, laid=True, personal=True, reach=_host,
        metavar="WORD|none")
    features: tuple[tuple[str, str], ...] = _of(
        Named(kinds.feature, bare=True), "A Feature beside the contract's own.",
        more="In a file, a list of them, or a table with their options.", value=(), choice=True, laid=True,
        metavar="ID|{ID:OPTIONS}|none")
    hooks: tuple[tuple[str, str], ...] = _of(
        Named(kinds.hook), "Lifecycle commands of your own, after the contract's.",
        more='A table: `postCreateCommand = "…"`.', value=(), written=True, laid=True, metavar="{NAME:COMMAND}|none")
    push_rewrite: tuple[str, ...] = _of(
        Items(plain), "Push under another name: OLD in it becomes NEW.", more="Of `image push`.", value=(),
        flag="--rewrite", metavar="OLD=NEW")
    ssh_agent: bool = _of(
        Switch(), "Whether a personal contract mounts the way to your ssh-agent.", value=True, written=True)
    ca_bundle: Path | None = _of(  # noqa: RUF009
        FILE, "A private CA bundle, PEM; `none` for none at all.", default="from the host", written=True,
        metavar="FILE|none")
    http_proxy: str | None = _of(
        OPTIONAL, "The proxy for http.", default="from the host", secret=True, metavar="URL|none")
    https_proxy: str | None = _of(
        OPTIONAL, "The proxy for https.", default="from the host", secret=True, metavar="URL|none")
    no_proxy: str | None = _of(
        OPTIONAL, "Hosts that are reached without a proxy.", default="from the host", metavar="HOST,…|none")
    features_lock: str = _of(
        One(choice("way to treat a lock file", "write", "frozen", "off"), needed=True),
        "The lock file of Features: `write` and honour it; `frozen`: it must be there and fit; `off`: neither read nor "
        "written.", value="write", metavar="write|frozen|off")
    devcontainer_trust: str = _of(
        One(choice("answer", "ask", "always"), needed=True),
        "What `devbox devcontainer`, which never asks, does with what reaches the host and is not agreed to.",
        more="`ask`: it ends, and `devbox up` asks. [More](../devcontainer-cli.md#consent).", value="ask",
        reach=_agreement, metavar="ask|always")
    dotfiles_repository: str | None = _of(
        OPTIONAL, "Your dotfiles, cloned into the container once.", more="[More](lifecycle.md#dotfiles).",
        metavar="URL|OWNER/REPO")
    dotfiles_install_command: str | None = _of(
        TEXT, "What installs them, in their folder.", default="the first script found", metavar="COMMAND")
    dotfiles_target_path: str | None = _of(
        TEXT, "Where they go.", default="~/dotfiles", metavar="FOLDER")
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
# What of them can be laid over a contract that devbox has not written.
LAID = tuple(key for key, setting in TABLE.items() if setting.laid)
