"""What `devbox image build` builds: from Dockerfiles and options to docker's own words."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.engine.spec import BuildOptions, ImageBuild, build_args
from devbox.errors import EngineError, UsageError
from devbox.frameworks.load import load
from devbox.frameworks.stated import told
from devbox.image.building import builder, options, upstream
from devbox.image.building.builder import Builder
from devbox.image.building.make import BuildPlan
from devbox.image.building.source import Revision
from devbox.image.building.targets import Blueprint, Target, distinct, exported, target
from devbox.image.buildkit.bake import bake_args, bake_file
from devbox.image.buildkit.compiler_cache import CacheUse, use_of
from devbox.image.buildkit.plain import PlainLog

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """\
ARG BASE_IMAGE=base:1
ARG RUNTIME_IMAGE=run:1
FROM scratch AS source
FROM scratch AS wheels
FROM ${BASE_IMAGE} AS devel
ARG CUDA_ARCHS=""
ARG UNUSED
RUN --mount=type=bind,from=wheels,target=/w true
FROM devel AS wheel
ARG SOURCE_VERSION
RUN --mount=type=bind,from=source,target=/s --mount=type=secret,id=sccache true
FROM scratch AS dist
COPY --from=wheel /dist /
FROM ${RUNTIME_IMAGE} AS release
ARG SOURCE_COMMIT
RUN --mount=type=bind,from=wheel,target=/d true
"""
KNOWN = (
    ("BASE_IMAGE", "base:2"),
    ("RUNTIME_IMAGE", "run:2"),
    ("CUDA_ARCHS", "9.0"),
    ("SOURCE_VERSION", "1.2.dev3+gabc"),
    ("SOURCE_COMMIT", "abcdef0123456789"),
    ("NOT_DECLARED", "x"),
)
BLUEPRINT = Blueprint(
    load("cuda", "cpu"),
    TEXT,
    "/d/Dockerfile",
    "/d",
    KNOWN,
    (("source", "/copy"), ("wheels", "/wheels")),
    Revision("abcdef0123456789", "1.2.dev3+gabc"),
)


def make(stage: str, blueprint: Blueprint = BLUEPRINT, **common: object) -> Target:
    network = common.pop("storage_network", None)
    return target(blueprint, stage, BuildOptions(**common), storage_network=network)  # type: ignore[arg-type]


def test_a_stage_gets_what_it_and_its_sources_take_and_no_more() -> None:
    devel = make("devel")
    assert dict(devel.build.args) == {"BASE_IMAGE": "base:2", "CUDA_ARCHS": "9.0"}
    assert devel.build.contexts == (("wheels", "/wheels"),)
    assert devel.bases == ("base:2",)
    assert not devel.reads_source
    # The commit is no label of what is not made from the source: it would make another image of each commit.
    assert devel.build.labels == (("devbox.image", "cuda/cpu/devel"),)

    release = make("release")
    assert {"SOURCE_VERSION", "SOURCE_COMMIT"} <= set(dict(release.build.args))
    assert release.build.contexts == (("source", "/copy"), ("wheels", "/wheels"))
    assert release.bases == ("base:2", "run:2")
    assert release.base_args == frozenset({"BASE_IMAGE", "RUNTIME_IMAGE"})
    assert release.own_base == frozenset({"RUNTIME_IMAGE"})
    assert release.reads_source
    assert dict(release.build.labels)["org.opencontainers.image.revision"] == "abcdef0123456789"


def test_a_stage_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="no stage 'relase'") as caught:
        make("relase")
    assert caught.value.hint == "did you mean 'release'? the stages are: devel, wheel, dist, release"
    # An empty stage is a context, and files that a step mounts are no image: neither is something to build.
    text = f"{TEXT}FROM scratch AS helpers\nCOPY lib.sh /\nFROM devel AS last\nRUN --mount=from=helpers,target=/h :\n"
    with pytest.raises(UsageError) as caught:
        make("nothing", replace(BLUEPRINT, text=text))
    assert caught.value.hint == "the stages are: devel, wheel, dist, release, last"


def test_dynamos_word_for_the_users_stage() -> None:
    text = f"{TEXT}FROM devel AS user\n"
    assert make("local-dev", replace(BLUEPRINT, text=text)).build.target == "user"


def test_an_argument_that_no_stage_takes_is_refused() -> None:
    assert dict(make("wheel", args=(("CUDA_ARCHS", "8.0"),)).build.args)["CUDA_ARCHS"] == "8.0"
    assert make("wheel", forwarded=("HTTPS_PROXY",)).build.forwarded == ("HTTPS_PROXY",)
    with pytest.raises(UsageError, match="CUDA_ARCH") as caught:
        make("wheel", args=(("CUDA_ARCH", "8.0"),))
    assert caught.value.hint == "did you mean CUDA_ARCHS?"
    with pytest.raises(UsageError, match="--python chooses none"):
        make("wheel", args=(("PYTHON_VERSION", "3.12"),))


def test_tags_are_filled_in_and_may_not_collide() -> None:
    assert make("wheel").build.tags == ("devbox-cuda:cpu-wheel",)
    tags = ("r.example/{framework}/{stage}:{version}-{variant}", "x:{short}")
    assert make("wheel", tags=tags).build.tags == ("r.example/cuda/wheel:1.2.dev3-gabc-cpu", "x:abcdef012345")
    with pytest.raises(UsageError, match=r"\{sha\}"):
        make("wheel", tags=("x:{sha}",))
    with pytest.raises(UsageError, match="'Bad Tag' is no name of an image"):
        make("wheel", tags=("Bad Tag",))
    with pytest.raises(UsageError, match="version"):
        make("wheel", replace(BLUEPRINT, revision=None), tags=("x:{version}",))
    assert len(distinct([make("wheel"), make("wheel"), make("devel")])) == 2
    with pytest.raises(UsageError, match="would both be x:1"):
        distinct([make("wheel", tags=("x:1",)), make("devel", tags=("x:1",))])


def test_files_are_exported_and_no_image_is_made() -> None:
    made = exported(make("dist"), "/home/a,b/dist")
    assert made.build.outputs == ('type=local,"dest=/home/a,b/dist"',)
    args = build_args(made.build)
    assert "--load" not in args
    assert "--tag" not in args


def test_the_command_line_of_a_build() -> None:
    build = make(
        "wheel",
        env_secrets=(("sccache", "DEVBOX_SCCACHE"),),
        secrets=(("ca_bundle", "/etc/a,b.pem"),),
        ssh=("default",),
        platforms=("linux/amd64", "linux/arm64"),
        cache_from=("r/x:cache",),
        cache_to=("type=inline",),
        attest=("type=sbom",),
        outputs=("type=registry",),
        network="host",
        pull=True,
    ).build
    args = build_args(build)
    assert args[:2] == ["buildx", "build"]
    assert args[-1] == "/d"
    pairs = [" ".join(args[index : index + 2]) for index in range(len(args) - 1)]
    for pair in (
        "--output type=registry",
        "--target wheel",
        "--platform linux/amd64,linux/arm64",
        "--secret id=sccache,env=DEVBOX_SCCACHE",
        '--secret id=ca_bundle,"src=/etc/a,b.pem"',
        "--ssh default",
        "--attest type=sbom",
        "--cache-from r/x:cache",
        "--cache-to type=inline",
        "--network host",
        "--build-context source=/copy",
    ):
        assert pair in pairs
    assert "--pull" in args
    assert "--load" not in args


def test_one_build_is_a_build_and_several_are_a_bake() -> None:
    def commands(*targets: Target) -> list[list[str]]:
        return BuildPlan(targets, (), (), {}, builder="b").commands()

    assert commands(make("wheel"))[0][:4] == ["buildx", "build", "--load", "--file"]
    (baked,) = commands(make("wheel"), make("release"))
    assert baked[:3] == ["buildx", "bake", "--file"]
    assert baked[-3:] == ["--builder", "b", "--progress=plain"]
    # bake of buildx before 0.16 passes over a network: a storage on this machine would be out of reach.
    assert make("devel", storage_network="host").build.network is None
    for common, words in (
        ({"storage_network": "host"}, "--network host"),
        ({"network": "none"}, "--network none"),
        ({"shm_size": "4g"}, "--shm-size 4g"),
    ):
        each = commands(*(make(name, BLUEPRINT, **common) for name in ("wheel", "release")))
        assert [args[1] for args in each] == ["build", "build"]
        assert all(words in " ".join(args) for args in each)


def test_the_network_that_was_asked_for_is_that_of_every_step_and_wins() -> None:
    assert make("devel", network="none").build.network == "none"
    assert make("wheel", network="none", storage_network="host").build.network == "none"
    target = bake_file({"t": make("devel", network="host", shm_size="4g").build})["target"]["t"]
    assert (target["network"], target["shm-size"]) == ("host", "4g")


@pytest.mark.parametrize("text", ["", "0", "much", "4gb", "-1g", "1.5g", "4 g"])
def test_what_is_no_size_of_shared_memory(text: str) -> None:
    with pytest.raises(UsageError, match="is no size"):
        options.shm_size(text)


strings = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=20)


@given(value=strings)
def test_bake_takes_every_string_as_it_is(value: str) -> None:
    escaped = bake_file({"t": ImageBuild("D", ".", args=(("A", value),))})["target"]["t"]["args"]["A"]
    assert escaped.replace("$${", "${").replace("%%{", "%{") == value or "$${" in value or "%%{" in value


@pytest.mark.engine
def test_bake_reads_what_was_written(tmp_path: Path) -> None:
    """The file means to buildx what the plan says: its own `--print` is the judge."""
    build = make("release", args=(("CUDA_ARCHS", '${HOME} %{ if } "$x" \\'),), no_cache=True).build
    build = replace(build, forwarded=("HTTPS_PROXY", "NOT_SET_ANYWHERE"), env_secrets=(("s", "SECRET"),))
    file = tmp_path / "bake.json"
    file.write_text(json.dumps(bake_file({"one": build, "two": replace(build, target="devel")})))
    argv = ["docker", *bake_args(str(file), {"one": build}), "--print"]
    environ = {**os.environ, "HTTPS_PROXY": "http://p", "SECRET": "hidden"}
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=True)
    read = json.loads(done.stdout)
    assert read["group"]["default"]["targets"] == ["one", "two"]
    one = read["target"]["one"]
    assert one["args"] == {**dict(build.args), "HTTPS_PROXY": "http://p"}
    assert one["contexts"] == {"source": "/copy", "wheels": "/wheels"}
    assert (one["target"], one["no-cache"]) == ("release", True)
    assert one["secret"] == ["id=s,env=SECRET"]
    assert "hidden" not in done.stdout


ENGINE_OWN, CONTAINERD, APART = (
    Builder("default", "docker"),
    Builder("d", "docker", True),
    Builder("x", "docker-container"),
)


@pytest.mark.parametrize(
    ("common", "said"),
    [
        (BuildOptions(cache_to=("type=registry,ref=r/x",)), "export its cache as type=registry"),
        (BuildOptions(cache_to=("r/x:cache",)), "export its cache as type=registry"),
        (BuildOptions(platforms=("linux/amd64", "linux/arm64")), "several platforms"),
        (BuildOptions(attest=("type=sbom",)), "attestations"),
        (BuildOptions(outputs=("type=oci,dest=x",)), "OCI archive"),
    ],
)
def test_what_the_engines_own_builder_cannot_do_is_said_first(common: BuildOptions, said: str) -> None:
    with pytest.raises(EngineError, match=said) as caught:
        builder.check(ENGINE_OWN, common)
    assert "docker buildx create" in (caught.value.hint or "")
    builder.check(CONTAINERD, common)
    builder.check(APART, common)


def test_what_every_builder_can_do_is_let_through() -> None:
    builder.check(
        ENGINE_OWN, BuildOptions(cache_to=("type=inline",), platforms=("linux/arm64",), outputs=("type=registry",))
    )
    builder.check(ENGINE_OWN, BuildOptions(attest=("type=provenance,disabled=true",)))


def test_options_are_read_before_anything_is_built(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("x")
    assert options.secrets([f"id=a,src={token}", "id=b,env=B", "id=HF"], {"B": "1", "HF": "2"}) == (
        (("a", str(token)),),
        (("b", "B"), ("HF", "HF")),
    )
    for word in ("a", "id=", "id=a,src=/no/such", "id=a,env=NOT_SET", "id=a,env=B,src=x", "id=a,colour=red", '"'):
        with pytest.raises(UsageError, match="--secret"):
            options.secrets([word], {"B": "1"})
    assert options.arguments(["A=b=c", "PROXY"]) == ((("A", "b=c"),), ("PROXY",))
    for word in ("HF_TOKEN=x", "HF_TOKEN", "=x"):
        with pytest.raises(UsageError, match=r"--arg|HF_TOKEN"):
            options.arguments([word])
    assert options.contexts([f"a={tmp_path}", "devel=docker-image://x:1"])[1] == ("devel", "docker-image://x:1")
    for word in ("a", "a=", "a=/no/such"):
        with pytest.raises(UsageError, match="--context"):
            options.contexts([word])
    chosen = options.framework(f"vllm/cpu={tmp_path}")
    assert (chosen.name, chosen.variant, chosen.checkout) == ("vllm", "cpu", tmp_path)
    assert options.framework("vllm") == options.Chosen("vllm")
    with pytest.raises(UsageError, match="no folder"):
        options.framework("vllm=/no/such")
    assert [options.python_release(word) for word in ("3.12", "3.10.12")] == ["3.12", "3.10.12"]
    for word in ("abc", "3", "3.12 "):
        with pytest.raises(UsageError):
            options.python_release(word)
    assert options.output("/a,b") == 'type=local,"dest=/a,b"'
    assert options.output("type=tar,dest=x") == "type=tar,dest=x"
    with pytest.raises(UsageError, match="stdout"):
        options.output("-")


@given(st.text(max_size=40))
def test_no_option_is_too_odd(text: str) -> None:
    for read in (lambda: options.secrets([text], {}), lambda: options.arguments([text]), lambda: options.output(text)):
        try:
            read()
        except (UsageError, ValueError) as error:
            # Python itself refuses a path with a NUL, and no argv can hold one.
            assert isinstance(error, UsageError) or "\0" in text  # noqa: PT017


@pytest.mark.parametrize(
    ("line", "use"),
    [
        ('#19 3.613 devbox-compiler-cache {"hits": 3, "misses": 4, "cache": "sccache"}', CacheUse(3, 4, "sccache")),
        ('#19 3.613 devbox-compiler-cache {"hits": 3, "misses": 4}', CacheUse(3, 4, "ccache")),
        ("#19 3.613 devbox-compiler-cache {}", None),
        ('#19 3.613 devbox-compiler-cache {"hits": []}', None),
        ("#19 nothing", None),
    ],
)
def test_what_a_compiler_cache_said(line: str, use: CacheUse | None) -> None:
    assert use_of(line) == use


def test_several_caches_are_added_up() -> None:
    assert CacheUse(1, 2, "ccache") + CacheUse(3, 4, "sccache") == CacheUse(4, 6, "ccache and sccache")


def test_steps_that_ran_and_steps_that_were_cached() -> None:
    log = PlainLog()
    for line in (
        "#2 [internal] load metadata for x",
        "#2 CACHED",
        "#5 [toolchain 1/3] FROM x",
        "#5 CACHED",
        "#6 [cuda-cpu-wheel toolchain 3/3] RUN true",
        "#6 CACHED",
        "#7 [wheel 1/1] RUN true",
        "#7 DONE 3.0s",
    ):
        log.feed(line)
    assert log.built() == (2, 1)


def test_upstreams_arguments_are_filled_in_and_unknown_ones_left_out(tmp_path: Path) -> None:
    rules = upstream.rules(load("vllm"))
    args = dict(told(rules, "devel", {"arch": "9.0", "jobs": "7"}, tmp_path).args)
    assert (args["torch_cuda_arch_list"], args["max_jobs"]) == ("9.0", "7")
    with pytest.raises(UsageError, match="none of its Dockerfiles"):
        upstream.dockerfile(rules, tmp_path)
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker/Dockerfile").write_text("FROM x\n")
    assert upstream.dockerfile(rules, tmp_path) == tmp_path / "docker/Dockerfile"
    with pytest.raises(UsageError, match="no Dockerfile of its own"):
        upstream.rules(load("cuda"))


SCRIPT = "".join(
    f'parser.add_argument("{flag}")\n'
    for flag in ("--framework", "--target", "--cuda-version", "--make-efa", "--output-short-filename")
)


PLATFORM = 'p.add_argument("--platform", default="{}")\np.add_argument("--device")\n'


@pytest.mark.parametrize(
    ("default", "platform", "variant", "words"),
    [
        ("linux/amd64", "linux/arm64", "vllm", "13.0 --platform linux/arm64"),
        ("linux/amd64", "linux/amd64,linux/arm64", "vllm", "linux/amd64,linux/arm64"),
        # Before April 2026 it took an architecture, and any other word for arm64.
        ("amd64", "linux/amd64", "vllm", "13.0 --platform amd64 --output"),
        ("linux/amd64", "linux/amd64", "vllm-xpu", "vllm --device xpu --target dev --platform"),
    ],
)
def test_a_checkout_s_script_is_told_what_its_parser_has(
    tmp_path: Path, default: str, platform: str, variant: str, words: str
) -> None:
    rules = upstream.rules(load("dynamo", variant))
    (tmp_path / "container").mkdir()
    (tmp_path / "container/render.py").write_text(SCRIPT + PLATFORM.format(default))
    known = {**dict(rules.values), "stage": "dev", "cuda": "" if "xpu" in variant else "13.0", "platform": platform}
    assert words in shlex.join(upstream.command(rules, known, tmp_path))


def test_what_a_checkout_s_script_cannot_render_is_refused(tmp_path: Path) -> None:
    rules = upstream.rules(load("dynamo", "vllm-xpu"))
    (tmp_path / "container").mkdir()
    (tmp_path / "container/render.py").write_text(SCRIPT + 'p.add_argument("--platform", default="amd64")\n')
    known = {**dict(rules.values), "stage": "dev", "cuda": "", "platform": "linux/amd64"}
    with pytest.raises(UsageError, match="has no --device"):
        upstream.command(rules, known, tmp_path)
    known |= {"device": "", "platform": "linux/amd64,linux/arm64"}
    with pytest.raises(UsageError, match="renders for one platform"):
        upstream.command(rules, known, tmp_path)


def test_a_shared_cache_is_told_as_the_dockerfile_wants_it() -> None:
    rules = upstream.rules(load("dynamo"))
    storage = {"SCCACHE_BUCKET": "b", "SCCACHE_REGION": "r", "AWS_SECRET_ACCESS_KEY": "s"}
    given = {"AWS_ROLE_ARN": "arn", "AWS_WEB_IDENTITY_TOKEN_FILE": "/token"}
    assert upstream.cached(rules, storage, given) == (
        (("USE_SCCACHE", "true"), ("SCCACHE_BUCKET", "b"), ("SCCACHE_REGION", "r")),
        (("aws-role-arn", "AWS_ROLE_ARN"),),
        (("aws-web-identity-token", "/token"),),
        (),
    )
    without = upstream.cached(rules, storage, {})
    assert (without.secrets, without.files) == ((), ())
    assert "AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE" in without.notes[0]
    for wrong, why in (
        ({"SCCACHE_REDIS_ENDPOINT": "redis://x"}, "bucket of S3 alone"),
        ({**storage, "SCCACHE_ENDPOINT": "http://x"}, "takes no endpoint"),
    ):
        with pytest.raises(UsageError, match=why):
            upstream.cached(rules, wrong, given)
    with pytest.raises(UsageError, match="no shared cache"):
        upstream.cached(upstream.rules(load("tgi")), storage, given)


def test_an_upstream_stage_is_called_as_devbox_calls_it() -> None:
    text = "FROM a AS base\nARG max_jobs\nFROM base AS dev\nFROM base\n"
    blueprint = replace(BLUEPRINT, text=text, contexts=(), names={"devel": "dev", "release": None})
    assert make("devel", blueprint).build.target == "dev"
    assert make("release", blueprint).build.target is None
    assert make("base", blueprint).build.target == "base"
