"""A pod as an engine's container: its id, its words for kubectl, its state, and what the cluster says of it."""

from __future__ import annotations

import contextlib
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from devbox.container.inside.exec import run_watched
from devbox.doctor import cluster as doctor
from devbox.engine.api import ON, is_cluster
from devbox.engine.docker import ContainerSummary
from devbox.engine.exec import Exec, by_client, is_pod
from devbox.engine.kubernetes import cluster, execution, seen
from devbox.engine.kubernetes.place import Place, Pod
from devbox.engine.kubernetes.trouble import explain, progress, unreachable
from devbox.errors import EngineError, UsageError
from devbox.paths import data_dir

if TYPE_CHECKING:
    from pathlib import Path

JSON = dict[str, Any]
EKS = Place("arn:aws:eks:eu-1:42:cluster/a,b%c", "team")
POD = Pod("devbox-x-1", "uid-1", EKS)
HERE = Place("c", "n")


@pytest.mark.parametrize("place", [HERE, EKS])
def test_a_place_and_a_pod_are_read_as_they_are_written(place: Place) -> None:
    pod = Pod("devbox-x-1", "uid-1", place)
    assert Place.parse(str(place)) == place
    assert Pod.parse(str(pod)) == pod
    assert is_pod(str(pod))
    assert "/" not in str(pod)
    assert not is_pod("0123456789ab")
    assert is_cluster({ON: str(place)})
    assert not is_cluster({ON: "docker"})


def _config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, current: str = "a") -> None:
    program = tmp_path / "kubectl"
    contexts = '[{"name":"a","context":{}},{"name":"b/c","context":{"namespace":"own"}}]'
    program.write_text(f"""#!/bin/sh\necho '{{"contexts":{contexts},"current-context":"{current}"}}'\n""")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("docker", "docker"),
        ("kubernetes", "kubernetes:a/default"),
        ("kubernetes:a/n", "kubernetes:a/n"),
        ("kubernetes:b/c", "kubernetes:b/c/own"),
        ("kubernetes:b/c/n", "kubernetes:b/c/n"),
    ],
)
def test_where_is_said_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, meant: str) -> None:
    _config(tmp_path, monkeypatch)
    assert cluster.resolved(said, {"PATH": f"{tmp_path}:/bin"}) == meant


def test_what_is_remembered_in_full_is_not_asked_of_kubectl() -> None:
    assert cluster.resolved("kubernetes:c/n", {"PATH": "/none"}, "kubernetes:c/n") == "kubernetes:c/n"


@pytest.mark.parametrize(("said", "current"), [("kubernetes:nope", "a"), ("kubernetes", ""), ("podman", "a")])
def test_nowhere_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, current: str) -> None:
    _config(tmp_path, monkeypatch, current)
    with pytest.raises(UsageError):
        cluster.resolved(said, {"PATH": f"{tmp_path}:/bin"})


@pytest.mark.parametrize(("looks", "ends"), [(2, True), (10_000, False)])
def test_what_is_deleted_is_gone_without_a_right_to_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: int, ends: bool
) -> None:
    """The other kubectl has an object that is about to go for so many looks."""
    log, program = tmp_path / "log", tmp_path / "kubectl"
    there = '{"kind":"Pod","metadata":{"deletionTimestamp":"2026-01-02T03:04:05Z"}}'
    program.write_text(
        f'#!/bin/sh\necho "$*" >>{log}\n'
        f"case $* in *get*) [ $(grep -c get {log}) -gt {looks} ] || echo '{there}' ;; esac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(cluster, "_LOOK_SECONDS", 0.01)
    engine = cluster.Cluster(HERE, {"PATH": f"{tmp_path}:/usr/bin:/bin", "DEVBOX_TIMEOUT": "20" if ends else "0.1"})
    with contextlib.nullcontext() if ends else pytest.raises(EngineError, match="the Pod p is about to go"):
        engine.run(engine.stopping(str(Pod("p", "u", HERE)), 10))
    first, *others = log.read_text().splitlines()
    assert first.endswith("delete pod p --ignore-not-found --wait=false")
    assert len(others) == looks + 1 or not ends


def test_a_command_in_a_pod_says_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("LONG=a 'b'\nBASH_FUNC_x%%=() { :; }\n")
    asked = Exec(str(POD), ("cc", "-v"), "dev", "/w", env=(("A", "1"), ("TOKEN", None)), env_file=file, tty=True)
    argv = asked.argv_of()
    assert argv[:6] == ["kubectl", f"--context={EKS.context}", "--namespace=team", "exec", "--stdin", "--tty"]
    assert argv[-4:] == ["env", "A=1", "cc", "-v"]
    assert "TOKEN" not in " ".join(argv)
    plain = Exec(str(POD), ("true",), interactive=False).argv_of()
    assert plain[3:8] == ["exec", "devbox-x-1", "--container=dev", "--", "sh"]
    assert plain[-1] == "true"


def test_what_is_in_no_argv_is_handed_over_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other kubectl runs the commands here: what arrives is what docker would have set."""
    (tmp_path / "shm").mkdir()
    log = tmp_path / "log"
    program = tmp_path / "kubectl"
    program.write_text(f'#!/bin/sh\necho "$@" >>{log}\nwhile [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n')
    program.chmod(0o755)
    monkeypatch.setattr(execution, "MEMORY", str(tmp_path / "shm"))
    monkeypatch.setenv("DEVBOX_STATE_DIR", str(tmp_path / "state"))
    file = tmp_path / "env"
    file.write_text("LONG=a 'b' $c\n")
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin", "TOKEN": "s3c'ret\nline", "GONE": "here"}
    script = 'printf "%s|%s|%s|%s|%s" "$LONG" "$TOKEN" "${GONE-unset}" "$A" "$PWD"'
    asked = Exec(
        str(POD),
        ("sh", "-c", script),
        cwd=str(tmp_path),
        env_file=file,
        env=(("TOKEN", None), ("GONE", None), ("A", "1")),
    )
    for turn in range(2):
        argv = by_client(asked, {name: value for name, value in environ.items() if name != "GONE"})
        done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
        assert execution.code_of(done.returncode) == 0
        assert done.stdout == f"a 'b' $c|s3c'ret\nline|unset|1|{tmp_path}"
        calls = log.read_text()
        assert "s3c" not in calls
        # What lasts was handed over the first time; what is secret each time, and is gone.
        assert calls.count("umask 077") == 2 + turn
        assert len(list((tmp_path / "shm").iterdir())) == 1


@pytest.mark.parametrize(
    ("script", "code", "said"),
    [
        ("exit 0", 0, ""),
        ("echo told >&2; exit 7", 7, "told\n"),
        ("printf 'no end' >&2; exit 209", 1, "no end"),
        ("printf 'command terminated' >&2", 0, "command terminated"),
        ("echo told >&2; kill -9 $PPID", None, "told\n"),
    ],
)
def test_the_end_of_a_command_is_heard_or_that_it_was_not(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    script: str,
    code: int | None,
    said: str,
) -> None:
    """The other kubectl ends with 0 where it was cut off, and tells the code else. There is nothing to read."""
    program = tmp_path / "kubectl"
    program.write_text(
        '#!/bin/sh\nwhile [ "$1" != -- ]; do [ "$1" != --stdin ] || exit 9; shift; done\n'
        'shift\n"$@"\ncode=$?\n[ $code != 137 ] || exit 0\n'
        'echo "command terminated with exit code $code" >&2\nexit $code\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    asked = Exec(str(POD), ("sh", "-c", script))
    engine = cluster.Cluster(EKS, environ)
    lines: list[str] = []
    with pytest.raises(EngineError, match="was lost") if code is None else contextlib.nullcontext():
        done = engine.execute(asked)
        assert (done.code, done.stderr) == (code, said)
    with pytest.raises(EngineError, match="was lost") if code is None else contextlib.nullcontext():
        assert engine.follow(asked, lines.append, environ=environ).code == code
        assert "\n".join(lines) == said.rstrip("\n")
    with pytest.raises(EngineError, match="was lost") if code is None else contextlib.nullcontext():
        argv = by_client(asked._replace(interactive=False), environ)
        assert run_watched(argv, environ=environ, end=["true"], pod=str(POD)) == code
    assert capfd.readouterr().err.removesuffix("Killed\n") == said


def _pod(**status: Any) -> JSON:
    spec = {"containers": [{"name": "dev", "image": "i", "env": [{"name": "A", "value": "1"}], "volumeMounts": [
        {"name": "w", "subPath": "devbox-0-source-1", "mountPath": "/w"}, {"name": "shm", "mountPath": "/dev/shm"},
    ]}]}  # fmt: skip
    metadata = {"name": "p", "uid": "u", "creationTimestamp": "2026-01-02T03:04:05Z", "annotations": {
        "devcontainer.local_folder": "/x", "devbox/image": '{"Id":"sha256:1","Env":["A=0","B=2"],"User":"dev"}',
    }}  # fmt: skip
    return {"metadata": metadata, "spec": spec, "status": status}


def _container(name: str = "dev", **state: Any) -> JSON:
    return {"name": name, "image": "i", "state": state}


def _waits(reason: str) -> JSON:
    return {"phase": "Pending", "containerStatuses": [_container(waiting={"reason": reason, "message": "m"})]}


RUNNING: JSON = {"phase": "Running", "containerStatuses": [_container(running={"startedAt": "2026-01-02T03:04:06Z"})]}
EVICTED: JSON = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}


def test_a_pod_is_told_of_as_docker_would() -> None:
    said = seen.inspected(_pod(**RUNNING), HERE)
    assert Pod.parse(said["Id"]) == Pod("p", "u", HERE)
    assert said["State"]["Running"]
    assert said["State"]["StartedAt"] == "2026-01-02T03:04:06Z"
    assert said["Config"]["Env"] == ["A=1", "B=2"]
    assert said["Config"]["Labels"] == {"devcontainer.local_folder": "/x"}
    assert [(one["Name"], one["Destination"]) for one in said["Mounts"]] == [("devbox-0-source-1", "/w")]
    summary = seen.summary(_pod(**EVICTED), HERE)
    assert (summary.state, "low on resource: memory" in summary.status) == ("dead", True)
    assert seen.state_of(_pod(phase="Pending")) == "created"
    gone = _pod(**RUNNING)
    gone["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:07Z"
    assert seen.state_of(gone) == "removing"


CLAIM: JSON = {"metadata": {"name": "c"}, "status": {"phase": "Pending"}}


def _event(name: str, reason: str, message: str) -> JSON:
    return {
        "involvedObject": {"name": name},
        "reason": reason,
        "message": message,
        "metadata": {},
        "lastTimestamp": "1",
    }


@pytest.mark.parametrize(
    ("status", "claim", "events", "how", "why", "hint"),
    [
        (RUNNING, None, [], "ready", "", ""),
        (EVICTED, None, [], "failed", "Evicted The node was low on resource", "devbox up"),
        (
            _waits("ErrImageNeverPull"),
            None, [], "failed", "cannot have the image i (ErrImageNeverPull): m", "devbox up",
        ),
        (
            _waits("ImagePullBackOff"),
            None, [], "failed", "ImagePullBackOff", "kubernetes_pull_secret",
        ),
        (
            _waits("ImagePullBackOff"),
            None, [_event("p", "Failed", "Failed to pull image: no such host")], "failed", "no such host",
            "docker pull i",
        ),
        (
            _waits("ErrImagePull"),
            None, [], "waiting", "ErrImagePull", "docker pull i",
        ),
        (
            {"phase": "Pending", "initContainerStatuses": [_container("own", terminated={"exitCode": 1})]},
            None, [], "failed", "cannot be made the user's", "logs p --container=own",
        ),
        (
            {"phase": "Pending", "conditions": [
                {"type": "PodScheduled", "status": "False", "message": "1 Insufficient nvidia.com/gpu."}]},
            None, [], "waiting", "1 Insufficient nvidia.com/gpu.", "kubernetes_gpus",
        ),
        (
            {"phase": "Pending"}, CLAIM, [_event("c", "ProvisioningFailed", "no class x")], "waiting", "no class x",
            "storage",
        ),
        ({"phase": "Pending"}, CLAIM, [_event("c", "WaitForFirstConsumer", "w")], "waiting", "prepares it", ""),
        ({"phase": "Pending"}, None, [_event("p", "FailedMount", "m")], "waiting", "FailedMount: m", "describe"),
    ],
)  # fmt: skip
def test_a_pod_that_does_not_come_up_is_told_in_the_clusters_words(
    status: JSON, claim: JSON | None, events: list[JSON], how: str, why: str, hint: str
) -> None:
    found = progress(_pod(**status), claim, events, HERE)
    assert found.how == how
    assert why in found.why
    assert hint in (found.hint or "")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (
            "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?",
            "not answer",
        ),
        ('Error from server (NotFound): pods "devbox-x" not found', "is gone"),
        ('error: context "x" does not exist', "does not know the context"),
        ('Error from server (Forbidden): pods is forbidden: User "a" cannot list', "does not let you"),
        (
            'pods "p" is forbidden: exceeded quota: q, requested: cpu=2, used: cpu=1, limited: cpu=2',
            "exceeded quota: q",
        ),
        ("sh: write error: No space left on device", "is full"),
    ],
)
def test_what_kubectl_says_becomes_a_sentence(said: str, meant: str) -> None:
    error = explain(said, HERE)
    assert isinstance(error, EngineError)
    assert meant in error.message
    assert error.hint
    assert unreachable(said) is ("not answer" in meant)


def test_a_command_that_failed_by_itself_is_nobodys_trouble() -> None:
    assert explain("command terminated with exit code 3", HERE) is None


@pytest.mark.parametrize(
    ("told", "level", "said"),
    [
        ("unlimited 1024 8192 shm 2097152 0 2097152 0% /dev/shm", "ok", "a /dev/shm of 2048 MiB"),
        ("64 1024 unlimited shm 2097152 0 2097152 0% /dev/shm", "warning", "may lock 64 KiB"),
        ("unlimited 1024 8192", "info", "p does not tell what its limits are"),
    ],
)
def test_the_doctor_takes_limits_as_a_pod_tells_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str, level: str, said: str
) -> None:
    program = tmp_path / "kubectl"
    program.write_text(f"#!/bin/sh\necho '{told}'\nexit 209\n")
    program.chmod(0o755)
    pod = ContainerSummary(str(POD), ("p",), "", "", "running", "", 0, {})
    monkeypatch.setattr(cluster.Cluster, "containers", lambda *_: (pod,))
    (found,) = doctor._limits(cluster.Cluster(HERE, {"PATH": f"{tmp_path}:/bin"}))
    assert found.severity == level
    assert said in found.message


def test_the_doctor_asks_for_the_rights_that_the_template_grants() -> None:
    import yaml

    role = next(yaml.safe_load_all((data_dir("templates") / "kubernetes/role.yaml").read_text()))
    granted = {(verb, what) for rule in role["rules"] for what in rule["resources"] for verb in rule["verbs"]}
    # Newer clusters ask for another verb to execute something than older ones, of which the older is enough here.
    assert granted - set(doctor.RIGHTS) == {("get", "pods/exec")}
    assert set(doctor.RIGHTS) <= granted
