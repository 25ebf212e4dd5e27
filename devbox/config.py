"""Settings: what a person has chosen, in layers, each value with the place it came from.

Weakest first: built-in defaults, the user's config.toml, devbox.toml and devbox.local.toml of the workspace, DEVBOX_*
variables, flags. Framework files hold no settings; they say what a framework is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from devbox import toml
from devbox.errors import ConfigError, UsageError
from devbox.masking import is_secret_name
from devbox.paths import config_dir

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

DEFAULT = "default"
_PATHS = frozenset({"find_links", "ca_bundle", "repositories"})
# A table of a checkout's files that holds no settings: `devbox.frameworks.sources` reads it.
_FRAMEWORKS = "frameworks"
# A file may write these as a list of strings.
_LISTS = frozenset({"services", "repositories", "push_rewrite", "ports", "mounts", "env", "run_args"})
# Of these, the ones whose items may hold commas: in a string, each stands on a line of its own.
_LINES = frozenset({"mounts", "env", "run_args"})
# Of a list, a flag gives one item at a time.
_FLAGS = {"mounts": "--mount", "env": "--env", "ports": "--port", "run_args": "--run-arg"}
# What gives a container more of the host. A container can write the files of its checkout, and so can a colleague.
_OWN = frozenset({"mounts", "run_args", "repositories"})
_OWN_FILE = "config.toml"
# A file may write these as a boolean.
_SWITCHES = frozenset({"ssh_agent"})
# URLs that may hold a password.
_URLS = frozenset({"http_proxy", "https_proxy", "cache_remote"})
_COMPILER_CACHES = ("ccache", "sccache", "none")
# devcontainer-lock.json is written and honoured; must be there and fit; or is neither read nor written.
_LOCKS = ("write", "frozen", "off")
# The value that switches off what the environment would otherwise supply.
NONE = "none"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
# What tools fill in from the host's environment.
_HOST_VARIABLE = re.compile(r"\$\{(?:local)?[eE]nv:")
# A variable among the words for `docker run`: by itself, after `-e`, or in one word with the option.
_VARIABLE_ARGUMENT = re.compile(r"(?:--env=|-e=?)?([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.ASCII | re.DOTALL)
_BUNDLE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")


@dataclass(frozen=True, slots=True, repr=False)
class Settings:
    """The settings in force. All are strings as a person wrote them, or None; paths are absolute.

    `services` are names with commas between them, `repositories` paths, `push_rewrite` replacements OLD=NEW, `ports` as
    `-p` takes them. Of `mounts`, `env` and `run_args` each stands on a line. `words` splits them.
    """

    framework: str | None = None
    variant: str | None = None
    base_image: str | None = None
    gpus: str | None = None
    arch: str | None = None
    user: str | None = None
    build_type: str | None = None
    jobs: str | None = None
    compiler_cache: str | None = "ccache"
    ccache_size: str | None = "20G"
    cache_remote: str | None = None
    cache_group: str | None = None
    compiler_prefix: str | None = None
    find_links: str | None = None
    services: str | None = None
    repositories: str | None = None
    mounts: str | None = None
    env: str | None = None
    ports: str | None = None
    run_args: str | None = None
    push_rewrite: str | None = None
    ca_bundle: str | None = None
    http_proxy: str | None = None
    https_proxy: str | None = None
    no_proxy: str | None = None
    features_lock: str | None = "write"
    ssh_agent: str | None = "true"
    dotfiles_repository: str | None = None
    dotfiles_install_command: str | None = None
    dotfiles_target_path: str | None = None
    origins: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    def origin(self, key: str) -> str:
        """Return where the value of `key` came from: a file, a variable, a flag or "default"."""
        return dict(self.origins).get(key, DEFAULT)

    def asked(self, key: str) -> str | None:
        """Return the value of `key` if a flag or a variable asked for it, this time; None if a file or nobody did."""
        return getattr(self, key) if self.origin(key).startswith(("--", "DEVBOX_")) else None

    def items(self) -> Iterator[tuple[str, str | None]]:
        """Yield key and value of each setting as they may be shown: without the passwords of proxies."""
        for key in KEYS:
            yield key, shown(key, getattr(self, key))

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{key}={value!r}' for key, value in self.items() if value is not None)})"


KEYS: tuple[str, ...] = tuple(one.name for one in fields(Settings) if one.name != "origins")


@dataclass(frozen=True, slots=True, repr=False)
class Network:
    """What a build or a container needs to reach the network: a CA bundle on the host, and proxies.

    A proxy's URL may hold a password: it goes neither into an argv nor a file, and is not shown here.
    """

    ca_bundle: Path | None = None
    http_proxy: str | None = None
    https_proxy: str | None = None
    no_proxy: str | None = None

    def proxies(self) -> dict[str, str]:
        """Return the proxy variables that are set, in lower and upper case: programs disagree about which they read."""
        values = {"http_proxy": self.http_proxy, "https_proxy": self.https_proxy, "no_proxy": self.no_proxy}
        lower = {name: value for name, value in values.items() if value}
        return lower | {name.upper(): value for name, value in lower.items()}

    @property
    def secret(self) -> bool:
        """Whether a proxy's URL holds a password, so that the proxy variables may only travel in an environment."""
        return any(has_password(url) for url in (self.http_proxy, self.https_proxy) if url)

    def __repr__(self) -> str:
        shown = [masked(url) if url else None for url in (self.http_proxy, self.https_proxy)]
        return (
            f"Network(ca_bundle={self.ca_bundle!r}, http_proxy={shown[0]!r}, https_proxy={shown[1]!r}, "
            f"no_proxy={self.no_proxy!r})"
        )


def has_password(url: str) -> bool:
    """Return whether a URL names a user or a password before its host."""
    return "@" in _authority(url)


def masked(url: str) -> str:
    """Return `url` with `***` in the place of the user and the password."""
    authority = _authority(url)
    return url.replace(authority, f"***@{authority.rpartition('@')[2]}", 1) if "@" in authority else url


def passwords(urls: Iterable[str]) -> Iterator[str]:
    """Yield what must not be shown of `urls`: user and password, and the password by itself."""
    for url in urls:
        login = _authority(url).rpartition("@")[0]
        yield from (text for text in (login, login.partition(":")[2]) if text)


def _authority(url: str) -> str:
    # A proxy may be written without a scheme, and a password with a slash that should have been quoted.
    rest = url.partition("://")[2] or url
    before, at, after = rest.rpartition("@")
    return f"{before}{at}{re.split(r'[/?#]', after, maxsplit=1)[0]}"


def shown(key: str, value: str | None) -> str | None:
    """Return a setting's value as it may be shown."""
    web = key in _URLS or (value or "").startswith(("http://", "https://"))
    return masked(value) if value and web else value


def flag(key: str) -> str:
    """Return the flag that makes a setting."""
    return _FLAGS.get(key, f"--{key.replace('_', '-')}")


def words(settings: Settings, key: str) -> tuple[str, ...]:
    """Return the items of a setting that is a list; `none` is no item."""
    value: str = getattr(settings, key) or ""
    items = value.split("\n") if key in _LINES else [item.strip() for item in value.split(",")]
    return tuple(item for item in items if item.strip() not in {"", NONE})


def in_line(text: str) -> str:
    """Return the value of a setting without line breaks."""
    return ", ".join(text.split("\n"))


def is_secret(name: str, value: str) -> bool:
    """Tell whether a variable looks like a secret, by its name or because it is a URL with a password."""
    return is_secret_name(name) or ("://" in value and has_password(value))


def load(
    workspace: Path | None, *, environ: Mapping[str, str], flags: Mapping[str, object], personal: bool = True
) -> Settings:
    """Return the settings for `workspace` (None: no workspace, so no file of it).

    `flags` maps keys to values, or to the items of a list; None means that the flag was not given. Without `personal`
    the files of one person alone are left out. Raises ConfigError for a file with an unknown key or a wrong type,
    UsageError for a variable or a flag whose value makes no sense.
    """
    values: dict[str, str] = {}
    origins: dict[str, str] = {}
    for key, value, origin in layers(workspace, environ=environ, flags=flags, personal=personal):
        values[key], origins[key] = value, origin
    return Settings(**values, origins=tuple(origins.items()))


def layers(
    workspace: Path | None, *, environ: Mapping[str, str], flags: Mapping[str, object], personal: bool = True
) -> Iterator[tuple[str, str, str]]:
    """Yield key, value and origin of every setting that is made anywhere, weakest first. Raises as `load` does."""
    for key, value, origin in _layers(workspace, environ, flags, personal=personal):
        _check(key, value, origin)
        yield key, value, origin


def _layers(
    workspace: Path | None, environ: Mapping[str, str], flags: Mapping[str, object], *, personal: bool
) -> Iterator[tuple[str, str, str]]:
    paths = [config_dir() / _OWN_FILE] if personal else []
    if workspace is not None:
        paths += [workspace / "devbox.toml", *([workspace / "devbox.local.toml"] if personal else [])]
    for path in paths:
        yield from _from_file(path)
    for key in KEYS:
        # An empty variable is how a shell or a CI file says "not set".
        if value := environ.get(name := f"DEVBOX_{key.upper()}"):
            yield key, _absolute(key, value, Path.cwd()), name
    for key, given in flags.items():
        if key not in KEYS:
            raise toml.unknown_key(flag(key), key, KEYS)
        if given is not None:
            text = _joined(key, given, flag(key)) if isinstance(given, (list, tuple)) else str(given)
            yield key, _absolute(key, text, Path.cwd()), flag(key)


def _from_file(path: Path) -> Iterator[tuple[str, str, str]]:
    try:
        table = toml.read(path)
    except FileNotFoundError:
        return
    for key, value in table.items():
        own = path.name == _OWN_FILE
        if key == _FRAMEWORKS and not own:
            continue
        if key not in KEYS:
            raise toml.unknown_key(path, key, KEYS)
        if key in _OWN and not own:
            raise ConfigError(
                f"{path}: '{key}' gives a container more of this machine, and a container can write this file",
                hint=f"devbox up {flag(key)} …   # or {key} in {config_dir() / _OWN_FILE}",
            )
        if key in _LISTS and isinstance(value, list) and all(_is_item(key, item) for item in value):
            value = _joined(key, value, path)  # noqa: PLW2901  # as a string it could have been written, too
        if key in _SWITCHES and isinstance(value, bool):
            yield key, str(value).lower(), str(path)
            continue
        # `jobs = 8` and `arch = 90` are what a person writes; a boolean is an int to Python alone.
        if not isinstance(value, (str, int)) or isinstance(value, bool):
            raise toml.wrong_type(path, key, "a list of strings" if key in _LISTS else "a string", value)
        if key == "env" and not own:
            _must_not_take_secrets(str(value), path)
        yield key, _absolute(key, str(value), path.parent), str(path)


def _is_item(key: str, item: object) -> bool:
    return isinstance(item, str) or (key == "ports" and isinstance(item, int) and not isinstance(item, bool))


def _joined(key: str, items: Iterable[object], origin: object) -> str:
    """Return a list as the string that it is kept as."""
    found = [str(item) for item in items]
    if key not in _LINES:
        return ",".join(found)
    if any("\n" in item or "\r" in item for item in found):
        raise UsageError(f"{origin}: an item of '{key}' has more than one line", hint="a file of your own, mounted")
    return "\n".join(found)


def _must_not_take_secrets(env: str, path: Path) -> None:
    for name in env.split("\n"):
        if "=" not in name and is_secret_name(name):
            raise ConfigError(
                f"{path}: {name} looks like a secret of yours, and a container can write this file",
                hint=f"devbox up --env {name}   # or env in {config_dir() / _OWN_FILE}",
            )


def _absolute(key: str, value: str, folder: Path) -> str:
    """Return a path as an absolute one; in a file, it is relative to the file. Other values stay as they are."""
    if key == "mounts":
        return "\n".join(_absolute_source(line, folder) for line in value.split("\n"))
    if key not in _PATHS or value in {"", NONE}:
        return value
    words = value.split(",") if key in _LISTS else [value]
    return ",".join(str(folder / Path(word.strip()).expanduser()) for word in words if word.strip())


def _absolute_source(mount: str, folder: Path) -> str:
    """Return a mount in docker's short form with the folder that it names as an absolute path."""
    source, colon, rest = mount.partition(":")
    if not colon or not source.startswith((".", "~")):
        return mount
    return f"{folder / Path(source).expanduser()}{colon}{rest}"


def _check(key: str, value: str, origin: str) -> None:
    if key == "env":
        _check_variables(value, origin)
    if key == "run_args":
        _check_run_args(value, origin)
    if key == "jobs" and not (value.isascii() and value.isdigit() and int(value) > 0):
        raise UsageError(f"{origin}: '{value}' is no number of jobs", hint="a whole number of 1 or more")
    if key in _SWITCHES and value not in {"true", "false"}:
        raise UsageError(f"{origin}: '{value}' is neither true nor false", hint=f"{key} = true   # or false")
    if key == "features_lock" and value not in _LOCKS:
        raise UsageError(f"{origin}: '{value}' is no way to treat a lock file", hint=f"one of {', '.join(_LOCKS)}")
    if key == "compiler_cache" and value not in _COMPILER_CACHES:
        raise UsageError(f"{origin}: '{value}' is no compiler cache", hint=f"one of {', '.join(_COMPILER_CACHES)}")
    if key == "ccache_size" and not re.fullmatch(r"\d+(\.\d+)?\s*([kMGT]i?)?B?", value, re.ASCII):
        raise UsageError(f"{origin}: '{value}' is no size", hint="a number and a unit, such as 20G or 500M")


def _check_variables(value: str, origin: str) -> None:
    for line in value.split("\n"):
        name, equals, text = line.partition("=")
        if line.strip() not in {"", NONE} and not _NAME.fullmatch(name):
            raise UsageError(f"{origin}: '{name}' is no name of a variable", hint="--env NAME=VALUE, or --env NAME")
        if equals and is_secret(name, text):
            raise UsageError(
                f"{origin}: {name} looks like a secret, and would be seen in the contract and the container",
                hint=f"export {name}=…   # then --env {name}, without a value",
            )
        if _HOST_VARIABLE.search(text):
            raise UsageError(
                f"{origin}: the value of {name} is made from the host's environment",
                hint="--env NAME   # without =VALUE",
            )


def _check_run_args(value: str, origin: str) -> None:
    for line in value.split("\n"):
        variable = _VARIABLE_ARGUMENT.fullmatch(line)
        if variable is not None and is_secret(variable[1], variable[2]):
            raise UsageError(
                f"{origin}: {variable[1]} looks like a secret, and would be seen in the contract and the container",
                hint=f"export {variable[1]}=…   # then --env {variable[1]}",
            )


def network(settings: Settings, environ: Mapping[str, str]) -> Network:
    """Return the CA bundle and the proxies: from the settings, else from the host's usual variables in `environ`.

    A setting of "none" switches off what `environ` says. Raises ConfigError if the settings name a bundle that is not
    there; a variable that names none is passed over.
    """
    return Network(
        ca_bundle=_bundle(settings, environ),
        http_proxy=_proxy(settings.http_proxy, "http_proxy", environ),
        https_proxy=_proxy(settings.https_proxy, "https_proxy", environ),
        no_proxy=_proxy(settings.no_proxy, "no_proxy", environ),
    )


def ambient(environ: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return what the host's usual variables say where no setting does: value and variable, by the setting's key."""
    found = {}
    for name in _BUNDLE_VARIABLES:
        path = Path(environ.get(name) or "/")
        # REQUESTS_CA_BUNDLE may name a folder of certificates, which no other tool takes.
        if "ca_bundle" not in found and path.is_absolute() and path.is_file():
            found["ca_bundle"] = (str(path), name)
    for key in ("http_proxy", "https_proxy", "no_proxy"):
        for name in (key.upper(), key):
            if environ.get(name):
                found[key] = (environ[name], name)
    return found


def _bundle(settings: Settings, environ: Mapping[str, str]) -> Path | None:
    if settings.ca_bundle == NONE:
        return None
    if settings.ca_bundle:
        path = Path(settings.ca_bundle)
        if not path.is_file():
            origin = settings.origin("ca_bundle")
            raise ConfigError(f"{origin}: the CA bundle {path} is not there", hint="DEVBOX_CA_BUNDLE=none devbox …")
        return path
    found = ambient(environ).get("ca_bundle")
    return None if found is None else Path(found[0])


def _proxy(setting: str | None, name: str, environ: Mapping[str, str]) -> str | None:
    if setting is not None:
        return None if setting in {"", NONE} else setting
    return ambient(environ).get(name, (None, ""))[0]
