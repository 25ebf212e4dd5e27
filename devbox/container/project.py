"""What docker compose makes of a contract's files: asked of it, and kept for as long as they, and what they read, stay.

It lies in devbox's own folder, so that a warm `up` starts no program, with the override that makes a service the dev
container.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from devbox.container.checkout.elsewhere import project_there
from devbox.container.target import CONFIG_FILE, LOCAL_FOLDER, folder_of
from devbox.devcontainer.compose.model import OVERRIDE_NAME, Project, without_secrets
from devbox.devcontainer.compose.mounts import escaped, text_of
from devbox.devcontainer.compose.sealed import sealed, secrets_in
from devbox.devcontainer.compose.sources import (
    Sources,
    dotenv_secrets,
    dotenv_value,
    host_reads,
    inputs,
    inputs_key,
    is_project_name,
    project_name,
    sources,
    unset,
)
from devbox.devcontainer.spelling import host_spelling
from devbox.engine.run_args import security_option
from devbox.errors import ContractError, RefusedError
from devbox.files import private_folder, write_atomically
from devbox.lean import stored
from devbox.masking import Mask, is_secret, is_secret_name
from devbox.paths import state_dir
from devbox.trust.grants import keyed_digest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from devbox.devcontainer.compose.override import ProjectSpec
    from devbox.devcontainer.model import Contract
    from devbox.engine.docker import Engine
    from devbox.engine.process import Completed

JSON = dict[str, Any]

# What it says of a variable that a file names without a default.
_UNSET = re.compile(r'\\"(\w+)\\" variable is not set')

# What was done, which stays true when the files say something else.
_DONE = ("applied", "built")
_SCHEMA = 6
_KEY_LENGTH = 16
# Of a service and of its build: nothing is judged by what these say.
_WITHIN = frozenset({
    "configs", "develop", "dns", "dns_opt", "dns_search", "domainname", "environment", "expose", "extra_hosts",
    "healthcheck", "hostname", "labels", "links", "secrets", "sysctls", "working_dir",
})  # fmt: skip
_WITHIN_BUILD = frozenset({"args", "dockerfile_inline", "extra_hosts", "labels"})
# It reads a few files; what takes longer will not end.
_SECONDS = 60.0
# How the files of commands that run beside others begin, and when nobody can be about to read them.
_ONE_SHOT, _LEFT_SECONDS = "run-", 86400.0


def resolve(engine: Engine, contract: Contract, *, drafted: Mapping[Path, str] | None = None) -> Project:
    """Return the project of a compose contract, asked of docker compose where that is not known.

    `drafted` are the texts of files that are not written yet. Raises ContractError in compose's own words where it does
    not take the files, or they do not have the service.
    """
    where = sources(contract, engine.environ)
    drafts = {file: text for file, text in (drafted or {}).items() if file in where.files}
    missing = [file for file in where.files if file not in drafts and not file.is_file()]
    if missing:
        raise ContractError(
            f"{contract.path}: 'dockerComposeFile' names {missing[0]}, and there is no such file",
            hint=f"edit {contract.path}",
        )
    known = None if drafts else recall(contract)
    if known is None or not _holds(known, contract, where, engine.environ):
        known = _ask(engine, contract, where, drafts)
        if not drafts:
            before = recall(contract) or {}
            remember(contract, {**known, **{key: before[key] for key in _DONE if key in before}})
    return Project(
        name=known["name"],
        sources=where,
        path=_folder() / f"{_key(contract)}.yml",
        service=contract.config["service"],
        run_services=tuple(contract.config.get("runServices") or ()),
        config=known["config"],
        proof=known["proof"],
        workspace=str(contract.workspace),
        copied=bool(contract.elsewhere),
        asked=tuple(known["asked"]),
        profiles=tuple(known["profiles"]),
        reads=tuple((kind, name) for kind, name in known["reads"]),
        warnings=tuple(known["warnings"]),
    )


def _wanted(contract: Contract) -> list[str]:
    """Return the services that a contract names, the dev container's last."""
    return [*(contract.config.get("runServices") or ()), contract.config["service"]]


def _holds(known: JSON, contract: Contract, where: Sources, environ: Mapping[str, str]) -> bool:
    """Tell whether docker compose would say the same again."""
    read = known.get("inputs")
    return (
        "proof" in known
        and known.get("sources") == where.args()
        and known.get("wanted") == _wanted(contract)
        and isinstance(read, list)
        and inputs_key(map(Path, read), environ) == known.get("key")
    )


def _ask(engine: Engine, contract: Contract, where: Sources, drafts: Mapping[Path, str]) -> JSON:
    """Ask docker compose what the files mean, of the services that may run: what others lack must not stop these.

    Asked twice where the project has another name than compose gives it, or no active profile has the service.
    """
    found, unsure = inputs(where, drafts)
    # The project's name may come from here.
    read = None if unsure else tuple(dict.fromkeys([*found, contract.workspace / ".env"]))
    key = None if read is None else inputs_key(read, engine.environ)
    wanted = _wanted(contract)
    asked = wanted if contract.config.get("runServices") else []
    with _written(where, drafts) as files:
        config, blank = _config(engine, contract, where, files, asked)
        name = project_name(contract, where, str(config.get("name") or ""), engine.environ)
        if not is_project_name(name):
            raise _no_name(where, f"the compose project would be called '{name}', which docker compose does not take")
        enabled = config.get("services") or {}
        if name != config.get("name") or wanted[-1] not in enabled:
            # Whoever names a service turns its profile on, as at `docker compose up`.
            asked = asked if wanted[-1] in enabled else [*enabled, wanted[-1]]
            config, _ = _config(engine, contract, where, ["--project-name", name, *files], asked)

    if read is not None and inputs_key(read, engine.environ) != key:
        raise _changed(where)
    named = host_reads(read or found, unsure, engine.environ, contract.workspace, is_secret_name)
    taken = secrets_in(config, engine.environ)
    profiles = engine.environ.get("COMPOSE_PROFILES") or dotenv_value(where.dotenv, "COMPOSE_PROFILES") or ""
    return {
        "workspace": str(contract.workspace),
        "sources": where.args(),
        "wanted": wanted,
        "inputs": None if read is None else [str(file) for file in read],
        "key": key,
        "name": name,
        "profiles": [profile.strip() for profile in profiles.split(",") if profile.strip()],
        "reads": list(dict.fromkeys([*named, *(("variable", name) for name in taken)])),
        "warnings": [unset(variable, where.dotenv, contract.workspace / ".env") for variable in blank],
        "asked": asked,
        "config": _hidden(config, where, engine.environ, [name for kind, name in named if kind == "variable"]),
        "proof": _proof(config),
    }


def _proof(config: JSON, salt: str = "") -> str:
    """Return a digest of a configuration with its secrets, by which none can be guessed in any short time."""
    salt = salt or os.urandom(16).hex()
    text = json.dumps(config, sort_keys=True).encode()
    return f"{salt}:{hashlib.scrypt(text, salt=salt.encode(), n=1 << 14, r=8, p=1).hex()}"


def _secrets(where: Sources, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that docker compose fills in: those like secrets of its `.env`, and the environment's."""
    return {**dotenv_secrets(where, is_secret_name), **environ}


def _hidden(config: JSON, where: Sources, environ: Mapping[str, str], named: Collection[str]) -> JSON:
    """Return a configuration without the values of secrets, under whatever name, where nothing is judged by them.

    A path, a namespace or an option that a variable like a secret holds is one like any other. What is shown to a
    person has a digest beside what is hidden of it: another value is asked for again. Commands have to stay as they
    are.
    """

    def mask(variables: Mapping[str, str]) -> Mask:
        # However a file spells a variable's name, its value is in what becomes of it.
        found = Mask()
        found.hide(variables[name] for name in secrets_in(config, variables, named))
        return found

    hidden, in_address = mask(_secrets(where, environ)), mask(environ)

    def without(value: Any, *place: str) -> Any:
        if isinstance(value, dict):
            return {key: without(item, *place, key) for key, item in value.items()}
        if isinstance(value, list):
            return [without(item, *place) for item in value]
        if _is_within(place):
            return hidden.data(value)
        if isinstance(value, str) and _is_shown(place):
            shown = hidden.data(value)
            return shown if shown == value else f"{shown}#{keyed_digest(value)}"
        # The address of a build context may hold a token of the host's; what the checkout says of it is judged.
        is_address = isinstance(value, str) and "://" in value and not value.startswith("/")
        return in_address.data(value) if is_address else value

    shown: JSON = without(without_secrets(config, is_secret))
    return shown


def _is_within(place: tuple[str, ...]) -> bool:
    """Tell whether nothing judges what stands at a place of a configuration."""
    match place:
        case ("services", _, "build", key, *_):
            return key in _WITHIN_BUILD
        case ("services", _, "networks", _, key, *_):
            return key != "driver_opts"
        case ("services", _, key, *_):
            return key in _WITHIN
        case ("secrets" | "configs", _, "content") | (_, _, "labels", *_):
            return True
        case (key, *_):
            return key.startswith("x-")
    return False


def _is_shown(place: tuple[str, ...]) -> bool:
    """Tell whether what stands at a place of a configuration is shown to a person, and may be with what is hidden."""
    match place:
        case ("services", _, "post_start" | "pre_stop", *_) | ("services", _, "networks", _, "driver_opts", _):
            return True
        case ("services", _, "logging", "options", _) | ("networks", _, "driver_opts", _):
            return True
        case ("networks", _, "ipam", "options", _):
            return True
        case ("volumes", _, "driver_opts", key):
            return key != "device"
    return False


@contextmanager
def _written(where: Sources, drafts: Mapping[Path, str]) -> Iterator[list[str]]:
    """Yield the options that name the files, with drafts in a folder of their own for as long as the block runs."""
    if not drafts:
        yield where.args()
        return
    with tempfile.TemporaryDirectory(prefix="devbox-") as folder:
        files = []
        for number, file in enumerate(where.files):
            place = Path(folder, f"{number}.yaml") if file in drafts else file
            if file in drafts:
                place.write_text(drafts[file], encoding="utf-8")
            files.append(place)
        # What the files name stays relative to where they will be.
        yield ["--project-directory", str(where.files[0].parent), *Sources(tuple(files), where.env_file).args()]


def _asked(engine: Engine, files: Sequence[str], services: Sequence[str]) -> Completed:
    argv = ["compose", *files, "config", "--format", "json", *services]
    return engine.run(argv, check=False, timeout=_SECONDS)


def _json(done: Completed, where: Sources) -> JSON | None:
    """Return what docker compose said, in which each `$` stands twice, so that it could read it again.

    What it leaves relative to the project's folder is named in full.
    """
    try:
        config = json.loads(done.stdout) if done.ok else None
    except ValueError:
        return None
    if not isinstance(config, dict):
        return None
    for service in (config.get("services") or {}).values():
        if service.get("security_opt"):
            folder = escaped(str(where.files[0].parent))
            service["security_opt"] = [security_option(option, folder) for option in service["security_opt"]]
    return config


def _plain(config: JSON) -> JSON:
    plain: JSON = json.loads(json.dumps(config, ensure_ascii=False).replace("$$", "$"))
    return plain


def write(engine: Engine, model: Project, spec: ProjectSpec | None = None) -> dict[str, str]:
    """Write the files of `docker compose` for a project as it was judged, with its override; return its variables.

    What runs is what was judged: the checkout's own files say it once more, because secrets are kept nowhere, but what
    they say by now counts only if it is the same, with its secrets. Raises RefusedError where it is not, or where what
    is mounted or built from is a link out of the workspace by now.
    """
    from devbox.trust.sources import must_stay, of_services

    said = _json(_asked(engine, ["--project-name", model.name, *model.sources.args()], model.asked), model.sources)
    salt = model.proof.partition(":")[0]
    if said is None or _proof(_plain(said), salt) != model.proof:
        raise _changed(model.sources)
    made = [_plain(said), *([_plain(spec.override)] if spec is not None else [])]
    must_stay(of_services(*made), model.workspace)
    named = [name for kind, name in model.reads if kind == "variable"]
    if model.copied:
        said = project_there(said, Path(model.workspace))
    config, variables = sealed(said, _secrets(model.sources, engine.environ), named)
    private_folder(model.path.parent)
    write_atomically(model.path, text_of(config), mode=0o600)
    if spec is not None:
        write_atomically(spec.path, spec.text(), mode=0o600)
    # The services that may not run are none of the file's, and nothing that was forgotten.
    return {"COMPOSE_DISABLE_ENV_FILE": "true", "COMPOSE_IGNORE_ORPHANS": "true", **variables}


def _changed(where: Sources) -> RefusedError:
    return RefusedError(
        f"{_names(where.files)}, or what is read with it, changed while devbox looked at it: nothing was started of it",
        hint="devbox up",
    )


def _config(
    engine: Engine, contract: Contract, where: Sources, files: Sequence[str], services: Sequence[str]
) -> tuple[JSON, list[str]]:
    """Return what docker compose makes of the files and these services, and the variables that it did not find."""
    done = _asked(engine, files, services)
    config = _json(done, where)
    if config is not None:
        return _plain(config), list(dict.fromkeys(_UNSET.findall(done.stderr)))
    words = done.stderr.strip()
    if listed := services_of(engine, files):
        _see_named(contract, where, listed)
    last = words.splitlines()[-1].strip() if words else "it said nothing"
    if "project name" in last:
        raise _no_name(where, f"docker compose has no name for the project of {_names(where.files)}: {last}")
    named = next((file for file in where.files if str(file) in words), None)
    raise ContractError(
        f"docker compose does not take {named or _names(where.files)}: {last}",
        hint=engine.line(["compose", *where.args(), "config", *services]),
        detail="\n".join(words.splitlines()[:-1]) or None,
    )


def services_of(engine: Engine, files: Sequence[str]) -> list[str]:
    """Return the services that compose files have, of any profile; none where docker compose does not take them."""
    done = engine.run(["compose", *files, "--profile", "*", "config", "--services"], check=False, timeout=_SECONDS)
    return sorted(done.stdout.split()) if done.ok else []


def _see_named(contract: Contract, where: Sources, services: Sequence[str]) -> None:
    """See that the files have the services that the contract names. Raises ContractError."""
    for key, names in (("service", _wanted(contract)[-1:]), ("runServices", _wanted(contract)[:-1])):
        for name in names:
            if name not in services:
                raise ContractError(
                    f"{contract.path}: '{key}' names {name}, and {_names(where.files)} has only {', '.join(services)}",
                    hint=f"edit {contract.path}",
                )


def _no_name(where: Sources, message: str) -> ContractError:
    return ContractError(
        message, hint=f"add `name: NAME` to {where.files[0]}, or set COMPOSE_PROJECT_NAME in the workspace's .env"
    )


def _names(files: Sequence[Path]) -> str:
    return " with ".join(map(str, files))


def override_file(contract: Contract) -> Path:
    """Return where the override of a contract's project is, under a name by which the other tools find it again."""
    return _override(_key(contract))


def one_shot_project(contract: Contract, project: Project, name: str) -> Project:
    """Return `project` for the one command `name`, in a file of its own.

    What another command has judged, and is about to let docker compose read, is none of its.
    """
    return replace(project, path=_folder() / f"{_ONE_SHOT}{name}-{_key(contract)}.yml")


def one_shot_file(project: Project) -> Path:
    """Return where the override of a project for one command is."""
    return project.path.with_suffix(".override.yml")


@contextmanager
def one_shot_files(name: str) -> Iterator[None]:
    """Remove the files of the command `name` at its end, and what one has left that was killed."""
    try:
        yield
    finally:
        for path in _folder().glob(f"{_ONE_SHOT}*.yml"):
            with suppress(FileNotFoundError):
                # Compose reads them when it starts.
                if path.name.startswith(f"{_ONE_SHOT}{name}-") or time.time() - path.stat().st_mtime > _LEFT_SECONDS:
                    path.unlink()


def recall(contract: Contract) -> JSON | None:
    """Return what is remembered of a contract's project; None where there is none, or a damaged file."""
    return _read(_key(contract))


def remember(contract: Contract, data: JSON) -> None:
    """Remember `data` of a contract's project."""
    _write(_key(contract), data)


class LastProject(NamedTuple):
    """A compose project that a workspace has used. `is_down` tells that `devbox down` removed its containers."""

    name: str
    is_down: bool


def last_projects(workspace: Path) -> list[LastProject]:
    """Return the compose projects that devbox has tried to start for a workspace, whatever is left of them."""
    found = []
    for file in sorted(_folder().glob("*.json")):
        data = _read(file.stem)
        # The override is written when a project is started, not when its files are read.
        if data is not None and data.get("workspace") == str(workspace):
            is_down = data.get("down") is True
            if is_down or _override(file.stem).is_file():
                found.append(LastProject(str(data["name"]), is_down))
    return found


def forget(labels: Mapping[str, str], *, keep_name: bool) -> None:
    """Forget the project of a dev container that is gone, with the overrides that were made for it.

    With `keep_name` all but its name, by which the volumes that stay are found.
    """
    if LOCAL_FOLDER not in labels:
        return
    key = _key_of(folder_of(labels), host_spelling(labels.get(CONFIG_FILE, "")))
    known = _read(key)
    for path in _folder().glob(f"*{key}.*"):
        if not path.name.startswith(_ONE_SHOT):
            path.unlink(missing_ok=True)
    if keep_name and known is not None:
        _write(key, {"workspace": known.get("workspace"), "name": known.get("name"), "down": True})


def _override(key: str) -> Path:
    return _folder() / f"{OVERRIDE_NAME}-{key}.yml"


def _folder() -> Path:
    return state_dir() / "docker-compose"


def _key(contract: Contract) -> str:
    return _key_of(str(contract.workspace), str(contract.path))


def _key_of(workspace: str, contract: str) -> str:
    return hashlib.sha256(os.fsencode(f"{workspace}\0{contract}")).hexdigest()[:_KEY_LENGTH]


def _read(key: str) -> JSON | None:
    try:
        data = json.loads(stored(_folder() / f"{key}.json"))
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and data.get("schema") == _SCHEMA else None


def _write(key: str, data: JSON) -> None:
    folder = _folder()
    private_folder(folder)
    write_atomically(folder / f"{key}.json", json.dumps({**data, "schema": _SCHEMA}) + "\n", mode=0o600)
