"""The main job in a pod of a real cluster, and what can go wrong there."""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from devbox.engine.kubernetes.cluster import Cluster
from devbox.engine.kubernetes.place import CONTAINER, Place
from devbox.errors import EngineError
from tests.cluster.conftest import BASE, kubectl, up
from tests.reach.checkout import CMAKE, Here, edit_somehow, must_be_clean

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.reach]

PYTHON = (sys.executable, "-m", "devbox")
EDIT = f"echo \"int b() {{ return $(date +%N | sed 's/^0*//'); }}\" >src/b.cpp; {sys.executable} -m devbox build"


def pods(namespace: str) -> list[str]:
    return kubectl("-n", namespace, "get", "pods", "--output=name").split()


def claims(namespace: str) -> list[str]:
    return kubectl("-n", namespace, "get", "pvc", "--output=name").split()


def timed(at: Here, what: str) -> None:
    """Print the medians of the seconds that each takes."""

    def median(*argv: str) -> str:
        taken = []
        for _ in range(5):
            begun = time.perf_counter()
            at.run(*argv)
            taken.append(time.perf_counter() - begun)
        return f"{statistics.median(taken):.2f} s"

    told = {
        "exec": median(*PYTHON, "exec", "--", "true"),
        "warm up": median(*PYTHON, "up"),
        "no-op build": median(*PYTHON, "build"),
        "one edit": median("sh", "-c", EDIT),
    }
    print(f"\n{what}: {told}", file=sys.__stderr__)


def test_the_main_job(here: Here, namespace: str) -> None:
    planned = up(here, "--dry-run")
    assert "kubectl --context=" in planned
    assert '"kind": "Pod"' in planned
    assert pods(namespace) == []
    assert "a pod has no words for ipc=host" in up(here)
    assert here.compiled() == 3
    here.write("src/b.cpp", "int b() { return 2; }\n")
    assert here.compiled() == 1
    assert here.compiled() == 0
    here.git("checkout", "--quiet", "src/b.cpp")
    here.compiled()
    here.git("checkout", "--quiet", "other")
    here.git("checkout", "--quiet", "main")
    assert here.compiled() == 0, "a branch there and back"
    kubectl("-n", namespace, "delete", *pods(namespace))
    assert "there is no dev container" in here.devbox("exec", "--", "true", code=1)
    up(here)
    assert here.compiled() == 0, "the pod was deleted"
    assert here.devbox("exec", "--", "git", "log", "--format=%s").strip() == "Small"
    here.devbox("exec", "--", "sh", "-c", "exit 7", code=7)
    assert here.devbox("run", "--", "sh", "-c", "cat src/h.h; exit 3", code=3).startswith("#define V 1")
    assert "Container started" in here.devbox("logs")
    assert "running on kubernetes:" in here.devbox("status")
    shell = ["script", "--quiet", "--return", "--command", f"{sys.executable} -m devbox shell", "/dev/null"]
    done = subprocess.run(
        shell,
        cwd=here.folder,
        env=here.environ,
        input="echo at $PWD; exit 5\n",
        text=True,
        capture_output=True,
        check=False,
    )
    assert ("at /workspaces/" in done.stdout, done.returncode) == (True, 5)
    timed(here, "Kubernetes")
    here.devbox("stop")
    assert pods(namespace) == []
    assert "created" in up(here)
    assert here.compiled() == 0, "the pod was stopped"
    assert claims(namespace)[0].partition("/")[2] in here.devbox("down")
    assert len(claims(namespace)) == 1
    assert f"volume {claims(namespace)[0].partition('/')[2]}" in here.devbox("down", "--volumes", "--yes")
    assert claims(namespace) == []


def test_the_same_on_this_machines_engine(checkout: Callable[..., Here]) -> None:
    here = checkout(DEVBOX_ON="docker")
    up(here)
    assert here.compiled() == 3
    timed(here, "Docker")


def test_several_people_and_workspaces_at_once(checkout: Callable[..., Here], namespace: str) -> None:
    """Two workspaces of one person, and one of the same folder of another person."""
    seats = [
        checkout("one", DEVBOX_KUBERNETES_OWNER="ada"),
        checkout("two", DEVBOX_KUBERNETES_OWNER="ada"),
        checkout("one", DEVBOX_KUBERNETES_OWNER="bob"),
    ]
    up(seats[0], "--dry-run")
    started = [at.started("up", "--yes", "--variant", "cpu", "--base-image", BASE) for at in seats[:2]]
    for one in started:
        said = one.communicate()
        assert one.returncode == 0, said
    up(seats[2])
    assert [at.compiled() for at in seats] == [3, 3, 3]
    assert (len(pods(namespace)), len(claims(namespace))) == (3, 3)
    seats[0].write("src/c.cpp", "int c() { return 5; }\n")
    assert [at.compiled() for at in seats] == [1, 0, 1]
    seats[2].devbox("down", "--volumes", "--yes")
    assert [at.compiled() for at in seats[:2]] == [0, 0]
    assert "no dev container" in seats[2].devbox("status")


def test_a_user_who_is_not_root_owns_the_folders(here: Here) -> None:
    up(here, "--user", "1234:2345:ada")
    told = here.devbox("exec", "--", "sh", "-c", "id -u; stat -c %u:%g . /build /cache/ccache; ulimit -l")
    assert told.split()[:4] == ["1234", *["1234:2345"] * 3]
    assert here.compiled() == 3


@pytest.mark.parametrize(
    ("environ", "said", "hint"),
    [
        ({"DEVBOX_KUBERNETES_GPUS": "1"}, "Insufficient nvidia.com/gpu", "kubernetes_gpus"),
        ({"DEVBOX_KUBERNETES_CPUS": "999"}, "Insufficient cpu", "kubernetes_cpus"),
        ({"DEVBOX_KUBERNETES_NODE_SELECTOR": "none=such"}, "didn't match", "kubernetes_node_selector"),
        ({"DEVBOX_KUBERNETES_STORAGE_CLASS": "none-such"}, "none-such", "kubernetes_storage_class"),
        (
            {"DEVBOX_KUBERNETES_LOAD": "false", "DEVBOX_KUBERNETES_REGISTRY": ""},
            "could not be handed",
            "kubernetes_load",
        ),
    ],
)
def test_a_pod_that_does_not_come_up_is_told(
    here: Here, namespace: str, environ: dict[str, str], said: str, hint: str
) -> None:
    """And it comes up where that is mended."""
    others = {**here.environ, **environ, "DEVBOX_TIMEOUT": "8"}
    told = up(Here(here.folder, others), "--env", f"ODD={said}", code=3)
    assert said in told
    assert hint in told.rpartition("hint:")[2]
    if "storage" in hint:
        assert claims(namespace)[0].partition("/")[2] in here.devbox("down", "--volumes", "--yes")
    up(here, "--env", "ODD=none")
    assert here.compiled() == 3


def test_an_image_that_no_node_can_have_is_told(namespace: str, place: str) -> None:
    engine = Cluster(Place.parse(place), os.environ)
    image = "registry.invalid/none/such:1"
    spec = {"containers": [{"name": CONTAINER, "image": image}], "restartPolicy": "Never"}
    engine.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "no-image"}, "spec": spec})
    with pytest.raises(EngineError, match="no such host") as caught:
        engine.await_ready("no-image", "", lambda _: None)
    assert (image in str(caught.value), "kubernetes_pull_secret" in (caught.value.hint or "")) == (True, True)
    kubectl("-n", namespace, "wait", "--for=delete", "pod/no-image", "--timeout=120s")


def test_a_pod_that_was_ended_by_the_cluster_comes_back(here: Here, namespace: str) -> None:
    up(here)
    assert here.compiled() == 3
    name = pods(namespace)[0]
    kubectl("-n", namespace, "patch", name, "--patch", '{"spec": {"activeDeadlineSeconds": 1}}')
    until = time.monotonic() + 60
    while "DeadlineExceeded" not in (told := here.devbox("status", "--fast")):
        assert time.monotonic() < until, told
    here.devbox("exec", "--", "true", code=1)
    up(here)
    assert here.compiled() == 0


def test_the_rights_of_the_template_are_enough(here: Here, namespace: str, repository: Path, tmp_path: Path) -> None:
    kubectl("-n", namespace, "apply", "--filename", str(repository / "templates/kubernetes/role.yaml"))
    kubectl("-n", namespace, "create", "serviceaccount", "ada")
    kubectl("-n", namespace, "create", "rolebinding", "ada", "--role=devbox", f"--serviceaccount={namespace}:ada")
    token = kubectl("-n", namespace, "create", "token", "ada", check=False).strip()
    if not token:
        secret = json.loads(kubectl("-n", namespace, "get", "serviceaccount", "ada", "--output=json"))["secrets"][0]
        text = kubectl(
            "-n", namespace, "get", "secret", secret["name"], "--output=go-template={{.data.token|base64decode}}"
        )
        token = text.strip()
    config = json.loads(kubectl("config", "view", "--minify", "--flatten", "--output=json", "--raw"))
    config["users"][0]["user"] = {"token": token}
    (tmp_path / "config").write_text(json.dumps(config))
    ada = Here(here.folder, {**here.environ, "KUBECONFIG": str(tmp_path / "config")})
    up(ada)
    assert ada.compiled() == 3
    assert "Container started" in ada.devbox("logs")
    assert "running" in ada.devbox("status")
    ada.devbox("stop")
    ada.devbox("down", "--volumes", "--yes")
    assert claims(namespace) == []


@pytest.mark.parametrize("what", ["pod", "connection"])
def test_a_build_that_is_cut_off_says_so_and_goes_on(here: Here, namespace: str, what: str) -> None:
    """Its pod is deleted, or the kubectl that it hears the agent by is ended."""
    up(here)
    for number in range(12):
        here.write(f"src/slow{number}.cpp", '#include <regex>\nstatic std::regex r("a*");\n')
    more = "file(GLOB slow src/slow*.cpp)\ntarget_sources(small PRIVATE ${slow})\n"
    here.write("CMakeLists.txt", f"{CMAKE}{more}")
    with here.started("build", "-v") as building:
        assert building.stderr is not None
        while "slow" not in (line := building.stderr.readline()):
            assert line or building.poll() is None
        if what == "pod":
            kubectl("-n", namespace, "delete", "--grace-period=0", "--force", *pods(namespace))
        else:
            subprocess.run(["pkill", "--parent", str(building.pid), "--exact", "kubectl"], check=True)
        said = building.stderr.read()
        assert building.wait() not in {0, None}
    if what == "pod":
        assert "the build was cut off: its container was stopped" in said
        up(here)
    else:
        assert "the connection to the pod was cut during the build" in said
    assert here.compiled() > 0
    assert here.compiled() == 0


def test_after_any_history_objects_are_those_of_a_clean_build(here: Here) -> None:
    """200 edits, deletions, branches and times of other clocks, with pods that go in between."""
    chance = random.Random(16)
    up(here)
    for number in range(20):
        for _ in range(10):
            edit_somehow(here, chance)
        if number % 7 == 6:
            here.devbox("stop")
            up(here)
        here.devbox("build")
        must_be_clean(here, BASE, number)
