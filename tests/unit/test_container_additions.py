"""What a person adds to a container: how it is written, what is refused, and that no checkout can give it to itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox import config, paths
from devbox.container.contract.choices import asked_before, carried, changed_since, must_be_asked_for, settled
from devbox.container.contract.generate import GenerateOptions, generate
from devbox.container.contract.inforce import agree_by_writing
from devbox.container.contract.personal import chosen, unset
from devbox.devcontainer import record
from devbox.devcontainer.read import read
from devbox.devcontainer.record import PERSONAL, Form, Record
from devbox.devcontainer.writing.additions import Additions
from devbox.engine.docker import Engine
from devbox.engine.mounts import mount
from devbox.engine.spec import Mount
from devbox.errors import ConfigError, RefusedError, UsageError
from devbox.frameworks.load import load
from devbox.reporter import Silent
from tests.asked import asked

if TYPE_CHECKING:
    from pathlib import Path

CUDA = load("cuda")
# There is no docker on this PATH: whoever asked the engine would fail.
NO_ENGINE = Engine(environ={"PATH": "/nonexistent"})


def settings(tree: Path | None = None, environ: dict[str, str] | None = None, **flags: Any) -> config.Settings:
    return config.load(tree, environ=environ or {}, flags=flags)


def added(form: Form = PERSONAL, **flags: Any) -> Additions:
    return chosen(CUDA, settings(**flags), form)


def own_file(text: str) -> None:
    paths.config_dir().mkdir(parents=True, exist_ok=True)
    (paths.config_dir() / "config.toml").write_text(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("/data:/data", Mount("bind", "/data", "/data")),
        ("/my data:/data/:ro", Mount("bind", "/data", "/my data", readonly=True)),
        ("/a=b,c:/data:rw", Mount("bind", "/data", "/a=b,c")),
        ("models:/models", Mount("volume", "/models", "models")),
        ("type=bind,source=/a,target=/b,readonly", Mount("bind", "/b", "/a", readonly=True)),
        ('type=bind,"source=/a,b",dst=/b', Mount("bind", "/b", "/a,b")),
        ("readonly,type=bind,src=/a,dst=/b", Mount("bind", "/b", "/a", readonly=True)),
        ("type=tmpfs,target=/fast,tmpfs-size=1g", Mount("tmpfs", "/fast", options=(("tmpfs-size", "1g"),))),
    ],
)
def test_a_mount_in_either_form(text: str, wanted: Mount) -> None:
    assert mount(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "/data", "/data:", ":/data", "/data:data", "/a:/b:z", "/a:/", "/a:/b:ro:x", "type=bind,target=/b",
        "type=bind,source=a,target=/b", "type=bind,source=~/a,target=/b", "source=/a,target=/b", "type=npipe,target=/b",
        "type=bind,source=/a", "a/b:/c", 'type=bind,"source=/a',
    ],
)  # fmt: skip
def test_what_is_no_mount(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        mount(text)
    assert "--mount" in str(raised.value.hint)


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30))
def test_any_path_can_be_mounted_by_the_long_form(name: str) -> None:
    assert mount(Mount("bind", "/data", f"/x{name}").csv()) == Mount("bind", "/data", f"/x{name}")


def test_a_list_of_each(tmp_path: Path) -> None:
    one = f"type=bind,source={tmp_path},target=/one,readonly"
    found = added(
        mounts=(one, f"{tmp_path}:/two"),
        env=("A=1, 2", "B=", "HF_TOKEN"),
        ports=("8000", "0.0.0.0:9000:80"),
        run_args=("--network=host", "--gpus", '"device=0,1"'),
    )
    assert found.mounts == (mount(one), Mount("bind", "/two", str(tmp_path)))
    assert (found.env, found.host_env) == ((("A", "1, 2"), ("B", "")), ("HF_TOKEN",))
    assert (found.ports, found.inner_ports) == (("127.0.0.1:8000:8000", "0.0.0.0:9000:80"), frozenset({8000, 80}))
    assert found.run_args == ("--network=host", "--gpus", '"device=0,1"')
    assert found.remote_env() == {"HF_TOKEN": "${localEnv:HF_TOKEN}"}
    assert unset(found, {}) == ("HF_TOKEN is not set here: it is empty in the container",)
    assert unset(found, {"HF_TOKEN": "x"}) == ()


def test_none_clears_what_a_file_says(tmp_path: Path) -> None:
    own_file(f'mounts = ["{tmp_path}:/a"]\nenv = ["A=1", "HF_TOKEN"]\nports = [8000, "9000:80"]\nrun_args = ["--rm"]\n')
    found = chosen(CUDA, settings(), PERSONAL)
    assert (len(found.mounts), len(found.env), len(found.ports), found.run_args) == (1, 1, 2, ("--rm",))
    nothing: dict[str, Any] = dict.fromkeys(("mounts", "env", "ports", "run_args"), ("none",))
    assert added(**nothing) == Additions()


def test_a_folder_of_the_short_form_is_relative_to_where_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    wanted = Mount("bind", "/data", str(tmp_path / "data"))
    assert added(mounts=("./data:/data",)).mounts == added(mounts=("~/data:/data",)).mounts == (wanted,)
    environ = {"DEVBOX_MOUNTS": "~/data:/data\n~/data:/again:ro\n"}
    assert [one.target for one in chosen(CUDA, settings(environ=environ), PERSONAL).mounts] == ["/data", "/again"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"mounts": ("/gone/there:/data",)}, r"there is no /gone/there \(--mount\)"),
        ({"mounts": ("/tmp:/data", "/:/data/")}, "two mounts have the target /data"),
        ({"mounts": ("/tmp:/workspaces/cuda",)}, "is where the checkout lies"),
        ({"mounts": ("/tmp:/build",)}, "is where the build trees lie"),
        ({"env": ("HF_TOKEN=hunter2",)}, "HF_TOKEN looks like a secret"),
        ({"env": ("SITE=https://ada:hunter2@site/",)}, "SITE looks like a secret"),
        ({"env": ("A=${localEnv:HF_TOKEN}",)}, "made from the host's environment"),
        ({"env": ("A B",)}, "'A B' is no name"),
        ({"env": ("=hunter2",)}, "'' is no name"),
        ({"env": ("A", "A=1")}, "with a value and without"),
        ({"env": ("A=1\n2",)}, "more than one line"),
        ({"ports": ("http",)}, "'http' is no port"),
        ({"run_args": ("--env=API_KEY=hunter2",)}, "API_KEY looks like a secret"),
        ({"run_args": ("-e", "API_KEY=hunter2")}, "API_KEY looks like a secret"),
        ({"run_args": ("--network host",)}, "is two words"),
        ({"run_args": ("host",)}, "is no option of docker run"),
    ],
)
def test_what_makes_no_sense_is_refused(flags: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        added(**flags)
    assert raised.value.hint
    assert "hunter2" not in f"{raised.value.message}{raised.value.hint}"


def test_the_hint_makes_the_folder() -> None:
    with pytest.raises(UsageError) as raised:
        added(mounts=("/gone/my data:/data",))
    assert raised.value.hint == "mkdir -p '/gone/my data'"
    assert chosen(CUDA, settings(mounts=("/gone:/data",)), PERSONAL, local=False).mounts[0].source == "/gone"


def test_a_compose_file_has_no_place_for_words_for_docker_run() -> None:
    with pytest.raises(UsageError, match=r"--run-arg: .*docker compose.*--privileged") as raised:
        added(Form(compose=True), run_args=("--privileged",))
    assert "--run-arg none" in str(raised.value.hint)
    assert added(Form(compose=True), run_args=("none",), ports=("80",)).ports == ("127.0.0.1:80:80",)


@pytest.mark.parametrize("name", ["devbox.toml", "devbox.local.toml"])
@pytest.mark.parametrize(
    "text",
    [
        'mounts = ["/:/host"]',
        'mounts = "/:/host"',
        'run_args = ["--privileged"]',
        'env = ["HF_TOKEN"]',
        'env = "HF_TOKEN"',
    ],
)
def test_a_checkout_gives_itself_nothing_of_the_host(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match="a container can write this file") as raised:
        settings(tmp_path)
    assert str(paths.config_dir() / "config.toml") in str(raised.value.hint)
    own_file(text)
    (tmp_path / name).write_text('env = ["A=1", "USER"]\nports = [8000]\n')
    found = chosen(CUDA, settings(tmp_path), PERSONAL, local=False)
    assert (found.env, found.host_env, found.ports) == ((("A", "1"),), ("USER",), ("127.0.0.1:8000:8000",))


def test_what_was_asked_for_stays_and_a_change_in_a_file_is_said(tmp_path: Path) -> None:
    first, choices = carried(settings(mounts=("/a:/a", "/b:/b,c"), ports=("80", "90")), {}, None)
    assert choices == {"mounts": "/a:/a\n/b:/b,c", "ports": "80,90"}
    again, kept = carried(settings(ports=("none",)), choices, None)
    assert (again.mounts, again.ports) == (first.mounts, ())
    assert kept == {**choices, "ports": "none"}
    assert (again.origin("mounts"), again.origin("ports")) == ("asked for before", "--port")
    own_file('run_args = ["--privileged", "--network=host"]\n')
    (said,) = changed_since(settings(tmp_path), Record(settings=settled(settings(), {"run_args": "none"})))
    assert said.startswith("run_args is now --privileged, --network=host (")


def shared(tree: Path, **values: Any) -> dict[str, Any]:
    (tree / "CMakeLists.txt").touch()
    result, _ = generate(GenerateOptions(path=tree, shared=True, **asked(gpus="none", **values)), NO_ENGINE, Silent())
    found: dict[str, Any] = json.loads(result.contract.read_text())
    return found


def test_a_shared_contract_takes_variables_and_ports(tmp_path: Path) -> None:
    contract = shared(tmp_path, env=("A=1", "HF_TOKEN"), ports=("8000",))
    assert contract["containerEnv"] == {**contract["containerEnv"], "A": "1"}
    assert contract["remoteEnv"] == {"HF_TOKEN": "${localEnv:HF_TOKEN}"}
    assert contract["appPort"] == ["127.0.0.1:8000:8000"]
    assert shared(tmp_path) == contract
    for flag in ("mounts", "run_args"):
        with pytest.raises(UsageError, match="one person's"):
            shared(tmp_path, **{flag: ("none",)})


def test_what_a_contract_only_claims_is_not_carried_on(tmp_path: Path) -> None:
    """The contract lies in the checkout, where a container can write."""
    asked = {"mounts": "/:/host", "gpus": "none", "env": "A=1", "run_args": "none"}
    own = {"framework": "cuda", "variant": "cpu", "choices": asked}
    path = tmp_path / ".devcontainer/devcontainer.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"image": "x", "customizations": {"devbox": own}}))
    known = asked_before(record.at(path), "cuda")
    with pytest.raises(RefusedError, match="claims that you asked for --mount /:/host") as raised:
        must_be_asked_for(tmp_path, settings(), known, "cuda")
    assert "--mount" in str(raised.value.hint)
    must_be_asked_for(tmp_path, settings(mounts=("none",)), known, "cuda")
    with pytest.raises(RefusedError, match="--env"):
        must_be_asked_for(tmp_path, settings(), {"env": "A=1\nHF_TOKEN"}, "cuda")
    # As devbox has it from having written it:
    agree_by_writing(read(path, tmp_path, {}), {})
    must_be_asked_for(tmp_path, settings(), known, "cuda")
    with pytest.raises(RefusedError, match="--run-arg --privileged"):
        must_be_asked_for(tmp_path, settings(), {**known, "run_args": "--privileged"}, "cuda")
    with pytest.raises(RefusedError, match="--mount"):
        must_be_asked_for(tmp_path, settings(), known, "vllm")
