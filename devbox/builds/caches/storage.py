"""The storage that machines share, and how ccache and sccache reach it.

Its credentials are taken from the URL or from the environment that devbox runs in, and travel to the container through
the build's stdin: they are in no argv, file, label or log.
"""

from __future__ import annotations

from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, unquote, urlsplit

from devbox.errors import UsageError
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# What each kind of storage is reached with. A variable of the environment that devbox runs in is passed on by its name.
_CCACHE_URL = "CCACHE_REMOTE_STORAGE"
_AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_KEY_FILES = ("SCCACHE_GCS_KEY_PATH", "GOOGLE_APPLICATION_CREDENTIALS")
_SCHEMES = {
    "ccache": ("redis", "redis+unix", "http", "file"),
    "sccache": ("redis", "rediss", "s3", "gs"),
}
_EXAMPLE = 'cache_remote = "redis://cache.example.org:6379"'


@dataclass(frozen=True, slots=True, repr=False)
class Storage:
    """A storage that machines share. `secrets` are variables, `files` the texts of key files by their variable."""

    url: str
    variables: Mapping[str, str] = field(default_factory=dict, hash=False)
    secrets: Mapping[str, str] = field(default_factory=dict, hash=False)
    files: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __repr__(self) -> str:
        return f"Storage({self.url!r})"

    def values(self) -> Iterator[str]:
        """Yield the values that nobody may see."""
        for name, value in self.secrets.items():
            if name != _CCACHE_URL:
                yield value
            elif password := urlsplit(value).netloc.rpartition("@")[0].rpartition(":")[2]:
                yield from (password, unquote(password))
        yield from self.files.values()


def of_image_build(url: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which sccache in an image build reaches the storage at `url`, credentials among them.

    Raises UsageError for a URL that is none, and for a storage that takes a key file.
    """
    try:
        found = storage("sccache", url, environ)
    except UsageError as error:
        text = error.message.replace("cache_remote", "--sccache")
        raise UsageError(text, hint="--sccache redis://HOST:6379   # or s3://BUCKET/PREFIX?region=…") from None
    if found.files:
        raise UsageError(
            f"an image build cannot use {found.url}: it takes a key file", hint="a redis:// or s3:// storage"
        )
    return {**found.variables, **found.secrets}


def storage(kind: str, url: str, environ: Mapping[str, str]) -> Storage:
    """Return how `kind` (ccache or sccache) reaches the storage at `url`, with the credentials that `environ` has.

    ccache takes `redis://`, `redis+unix:`, `http://` and `file:` (its own notation); sccache takes `redis[s]://`,
    `s3://BUCKET/PREFIX?region=…&endpoint=…` and `gs://BUCKET/PREFIX`. Raises UsageError for any other.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise UsageError(f"cache_remote is no URL: {error}", hint=_EXAMPLE) from None
    if parts.scheme not in _SCHEMES[kind]:
        other = next((name for name, schemes in _SCHEMES.items() if parts.scheme in schemes), None)
        raise UsageError(
            f"{kind} cannot share its cache by '{parts.scheme or url}'",
            hint=f'compiler_cache = "{other}"   # it can' if other else _EXAMPLE,
        )
    if not (parts.netloc or parts.path.strip("/")):
        raise UsageError(f"cache_remote names no place: '{parts.scheme}:'", hint=_EXAMPLE)
    shown = _shown(url)
    if kind == "ccache":
        return Storage(shown, secrets={_CCACHE_URL: _with_password(url, environ)})
    if parts.scheme == "s3":
        return Storage(shown, _s3(url), {name: environ[name] for name in _AWS if environ.get(name)})
    if parts.scheme == "gs":
        return Storage(shown, _gcs(url), files=_key_file(environ))
    return _redis(url, shown, environ)


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _with_password(url: str, environ: Mapping[str, str]) -> str:
    """Return the URL as ccache reads it, with the credentials of the environment where it has none of its own.

    ccache takes what stands alone before the `@` for the password, and knows no empty user name.
    """
    parts = urlsplit(url)
    if parts.scheme != "redis":
        return url
    user = parts.username or quote(environ.get("SCCACHE_REDIS_USERNAME", ""), safe="")
    password = parts.password or quote(environ.get("SCCACHE_REDIS_PASSWORD", ""), safe="")
    if not password:
        return url
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{user}:{password}@{place}" if user else f"{password}@{place}").geturl()


def _redis(url: str, shown: str, environ: Mapping[str, str]) -> Storage:
    parts = urlsplit(url)
    variables = {"SCCACHE_REDIS_ENDPOINT": f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"}
    if parts.path.strip("/"):
        variables["SCCACHE_REDIS_DB"] = parts.path.strip("/")
    user = unquote(parts.username or "") or environ.get("SCCACHE_REDIS_USERNAME", "")
    password = unquote(parts.password or "") or environ.get("SCCACHE_REDIS_PASSWORD", "")
    if user and not password:
        # One word before the `@`, which ccache takes for the password: one URL means the same to both.
        user, password = "", user
    secrets = {"SCCACHE_REDIS_USERNAME": user, "SCCACHE_REDIS_PASSWORD": password}
    return Storage(shown, variables, {name: value for name, value in secrets.items() if value})


def _s3(url: str) -> dict[str, str]:
    parts, more = urlsplit(url), _query(url, ("region", "endpoint", "ssl"))
    try:
        _ = urlsplit(more.get("endpoint", "")).port
    except ValueError as error:
        raise UsageError(f"the endpoint of cache_remote is no URL: {error}", hint="endpoint=http://HOST:PORT") from None
    found = {
        "SCCACHE_BUCKET": parts.netloc,
        "SCCACHE_S3_KEY_PREFIX": parts.path.strip("/"),
        "SCCACHE_REGION": more.get("region", "auto" if "endpoint" in more else ""),
        "SCCACHE_ENDPOINT": more.get("endpoint", ""),
        "SCCACHE_S3_USE_SSL": more.get("ssl", ""),
    }
    return {name: value for name, value in found.items() if value}


def _gcs(url: str) -> dict[str, str]:
    parts, more = urlsplit(url), _query(url, ("mode",))
    found = {
        "SCCACHE_GCS_BUCKET": parts.netloc,
        "SCCACHE_GCS_KEY_PREFIX": parts.path.strip("/"),
        "SCCACHE_GCS_RW_MODE": more.get("mode", "READ_WRITE"),
    }
    return {name: value for name, value in found.items() if value}


def _query(url: str, known: tuple[str, ...]) -> dict[str, str]:
    found = {name: values[-1] for name, values in parse_qs(urlsplit(url).query).items()}
    strange = sorted(set(found) - set(known))
    if strange:
        raise UsageError(f"cache_remote knows no '{strange[0]}' in {_shown(url)}", hint=f"one of {', '.join(known)}")
    return found


def _key_file(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the text of the key file that the environment names: the container gets it in memory."""
    for name in _KEY_FILES:
        path = environ.get(name)
        if path:
            try:
                return {"SCCACHE_GCS_KEY_PATH": Path(path).read_text(encoding="utf-8")}
            except OSError as error:
                raise UsageError(f"{name} names {path}: {error.strerror}", hint=f"{name}=FILE devbox build") from None
    return {}
