"""Every command, with cheap inputs: streams closed, full or unread, an ASCII encoding, a folder whose name is no text.

None ends in a traceback; each gives its result or a sentence, and where the result is lost the exit code says it.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devbox.cli.app import COMMANDS, _made
from devbox.errors import EXIT_FAILURE
from tests.every import ESCAPED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Each says enough to come as far as it can: without an engine, and without a container.
LINES = """
up --dry-run; up --trust; generate --dry-run; generate --force; prebuild --dry-run; shell; exec true; run --dry-run true
run true; open code --print; open vscode --print; build; test; builds list; builds list --all; builds show a
builds rm a --yes; builds prune --yes; builds report; cache stats; cache clear --yes; cache doctor; cache explain x.cpp
compile-commands; status; status --all; ps; logs; stop; down; down --volumes --yes; hooks list
hooks run postCreateCommand; du; prune --yes; prune --all --dry-run; prepare; prepare --dry-run; doctor; doctor --report
doctor network; doctor --fix checkout; task list; task show build-engine; task run build-engine --dry-run; task logs x
task stop x; image base; image build --dry-run; image build; image run x --dry-run; image list
image inspect x; image rm x --dry-run; image prune; image tags; image resolve; image pull x --dry-run
image push x --dry-run; image manifest create x y --dry-run; image manifest push x y --dry-run; image manifest show x
image lock --check; image graph; image lint; trust list; trust show; trust revoke; frameworks list; frameworks show cuda
frameworks validate x.toml; config show; config show --show-origin; config contract; config contract --merged
devcontainer read-configuration; devcontainer up --workspace-folder .; devcontainer exec --workspace-folder . true
devcontainer build --workspace-folder .; completion bash; sync; top; --version; --help
"""
ALL = [tuple(shlex.split(one)) for one in LINES.replace("\n", ";").split(";") if one.strip()]
DAMAGES = ("in closed out full err unread", "out unread err full", "in closed out closed err closed")
WORDS = ("Traceback", "Exception ignored", "UnicodeEncodeError", "codec can't")


def leaves(command: object, name: str) -> Iterator[str]:
    inner = getattr(command, "commands", {})
    if not inner:
        yield name
    for word, one in inner.items():
        yield from leaves(one, f"{name} {word}")


def test_no_command_is_left_out() -> None:
    lines = {" ".join(one) + " " for one in ALL}
    every = [leaf for name in COMMANDS for leaf in leaves(_made(name), name)]
    assert [leaf for leaf in every if not any(line.startswith(f"{leaf} ") for line in lines)] == []


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., tuple[int, str, str]]]:
    """Return what runs a command line in a checkout whose name is no UTF-8, by way of one process for each encoding."""
    top = tmp_path_factory.mktemp("every")
    folder = top / os.fsdecode(b"tree \xff\xc3 \xe6\x95\xb0")
    folder.mkdir()
    (folder / ".devcontainer.json").write_text('{"image": "nowhere.invalid/x:1"}')
    (folder / "CMakeLists.txt").write_text("project(x LANGUAGES CXX CUDA)\n")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    repository = Path(__file__).resolve().parents[2]
    environ = {
        **os.environ, "PYTHONPATH": str(repository), "DOCKER_HOST": f"unix://{top}/none.sock", "HOME": str(top),
        "LC_ALL": "C.UTF-8", "HTTP_PROXY": "http://127.0.0.1:1", "HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": "",
    }  # fmt: skip
    with ExitStack() as stack:
        servers = {
            encoding: stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.every"], cwd=folder, env={**environ, "PYTHONIOENCODING": encoding},
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                )
            )
            for encoding in ("utf-8", "ascii")
        }  # fmt: skip

        def run(words: tuple[str, ...], damage: str = "", encoding: str = "utf-8") -> tuple[int, str, str]:
            requests, answers = servers[encoding].stdin, servers[encoding].stdout
            assert requests is not None
            assert answers is not None
            requests.write(json.dumps([words, damage]).encode() + b"\n")
            requests.flush()
            code, out, err = json.loads(answers.readline())
            assert 0 <= code < ESCAPED, (damage, encoding, err)
            assert not any(word in out + err for word in WORDS), (damage, encoding, err)
            return code, out, err

        yield run


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_a_command_gives_its_result_or_a_sentence(
    words: tuple[str, ...], ask: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = ask(words)
    assert code == 0 or out or err
    assert ask(words, encoding="ascii")[0] == code
    for damage in DAMAGES:
        damaged = ask(words, damage)[0]
        assert damaged == code or (out and damaged == EXIT_FAILURE and "closed err" not in damage), damage
