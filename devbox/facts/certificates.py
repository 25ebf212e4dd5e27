"""The certificate authorities that this machine trusts: what its administrator added, and the bundle made of all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

# Where what an administrator adds lies, and the bundle that `update-ca-certificates`, `update-ca-trust` or `trust`
# makes from it: Debian and Ubuntu, Fedora and RHEL, Arch, openSUSE.
_SYSTEMS = (
    ("usr/local/share/ca-certificates", "etc/ssl/certs/ca-certificates.crt", "update-ca-certificates"),
    ("etc/pki/ca-trust/source/anchors", "etc/pki/tls/certs/ca-bundle.crt", "update-ca-trust"),
    ("etc/ca-certificates/trust-source/anchors", "etc/ssl/certs/ca-certificates.crt", "update-ca-trust"),
    ("etc/pki/trust/anchors", "var/lib/ca-certificates/ca-bundle.pem", "update-ca-certificates"),
)
_PEM = "-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----"
_SUFFIXES = {".crt", ".pem", ".cer"}


def additions(root: Path = Path("/")) -> tuple[tuple[Path, Path, str], ...]:
    """Return the certificate files that were added by hand, each with the system's bundle and what makes that anew."""
    found = []
    for folder, bundle, command in _SYSTEMS:
        try:
            files = sorted(path for path in (root / folder).rglob("*") if path.suffix in _SUFFIXES)
        except OSError:
            continue
        found += [(path, root / bundle, _taking(path, command)) for path in files]
    return tuple(found)


def _taking(path: Path, command: str) -> str:
    """Return what takes a file into the bundle: Debian's `update-ca-certificates` sees `*.crt` alone (its man page)."""
    import shlex

    if path.suffix == ".crt" or "share/ca-certificates" not in str(path):
        return command
    return f"{shlex.join(['mv', str(path), str(path.with_suffix('.crt'))])} && sudo {command}"


def certificates(path: Path) -> frozenset[bytes]:
    """Return the certificates in a PEM file, each as its DER bytes; none where it is none, or cannot be read."""
    import re
    import ssl  # 10 ms, which `up` has no use for

    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    found = set()
    for block in re.findall(_PEM, text, re.DOTALL):
        try:
            found.add(ssl.PEM_cert_to_DER_cert(block))
        except ValueError:
            continue
    return frozenset(found)


def expired(path: Path, now: float) -> tuple[str, ...]:
    """Return the subjects of the authorities in a PEM file whose time was over at `now` (seconds since the epoch)."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=path)
        known = context.get_ca_certs()
    except (OSError, ssl.SSLError):
        return ()
    over: list[Any] = [one for one in known if ssl.cert_time_to_seconds(str(one["notAfter"])) < now]
    return tuple("/".join(value for part in one["subject"] for _, value in part) for one in over)
