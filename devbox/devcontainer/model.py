"""The contract as a value: what a devcontainer.json says, before and after the image's metadata is merged into it."""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Literal

from devbox.values import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.devcontainer.jsonc import JSON
    from devbox.devcontainer.overlay import Overlay
    from devbox.devcontainer.record import Record
    from devbox.engine.spec import ImageBuild

Kind = Literal["image", "build", "compose"]
# A lifecycle command as written: a shell line, an argv, or several of these by name that run in parallel.
Command = str | tuple[str, ...]
Probe = Literal["none", "loginShell", "loginInteractiveShell", "interactiveShell"]


@dataclass(frozen=True, slots=True)
class BuildRecipe:
    """`build` of a devcontainer.json with all paths absolute and variables substituted."""

    dockerfile: Path
    context: Path
    target: str | None = None
    args: tuple[tuple[str, str], ...] = ()
    cache_from: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @property
    def image_build(self) -> ImageBuild:
        """The build that this asks for: what is judged, and what runs."""
        from devbox.engine.spec import ImageBuild

        return ImageBuild(
            dockerfile=str(self.dockerfile),
            context=str(self.context),
            target=self.target,
            args=self.args,
            cache_from=self.cache_from,
            options=self.options,
        )


@dataclass(frozen=True, slots=True)
class Variation:
    """What one call says of a contract beside its file. Nothing of it is written down or compared later.

    `content` is a file that is read in the place of the contract's own, whose name and folder hold on. `labels` take
    the place of the two by which tools find the container. `features` come on top of the contract's own, and `mounts`,
    values of `--mount`, after them. Without `git_root` the folder itself is mounted, and not its whole repository.
    `probe` and `host_ids` are what holds where nobody says `userEnvProbe` or `updateRemoteUserUID`; "never" is
    stronger than that. `gpus` says whether there are any, "detect" to look for them. An image is built with what
    `cache_from` names beside the contract's own, and without any with `no_cache`; `features_lock` takes the place of
    the setting. `remote_env` is for the commands of this call, where the contract says nothing of its names. Without
    `remote_env_in_label` the contract's own is kept out of the container's metadata, without
    `feature_tools_in_label` the customizations of Features out of the image's. `lenient` makes a warning of
    what no other tool looks at, a workspace folder that the container has not, and says like them where lifecycle
    commands come from; and a line break of a compose project's `containerEnv` is what they make of it.
    """

    content: Path | None = None
    labels: tuple[tuple[str, str], ...] = ()
    features: JSON = field(default_factory=dict, hash=False)
    mounts: tuple[str, ...] = ()
    git_root: bool = True
    probe: Probe | None = None
    host_ids: Literal["on", "off", "never"] = "on"
    gpus: Literal["all", "detect", "none"] = "detect"
    cache_from: tuple[str, ...] = ()
    no_cache: bool = False
    features_lock: str | None = None
    remote_env: tuple[tuple[str, str], ...] = ()
    remote_env_in_label: bool = True
    feature_tools_in_label: bool = True
    lenient: bool = False


@dataclass(frozen=True, slots=True)
class Contract:
    """A devcontainer.json, read.

    `raw` is the file's own content; `config` has the first two phases of variables substituted. `workspace` is the
    host folder as given, `path` the file. `generated` is true where devbox wrote the file and nobody edited it since.
    `record` is what it says under `customizations.devbox`, `variation` what the call says beside the file. `overlays`
    are laid over it, the strongest last. `elsewhere` is where its container has a copy of the checkout, if the engine
    does not see that; else it is empty.
    """

    path: Path
    workspace: Path
    kind: Kind
    raw: JSON = field(hash=False)
    config: JSON = field(hash=False)
    image: str | None
    build: BuildRecipe | None
    labels: tuple[tuple[str, str], ...]
    devcontainer_id: str
    workspace_folder: str
    workspace_mount: str | None
    extra_mounts: tuple[str, ...]
    generated: bool
    record: Record
    warnings: tuple[str, ...] = ()
    variation: Variation = Variation()
    overlays: tuple[Overlay, ...] = ()
    elsewhere: str = ""

    @property
    def judged(self) -> Contract:
        """The contract as it is judged: without what the person lays over it, who need not be asked for that."""
        return replace(self, overlays=tuple(one for one in self.overlays if not one.own)) if self.overlays else self

    @property
    def features(self) -> JSON:
        """The Features that are installed, with those that are laid over it."""
        found: JSON = dict(self.config.get("features") or {})
        for one in self.overlays:
            found |= one.features
        return found

    @property
    def gpus(self) -> str | None:
        """The choice of GPUs that is laid over it, None where it is left to the contract."""
        return next((one.gpus for one in reversed(self.overlays) if one.gpus is not None), None)

    @property
    def ids(self) -> tuple[int, int] | None:
        """The user and group id that are laid over it for its remote user."""
        return next((one.ids for one in reversed(self.overlays) if one.ids is not None), None)


@dataclass(frozen=True, slots=True)
class Merged:
    """A contract together with the metadata of its image: what the container is made from, and what its tools need.

    `mounts` are `--mount` values. `hooks` maps a lifecycle name to its commands in order; each is a mapping from a
    name ("" for an unnamed one) to a command, and the entries of one mapping run in parallel. `metadata` is the value
    of the label `devcontainer.metadata`: raw, unsubstituted entries.
    """

    remote_user: str | None
    container_user: str | None
    container_env: tuple[tuple[str, str], ...]
    remote_env: tuple[tuple[str, str | None], ...]
    mounts: tuple[str, ...]
    run_args: tuple[str, ...]
    publish: tuple[str, ...]
    init: bool
    privileged: bool
    cap_add: tuple[str, ...]
    security_opt: tuple[str, ...]
    entrypoints: tuple[str, ...]
    override_command: bool
    user_env_probe: Probe
    update_remote_user_uid: bool
    wait_for: str
    hooks: tuple[tuple[str, tuple[tuple[tuple[str, Command], ...], ...]], ...]
    host_requirements: JSON = field(hash=False)
    metadata: tuple[JSON, ...] = field(hash=False)

    def origins(self, name: str) -> tuple[str, ...]:
        """Return in words where each of the entries of a lifecycle name comes from."""
        found = (entry for entry in self.metadata if entry.get(name))
        return tuple(f"Feature '{entry['id']}'" if entry.get("id") else "devcontainer.json" for entry in found)

    def remote_env_of(self, variation: Variation) -> tuple[tuple[str, str], ...]:
        """Return those of the call's own variables that the contract and its image say nothing of."""
        said = dict(self.remote_env)
        return tuple((name, value) for name, value in variation.remote_env if name not in said)
