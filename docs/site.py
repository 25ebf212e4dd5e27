"""Builds the documentation site: the pages of `docs/` and of the repository's top, with links that hold there.

`python docs/site.py ZENSICAL` leaves it in `build/site`. Nothing is fetched, and a link that leads nowhere ends it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
DOCS = TOP / "docs"
BUILD = TOP / "build"
# Pages of the repository's top, as they are called on the site.
FROM_TOP = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "SECURITY.md": "reporting.md"}
_LINK = re.compile(r"(?<!!)\[([^\]\n]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")
SUFFIXES = (".md", ".svg", ".css")


def pages() -> dict[str, Path]:
    """Return the files of the site by their names on it."""
    found = {str(path.relative_to(DOCS)): path for path in sorted(DOCS.rglob("*")) if path.suffix in SUFFIXES}
    return found | {name: TOP / source for source, name in FROM_TOP.items()}


def on_site(text: str, source: Path, name: str) -> str:
    """Return a page with its links as the site has them; `name` is the page's own name there.

    A link to what is on no page, such as a folder of the repository, becomes its text.
    """
    names = {path: page for page, path in pages().items()}

    def link(match: re.Match[str]) -> str:
        said, target, anchor = match[1], match[2], match[3] or ""
        if "://" in target or target.startswith("mailto:"):
            return match[0]
        aim = names.get((source.parent / target).resolve())
        return said if aim is None else f"[{said}]({'../' * name.count('/')}{aim}{anchor})"

    return _LINK.sub(link, text)


def stage(folder: Path) -> None:
    """Write the site's sources to an empty folder."""
    for name, source in pages().items():
        path = folder / "pages" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if source.suffix == ".md":
            path.write_text(on_site(source.read_text(encoding="utf-8"), source, name), encoding="utf-8")
        else:
            shutil.copyfile(source, path)
    shutil.copyfile(DOCS / "zensical.toml", folder / "zensical.toml")


def main(zensical: str) -> int:
    """Build the site and return the exit code."""
    staged = BUILD / "site-source"
    shutil.rmtree(staged, ignore_errors=True)
    stage(staged)
    code = subprocess.run([zensical, "build", "--strict", "--clean"], cwd=staged, check=False).returncode
    if code == 0:
        shutil.rmtree(BUILD / "site", ignore_errors=True)
        (staged / "site").rename(BUILD / "site")
    return code


if __name__ == "__main__":
    raise SystemExit(main(str(Path(sys.argv[1]).resolve())))
