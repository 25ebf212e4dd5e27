"""Do containers and image builds get this machine's certificates and proxies?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from devbox.facts.certificates import certificates, expired
from devbox.finding import Finding
from devbox.masking import masked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.doctor.model import Patient

_HERE = {"localhost", "127.0.0.1", "::1"}
# A bundle of more certificates is a system's, and among these there always are some whose time is over.
_OWN = 20
_SCHEMES = {"http", "https", "socks5", "socks5h"}


def check(patient: Patient) -> Iterator[Finding]:
    """Look at the machine's own certificate authorities, at the bundle in force, and at the proxies."""
    found = [*_authorities(patient), *_proxies(patient)]
    yield from found
    if not found:
        bundle = patient.network.ca_bundle
        said = (
            f"containers get the CA bundle {bundle}"
            if bundle
            else "there is neither a CA of its own nor a proxy to mind"
        )
        if patient.network.added:
            said += f" (ca_bundle), for {patient.network.added} was added to this machine's authorities"
        yield Finding("network", "ok", said)


def _authorities(patient: Patient) -> Iterator[Finding]:
    bundle = patient.network.ca_bundle
    known = certificates(bundle) if bundle is not None else frozenset()
    if bundle is not None:
        if not known:
            yield Finding("network", "error", f"the CA bundle {bundle} holds no certificate in PEM",
                          "devbox config show --show-origin   # ca_bundle", "nothing trusts anybody")  # fmt: skip
        for subject in expired(bundle, time.time()) if len(known) <= _OWN else ():
            yield Finding("network", "warning", f"in {bundle} the time of {subject} is over",
                          "ask who runs it for the new one, and replace it there")  # fmt: skip
    for path, system, command in patient.additions:
        own = certificates(path)
        if own and not own <= certificates(system):
            yield Finding(
                "network",
                "warning",
                f"{path} is not in {system}, which this machine's programs read",
                f"sudo {command}",
            )
        elif own and not own <= known:
            yield Finding(
                "network", "warning",
                f"this machine trusts {path}, and {bundle or 'what devbox builds and runs'} does not",
                f'ca_bundle = "{system}"   # in config.toml; or: export DEVBOX_CA_BUNDLE={system}',
                "downloads in containers and image builds fail where the site opens TLS",
            )  # fmt: skip


def _parts(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        found = parts.scheme, parts.hostname, parts.port
    except ValueError:  # such as a port that is no number
        found = "", None, None
    return found


def _proxies(patient: Patient) -> Iterator[Finding]:
    network, facts = patient.network, patient.engine_facts
    for name, url in (("http_proxy", network.http_proxy), ("https_proxy", network.https_proxy)):
        if not url:
            continue
        scheme, host, port = _parts(url)
        if scheme not in _SCHEMES or not host:
            yield Finding("network", "warning", f"{name} is no URL of a proxy: {masked(url)}",
                          f"export {name}=http://HOST:PORT", "programs read it in different ways")  # fmt: skip
        elif host in _HERE:
            yield Finding(
                "network", "warning", f"{name} is {masked(url)}: in a container that is the container itself",
                f'{name} = "http://172.17.0.1:{port or 80}"   # in config.toml: this machine, to containers',
                "it has to listen there, too",
            )  # fmt: skip
    if (network.http_proxy or network.https_proxy) and facts is not None and facts.local and not facts.proxy:
        yield Finding(
            "network", "info", "there is a proxy, and the engine has none: it pulls images directly",
            "https://docs.docker.com/engine/daemon/proxy/   # how dockerd is told",
        )  # fmt: skip
