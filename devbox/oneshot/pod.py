"""`devbox run` on a cluster: a second pod made like the dev container's, on the same node, for one command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from devbox.container.inside import supervise
from devbox.container.inside.exec import execute
from devbox.container.inside.find import running_container
from devbox.container.sync.send import bring
from devbox.container.target import ONE_SHOT
from devbox.engine.kubernetes.cluster import NO_WAIT, Cluster
from devbox.engine.kubernetes.place import Pod
from devbox.engine.kubernetes.spec import written
from devbox.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from devbox.engine.docker import Engine
    from devbox.reporter import Reporter

JSON = dict[str, Any]


def run_in_pod(
    engine: Engine, workspace: Path, argv: Sequence[str], reporter: Reporter, *, cwd: Path | None, dry_run: bool
) -> int | list[str]:
    """Run `argv` in a pod of its own, made like the one that runs, and return its exit code, as `run` does."""
    assert isinstance(engine, Cluster)  # noqa: S101  # who asks for a pod has one
    target = running_container(engine, workspace)
    there = engine.object("pod", Pod.parse(target.container).name)
    if there is None:
        raise EngineError("the pod of the dev container is gone", hint="devbox up")
    pod = another(there, f"{there['metadata']['name'][:50]}-{supervise.new_token()[:6]}", str(workspace))
    name = pod["metadata"]["name"]
    removal = [*engine.removal(name), NO_WAIT]
    if dry_run:
        return [
            f"{engine.line(['create', '--filename=-'])} <<'END'\n{written(pod)}\nEND",
            engine.line(removal),
        ]
    bring(target, engine, reporter)
    with supervise.watched(engine.argv(removal), engine.argv(removal), engine.environ):
        engine.create(pod)
        engine.await_ready(name, "", reporter.info)
        made = engine.container(name)
        if made is None:
            raise EngineError(f"the pod {name} was deleted before it ran its command", hint="devbox run")
        place = target.inside(cwd) if cwd is not None else None
        code = execute(target._replace(container=made["Id"]), argv, environ=engine.environ, cwd=place)
    engine.run(removal)
    return code


def another(pod: JSON, name: str, workspace: str) -> JSON:
    """Return a pod like one that runs, and no dev container: on its node, which has the claim."""
    metadata, spec = pod["metadata"], pod["spec"]
    annotations = {
        key: value for key, value in metadata["annotations"].items() if not key.startswith(("devcontainer.", "devbox."))
    }
    made = {"name": name, "labels": metadata["labels"], "annotations": {**annotations, ONE_SHOT: workspace}}
    # The folders are the user's by now.
    return {"apiVersion": "v1", "kind": "Pod", "metadata": made, "spec": {**spec, "initContainers": []}}
