"""The agent as one bundle: its files, the hash that names them, and the command lines that run and deliver it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from devbox import agent
from devbox.agent.volume import STATE

FOLDER = f"{STATE}/agent"
# What is left when all is said is not worth the time that an orderly end of Python takes.
ENTRY = "import os\nfrom agent.main import main\n\nos._exit(main())\n"
# Isolated, without site: nothing of the user's is imported, and it starts in half the time. Compiled modules are kept.
PYTHON = ("python3", "-I", "-S")
# python3 says with this that there is no such program; the agent itself never ends so before its first event.
MISSING = 2

# Run by the container's python3 with the bundle on stdin. A delivery that two clients make at once is the same twice.
RECEIVE = """
import json, os, sys
target = sys.argv[1]
beside = "%s.%d" % (target, os.getpid())
for name, text in json.load(sys.stdin).items():
    path = os.path.join(beside, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
try:
    os.rename(beside, target)
except OSError:
    if not os.path.exists(os.path.join(target, "__main__.py")):
        raise
"""
# Run by the python3 of a container that lives for one request: the bundle comes first, and is kept in /tmp.
ALONE = """
import json, os, sys, tempfile
left = int(sys.argv[1])
data = b""
while len(data) < left:
    chunk = os.read(0, left - len(data))
    if not chunk:
        sys.exit(1)
    data += chunk
folder = tempfile.mkdtemp()
for name, text in json.loads(data).items():
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
sys.path.insert(0, folder)
from agent.main import main
sys.exit(main())
"""


@cache
def bundle() -> dict[str, str]:
    """Return the agent's files by the path inside the bundle."""
    folder = Path(agent.__file__).parent
    modules = {
        f"agent/{path.relative_to(folder)}": path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.py"))
    }
    return {"__main__.py": ENTRY, **modules}


# The name where it is known already: to read all the files takes as long as the agent itself.
known: str | None = None


@cache
def name() -> str:
    """Return the hash that names this version of the agent."""
    if known is not None:
        return known
    import hashlib

    return hashlib.sha256(json.dumps(bundle()).encode()).hexdigest()[:16]


def place(volume: str) -> str:
    """Return the agent's folder in a container whose build volume is mounted at `volume`."""
    return f"{volume}/{FOLDER}/{name()}"


def run_argv(volume: str) -> list[str]:
    """Return the command line that runs the agent inside the container."""
    return [*PYTHON, place(volume)]


def receive_argv(volume: str) -> list[str]:
    """Return the command line that takes the bundle, as JSON, on stdin."""
    return [*PYTHON, "-c", RECEIVE, place(volume)]


def alone_argv() -> list[str]:
    """Return the command line that takes the bundle, as a line of JSON, and then a request on stdin."""
    return [*PYTHON, "-c", ALONE, str(len(json.dumps(bundle()).encode()) + 1)]
