"""The layer that Features are installed in: one RUN each, on top of any image, cached by content."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.devcontainer.features.metadata import SCRIPT
from devbox.devcontainer.identity import METADATA
from devbox.engine.spec import ImageBuild
from devbox.errors import ImageError
from devbox.files import has_windows_lines, lock, windows_lines, write_atomically
from devbox.image.assembly.recipe import CA_SECRET, site_secrets
from devbox.image.buildkit.build import build, current
from devbox.image.buildkit.inputs import files_below
from devbox.paths import cache_dir, data_dir
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from devbox.config.network import Network
    from devbox.devcontainer.features.order import Feature
    from devbox.devcontainer.jsonc import JSON
    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter

_INSTALLER = "feature-install.sh"
# Where a Feature's files and the installer's are mounted for the length of its RUN.
_PLACE = "/tmp/devbox-feature"  # noqa: S108  # in the build's container
_FAILED = re.compile(r"devbox: the Feature '(?P<id>[^']+)' failed with exit code (?P<code>\d+)")


@dataclass(frozen=True, slots=True)
class Step:
    """One Feature as it is installed: `options` are the variables of its script."""

    feature: Feature
    options: tuple[tuple[str, str], ...]

    def mounted(self, users: tuple[tuple[str, str], ...]) -> dict[str, str]:
        """Return the files that its RUN finds beside the installer."""
        return {"options.env": _env(self.options), "users.env": _env(users)}


@dataclass(frozen=True, slots=True)
class Layer:
    """The Features of a contract on one image.

    `base` is the image's name, `inputs` what it was made from, `user` its own user. `container_user` and `remote_user`
    are those that the scripts are told about. `metadata` is the image's label `devcontainer.metadata` as it will be,
    `environ` what its ENV says on top of the Features' own variables.
    """

    base: str
    inputs: str
    user: str
    container_user: str
    remote_user: str
    steps: tuple[Step, ...]
    metadata: tuple[JSON, ...] = field(hash=False)
    environ: tuple[tuple[str, str], ...] = ()

    @property
    def _users(self) -> tuple[tuple[str, str], ...]:
        return (("_CONTAINER_USER", self.container_user), ("_REMOTE_USER", self.remote_user))

    @property
    def label(self) -> str:
        """The value of the label `devcontainer.metadata`."""
        return json.dumps(self.metadata, ensure_ascii=False, separators=(",", ":"))

    def dockerfile(self) -> str:
        """Return the Dockerfile. Its context holds a folder for each Feature, its named contexts are their files."""
        return "\n".join(["ARG BASE_IMAGE=scratch", "FROM ${BASE_IMAGE}", *self.instructions(), ""])

    def instructions(self, *, staged: str | None = None, escape: str = "\\") -> list[str]:
        """Return the instructions after FROM. `staged` is the named context of the folders, if it is not the main one.

        `escape` is the Dockerfile's escape character.
        """
        place = "" if staged is None else f"from={staged},"
        lines = ["USER root"]
        for index, step in enumerate(self.steps):
            found = step.feature.metadata
            # A variable that is set in terms of itself, as PATH is, is filled in by the build.
            lines += [f'ENV {name}="{_escaped(value, escape)}"' for name, value in found.container_env]
            command = json.dumps(["/bin/sh", f"{_PLACE}/run/{_INSTALLER}", found.id])
            lines += [
                f"RUN --mount=type=bind,{place}source={index},target={_PLACE}/run {escape}",
                f"    --mount=type=bind,from={_context(index)},target={_PLACE}/files {escape}",
                f"    --mount=type=secret,id={CA_SECRET},required=false {escape}",
                f"    {command}",
            ]
        said = [f'ENV {name}="{_escaped(value, escape, "$")}"' for name, value in self.environ]
        return [*lines, f"USER {self.user}", *said]

    @property
    def contexts(self) -> tuple[tuple[str, str], ...]:
        """The named contexts: the files of each Feature."""
        return tuple((_context(index), str(step.feature.folder)) for index, step in enumerate(self.steps))

    def digest(self) -> str:
        """Return the digest of all that the layer is made from."""
        facts = {
            "base": self.inputs,
            "dockerfile": self.dockerfile(),
            "installer": _installer(),
            "mounted": [step.mounted(self._users) for step in self.steps],
            "files": [files_below(step.feature.folder) for step in self.steps],
            "label": self.label,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def build(self, digest: str, network: Network) -> ImageBuild:
        """Return how the layer is built."""
        context = cache_dir() / "features" / "layers" / digest[:12]
        return ImageBuild(
            dockerfile=str(context / "Dockerfile"),
            context=str(context),
            tags=(f"devbox-features:{digest[:12]}",),
            args=(("BASE_IMAGE", self.base),),
            contexts=self.contexts,
            secrets=site_secrets(network),
            labels=((METADATA, self.label),),
        )

    def stage(self, context: Path, dockerfile: str | None = None) -> None:
        """Write the build context, with another `dockerfile` than the layer's own where there is one."""
        write_atomically(context / "Dockerfile", self.dockerfile() if dockerfile is None else dockerfile)
        for index, step in enumerate(self.steps):
            write_atomically(context / str(index) / _INSTALLER, _installer())
            for name, text in step.mounted(self._users).items():
                write_atomically(context / str(index) / name, text)


def install(engine: Engine, layer: Layer, network: Network, reporter: Reporter, *, environ: Mapping[str, str]) -> None:
    """Build the layer. `environ` are the proxies. Raises ImageError, naming the Feature whose script failed."""
    digest = layer.digest()
    wanted = layer.build(digest, network)
    context = Path(wanted.context)
    forwarded = tuple(name for name in environ if name.isupper())
    names = ", ".join(step.feature.metadata.id for step in layer.steps)

    def waiting(holder: str) -> None:
        reporter.info(f"another devbox installs the same Features ({holder}); waiting for it")

    with lock(context.with_name(f"{context.name}.lock"), on_wait=waiting):
        if current(engine, wanted.tags[0], digest) is not None:
            return
        try:
            layer.stage(context)
            with reporter.step(f"Installing Features: {names}"):
                build(engine, replace(wanted, forwarded=forwarded), reporter, digest=digest, environ=environ)
        except ImageError as error:
            raise failure_of(error, layer.steps) from None
        finally:
            # The files may hold what the contract took from the host's environment.
            shutil.rmtree(context, ignore_errors=True)


def failure_of(error: ImageError, steps: Sequence[Step]) -> ImageError:
    """Return the error for a failed build: of a Feature's script, if it was that."""
    match = _FAILED.search(error.detail or "")
    feature = next((step.feature for step in steps if match and step.feature.metadata.id == match["id"]), None)
    if match is None or feature is None:
        return error
    lines = [line for line in (error.detail or "").splitlines() if not _FAILED.search(line)]
    # The last line is BuildKit's, about a command that nobody typed.
    told = lines[:-1] if lines and "exit code" in lines[-1] else lines
    if has_windows_lines(feature.folder / SCRIPT):
        told.append(windows_lines(f"{SCRIPT} of the Feature {feature.identifier}"))
    docs = feature.metadata.documentation
    return ImageError(
        f"{SCRIPT} of the Feature {feature.identifier} failed with exit code {match['code']}",
        hint=f"{docs}   # what it needs" if docs else error.hint,
        detail="\n".join(told) or None,
    )


def _context(index: int) -> str:
    return f"feature-{index}"


def _installer() -> str:
    return (data_dir("templates") / _INSTALLER).read_text(encoding="utf-8")


def _env(pairs: Sequence[tuple[str, str]]) -> str:
    """Return variables as the shell sources them. `$NAME` in a value is filled in there, as for the reference.

    Nothing in a value is run, and `$$` or `$1` mean nothing but themselves.
    """
    escaped = ((name, re.sub(r'(["\\`]|(?<=\$)\$|\$(?![A-Za-z_{]))', r"\\\1", value)) for name, value in pairs)
    return "".join(f'{name}="{value}"\n' for name, value in escaped)


def _escaped(value: str, escape: str, more: str = "") -> str:
    return re.sub(f'["{re.escape(escape + more)}]', lambda found: f"{escape}{found[0]}", value)
