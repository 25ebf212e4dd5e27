"""What the services of a compose project reach: judged by what docker compose itself makes of its files."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from devbox.engine.run_args import is_reserved_label
from devbox.engine.spec import Mount
from devbox.trust.containers import of_mount, of_network, of_restarts, of_switches, of_volume, variable
from devbox.trust.reach import Reach, is_inside

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from devbox.devcontainer.jsonc import JSON
    from devbox.engine.spec import MountType

# What of a service stays within its container and its project, or is looked at by itself. Every other key is shown: a
# list of the dangerous ones would never be complete.
_HARMLESS = frozenset({
    "annotations", "attach", "blkio_config", "build", "cap_add", "cap_drop", "command", "configs", "container_name",
    "cpu_count", "cpu_percent", "cpu_period", "cpu_quota", "cpu_shares", "cpus", "cpuset", "depends_on", "deploy",
    "dns", "dns_opt", "dns_search", "domainname", "entrypoint", "env_file", "environment", "expose", "external_links",
    "extra_hosts", "gpus", "group_add", "healthcheck", "hostname", "image", "init", "labels", "links", "logging",
    "mac_address", "mem_limit", "mem_reservation", "mem_swappiness", "memswap_limit", "networks", "oom_kill_disable",
    "oom_score_adj", "pids_limit", "platform", "ports", "privileged", "profiles", "pull_policy", "read_only",
    "restart", "scale", "secrets", "security_opt", "shm_size", "stdin_open", "stop_grace_period", "stop_signal",
    "storage_opt", "sysctls", "tmpfs", "tty", "ulimits", "user", "volumes", "working_dir",
})  # fmt: skip
_NAMESPACES = frozenset({"network_mode", "pid", "ipc", "uts", "userns_mode", "cgroup"})
# What of a build does not leave it, or is looked at by itself.
_BUILD = frozenset({
    "additional_contexts", "args", "cache_from", "cache_to", "context", "dockerfile", "dockerfile_inline",
    "extra_hosts", "labels", "network", "no_cache", "platforms", "pull", "secrets", "shm_size", "target", "ulimits",
})  # fmt: skip
_TOP = frozenset({"name", "version", "services", "networks", "volumes", "secrets", "configs"})
_NETWORK = frozenset({"name", "driver", "driver_opts", "external", "internal", "attachable", "enable_ipv6", "ipam",
                      "labels"})  # fmt: skip
_DRIVERS = frozenset({"", "bridge", "default", "overlay"})
_HARMLESS_OPTIONS = frozenset({"com.docker.network.driver.mtu", "com.docker.network.bridge.enable_icc"})
# Where docker itself takes the addresses of its networks from: a bridge there takes no route of the host's away.
_OWN_RANGES = tuple(map(ipaddress.ip_network, ("172.16.0.0/12", "192.168.0.0/16", "fd00::/8")))
_WIDEST = {4: 16, 6: 48}


def of_project(config: JSON, workspace: Path) -> Iterator[Reach]:
    """Yield what the services of a resolved compose configuration reach.

    `config` is what `docker compose config` says. Keys that are not known to be harmless are told as they are.
    """
    volumes = config.get("volumes") or {}
    for name, service in sorted((config.get("services") or {}).items()):
        for one in _of_service(service, volumes, workspace):
            yield Reach(one.kind, one.value, f"the service {name} {one.said}", f"{name}: {one.mode}")
    for name, network in sorted((config.get("networks") or {}).items()):
        yield from _of_network(name, network or {})
    for name, volume in sorted(volumes.items()):
        yield from of_volume(str((volume or {}).get("name") or name), workspace)
    for kind in ("secrets", "configs"):
        for name, item in sorted((config.get(kind) or {}).items()):
            yield from _of_file(kind.removesuffix("s"), name, item or {}, workspace)
    for key in sorted(config.keys() - _TOP):
        if config[key] and not key.startswith("x-"):
            yield Reach("option", f"{key} {_text(config[key])}", f"sets {key} of the project: {_text(config[key])}")


def _of_file(kind: str, name: str, item: JSON, workspace: Path) -> Iterator[Reach]:
    if item.get("environment"):
        yield Reach("variable", item["environment"], f"a service reads the host's variable {item['environment']}")
    file = item.get("file")
    if file and not is_inside(Path(file), workspace):
        said = f"a service reads {file} of the host, as its {kind} {name}"
        yield Reach("path", str(file), said, "read-only")


def _of_service(service: JSON, volumes: JSON, workspace: Path) -> Iterator[Reach]:
    yield from of_switches(
        privileged=bool(service.get("privileged")),
        capabilities=service.get("cap_add") or (),
        options=service.get("security_opt") or (),
    )
    mounts = []
    for item in service.get("volumes") or ():
        mounts.append(_mount(item, volumes))
        yield from of_mount(mounts[-1], workspace)
    restart = service.get("restart") or ((service.get("deploy") or {}).get("restart_policy") or {}).get("condition")
    yield from of_restarts(mounts, workspace, "" if restart in {None, "no", "none"} else f"restart: {restart}")
    yield from of_service_build(service.get("build") or {}, workspace)
    for label in sorted(service.get("labels") or {}):
        if is_reserved_label(label) and label != "devcontainer.metadata":
            yield Reach("name", label, f"carries the label {label}, by which tools know somebody's container")
    for key, value in sorted(service.items()):
        if key in _NAMESPACES:
            # Of another service of the project is as good as its own.
            if key == "network_mode" and not str(value).startswith("service:"):
                yield from of_network(str(value), f"sets {key}: {value}")
            elif value == "host" or str(value).startswith("container:"):
                yield Reach("namespace", f"{key} {value}", f"sets {key}: {value}")
        elif value and key not in _HARMLESS:
            yield Reach("option", f"{key} {_text(value)}", f"sets {key}: {_text(value)}")


def _mount(item: JSON, volumes: JSON) -> Mount:
    """Return a mount of a resolved service, with what its volume says of a driver."""
    source = str(item.get("source") or "")
    kind = str(item.get("type"))
    options: list[tuple[str, str | None]] = []
    volume = volumes.get(source) or {} if kind == "volume" else {}
    if volume.get("driver_opts"):
        options += [("volume-opt", f"{key}={value}") for key, value in sorted(volume["driver_opts"].items())]
    if volume.get("driver") not in {None, "local"}:
        options.append(("volume-driver", str(volume["driver"])))
    if propagation := (item.get("bind") or {}).get("propagation"):
        options.append(("bind-propagation", str(propagation)))
    if kind not in {"bind", "volume", "tmpfs"}:
        options.append(("volume-driver", kind))
    name = str(volume.get("name") or source)
    where = source if kind == "bind" else name
    return Mount(cast("MountType", kind), str(item.get("target")), where, bool(item.get("read_only")), tuple(options))


def of_service_build(build: JSON, workspace: Path) -> Iterator[Reach]:
    """Yield what the build of a service's image reaches."""
    for key in sorted(build.keys() - _BUILD):
        if build[key]:
            yield Reach("build", f"{key} {_text(build[key])}", f"is built with {key}: {_text(build[key])}")
    if build.get("network") not in {None, "", "none", "default"}:
        yield Reach("build", f"network {build['network']}", f"is built with network: {build['network']}")
    context = str(build.get("context", ""))
    if context.startswith("/"):
        dockerfile = Path(context, str(build.get("dockerfile") or "Dockerfile"))
        for what, path in (("build context", Path(context)), ("Dockerfile", dockerfile)):
            if not is_inside(path, workspace):
                yield Reach("path", str(path), f"takes the {what} {path} from outside the workspace", "read-only")
    elif context:
        yield Reach("remote", context, f"is built from {context}, which is elsewhere")
    contexts = build.get("additional_contexts") or {}
    pairs = contexts.items() if isinstance(contexts, dict) else (str(item).partition("=")[::2] for item in contexts)
    for name, place in sorted((str(name), str(place)) for name, place in pairs):
        yield from _of_context(name, place, workspace)
    for key in ("cache_from", "cache_to"):
        for item in build.get(key) or ():
            if "type=local" in str(item).replace(" ", "").lower() or key == "cache_to":
                yield Reach("build", f"{key} {item}", f"is built with {key}: {item}")


def _of_context(name: str, place: str, workspace: Path) -> Iterator[Reach]:
    if place.startswith(("service:", "target:")):
        return
    if not place.startswith("/"):
        yield Reach("remote", place, f"is built with {place}, which is elsewhere, as {name}")
    elif not is_inside(place, workspace):
        yield Reach("path", place, f"is built with {place} of the host as {name}", "read-only")


def _of_network(name: str, network: JSON) -> Iterator[Reach]:
    said = f"the network {name}"
    if network.get("external"):
        yield from of_network(str(network.get("name") or name), f"{said} is {network.get('name') or name}")
    elif network.get("name") in {"host", "bridge", "none"}:
        yield Reach("network", str(network["name"]), f"{said} is called {network['name']}, which is the engine's own")
    driver = str(network.get("driver") or "")
    if driver not in _DRIVERS:
        yield Reach("network", f"{name} {driver}", f"{said} has the driver {driver}, which reaches the host's own")
    options = {key: value for key, value in (network.get("driver_opts") or {}).items() if key not in _HARMLESS_OPTIONS}
    for key in sorted(network.keys() - _NETWORK):
        options[key] = network[key]
    for key, value in sorted(options.items()):
        yield Reach("network", f"{name} {key}={_text(value)}", f"{said} has the option {key}: {_text(value)}")
    for item in (network.get("ipam") or {}).get("config") or ():
        subnet = str(item.get("subnet") or "")
        if subnet and not _is_harmless(subnet):
            yield Reach("network", f"{name} {subnet}", f"{said} takes the addresses {subnet}, also from the host")


def _is_harmless(subnet: str) -> bool:
    try:
        net = ipaddress.ip_network(subnet, strict=False)
    except ValueError:
        return False
    wide = net.prefixlen >= _WIDEST[net.version]
    return wide and any(net.version == one.version and net.subnet_of(one) for one in _OWN_RANGES)  # type: ignore[arg-type]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def of_reads(reads: Iterable[tuple[str, str]]) -> Iterator[Reach]:
    """Yield what the files of a project take from the host: variables by name, files outside the workspace."""
    for kind, name in reads:
        if kind == "variable":
            yield variable(name)
        else:
            yield Reach(kind, name, f"reads {name}, from outside the workspace", "read-only")
