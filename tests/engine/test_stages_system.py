"""The stages of cuda, Dynamo and TGI, really built on the package base, and what runs in them."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tarfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devbox.errors import ImageError
from devbox.frameworks import load
from devbox.image.assembly import stage_files

if TYPE_CHECKING:
    from tests.engine.lab import Yard

pytestmark = pytest.mark.engine
TREES = Path(__file__).resolve().parents[1] / "trees"


def text_of(name: str, variant: str, base_image: str, runtime_image: str) -> str:
    """Return the Dockerfile of all stages of a framework on base images that are here."""
    framework = load.load(name, variant)
    names = framework.stages + framework.image_stages
    return stage_files.concatenate("test", base_image, names, runtime_image=runtime_image)


def tree(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


OPENMP = """\
cmake_minimum_required(VERSION 3.20)
project(count LANGUAGES CXX)
find_package(OpenMP REQUIRED)
add_executable(count count.cpp)
target_link_libraries(count OpenMP::OpenMP_CXX)
"""
COUNT = """\
#include <cstdio>
#include <omp.h>
int main() {
  int sum = 0;
#pragma omp parallel for reduction(+ : sum)
  for (int i = 1; i <= 100; ++i) sum += i;
  std::printf("%d of %d\\n", sum, omp_get_max_threads() > 0);
}
"""


def test_cuda_release_has_the_programs_and_their_libraries_and_no_compiler(
    yard: Yard, base_image: str, tmp_path: Path
) -> None:
    checkout = tree(tmp_path / "count", {"CMakeLists.txt": f"{OPENMP}install(TARGETS count)\n", "count.cpp": COUNT})
    text = text_of("cuda", "cpu", base_image, base_image)
    image, _ = yard.build(text, "release", contexts=(("source", str(checkout)),))
    # libgomp is in no minimal image: it came because the program loads it.
    assert yard.sh(image, "count; id -u; id -g; pwd; touch file; command -v c++ cmake || echo none").splitlines() == [
        "5050 of 1",
        "1000",
        "0",
        "/home/app",
        "none",
    ]
    assert yard.sh(image, "touch ~/file && id -u", "--user=54321:0") == "54321"
    assert yard.sh(image, "stat -c %u:%g:%a /usr/local/bin/count") == "0:0:755"

    _, second = yard.build(text, "release", contexts=(("source", str(checkout)),))
    runs, cached = second.cached()
    assert runs == cached > 0


def test_a_tree_that_installs_nothing_is_told_so(yard: Yard, base_image: str, tmp_path: Path) -> None:
    checkout = tree(tmp_path / "count", {"CMakeLists.txt": OPENMP, "count.cpp": COUNT})
    with pytest.raises(ImageError) as raised:
        yard.build(text_of("cuda", "cpu", base_image, base_image), "dist", contexts=(("source", str(checkout)),))
    assert "needs an install() rule" in f"{raised.value.message} {raised.value.detail}"


INSTALLER = """\
#!/bin/bash
set -e
mkdir -p /opt/amazon/efa/bin /opt/amazon/efa/lib
echo "$*" >/opt/amazon/efa/options
printf '#!/bin/sh\\necho "libfabric: 2.4.0amzn5.0"\\n' >/opt/amazon/efa/bin/fi_info
chmod +x /opt/amazon/efa/bin/fi_info
"""


def installer(folder: Path) -> tuple[Path, str]:
    """Make an archive of the shape of AWS's; return its folder and its SHA-256."""
    folder.mkdir()
    archive = folder / "aws-efa-installer-1.49.0.tar.gz"
    # Without the time: the engine knows the layer again.
    with gzip.GzipFile(archive, "w", mtime=0) as compressed, tarfile.open(fileobj=compressed, mode="w") as file:
        member = tarfile.TarInfo("aws-efa-installer/efa_installer.sh")
        member.size = len(INSTALLER.encode())
        file.addfile(member, BytesIO(INSTALLER.encode()))
    return folder, hashlib.sha256(archive.read_bytes()).hexdigest()


def test_efa_lies_under_an_image_and_is_what_its_sum_says(yard: Yard, base_image: str, tmp_path: Path) -> None:
    wheels, digest = installer(tmp_path / "wheels")
    text = stage_files.concatenate("test", base_image, ("efa",)) + "\nFROM efa AS over\n"
    contexts = (("wheels", str(wheels)),)
    image, _ = yard.build(text, "over", contexts=contexts, args=(("EFA_SHA256", digest),))
    assert yard.sh(image, "fi_info; cat /opt/amazon/efa/options; ls /tmp").splitlines() == [
        "libfabric: 2.4.0amzn5.0",
        "-y --skip-kmod --skip-limit-conf --no-verify --build-ngc --skip-mpi",
    ]
    with pytest.raises(ImageError) as raised:
        yard.build(text, "over", contexts=contexts)
    assert "is not the one with the SHA-256" in f"{raised.value.message} {raised.value.detail}"


@pytest.mark.slow
def test_cuda_release_of_a_tree_with_kernels(yard: Yard, cuda_base_image: str, base_image: str, tmp_path: Path) -> None:
    checkout = shutil.copytree(TREES / "saxpy", tmp_path / "saxpy")
    with (checkout / "CMakeLists.txt").open("a", encoding="utf-8") as file:
        file.write("install(TARGETS saxpy_check)\n")
    text = text_of("cuda", "cuda13", cuda_base_image, base_image)
    image, _ = yard.build(text, "release", contexts=(("source", str(checkout)),), args=(("CUDA_ARCHS", "90-real"),))
    assert "softmax: ok" in yard.sh(image, "saxpy_check reference")
    assert (yard.engine.image(image) or {})["Size"] < (yard.engine.image(base_image) or {})["Size"] + 10_000_000


PYPROJECT = """\
[project]
name = "ai-dynamo"
version = "1.0.0"
dependencies = ["dynamo-bindings==0.1.0"]
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[tool.hatch.build.targets.wheel]
packages = ["components/src/dynamo"]
"""
DEVEL = """\
umask 022
nats-server --version
etcd --version | head -n 1
cd /tmp
printf '#include <ucp/api/ucp.h>\\nint main() { unsigned a, b, c; ucp_get_version(&a, &b, &c); return a - 1; }' >ucx.cpp
c++ ucx.cpp $(pkg-config --cflags --libs ucx) -o ucx && ./ucx
python -c 'import ctypes, os; ctypes.CDLL(os.environ["NIXL_LIB_DIR"] + "/libnixl_capi.so")'
cargo new --quiet --vcs none hello && cd hello && cargo run --quiet
echo 'int main() {}' >empty.cu && nvcc -arch=sm_90 empty.cu
bash -lc 'umask; command -v python nvcc'
"""
RUNTIME = """\
id -u
id -g
python -c 'import dynamo.frontend'
dynamo-bindings
nats-server --version | cut -d: -f1
etcd --data-dir /tmp/etcd >/dev/null 2>&1 &
until etcdctl endpoint health >/dev/null 2>&1; do :; done
etcdctl put key value
python -c 'import ctypes, os; ctypes.CDLL(os.environ["NIXL_LIB_DIR"] + "/libnixl_capi.so")'
touch /opt/venv/file
command -v cargo c++ || echo none
"""


@pytest.mark.slow
def test_dynamo(yard: Yard, cuda_base_image: str, base_image: str, tmp_path: Path) -> None:
    checkout = shutil.copytree(TREES / "dynamo", tmp_path / "dynamo", ignore=shutil.ignore_patterns("target"))
    tree(checkout, {"pyproject.toml": PYPROJECT, "components/src/dynamo/frontend/__init__.py": ""})
    text = text_of("dynamo", "none", cuda_base_image, base_image)
    devel, _ = yard.build(text, "devel")
    said = yard.sh(devel, DEVEL, "--user=1234:0", "--env=HOME=/tmp")
    assert said.splitlines()[1:] == [
        "etcd Version: 3.4.23",
        "Hello, world!",
        "0002",
        "/opt/venv/bin/python",
        "/usr/local/cuda/bin/nvcc",
    ]
    runtime, _ = yard.build(text, "runtime", contexts=(("source", str(checkout)),))
    said = yard.sh(runtime, RUNTIME)
    assert said.splitlines() == ["1000", "0", "4 workers", "nats-server", "OK", "none"]
    assert yard.sh(runtime, "touch /opt/venv/file ~/file && id -u", "--user=54321:0") == "54321"


@pytest.mark.slow
def test_dynamo_dev_installs_anew_what_its_lists_say_alone(yard: Yard, cuda_base_image: str, tmp_path: Path) -> None:
    """A change of a requirement costs the layer that installs them, an edit of anything else none."""
    requirements = "container/deps/requirements.dev.txt"
    checkout = tree(tmp_path / "dynamo", {requirements: f"six  # {yard.name('first')}\n", "lib/edited.rs": ""})
    text = text_of("dynamo", "none", cuda_base_image, cuda_base_image)
    contexts = (("source", str(checkout)),)
    image, _ = yard.build(text, "dev", contexts=contexts)
    said = yard.sh(image, "id -u; bash -lc umask; python -c 'import six'; rg --version >/dev/null; command -v strace")
    assert said.splitlines() == ["0", "0002", "/usr/bin/strace"]
    for name, rebuilt in (("lib/edited.rs", 0), (requirements, 1)):
        tree(checkout, {name: f"six  # {yard.name('second')}\n"})
        count, hits = yard.build(text, "dev", contexts=contexts)[1].cached()
        assert count - hits == rebuilt, name
    # A checkout without such lists has no reason to fail.
    (checkout / requirements).unlink()
    yard.build(text, "dev", contexts=contexts)


TGI = """\
cd /tmp
mpicxx --version | head -n 1 | cut -d' ' -f1
printf '#include <expected>\\n#include <nccl.h>\\nint main() { int v; return ncclGetVersion(&v); }' >nccl.cpp
c++ -std=c++23 nccl.cpp -I/usr/local/cuda/include -lnccl -o nccl && ./nccl
pkg-config --exists ompi cuda cudart cublas nvidia-ml && echo found
touch /usr/local/tgi/lib/file && rustc --version | cut -d' ' -f1
"""


@pytest.mark.slow
def test_tgi(yard: Yard, cuda_base_image: str, base_image: str) -> None:
    text = text_of("tgi", "trtllm", cuda_base_image, base_image)
    devel, _ = yard.build(text, "devel")
    assert yard.sh(devel, TGI, "--user=1234", "--group-add=devbox").splitlines() == ["g++", "found", "rustc"]
    contexts = (("source", str(TREES / "tgi")),)
    image, said = yard.build(text, "release", contexts=contexts, args=(("CUDA_ARCHS", "90-real;100-real"),))
    # None where the same wheel is still in the engine's cache.
    assert {use["cache"] for use in said.caches()} <= {"sccache"}
    assert yard.engine.run(["run", "--rm", image]).stdout == "MPI 3, 90-real,100-real\n"
    assert yard.sh(image, "executorWorker && id -u; command -v cargo c++ || echo none") == "1000\nnone"
