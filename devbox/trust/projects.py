"""What the services of a compose project reach: judged by what docker compose itself makes of its files."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from devbox.engine.run_args import is_reserved_label
from devbox.engine.spec import ImageBuild, Mount
from devbox.errors import ContractError
from devbox.trust import builds, dockerfiles
from devbox.trust.builds import of_image_build
from devbox.trust.compose_keys import asked
from devbox.trust.containers import of_mount, of_network, of_restarts, of_switches, of_volume, variable
from devbox.trust.content import of_files
from devbox.trust.reach import Reach, is_inside, of_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from devbox.devcontainer.jsonc import JSON
    from devbox.engine.spec import MountType

_NAMESPACES = frozenset({"network_mode", "pid", "ipc", "uts", "userns_mode", "cgroup"})
_OWN_NAMESPACES = frozenset({"private", "shareable", "none"})
# Where docker keeps what a container says by itself; every other driver sends it on.
_LOGS = frozenset({"", "json-file", "local", "none"})
_GPU_DRIVERS = frozenset({None, "", "nvidia"})
_DRIVERS = frozenset({"", "bridge", "default", "overlay"})
_HARMLESS_OPTIONS = frozenset({"com.docker.network.driver.mtu", "com.docker.network.bridge.enable_icc"})
# Where docker itself takes the addresses of its networks from: a bridge there takes no route of the host's away.
_OWN_RANGES = tuple(map(ipaddress.ip_network, ("172.16.0.0/12", "192.168.0.0/16", "fd00::/8")))
_WIDEST = {4: 16, 6: 48}


def of_project(config: JSON, workspace: Path) -> Iterator[Reach]:
    """Yield what the services of a resolved compose configuration reach.

    `config` is what `docker compose config` says. Keys that are not known to be harmless are told as they are.
    """
    volumes, secrets = config.get("volumes") or {}, config.get("secrets") or {}
    for name, service in sorted((config.get("services") or {}).items()):
        for one in _of_service(service, volumes, secrets, workspace):
            yield replace(one, said=f"the service {name} {one.said}", mode=f"{name}: {one.mode}")
    for name, network in sorted((config.get("networks") or {}).items()):
        yield from _of_network(name, network or {})
    for name, volume in sorted(volumes.items()):
        yield from of_volume(str((volume or {}).get("name") or name), workspace)
        yield from _of_labels((volume or {}).get("labels"), f"the volume {name} carries")
    for kind in ("secrets", "configs"):
        for name, item in sorted((config.get(kind) or {}).items()):
            yield from _of_file(kind.removesuffix("s"), name, item or {}, workspace)
    for key, value in asked({key: value for key, value in config.items() if key not in {"services", "networks"}}):
        yield Reach("option", f"{key} {_text(value)}", f"sets {key} of the project: {_text(value)}")


def _of_file(kind: str, name: str, item: JSON, workspace: Path) -> Iterator[Reach]:
    if item.get("environment"):
        yield Reach("variable", item["environment"], f"a service reads the host's variable {item['environment']}")
    file = str(item.get("file") or "")
    if file and not is_inside(file, workspace):
        yield of_path(file, f"a service reads {file} of the host, as its {kind} {name}")


def _of_service(service: JSON, volumes: JSON, secrets: JSON, workspace: Path) -> Iterator[Reach]:
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
    yield from of_service_build(service.get("build") or {}, secrets, workspace)
    yield from _of_programs(service, workspace)
    if (driver := str((service.get("logging") or {}).get("driver") or "")) not in _LOGS:
        yield Reach("option", f"logging {_text(service['logging'])}", f"sends what it says elsewhere, by {driver}")
    yield from _of_devices(service)
    for group in map(str, service.get("group_add") or ()):
        if group.startswith("keep"):
            # Podman's word for all of the person's groups.
            yield Reach("security", f"group-add {group}", f"sets group_add: {group}")
    yield from _of_labels(service.get("labels"), "carries")
    for key, value in sorted(service.items()):
        # Of another service of the project is as good as its own.
        if key in _NAMESPACES and value and not str(value).startswith("service:"):
            if key == "network_mode":
                yield from of_network(str(value), f"sets {key}: {value}")
            elif value not in _OWN_NAMESPACES:
                yield Reach("namespace", f"{key} {value}", f"sets {key}: {value}")
    for name, network in sorted((service.get("networks") or {}).items()):
        for key, value in sorted(((network or {}).get("driver_opts") or {}).items()):
            said = f"joins the network {name} with the option {key}: {_text(value)}"
            yield Reach("network", f"{name} {key}={_text(value)}", said)
    for key, value in asked({key: value for key, value in service.items() if key != "build"}, "services"):
        yield Reach("option", f"{key} {_text(value)}", f"sets {key}: {_text(value)}")


def _of_devices(service: JSON) -> Iterator[Reach]:
    reserved = ((service.get("deploy") or {}).get("resources") or {}).get("reservations") or {}
    shared = [*(reserved.get("devices") or ()), *(service.get("gpus") or ())]
    found = [item for item in shared if item.get("driver") not in _GPU_DRIVERS or item.get("options")]
    for device in found:
        yield Reach("device", _text(device), f"has devices of the host: {_text(device)}")
    for device in service.get("devices") or ():
        yield Reach("device", _text(device), f"sets devices: {_text(device)}")


def _of_labels(labels: JSON | None, said: str) -> Iterator[Reach]:
    for label in sorted(labels or {}):
        if is_reserved_label(label) and label != "devcontainer.metadata":
            yield Reach("name", label, f"{said} the label {label}, by which tools know what is somebody's")


def _of_programs(service: JSON, workspace: Path) -> Iterator[Reach]:
    """Yield the programs that docker compose runs beside the service: on the host, or with more than the service."""
    if provider := service.get("provider"):
        program = str(provider.get("type") or "")
        if "/" in program and not program.startswith("/"):
            raise ContractError(
                f"a service's provider is {program}, which is looked for wherever devbox is called from",
                hint="name it by its absolute path",
            )
        content = of_files(workspace, [program]) if program.startswith("/") else ""
        yield Reach(
            "command", _text(provider), f"sets provider: a program on the host: {_text(provider)}", content=content
        )
    if service.get("use_api_socket"):
        yield Reach(
            "socket",
            "",
            "sets use_api_socket: the container engine's socket, with your logins: that is root on the host",
        )
    for key in ("post_start", "pre_stop"):
        for hook in service.get(key) or ():
            if hook.get("privileged"):
                yield Reach("privileged", f"{key} {_text(hook)}", f"runs a command of {key} privileged: {_text(hook)}")


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
    labels = (item.get("volume") or {}).get("labels") or {}
    options += [("volume-label", f"{key}={value}") for key, value in sorted(labels.items())]
    name = str(volume.get("name") or source)
    where = source if kind == "bind" else name
    return Mount(cast("MountType", kind), str(item.get("target")), where, bool(item.get("read_only")), tuple(options))


def of_service_build(build: JSON, secrets: JSON, workspace: Path) -> Iterator[Reach]:
    """Yield what the build of a service's image reaches, with what the Dockerfile says. `secrets` are the project's."""
    found = list(_of_service_build(build, workspace))
    for item in build.get("secrets") or ():
        found += _of_file("secret", item["source"], secrets.get(item["source"]) or {}, workspace)
    context, dockerfile = Path(build.get("context") or "/"), build.get("dockerfile") or "Dockerfile"
    more = [*map(build.get, ("dockerfile_inline", "args", "target"))]
    yield from builds.bound(found, context, [dockerfile], more)


def _of_service_build(build: JSON, workspace: Path) -> Iterator[Reach]:
    for key, value in asked(build, "services.build"):
        yield Reach("build", f"{key} {_text(value)}", f"is built with {key}: {_text(value)}")
    context, contexts = str(build.get("context") or ""), build.get("additional_contexts") or {}
    pairs = contexts.items() if isinstance(contexts, dict) else (str(item).partition("=")[::2] for item in contexts)
    named = sorted((str(name), str(place)) for name, place in pairs)
    made = ImageBuild(
        dockerfile=str(Path(context, str(build.get("dockerfile") or "Dockerfile"))) if context.startswith("/") else "",
        context=context,
        # Those of the project itself.
        contexts=tuple(one for one in named if not one[1].startswith(("service:", "target:")) or "/" in one[1]),
        cache_from=tuple(map(str, build.get("cache_from") or ())),
        cache_to=tuple(map(str, build.get("cache_to") or ())),
        network=build.get("network"),
        args=tuple((str(name), str(value)) for name, value in (build.get("args") or {}).items()),
    )
    yield from of_image_build(made, workspace)
    yield from dockerfiles.of_text(str(build.get("dockerfile_inline") or ""))


def _of_network(name: str, network: JSON) -> Iterator[Reach]:
    said = f"the network {name}"
    if network.get("external"):
        yield from of_network(str(network.get("name") or name), f"{said} is {network.get('name') or name}")
    elif network.get("name") in {"host", "bridge", "none"}:
        yield Reach("network", str(network["name"]), f"{said} is called {network['name']}, which is the engine's own")
    driver = str(network.get("driver") or "")
    if driver not in _DRIVERS:
        yield Reach("network", f"{name} {driver}", f"{said} has the driver {driver}, which reaches the host's own")
    ipam = network.get("ipam") or {}
    options = {key: value for key, value in (network.get("driver_opts") or {}).items() if key not in _HARMLESS_OPTIONS}
    options |= {f"ipam.options.{key}": value for key, value in (ipam.get("options") or {}).items()}
    options |= dict(asked({key: value for key, value in network.items() if value is not None}, "networks"))
    if ipam.get("driver") not in {None, "", "default"}:
        options["ipam.driver"] = ipam["driver"]
    for key, value in sorted(options.items()):
        yield Reach("network", f"{name} {key}={_text(value)}", f"{said} has the option {key}: {_text(value)}")
    yield from _of_labels(network.get("labels"), f"{said} carries")
    for item in ipam.get("config") or ():
        subnet, gateway = str(item.get("subnet") or ""), str(item.get("gateway") or "")
        if subnet and not _is_harmless(subnet):
            yield Reach("network", f"{name} {subnet}", f"{said} takes the addresses {subnet}, also from the host")
        if gateway and not _is_in(gateway, subnet):
            yield Reach("network", f"{name} {gateway}", f"{said} gives the host the address {gateway}")


def _is_harmless(subnet: str) -> bool:
    try:
        net = ipaddress.ip_network(subnet, strict=False)
    except ValueError:
        return False
    wide = net.prefixlen >= _WIDEST[net.version]
    return wide and any(net.version == one.version and net.subnet_of(one) for one in _OWN_RANGES)  # type: ignore[arg-type]


def _is_in(address: str, subnet: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(subnet, strict=False)
    except ValueError:
        return False


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def of_reads(reads: Iterable[tuple[str, str]]) -> Iterator[Reach]:
    """Yield what the files of a project take from the host: variables by name, files outside the workspace."""
    for kind, name in reads:
        if kind == "variable":
            yield variable(name)
        elif kind == "unsure":
            yield Reach("path", name, f"reads {name}, wherever that leads", "read-only")
        else:
            yield of_path(name, f"reads {name}, from outside the workspace")
