"""The Features of a contract: fetched, ordered, held by the lock file, and installed on top of its image."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from devbox import config
from devbox.container.desired import Image
from devbox.container.steps import InstallFeatures, LockFeatures
from devbox.devcontainer.identity import METADATA
from devbox.devcontainer.merge import image_metadata
from devbox.devcontainer.substitute import HostVariables, IdVariables, substitute
from devbox.errors import ContractError
from devbox.trust.dockerfiles import see_triggers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from devbox.config import Settings
    from devbox.container.up.apply import Journal
    from devbox.devcontainer.features.lock import Lock
    from devbox.devcontainer.features.order import Feature
    from devbox.devcontainer.jsonc import JSON
    from devbox.devcontainer.model import Contract
    from devbox.engine.docker import Engine
    from devbox.image.features.layer import Layer

# What a contract fills in, and the ENV of an image cannot.
_NOT_THE_IMAGES = re.compile(r"\$\{(?:localEnv|env|containerEnv):[^}]*\}")


def with_features(
    journal: Journal,
    contract: Contract,
    image: Image,
    *,
    environ: Mapping[str, str],
    user: str | None = None,
    pull: bool = False,
) -> Image:
    """Return `image` with the contract's Features in a layer on top, in a dry run as far as it can be foreseen.

    Without Features that is `image` itself. The layer's label `devcontainer.metadata` holds the image's entries and one
    for each Feature, so that the merge needs to know nothing of Features. `environ` are the proxies of a build, `user`
    is the one that a compose file gives the service, `pull` looks up again what tags mean that the lock file does not
    hold. Raises ContractError, ImageError, and FrozenError where the lock file is frozen and does not fit.
    """
    if not contract.features:
        return image

    from devbox.config.network import network_of

    engine = journal.engine
    settings = config.load(contract.workspace, environ=engine.environ, flags={})
    network = network_of(settings, engine.environ)
    warnings: list[str] = []
    features, locking = resolve(engine, contract, settings, warnings.append, pull=pull)
    journal.do(*locking)
    # What the contract says wrong stays wrong once the layer is there.
    layer = layer_of(contract, image, features, journal.reporter.warn, user=user, environ=engine.environ)
    see_triggers(image.config.get("OnBuild") or (), f"the Features of {contract.path}")
    digest = layer.digest()
    name = layer.build(digest, network).tags[0]
    # The name holds the digest, so what is called so is this.
    inspected = engine.image(name)
    if inspected is None:
        for warning in dict.fromkeys(warnings):
            journal.reporter.warn(warning)
        journal.do(InstallFeatures(layer, network, environ))
        inspected = engine.image(name)
    if inspected is not None:
        return Image(name, str(inspected["Id"]), digest, inspected.get("Config") or {})
    labels = {**(image.config.get("Labels") or {}), METADATA: layer.label}
    return replace(image, reference=name, id="", inputs=digest, config={**image.config, "Labels": labels})


def see_features(engine: Engine, contract: Contract, *, pull: bool = False) -> None:
    """See that the Features of a contract can be had, and fit a frozen lock file; nothing is said or written.

    Raises what `with_features` raises for that.
    """
    if contract.features:
        settings = config.load(contract.workspace, environ=engine.environ, flags={})
        resolve(engine, contract, settings, lambda _: None, pull=pull)


def resolve(
    engine: Engine, contract: Contract, settings: Settings, warn: Callable[[str], None], *, pull: bool = False
) -> tuple[tuple[Feature, ...], tuple[LockFeatures, ...]]:
    """Return the Features of a contract in the order of their installation, and the step that locks them, if any.

    Registries are read before anybody is asked: by the person's own settings until those of the checkout are agreed to.
    Raises ContractError and ImageError where one cannot be had, FrozenError where a frozen lock file does not fit.
    """
    from devbox.config.network import network_of
    from devbox.devcontainer.features import ids, lock
    from devbox.devcontainer.features.order import installation_order
    from devbox.image.features.store import FeatureStore
    from devbox.trust.settings import agreed

    mode = contract.variation.features_lock or settings.features_lock
    held = lock.Lock(lock.lock_path(contract.path)) if mode == "off" else lock.read(contract.path)
    network = network_of(agreed(settings, contract.workspace, engine.environ), engine.environ)
    store = FeatureStore(contract.path, contract.workspace, held, network, engine.environ, warn, pull)
    wanted, notes = ids.migrated(contract.features)
    notes += tuple(note for _, note in map(ids.modern, wanted) if note is not None)
    override: Sequence[str] = contract.config.get("overrideFeatureInstallOrder", ())
    features, more = installation_order(wanted, override, store.fetch, store.refer, contract.path)
    more += tuple(
        f"the Feature '{one.identifier}' is of a release on GitHub, which no lock file holds; name one of a registry"
        for one in features
        if isinstance(one.reference, ids.Archive) and one.reference.released
    )
    for note in (*notes, *more, *(note for feature in features for note in feature.warnings)):
        warn(note)
    if mode == "off":
        return features, ()
    locked = _of_contract(features, ids.migrated(contract.config.get("features") or {})[0])
    return features, _locking(held, lock.render(locked), locked, frozen=mode == "frozen")


def _of_contract(features: Sequence[Feature], own: Iterable[str]) -> tuple[Feature, ...]:
    """Return those of `features` that the contract names itself, as `own`, and what they depend on.

    What a person lays over it is no matter of a lock file that everybody shares.
    """
    known = {one.identifier: one for one in features}
    waiting, found = list(own), set[str]()
    while waiting:
        name = waiting.pop()
        if name in known and name not in found:
            found.add(name)
            waiting += known[name].metadata.depends_on
    return tuple(one for one in features if one.identifier in found)


def _locking(held: Lock, text: str, features: Sequence[Feature], *, frozen: bool) -> tuple[LockFeatures, ...]:
    """Return the step by which the lock file says `text`; none where it does, or there is nothing to hold."""
    # Where everything is in the checkout, there is nothing to hold.
    if not held.differs(text) or (not held.text and not any(feature.digest for feature in features)):
        return ()
    if frozen:
        from devbox.devcontainer.features.lock import FrozenError

        raise FrozenError(held.path, missing=held.text is None)
    return (LockFeatures(held.path, text),)


def layer_of(
    contract: Contract,
    image: Image,
    features: Sequence[Feature],
    warn: Callable[[str], None],
    *,
    user: str | None,
    environ: Mapping[str, str],
) -> Layer:
    """Return the layer of `features` on `image`. Raises ContractError where it could not be the same in an image."""
    from devbox.devcontainer.features.options import resolve as resolve_options
    from devbox.image.features.layer import Layer, Step

    entries = image_metadata(image.config.get("Labels"))
    steps = []
    for feature in features:
        options, notes = resolve_options(feature.identifier, feature.value, feature.metadata, contract.path)
        for note in notes:
            warn(note)
        for name, value in feature.metadata.container_env:
            if (found := _NOT_THE_IMAGES.search(value)) is not None:
                raise ContractError(
                    f"the Feature {feature.identifier} sets the variable {name} of its containerEnv by {found[0]}: an "
                    "image has no such value",
                    hint=f"set {name} in containerEnv or remoteEnv of {contract.path}; or edit the Feature",
                )
        steps.append(Step(feature, options))
    own = str(image.config.get("User") or "root")
    container_user, remote_user = _users(contract, entries, user or own, environ)
    return Layer(
        base=image.reference,
        inputs=image.inputs,
        user=own,
        container_user=container_user,
        remote_user=remote_user,
        steps=tuple(steps),
        metadata=(*entries, *(_entry(feature, contract) for feature in features)),
    )


def _entry(feature: Feature, contract: Contract) -> JSON:
    entry = feature.metadata.entry(feature.identifier)
    left_out = () if contract.variation.feature_tools_in_label else ("customizations",)
    return {key: value for key, value in entry.items() if key not in left_out}


def _users(contract: Contract, entries: Sequence[JSON], default: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return the container's user and the remote user, as the scripts of Features are told.

    Source: the specification's "User environment variables". What `runArgs` say is no part of it.
    """
    host = HostVariables(environ, str(contract.workspace), contract.workspace_folder)
    identifier = IdVariables(contract.devcontainer_id)
    laid = (one.entry for one in reversed(contract.overlays))
    known = [*laid, contract.config, *(substitute(substitute(entry, host), identifier) for entry in reversed(entries))]
    container_user = next((str(entry["containerUser"]) for entry in known if entry.get("containerUser")), default)
    remote_user = next((str(entry["remoteUser"]) for entry in known if entry.get("remoteUser")), container_user)
    return container_user, remote_user
