"""The documentation site: each page has its place in the nav, and each link leads somewhere. Nothing is built here."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).resolve().parents[2] / "docs"
FENCED = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]\n]*\]\(([^)\s]+)\)")


def site() -> Any:
    spec = importlib.util.spec_from_file_location("docs_site", DOCS / "site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SITE = site()
PAGES = {name: source for name, source in SITE.pages().items() if source.suffix == ".md"}


def leaves(nav: list[dict[str, Any]]) -> Iterator[str]:
    for entry in nav:
        for found in entry.values():
            yield from [found] if isinstance(found, str) else leaves(found)


def test_the_nav_names_each_page_once() -> None:
    project = tomllib.loads((DOCS / "zensical.toml").read_text())["project"]
    assert sorted(leaves(project["nav"])) == sorted(PAGES)


def test_nothing_is_fetched_by_a_reader() -> None:
    theme = tomllib.loads((DOCS / "zensical.toml").read_text())["project"]["theme"]
    assert theme["font"] is False
    for picture in (DOCS / "images").glob("*.svg"):
        assert re.findall(r"(?:url\(\"?|href=\"|src=\")http", picture.read_text()) == [], picture


def anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", FENCED.sub("", text), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in titles)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in plain}


@pytest.mark.parametrize("name", PAGES)
def test_each_link_of_a_page_leads_somewhere(name: str, tmp_path: Path) -> None:
    source = PAGES[name]
    text = source.read_text(encoding="utf-8")
    for where, page in ((source.parent, text), (None, SITE.on_site(text, source, name))):
        for target in LINK.findall(FENCED.sub("", page)):
            if "://" in target or target.startswith("mailto:"):
                continue
            path, _, anchor = target.partition("#")
            if where is not None:
                aim = (where / path).resolve() if path else source
                assert aim.exists(), target
            else:
                # As the site has it: on the site itself.
                staged = (tmp_path / name).parent.joinpath(path).resolve() if path else tmp_path / name
                aim = SITE.pages()[str(staged.relative_to(tmp_path.resolve()))]
            if anchor and aim.suffix == ".md":
                assert anchor in anchors(aim.read_text(encoding="utf-8")), target
