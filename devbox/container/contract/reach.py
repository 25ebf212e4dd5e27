"""What a contract reaches: the function from the containers, the project and the image that would be made to the model.

It judges the values that become docker's words. Before the image is there, its metadata is not known: what that adds is
asked for then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devbox.container.desired import Image, docker_run
from devbox.devcontainer.merge import merge
from devbox.trust.builds import of_proxies
from devbox.trust.containers import of_container
from devbox.trust.contracts import bound, of_build, of_contract

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from devbox.devcontainer.compose.model import Project
    from devbox.devcontainer.model import Contract
    from devbox.trust.reach import Reach

JSON = dict[str, Any]


def reach_of(
    contract: Contract, environ: Mapping[str, str], entries: Sequence[JSON] = (), project: Project | None = None
) -> tuple[Reach, ...]:
    """Return what a contract reaches, with its image's metadata `entries` and its compose project once they are known.

    What the person lays over it is theirs, and left out. Raises ContractError for what docker could read in another
    way.
    """
    contract = contract.judged
    spec = docker_run(contract, merge(contract, entries, {}, environ), Image("", "", ""), None)
    # What the call itself mounts, the person has asked for.
    own = (*contract.extra_mounts, *contract.variation.mounts)
    found = [*of_contract(contract, entries), *of_container(spec, contract.workspace, own=own)]
    found += _of_proxies(contract, environ)
    if project is not None:
        from devbox.trust.projects import of_project, of_reads

        found += of_project(project.config, contract.workspace)
        found += of_reads(project.reads)
    others = [one for one in found if one.kind != "volume" or contract.devcontainer_id not in one.value]
    return bound(others, contract, None if project is None else project.config)


def reach_of_build(contract: Contract, environ: Mapping[str, str], project: Project | None = None) -> tuple[Reach, ...]:
    """Return what building a contract's image reaches, of a service with what its compose files are read from."""
    contract = contract.judged
    found = [*of_build(contract), *_of_proxies(contract, environ)]
    if project is None:
        return bound(found, contract)
    from devbox.trust.projects import of_reads, of_service_build

    secrets = project.config.get("secrets") or {}
    found += of_service_build(project.definition.get("build") or {}, secrets, contract.workspace)
    found += of_reads(project.reads)
    return bound(found, contract, project.config)


def _of_proxies(contract: Contract, environ: Mapping[str, str]) -> Iterator[Reach]:
    """Yield the proxies with a password that the steps of an image build get: these could write it into a layer."""
    if contract.kind == "image" and not contract.features:
        return
    from devbox.config.network import ambient

    yield from of_proxies({key: value for key, (value, _) in ambient(environ).items()})
