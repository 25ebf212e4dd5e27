"""Who the container runs as."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.devcontainer.users import ROOT, ContainerUser, resolve
from devbox.errors import UsageError
from devbox.facts.host import account_name
from devbox.facts.model import EngineFacts, User

ALICE = User(1000, 100, "alice", "/home/alice")
ROOTFUL = EngineFacts("26.1", rootless=False, local=True, cdi=True, cdi_devices=(), nvidia_runtime=False, memlock=None)
ROOTLESS = EngineFacts("26.1", rootless=True, local=True, cdi=True, cdi_devices=(), nvidia_runtime=False, memlock=0)


@pytest.mark.parametrize(
    ("requested", "host", "engine", "expected"),
    [
        (None, ALICE, ROOTFUL, ContainerUser("alice", 1000, 100, "/home/alice")),
        ("host", ALICE, ROOTFUL, ContainerUser("alice", 1000, 100, "/home/alice")),
        ("host", ALICE, ROOTLESS, ROOT),
        (None, User(0, 0, "root", "/root"), ROOTFUL, ROOT),
        ("root", ALICE, ROOTFUL, ROOT),
        ("0:0", ALICE, ROOTFUL, ROOT),
        ("1000:1000", ALICE, ROOTFUL, ContainerUser("alice", 1000, 1000, "/home/alice")),
        ("2000:2000", ALICE, ROOTFUL, ContainerUser("dev", 2000, 2000, "/home/dev")),
        ("2000:2001:bob", ALICE, ROOTFUL, ContainerUser("bob", 2000, 2001, "/home/bob")),
        ("1000:1000:bob", ALICE, ROOTLESS, ContainerUser("bob", 1000, 1000, "/home/bob")),
    ],
)
def test_resolve(requested: str | None, host: User, engine: EngineFacts, expected: ContainerUser) -> None:
    assert resolve(requested, host, engine) == expected


@pytest.mark.parametrize(
    "requested",
    ["alice", "1000", "1000:", ":", "1:2:a:b", "-1:0", "1:4294967295", "1:2:root", "1:2:A b", "\u0661:\u0661", "1:2:"],
)
def test_nonsense_is_refused_with_the_form(requested: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(requested, ALICE, ROOTFUL)
    assert caught.value.hint
    assert "--user" in caught.value.hint


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        ("alice", "alice"),
        ("Alice.Smith", "alice-smith"),
        ("CORP\\alice", "alice"),
        ("alice@corp.example", "alice"),
        ("42", "u42"),
        ("root", "dev"),
        ("", "dev"),
        ("李", "dev"),
    ],
)
def test_account_names(host: str, inside: str) -> None:
    assert account_name(host) == inside


@given(st.text(max_size=60))
def test_every_account_name_is_one_that_useradd_takes(name: str) -> None:
    plain = account_name(name)
    assert re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", plain)
    assert account_name(plain) == plain
