"""`devbox run`: a command in a container of its own, made like the dev container and removed when the command ends."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from devbox import config
from devbox.config.network import network_of
from devbox.container import which
from devbox.container.checkout.elsewhere import is_seen, placed, placed_service
from devbox.container.checkout.git_mounts import with_repository
from devbox.container.contract.inforce import claimed, names_taken, with_overlays
from devbox.container.contract.reach import reach_of
from devbox.container.desired import Image, container_name, docker_run, slug
from devbox.container.hooks import secrets
from devbox.container.inside import supervise
from devbox.container.inside.exec import run_watched
from devbox.container.inside.find import running_container
from devbox.container.inside.probe import remote_env, variables
from devbox.container.project import one_shot_files, one_shot_project, resolve, write
from devbox.container.steps import BuildService
from devbox.container.sync.send import bring
from devbox.container.target import ONE_SHOT, Target
from devbox.container.up import compose
from devbox.container.up.apply import Journal
from devbox.container.up.compose import one_shot_spec
from devbox.container.up.images import have_image, plan_image
from devbox.container.up.needs import gpus_for
from devbox.container.up.uid import with_host_ids
from devbox.devcontainer.merge import image_metadata, merge
from devbox.devcontainer.read import read
from devbox.engine.spec import ContainerSpec, container_args
from devbox.engine.steering import for_compose
from devbox.errors import DevboxError
from devbox.trust.ask import needs_consent
from devbox.trust.names import of_build, of_project, of_spec
from devbox.trust.settings import of_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from devbox.devcontainer.compose.model import Project
    from devbox.devcontainer.compose.override import ProjectSpec
    from devbox.devcontainer.model import Contract, Merged
    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter

STOP_SECONDS = 5


def run(
    engine: Engine,
    workspace: Path,
    argv: Sequence[str],
    reporter: Reporter,
    *,
    cwd: Path | None = None,
    dry_run: bool = False,
) -> int | list[str]:
    """Run `argv` in a one-shot container of the contract of `workspace`; return its exit code.

    It has the dev container's image, mounts, limits, user and environment, and no name or published port, so that both
    can run at once. `cwd` is a folder on the host; the command starts in the matching one inside. It is removed when
    the command ends, and when this process does. With `dry_run` nothing is changed, and the docker commands are
    returned instead: those that make the image where it is not there, then the container's. Raises DevboxError where
    the workspace has no contract yet.
    """
    if engine.is_cluster:
        from devbox.oneshot.pod import run_in_pod

        return run_in_pod(engine, workspace, argv, reporter, cwd=cwd, dry_run=dry_run)
    name = f"devbox-run-{slug(workspace.name)}-{supervise.new_token()[:6]}"
    with one_shot_files(name):
        return _run(Journal(engine, reporter, dry_run=dry_run), workspace, argv, name, cwd)


def _run(journal: Journal, workspace: Path, argv: Sequence[str], name: str, cwd: Path | None) -> int | list[str]:
    engine = journal.engine
    contract, merged, image, project = _wanted(journal, workspace, name)
    uid, gid = contract.ids or (os.getuid(), os.getgid())
    user_image = with_host_ids(journal, merged, image, uid=uid, gid=gid)
    spec, target = one_shot(contract, merged, image, argv)
    grant = None if project is not None else gpus_for(engine, contract, merged, journal.reporter)
    spec = replace(spec, run_args=(*spec.run_args, *(grant.args if grant else ())))
    spec = spec if user_image is None else user_image.used_by(spec)
    terminal = os.isatty(0) and os.isatty(1)
    place = (target.inside(cwd) if cwd is not None else None) or target.folder
    flags = ["--rm", "--interactive", *(["--tty"] if terminal else []), "--workdir", place]
    for variable, value in target.variables(engine.environ):
        flags += ["--env", variable if value is None else f"{variable}={value}"]
    args = engine.argv(["run", *flags, *container_args(replace(spec, name=name))])
    composed: ProjectSpec | None = None
    if project is not None:
        shot = replace(spec, name=name, command=tuple(argv))
        composed = one_shot_spec(contract, merged, image, project, shot)
        own = [flag for flag in flags if flag not in {"--interactive", "--tty"}] + ([] if terminal else ["--no-TTY"])
        named = ["--user", shot.user or "root", "--name", name]
        args = [engine.docker, *composed.args(), "run", *named, *own, project.service, *argv]
    if journal.dry_run:
        first = [line for step in journal.steps for line in step.lines if not line.startswith("#")]
        return [*first, engine.line(args[1:])]
    names = of_spec(spec) if project is None else of_project(project, composed)
    needs_consent(workspace, contract.path, names_taken(contract, engine, names))
    if contract.elsewhere:
        bring(running_container(engine, workspace), engine, journal.reporter)
    journal.see_held()
    environ: Mapping[str, str] = engine.environ
    if composed is not None:
        # It tells of each service that runs already.
        files = write(engine, composed.project, composed)
        environ = {"COMPOSE_PROGRESS": "quiet", **for_compose(engine.environ), **files}
    with claimed(contract, engine, names):
        return run_watched(
            args,
            environ=target.client_environ(environ),
            end=[engine.docker, "stop", "--time", str(STOP_SECONDS), name],
            on_death=[engine.docker, "rm", "--force", "--volumes", name],
        )


def _wanted(journal: Journal, workspace: Path, name: str) -> tuple[Contract, Merged, Image, Project | None]:
    """Return the contract in force, its image, built first if it has to be, and its compose project, if any."""
    engine, reporter = journal.engine, journal.reporter
    path = which.contract(workspace, engine, reporter)
    if path is None:
        raise DevboxError(f"{workspace} has no dev container configuration yet", hint="devbox up")
    settings = config.load(workspace, environ=engine.environ, flags={})
    contract = with_overlays(with_repository(read(path, workspace, engine.environ)), settings, engine)
    seen = is_seen(engine, workspace)
    if not seen and contract.kind != "compose":
        contract = placed(contract)
    secrets.hide((contract.raw,), engine.environ, reporter)
    needs_consent(workspace, workspace, tuple(of_settings(settings, workspace, engine.environ)))
    proxies = network_of(settings, engine.environ).proxies()
    needs_consent(workspace, path, journal.hold(partial(reach_of, contract, engine.environ)))
    project, made_from, by_compose = None, contract, None
    if contract.kind == "compose":
        project = one_shot_project(contract, resolve(engine, contract), name)
        needs_consent(workspace, path, journal.hold(partial(reach_of, contract, engine.environ, project=project)))
        if not seen:
            contract = placed_service(contract, project.config, project.service)
            project = replace(project, copied=bool(contract.elsewhere))
        by_compose = compose.service_build(engine, contract, project)
        if by_compose is not None:
            needs_consent(workspace, path, names_taken(contract, engine, of_build(project)))
            journal.do(BuildService(contract, project.service, by_compose))
        made_from = compose.image_contract(contract, project, engine.environ)
    user = None if project is None else compose.base_config(project, Image("", "", "")).get("User")
    todo = plan_image(engine.image, made_from, environ=proxies)
    if by_compose is not None:
        todo = replace(todo, pulls=())
    image = have_image(journal, made_from, todo, environ=proxies, user=user)
    entries = image_metadata(image.config.get("Labels"))
    if entries:
        needs_consent(workspace, path, journal.hold(partial(reach_of, contract, engine.environ, entries, project)))
    secrets.hide(entries, engine.environ, reporter)
    return contract, merge(contract, entries, image.config, engine.environ), image, project


def one_shot(contract: Contract, merged: Merged, image: Image, argv: Sequence[str]) -> tuple[ContainerSpec, Target]:
    """Return the container for one command, and the variables of its environment that come from the host's.

    It carries none of the labels by which tools find a dev container.
    """
    spec = docker_run(contract, merged, image, container_name(contract))
    own = {**variables(image.config.get("Env") or ()), **dict(merged.container_env)}
    fixed, host_env = remote_env(contract, merged, own)
    env = {**dict(merged.container_env), **{name: value for name, value in fixed.items() if value is not None}}
    run_args = list(spec.run_args)
    for index, argument in enumerate(spec.run_args):
        if argument.startswith("--name="):
            run_args[index] = ""
    user = merged.remote_user or "root"
    shot = replace(
        spec,
        name=None,
        publish=(),
        labels=((ONE_SHOT, str(contract.workspace)),),
        env=tuple(env.items()),
        user=user,
        run_args=tuple(argument for argument in run_args if argument),
        entrypoint=argv[0],
        command=tuple(argv[1:]),
    )
    target = Target(
        "", contract.workspace, contract.workspace_folder, user, contract.path, host_env=tuple(host_env.items())
    )
    return shot, target
