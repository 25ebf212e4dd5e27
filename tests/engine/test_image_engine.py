"""Images on a real engine: the user layer on awkward bases, the package base, the CA, caching, failures."""

from __future__ import annotations

import json
import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devbox import config
from devbox.config.network import Network, network_of
from devbox.devcontainer.users import ROOT, ContainerUser
from devbox.devcontainer.writing.request import WORKSPACE
from devbox.engine.spec import ImageBuild
from devbox.errors import ImageError
from devbox.frameworks import load
from devbox.image.assembly import stage_files
from devbox.image.assembly.recipe import recipe
from devbox.image.base.choose import decide
from devbox.image.base.package import ensure
from devbox.image.buildkit.build import build, current
from devbox.image.buildkit.inputs import inputs_digest
from tests.engine.lab import Recorder, Yard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine
DOCKERFILES = Path(__file__).resolve().parents[2] / "dockerfiles"


class Workshop(Yard):
    """Builds images out of Dockerfile texts, and looks into them."""

    def user(self, base_image: str, user: ContainerUser, caches: str = "ccache") -> str:
        """Put the user stage on `base_image`."""
        args = {"DEV_UID": user.uid, "DEV_GID": user.gid, "DEV_NAME": user.name, "DEV_HOME": user.home}
        text = f"FROM {base_image} AS devel\n\n" + (DOCKERFILES / "user.Dockerfile").read_text(encoding="utf-8")
        pairs = (*((name, str(value)) for name, value in args.items()), ("DEV_CACHES", caches))
        return self.build(text, "user", args=pairs)[0]


@pytest.fixture
def workshop(engine: Engine, tmp_path: Path, engine_name: Callable[[str], str]) -> Iterator[Workshop]:
    shop = Workshop(engine, tmp_path, engine_name)
    yield shop
    engine.run(["image", "rm", "--force", *shop.tags], check=False) if shop.tags else None


ALICE = ContainerUser("alice", 1000, 1000, "/home/alice")
# Ubuntu 24.04 ships such a user; the files stand for what its home and the image's own folders hold.
OWNED = """\
FROM {base}
RUN groupadd -g {gid} {name} && useradd -m -u {uid} -g {gid} {name}
RUN touch /home/{name}/file && chown {uid}:{gid} /home/{name}/file
"""


def expect_user(workshop: Workshop, image: str, user: ContainerUser) -> None:
    """The container runs as `user`, who has a home and a shell, and owns the mount points and fresh volumes there."""
    said = workshop.sh(
        image,
        'id -u; id -g; id -un; echo "$HOME"; touch "$HOME/x" /build/x /cache/ccache/x /workspaces/x /volume/x; echo ok',
        "--mount",
        "type=volume,target=/build",
        "--mount",
        "type=tmpfs,target=/volume,tmpfs-mode=1777",
    )
    assert said.splitlines() == [str(user.uid), str(user.gid), user.name, user.home, "ok"]


@pytest.mark.parametrize(
    "user",
    [
        ALICE,
        ContainerUser("bob", 1000, 100, "/home/bob"),  # gid 100 is Debian's group users
        ContainerUser("carol", 4_000_000_000, 4_000_000_001, "/home/carol"),
        ContainerUser("games", 2000, 2000, "/home/games"),  # Debian's own account games has uid 5
        ContainerUser("docker", 501, 20, "/home/docker"),  # a Mac's ids; gid 20 is dialout
        ROOT,
    ],
    ids=lambda user: f"{user.name}-{user.uid}-{user.gid}",
)
def test_user_on_debian(workshop: Workshop, base_image: str, user: ContainerUser) -> None:
    expect_user(workshop, workshop.user(base_image, user), user)


@pytest.mark.parametrize(
    ("name", "uid", "gid", "user"),
    [
        ("ubuntu", 1000, 1000, ALICE),
        ("ubuntu", 1000, 1000, ContainerUser("ubuntu", 1000, 1000, "/home/ubuntu")),
        ("ubuntu", 1000, 1000, ContainerUser("ubuntu", 1000, 1234, "/home/ubuntu")),
        ("ubuntu", 1000, 1000, ContainerUser("ubuntu", 1234, 1000, "/home/ubuntu")),
        ("ubuntu", 1000, 1000, ContainerUser("ubuntu", 1234, 1234, "/home/ubuntu")),
        ("alice", 1500, 1500, ALICE),
    ],
    ids=["renamed", "the-same", "other-gid", "other-uid", "other-both", "name-elsewhere"],
)
def test_user_on_an_image_that_owns_the_name_or_the_ids(
    workshop: Workshop, base_image: str, name: str, uid: int, gid: int, user: ContainerUser
) -> None:
    owned, _ = workshop.build(OWNED.format(base=base_image, name=name, uid=uid, gid=gid))
    image = workshop.user(owned, user)
    expect_user(workshop, image, user)
    # Nothing but the folder itself is chowned: a recursive chown would store all of the home again.
    assert workshop.sh(image, f"stat -c %u:%g /home/{name}/file") == f"{uid}:{gid}"


def test_user_layer_is_small_and_quick_whatever_the_home_holds(workshop: Workshop, base_image: str) -> None:
    owned, _ = workshop.build(
        OWNED.format(base=base_image, name="ubuntu", uid=1000, gid=1000)
        + "RUN head -c 50000000 /dev/zero >/home/ubuntu/big && chown 1000:1000 /home/ubuntu/big\n"
    )
    started = time.monotonic()
    image = workshop.user(owned, replace(ALICE, name="ubuntu", home="/home/ubuntu", gid=1234))
    assert time.monotonic() - started < 10  # the budget is 2 s on an idle machine; this one is shared
    rows = workshop.engine.run(["history", "--human=false", "--format", "{{.Size}}", image]).stdout.split()
    before = workshop.engine.run(["history", "--human=false", "--format", "{{.Size}}", owned]).stdout.split()
    assert sum(map(int, rows)) - sum(map(int, before)) < 1_000_000


def test_user_may_use_sudo_where_the_image_has_it(workshop: Workshop, base_image: str) -> None:
    # A stand-in is enough: the layer asks whether there is a sudo, and installs none.
    fake, _ = workshop.build(f"FROM {base_image}\nRUN ln -s /bin/true /usr/bin/sudo\n")
    rule = "stat -c '%a %u' /etc/sudoers.d/devbox"
    assert workshop.sh(workshop.user(fake, ALICE), rule, "--user", "root") == "440 0"
    assert workshop.sh(workshop.user(base_image, ALICE), "ls /etc/sudoers.d 2>/dev/null || true") == ""


def test_a_base_that_cannot_make_a_user_says_so(workshop: Workshop, base_image: str) -> None:
    bare, _ = workshop.build(f"FROM {base_image}\nRUN rm /usr/sbin/useradd\n")
    with pytest.raises(ImageError) as caught:
        workshop.user(bare, ALICE)
    assert "has no useradd" in (caught.value.detail or "")


def test_failed_step_is_named_with_its_last_lines_and_the_log_is_kept(workshop: Workshop, base_image: str) -> None:
    with pytest.raises(ImageError) as caught:
        # One stream: BuildKit reads stdout and stderr apart, and their lines may change places.
        workshop.build(f"FROM {base_image}\nRUN echo before >&2; echo 'no such thing' >&2; exit 3\n")
    error = caught.value
    assert "RUN echo before" in error.message
    assert (error.detail or "").splitlines() == ["before", "no such thing", "exit code: 3"]
    log = Path((error.hint or "").split()[1])
    assert "no such thing" in log.read_text(encoding="utf-8")


def test_unreachable_base_image_is_named(workshop: Workshop) -> None:
    with pytest.raises(ImageError, match=r"registry\.invalid/x:1") as caught:
        workshop.build("FROM registry.invalid/x:1\n")
    assert "--base-image" in (caught.value.hint or "")


def test_ca_bundle_serves_the_build_and_stays_out_of_the_image(
    workshop: Workshop, base_image: str, tmp_path: Path
) -> None:
    marker = f"devbox-test-ca-{os.getpid()}"
    settings = config.load(None, environ=os.environ, flags={})
    known = network_of(settings, os.environ).ca_bundle
    bundle = tmp_path / "bundle, mine.crt"
    bundle.write_text(f"# {marker}\n" + (known.read_text(encoding="utf-8") if known else ""), encoding="utf-8")
    preamble = stage_files.concatenate("test", base_image, ())
    text = f"""{preamble}
FROM ${{BASE_IMAGE}} AS test
RUN --mount=type=bind,from=helpers,target=/run/devbox \\
    --mount=type=secret,id=ca_bundle,required=false \\
    --mount=type=cache,target=/var/cache/apt,sharing=locked \\
    --mount=type=cache,target=/var/lib/apt,sharing=locked <<'EOT'
. /run/devbox/lib.sh
grep -q "{marker[:6]}""{marker[6:]}" "$SSL_CERT_FILE"
test "$PIP_CERT$CURL_CA_BUNDLE" = "$SSL_CERT_FILE$SSL_CERT_FILE"
packages "less" "less"
settle /usr/share/less
EOT
RUN test -z "$SSL_CERT_FILE" && test ! -s /run/secrets/ca_bundle && test ! -e /run/devbox/lib.sh && less --version
"""
    image, _ = workshop.build(text, secrets=(("ca_bundle", str(bundle)),), target="test")
    history = workshop.engine.run(["history", "--no-trunc", "--format", "{{.CreatedBy}}", image]).stdout
    assert marker not in history
    assert str(bundle) not in history
    saved = tmp_path / "image.tar"
    workshop.engine.run(["save", "--output", str(saved), image])
    found = subprocess.run(["grep", "--count", "--binary-files=text", marker, saved], capture_output=True, check=False)
    assert found.stdout.strip() == b"0"
    # And the RUN leaves nothing of its own behind.
    assert (
        workshop.sh(image, "ls -A /tmp; ls -A /run/devbox /var/cache/apt/archives 2>/dev/null | grep deb || true") == ""
    )


def test_proxies_reach_the_build_by_name_alone(
    workshop: Workshop, base_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://me:hunter2@127.0.0.1:9")
    # The word is in two pieces, for the script itself is part of the history.
    text = f"""FROM {base_image}\nRUN test "$http_proxy" = http://me:hunter"2@127.0.0.1:9"\n"""
    image, recorder = workshop.build(text, options=("--build-arg", "HTTP_PROXY"))
    assert not any("hunter2" in line for line in recorder.lines)
    assert "hunter2" not in json.dumps(workshop.engine.image(image))
    assert "hunter2" not in workshop.engine.run(["history", "--no-trunc", image]).stdout


def cuda_build(engine: Engine, folder: Path, tag: str, base_image: str) -> ImageBuild:
    """Return the build of the framework cuda for alice, as the contract would ask for it."""
    network = network_of(config.load(None, environ=os.environ, flags={}), os.environ)
    made = recipe(
        load.load("cuda"), base_image=base_image, user=ALICE, find_links=None, network=network, checkout=folder
    )
    context = folder / ".devcontainer"
    context.mkdir(exist_ok=True)
    (context / "Dockerfile").write_text(made.dockerfile, encoding="utf-8")
    options = tuple(option.replace(WORKSPACE, str(folder)) for option in made.options())
    return ImageBuild(
        str(context / "Dockerfile"), str(context), made.target, tags=(tag,), args=made.args, options=options
    )


def test_cuda_framework(workshop: Workshop, cuda_base_image: str, tmp_path: Path) -> None:
    """The whole image: compilers and CUDA work, the tools are the pinned ones, and a second build is all cached."""
    engine = workshop.engine
    tag = f"{workshop.name('cuda')}:1"
    workshop.tags.append(tag)
    wanted = cuda_build(engine, tmp_path, tag, cuda_base_image)
    digest = inputs_digest(wanted, {cuda_base_image: (engine.image(cuda_base_image) or {})["Id"]})
    assert current(engine, tag, digest) is None
    first = build(engine, wanted, Recorder(), digest=digest)
    assert current(engine, tag, digest) == first

    recorder = Recorder()
    assert build(engine, wanted, recorder, digest=digest) == first
    numbers = {line.split()[0] for line in recorder.lines if "RUN " in line}
    cached = {line.split()[0] for line in recorder.lines if line.endswith(" CACHED")}
    assert numbers
    assert numbers <= cached

    said = workshop.sh(
        tag,
        """
        mkdir /build/s && cd /build/s
        cat >CMakeLists.txt <<'E'
cmake_minimum_required(VERSION 3.26)
project(x LANGUAGES CXX CUDA)
find_package(CUDAToolkit REQUIRED)
add_executable(x x.cu)
target_link_libraries(x CUDA::cudart CUDA::cublas CUDA::cuda_driver)
E
        cat >x.cu <<'E'
#include <cublas_v2.h>
#include <cuda.h>
#include <cuda/std/atomic>
__global__ void kernel(float* x) { x[threadIdx.x] *= 2; }
int main() { cublasHandle_t handle; return cublasCreate(&handle) + cuInit(0); }
E
        cmake -G Ninja -S . -B b -DCMAKE_CUDA_ARCHITECTURES=90 >log || { cat log; exit 1; }
        ninja -C b >log || { cat log; exit 1; }
        ccache --version >log
        cat /etc/devbox/toolchain.json
        """,
    )
    toolchain = json.loads(said)
    assert toolchain["schema"] == 1
    assert len(toolchain["digest"]) == 64
    assert "release 13.0" in toolchain["tools"]["nvcc"]["version"]
    assert toolchain["tools"]["cmake"]["version"].startswith("cmake version 3.31")
    assert toolchain["tools"]["cmake"]["path"].endswith("cmake/data/bin/cmake")
    assert toolchain["packages"]["libc6-dev"]
    # One fixed time, so that the objects of a build tree outlive a rebuilt layer; not 0, which ninja takes for missing.
    times = workshop.sh(
        tag,
        "cd /usr/local; stat -L -c %Y cuda/include/cuda.h /usr/include/stdio.h /opt/devbox/pyvenv.cfg"
        " /usr/include/python3*/Python.h",
    )
    assert set(times.split()) == {"946684800"}
    ids = workshop.sh(tag, "id -u; stat -c %u /build /cache/ccache /workspaces; sudo id -u")
    assert ids.split() == ["1000", "1000", "1000", "1000", "0"]


def test_package_base_is_found_again(engine: Engine, cuda_base_image: str) -> None:
    started = time.monotonic()
    recorder = Recorder()
    name = ensure(engine, cuda="13.0", network=Network(), reporter=recorder)
    assert name == cuda_base_image
    assert recorder.lines == []
    assert time.monotonic() - started < 5


def test_choice_of_the_base_image(engine: Engine, base_image: str, cuda_base_image: str) -> None:
    recorder = Recorder()
    network = Network()
    cuda = replace(load.load("cuda"), base_image="registry.invalid/cuda:1")

    assert decide(engine, cuda, base_image, network=network, reporter=recorder) == base_image
    assert recorder.said == []
    local = replace(cuda, base_image=base_image)
    assert decide(engine, local, None, network=network, reporter=recorder) == base_image
    assert decide(engine, local, None, network=network, reporter=recorder, pull=True) == base_image
    assert decide(engine, cuda, None, network=network, reporter=recorder) == cuda_base_image
    assert "registry.invalid/cuda:1 cannot be pulled" in recorder.said[-1]
    assert cuda_base_image in recorder.said[-1]
    with pytest.raises(ImageError, match=r"registry\.invalid/mine:1"):
        decide(engine, cuda, "registry.invalid/mine:1", network=network, reporter=recorder)
