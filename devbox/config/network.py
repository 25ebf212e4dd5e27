"""What a build or a container needs to reach the network: from the settings, else from the host's usual variables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from devbox.errors import ConfigError
from devbox.facts.certificates import additions
from devbox.masking import has_password, masked
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from devbox.config.table import Settings

_BUNDLE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy")


@dataclass(frozen=True, slots=True, repr=False)
class Network:
    """What a build or a container needs to reach the network: a CA bundle on the host, and proxies.

    `added` is the first of the authorities that this machine's administrator added to its store, where they alone are
    why there is a bundle. A proxy's URL may hold a password: it goes neither into an argv nor a file, and is not shown
    here.
    """

    ca_bundle: Path | None = None
    http_proxy: str | None = None
    https_proxy: str | None = None
    no_proxy: str | None = None
    added: Path | None = None

    def proxies(self) -> dict[str, str]:
        """Return the proxy variables that are set, in lower and upper case: programs disagree about which they read."""
        values = {"http_proxy": self.http_proxy, "https_proxy": self.https_proxy, "no_proxy": self.no_proxy}
        lower = {name: value for name, value in values.items() if value}
        return lower | {name.upper(): value for name, value in lower.items()}

    def note(self) -> tuple[str, ...]:
        """Return what a person has to be told: nobody named the bundle."""
        if self.added is None:
            return ()
        return (f"this machine trusts {self.added}: so does what devbox makes, by {self.ca_bundle} (`ca_bundle`)",)

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


def network_of(settings: Settings, environ: Mapping[str, str]) -> Network:
    """Return the CA bundle and the proxies: from the settings, else from the host's usual variables in `environ`.

    Where neither names a bundle, it is the system's, if the administrator added authorities to it. A setting of "none"
    switches off what the host says. Raises ConfigError if the settings name a bundle that is not there; a variable that
    names none is passed over.
    """
    around = {key: value for key, (value, _) in ambient(environ).items()}
    proxies = {key: getattr(settings, key) if settings.said(key) else around.get(key) for key in _PROXIES}
    bundle, added = _bundle(settings, environ)
    return Network(bundle, **proxies, added=added)


def ambient(environ: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return what the host says where no setting does: value and origin, by the setting's key.

    The origin is a variable, "$NAME", or the file of an authority that was added to the system's store.
    """
    found: dict[str, tuple[str, str]] = {}
    for name in _BUNDLE_VARIABLES:
        path = Path(environ.get(name) or "/")
        # REQUESTS_CA_BUNDLE may name a folder of certificates, which no other tool takes.
        if "ca_bundle" not in found and path.is_absolute() and path.is_file():
            found["ca_bundle"] = (str(path), f"${name}")
    if "ca_bundle" not in found:
        for path, bundle, _ in additions()[:1]:
            if bundle.is_file():
                found["ca_bundle"] = (str(bundle), str(path))
    for key in _PROXIES:
        for name in (key.upper(), key):
            if environ.get(name):
                found[key] = (environ[name], f"${name}")
    return found


def _bundle(settings: Settings, environ: Mapping[str, str]) -> tuple[Path | None, Path | None]:
    """Return the bundle, and the authority that is why there is one where nobody named it."""
    if settings.said("ca_bundle"):
        path = settings.ca_bundle
        if path is not None and not path.is_file():
            origin = settings.origin("ca_bundle")
            raise ConfigError(f"{origin}: the CA bundle {path} is not there", hint="DEVBOX_CA_BUNDLE=none devbox …")
        return path, None
    found, origin = ambient(environ).get("ca_bundle", (None, "$"))
    return None if found is None else Path(found), None if origin.startswith("$") else Path(origin)
