"""The API of an engine that has no volume and no container, and of images those that it is given."""

from __future__ import annotations

import contextlib
import http.server
import json
import socketserver
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path


@contextlib.contextmanager
def empty_engine(socket: Path, images: Collection[str] = ()) -> Iterator[str]:
    """Answer at `socket` while the block runs; yield the value of DOCKER_HOST."""

    class Empty(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/containers/json"):
                self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n[]")
            elif self.path in {f"/images/{image}/json" for image in images}:
                answer = json.dumps({"Id": "sha256:1", "Config": {}}).encode()
                self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + answer)
            else:
                self.wfile.write(b"HTTP/1.0 404 Not Found\r\n\r\n{}")

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with socketserver.ThreadingUnixStreamServer(str(socket), Empty) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"unix://{socket}"
        server.shutdown()
