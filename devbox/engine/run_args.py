"""The options of `docker run` that a contract's `runArgs` give: read by an allow-list, and written again.

They are read as docker's client reads them: long and short names, values in the same word or the next, several switches
in one word. What is written again has one form, `--name=value` or `--name`, so that nothing in it can be taken for
anything else than what was judged.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from devbox.engine.spec import PROPAGATIONS, VOLUME_NAME, Mount, absolute, plain, switched
from devbox.errors import ContractError
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Source: `docker run --help` and `cli/command/container/opts.go` of docker's client, with those of its newer releases.
SWITCHES = frozenset({
    "detach", "disable-content-trust", "help", "init", "interactive", "no-healthcheck", "oom-kill-disable",
    "privileged", "publish-all", "quiet", "read-only", "rm", "sig-proxy", "tty", "use-api-socket",
})  # fmt: skip
VALUED = frozenset({
    "add-host", "annotation", "attach", "blkio-weight", "blkio-weight-device", "cap-add", "cap-drop", "cgroup-parent",
    "cgroupns", "cidfile", "cpu-count", "cpu-percent", "cpu-period", "cpu-quota", "cpu-rt-period", "cpu-rt-runtime",
    "cpu-shares", "cpus", "cpuset-cpus", "cpuset-mems", "detach-keys", "device", "device-cgroup-rule",
    "device-read-bps", "device-read-iops", "device-write-bps", "device-write-iops", "dns", "dns-option", "dns-search",
    "domainname", "entrypoint", "env", "env-file", "expose", "gpus", "group-add", "health-cmd", "health-interval",
    "health-retries", "health-start-interval", "health-start-period", "health-timeout", "hostname", "io-maxbandwidth",
    "io-maxiops", "ip", "ip6", "ipc", "isolation", "kernel-memory", "label", "label-file", "link", "link-local-ip",
    "log-driver", "log-opt", "mac-address", "memory", "memory-reservation", "memory-swap", "memory-swappiness",
    "mount", "name", "network", "network-alias", "oom-score-adj", "pid", "pids-limit", "platform", "publish", "pull",
    "restart", "runtime", "security-opt", "shm-size", "stop-signal", "stop-timeout", "storage-opt", "sysctl", "tmpfs",
    "ulimit", "user", "userns", "uts", "volume", "volume-driver", "volumes-from", "workdir",
})  # fmt: skip
_ALIASES = {"net": "network", "net-alias": "network-alias", "dns-opt": "dns-option"}
_SHORT = {
    "a": "attach", "c": "cpu-shares", "d": "detach", "e": "env", "h": "hostname", "i": "interactive", "l": "label",
    "m": "memory", "p": "publish", "P": "publish-all", "q": "quiet", "t": "tty", "u": "user", "v": "volume",
    "w": "workdir",
}  # fmt: skip
# A value may have several lines.
_TEXTS = frozenset({"annotation", "env", "health-cmd", "label", "log-opt"})
_UNKNOWN = re.compile(r"--([a-z][a-z0-9-]*)(?:=(.*))?", re.ASCII | re.DOTALL)
_LABEL = re.compile(r"""[!#-&(-<>-\[\]-~]+""", re.ASCII)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_NUMBER = re.compile(r"-?\d+", re.ASCII)
_MARKS = ("devbox.", "devcontainer.", "dev.containers.", "com.docker.compose.")
# What of `-v SOURCE:TARGET:MODE` may stand at its end.
_MODES = frozenset({
    "ro", "rw", "z", "Z", "nocopy", "cached", "delegated", "consistent", "private", "rprivate", "shared", "rshared",
    "slave", "rslave",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunArg:
    """One option of `docker run` by its long name. `value` is None for a switch that is on."""

    name: str
    value: str | None = None

    @property
    def word(self) -> str:
        """The option as one word of an argv."""
        return f"--{self.name}" if self.value is None else f"--{self.name}={self.value}"

    @property
    def is_known(self) -> bool:
        """Whether this is an option of docker's that devbox knows the meaning of."""
        return self.name in SWITCHES or self.name in VALUED


@dataclass(frozen=True, slots=True)
class Volume:
    """One `-v`: a bind mount or a named or nameless volume, in docker's short form."""

    target: str
    source: str | None = None
    modes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ":".join([*([self.source] if self.source is not None else []), self.target, *self._mode()])

    def _mode(self) -> list[str]:
        return [",".join(self.modes)] if self.modes else []

    @property
    def mount(self) -> Mount:
        """What it mounts, as the other form says it."""
        is_bind = (self.source or "").startswith("/")
        spread = tuple(("bind-propagation", mode) for mode in self.modes if mode in PROPAGATIONS)
        return Mount("bind" if is_bind else "volume", self.target, self.source, "ro" in self.modes, spread)

    @classmethod
    def parse(cls, text: str, folder: str) -> Volume:
        """Read the value of `-v`; a relative source counts from `folder`. Raises ContractError, naming it."""
        what = f"the volume {text!r}"
        parts = plain(text, what).split(":")
        source, target, mode = (None, parts[0], None) if len(parts) == 1 else (*parts, None)[:3]
        if len(parts) > 3 or not target or not target.startswith("/") or source == "" or mode == "":
            raise ContractError(f"{what} cannot be read; it is written as SOURCE:TARGET or SOURCE:TARGET:ro")
        if source is not None and source.startswith((".", "/")):
            source = absolute(source if source.startswith("/") else f"{folder}/{source}")
            if ":" in source:
                raise ContractError(f"{what} has a colon in its source, which only the form of --mount can say")
        elif source is not None and not VOLUME_NAME.fullmatch(source):
            raise ContractError(f"{what} has a source that is neither an absolute path nor a volume's name")
        modes = () if mode is None else tuple(mode.split(","))
        if not _MODES.issuperset(modes) or len(set(modes)) != len(modes) or {"ro", "rw"} <= set(modes):
            raise ContractError(f"{what} has '{mode}', which is no mode of a volume")
        return cls(absolute(target), source, modes)


def parse(arguments: Sequence[str], folder: str) -> tuple[RunArg, ...]:
    """Return the options that `runArgs` give, each value in one spelling; relative sources count from `folder`.

    A long option that is not known is taken by itself or with its value in the same word: it is the caller's to judge.
    Raises ContractError for what cannot be read without doubt: a word that is no option, a value that looks like one.
    """
    return tuple(_checked(name, value, folder) for name, value in _options(list(arguments)))


def _options(words: list[str]) -> Iterator[tuple[str, str | None]]:
    while words:
        word = words.pop(0)
        if not word.startswith("-") or word in {"-", "--"}:
            raise ContractError(f"runArgs: {word!r} is no option of docker run: it would be taken for the image")
        if word.startswith("--"):
            yield _long(word, words)
        else:
            yield from _shorts(word, words)


def _long(word: str, words: list[str]) -> tuple[str, str | None]:
    match = _UNKNOWN.fullmatch(word)
    if match is None:
        raise ContractError(f"runArgs: {word!r} is no option of docker run")
    name, value = _ALIASES.get(match[1], match[1]), match[2]
    if name in VALUED and value is None:
        return name, _next(f"--{match[1]}", words)
    if name not in VALUED and name not in SWITCHES and value is None and words and not words[0].startswith("-"):
        raise ContractError(
            f"runArgs: devbox does not know whether {word} takes {words[0]!r} for its value",
            hint=f"write {word}={words[0]} as one word",
        )
    return name, value


def _shorts(word: str, words: list[str]) -> Iterator[tuple[str, str | None]]:
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        name = _SHORT.get(letter)
        if name is None:
            raise ContractError(f"runArgs: '-{letter}' in {word!r} is no option of docker run")
        if name in VALUED:
            # pflag takes an equals sign between the letter and its value away.
            yield name, letters.removeprefix("=") if letters else _next(f"-{letter}", words)
            return
        if letters.startswith("="):
            yield name, letters[1:]
            return
        yield name, None


def _next(flag: str, words: list[str]) -> str:
    if not words:
        raise ContractError(f"runArgs: {flag} has no value")
    value = words.pop(0)
    if value.startswith("-") and not _NUMBER.fullmatch(value):
        equals = "=" if flag.startswith("--") else ""
        raise ContractError(
            f"runArgs: {flag} is followed by {value!r}, which docker would take for its value",
            hint=f"write {flag}{equals}{value} as one word, if that is what is meant",
        )
    return value


def _checked(name: str, value: str | None, folder: str) -> RunArg:
    """Return the option with its value read and written again."""
    plain(value or "", f"runArgs: the value of --{name}", lines=name in _TEXTS)
    if name in SWITCHES:
        return RunArg(name) if switched(value, f"runArgs: --{name}") else RunArg(name, "false")
    if value is None:
        return RunArg(name)
    match name:
        case "mount":
            value = Mount.parse(value).beside(folder).csv()
        case "volume":
            value = str(Volume.parse(value, folder))
        case "publish":
            from devbox.engine.ports import Published

            value = str(Published.parse(value))
        case "label":
            _label(value)
        case "env":
            _variable(value)
        case "device" if value.startswith("/"):
            place, colon, rest = value.partition(":")
            value = f"{absolute(place)}{colon}{rest}"
        case "env-file" | "label-file":
            value = absolute(f"{folder}/{value}" if not value.startswith("/") else value)
        case "security-opt":
            value = security_option(value, folder)
        case "network":
            from devbox.engine.networks import Network

            value = str(Network.parse(value))
    return RunArg(name, value)


def _variable(text: str) -> None:
    """See that a variable has a plain name. Raises ContractError for what an engine could take for several.

    Without a value it is the host's, and to Podman `NAME*` is each of the host's that begins so.
    """
    name, equals, _ = text.partition("=")
    if not name or not (equals or _NAME.fullmatch(name)) or "*" in name:
        raise ContractError(f"runArgs: {text!r} is no variable; it is written as NAME=VALUE, or NAME for the host's")


def security_option(text: str, folder: str) -> str:
    """Return a security option with its file named in full: docker looks for a profile where it is called from."""
    name, _, value = text.partition("=" if "=" in text else ":")
    if name != "seccomp" or value in {"", "builtin", "unconfined"}:
        return text
    return f"seccomp={absolute(value if value.startswith('/') else f'{folder}/{value}')}"


def _label(text: str) -> None:
    """See that a label is nobody's mark. Raises ContractError for one by which tools know their own containers."""
    key = text.partition("=")[0]
    if not _LABEL.fullmatch(key):
        raise ContractError(f"runArgs: {text!r} is no label; it is written as NAME=VALUE")
    if is_reserved_label(key):
        raise ContractError(f"runArgs: the label {key} is a mark by which tools know their own containers")


def is_reserved_label(key: str) -> bool:
    """Tell whether a label is one by which devbox, docker compose or an editor knows its containers."""
    return key.lower().startswith(_MARKS)
