"""Each key of a compose file is in one class, and what is in none is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devbox.errors import ContractError
from devbox.facts.routes import of_trie
from devbox.trust.compose_keys import ASKED, GONE, HARMLESS, JUDGED, NAMED, asked
from devbox.trust.projects import of_project

if TYPE_CHECKING:
    from devbox.trust.reach import Reach

# The keys of the schema by their places: a new release of it adds lines, and each needs a decision.
KEYS = Path(__file__).with_name("compose_keys.txt")


def keys() -> set[str]:
    found = [line.partition(": ")[::2] for line in KEYS.read_text().splitlines() if not line.startswith("#")]
    return {word if place == "top" else f"{place}.{word}" for place, words in found for word in words.split()}


def test_each_key_of_the_schema_is_in_one_class() -> None:
    classes = (HARMLESS, JUDGED, GONE, ASKED)
    assert len(keys()) > 350
    for key in keys():
        # What is asked for is so with all that it holds.
        above = sum(key.startswith(f"{one}.") for one in ASKED | GONE)
        assert sum(key in one for one in classes) + above == 1, key
    assert frozenset().union(*classes) <= keys()


def reach(service: dict[str, Any], **top: Any) -> list[Reach]:
    config = {"services": {"a": {"image": "debian", **service}}, **top}
    return list(of_project(config, Path("/nowhere/w")))


@pytest.mark.parametrize("key", sorted(ASKED))
def test_what_is_asked_for_is_shown(key: str) -> None:
    value: Any = {"some": "value"}
    parts = key.split(".")
    for number in range(len(parts), 0, -1):
        named = ".".join(parts[:number]) in NAMED and number < len(parts)
        value = {parts[number - 1]: {"name": value} if named else value}
    assert [one.value for one in of_project(value, Path("/w"))], key


@pytest.mark.parametrize(
    ("service", "kind", "said"),
    [
        ({"unheard_of": False}, "option", "unheard_of: false"),
        ({"group_add": ["keep-groups"]}, "security", "sets group_add: keep-groups"),
        ({"healthcheck": {"test": ["CMD", "a"], "on_host": True}}, "option", "healthcheck.on_host: true"),
        ({"volumes": [{"type": "tmpfs", "target": "/t", "tmpfs": {"of": "host"}}]}, "option", "volumes.tmpfs.of: host"),
        ({"depends_on": {"b": {"run": "x"}}}, "option", "depends_on.b.run: x"),
        ({"build": {"context": "/nowhere/w", "secrets": [{"source": "s", "from": "x"}]}}, "build", "secrets.from: x"),
        ({"provider": {"type": "evil", "options": {"a": "b"}}}, "command", "sets provider: a program on the host"),
        ({"use_api_socket": True}, "socket", "engine's socket"),
        ({"pre_start": [{"command": ["a"], "privileged": True}]}, "option", "pre_start"),
        ({"post_start": [{"command": ["a"], "privileged": True}]}, "privileged", "post_start"),
        ({"devices": [{"source": "/dev/kvm", "target": "/dev/kvm"}]}, "device", "/dev/kvm"),
        ({"gpus": [{"count": -1, "options": {"a": "b"}}]}, "device", "devices of the host"),
        ({"ipc": "NS:x"}, "namespace", "sets ipc"),
        ({"userns_mode": "host"}, "namespace", "sets userns_mode"),
        ({"networks": {"n": {"driver_opts": {"a": "b"}}}}, "network", "the option a: b"),
        ({"volumes": [{"type": "image", "source": "x", "target": "/t"}]}, "path", "driver options"),
        (
            {"volumes": [{"type": "volume", "target": "/t", "volume": {"labels": {"devbox.workspace": "/o"}}}]},
            "name",
            "the label devbox.workspace",
        ),
    ],
)
def test_a_key_is_asked_for_by_its_kind(service: dict[str, Any], kind: str, said: str) -> None:
    assert [(one.kind, said in one.said) for one in reach(service)] == [(kind, True)]


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ({"ipam": {"driver": "evil"}}, "ipam.driver: evil"),
        ({"ipam": {"options": {"parent": "eth0"}}}, "ipam.options.parent: eth0"),
        ({"ipam": {"config": [{"subnet": "172.30.0.0/24", "gateway": "192.168.1.1"}]}}, "the address 192.168.1.1"),
        ({"ipam": {"config": [{"gateway": "172.30.0.1"}]}}, "the address 172.30.0.1"),
        ({"ipam": {"config": [{"subnet": "172.30.0.0/24", "via": "x"}]}}, "ipam.config.via: x"),
        ({"ipam": {"config": [{"subnet": "2001:db8::/64"}]}}, "takes the addresses 2001:db8::/64"),
        ({"driver_opts": {"com.docker.network.bridge.host_binding_ipv4": "0.0.0.0"}}, "host_binding_ipv4"),
        ({"driver_opts": {"com.docker.network.bridge.name": "x"}}, "bridge.name"),
        ({"driver_opts": {"parent": "eth0"}}, "parent: eth0"),
        ({"labels": {"com.docker.compose.project": "other"}}, "the label com.docker.compose.project"),
        ({"scope": "swarm"}, "scope: swarm"),
    ],
)
def test_what_a_network_has_beyond_its_own_is_asked_for(network: dict[str, Any], said: str) -> None:
    assert [said in one.said for one in reach({}, networks={"n": network})] == [True]
    plain = {
        "subnet": "172.30.0.0/24",
        "gateway": "172.30.0.1",
        "ip_range": "172.30.0.0/25",
        "aux_addresses": {"a": "x"},
    }
    assert reach({}, networks={"n": {"ipam": {"driver": "default", "config": [plain]}, "enable_ipv6": True}}) == []


def test_a_provider_is_bound_to_its_bytes_and_named_in_full(tmp_path: Path) -> None:
    program = tmp_path / "evil"
    program.write_text("one")
    service = {"provider": {"type": str(program)}}
    (before,) = reach(service)
    program.write_text("two")
    assert before.content != reach(service)[0].content
    with pytest.raises(ContractError, match="looked for wherever"):
        reach({"provider": {"type": "./evil"}})


def test_what_the_files_alone_say_to_each_other_asks_nothing() -> None:
    extensions = {"x-a": {"privileged": True}, "develop": {"watch": [{"path": "/", "exec": {"privileged": True}}]}}
    assert list(asked({"x-b": 1, "services": {"x-named": {"image": "a", **extensions}}})) == []
    assert [key for key, _ in asked({"services": {"x-named": {"evil": 1}}})] == ["services.x-named.evil"]


def test_the_routes_of_the_host_are_those_of_all_tables() -> None:
    text = """Id 52:
  +-- 100.64.0.0/10 2 0 2
     |-- 100.100.100.100
        /32 link UNICAST
Main:
  +-- 0.0.0.0/0 3 0 4
     |-- 0.0.0.0
        /0 universe UNICAST
        /1 universe UNICAST
     +-- 192.168.1.0/24 2 0 2
        |-- 192.168.1.0
           /16 universe UNICAST
           /24 link UNICAST
        |-- 192.168.1.7
           /32 host LOCAL
        |-- 192.168.1.255
           /32 link BROADCAST
"""
    found = {"100.100.100.100/32", "192.168.0.0/16", "192.168.1.0/24", "192.168.1.7/32"}
    assert set(map(str, of_trie(text))) == found
