"""Every key of a compose file, in one of four classes: what of a project has to be shown is no list of dangerous keys.

A key that is in no class here is asked for as it is, like those of newer releases. Names of services and the like are
left out of the places: `services.build.args`. Source: `schema/compose-spec.json` of compose-go, of 2026-07; a test
compares it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

# Below these are names that the file chooses, and not keys.
NAMED: Final = frozenset({
    "services", "networks", "volumes", "secrets", "configs", "services.networks", "services.depends_on",
    "services.ulimits", "services.build.ulimits",
})  # fmt: skip


def _of(**places: str) -> frozenset[str]:
    """Return keys by the place that they are in, with `__` for a dot; `top` is no place."""
    found = ((place.replace("__", "."), key) for place, keys in places.items() for key in keys.split())
    return frozenset(key if place == "top" else f"{place}.{key}" for place, key in found)


_HOOK = "command environment user working_dir"
_FILE = "source target uid gid mode"
_ROLLOUT = "delay failure_action max_failure_ratio monitor order parallelism"

# It takes effect in its container, its build or its project alone, or the engine itself refuses what would not.
HARMLESS: Final = _of(
    top="name version",
    services="attach blkio_config cap_drop command configs container_name cpu_count cpu_percent cpu_period cpu_quota "
    "cpu_shares cpus cpuset depends_on dns dns_opt dns_search domainname entrypoint environment expose extra_hosts "
    "healthcheck hostname image init links mac_address mem_limit mem_reservation mem_swappiness "
    "memswap_limit pids_limit platform ports profiles pull_policy pull_refresh_after read_only scale secrets shm_size "
    "stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits user working_dir",
    services__blkio_config="device_read_bps device_read_iops device_write_bps device_write_iops weight weight_device",
    services__blkio_config__device_read_bps="path rate",
    services__blkio_config__device_read_iops="path rate",
    services__blkio_config__device_write_bps="path rate",
    services__blkio_config__device_write_iops="path rate",
    services__blkio_config__weight_device="path weight",
    services__build="extra_hosts labels no_cache no_cache_filter platforms pull shm_size ulimits",
    services__build__ulimits="hard soft",
    services__build__secrets="gid mode target uid",
    services__configs=_FILE,
    services__secrets=_FILE,
    services__depends_on="condition required restart",
    # What only a swarm does is done by none.
    services__deploy="endpoint_mode labels mode placement replicas rollback_config update_config",
    services__deploy__placement="constraints max_replicas_per_node preferences",
    services__deploy__placement__preferences="spread",
    services__deploy__rollback_config=_ROLLOUT,
    services__deploy__update_config=_ROLLOUT,
    services__deploy__resources="limits",
    services__deploy__resources__limits="cpus memory pids",
    services__deploy__resources__reservations="cpus memory generic_resources",
    services__deploy__resources__reservations__generic_resources="discrete_resource_spec",
    services__deploy__resources__reservations__generic_resources__discrete_resource_spec="kind value",
    services__deploy__resources__reservations__devices="capabilities count device_ids",
    services__deploy__restart_policy="delay max_attempts window",
    services__gpus="capabilities count device_ids",
    services__healthcheck="disable interval retries start_interval start_period test timeout",
    services__networks="aliases gw_priority interface_name ipv4_address ipv6_address link_local_ips mac_address "
    "priority",
    services__ports="app_protocol host_ip mode name protocol published target",
    services__post_start=_HOOK,
    services__pre_stop=_HOOK,
    services__ulimits="hard soft",
    services__volumes="consistency tmpfs",
    services__volumes__bind="create_host_path recursive selinux",
    services__volumes__tmpfs="mode size",
    services__volumes__volume="nocopy subpath",
    networks="attachable enable_ipv4 enable_ipv6 internal",
    networks__ipam__config="aux_addresses ip_range",
    secrets="labels name",
    configs="content labels name",
)  # fmt: skip

# `projects` looks at it, or `names` or `sources` right before it is used.
JUDGED: Final = _of(
    top="services networks volumes secrets configs",
    services="build cap_add cgroup deploy devices gpus group_add ipc labels logging network_mode networks pid "
    "post_start pre_stop privileged provider restart security_opt use_api_socket userns_mode uts volumes",
    services__build="additional_contexts args cache_from cache_to context dockerfile dockerfile_inline network secrets "
    "tags target",
    services__build__secrets="source",
    services__deploy="resources restart_policy",
    services__deploy__resources="reservations",
    services__deploy__resources__reservations="devices",
    services__deploy__resources__reservations__devices="driver options",
    services__deploy__restart_policy="condition",
    services__devices="permissions source target",
    services__gpus="driver options",
    services__logging="driver options",
    services__networks="driver_opts",
    services__post_start="privileged",
    services__pre_stop="privileged",
    services__provider="options type",
    services__volumes="bind image read_only source target type volume",
    services__volumes__bind="propagation",
    services__volumes__image="subpath",
    services__volumes__volume="labels",
    networks="driver driver_opts external ipam labels name",
    networks__external="name",
    networks__ipam="config driver options",
    networks__ipam__config="gateway subnet",
    volumes="driver driver_opts external labels name",
    volumes__external="name",
    secrets="environment file",
    configs="environment file",
)  # fmt: skip

# It is read before the project is resolved (`compose.reading`), or taken out of what docker compose gets (`sealed`).
GONE: Final = _of(top="include", services="develop env_file extends label_file")

# It is shown as it is, like every key that is not here.
ASKED: Final = _of(
    top="models",
    services="annotations cgroup_parent cpu_rt_period cpu_rt_runtime credential_spec device_cgroup_rules "
    "external_links isolation models oom_kill_disable oom_score_adj pre_start runtime volumes_from",
    services__build="entitlements isolation privileged provenance sbom ssh",
    secrets="driver driver_opts external template_driver",
    configs="external template_driver",
)

_KNOWN: Final = HARMLESS | JUDGED
_PLACES: Final = frozenset(key.rpartition(".")[0] for key in _KNOWN)


def is_extension(key: str) -> bool:
    """Tell whether a key is none of docker compose's: such a one is not passed on."""
    return key.startswith("x-")


def asked(value: Any, place: str = "", said: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what of a resolved configuration, or of what is at a `place` of it, is to be asked for as it is.

    Each with its key, below what is `said` of the place.
    """
    if isinstance(value, list):
        for item in value:
            yield from asked(item, place, said)
    for key, item in sorted(value.items()) if isinstance(value, dict) else ():
        inner, called = f"{place}.{key}".lstrip("."), f"{said}.{key}".lstrip(".")
        if inner in NAMED and isinstance(item, dict):
            for name, one in sorted(item.items()):
                yield from asked(one, inner, f"{called}.{name}")
        elif inner in _KNOWN:
            if inner in _PLACES:
                yield from asked(item, inner, called)
        elif inner not in GONE and not is_extension(key) and item is not None and item not in ("", [], {}):
            yield called, item
