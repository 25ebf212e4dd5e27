"""What is asked of Docker, as frozen values, and the one place where they become argv lists."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, cast

from devbox.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterable

MountType = Literal["bind", "volume", "tmpfs"]
_SOURCE_KEYS = ("source", "src")
_TARGET_KEYS = ("target", "dst", "destination")


def csv_record(fields: list[str]) -> str:
    """Join the fields of a docker CSV value (`--mount`, `--secret`), quoting those that need it.

    Docker reads these values with Go's encoding/csv, so a path with a comma is fine inside a quoted field.
    """
    buffer = io.StringIO()
    # The terminator of the format's own: the writer quotes a line break because that is a part of it.
    csv.writer(buffer, lineterminator="\r\n").writerow(fields)
    return buffer.getvalue().removesuffix("\r\n")


@dataclass(frozen=True, slots=True)
class Mount:
    """One `--mount`: a bind mount, a named volume or a tmpfs. `options` keeps every further key as it was written."""

    type: MountType
    target: str
    source: str | None = None
    readonly: bool = False
    options: tuple[tuple[str, str | None], ...] = ()

    def csv(self) -> str:
        """Return the value for docker's `--mount`."""
        fields = [f"type={self.type}"]
        if self.source is not None:
            fields.append(f"source={self.source}")
        fields.append(f"target={self.target}")
        if self.readonly:
            fields.append("readonly")
        fields += [key if value is None else f"{key}={value}" for key, value in self.options]
        return csv_record(fields)

    @classmethod
    def parse(cls, text: str) -> Mount:
        """Read the value of docker's `--mount`. Raises ContractError, naming it, if it makes no sense."""
        kind, source, target, readonly = "volume", None, None, False
        options: list[tuple[str, str | None]] = []
        try:
            items = next(csv.reader(io.StringIO(text, newline=""), strict=True), [])
        except csv.Error as error:
            raise ContractError(f"the mount '{text}' cannot be read: {error}") from None
        for item in items:
            key, equals, value = item.partition("=")
            name = key.strip().lower()
            if name == "type":
                kind = value.lower()
            elif name in _SOURCE_KEYS:
                source = value
            elif name in _TARGET_KEYS:
                target = value
            elif name in {"readonly", "ro"}:
                readonly = not equals or value.lower() in {"1", "true"}
            else:
                options.append((key, value if equals else None))
        if kind not in {"bind", "volume", "tmpfs"} or not target:
            raise ContractError(f"the mount '{text}' has no target, or a type other than bind, volume and tmpfs")
        return cls(cast("MountType", kind), target, source, readonly, tuple(options))


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """One container, completely: everything that `docker run` or `docker create` is told.

    `env` values are no secrets: those travel at exec time. `run_args` is verbatim from the contract's `runArgs`.
    """

    image: str
    command: tuple[str, ...] = ()
    entrypoint: str | None = None
    name: str | None = None
    publish: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    user: str | None = None
    run_args: tuple[str, ...] = ()
    init: bool = False
    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()

    @property
    def called(self) -> str:
        """The container's name, be it one of `run_args`; the image's where docker makes one up."""
        words = [*self.run_args, ""]
        given = [word.removeprefix("--name=") for word in words if word.startswith("--name=")]
        given += [after for word, after in pairwise(words) if word == "--name"]
        return self.name or (given[-1] if given else self.image)


def container_args(spec: ContainerSpec) -> list[str]:
    """Return the arguments after `docker run …` for `spec`, in the order in which the reference CLI writes them."""
    args: list[str] = []
    for port in spec.publish:
        args += ["-p", port]
    for mount in spec.mounts:
        args += ["--mount", mount]
    for key, value in spec.labels:
        args += ["--label", f"{key}={value}"]
    for key, value in spec.env:
        args += ["--env", f"{key}={value}"]
    if spec.user:
        args += ["--user", spec.user]
    if spec.name:
        args += ["--name", spec.name]
    args += spec.run_args
    if spec.init:
        args.append("--init")
    if spec.privileged:
        args.append("--privileged")
    for capability in spec.cap_add:
        args += ["--cap-add", capability]
    for option in spec.security_opt:
        args += ["--security-opt", option]
    if spec.entrypoint is not None:
        args += ["--entrypoint", spec.entrypoint]
    return [*args, spec.image, *spec.command]


@dataclass(frozen=True, slots=True)
class ImageBuild:
    """One `docker buildx build`.

    `forwarded` are build arguments without a value: docker takes it from its own environment. `contexts` are named
    build contexts; `secrets` maps a secret's id to the host file that it is read from, `env_secrets` to the variable of
    docker's environment. `platforms`, `cache_to`, `ssh`, `attest` and `outputs` are words as buildx takes them; without
    an output the image is loaded into the engine. `network` is that of the steps, `shm_size` their /dev/shm's (`4g`).
    """

    dockerfile: str
    context: str
    tags: tuple[str, ...] = ()
    target: str | None = None
    args: tuple[tuple[str, str], ...] = ()
    forwarded: tuple[str, ...] = ()
    contexts: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, str], ...] = ()
    env_secrets: tuple[tuple[str, str], ...] = ()
    ssh: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    attest: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    network: str | None = None
    shm_size: str | None = None
    options: tuple[str, ...] = field(default=())
    pull: bool = False
    no_cache: bool = False

    def secret_words(self) -> tuple[str, ...]:
        """Return the values for buildx's `--secret`."""
        files = (csv_record([f"id={name}", f"src={path}"]) for name, path in self.secrets)
        return (*files, *(csv_record([f"id={name}", f"env={variable}"]) for name, variable in self.env_secrets))


def build_args(build: ImageBuild) -> list[str]:
    """Return the arguments after `docker` for `build`."""
    args = ["buildx", "build"]
    if not build.outputs:
        args.append("--load")
    args += _each("--output", build.outputs)
    args += ["--file", build.dockerfile]
    if build.target:
        args += ["--target", build.target]
    args += _each("--tag", build.tags)
    args += _each("--platform", (",".join(build.platforms),) if build.platforms else ())
    args += _each("--build-arg", (f"{key}={value}" for key, value in build.args))
    args += _each("--build-arg", build.forwarded)
    args += _each("--build-context", (f"{name}={place}" for name, place in build.contexts))
    args += _each("--secret", build.secret_words())
    args += _each("--ssh", build.ssh)
    args += _each("--label", (f"{key}={value}" for key, value in build.labels))
    args += _each("--attest", build.attest)
    args += _each("--cache-from", () if build.no_cache else build.cache_from)
    args += _each("--cache-to", build.cache_to)
    if build.network:
        args += ["--network", build.network]
    if build.shm_size:
        args += ["--shm-size", build.shm_size]
    if build.pull:
        args.append("--pull")
    if build.no_cache:
        args.append("--no-cache")
    return [*args, *build.options, build.context]


def _each(flag: str, values: Iterable[str]) -> list[str]:
    return [word for value in values for word in (flag, value)]
