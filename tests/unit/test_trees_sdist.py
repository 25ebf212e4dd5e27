"""How the sdists of real trees are found on a package index."""

from __future__ import annotations

import json

import pytest

from tests.trees.sdist import Link, links, pip_settings

URL = "https://example.org/simple/vllm/"
EXPECTED = (Link("vllm-0.33.0.tar.gz", "https://example.org/files/vllm-0.33.0.tar.gz", "ab12"),)


@pytest.mark.parametrize("href", ["../../files/vllm-0.33.0.tar.gz", "https://example.org/files/vllm-0.33.0.tar.gz"])
def test_both_forms_of_an_index_page_give_the_same_links(href: str) -> None:
    html = f'<!DOCTYPE html><html><body><a href="{href}#sha256=ab12" data-x="1">vllm-0.33.0.tar.gz</a></body></html>'
    page = json.dumps({"files": [{"filename": "vllm-0.33.0.tar.gz", "url": href, "hashes": {"sha256": "ab12"}}]})
    assert links(html, URL, "text/html; charset=utf-8") == EXPECTED
    assert links(page, URL, "application/vnd.pypi.simple.v1+json") == EXPECTED


def test_an_index_without_hashes_is_accepted() -> None:
    assert links('<a href="a.tar.gz">a</a>', URL, "text/html")[0].sha256 is None


def test_variables_count_more_than_files() -> None:
    listing = (
        "global.index-url='https://a/simple'\nglobal.timeout='5'\n:env:.index-url='https://b/simple'\ninstall.x='1'"
    )
    assert pip_settings(listing) == {"index-url": "https://b/simple", "timeout": "5"}
