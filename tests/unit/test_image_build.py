"""Which step of a build failed: read from what BuildKit 0.13 really wrote."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.engine.docker import Engine
from devbox.errors import EngineError, ImageError, UsageError
from devbox.image.base.package import reference
from devbox.image.buildkit.build import failure, run_buildx
from devbox.image.buildkit.plain import PlainLog
from devbox.image.registry.transfer import fetch
from devbox.reporter import Silent
from devbox.ui.console import Console

DATA = Path(__file__).resolve().parents[1] / "data/buildkit"


def read(name: str) -> PlainLog:
    log = PlainLog()
    for line in (DATA / name).read_text(encoding="utf-8").splitlines():
        log.feed(line)
    return log


def explained(name: str) -> EngineError:
    return failure(read(name), Path("/state/logs/image 1.log"))


def test_the_step_that_failed_and_not_the_one_that_was_cancelled() -> None:
    error = explained("step-failed.txt")
    assert error.message == (
        "the image could not be built: "
        '[b 2/2] RUN echo one; echo two >&2; sleep 1; echo "3.5 is a number"; exit 7 failed'
    )
    assert error.detail == "one\ntwo\n3.5 is a number\nexit code: 7"
    assert error.hint == "less '/state/logs/image 1.log'   # the whole log"


@pytest.mark.parametrize(
    "said",
    [
        "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed'",
        "curl: (60) SSL certificate problem: unable to get local issuer certificate",
        "x509: certificate signed by unknown authority",
    ],
)
def test_a_site_that_opens_tls_is_told_from_other_failures(said: str) -> None:
    log = PlainLog()
    for line in (DATA / "step-failed.txt").read_text(encoding="utf-8").splitlines():
        log.feed(f"#6 0.157 {said}" if line == "#6 0.157 two" else line)
    error = failure(log, Path("/state/logs/image 1.log"))
    assert said in (error.detail or "")
    assert "ca_bundle" in (error.hint or "")


def test_a_base_image_out_of_reach_is_named() -> None:
    error = explained("base-unreachable.txt")
    assert "nosuch.example/x:1" in error.message
    assert "no such host" in (error.detail or "")
    assert "--base-image" in (error.hint or "")


def test_podman_says_which_step_failed_and_which_image_it_cannot_have() -> None:
    error = explained("podman-failed.txt")
    assert error.message == "the image could not be built: [2/2 2/2] RUN echo out; echo err >&2; exit 7 failed"
    assert error.detail == "out\nerr\nwhile running runtime: exit status 7"
    assert read("podman-failed.txt").built() == (2, 1)
    assert "nowhere:1 is neither on the engine" in explained("podman-base.txt").message


def test_a_dockerfile_that_makes_no_sense() -> None:
    assert "unknown instruction: RUNN" in explained("parse-error.txt").message


def test_a_long_script_is_cut() -> None:
    log = PlainLog()
    log.feed(f"#7 [devel 1/1] RUN --mount=type=cache,target=/a {'x' * 500}")
    log.feed('#7 ERROR: process "/bin/sh -c x" did not complete successfully: exit code: 1')
    message = failure(log, Path("/l")).message
    assert len(message) < 160
    assert "--mount" not in message


def test_only_the_last_lines_of_a_step_are_kept() -> None:
    log = PlainLog()
    log.feed("#7 RUN x")
    for number in range(1000):
        log.feed(f"#7 {number}.5 line {number}")
    log.feed("#7 ERROR: no")
    step = log.failed()
    assert step is not None
    assert step.lines[-1] == "line 999"
    assert len(step.lines) == 25


@given(st.lists(st.text(alphabet=st.sampled_from("#0123456789 .:ERO[]abc"), max_size=30), max_size=30))
def test_no_line_is_too_odd(lines: list[str]) -> None:
    log = PlainLog()
    for line in lines:
        log.feed(line)
    assert failure(log, Path("/l")).message


def test_names_of_package_bases() -> None:
    assert reference("13.0", "debian:12") == "devbox-base:cuda13.0-debian12"
    assert reference(None, "ubuntu:24.04") == "devbox-base:cpu-ubuntu24.04"


@pytest.mark.parametrize(("cuda", "distro"), [("12.4", "debian:12"), ("13.0", "arch:1"), ("13", "debian:12")])
def test_bases_that_cannot_be_made(cuda: str, distro: str) -> None:
    with pytest.raises(UsageError) as caught:
        reference(cuda, distro)
    assert "one of" in (caught.value.hint or "")


def test_a_pull_that_something_stands_for_is_neither_done_nor_failed(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho 'Error response from daemon: no such host' >&2\nexit 1\n")
    docker.chmod(0o755)
    shown = io.StringIO()
    assert fetch(Engine(docker=str(docker)), "far.example/x", Console(shown, environ={})) == "no such host"
    assert "- Pulling far.example/x" in shown.getvalue()
    assert not {"✓", "✗"} & {*shown.getvalue()}


APART = '#0 building with "far" instance using docker-container driver'


@pytest.mark.parametrize(
    ("lines", "message", "hint"),
    [
        (
            [APART, "#1 [internal] booting buildkit", "#1 ERROR: Get https://registry: no such host"],
            "the builder 'far' of docker buildx cannot be started",
            "docker buildx use default",
        ),
        (['ERROR: no builder "nope" found'], "docker buildx has no builder 'nope'", "BUILDX_BUILDER=default"),
        (
            [APART, "#2 [internal] load metadata for docker.io/library/own:1", "#2 ERROR: pull access denied"],
            "own:1 cannot be pulled; the builder 'far' sees none of the engine's",
            "docker buildx use default",
        ),
        (
            ["#2 resolve image config for docker-image://docker.io/docker/dockerfile:1", "#2 ERROR: no such host"],
            "docker.io/docker/dockerfile:1, which the Dockerfile's line '# syntax=' asks for, cannot be pulled",
            "remove the line",
        ),
    ],
)
def test_a_build_that_cannot_begin_says_what_to_do(lines: list[str], message: str, hint: str) -> None:
    log = PlainLog()
    for line in lines:
        log.feed(line)
    error = failure(log, Path("/l"))
    assert message in error.message
    assert hint in (error.hint or "")


@pytest.mark.parametrize(
    ("line", "named"),
    [
        (
            "  cause: Failed to fetch: http://nowhere.invalid/simple/torch/",
            "http://nowhere.invalid/simple/torch/ cannot",
        ),
        ("  Caused by: Failed to fetch: `https://pypi.org/simple/torch/`", "https://pypi.org/simple/torch/ cannot"),
        ("connection broken by 'NewConnectionError: Failed to establish a new connection'", "index of packages cannot"),
    ],
)
def test_an_index_out_of_reach_is_named_with_the_folder_of_wheels_that_does_without(line: str, named: str) -> None:
    def error(title: str) -> EngineError:
        log = PlainLog()
        for text in (f"#7 {title}", f"#7 1.5 {line}", "#7 ERROR: process did not complete successfully: exit code: 2"):
            log.feed(text)
        return failure(log, Path("/l"))

    known = error("[torch 1/1] RUN <<'EOT' (. /run/devbox/lib.sh...)")
    assert named in known.message
    assert (known.hint or "").startswith("--find-links FOLDER")
    # In somebody else's step, nothing takes a folder of wheels.
    assert "--find-links" not in (error("[2/2] RUN pip install torch").hint or "")


def test_a_step_of_a_killed_build_whose_session_is_gone_is_asked_for_again(tmp_path: Path) -> None:
    said = "#9 [stage-1 1/1] RUN x\n#9 ERROR: no active sessions\nERROR: failed to solve: no active sessions"
    program = tmp_path / "docker"
    program.write_text(f"""#!/bin/sh\necho asked >>{tmp_path}/asked\n[ -e {tmp_path}/again ] && exit 0
touch {tmp_path}/again\nprintf '%s\\n' '{said}' >&2\nexit 1\n""")
    program.chmod(0o755)
    engine = Engine(environ={"PATH": f"{tmp_path}:/usr/bin:/bin"}, docker=str(program))
    assert run_buildx(engine, ["buildx", "build", "."], Silent(), log=tmp_path / "log").error is None
    assert (tmp_path / "asked").read_text() == "asked\nasked\n"
    program.write_text(f"#!/bin/sh\necho asked >>{tmp_path}/asked\nprintf '%s\\n' '{said}' >&2\nexit 1\n")
    with pytest.raises(ImageError, match="RUN x failed"):
        run_buildx(engine, ["buildx", "build", "."], Silent(), log=tmp_path / "log")
    assert (tmp_path / "asked").read_text().count("asked") == 4
