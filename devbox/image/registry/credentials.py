"""Who a registry is told that you are: what `docker login` keeps, read as docker reads it.

Sources: docker's `config.json` (`auths`, `credsStore`, `credHelpers`), the protocol of docker-credential-helpers, and
the variables that the reference CLI reads.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from devbox.engine import process
from devbox.errors import ConfigError, EngineError
from devbox.paths import home
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

# What docker calls its own registry in its configuration.
_DOCKER_HUB = "https://index.docker.io/v1/"
_HELPER_SECONDS = 30.0
# A helper says by this user's name that the secret is an identity token.
_TOKEN_USER = "<token>"  # noqa: S105  # a name


@dataclass(frozen=True, slots=True)
class Credential:
    """A user with a password, or an identity token, which is exchanged for an access token. Never shown."""

    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    @property
    def basic(self) -> str:
        """The value of an `Authorization: Basic` header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


def credential_for(registry: str, environ: Mapping[str, str]) -> Credential | None:
    """Return the credential for `registry`, a host with an optional port; None for anonymous access.

    Raises ConfigError where docker's configuration cannot be read, EngineError where a helper is missing.
    """
    given = environ.get("DEVCONTAINERS_OCI_AUTH", "")
    for host, user, password in (item.split("|", 2) for item in given.split(",") if item.count("|") >= 2):
        if host == registry:
            return Credential(user, password)
    config = _config(environ)
    names = (_DOCKER_HUB,) if registry == "docker.io" else (registry, f"https://{registry}", f"http://{registry}")
    helpers: dict[str, Any] = config.get("credHelpers") or {}
    helper = next((helpers[name] for name in names if name in helpers), config.get("credsStore"))
    if helper:
        found = _ask(str(helper), names[0], environ)
        if found is not None:
            return found
    for key, entry in (config.get("auths") or {}).items():
        if isinstance(entry, dict) and (key in names or _host(key) == registry):
            found = _decoded(entry)
            if found is not None:
                return found
    token = environ.get("GITHUB_TOKEN")
    if registry == "ghcr.io" and token and environ.get("GITHUB_HOST", "github.com") == "github.com":
        return Credential("USERNAME", token)
    return None


def _config(environ: Mapping[str, str]) -> dict[str, Any]:
    folder = environ.get("DOCKER_CONFIG")
    path = (Path(folder) if folder else home() / ".docker") / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"docker's {path} cannot be read: {error}") from None
    return config if isinstance(config, dict) else {}


def _host(key: str) -> str:
    """Return the host of a key of `auths`, which may be a whole URL."""
    return key.partition("://")[2].partition("/")[0] if "://" in key else key.partition("/")[0]


def _decoded(entry: dict[str, Any]) -> Credential | None:
    if entry.get("identitytoken"):
        return Credential(identity_token=str(entry["identitytoken"]))
    try:
        user, colon, password = base64.b64decode(str(entry.get("auth") or "")).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    if colon:
        return Credential(user, password.rstrip("\0"))
    return Credential(str(entry["username"]), str(entry.get("password", ""))) if entry.get("username") else None


def _ask(helper: str, registry: str, environ: Mapping[str, str]) -> Credential | None:
    """Ask a credential helper; None where it has nothing for the registry."""
    program = f"docker-credential-{helper}"
    done = process.run(
        [program, "get"], check=False, input_text=registry, environ=dict(environ), timeout=_HELPER_SECONDS
    )
    if not done.ok:
        said = (done.stdout + done.stderr).strip()
        if "credentials not found" in said:
            return None
        raise EngineError(f"{program} has failed for {registry}", detail=said or None, hint=f"docker login {registry}")
    try:
        answer = json.loads(done.stdout)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        raise EngineError(f"{program} answered what is no credential for {registry}") from None
    return Credential(identity_token=secret) if user == _TOKEN_USER else Credential(user, secret)
