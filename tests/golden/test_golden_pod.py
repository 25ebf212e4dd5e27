"""What a pod is made of, byte for byte, without a cluster. `UPDATE_GOLDEN=1 pytest …` rewrites it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from devbox.engine.kubernetes.spec import Amount, Toleration, Wishes, written
from devbox.engine.kubernetes.translate import Called, Who, named, pod_of
from devbox.engine.spec import ContainerSpec
from devbox.errors import RefusedError

HERE = Path(__file__).with_name("pod")
CALLED = Called(
    "devbox-vllm-0123456789", "devbox-vllm-abcdef0123", "9b70775dfdb7", "r.example.org/me/v@sha256:0", "IfNotPresent"
)
ADA = Who("ada", (1000, 1000))
WISHES = Wishes("ada-1a2b3c4d", Amount("4"), Amount("16384Mi"), shm="2Gi", claim_size="50Gi")
SPEC = ContainerSpec(
    image="devbox-vllm:0123456789ab",
    entrypoint="/bin/sh",
    command=("-c", "while sleep 86400 & wait; do :; done", "-"),
    mounts=(
        "type=volume,source=devbox-1000-source-9b70775dfdb7,target=/workspaces/vllm,volume-nocopy=true",
        "type=volume,source=devbox-1000-build-9b70775dfdb7,target=/build",
        "type=volume,source=devbox-1000-ccache,target=/cache/ccache",
        "type=volume,source=models,target=/models,readonly",
        "type=tmpfs,target=/scratch,tmpfs-size=1g",
        "type=volume,target=/nameless",
    ),
    labels=(("devcontainer.local_folder", "/home/ada/vllm"), ("devbox.contract", "{}")),
    env=(("CCACHE_DIR", "/cache/ccache"), ("LITERAL", "$(HOME)")),
    init=True,
    cap_add=("SYS_PTRACE",),
    security_opt=("seccomp=unconfined", "apparmor=unconfined"),
    publish=("127.0.0.1:8000:8000",),
    run_args=(
        *("--ipc=host", "--ulimit=memlock=-1", "--gpus=all", "--shm-size=8g", "--hostname=Box", "--cpus=6"),
        *("--memory=32g", "--group-add=44", "--add-host=cache:10.0.0.7", "--label=a.b=c", "--env=A=1", "--name=mine"),
    ),
)
RICH = Wishes(
    "ada-1a2b3c4d",
    Amount("2", "4"),
    Amount("8Gi", "16Gi"),
    shm="2Gi",
    claim_size="500Gi",
    gpus=2,
    storage_class="fast",
    node_selector=(("gpu", "h100"),),
    tolerations=(Toleration.parse("nvidia.com/gpu:NoSchedule"), Toleration.parse("team=a")),
    pull_secret="mine",
)


@pytest.mark.parametrize(
    ("name", "spec", "who", "wishes"),
    [
        ("full", SPEC, ADA, RICH),
        ("root", ContainerSpec("i", mounts=SPEC.mounts[:1], entrypoint="sh"), Who("root", (0, 0)), WISHES),
        ("own-user", ContainerSpec("i", mounts=SPEC.mounts[:1], entrypoint="sh"), Who("dev", None), WISHES),
    ],
)
def test_a_pod_is_as_it_was(name: str, spec: ContainerSpec, who: Who, wishes: Wishes) -> None:
    pod = pod_of(spec, CALLED, who, wishes, "/home/ada/vllm")
    text = written({"claim": pod.claim_manifest(), "pod": pod.manifest(), "notes": list(pod.notes)}) + "\n"
    file = HERE / f"{name}.json"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.parametrize(
    ("words", "gpus", "said"),
    [
        ((), 0, ""),
        (("--gpus=all",), 1, "kubernetes_gpus says how many"),
        (("--device=nvidia.com/gpu=all",), 1, "kubernetes_gpus says how many"),
        (('--gpus="device=0,3"',), 2, "asks for 2, and not for 0, 3"),
        (("--device=nvidia.com/gpu=0", "--device=nvidia.com/gpu=1"), 2, "asks for 2, and not for 0, 1"),
        (("--gpus=2",), 2, ""),
    ],
)
def test_gpus_are_a_number(words: tuple[str, ...], gpus: int, said: str) -> None:
    pod = pod_of(ContainerSpec("i", run_args=words), CALLED, ADA, WISHES, "/")
    assert (pod.gpus, said in " ".join(pod.notes)) == (gpus, True)
    resources: dict[str, Any] = pod.manifest()["spec"]["containers"][0]["resources"]
    assert resources["limits"].get("nvidia.com/gpu") == (str(gpus) if gpus else None)


def test_a_dollar_is_one_for_the_cluster_too() -> None:
    """By third_party/forked/golang/expansion of kubernetes: `$$` is `$`, and `$(NAME)` a variable's value."""
    said = ("$$(A)", "$(A)", "a$$b", "$", "$A", "$$$")
    pod = pod_of(ContainerSpec("i", command=said, env=(("B", said[0]),)), CALLED, ADA, WISHES, "/")
    container = pod.manifest()["spec"]["containers"][0]
    for told, meant in zip([*container["command"], container["env"][-1]["value"]], [*said, said[0]], strict=True):
        assert re.sub(r"\$(\$|\(\w+\))", lambda found: "$" if found[1] == "$" else "?", told) == meant


@pytest.mark.parametrize(
    "spec",
    [
        ContainerSpec("i", privileged=True),
        ContainerSpec("i", mounts=("type=bind,source=/data,target=/data",)),
        ContainerSpec("i", security_opt=("seccomp=/home/ada/p.json",)),
        *(
            ContainerSpec("i", run_args=(word,))
            for word in (
                *("--privileged", "--network=host", "--pid=host", "--device=/dev/fuse", "--volume=/data:/data"),
                *(
                    "--env=HOME",
                    "--group-add=video",
                    "--group-add=\u00b2",
                    "--gpus=\u00b2",
                    "--gpus=99999999999",
                    "--read-only",
                    "--entrypoint=x",
                    "--dns=1.1.1.1",
                    "--label=a!b=c",
                    "--label=k8s.io/x=y",
                ),
                *("--volumes-from=x", "--device-cgroup-rule=a", "--env-file=/x"),
            )
        ),
    ],
)
def test_what_a_pod_cannot_be_is_refused_by_name(spec: ContainerSpec) -> None:
    word = (*spec.run_args, *spec.security_opt, *spec.mounts, "--privileged")[0]
    with pytest.raises(RefusedError) as raised:
        pod_of(spec, CALLED, ADA, WISHES, "/")
    assert any(part in raised.value.message for part in (word, "/data", "--env=HOME"))


def test_names_are_of_one_person_and_one_folder_alone() -> None:
    names = {named("Qwen_3.vLLM", *whose) for whose in (("a", "/x"), ("a", "/y"), ("b", "/x"), ("ax", "/"))}
    assert len(names) == 4
    assert all(name.startswith("devbox-qwen-3-vllm-") and len(name) <= 63 for name in names)
    assert len(named("x" * 300, "a")) <= 63
    assert json.loads(json.dumps(named("...", "a"))).startswith("devbox-workspace-")
