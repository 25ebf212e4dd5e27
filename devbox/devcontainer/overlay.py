"""What a person lays over a contract that devbox has not written: as one more entry of the container's metadata.

It is merged after the contract's own by the specification's rules, and recorded in the label `devcontainer.metadata`:
every tool that takes the container over finds it there. What such an entry has no property for stands beside it.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from devbox.devcontainer.jsonc import JSON

_DEVBOX, _OVERLAY = "devbox", "overlay"


@dataclass(frozen=True, slots=True)
class Overlay:
    """What is laid over a contract by the person, or by files of the checkout.

    `entry` are properties that the label `devcontainer.metadata` may hold, raw. `ports` are published, `run_args` words
    for `docker run`, `features` installed beside the contract's own. `gpus` is the choice of GPUs that takes the place
    of the contract's, `ids` the user and group id that its remote user gets: None leaves these to the contract.
    `origins` says where each comes from, by the name of the property; `own` that this is the person's alone.
    """

    entry: JSON = field(default_factory=dict, hash=False)
    ports: tuple[str, ...] = ()
    run_args: tuple[str, ...] = ()
    features: JSON = field(default_factory=dict, hash=False)
    gpus: str | None = None
    ids: tuple[int, int] | None = None
    origins: Mapping[str, str] = field(default_factory=dict, hash=False, compare=False)
    own: bool = True

    def beside(self) -> JSON:
        """Return what is no property of the entry, by the names of devcontainer.json where it has one."""
        said: JSON = {
            "appPort": list(self.ports),
            "runArgs": list(self.run_args),
            "features": self.features,
            "gpus": self.gpus,
            "ids": None if self.ids is None else list(self.ids),
        }
        return {key: value for key, value in said.items() if value not in (None, [], {})}

    def label(self) -> JSON:
        """Return the entry of the label `devcontainer.metadata`, with all that the overlay says."""
        return {**self.entry, "customizations": {_DEVBOX: {_OVERLAY: self.beside()}}}


def without_overlays(entries: Sequence[JSON]) -> tuple[tuple[JSON, ...], tuple[Overlay, ...]]:
    """Return the entries of a container's label without the overlays at their end, and these."""
    kept = list(entries)
    found: list[Overlay] = []
    while kept and (one := _read(kept[-1])) is not None:
        found.insert(0, one)
        kept.pop()
    return tuple(kept), tuple(found)


def _read(entry: JSON) -> Overlay | None:
    """Return the overlay that an entry of a label records, None where it is none. What makes no sense is not said."""
    own = (entry.get("customizations") or {}).get(_DEVBOX)
    said = own.get(_OVERLAY) if isinstance(own, dict) else None
    if not isinstance(said, dict):
        return None
    ids = said.get("ids")
    return Overlay(
        entry={key: value for key, value in entry.items() if key != "customizations"},
        ports=_texts(said.get("appPort")),
        run_args=_texts(said.get("runArgs")),
        features=said["features"] if isinstance(said.get("features"), dict) else {},
        gpus=said["gpus"] if isinstance(said.get("gpus"), str) else None,
        ids=(ids[0], ids[1]) if isinstance(ids, list) and [type(one) for one in ids] == [int, int] else None,
    )


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()
