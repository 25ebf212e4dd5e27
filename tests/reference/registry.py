"""Stands in for ghcr.io: a registry on loopback with Features of the same names, behind a proxy that answers for it."""

from __future__ import annotations

import json
import re
import socketserver
import ssl
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path
from socket import create_connection
from typing import TYPE_CHECKING, Any

from tests.oracle.feature_lab import running_registry, write_feature

if TYPE_CHECKING:
    from collections.abc import Iterator
    from socket import socket

FEATURES = Path(__file__).with_name("features.json")
HOST = "ghcr.io"


@contextmanager
def stood_in(scratch: Path) -> Iterator[dict[str, str]]:
    """Run registry and proxy, and yield the environment in which both programs go by them."""
    certificate, key = scratch / "cert.pem", scratch / "key.pem"
    names = ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subprocess.run(
        ["openssl", "req", "-x509", *kind, "-keyout", str(key), "-out", str(certificate), *names],
        check=True,
        capture_output=True,
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with running_registry(scratch / "registry") as registry:
        for name, feature in json.loads(FEATURES.read_text()).items():
            _publish(registry.publish, scratch, name, **feature)
        _Proxy.tls, _Proxy.port = tls, int(registry.host.rpartition(":")[2])
        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Proxy) as server:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
            proxy = f"http://127.0.0.1:{server.server_address[1]}"
            yield {
                **dict.fromkeys(("HTTPS_PROXY", "https_proxy"), proxy),
                **dict.fromkeys(("NO_PROXY", "no_proxy"), "localhost,127.0.0.1"),
                "NODE_EXTRA_CA_CERTS": str(certificate),
                "DEVBOX_CA_BUNDLE": str(certificate),
            }
            server.shutdown()


def _publish(
    publish: Any,
    scratch: Path,
    name: str,
    *,
    versions: list[str],
    options: dict[str, str] | None = None,
    program: dict[str, str] | None = None,
    metadata: dict[str, Any] | None = None,
) -> None:
    """Publish the versions of a Feature; its script makes the programs, in which options are filled in."""
    lines = ["#!/bin/sh", "set -e"]
    for called, line in (program or {}).items():
        lines += [f"cat >/usr/local/bin/{called} <<END", "#!/bin/sh", line.replace("$1", "\\$1"), "END"]
        lines += [f"chmod 755 /usr/local/bin/{called}"]
    declared = {key: {"type": "string", "default": value} for key, value in (options or {}).items()}
    for version in versions:
        folder = scratch / "features" / version / name
        write_feature(folder, "\n".join(lines) + "\n", version=version, options=declared, **(metadata or {}))
        parts = version.split(".")
        newest = [".".join(parts[:count]) for count in (1, 2)]
        publish(folder, name, version, *newest, "latest")


class _Proxy(socketserver.StreamRequestHandler):
    """Answers CONNECT: for the host that is stood in for as that host, for every other one not at all."""

    tls: ssl.SSLContext
    port: int

    def handle(self) -> None:
        match = re.match(rb"CONNECT ([^:\s]+)", self.rfile.readline(65536))
        while self.rfile.readline(65536).strip():
            pass
        if match is None or match[1].decode() != HOST:
            self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            return
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        self.wfile.flush()
        try:
            with (
                self.tls.wrap_socket(self.request, server_side=True) as client,
                create_connection(("127.0.0.1", self.port)) as server,
            ):
                back = threading.Thread(target=_copy, args=(server, client), daemon=True)
                back.start()
                _copy(client, server)
                back.join()
        except OSError:
            # Whoever asked is gone.
            return


def _copy(one: socket, other: socket) -> None:
    try:
        while content := one.recv(65536):
            other.sendall(content)
        other.shutdown(1)
    except OSError:
        return
