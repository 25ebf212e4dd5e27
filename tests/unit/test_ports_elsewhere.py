"""Which ports of a container on another machine lead here, and to what there."""

from __future__ import annotations

from typing import Any

from devbox.container.ports import ports_of

JSON = dict[str, Any]


def container(ports: JSON, networks: JSON | None = None, service: str = "") -> JSON:
    labels = {"com.docker.compose.service": service} if service else {}
    found = {"bridge": {"IPAddress": "172.17.0.2"}} if networks is None else networks
    return {"Config": {"Labels": labels}, "NetworkSettings": {"Ports": ports, "Networks": found}}


def test_what_is_published_is_reached_where_it_is_published() -> None:
    bindings = {
        "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}],
        "81/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8081"}, {"HostIp": "::", "HostPort": "8081"}],
        "82/tcp": [{"HostIp": "10.0.0.1", "HostPort": "8082"}],
        "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}],
        "90/tcp": None,
    }
    assert [one.option for one in ports_of([container(bindings)], [])] == [
        "127.0.0.1:8080:127.0.0.1:8080",
        "127.0.0.1:8081:127.0.0.1:8081",
        "127.0.0.1:8082:10.0.0.1:8082",
    ]


def test_forwarded_ports_are_the_containers_own_or_a_services() -> None:
    dev = container({"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}, service="dev")
    db = container({}, {"net": {"IPAddress": "172.18.0.3"}}, service="db")
    found = ports_of([dev, db], [80, 8000, "db:5432", "none:1", "odd", 0, 70000, True, "9" * 5000, "\u0663"])
    assert [one.option for one in found] == [
        "127.0.0.1:5432:172.18.0.3:5432",
        "127.0.0.1:8000:172.17.0.2:8000",
        "127.0.0.1:8080:127.0.0.1:8080",
    ]


def test_a_container_on_the_machines_network_has_its_address_and_one_without_a_network_none() -> None:
    assert [one.there for one in ports_of([container({}, {"host": {"IPAddress": ""}})], [8000])] == ["127.0.0.1:8000"]
    assert ports_of([container({}, {"none": {"IPAddress": ""}})], [8000]) == ()
