"""`devbox image build`, `run`, `list`, `rm` on a real engine, with a small framework of the tests' own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devbox.cli.app import run
from devbox.image import life
from devbox.paths import config_dir
from tests.engine.lab import free_port
from tests.git import git

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine

TOML = """\
title = "Tiny"
source = "https://example.org/tiny"
default_variant = "cpu"
workspace_path = "/workspaces/tiny"
gpu = false
base_image = "{base}"
runtime_image = "{base}"
package_base = "cpu"
stages = ["devel-{name}"]
image_stages = ["wheel-{name}"]

[detect]
all = ["tiny.txt"]

[build]
memory_per_job = 100

[run]
ports = [{port}]
caches = ["huggingface"]
forward = ["TINY_TOKEN"]

[variants.cpu]
"""
DEVEL = """\
FROM ${BASE_IMAGE} AS devel
RUN echo devel >/devel
"""
WHEEL = """\
FROM scratch AS source

FROM devel AS wheel
ARG SOURCE_COMMIT=""
ARG GREETING=hello
ARG FAIL=""
ARG CACHE=sccache
RUN --mount=type=bind,from=source,target=/run/source \\
    --mount=type=secret,id=pass,required=false \\
    --mount=type=secret,id=sccache,required=false <<'EOT'
set -eu
mkdir /dist
(cd /run/source && find . -type f | sort) >/dist/files
echo "$GREETING $SOURCE_COMMIT" >/dist/greeting
if [ -f /run/secrets/pass ]; then echo "the secret is $(cat /run/secrets/pass)"; fi
if [ -f /run/secrets/sccache ]; then
    cut -d= -f1 /run/secrets/sccache >/dist/variables
    echo 'devbox-compiler-cache {"hits": 3, "misses": 1, "cache": "'"$CACHE"'"}'
fi
[ -z "$FAIL" ] || { echo "it fails as it was told to" >&2; exit 9; }
EOT

FROM scratch AS dist
COPY --from=wheel /dist /

FROM ${RUNTIME_IMAGE} AS release
COPY --from=wheel /dist/greeting /greeting
USER 2000:0
CMD ["cat", "/greeting"]
"""


class Tiny:
    """The framework, a checkout of it, and what it leaves on the engine."""

    def __init__(self, engine: Engine, name: str, checkout: Path, port: int) -> None:
        self.engine = engine
        self.name = name
        self.checkout = checkout
        self.port = port

    def image(self, stage: str) -> str:
        return f"devbox-{self.name}:cpu-{stage}"

    def greeting(self, stage: str = "release") -> str:
        return self.engine.run(["run", "--rm", self.image(stage), "cat", "/greeting"]).stdout.strip()


@pytest.fixture
def tiny(
    engine: Engine, base_image: str, tmp_path: Path, engine_name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Tiny]:
    name, port = engine_name("tiny"), free_port()
    for folder, file, text in (
        ("frameworks", f"{name}.toml", TOML.format(name=name, base=base_image, port=port)),
        ("dockerfiles", f"devel-{name}.Dockerfile", DEVEL),
        ("dockerfiles", f"wheel-{name}.Dockerfile", WHEEL),
    ):
        (config_dir() / folder).mkdir(parents=True, exist_ok=True)
        (config_dir() / folder / file).write_text(text)
    checkout = tmp_path / "tiny"
    checkout.mkdir()
    (checkout / "tiny.txt").write_text("one\n")
    (checkout / ".gitignore").write_text("build/\n")
    git(checkout, "init", "--quiet", ".")
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--message", "one")
    monkeypatch.chdir(checkout)
    monkeypatch.setenv("PWD", str(checkout))
    yield Tiny(engine, name, checkout, port)
    tags = engine.run(["image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"devbox-{name}"]).stdout.split()
    if tags:
        engine.run(["image", "rm", "--force", *tags], check=False)
    engine.run(["volume", "rm", f"devbox-{os.getuid()}-huggingface-as-2000"], check=False)


def data(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)["data"]


def test_several_stages_at_once_and_only_what_changed_again(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    # A build tree that git ignores is not sent to the engine, however large it is.
    (tiny.checkout / "build").mkdir()
    (tiny.checkout / "build/object.o").write_bytes(os.urandom(8 << 20))
    (tiny.checkout / "new.txt").write_text("new\n")
    assert run(["image", "build", "devel", "wheel", "release", "--json"]) == 0
    first = data(capsys)
    assert [image["tags"] for image in first["images"]] == [[tiny.image(one)] for one in ("devel", "wheel", "release")]
    assert first["sources"][0]["files"] == 3
    assert "transferring source: 8" not in Path(first["log"]).read_text()
    head = git(tiny.checkout, "rev-parse", "HEAD")
    assert tiny.greeting() == f"hello {head}"
    listed = tiny.engine.run(["run", "--rm", tiny.image("wheel"), "cat", "/dist/files"]).stdout.split()
    assert listed == ["./.gitignore", "./new.txt", "./tiny.txt"]
    labels = (tiny.engine.image(tiny.image("release")) or {})["Config"]["Labels"]
    assert labels["devbox.image"] == f"{tiny.name}/cpu/release"
    assert labels["org.opencontainers.image.revision"] == head

    assert run(["image", "build", "devel", "wheel", "release", "--json"]) == 0
    second = data(capsys)
    assert [image["id"] for image in second["images"]] == [image["id"] for image in first["images"]]
    assert second["cached"] == second["steps"] > 0
    assert second["sources"][0]["changed"] == 0

    (tiny.checkout / "tiny.txt").write_text("two\n")
    assert run(["image", "build", "devel", "wheel", "--json"]) == 0
    third = data(capsys)
    assert third["images"][0]["id"] == first["images"][0]["id"]
    assert third["images"][1]["id"] != first["images"][1]["id"]
    assert third["sources"][0]["changed"] == 1


def test_files_go_to_a_folder_and_belong_to_who_asked(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["image", "build", "dist", "--arg", "GREETING=hi"]) == 0
    assert capsys.readouterr().out.strip() == str(tiny.checkout / "dist")
    greeting = tiny.checkout / "dist/greeting"
    assert greeting.read_text().startswith("hi ")
    assert greeting.stat().st_uid == os.getuid()
    # buildx makes a folder of its own for nobody but the user; this one is made as any folder of the checkout is.
    assert greeting.parent.stat().st_mode == tiny.checkout.stat().st_mode | 0o055
    assert tiny.engine.image(tiny.image("dist")) is None
    # What was written is no part of the next build's source.
    assert run(["image", "build", "dist", "--arg", "GREETING=hi", "--json"]) == 0
    again = data(capsys)
    assert (again["sources"][0]["changed"], again["cached"]) == (0, again["steps"])


def test_a_secret_is_in_no_argv_layer_or_log(
    tiny: Tiny, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSPHRASE", "hunter2hunter2")
    address = "redis://me:storagepw@127.0.0.1:1"
    argv = ["image", "build", "wheel", "--secret", "id=pass,env=PASSPHRASE", "--sccache", address]
    for option in ("--dry-run", "--print"):
        assert run([*argv, option]) == 0
        written = capsys.readouterr()
        for secret in ("hunter2", "storagepw"):
            assert secret not in written.out + written.err
        assert "env=PASSPHRASE" in written.out
        # A storage on this machine is out of reach of a build's own network.
        assert ("--network host" in written.out) == (option == "--dry-run")
    assert run([*argv, "--json"]) == 0
    written = capsys.readouterr()
    result = json.loads(written.out)["data"]
    assert result["compiler_cache"] == {"hits": 3, "misses": 1, "cache": "sccache"}
    variables = tiny.engine.run(["run", "--rm", tiny.image("wheel"), "cat", "/dist/variables"]).stdout.split()
    assert variables == ["SCCACHE_REDIS_ENDPOINT", "SCCACHE_REDIS_USERNAME", "SCCACHE_REDIS_PASSWORD"]
    history = tiny.engine.run(["history", "--no-trunc", tiny.image("wheel")]).stdout
    inspected = json.dumps(tiny.engine.image(tiny.image("wheel")))
    log = Path(result["log"]).read_text()
    assert "the secret is" in log
    for secret in ("hunter2", "storagepw"):
        assert secret not in written.out + written.err + history + inspected + log
    assert "used ccache" not in written.err
    assert run([*argv, "--arg", "CACHE=ccache"]) == 0
    assert "used ccache" in capsys.readouterr().err


def test_a_step_that_fails_is_named_with_its_last_lines(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["image", "build", "wheel", "release", "--arg", "FAIL=1"]) == 3
    said = capsys.readouterr().err
    assert "it fails as it was told to" in said
    assert "exit code: 9" in said
    assert "wheel 1/1] RUN" in said


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["wheeel"], "no stage 'wheeel'"),
        (["wheel", "--arg", "GREETNG=x"], "did you mean GREETING?"),
        (["wheel", "--tag", "x:{nothing}"], "--tag knows no {nothing}"),
        (["wheel", "release", "--tag", "devbox-test-x:1"], "would both be devbox-test-x:1"),
        (["wheel", "--push", "--load"], "cannot go together"),
        (["wheel", "--cache-to", "type=registry,ref=127.0.0.1:1/x"], "cannot export its cache as type=registry"),
        (["wheel", "--builder", "no-such-builder"], "there is no builder no-such-builder"),
        (["wheel", "--upstream"], "no Dockerfile of its own"),
        (["dist", "--efa"], "nothing to put EFA into"),
        (["wheel", "--python", "3.12"], "--python chooses none"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_built(
    tiny: Tiny, capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    store = json.loads(tiny.engine.run(["info", "--format", "{{json .DriverStatus}}"]).stdout)
    if "type=registry" in said and "containerd" in str(store):
        pytest.skip("this engine's builder can do it")
    assert run(["image", "build", *argv]) in {2, 3}
    written = capsys.readouterr()
    assert said in written.err
    assert "Building" not in written.err


def test_nothing_is_built_on_an_image_that_has_the_engine_fetch(
    tiny: Tiny, capsys: pytest.CaptureFixture[str], base_image: str, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {base_image}\nONBUILD ADD http://127.0.0.1:9/x /x\n")
    hostile = f"devbox-{tiny.name}:fetching"
    tiny.engine.run(["build", "--quiet", "--tag", hostile, str(tmp_path)], timeout=60)
    (tiny.checkout / "Dockerfile").write_text(f"FROM {hostile}\n")
    for argv in (["wheel", "--base-image", hostile], ["--file", "Dockerfile", "--trust"]):
        assert run(["image", "build", *argv]) != 0
        written = capsys.readouterr()
        assert "has the engine fetch http://127.0.0.1:9/x by this machine's own network (ONBUILD ADD)" in written.err
        assert "Building" not in written.err


def test_a_release_runs_as_its_own_user_with_a_cache_that_it_may_write(
    tiny: Tiny, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, engine_name: Callable[[str], str]
) -> None:
    assert run(["image", "run"]) == 3
    assert "devbox image build release" in capfd.readouterr().err
    assert run(["image", "build", "release"]) == 0
    capfd.readouterr()
    assert run(["image", "run"]) == 0
    assert capfd.readouterr().out.startswith("hello ")
    assert run(["image", "run", "release", "--", "sh", "-c", "touch /cache/huggingface/x && id -u && exit 7"]) == 7
    assert capfd.readouterr().out.strip() == "2000"

    name = engine_name("server")
    monkeypatch.setenv("TINY_TOKEN", "tokentoken")
    monkeypatch.setenv("OTHER_SECRET", "othersecret")
    argv = ["image", "run", "--detach", "--name", name, "--env", "OTHER_SECRET", "--with-checkout"]
    assert run([*argv, "--shm", "64m", "--json", "release", "--", "sleep", "600"]) == 0
    try:
        answer = json.loads(capfd.readouterr().out)["data"]
        assert answer["ports"] == [f"127.0.0.1:{tiny.port}"]
        inside = tiny.engine.run(["exec", name, "sh", "-c", "ls /mnt/tiny; df -k /dev/shm | tail -1"]).stdout.split()
        assert inside[0] == "tiny.txt"
        assert "65536" in inside
        # The program alone has the tokens.
        own = ["exec", name, "sh", "-c", "cat /proc/[0-9]*/environ | tr '\\0' '\\n'"]
        assert {"TINY_TOKEN=tokentoken", "OTHER_SECRET=othersecret"} <= set(tiny.engine.run(own).stdout.split("\n"))
        assert "tokentoken" not in tiny.engine.run(["inspect", name]).stdout

        # The port and the name are taken: both are said before docker is asked, with who has them.
        assert run(["image", "run", "release", "--", "true"]) == 2
        assert f"the port {tiny.port} is taken by the container {name}" in capfd.readouterr().err
        assert run(["image", "run", "release", "--port", "none", "--name", name, "--", "true"]) == 2
        assert f"there is a container {name} already, running" in capfd.readouterr().err
        # What a container is made from stays.
        assert run(["image", "rm", tiny.image("release"), "--yes"]) == 5
        assert f"is used by {name}" in capfd.readouterr().err
    finally:
        tiny.engine.run(["rm", "--force", "--volumes", name], check=False)
    assert run(["image", "rm", tiny.image("release"), "--yes"]) == 0
    assert tiny.engine.image(tiny.image("release")) is None


def test_an_image_by_its_name_gets_what_the_checkouts_framework_needs(
    tiny: Tiny, capsys: pytest.CaptureFixture[str], engine_name: Callable[[str], str]
) -> None:
    labels = {"plain": "a=b", "own": f"devbox.image={tiny.name}/cpu/release", "other": "devbox.image=cuda/cpu/devel"}
    said = {}
    for what, label in {**labels, "nobody": "devbox.image=gone/cpu/devel"}.items():
        image = engine_name(what) + ":1"
        tiny.engine.run(["import", "--change", f"LABEL {label}", "-", image], input_text="")
        try:
            assert run(["image", "run", image, "--dry-run"]) == 0
        finally:
            tiny.engine.run(["image", "rm", image])
        written = capsys.readouterr()
        said[what] = f"-p 127.0.0.1:{tiny.port}:{tiny.port} " in written.out
        assert (f"limits of {tiny.name}, because tiny.txt is there" in written.err) == (what == "plain")
    assert said == {"plain": True, "own": True, "other": False, "nobody": False}


def test_steps_have_the_network_and_the_shared_memory_that_were_asked_for(
    tiny: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    file = config_dir() / "dockerfiles" / f"devel-{tiny.name}.Dockerfile"
    file.write_text(DEVEL + "RUN ls /sys/class/net >/nets; df -k /dev/shm | tail -1 >/shm\n")

    def steps(*options: str) -> str:
        assert run(["image", "build", *options]) == 0, capsys.readouterr().err
        return tiny.engine.run(["run", "--rm", tiny.image("devel"), "cat", "/nets", "/shm"]).stdout

    assert steps("--network", "none", "--shm-size", "7m").split()[:3:2] == ["lo", "7168"]
    assert "eth0" in steps()
    # bake of this engine's buildx may know neither: one build follows the other.
    assert steps("devel", "release", "--network", "none").startswith("lo\n")
    assert run(["image", "build", "--shm-size", "much"]) == 2
    assert "'much' is no size" in capsys.readouterr().err


def test_images_are_listed_and_only_devboxs_own_are_removed(
    tiny: Tiny, capsys: pytest.CaptureFixture[str], base_image: str, engine_name: Callable[[str], str]
) -> None:
    assert run(["image", "build", "devel", "--tag", tiny.image("devel"), "--tag", f"local/{tiny.name}:mine"]) == 0
    capsys.readouterr()
    assert run(["image", "list", "--json"]) == 0
    found = {name: one for one in data(capsys) for name in one["names"]}
    assert found[base_image]["kind"] == "base"
    mine = found[tiny.image("devel")]
    assert (mine["kind"], mine["framework"], mine["variant"], mine["stage"]) == ("stage", tiny.name, "cpu", "devel")
    assert run(["image", "inspect", tiny.image("devel"), "--json"]) == 0
    assert data(capsys)["layers"] == len((tiny.engine.image(tiny.image("devel")) or {})["RootFS"]["Layers"])
    # A name of the user's own keeps an image from being pruned.
    known = [one for one in life.images(tiny.engine) if tiny.image("devel") in one.names]
    assert life.prunable(known, now=2e9, older_than=None, everything=True, bases=True) == ()
    other = f"local/{engine_name('other')}:1"
    tiny.engine.run(["import", "--change", "CMD x", "-", other], input_text="")
    assert run(["image", "rm", other]) == 5
    assert "is not an image of devbox's" in capsys.readouterr().err
    tiny.engine.run(["image", "rm", other, f"local/{tiny.name}:mine"])
