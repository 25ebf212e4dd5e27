"""Source trees from PyPI: the sdist of a project, from the index that pip is configured with.

`pip download` cannot do it: it runs the project's build backend to learn about dependencies that nobody asked for, and
the backends of these projects fail without CUDA. So the index is read by its specified interface (PEP 503 and 691).
"""

from __future__ import annotations

import ast
import hashlib
import html.parser
import json
import ssl
import subprocess
import sys
import tarfile
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_INDEX = "https://pypi.org/simple"
ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
SECONDS = 180


@dataclass(frozen=True, slots=True)
class Link:
    """One file of a project's index page. `sha256` is None where the index gives none."""

    name: str
    url: str
    sha256: str | None


class _Anchors(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.hrefs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a" and (href := dict(attrs).get("href")):
            self.hrefs.append(href)


def links(page: str, url: str, content_type: str) -> tuple[Link, ...]:
    """Return the files that a project's page lists, JSON or HTML; `url` is where the page came from."""
    if "json" in content_type:
        files = json.loads(page)["files"]
        return tuple(
            Link(item["filename"], urllib.parse.urljoin(url, item["url"]), item.get("hashes", {}).get("sha256"))
            for item in files
        )
    anchors = _Anchors()
    anchors.feed(page)
    found = []
    for href in anchors.hrefs:
        place, fragment = urllib.parse.urldefrag(urllib.parse.urljoin(url, href))
        name = urllib.parse.unquote(urllib.parse.urlsplit(place).path.rpartition("/")[2])
        found.append(Link(name, place, urllib.parse.parse_qs(fragment).get("sha256", [None])[0]))
    return tuple(found)


def pip_settings(listing: str) -> dict[str, str]:
    """Return the global settings in the output of `pip config list`; variables count more than files."""
    values: dict[str, str] = {}
    for prefix in ("global.", ":env:."):
        for line in listing.splitlines():
            key, equals, value = line.partition("=")
            if equals and key.startswith(prefix):
                values[key.removeprefix(prefix)] = str(ast.literal_eval(value))
    return values


def _settings() -> dict[str, str]:
    command = [sys.executable, "-m", "pip", "config", "list"]
    return pip_settings(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def fetch(project: str, version: str, folder: Path) -> Path:
    """Download and unpack the sdist of `project` into `folder`; return its top folder. One that is there is used again.

    Raises SystemExit if the index has no such sdist, or the file is not what the index promised.
    """
    stem = f"{project.replace('-', '_')}-{version}"
    if (folder / stem).is_dir():
        return folder / stem
    settings = _settings()
    context = ssl.create_default_context(cafile=settings.get("cert"))
    index = f"{settings.get('index-url', DEFAULT_INDEX).rstrip('/')}/{project}/"

    def open_(url: str, **headers: str) -> tuple[bytes, str]:
        request = urllib.request.Request(url, headers=headers)
        with urllib.request.urlopen(request, timeout=SECONDS, context=context) as response:
            return response.read(), response.headers.get("Content-Type", "text/html")

    page, content_type = open_(index, Accept=ACCEPT)
    wanted = {f"{stem}.tar.gz", f"{project}-{version}.tar.gz"}
    link = next((one for one in links(page.decode(), index, content_type) if one.name in wanted), None)
    if link is None:
        raise SystemExit(f"{index} has no sdist of {project} {version}")
    archive, _ = open_(link.url)
    if link.sha256 not in {None, hashlib.sha256(archive).hexdigest()}:
        raise SystemExit(f"{link.url} is not what the index promised")
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / link.name
    kept.write_bytes(archive)
    with tarfile.open(kept) as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", None)  # from Python 3.11.4 on
        tar.extractall(folder)
    kept.unlink()
    return folder / stem
