"""Variables for a container by a pipe: what the shells make of it, and that nobody has to wait for nobody."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.engine.spec import ContainerSpec
from devbox.oneshot.handover import Handover, Offer, lost, pipe_for, program, statements
from devbox.oneshot.image_run import RunPlan
from devbox.paths import runtime_dir, state_dir

SHELLS = [[shell] for shell in ("dash", "bash") if shutil.which(shell)] + [
    [busybox, "sh"] for busybox in [shutil.which("busybox")] if busybox
]
IMAGE = {"Config": {"Entrypoint": ["/entry", "-x"], "Cmd": ["serve", "now"]}}
SPEC = ContainerSpec("image:1", ("serve",), user="7:8", env=(("A", "b"),), mounts=("type=volume,target=/c",))


@pytest.fixture
def handover(tmp_path: Path) -> Handover:
    return Handover(("HF_TOKEN",), tmp_path / "run" / "one" / "environment", ("serve",))


def read(shell: list[str], pipe: Path) -> dict[bytes, bytes]:
    argv = [*shell, "-c", f'. {pipe} && exec "$@"', "devbox", "env", "-0"]
    shown = subprocess.run(argv, capture_output=True, check=True, timeout=20, env={"PATH": os.environ["PATH"]}).stdout
    pairs = (line.partition(b"=") for line in shown.split(b"\0"))
    return {name: value for name, _, value in pairs}


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: Path(shell[0]).name)
def test_odd_values_arrive_byte_for_byte(handover: Handover, shell: list[str]) -> None:
    odd = {
        "QUOTES": "a'b\"c`d`",
        "LINES": "one\n two\r\n\n",
        "DOLLAR": "$HOME $(id) ${X:-y} \\n \\",
        "EMPTY": "",
        "BYTES": os.fsdecode(bytes(range(1, 256))),
        # A program may take no longer string from its environment than 128 KiB.
        "LONG": "x" * 120_000,
    }
    with pipe_for(handover):
        offer = Offer(handover.pipe, statements(odd))
        offer.start()
        found = read(shell, handover.pipe)
        assert offer.over.wait(10)
        assert offer.taken
        assert not handover.pipe.parent.exists()
    assert {name: found[name.encode()] for name in odd} == {name: os.fsencode(value) for name, value in odd.items()}


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
def test_a_value_stays_one_word(value: str) -> None:
    script = statements({"A": value}) + b'printf %s "$A"'
    assert subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True).stdout == value.encode()


def test_a_container_that_never_comes_holds_nobody_up(handover: Handover) -> None:
    with pipe_for(handover):
        assert handover.pipe.parent.stat().st_mode & 0o777 == 0o700
        offer = Offer(handover.pipe, b"export A=b\n")
        offer.start()
        offer.withdraw()
        assert offer.over.is_set()
        assert not offer.taken
    assert list(handover.pipe.parent.parent.iterdir()) == []


def test_a_container_that_dies_while_it_reads_holds_nobody_up(handover: Handover) -> None:
    with pipe_for(handover):
        offer = Offer(handover.pipe, b"#" * 1_000_000)
        offer.start()
        with handover.pipe.open("rb") as reader:
            assert reader.read(1) == b"#"
        assert offer.over.wait(10)
        assert not offer.taken
        offer.withdraw()


def test_the_thread_takes_nobodys_signals(handover: Handover) -> None:
    with pipe_for(handover):
        offer = Offer(handover.pipe, b"")
        offer.start()
        status = Path(f"/proc/self/task/{offer._thread.native_id}/status").read_text()
        offer.withdraw()
    blocked = int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigBlk:")), 16)
    assert all(blocked >> number - 1 & 1 for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD))


def test_the_program_is_the_one_that_docker_would_start() -> None:
    assert program(IMAGE, None, ()) == ("/entry", "-x", "serve", "now")
    assert program(IMAGE, None, ("other",)) == ("/entry", "-x", "other")
    assert program(IMAGE, "sh", ()) == ("sh",)
    assert program(IMAGE, "", ("id", "-u")) == ("id", "-u")
    assert program({"Config": {"Entrypoint": None, "Cmd": None}}, None, ()) == ()
    assert program({}, None, ("serve",)) == ("<the image's entrypoint>", "serve")


def test_only_the_pipe_is_seen_of_a_secret(handover: Handover) -> None:
    plan = RunPlan(SPEC, ("LANG",), {}, handover=handover)
    args = plan.args("--rm")
    assert args[:4] == ["run", "--rm", "--env", "LANG"]
    assert "HF_TOKEN" not in " ".join(args)
    assert f"type=bind,source={handover.pipe},target=/run/devbox/environment,readonly" in args
    end = args.index("--entrypoint")
    assert args[end:] == [
        *("--entrypoint", "/bin/sh", "image:1"),
        *("-c", '. /run/devbox/environment && exec "$@"', "devbox", "serve"),
    ]
    assert handover.probe(SPEC)[:7] == ["run", "--rm", "--network", "none", "--user", "7:8", "--mount"]


def test_where_it_cannot_be_the_name_is_passed_and_said(handover: Handover) -> None:
    plan = RunPlan(SPEC, ("LANG",), {}, handover=handover).openly("the image has no /bin/sh")
    assert plan.exposed == "docker inspect will show HF_TOKEN: the image has no /bin/sh"
    assert plan.args()[:5] == ["run", "--env", "LANG", "--env", "HF_TOKEN"]
    assert plan.args()[-2:] == ["image:1", "serve"]
    assert RunPlan(SPEC, (), {}).openly("why not").exposed is None


def test_names_that_a_shell_would_lose() -> None:
    assert lost(["A", "_b1", "spring.name", "1A", "Ä", ""]) == ("spring.name", "1A", "Ä", "")


def test_the_runtime_folder_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime_dir() == state_dir() / "run"
    monkeypatch.delenv("DEVBOX_STATE_DIR")
    assert runtime_dir() == tmp_path / "devbox"
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    assert runtime_dir() == state_dir() / "run"
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nowhere/at/all")
    assert runtime_dir() == state_dir() / "run"
