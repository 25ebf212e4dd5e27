"""The door to a cluster: kubectl as a person would type it, with a deadline for each question.

It is asked what an engine is asked, and answers in the same words (`seen`). Images are the business of the engine that
builds them, `images`.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import re
import shlex
import socket
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from devbox.engine import process
from devbox.engine.address import Address
from devbox.engine.api import CLUSTER, ON, is_cluster, patience
from devbox.engine.docker import ContainerSummary, Engine
from devbox.engine.exec import is_pod
from devbox.engine.kubernetes import seen
from devbox.engine.kubernetes.execution import code_of, handed_over, lost
from devbox.engine.kubernetes.place import CONTAINER, QUESTION_SECONDS, Place, Pod, asked_for
from devbox.engine.kubernetes.spec import MANAGED, OWNER, WORKSPACE, written
from devbox.engine.kubernetes.trouble import Progress, explain, progress, unreachable
from devbox.errors import EngineError, ProgramMissingError, UsageError, last_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from devbox.engine.exec import Exec

JSON = dict[str, Any]

OWNER_VARIABLE = "DEVBOX_KUBERNETES_OWNER"
# Of one that is gone for a moment, such as a control plane that is made anew.
_GONE_SECONDS = 30.0
# A person, a queue or a large image may be waited for.
READY_SECONDS = 300.0
_LOOK_SECONDS = 0.4
# A kubelet may look only once a minute whether a pod that never started has ended.
_GOING_SECONDS = 120.0
NO_WAIT = "--wait=false"
# What kubectl adds about a command's own exit code.
_EXIT_CODE = re.compile(r"command terminated with exit code \d+\n?\Z")
_VERBS = frozenset({"get", "create", "delete", "exec", "logs", "auth", "config", "version", "cluster-info"})


def chosen(environ: Mapping[str, str]) -> Engine:
    """Return the engine that `environ` names: a cluster, or docker's own choice."""
    return Cluster(Place.parse(environ[ON]), environ) if is_cluster(environ) else Engine(environ=environ)


def resolved(on: str, environ: Mapping[str, str], known: str | None = None) -> str:
    """Return `--on` in full: `kubernetes[:CONTEXT[/NAMESPACE]]` with the context and the namespace that it means.

    What is `known` in full, as it is remembered, is not asked of kubectl again. Raises UsageError for what is none, or
    a context that kubectl does not know.
    """
    rest = asked_for(on)
    if rest is None or on == known:
        return on
    told = _config(environ)
    spaces = {
        one["name"]: (one.get("context") or {}).get("namespace") or "default" for one in told.get("contexts") or ()
    }
    context, namespace = rest or told.get("current-context") or "", ""
    if context not in spaces and "/" in context:
        context, _, namespace = context.rpartition("/")
    if context not in spaces:
        what = f"kubectl knows no context '{context}'" if context else "kubectl has no current context"
        raise UsageError(what, hint=f"--on {CLUSTER}:CONTEXT   # one of {', '.join(spaces) or 'none: set KUBECONFIG'}")
    return str(Place(context, namespace or spaces[context]))


def _config(environ: Mapping[str, str]) -> JSON:
    done = process.run(
        ["kubectl", "config", "view", "--output=json"], check=False, environ=environ, timeout=QUESTION_SECONDS
    )
    try:
        return dict(json.loads(done.stdout))
    except ValueError:
        raise EngineError("kubectl does not tell its configuration", detail=last_lines(done.stderr)) from None


def owner_of(environ: Mapping[str, str]) -> str:
    """Return whose a pod is, as a label: the account here, and what tells it from one of that name elsewhere."""
    if said := environ.get(OWNER_VARIABLE):
        return said
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = str(os.getuid())
    try:
        with open("/etc/machine-id", encoding="utf-8") as stream:  # noqa: PTH123
            machine = stream.read().strip()
    except OSError:
        machine = ""
    told = hashlib.sha256(f"{name}\0{os.getuid()}\0{machine or socket.gethostname()}".encode()).hexdigest()[:8]
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:40] or "user"
    return f"{plain}-{told}"


class Cluster(Engine):
    """A namespace of a cluster, asked by kubectl."""

    is_cluster = True
    # One that waits for its node stands in a queue.
    busy = Engine.busy | {"created"}

    def __init__(self, place: Place, environ: Mapping[str, str]) -> None:
        """Take where it is; kubectl finds the rest in `environ`."""
        super().__init__(environ={**environ, ON: str(place)})
        self.place = place
        self._listed: dict[str, JSON] = {}

    @cached_property
    def images(self) -> Engine:
        """The engine that has the images, and builds them."""
        return Engine(environ=self.named)

    @cached_property
    def environ(self) -> Mapping[str, str]:
        """The environment in which kubectl runs."""
        return self.named

    @cached_property
    def address(self) -> Address:
        """Where it is."""
        return Address(str(self.place), "--on")

    @cached_property
    def owner(self) -> str:
        """Whose pods devbox makes here."""
        return owner_of(self.named)

    def argv(self, args: Sequence[str]) -> list[str]:
        """Return the argv of kubectl. Raises EngineError for docker's words, which mean nothing here."""
        if args[0] not in _VERBS:
            raise EngineError(
                f"that is not for a pod: `docker {args[0]}` has no counterpart in {self.place}",
                hint="devbox up --on docker   # brings the dev container to an engine",
            )
        return self.place.kubectl(*args, seconds=None if args[0] in {"exec", "logs", "delete"} else QUESTION_SECONDS)

    def run(
        self,
        args: Sequence[str],
        *,
        check: bool = True,
        input_text: str | None = None,
        timeout: float | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> process.Completed:
        """Run kubectl to its end. A question is asked again while the API server is gone, for a moment.

        What is deleted is gone afterwards; `check` or not, it is an error where it is not. Raises EngineError with the
        cluster's reason.
        """
        # kubectl itself would wait by a watch, which is a right of its own, and without it tries for ever.
        awaited = args[0] == "delete" and NO_WAIT not in args
        if awaited:
            args = [*args, NO_WAIT]
        until = time.monotonic() + patience(self.named, _GONE_SECONDS)
        while True:
            done = self._once(args, input_text, timeout, secrets)
            if done.ok or not unreachable(done.stderr) or args[0] not in {"get", "delete"} or time.monotonic() > until:
                break
            time.sleep(1)
        if not done.ok and (check or awaited or unreachable(done.stderr)):
            raise self.trouble(done.stderr) or process.CommandError(done)
        if awaited and done.ok:
            self._await_end(*args[1:3])
        return done

    def _await_end(self, kind: str, name: str) -> None:
        """Wait until an object is gone, or another of its name is there. Raises EngineError."""
        seconds = patience(self.named, _GOING_SECONDS)
        until = time.monotonic() + seconds
        while (there := self.object(kind, name)) is not None and there["metadata"].get("deletionTimestamp"):
            if time.monotonic() > until:
                raise EngineError(
                    f"the {there['kind']} {name} is about to go, and is not gone after {seconds:g} s",
                    hint=shlex.join(self.place.kubectl("describe", kind, name, seconds=None)),
                )
            time.sleep(_LOOK_SECONDS)

    def _once(
        self,
        args: Sequence[str],
        input_text: str | None,
        timeout: float | None,
        secrets: Mapping[str, str] | None,
    ) -> process.Completed:
        # kubectl's own deadline is for each of its requests; a name that does not resolve has none.
        limit = 3 * QUESTION_SECONDS if timeout is None and args[0] != "exec" else timeout
        environ = {**self.named, **(secrets or {})}
        try:
            return process.run(self.argv(args), check=False, input_text=input_text, environ=environ, timeout=limit)
        except ProgramMissingError:
            raise EngineError(
                "kubectl is not installed, by which a cluster is reached", hint="apt install kubernetes-client"
            ) from None

    def execute(self, asked: Exec, *, input_text: str | None = None, timeout: float | None = None) -> process.Completed:
        """Run a command in a pod to its end, as `Engine.execute` does."""
        asked = asked._replace(interactive=input_text is not None)
        done = process.run(
            handed_over(asked, self.named), check=False, input_text=input_text, environ=self.named, timeout=timeout
        )
        return self._ended(asked, done)

    def follow(self, asked: Exec, on_line: Callable[[str], None], *, environ: Mapping[str, str]) -> process.Completed:
        """Run a command in a pod, passing on each line as it comes."""

        def passed_on(line: str) -> None:
            said = _EXIT_CODE.sub("", line)
            if said or not line:
                on_line(said)

        asked = asked._replace(interactive=False)
        done = process.stream(handed_over(asked, environ), passed_on, environ=environ)
        return self._ended(asked, done)

    def _ended(self, asked: Exec, done: process.Completed) -> process.Completed:
        """Return how a command ended, by its kubectl. Raises EngineError where it was cut off."""
        code = code_of(done.code)
        said, ends = _EXIT_CODE.subn("", done.stderr)
        if not ends and (known := self.trouble(done.stderr)) is not None:
            raise known
        if code < 0:
            raise lost(asked.container)
        return process.Completed(done.argv, code, done.stdout, said)

    def trouble(self, said: str, args: Sequence[str] = ()) -> EngineError | None:  # noqa: ARG002
        """Return the error for a kubectl that failed, where the reason is known."""
        return explain(said, self.place)

    def containers(self, labels: Mapping[str, str | None], volume: str | None = None) -> tuple[ContainerSummary, ...]:
        """Return the person's pods that carry all of `labels`, and mount `volume`, as `Engine.containers` does."""
        pods = self._items("pods", f"{MANAGED}=devbox,{OWNER}={self.owner}")
        found = [seen.summary(one, self.place) for one in pods]
        self._listed = {one.id: seen.inspected(pod, self.place) for one, pod in zip(found, pods, strict=True)}
        wanted = [
            one
            for one in found
            if all(name in one.labels and value in {None, one.labels[name]} for name, value in labels.items())
            and (volume is None or any(mount["Name"] == volume for mount in one.mounts))
        ]
        return tuple(sorted(wanted, key=lambda one: -one.created))

    def container(self, name: str) -> JSON | None:
        """Return a pod as `docker inspect` would tell of it, by its id or its name; None if there is none.

        What a list has just told of it is not asked again, once.
        """
        if name in self._listed:
            return self._listed.pop(name)
        pod = Pod.parse(name) if is_pod(name) else None
        found = self.object("pod", name if pod is None else pod.name)
        if found is None or (pod is not None and found["metadata"]["uid"] != pod.uid):
            return None
        return seen.inspected(found, self.place)

    def inspect(self, kind: str, names: Sequence[str]) -> list[JSON]:
        """Return those of the pods that there are."""
        found = (self.container(name) for name in names) if kind == "container" else ()
        return [one for one in found if one is not None]

    def image(self, reference: str) -> JSON | None:
        """Return an image of the engine that builds."""
        return self.images.image(reference)

    def volume(self, name: str) -> JSON | None:  # noqa: ARG002
        """Return None: what stands for volumes are folders of the claim, and none is there by itself."""
        return None

    def volumes(self, prefix: str) -> list[JSON]:  # noqa: ARG002
        """Return none, as `volume`."""
        return []

    def network(self, name: str) -> JSON | None:  # noqa: ARG002
        """Return None: a cluster has one network for all."""
        return None

    def ask(
        self,
        request: str,  # noqa: ARG002
        *,
        body: Mapping[str, object] | None = None,  # noqa: ARG002
        timeout: float | None = None,  # noqa: ARG002
    ) -> tuple[int, bytes]:
        """Raise EngineError: there is no Engine API."""
        raise EngineError(f"that is asked of an engine, and {self.place} is a cluster", hint="devbox up --on docker")

    def id_of(self, name: str) -> str:
        """Return what stands for the id of a pod that there will be."""
        return str(Pod(name, "", self.place))

    def removal(self, container: str) -> list[str]:
        """Return the arguments that delete a pod. The claim stays."""
        return ["delete", "pod", Pod.parse(container).name if is_pod(container) else container, "--ignore-not-found"]

    def stopping(self, container: str, seconds: int) -> list[str]:  # noqa: ARG002
        """Return the arguments that delete a pod: one that was only stopped would hold its GPUs."""
        return self.removal(container)

    def volume_removal(self, name: str) -> list[str]:
        """Return the arguments that delete a claim."""
        return ["delete", "pvc", name, "--ignore-not-found"]

    def logged(self, container: str) -> list[str]:
        """Return how `logs` is told of a pod."""
        return [Pod.parse(container).name, f"--container={CONTAINER}"]

    def claims(self, workspace: str | None = None) -> list[JSON]:
        """Return the person's claims, of one workspace by its hash, or all."""
        more = "" if workspace is None else f",{WORKSPACE}={workspace}"
        return self._items("pvc", f"{MANAGED}=devbox,{OWNER}={self.owner}{more}")

    def object(self, kind: str, name: str) -> JSON | None:
        """Return a pod or a claim as the API has it; None if it is not there."""
        text = self.run(["get", kind, name, "--output=json", "--ignore-not-found"]).stdout
        return dict(json.loads(text)) if text.strip() else None

    def _items(self, kind: str, selector: str) -> list[JSON]:
        said = self.run(["get", kind, f"--selector={selector}", "--output=json"]).stdout
        return list(json.loads(said)["items"])

    def create(self, manifest: JSON) -> None:
        """Make a pod or a claim; one that is there, and not about to go, is left as it is. Raises EngineError."""
        kind, name = str(manifest["kind"]), str(manifest["metadata"]["name"])
        until = time.monotonic() + patience(self.named, READY_SECONDS)
        while True:
            done = self.run(["create", "--filename=-"], input_text=written(manifest), check=False)
            if done.ok:
                return
            if "already exists" not in done.stderr:  # which is said of one that is about to go, too
                raise self.trouble(done.stderr) or EngineError(
                    f"the cluster takes no {kind} {name} of devbox's", detail=last_lines(done.stderr)
                )
            there = self.object(kind.lower(), name)
            if there is not None and not there["metadata"].get("deletionTimestamp"):
                if (there["metadata"].get("labels") or {}).get(OWNER) != self.owner:
                    raise EngineError(
                        f"a {kind} {name} of somebody else is in {self.place}",
                        hint="kubernetes_owner in config.toml: another name",
                    )
                return
            if time.monotonic() > until:
                raise EngineError(f"the {kind} {name} is not deleted yet", hint="devbox up   # once it is gone")
            time.sleep(_LOOK_SECONDS)

    def await_ready(self, pod: str, claim: str, say: Callable[[str], None]) -> None:
        """Wait until commands can be executed in a pod, and `say` what it waits for.

        Raises EngineError with the cluster's own reason: one that will not come up by itself is deleted, one that may
        stays in the queue.
        """
        until = time.monotonic() + patience(self.named, READY_SECONDS)
        said = ""
        while True:
            found = self.object("pod", pod)
            if found is None:
                raise EngineError(f"the pod {pod} was deleted while it came up", hint="devbox up")
            now = progress(found, None, (), self.place)
            if now.how != "ready":
                now = self._why(found, claim)
            if now.how == "ready":
                return
            if now.how == "failed":
                self.run([*self.removal(pod), NO_WAIT], check=False)
                raise EngineError(now.why, hint=now.hint)
            if time.monotonic() > until:
                raise EngineError(
                    f"the pod {pod} is not ready after {patience(self.named, READY_SECONDS):g} s: {now.why}",
                    hint=now.hint or "devbox up   # goes on waiting",
                )
            if now.why != said:
                said = now.why
                say(said)
            time.sleep(_LOOK_SECONDS)

    def _why(self, pod: JSON, claim: str) -> Progress:
        """Return why a pod waits, by its events and its claim's."""
        listed = self.run(["get", "events", "--output=json"], check=False)
        events = json.loads(listed.stdout)["items"] if listed.ok else []
        uid = pod["metadata"]["uid"]
        own = [
            one
            for one in events
            if one["involvedObject"].get("uid") == uid or one["involvedObject"].get("name") == claim
        ]
        return progress(pod, self.object("pvc", claim) if claim else None, own, self.place)

    def line(self, args: Sequence[str]) -> str:
        """Return kubectl's words as a person would type them."""
        return shlex.join(self.argv(args))
