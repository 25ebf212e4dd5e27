"""What is asked of Docker, as frozen values, and the one place where they become argv lists."""

from __future__ import annotations

import csv
import io
import posixpath
import re
from dataclasses import fields, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, cast

from devbox.errors import ContractError, UsageError
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable

# How mounts below a bind mount spread. Docker takes them in any case.
PROPAGATIONS = frozenset({"private", "rprivate", "shared", "rshared", "slave", "rslave"})
MountType = Literal["bind", "volume", "tmpfs"]
# The keys of `--mount`, each with its one name. Source: `opts/mount.go` of docker's client.
_MOUNT_KEYS = {
    **{
        name: name
        for name in (
            "type", "source", "target", "readonly", "consistency", "bind-propagation", "bind-nonrecursive",
            "bind-recursive", "volume-nocopy", "volume-label", "volume-driver", "volume-opt", "volume-subpath",
            "tmpfs-size", "tmpfs-mode",
        )
    },
    "src": "source", "dst": "target", "destination": "target", "ro": "readonly",
}  # fmt: skip
_MOUNT_SWITCHES = frozenset({"readonly", "volume-nocopy"})
_MOUNT_REPEATED = frozenset({"volume-label", "volume-opt"})
_MOUNT_OWN = frozenset({"type", "source", "target", "readonly"})
_CONTAINER_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", re.ASCII)
# What the engine takes for the name of a volume.
VOLUME_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*", re.ASCII)


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
    """One `--mount`: a bind mount, a named volume or a tmpfs. `options` are the further keys, in lower case."""

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

    def beside(self, folder: str) -> Mount:
        """Return the mount with one spelling of its paths: absolute, and a relative source counted from `folder`.

        docker's client would count it from the folder that it is called in.
        """
        source = self.source
        if self.type == "bind" and source is not None:
            source = absolute(posixpath.join(folder, source) if source.startswith(".") else source)
        return replace(self, source=source, target=absolute(self.target))

    @classmethod
    def parse(cls, text: str) -> Mount:
        """Read the value of docker's `--mount`; only keys, types and spellings that are known are taken.

        Docker reads it with Go's encoding/csv, and takes keys in any case. What those two and this could read
        differently is refused. Raises ContractError, naming the mount, if it makes no sense.
        """
        fields: dict[str, str | None] = {}
        last = ""
        options: list[tuple[str, str | None]] = []
        for item in csv_fields(text, f"the mount {text!r}") if text else ():
            key, equals, value = item.partition("=")
            name = _MOUNT_KEYS.get(key.lower() if key.isascii() else key)
            if name is None and not equals and last in {"source", "target"}:
                # A path with a comma that a variable has put in: docker would refuse it.
                fields[last] = f"{fields[last]},{item}"
                continue
            if name is None or (not equals and name not in _MOUNT_SWITCHES):
                raise ContractError(f"the mount {text!r} has '{item}', which is no option of a mount")
            if name in fields and name not in _MOUNT_REPEATED:
                raise ContractError(f"the mount {text!r} says '{name}' twice")
            if name == "bind-propagation" and (value := value.lower()) not in PROPAGATIONS:
                raise ContractError(f"the mount {text!r} has '{item}', which is no propagation")
            fields[name] = value if equals else None
            last = name
            if name not in _MOUNT_OWN:
                options.append((name, value if equals else None))
        kind, target, source = (fields.get("type") or "volume").lower(), fields.get("target"), fields.get("source")
        if kind not in {"bind", "volume", "tmpfs"} or not target:
            raise ContractError(f"the mount {text!r} has no target, or a type other than bind, volume and tmpfs")
        if kind == "volume" and source and not VOLUME_NAME.fullmatch(source):
            raise ContractError(f"the mount {text!r} has a source that is no volume's name; a folder needs type=bind")
        if (kind == "tmpfs" and source) or (kind == "bind" and not source):
            raise ContractError(f"the mount {text!r} has {'a' if source else 'no'} source, and is a {kind}")
        if any(name.partition("-")[0] not in {kind, "consistency"} for name, _ in options):
            raise ContractError(f"the mount {text!r} has options of another type than {kind}")
        readonly = "readonly" in fields and switched(fields["readonly"], f"the mount {text!r}")
        return cls(cast("MountType", kind), target, source or None, readonly, tuple(options))


def absolute(path: str) -> str:
    """Return a path as docker cleans it: one slash, no dots, `..` taken by the text and not by what links say."""
    return posixpath.normpath(f"/{path.lstrip('/')}") if path.startswith("/") else posixpath.normpath(path)


def switched(value: str | None, what: str) -> bool:
    """Return what Go's ParseBool makes of `value`; true where there is none. Raises ContractError, naming `what`."""
    if value is None or value in {"1", "t", "T", "true", "TRUE", "True"}:
        return True
    if value in {"0", "f", "F", "false", "FALSE", "False"}:
        return False
    raise ContractError(f"{what}: '{value}' is neither true nor false")


def plain(text: str, what: str, *, lines: bool = False) -> str:
    """Return `text`, which holds no control character; with `lines`, line breaks and tabs may be. Raises ContractError.

    Programs cut, end and show texts at such characters, each in its own way.
    """
    for character in text:
        if (character < " " or "\x7f" <= character <= "\x9f") and not (lines and character in "\n\t"):
            raise ContractError(f"{what} holds the control character {character!r}")
    return text


def csv_fields(text: str, what: str) -> list[str]:
    """Return the fields of a docker CSV value. Raises ContractError, naming `what`."""
    try:
        return next(csv.reader(io.StringIO(plain(text, what), newline=""), strict=True), [""])
    except csv.Error as error:
        raise ContractError(f"{what} cannot be read: {error}") from None


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """One container, completely: everything that `docker run` or `docker create` is told.

    `env` values are no secrets: those travel at exec time. `run_args` are the contract's `runArgs`, read and
    written again by `engine.run_args`.
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


def must_be_name(name: str) -> None:
    """See that docker takes `name` for a container's. Raises UsageError."""
    if not _CONTAINER_NAME.fullmatch(name):
        raise UsageError(
            f"docker takes no container's name like '{name}': letters, digits, and _ . - after the first one",
            hint="--name NAME",
        )


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


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """How buildx builds, whatever it builds.

    `forwarded` are build arguments without a value: docker takes it from its own environment. `contexts` are named
    build contexts; `secrets` maps a secret's id to the host file that it is read from, `env_secrets` to the variable of
    docker's environment. `platforms`, `cache_to`, `ssh`, `attest` and `outputs` are words as buildx takes them; without
    an output the image is loaded into the engine. `network` is that of the steps, `shm_size` their /dev/shm's (`4g`).
    """

    tags: tuple[str, ...] = ()
    args: tuple[tuple[str, str], ...] = ()
    forwarded: tuple[str, ...] = ()
    contexts: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, str], ...] = ()
    env_secrets: tuple[tuple[str, str], ...] = ()
    ssh: tuple[str, ...] = ()
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    attest: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    network: str | None = None
    shm_size: str | None = None
    pull: bool = False
    no_cache: bool = False

    def of(self, dockerfile: str, context: str) -> ImageBuild:
        """Return the build of a Dockerfile with these options."""
        return ImageBuild(dockerfile, context, **{one.name: getattr(self, one.name) for one in fields(BuildOptions)})


@dataclass(frozen=True, slots=True)
class ImageBuild(BuildOptions):
    """One `docker buildx build`. `options` are further words for it, as a contract's `build.options` are."""

    dockerfile: str
    context: str
    target: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    options: tuple[str, ...] = ()

    def secret_words(self) -> tuple[str, ...]:
        """Return the values for buildx's `--secret`."""
        files = (csv_record([f"id={name}", f"src={path}"]) for name, path in self.secrets)
        return (*files, *(csv_record([f"id={name}", f"env={variable}"]) for name, variable in self.env_secrets))


def build_args(build: ImageBuild) -> list[str]:
    """Return the arguments after `docker` for `build`."""
    args = ["buildx", "build"]
    if not build.outputs:
        args.append("--load")
    return [*args, *_common(build), *build.options, build.context]


def podman_build_args(build: ImageBuild) -> list[str]:
    """Return the arguments after `podman` for `build`: no BuildKit, and an image of the format that keeps all it says.

    What Podman has no word for, attestations and caches that are no repositories, is left to it to refuse.
    """
    return ["build", "--format", "docker", *_common(build), *build.options, build.context]


def _common(build: ImageBuild) -> list[str]:
    """Return the options that both ways to build take."""
    args = [*_each("--output", build.outputs), "--file", build.dockerfile]
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
    return args


def _each(flag: str, values: Iterable[str]) -> list[str]:
    return [word for value in values for word in (flag, value)]


def fields_of(word: str) -> dict[str, str]:
    """Return the fields of an option as buildx writes it, `type=local,dest=FOLDER`; none where it is no CSV."""
    try:
        items = next(csv.reader(io.StringIO(word, newline=""), strict=True), [])
    except csv.Error:
        return {}
    return {key.strip().lower(): value for key, _, value in (item.partition("=") for item in items)}
