"""Where a pod is: which context of kubectl, which namespace, which pod. `exec` is made of this: it imports nothing."""

from __future__ import annotations

from devbox.engine.api import CLUSTER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from devbox.lean import NamedTuple

DOCKER = "docker"
# The container of a pod in which commands are executed.
CONTAINER = "dev"
# The one before it, which makes the folders of the claim the user's.
OWNING = "own"
# So long the API server may take for an answer: a question that hangs would hang its command.
QUESTION_SECONDS = 20
_ESCAPED = {"%": "%25", "/": "%2F", ",": "%2C"}


def asked_for(on: str) -> str | None:
    """Return the rest of `--on kubernetes[:CONTEXT[/NAMESPACE]]`, None for docker's engine. Raises UsageError."""
    kind, _, rest = on.partition(":")
    if kind == CLUSTER:
        return rest
    if on == DOCKER:
        return None
    from devbox.errors import UsageError

    raise UsageError(
        f"'{on}' is nowhere that containers run", hint=f"{DOCKER}, or {CLUSTER}[:CONTEXT[/NAMESPACE]]   # for --on"
    )


class Place(NamedTuple):
    """A namespace of a cluster, by the context that names this in the person's kubeconfig."""

    context: str
    namespace: str

    def __str__(self) -> str:
        return f"{CLUSTER}:{self.context}/{self.namespace}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """Read what `str` writes. A context may have slashes in it, and a namespace has none."""
        context, _, namespace = text.partition(":")[2].rpartition("/")
        return cls(context, namespace)

    def kubectl(self, *args: str, seconds: float | None = QUESTION_SECONDS) -> list[str]:
        """Return the argv of kubectl for this place; with `seconds`, each of its requests has that deadline."""
        deadline = () if seconds is None else (f"--request-timeout={seconds:g}s",)
        return ["kubectl", f"--context={self.context}", f"--namespace={self.namespace}", *deadline, *args]


class Pod(NamedTuple):
    """A pod: its name, its uid, which no other pod ever has, and where it is.

    As text it stands where a container's id does. It is a file's name, too, and holds commas, as no id of an engine.
    """

    name: str
    uid: str
    place: Place

    def __str__(self) -> str:
        context = "".join(_ESCAPED.get(one, one) for one in self.place.context)
        return f"{self.name},{self.uid},{self.place.namespace},{context}"

    @classmethod
    def parse(cls, text: str) -> Pod:
        """Read what `str` writes."""
        name, uid, namespace, context = text.split(",")
        for one, escaped in reversed(_ESCAPED.items()):
            context = context.replace(escaped, one)
        return cls(name, uid, Place(context, namespace))
