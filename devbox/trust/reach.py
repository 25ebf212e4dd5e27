"""What a contract reaches outside its container, as values: the one model that the question, dry runs and docs are of.

Nothing here asks docker or changes anything. Links are followed, because docker follows them too.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

# Each kind by the name that `--allow` takes, and what it means.
KINDS: Final[Mapping[str, str]] = {
    "agent": "the ssh-agent, which signs with the person's keys",
    "build": "an image build that reaches the host: its ssh-agent, its files, its network, its cache folders",
    "capability": "a capability of the kernel beyond docker's own set",
    "command": "a command on the host, with the bytes of the scripts that it names",
    "device": "a device of the host",
    "name": "a name, tag or label that belongs to somebody else",
    "namespace": "a namespace of the host, or of another container",
    "network": "a network of somebody else, or one that changes where the host's traffic goes",
    "option": "an option whose reach is not known, or is the engine's own",
    "path": "a file or folder of the host outside the workspace",
    "privileged": "all of the host",
    "remote": "code from elsewhere that is taken unseen: a git repository or an archive as a build context",
    "restart": "a restart by docker itself, when nobody looks at what the mounts have become",
    "security": "a security option",
    "setting": "a setting in a file of the checkout that reaches the host",
    "socket": "the container engine's socket: root on the host",
    "variable": "a variable of the host whose name or value looks like a secret",
    "volume": "another workspace's volume",
}
# Whoever has one of these has the host: agreement to it is agreement to the whole content that gets it.
_ALL = frozenset({"privileged", "socket"})


@dataclass(frozen=True, slots=True)
class Reach:
    """One thing that is reached: its `kind`, what it is, how (`read-only`), and by what of the contract.

    `said` is the sentence that a person reads. `content` is a digest of what agreement to it is bound to, where that is
    more than the words themselves.
    """

    kind: str
    value: str
    said: str
    mode: str = ""
    content: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What has to be the same for the same agreement to hold."""
        return (self.kind, self.value, self.mode, self.content)

    @property
    def is_all(self) -> bool:
        """Whether this is as much as the whole host."""
        return self.kind in _ALL or (self.kind == "path" and self.value == "/")

    def allowed_by(self, rule: str) -> bool:
        """Tell whether `KIND` or `KIND=VALUE` of `--allow` means this; a folder stands for what is below it, too."""
        kind, equals, value = rule.partition("=")
        if kind != self.kind:
            return False
        inside = self.kind == "path" and value.startswith("/") and self.value.startswith(f"{value.rstrip('/')}/")
        return not equals or value == self.value or inside


def distinct(found: Iterable[Reach]) -> tuple[Reach, ...]:
    """Return `found` without what is in it twice, in its order."""
    return tuple({one.key: one for one in reversed(list(found))}.values())[::-1]


def of_path(path: Path | str, said: str) -> Reach:
    """Return what reading a file or folder of the host is: it is agreed to by where links lead to."""
    real = os.path.realpath(path)
    return Reach("path", real, said if real == str(path) else f"{said} (a link to {real})", "read-only")


def is_inside(path: Path | str, workspace: Path) -> bool:
    """Tell whether `path` lies in the workspace, links followed: the engine follows them too."""
    real, top = os.path.realpath(path), os.path.realpath(workspace)
    return real == top or real.startswith(f"{top.rstrip('/')}/")
