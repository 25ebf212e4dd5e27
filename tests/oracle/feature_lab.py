"""Features for tests: written into folders, and published to a real registry on loopback."""

from __future__ import annotations

import base64
import functools
import hashlib
import http.server
import io
import json
import os
import re
import shutil
import ssl
import subprocess
import tarfile
import threading
import urllib.request
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
USER, PASSWORD = "alice", "s3cret"
# bcrypt of the password, at the lowest cost.
_HTPASSWD = f"{USER}:$2b$04$bRxcI1cmiD9SM1Nw5ouGpOFXlj6AgFx2ycc2WrAfNsWKx3MP2NJGC\n"
# Each Feature notes that it was installed, with its version and who the users are.
INSTALL = """#!/bin/sh
set -e
echo "$FEATURE ${VERSION-} $_REMOTE_USER $_REMOTE_USER_HOME $_CONTAINER_USER" >> /installed
"""


def write_feature(folder: Path, script: str | None = INSTALL, **metadata: Any) -> Path:
    """Write a Feature into the folder that is called as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = {"id": folder.name, "version": "1.0.0", "name": folder.name.title(), **metadata}
    (folder / "devcontainer-feature.json").write_text(json.dumps(whole))
    if script is not None:
        (folder / "install.sh").write_text(script.replace("$FEATURE", folder.name))
    return folder


def archive(folder: Path) -> bytes:
    """Return a Feature's folder as a tar archive, as publishers make it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted(folder.iterdir()):
            tar.add(path, f"./{path.name}")
    return buffer.getvalue()


@dataclass(frozen=True)
class FeatureRegistry:
    """A registry that answers. `host` is its name in identifiers."""

    host: str
    secured: bool

    @property
    def login(self) -> dict[str, Any]:
        """What `docker login` would have kept."""
        return {"auths": {self.host: {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}}}

    def publish(self, folder: Path, name: str, *tags: str, annotated: bool = True) -> str:
        """Publish a Feature or a Template as `name`, and return the digest of its manifest."""
        layer = archive(folder)
        metadata = next(folder.glob("devcontainer-*.json")).read_text()
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.devcontainers", "digest": self._blob(name, b"{}"), "size": 2},
            "layers": [
                {
                    "mediaType": "application/vnd.devcontainers.layer.v1+tar",
                    "digest": self._blob(name, layer),
                    "size": len(layer),
                }
            ],
            **({"annotations": {"dev.containers.metadata": metadata}} if annotated else {}),
        }
        content = json.dumps(manifest).encode()
        for tag in tags:
            self._send("PUT", f"/v2/{name}/manifests/{tag}", content, MANIFEST)
        return _digest(content)

    def _blob(self, name: str, content: bytes) -> str:
        digest = _digest(content)
        place = self._send("POST", f"/v2/{name}/blobs/uploads/", b"")["Location"]
        self._send("PUT", f"{place}&digest={digest}", content, "application/octet-stream")
        return digest

    def _send(self, method: str, path: str, content: bytes, kind: str = "text/plain") -> Mapping[str, str]:
        url = path if "://" in path else f"http://{self.host}{path}"
        request = urllib.request.Request(url, data=content, method=method, headers={"Content-Type": kind})
        if self.secured:
            request.add_header("Authorization", f"Basic {self.login['auths'][self.host]['auth']}")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as answer:
            return dict(answer.headers)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@contextmanager
def running_server(served: Path, scratch: Path) -> Iterator[tuple[int, Path]]:
    """Serve a folder over TLS on a free port of loopback; yield that with a certificate that vouches for localhost."""
    certificate, key = scratch / "cert.pem", scratch / "key.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", str(key), "-out", str(certificate), "-days", "2", *names),
        ],
        check=True,
        capture_output=True,
    )
    handler = functools.partial(QuietFiles, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1], certificate
        finally:
            server.shutdown()
            thread.join()


class QuietFiles(http.server.SimpleHTTPRequestHandler):
    """Serves the files of a folder without a word."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer with the reason that the standard has for a code, as other servers do."""
        super().send_error(code)


@contextmanager
def running_registry(folder: Path, *, secured: bool = False) -> Iterator[FeatureRegistry]:
    """Run Debian's docker-registry on a free port of loopback. Without it the test is skipped."""
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("docker-registry is not installed (apt-get install docker-registry)")
    folder.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {
        "version": "0.1",
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": "127.0.0.1:0"},
    }
    if secured:
        (folder / "htpasswd").write_text(_HTPASSWD)
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
    # JSON is YAML too.
    (folder / "config.yml").write_text(json.dumps(config))
    environ = {**os.environ, "OTEL_TRACES_EXPORTER": "none"}
    with subprocess.Popen(
        [program, "serve", str(folder / "config.yml")], stderr=subprocess.PIPE, text=True, env=environ
    ) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        drain = threading.Thread(target=deque(maxlen=0).extend, args=(lines,))
        try:
            port = next(match[1] for line in lines if (match := re.search(r"listening on 127\.0\.0\.1:(\d+)", line)))
            # A pipe that nobody reads would stop the registry.
            drain.start()
            yield FeatureRegistry(f"localhost:{port}", secured)
        finally:
            process.terminate()
            process.wait()
            drain.join()
