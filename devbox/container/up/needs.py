"""What a contract needs of its host, seen to when its container is made: the GPUs, and warnings about the rest."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from devbox.container.steps import ComposeUp, CreateContainer, Replace
from devbox.devcontainer import requirements
from devbox.devcontainer.gpu import gpu_args
from devbox.engine.spec import ContainerSpec
from devbox.errors import RefusedError

if TYPE_CHECKING:
    from devbox.container.steps import Step
    from devbox.container.up.plan import Plan
    from devbox.devcontainer.gpu import Grant
    from devbox.devcontainer.model import Contract, Merged
    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter


def with_gpus(engine: Engine, contract: Contract, merged: Merged, todo: Plan, reporter: Reporter) -> Plan:
    """Return the plan with the GPUs that the contract asks for, where it makes a container.

    What the host lacks is warned about: the container is started all the same, as by every tool.
    """
    if todo.outcome != "created":
        return todo
    grant = gpus_for(engine, contract, merged, reporter)
    if grant is None:
        return todo
    return replace(todo, steps=tuple(_with(step, grant) for step in todo.steps))


def _with(step: Step, grant: Grant) -> Step:
    """Return the step that makes the container with the GPUs, any other as it is."""
    if not isinstance(step, CreateContainer | Replace | ComposeUp) or step.spec is None:
        return step
    if isinstance(step.spec, ContainerSpec):
        return replace(step, spec=replace(step.spec, run_args=(*step.spec.run_args, *grant.args)))
    from devbox.devcontainer.compose.override import with_gpus as reserved

    return replace(step, spec=reserved(step.spec, grant.reservation()))


def gpus_for(engine: Engine, contract: Contract, merged: Merged, reporter: Reporter) -> Grant | None:
    """Return the GPUs that a contract asks for, None for nothing, and warn about what the host lacks.

    An image's demand is compared and told, and hands out none. Nothing is looked at where nothing is
    required. Raises EngineError, and RefusedError for GPUs that were asked for beside the contract and cannot be had.
    """
    needs, said = merged.host_requirements, contract.variation.gpus
    if contract.gpus is None and (not needs or (said == "none" and needs.keys() == {"gpu"})):
        return None
    from devbox.facts import engine as engine_facts
    from devbox.facts import gpu as gpu_facts
    from devbox.facts import host as host_facts

    if said == "all" and requirements.demanded_gpu(contract) is not None:
        from devbox.devcontainer.gpu import ALL

        return ALL
    facts = engine_facts.gather(engine)
    if needs and facts.local:
        for sentence in requirements.unmet(needs, host_facts.gather(), engine_facts.free_storage(facts)):
            reporter.warn(sentence)
    if contract.gpus is not None:
        choice = gpu_args(contract.gpus, gpu_facts.gather(engine, facts), facts)
        if choice.denied:
            reason = f"the GPUs {contract.gpus} cannot be had: {choice.reason}"
            raise RefusedError(reason, hint="devbox up --gpus none")
        if contract.gpus != "none":
            reporter.info(f"GPUs: {choice.reason}")
        return choice.grant
    if "gpu" not in needs or said == "none":
        return None
    choice = requirements.gpu(needs["gpu"], merged.run_args, gpu_facts.gather(engine, facts), facts)
    if choice.denied:
        reporter.warn(f"the contract asks for a GPU, and the container starts without what it needs: {choice.reason}")
    elif choice.grant is None:
        reporter.info(f"no GPU: {choice.reason}")
    return choice.grant if requirements.demanded_gpu(contract) is not None else None
