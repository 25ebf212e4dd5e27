"""The order in which Features are installed: the specification's rounds over the graph of their dependencies.

Source: "Dependency installation order algorithm" of the specification. Where that leaves room, as in the comparison of
versions and options, the reference CLI's order is kept, so that both build the same image.
"""

from __future__ import annotations

from dataclasses import field
from functools import cmp_to_key
from itertools import pairwise
from typing import TYPE_CHECKING

from devbox.devcontainer.features.collate import compare
from devbox.devcontainer.features.ids import Archive, Artifact, Local
from devbox.errors import ContractError
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from devbox.devcontainer.features.ids import Reference, Value
    from devbox.devcontainer.features.metadata import Metadata


@dataclass(frozen=True, slots=True)
class Feature:
    """A Feature that is to be installed.

    `identifier` is how it was asked for, `value` the options it was given, `folder` where its files lie on the host.
    `digest` names what was downloaded: an artifact by its manifest's digest, an archive by its own.
    """

    identifier: str
    value: Value = field(hash=False)
    reference: Reference
    metadata: Metadata
    folder: Path
    digest: str | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What its user should know: that nobody maintains it any more, or that its name is another one now."""
        warnings = []
        known = self.metadata
        if known.deprecated:
            warnings.append(f"the Feature {self.identifier} is deprecated: nobody maintains it any more")
        if isinstance(self.reference, Artifact) and self.reference.id in known.aliases[1:]:
            new = f"{self.reference.namespace}/{known.aliases[0]}"
            warnings.append(f'the Feature {self.identifier} was renamed; write "{new}"')
        if isinstance(self.reference, Local) and self.reference.id != known.id:
            warnings.append(
                f"the Feature {self.identifier} calls itself '{known.id}': its folder must be called so too"
            )
        return tuple(warnings)


@dataclass(slots=True, eq=False)
class _Node:
    """A Feature in the graph, with what must come before it."""

    feature: Feature
    hard: list[Feature] = field(default_factory=list)
    soft: list[Reference] = field(default_factory=list)
    priority: int = 0


def installation_order(
    wanted: Mapping[str, Value],
    override: Sequence[str],
    fetch: Callable[[str, Value], Feature],
    refer: Callable[[str], Reference | None],
    contract: Path,
) -> tuple[tuple[Feature, ...], tuple[str, ...]]:
    """Return the Features to install, first to last, with those that `wanted` depends on; and warnings.

    `override` is `overrideFeatureInstallOrder`. `fetch` returns a Feature by identifier and options; `refer` says what
    an identifier without options refers to, None for nothing. Raises ContractError for a cycle.
    """
    nodes = _graph(wanted, fetch, refer)
    warnings = _prioritise(nodes, override, refer, contract)
    for node in nodes:
        # Only what is installed anyway can be waited for.
        node.soft = [soft for soft in node.soft if any(_satisfies(other.feature, soft) for other in nodes)]
    order: list[Feature] = []
    while nodes:
        ready = [node for node in nodes if not _missing(node, order)]
        if not ready:
            raise _cycle(nodes, order, contract)
        highest = max(node.priority for node in ready)
        now = [node for node in ready if node.priority == highest]
        nodes = [node for node in nodes if node not in now]
        order += sorted((node.feature for node in now), key=cmp_to_key(_compare))
    return tuple(order), (*warnings, *_unheeded(order, override, refer, contract))


def _unheeded(
    order: Sequence[Feature], override: Sequence[str], refer: Callable[[str], Reference | None], contract: Path
) -> Iterator[str]:
    """Yield a sentence for each Feature that `overrideFeatureInstallOrder` names before one that came first."""
    places = []
    for identifier in override:
        reference = refer(identifier)
        found = [at for at, one in enumerate(order) if reference is not None and _satisfies(one, reference)]
        places += [(identifier, found[0])] if found else []
    for (first, place), (second, before) in pairwise(places):
        if before < place:
            yield (
                f"{contract}: 'overrideFeatureInstallOrder' names {first} before {second}, which is installed first: "
                f"what {first} depends on, or is to be installed after, counts more"
            )


def _graph(
    wanted: Mapping[str, Value], fetch: Callable[[str, Value], Feature], refer: Callable[[str], Reference | None]
) -> list[_Node]:
    """Return the wanted Features and, recursively, what they depend on, each once."""
    nodes: list[_Node] = []
    queue = [fetch(identifier, value) for identifier, value in wanted.items()]
    while queue:
        feature = queue.pop(0)
        if any(_equal(node.feature, feature) for node in nodes):
            continue
        node = _Node(feature)
        node.hard = [fetch(identifier, value) for identifier, value in feature.metadata.depends_on.items()]
        node.soft = [found for name in feature.metadata.installs_after if (found := refer(name)) is not None]
        queue += node.hard
        nodes.append(node)
    return nodes


def _prioritise(
    nodes: Sequence[_Node], override: Sequence[str], refer: Callable[[str], Reference | None], contract: Path
) -> tuple[str, ...]:
    """Give the Features of `overrideFeatureInstallOrder` their priority, the first the highest."""
    warnings = []
    for index, identifier in enumerate(override):
        reference = refer(identifier)
        matching = [node for node in nodes if reference is not None and _satisfies(node.feature, reference)]
        if not matching:
            warnings.append(
                f"{contract}: 'overrideFeatureInstallOrder' names {identifier}, which is not among the Features"
            )
        for node in matching:
            node.priority = max(node.priority, len(override) - index)
    return tuple(warnings)


def _missing(node: _Node, order: Sequence[Feature]) -> list[Feature | Reference]:
    """Return what a Feature waits for."""
    hard = [one for one in node.hard if not any(_equal(done, one) for done in order)]
    soft = [one for one in node.soft if not any(_satisfies(done, one) for done in order)]
    return [*hard, *soft]


def _cycle(nodes: Sequence[_Node], order: Sequence[Feature], contract: Path) -> ContractError:
    """Return the error for Features that wait for each other, with the way around."""
    path = [nodes[0]]
    while True:
        waits = _missing(path[-1], order)
        following = next(
            node
            for node in nodes
            for one in waits
            if (_equal(node.feature, one) if isinstance(one, Feature) else _satisfies(node.feature, one))
        )
        if following in path:
            names = [node.feature.identifier for node in path[path.index(following) :]]
            break
        path.append(following)
    return ContractError(
        f"{contract}: the Features depend on each other in a circle: {' → '.join([*names, names[0]])}",
        hint="remove one of them, or the 'dependsOn' or 'installsAfter' that closes the circle",
    )


def _satisfies(feature: Feature, wanted: Reference) -> bool:
    """Whether a Feature is the one that `installsAfter` or an override means: whatever its version and options are.

    One that was renamed answers to all its names. They are those that it knows of itself, so nothing has to be asked.
    """
    have = feature.reference
    if isinstance(have, Artifact) and isinstance(wanted, Artifact):
        return have.resource == wanted.resource or (
            have.namespace == wanted.namespace and wanted.id in feature.metadata.aliases
        )
    return have == wanted


def _equal(one: Feature, other: Feature) -> bool:
    return type(one.reference) is type(other.reference) and _compare(one, other) == 0


def _compare(one: Feature, other: Feature) -> int:
    """Return which of two Features of one round comes first; 0 where they are the same."""
    first, second = one.reference, other.reference
    if isinstance(first, Artifact) and isinstance(second, Artifact):
        return _compare_artifacts(one, first, other, second)
    if isinstance(first, Local) and isinstance(second, Local):
        return compare(str(first.folder), str(second.folder)) or _compare_values(one.value, other.value)
    if isinstance(first, Archive) and isinstance(second, Archive):
        return compare(first.place, second.place) or _compare_values(one.value, other.value)
    return compare(one.identifier, other.identifier)


def _compare_artifacts(one: Feature, first: Artifact, other: Feature, second: Artifact) -> int:
    values = _compare_values(one.value, other.value)
    if one.digest == other.digest and values == 0:
        return 0
    if first.namespace != second.namespace:
        return compare(first.namespace, second.namespace)
    if not set(one.metadata.aliases) & set(other.metadata.aliases):
        return compare(first.id, second.id)
    if first.tag and second.tag and first.tag != second.tag:
        return compare(first.tag, second.tag)
    return values or compare(one.digest or "", other.digest or "")


def _compare_values(one: Value, other: Value) -> int:
    if isinstance(one, dict) and isinstance(other, dict):
        if len(one) != len(other):
            return len(one) - len(other)
        for first, second in zip(sorted(one), sorted(other), strict=True):
            found = compare(first, second) or _compare_scalars(one[first], other[second])
            if found:
                return found
        return 0
    return _compare_scalars(one, other)


def _compare_scalars(one: object, other: object) -> int:
    if isinstance(one, bool) and isinstance(other, bool):
        return one - other
    if isinstance(one, str) and isinstance(other, str):
        return compare(one, other)
    return compare(_kind(one), _kind(other))


def _kind(value: object) -> str:
    """Return the type of a value as JavaScript names it: values of different types are sorted by that."""
    return "boolean" if isinstance(value, bool) else "string" if isinstance(value, str) else "object"
