"""The container that a contract asks for: the argv it is made with, and what is recorded on it to be compared later."""

from __future__ import annotations

import json
import re
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from devbox.agent.hashes import sha256
from devbox.container.checkout.elsewhere import COPY, mounts_there
from devbox.container.hooks.commands import ONCE
from devbox.container.inside.probe import CONTRACT_LABEL
from devbox.devcontainer.compose import model
from devbox.devcontainer.identity import METADATA
from devbox.devcontainer.requirements import demanded_gpu
from devbox.engine.spec import ContainerSpec, Mount
from devbox.errors import ContractError
from devbox.masking import folded, is_secret
from devbox.trust.contracts import secret_names as host_secrets
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from devbox.devcontainer.compose.model import Project
    from devbox.devcontainer.compose.override import ProjectSpec
    from devbox.devcontainer.model import Contract, Merged
    from devbox.engine.kubernetes.spec import PodSpec
    from devbox.masking import Mask

    # What makes a container, in each of its forms.
    Spec = ContainerSpec | ProjectSpec | PodSpec

JSON = dict[str, Any]

SCHEMA = "1"
# What of the record says how commands are executed: a word of it that is somebody's secret, too, stays.
_READ_AGAIN = ("workspaceFolder", "remoteUser", "project", "serviceName")
HIDDEN = "(hidden)"


@dataclass(frozen=True, slots=True)
class Desired:
    """A container as it should be. `state` is its record in the label `devbox.contract`: no secrets, compared later."""

    spec: Spec
    state: JSON = field(hash=False)


@dataclass(frozen=True, slots=True)
class Image:
    """The image that a container is made from: its name, its id, and a digest of what it was made from.

    `config` is `.Config` of its inspection. One that is not there yet has no id, and is `known` where its base is.
    """

    reference: str
    id: str
    inputs: str
    config: JSON = field(hash=False, default_factory=dict)
    known: bool = True


class UserImage(NamedTuple):
    """An image whose remote user has the host user's ids; `userns` is the user namespace that it needs, if any."""

    name: str
    userns: str | None = None

    def used_by(self, spec: ContainerSpec) -> ContainerSpec:
        """Return `spec` made from this image."""
        kept = () if self.userns is None else (f"--userns={self.userns}",)
        return replace(spec, image=self.name, run_args=(*spec.run_args, *kept))


def desired(
    contract: Contract,
    merged: Merged,
    image: Image,
    *,
    name: str | None = None,
    uid_image: UserImage | None = None,
    mask: Mask | None = None,
) -> Desired:
    """Return the container of `contract`, merged with its image's metadata.

    `name` is what a person asked for; without one, a container gets a name that says whose it is, unless its `runArgs`
    give one. `uid_image` is an image on top of `image` whose remote user has the host user's ids. `mask` hides in the
    record what it knows for secret, under whatever name: a label is there for everybody who may use the engine.
    """
    state = _plain({**_state(contract, merged, image), **_of_docker_run(contract, merged, name)}, mask)
    own = name or (None if run_args_value(merged.run_args, "--name") else container_name(contract))
    spec = docker_run(contract, merged, image, own)
    spec = spec if uid_image is None else uid_image.used_by(spec)
    return Desired(replace(spec, labels=_labels(contract, merged, state)), state)


def docker_run(contract: Contract, merged: Merged, image: Image, name: str | None) -> ContainerSpec:
    """Return what `docker run` is told, without the labels that make the container a dev container.

    Each word that a contract or an image gives is read and written again: what is judged is what runs. Raises
    ContractError, naming the contract, for one that docker could read in another way.
    """
    try:
        mounts, publish, run_args = _mounts(contract, merged), _publish(merged), _run_args(contract, merged)
    except ContractError as error:
        raise ContractError(f"{contract.path}: {error.message}", hint=error.hint or f"edit {contract.path}") from None
    return ContainerSpec(
        image=image.reference,
        entrypoint="/bin/sh",
        command=("-c", entry_script(merged.entrypoints), "-", *_image_command(merged, image.config)),
        name=name,
        publish=publish,
        mounts=mounts,
        env=merged.container_env,
        user=merged.container_user,
        run_args=run_args,
        init=merged.init,
        privileged=merged.privileged,
        cap_add=merged.cap_add,
        security_opt=_security(contract, merged),
    )


def _mounts(contract: Contract, merged: Merged) -> tuple[str, ...]:
    """Return the mounts of a container, each in one spelling; relative sources count from the workspace."""
    workspace = [contract.workspace_mount] if contract.workspace_mount else []
    asked = [Mount.parse(text).beside(str(contract.workspace)) for text in (*workspace, *merged.mounts)]
    extra = contract.extra_mounts
    if contract.elsewhere:
        asked, extra = [*mounts_there(contract, (*asked, *map(Mount.parse, extra)))], ()
    found = [one.csv() for one in asked]
    return (*found[: len(workspace)], *extra, *found[len(workspace) :], *contract.variation.mounts)


def _security(contract: Contract, merged: Merged) -> tuple[str, ...]:
    if not merged.security_opt:
        return ()
    from devbox.engine.run_args import security_option

    return tuple(security_option(option, str(contract.workspace)) for option in merged.security_opt)


def _publish(merged: Merged) -> tuple[str, ...]:
    if not merged.publish:
        return ()
    from devbox.engine.ports import Published

    return tuple(str(Published.parse(text)) for text in merged.publish)


def _run_args(contract: Contract, merged: Merged) -> tuple[str, ...]:
    if not merged.run_args:
        return ()
    from devbox.engine.run_args import parse

    return tuple(argument.word for argument in parse(merged.run_args, str(contract.workspace)))


def desired_service(
    contract: Contract,
    merged: Merged,
    image: Image,
    project: Project,
    *,
    path: Path,
    own_image: UserImage | None = None,
    mask: Mask | None = None,
) -> Desired:
    """Return the dev container that is a service of a compose project, with its override to be written to `path`.

    `own_image` is an image to be used in place of the service's, `mask` as for `desired`.
    """
    from devbox.devcontainer.compose.override import ProjectSpec, override

    state = _state(contract, merged, image)
    variables = {**(project.definition.get("environment") or {}), **dict(merged.container_env)}
    state["env"] = _without_secrets(variables, merged)
    state["appPort"] = list(merged.publish)
    state = _plain({**state, "image": project.image, **model.state(project)}, mask)
    content = override(
        project,
        _in_one_line(merged) if contract.variation.lenient else merged,
        script=entry_script(merged.entrypoints),
        mounts=_mounts(contract, merged),
        labels=_labels(contract, merged, state),
        image_config=image.config,
        image=own_image.name if own_image else image.reference if image.reference != project.image else None,
        userns=own_image.userns if own_image else None,
    )
    return Desired(ProjectSpec(project, content, path), state)


def _in_one_line(merged: Merged) -> Merged:
    """Return the same with line breaks of `containerEnv` as the two characters that other tools make of them."""
    env = tuple((name, value.replace("\n", "\\n")) for name, value in merged.container_env)
    return replace(merged, container_env=env)


def _labels(contract: Contract, merged: Merged, state: JSON) -> tuple[tuple[str, str], ...]:
    """Return the labels by which every tool finds the container and reads what it is."""
    return (
        *contract.labels,
        # Written in full even where it is empty: without the label, tools would take the image's instead.
        (METADATA, canonical(list(merged.metadata), sort=False)),
        ("devbox.schema", SCHEMA),
        ("devbox.framework", contract.record.framework or ""),
        ("devbox.workspace", str(contract.workspace)),
        *([(COPY, contract.elsewhere)] if contract.elsewhere else []),
        (CONTRACT_LABEL, canonical(state)),
    )


def canonical(value: object, *, sort: bool = True) -> str:
    """Return `value` as compact JSON, equal text for equal values."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=sort)


def entry_script(entrypoints: Sequence[str]) -> str:
    """Return the shell script that is the container's first process.

    It runs the entrypoints that the image's metadata names, then the image's own command where it is not overridden,
    and else waits; SIGTERM ends it at once. Its first line of output is the one by which tools know that it started.
    """
    lines = ["echo Container started", 'trap "exit 0" TERM', *entrypoints, 'exec "$@"']
    return "\n".join([*lines, 'while sleep 86400 & wait "$!"; do :; done'])


def _image_command(merged: Merged, config: JSON) -> tuple[str, ...]:
    if merged.override_command:
        return ()
    return (*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ()))


def run_args_value(run_args: Sequence[str], option: str) -> str | None:
    """Return the value that `runArgs` give to an option such as `--name`, or None."""
    for index, argument in enumerate(run_args):
        if argument == option and index + 1 < len(run_args):
            return run_args[index + 1]
        if argument.startswith(f"{option}="):
            return argument.removeprefix(f"{option}=")
    return None


def container_name(contract: Contract) -> str:
    """Return the name of a contract's container: the folder's name, and a hash that tells equal names apart."""
    return f"devbox-{slug(contract.workspace.name)}-{sha256(contract.devcontainer_id.encode()).hexdigest()[:6]}"


def slug(text: str) -> str:
    """Return `text` as docker takes it in a name: lower case, digits, dots, underscores and hyphens."""
    return re.sub(r"[^a-z0-9_.-]+", "-", text.lower()).strip("-._")[:40] or "workspace"


def _without_secrets(variables: Mapping[str, Any], merged: Merged) -> JSON:
    """Return `variables` without the values that look like secrets, or are made from the host's secrets."""
    written = [item for entry in merged.metadata for item in (entry.get("containerEnv") or {}).items()]
    taken = {name for name, text in written if any(host_secrets(text))}
    return {
        name: HIDDEN if name in taken or is_secret(name, str(value)) else value for name, value in variables.items()
    }


def secret_names(env: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Return the names of those variables that look like secrets."""
    return tuple(name for name, value in env if value and is_secret(name, value))


def _state(contract: Contract, merged: Merged, image: Image) -> JSON:
    """Return what makes a container another one. What takes effect in a running container is not part of it."""
    hooks = dict(merged.hooks)
    return {
        "image": contract.image or "",
        "inputs": image.inputs,
        "workspaceFolder": contract.workspace_folder,
        "remoteUser": merged.remote_user,
        "containerUser": merged.container_user,
        "env": _without_secrets(dict(merged.container_env), merged),
        "mounts": {_target(mount): _normal(mount) for mount in (*contract.extra_mounts, *merged.mounts)},
        "init": merged.init,
        "privileged": merged.privileged,
        "capAdd": sorted(merged.cap_add),
        "securityOpt": sorted(merged.security_opt),
        # What was handed out depends on the machine, and is no part of the contract. What is asked for is.
        "hostRequirements.gpu": demanded_gpu(contract),
        "gpus": contract.gpus,
        "ids": contract.ids,
        "entrypoints": list(merged.entrypoints),
        "overrideCommand": merged.override_command,
        **{key: hooks[key] for key in ONCE if key in hooks},
    }


def _of_docker_run(contract: Contract, merged: Merged, name: str | None) -> JSON:
    """Return the part of the state that a compose project has no counterpart of."""
    mounts = [*([contract.workspace_mount] if contract.workspace_mount else []), *contract.extra_mounts, *merged.mounts]
    return {
        "mounts": {_target(mount): _normal(mount) for mount in mounts},
        "runArgs": list(_hidden_env(merged.run_args)),
        "appPort": list(merged.publish),
        "name": name,
    }


def _plain(state: JSON, mask: Mask | None) -> JSON:
    """Return a state as it comes back from its label, without what is empty."""
    plain: JSON = json.loads(canonical(state))
    if mask is not None:
        plain = {**mask.data(plain), **{key: plain[key] for key in _READ_AGAIN if key in plain}}
    return {key: value for key, value in plain.items() if value not in (None, "", [], {}, False)}


def _target(mount: str) -> str:
    try:
        return Mount.parse(mount).target
    except ContractError:
        return mount


def _normal(mount: str) -> str:
    """Return a mount in one spelling, so that two ways to write the same are the same."""
    try:
        return Mount.parse(mount).csv()
    except ContractError:
        return mount


def _hidden_env(run_args: Sequence[str]) -> list[str]:
    """Return `runArgs` without the values of variables that look like secrets."""
    shown = []
    for argument in run_args:
        prefix, dash, rest = ("--env=", "=", argument[6:]) if argument.startswith("--env=") else ("", "", argument)
        name, equals, value = rest.partition("=")
        hide = bool(equals) and (bool(dash) or not argument.startswith("-")) and is_secret(name, value)
        shown.append(f"{prefix}{name}={HIDDEN}" if hide else argument)
    return shown


_BETWEEN_VALUES = re.compile(r"( → |: (?=[-+] )|, (?=[-+] ))")
_NAMES: Mapping[str, str] = {
    "inputs": "what the image is built from",
    "env": "containerEnv",
    "gpus": "the choice of GPUs",
    "ids": "the remote user's ids",
    "name": "the container's name",
    "project": "the compose project's name",
    "serviceName": "the service's name",
    "volumes": "volume",
}


def differences(old: JSON, new: JSON) -> tuple[str, ...]:
    """Return in words what differs between two recorded states, key by key; nothing if they mean the same."""
    if old and new and ("project" in old) != ("project" in new):
        # Everything is said elsewhere in the other form, and naming all of it would tell nobody anything.
        return (f"the contract is {'now' if 'project' in new else 'no longer'} a compose project",)
    reasons: list[str] = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        title = _NAMES.get(key, key)
        if key == "ids":
            before, after = (":".join(map(str, pair)) if pair else None for pair in (before, after))
        if key == "inputs":
            reasons.append(
                "what the image is built from changed (Dockerfile, its arguments and files, Features, the base image)"
            )
        elif isinstance(before or {}, dict) and isinstance(after or {}, dict):
            reasons += _dict_differences(title, before or {}, after or {})
        elif isinstance(before or [], list) and isinstance(after or [], list):
            reasons += _list_differences(title, before or [], after or [])
        else:
            reasons.append(f"{title}: {_shown(before)} → {_shown(after)}")
    return tuple(reasons)


def _dict_differences(title: str, before: JSON, after: JSON) -> list[str]:
    return [
        f"{title} {name}: {_shown(before.get(name))} → {_shown(after.get(name))}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _list_differences(title: str, before: list[Any], after: list[Any]) -> list[str]:
    gone = [_shown(item) for item in before if item not in after]
    new = [_shown(item) for item in after if item not in before]
    if not gone and not new:
        return [f"{title}: another order or number"]
    return [f"{title}: " + ", ".join([*(f"- {item}" for item in gone), *(f"+ {item}" for item in new)])]


def _shown(value: Any) -> str:
    if value in (None, "", [], {}):
        return "nothing"
    return value if isinstance(value, str) else canonical(value)


def in_short(reason: str) -> str:
    """Return a reason of `differences` with its long values folded."""
    return "".join(map(folded, _BETWEEN_VALUES.split(reason)))
