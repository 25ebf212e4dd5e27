"""What the settings add to a container: mounts, variables, ports, words for `docker run`; and what is refused of it."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.devcontainer.features.ids import Local, parse
from devbox.devcontainer.writing.additions import Additions
from devbox.devcontainer.writing.draft import BUILD_FOLDER
from devbox.engine import run_args
from devbox.engine.mounts import FORMS, mount
from devbox.engine.ports import ports
from devbox.errors import ContractError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from devbox.config import Settings
    from devbox.devcontainer.record import Form
    from devbox.devcontainer.writing.repositories import Repository
    from devbox.engine.spec import Mount
    from devbox.frameworks.model import Framework

# An option and its value in one word.
_TWO_WORDS = re.compile(r"(-[\w-]+)\s+(.*)", re.ASCII | re.DOTALL)


def chosen(
    framework: Framework, settings: Settings, form: Form, *, further: Iterable[Repository] = (), local: bool = True
) -> Additions:
    """Return what the settings add to a contract of `framework` in its `form`.

    `further` are the other checkouts in the container. With an engine that is not `local`, nobody can tell what lies on
    its machine. A shared contract takes variables and ports alone. Raises UsageError for what makes no sense, or what a
    compose file cannot say.
    """
    if form.shared:
        return _everybodys(settings)
    taken = {framework.workspace_path: "the checkout lies", BUILD_FOLDER: "the build trees lie"}
    taken |= {one.folder: f"{one.checkout.path} lies" for one in further}
    return additions(settings, taken, compose=form.compose, local=local)


def additions(settings: Settings, taken: Mapping[str, str], *, compose: bool, local: bool = True) -> Additions:
    """Return what the settings add to a container; `taken` says what lies at a target that no mount may have.

    Raises UsageError as `chosen` does; with `compose` for words for `docker run`, too.
    """
    words = _run_args(settings, compose=compose)
    return replace(_everybodys(settings), mounts=_mounts(settings, taken, local=local), run_args=words)


def _everybodys(settings: Settings) -> Additions:
    """Return what the settings add to a container that is no matter of one machine."""
    variables = [word.partition("=") for word in settings.env]
    env = {name: value for name, equals, value in variables if equals}
    host_env = {name: None for name, equals, _ in variables if not equals}
    if twice := next((name for name in env if name in host_env), None):
        raise UsageError(f"{settings.origin('env')}: {twice} is there with a value and without", hint="--env NAME")
    return Additions(
        env=tuple(env.items()),
        host_env=tuple(host_env),
        ports=ports(settings.ports, ()),
        features=settings.features,
        hooks=settings.hooks,
    )


def unset(additions: Additions, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Say which variables of the host there are not, in `environ`."""
    return tuple(
        f"{name} is not set here: it is empty in the container" for name in additions.host_env if name not in environ
    )


def _mounts(settings: Settings, taken: Mapping[str, str], *, local: bool) -> tuple[Mount, ...]:
    found: dict[str, Mount] = {}
    for text in settings.mounts:
        one = mount(text)
        if one.target in taken:
            raise UsageError(f"{one.target} is where {taken[one.target]} in the container", hint=FORMS)
        if one.target in found:
            raise UsageError(f"two mounts have the target {one.target}", hint=f"{FORMS}, each with a target of its own")
        if local and one.type == "bind" and not _is_there(str(one.source)):
            raise UsageError(
                f"there is no {one.source} ({settings.origin('mounts')}); docker would make it, and it would be root's",
                hint=f"mkdir -p {shlex.quote(str(one.source))}",
            )
        found[one.target] = one
    return tuple(found.values())


def _is_there(path: str) -> bool:
    return Path(path).exists()


def _run_args(settings: Settings, *, compose: bool) -> tuple[str, ...]:
    words = settings.run_args
    origin = settings.origin("run_args")
    if words and compose:
        raise UsageError(
            f"{origin}: a container that docker compose starts takes no words for docker run ({' '.join(words)})",
            hint="--run-arg none, and the same in a compose file of your own; or devbox generate --no-compose",
        )
    if words and not words[0].startswith("-"):
        raise UsageError(f"{origin}: '{words[0]}' is no option of docker run", hint="--run-arg=--network=host")
    for word in words:
        if both := _TWO_WORDS.fullmatch(word):
            raise UsageError(
                f"{origin}: '{word}' is two words", hint=f"--run-arg={both[1]} --run-arg={shlex.quote(both[2])}"
            )
    try:
        run_args.parse(words, "/")
    except ContractError as error:
        raise UsageError(f"{origin}: {error.message.removeprefix('runArgs: ')}", hint=error.hint) from None
    return words


def see_features(settings: Settings, contract: Path, workspace: Path) -> None:
    """See that each Feature of the settings is the name of one, in a contract at this path. Raises UsageError."""
    for name, _ in settings.features:
        origin = settings.origin("features")
        try:
            found = parse(name, contract, workspace)
        except ContractError as error:
            message = error.message.removeprefix(f"{contract}: ")
            raise UsageError(f"{origin}: {message}", hint=error.hint) from None
        if isinstance(found, Local) and not found.folder.is_dir():
            raise UsageError(f"{origin}: there is no folder {found.folder}", hint="--features ID, or --features none")


def without_effect(settings: Settings, form: Form) -> tuple[str, ...]:
    """Say what the settings ask for that a contract of this form has no use for."""
    if not settings.services or form.compose:
        return ()
    return (f"{', '.join(settings.services)} would run beside a contract of --compose; this one is none",)
