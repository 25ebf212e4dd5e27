"""Stands in for where the suites' Features are: servers on loopback with those of the same names, behind a proxy.

A registry answers for those of registries, a server of files for those of GitHub's releases.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import json
import re
import socketserver
import ssl
import subprocess
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import create_connection
from typing import TYPE_CHECKING, Any

from tests.oracle.feature_lab import FeatureRegistry, QuietFiles, archive, running_registry, write_feature

if TYPE_CHECKING:
    from collections.abc import Iterator
    from socket import socket

FEATURES = Path(__file__).with_name("features.json")
REGISTRIES = ("ghcr.io", "devcontainercli.azurecr.io")
RELEASES = "github.com"
TEMPLATE = "devcontainers/templates/docker-from-docker"
_OPTIONS = ("installZsh", "upgradePackages", "dockerVersion", "moby", "enableNonRootDocker")
_FILLED = {name: f"${{templateOption:{name}}}" for name in _OPTIONS}
TEMPLATE_FILES = {
    "devcontainer-template.json": {
        "id": "docker-from-docker",
        "version": "1.0.0",
        "name": "Docker from Docker",
        "options": {name: {"type": "string", "default": "true"} for name in _OPTIONS},
    },
    ".devcontainer/devcontainer.json": {
        "name": "Docker from Docker",
        "image": "mcr.microsoft.com/devcontainers/base:ubuntu",
        "features": {
            "ghcr.io/devcontainers/features/common-utils:1": {name: _FILLED[name] for name in _OPTIONS[:2]},
            "ghcr.io/devcontainers/features/docker-from-docker:1": {
                "version": _FILLED["dockerVersion"],
                **{name: _FILLED[name] for name in _OPTIONS[3:]},
            },
        },
    },
}


@dataclass(frozen=True)
class StandIns:
    """What stands in: `environ` leads both programs there, and `published` has the digest of each name and version.

    `pinned` has the digests by which the suites' files call them, with what they are here.
    """

    environ: dict[str, str] = field(default_factory=dict)
    published: dict[tuple[str, str], str] = field(default_factory=dict)
    pinned: dict[str, str] = field(default_factory=dict)

    def rename(self, tests: Path) -> None:
        """Let the files below a folder call what is published by the digests that it has here."""
        named = dict(self.pinned)
        for path in tests.rglob("*.devcontainer-lock.json"):
            for key, entry in json.loads(path.read_text() or "{}").get("features", {}).items():
                tarball = key.startswith("https:")
                if tarball and "integrity" in path.parent.name:
                    continue  # it is wrong there, and has to stay so
                name, _, digest = (f"{key}@{entry['integrity']}" if tarball else entry["resolved"]).rpartition("@")
                found = self.published.get((name.partition("/")[2] if not tarball else key, entry["version"]))
                if found is not None:
                    named[digest] = found
        for path in tests.rglob("*.*"):
            if path.suffix in {".json", ".ts"} and path.is_file():
                text = path.read_text()
                changed = re.sub("sha256:[0-9a-f]{64}", lambda match: named.get(match[0], match[0]), text)
                if changed != text:
                    path.write_text(changed)


@contextmanager
def stood_in(scratch: Path) -> Iterator[StandIns]:
    """Run the servers and the proxy, and yield what stands in."""
    certificate, key = scratch / "cert.pem", scratch / "key.pem"
    hosts = (*REGISTRIES, RELEASES)
    names = ["-subj", f"/CN={RELEASES}", "-addext", f"subjectAltName={','.join(f'DNS:{host}' for host in hosts)}"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subprocess.run(
        ["openssl", "req", "-x509", *kind, "-keyout", str(key), "-out", str(certificate), *names],
        check=True,
        capture_output=True,
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    files = scratch / "releases"
    files.mkdir()
    with ExitStack() as stack:
        registry = stack.enter_context(running_registry(scratch / "registry"))
        made = _Publisher(registry, scratch)
        for name, feature in json.loads(FEATURES.read_text()).items():
            made.publish(name, **feature)
        for name, content in TEMPLATE_FILES.items():
            path = scratch / "template" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content, indent="\t"))
        registry.publish(scratch / "template", TEMPLATE, "1.0.0", "latest")
        served = functools.partial(QuietFiles, directory=str(files))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), served)
        _Proxy.tls = tls
        _Proxy.ports = dict.fromkeys(REGISTRIES, int(registry.host.rpartition(":")[2]))
        _Proxy.ports[RELEASES] = server.server_address[1]
        proxy = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Proxy)
        proxy.daemon_threads = True
        for one in (server, proxy):
            threading.Thread(target=stack.enter_context(one).serve_forever, daemon=True).start()
            stack.callback(one.shutdown)
        address = f"http://127.0.0.1:{proxy.server_address[1]}"
        environ = {
            **dict.fromkeys(("HTTPS_PROXY", "https_proxy"), address),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), "localhost,127.0.0.1"),
            "NODE_EXTRA_CA_CERTS": str(certificate),
            "DEVBOX_CA_BUNDLE": str(certificate),
        }
        yield StandIns(environ, made.published, made.pinned)


class _Publisher:
    """Publishes Features in a registry, and as files below `scratch`."""

    def __init__(self, registry: FeatureRegistry, scratch: Path) -> None:
        self.registry, self.scratch = registry, scratch
        self.published: dict[tuple[str, str], str] = {}
        self.pinned: dict[str, str] = {}

    def publish(
        self,
        name: str,
        *,
        versions: list[str],
        options: dict[str, str] | None = None,
        program: dict[str, str] | None = None,
        metadata: dict[str, Any] | None = None,
        pinned: str | None = None,
    ) -> None:
        """Publish the versions of a Feature; its script makes the programs, in which options are filled in.

        `pinned` is a digest by which the suites call its first version.
        """
        lines = ["#!/bin/sh", "set -e"]
        for called, line in (program or {}).items():
            lines += [f"cat >/usr/local/bin/{called} <<END", "#!/bin/sh", line.replace("$1", "\\$1"), "END"]
            lines += [f"chmod 755 /usr/local/bin/{called}"]
        declared = {key: {"type": "string", "default": value} for key, value in (options or {}).items()}
        for version in versions:
            folder = self.scratch / "features" / version / name.rpartition("//")[2].removesuffix(".tgz")
            write_feature(folder, "\n".join(lines) + "\n", version=version, options=declared, **(metadata or {}))
            self.published[name, version] = digest = self._place(folder, name, version)
            if pinned is not None and version == versions[0]:
                self.pinned[pinned] = digest

    def _place(self, folder: Path, name: str, version: str) -> str:
        """Publish a folder as a version and return its digest."""
        if name.startswith("https:"):
            content = gzip.compress(archive(folder), mtime=0)
            path = self.scratch / "releases" / name.removeprefix(f"https://{RELEASES}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            return f"sha256:{hashlib.sha256(content).hexdigest()}"
        parts = version.split(".")
        newest = [".".join(parts[:count]) for count in (1, 2)]
        return self.registry.publish(folder, name, version, *newest, "latest")


class _Proxy(socketserver.StreamRequestHandler):
    """Answers CONNECT: for the hosts that are stood in for as those hosts, for every other one not at all."""

    tls: ssl.SSLContext
    ports: dict[str, int]

    def handle(self) -> None:
        match = re.match(rb"CONNECT ([^:\s]+)", self.rfile.readline(65536))
        while self.rfile.readline(65536).strip():
            pass
        port = self.ports.get(match[1].decode()) if match is not None else None
        if port is None:
            self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            return
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        self.wfile.flush()
        try:
            with (
                self.tls.wrap_socket(self.request, server_side=True) as client,
                create_connection(("127.0.0.1", port)) as server,
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
