"""Generated contracts, byte for byte, and by the rules that editors have. `UPDATE_GOLDEN=1 pytest …` rewrites them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from devbox import config
from devbox.config.network import Network
from devbox.container.contract.author import draft_shared
from devbox.devcontainer.find import Placement
from devbox.devcontainer.gpu import ALL, Grant
from devbox.devcontainer.identity import volume_name
from devbox.devcontainer.record import Form, is_generated
from devbox.devcontainer.users import ContainerUser
from devbox.devcontainer.writing.additions import Additions
from devbox.devcontainer.writing.draft import generate
from devbox.devcontainer.writing.request import GenerateRequest, Recipe
from devbox.engine.spec import Mount
from devbox.facts.model import Checkout
from devbox.frameworks.arch import Arch
from devbox.frameworks.load import available, load, variants
from devbox.frameworks.services import load as services

HERE = Path(__file__).with_name("devcontainer")
SCHEMA = Path(__file__).parents[1] / "data/devcontainers-spec/devContainer.base.schema.json"
ADA = ContainerUser("ada", 1000, 1000, "/home/ada")
# A recipe that does not change with the stage files.
RECIPE = Recipe(
    "FROM scratch AS user\n", "user", (("BASE_IMAGE", "devbox-base:cuda13.0-debian12"), ("DEV_UID", "1000")), (), ()
)
SITE = replace(
    RECIPE,
    contexts=(("checkout", "requirements"),),
    secrets=(("ca_bundle", "/etc/ssl/site.pem"),),
    forwarded=("no_proxy",),
)
# What a person adds: a folder, the host's cache in the place of devbox's, volumes, a tmpfs; variables; a port.
OWN = Additions(
    mounts=(
        Mount("bind", "/data", "/srv/a, b/$data", readonly=True),
        Mount("bind", "/cache/ccache", "/home/ada/.ccache"),
        Mount("volume", "/models", "build", options=(("volume-nocopy", None),)),
        Mount("volume", "/scratch", "nfs", options=(("volume-opt", "type=nfs"), ("volume-opt", "device=:/scratch"))),
        Mount("tmpfs", "/tmp/fast", options=(("tmpfs-size", "1073741824"),)),
    ),
    env=(("DYN_LOG", "debug, trace"), ("CCACHE_MAXSIZE", "5G")),
    host_env=("HF_TOKEN",),
    ports=("127.0.0.1:8000:8000", "0.0.0.0:9000:80"),
    run_args=("--network=host", "--privileged"),
)


def request(framework: str, variant: str, workspace: str, **values: Any) -> GenerateRequest:
    checkout = values.pop("checkout", Checkout(Path(workspace), git_top=Path(workspace)))
    return GenerateRequest(
        **{
            "checkout": checkout,
            "framework": load(framework, variant),
            "recipe": RECIPE,
            "arch": Arch(("9.0",), "the default"),
            "user": ADA,
            "owner": 1000,
            "network": Network(),
            "placement": Placement(".devcontainer/devcontainer.json", ".devcontainer/Dockerfile"),
            **values,
        }
    )


CASES = {
    "cuda-cuda13": request(
        "cuda",
        "cuda13",
        "/home/ada/llama.cpp",
        limits=("--ulimit=memlock=8388608", "--ulimit=stack=67108864", "--ulimit=nofile=20000:20000"),
    ),
    "vllm-cuda13": request(
        "vllm",
        "cuda13",
        "/home/ada/a, b/vllm",
        checkout=Checkout(
            Path("/home/ada/a, b/vllm"), Path("/home/ada/a, b/vllm"), git_common_dir=Path("/home/ada/src/vllm/.git")
        ),
        recipe=replace(SITE, forwarded=()),
        gpu=Grant("cdi", ("nvidia.com/gpu=all",)),
        ssh_agent=Path("/home/ada/.local/state/devbox/ssh/mounted"),
        network=Network(Path("/etc/ssl/site.pem"), "http://proxy:3128", "http://proxy:3128", "localhost"),
    ),
    "cuda-cpu-flat": request(
        "cuda",
        "cpu",
        '/home/ada/a "tree"',
        arch=Arch((), "no GPU code"),
        placement=Placement(".devcontainer.json", ".devcontainer/Dockerfile"),
        network=Network(https_proxy="http://ada:hunter2@proxy:3128"),
        environ={"https_proxy": "http://ada:hunter2@proxy:3128"},
        container_name="ada-llama",
    ),
    "vllm-cuda13-compose": request(
        "vllm",
        "cuda13",
        "/home/ada/$vllm",
        checkout=Checkout(Path("/home/ada/$vllm"), git_common_dir=Path("/home/ada/src/vllm/.git")),
        form=Form(compose=True),
        recipe=SITE,
        gpu=Grant("nvidia", ("0", "GPU-1")),
        network=Network(Path("/etc/ssl/site.pem"), no_proxy="localhost"),
        services=services(("redis", "etcd", "nats")),
        cache_group=3000,
    ),
    "vllm-rocm": request(
        "vllm",
        "rocm",
        "/home/ada/vllm",
        arch=Arch((), "no GPU code"),
        devices=("/dev/kfd", "/dev/dri"),
        cache_group=3000,
    ),
    "cuda-cpu-own": request(
        "cuda",
        "cpu",
        "/home/ada/llama.cpp",
        arch=Arch((), "no GPU code"),
        additions=OWN,
        choices=(("ports", "8000,0.0.0.0:9000:80"), ("run_args", "--network=host\n--privileged")),
    ),
    "cuda-cuda13-own-compose": request(
        "cuda",
        "cuda13",
        "/home/ada/llama.cpp",
        form=Form(compose=True),
        recipe=SITE,
        gpu=ALL,
        additions=replace(OWN, run_args=()),
        services=services(("redis",)),
    ),
    "cuda-cuda13-shared": request(
        "cuda", "cuda13", "/", owner=None, form=Form(shared=True), arch=None, gpu=ALL, choices=(("gpus", "all"),)
    ),
    "cuda-cuda13-shared-compose": request(
        "cuda",
        "cuda13",
        "/",
        owner=None,
        form=Form(shared=True, compose=True, flat=True),
        recipe=SITE,
        arch=None,
        gpu=ALL,
        placement=Placement(".devcontainer.json", ".devcontainer/Dockerfile"),
    ),
}


def shared() -> dict[str, dict[str, Any]]:
    """Return the contract of every framework and variant in the shared form, with its files."""
    found = {}
    for framework in (one for name in available() for one in variants(name)):
        for gpus in ("all", "none"):
            settings = config.load(None, environ={}, flags={"variant": framework.variant, "gpus": gpus})
            for form in (Form(shared=True), Form(shared=True, compose=True)):
                made = draft_shared(None, settings, framework=framework.name, form=form).generated
                title = f"{framework.name}-{framework.variant}-{gpus}{'-compose' if form.compose else ''}"
                found[title] = {"config": made.devcontainer, **dict(made.files)}
    return found


def everything() -> dict[str, dict[str, Any]]:
    """Return every contract that is generated here: content, and files by path."""
    cases = {name: generate(case) for name, case in CASES.items()}
    return shared() | {name: {"config": made.devcontainer, **dict(made.files)} for name, made in cases.items()}


def parsed(text: str) -> Any:
    """Return YAML as data."""
    import yaml

    return yaml.safe_load(text)


EVERYTHING = everything()
WITHOUT_NVIDIA = tuple(f"{one.name}-{one.variant}-" for name in available() for one in variants(name) if not one.gpu)
SHARED = tuple(shared())
ALONE = {name: files["config"] for name, files in EVERYTHING.items() if "build" in files["config"]}
COMPOSED = {
    name: (files["config"], parsed(files[".devcontainer/compose.yaml"]))
    for name, files in EVERYTHING.items()
    if "dockerComposeFile" in files["config"]
}


def for_nvidia(name: str) -> bool:
    """Say whether the framework's variant of a contract, which its name begins with, is for NVIDIA's GPUs."""
    return not f"{name}-".startswith(WITHOUT_NVIDIA)


@pytest.mark.parametrize("name", CASES)
def test_a_generated_contract(name: str) -> None:
    (path, text), (_, dockerfile), *compose = generate(CASES[name]).files
    assert path == CASES[name].placement.config
    assert dockerfile == "FROM scratch AS user\n"
    for file, content in [(f"{name}.json", text), *((f"{name}.yaml", content) for _, content in compose)]:
        golden = HERE / file
        if os.environ.get("UPDATE_GOLDEN"):
            golden.write_text(content)
        assert content == golden.read_text()
        assert "hunter2" not in content
    assert is_generated(text)


def test_generated_contracts_follow_the_specifications_schema(tmp_path: Path) -> None:
    files = []
    for name, case in EVERYTHING.items():
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(case["config"]))
        files.append(str(file))
    argv = [sys.executable, "-m", "check_jsonschema", "--schemafile", str(SCHEMA), *files]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_keys_are_in_the_order_of_the_specification() -> None:
    from devbox.devcontainer.properties import PROPERTIES

    for case in EVERYTHING.values():
        keys = list(case["config"])
        assert keys == [key for key in PROPERTIES if key in keys]


@pytest.mark.parametrize("name", EVERYTHING)
def test_what_editors_would_warn_about_is_absent(name: str) -> None:
    contract = EVERYTHING[name]["config"]
    # Older names, and properties that one kind of contract does not have.
    assert not contract.keys() & {"extensions", "settings", "devPort", "dockerFile", "context", "hostRequirements"}
    if "service" in contract:
        assert not contract.keys() & {
            "runArgs",
            "workspaceMount",
            "appPort",
            "mounts",
            "capAdd",
            "init",
            "containerEnv",
        }
    extensions = contract["customizations"]["vscode"]["extensions"]
    assert len(set(extensions)) == len(extensions)
    assert all(re.fullmatch(r"[a-z0-9-]+\.[a-z0-9-]+", extension) for extension in extensions)
    assert ("nvidia.nsight-vscode-edition" in extensions) == for_nvidia(name)


@pytest.mark.parametrize("name", ALONE)
def test_clion_needs_nothing_that_it_does_not_read(name: str) -> None:
    """It ignores hostRequirements, userEnvProbe and updateRemoteUserUID, and builds without looking at the label."""
    contract = ALONE[name]
    args = contract["runArgs"]
    assert all(word.startswith("--") for word in args)
    assert "--ipc=host" in args
    assert any(word.startswith("--ulimit=stack=") for word in args)
    if name.endswith(("-shared", "-all")) and for_nvidia(name):
        assert "--gpus=all" in args
    # A name with a passwd entry, and the ids in the image itself.
    assert re.fullmatch(r"[a-z_][a-z0-9_-]*", contract["remoteUser"])
    assert contract["build"]["args"]["DEV_UID"] == "1000"
    assert contract["containerEnv"]["CCACHE_DIR"] == "/cache/ccache"
    assert contract["customizations"]["jetbrains"] == {"backend": "CLion"}
    assert contract["userEnvProbe"] == "none"
    assert contract["build"]["context"] in {".", ".devcontainer"}
    assert "SYS_PTRACE" in contract["capAdd"]
    assert not contract.get("privileged")


@pytest.mark.parametrize("name", COMPOSED)
def test_a_compose_file_says_all_that_run_args_would(name: str) -> None:
    contract, composed = COMPOSED[name]
    service = composed["services"][contract["service"]]
    assert service["ipc"] == "host"
    assert service["init"] is True
    assert service["cap_add"] == ["SYS_PTRACE"]
    assert service["ulimits"]["stack"] == 67108864
    assert service["working_dir"] == contract["workspaceFolder"]
    assert service["environment"]["CCACHE_DIR"] == "/cache/ccache"
    assert not service.get("privileged")
    mounted = {mount["target"] for mount in service["volumes"]}
    assert {"/build", "/cache/ccache", contract["workspaceFolder"]} <= mounted
    personal = not name.startswith(("cuda-cuda13-shared", *SHARED))
    named = [volume for volume in ("build", "ccache") if "name" in composed["volumes"].get(volume, {})]
    assert bool(named) == ("name" in composed) == personal
    assert set(service.get("depends_on", {})) <= composed["services"].keys()


@pytest.mark.parametrize("name", SHARED)
def test_a_shared_contract_fits_every_person_and_machine(name: str) -> None:
    contract = EVERYTHING[name]["config"]
    assert contract["updateRemoteUserUID"] is True
    assert contract["remoteUser"] == "dev"
    assert all("${devcontainerId}" in mount for mount in contract.get("mounts", ()))
    limits = [word for word in contract.get("runArgs", ()) if word.startswith("--ulimit")]
    # Whoever has no GPU may have an engine that raises no limit either.
    assert len(limits) in ({3, 0} if "all" in name and for_nvidia(name) else {1, 0})
    paths = [word for word in json.dumps(contract).split('"') if word.startswith("/")]
    assert all(path.startswith(("/workspaces/", "/cache/", "/home/dev", "/build", "/opt/venv")) for path in paths), (
        paths
    )


def test_a_user_who_is_somebody_else_has_caches_of_its_own() -> None:
    mounts = generate(request("cuda", "cuda13", "/home/ada/w", guest=1003)).devcontainer["mounts"]
    sources = [Mount.parse(mount).source for mount in mounts]
    assert sources == [volume_name(1000, "build", "/home/ada/w"), "devbox-1000-ccache-as-1003"]


def test_settings_of_files_are_recorded_beside_choices() -> None:
    own = generate(request("cuda", "cuda13", "/w", settings=(("ccache_size", "50G"),))).devcontainer
    assert own["customizations"]["devbox"]["settings"] == {"ccache_size": "50G"}


def test_features_and_hooks_stand_in_a_contract_of_devboxes_own() -> None:
    own = Additions(features=(("ghcr.io/a/b:1", "{}"),), hooks=(("postStartCommand", '["mine"]'),))
    made = generate(request("cuda", "cpu", "/work", additions=own)).devcontainer
    assert made["features"] == {"ghcr.io/a/b:1": {}}
    assert made["postStartCommand"] == ["mine"]


def test_a_hook_of_ones_own_runs_beside_the_frameworks() -> None:
    framework = replace(load("cuda", "cpu"), post_create="theirs")
    for written, wanted in (
        ('"mine"', {"cuda": "theirs", "own": "mine"}),
        ('{"a": "x"}', {"cuda": "theirs", "a": "x"}),
    ):
        own = Additions(hooks=(("postCreateCommand", written),))
        made = generate(replace(request("cuda", "cpu", "/work", additions=own), framework=framework)).devcontainer
        assert made["postCreateCommand"] == wanted
