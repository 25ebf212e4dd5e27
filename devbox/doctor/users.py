"""Is who works in the container the one whose files these are, and has a rootless engine ids for it?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.container.inside.find import running_container
from devbox.facts.system import accounts
from devbox.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.doctor.model import Patient
    from devbox.facts.system import Range

# As many ids as an image may use: https://docs.docker.com/engine/security/rootless/
_IDS = 65536


def check(patient: Patient) -> Iterator[Finding]:
    """Look at the ids of the host's user, of the container's, and at the ranges that a rootless engine hands on."""
    facts, user = patient.engine_facts, patient.host.user
    same = [name for name, uid in patient.system.accounts if uid == user.uid]
    if len(same) > 1:
        yield Finding(
            "users", "warning", f"the accounts {', '.join(same)} of this machine have the same uid {user.uid}",
            f"sudo usermod --uid NUMBER {same[-1]}", "files do not tell which of them they belong to",
        )  # fmt: skip
    if facts is None or not facts.local:
        return
    if facts.rootless:
        for file, ranges in (("/etc/subuid", patient.system.subuids), ("/etc/subgid", patient.system.subgids)):
            yield from _ranges(file, ranges, user.name, user.uid)
    elif patient.container is not None and user.uid != 0:
        yield from _inside(patient)


def _ranges(file: str, ranges: tuple[Range, ...], name: str, uid: int) -> Iterator[Finding]:
    mine = [one for one in ranges if one.owner in {name, str(uid)}]
    if sum(one.count for one in mine) < _IDS:
        yield Finding(
            "users", "error", f"{file} gives {name} fewer than {_IDS} ids",
            f"sudo usermod --add-{file[5:]}s 100000-165535 {name}   # a range that nobody else has",
            "a rootless engine cannot unpack images that use more users than that",
        )  # fmt: skip
    for one in mine:
        for other in ranges:
            if (
                other.owner != one.owner
                and other.first < one.first + one.count
                and one.first < other.first + other.count
            ):
                yield Finding(
                    "users", "warning", f"{file} gives {one.owner} and {other.owner} the same ids",
                    f"sudoedit {file}   # ranges that do not overlap", "each reads what the other's containers write",
                )  # fmt: skip


def _inside(patient: Patient) -> Iterator[Finding]:
    user, target = patient.host.user, running_container(patient.engine, patient.workspace)
    asked = ["exec", *(("--user", target.user) if target.user else ()), target.container]
    done = patient.engine.run([*asked, "sh", "-c", "id -u; cat /etc/passwd"], check=False, timeout=10)
    first, _, passwd = done.stdout.partition("\n")
    if not done.ok or not first.isdigit():
        return
    uid = int(first)
    same = [name for name, number in accounts(passwd) if number == uid]
    if len(same) > 1:
        yield Finding(
            "users", "warning", f"in the dev container {', '.join(same)} have the same uid {uid}",
            "devbox up --user host --recreate", "programs there may take one for the other, and its home",
        )  # fmt: skip
    if uid != user.uid:
        yield Finding(
            "users", "warning", f"in the dev container you are uid {uid}, and here uid {user.uid}",
            'devbox up --user host   # or "remoteUser" and "updateRemoteUserUID" in devcontainer.json',
            "what it writes into the checkout is not yours",
        )  # fmt: skip
    else:
        yield Finding("users", "ok", f"in the dev container you are uid {uid}, as here")
