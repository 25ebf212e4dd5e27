# the package base. Written by devbox.
# hadolint global ignore=DL3002,DL3066,DL4006,SC1091

# A build argument, so that a registry's image, a site's own and the package base all serve.
ARG BASE_IMAGE=debian:12

# An empty folder of wheels. `--build-context wheels=DIR` puts a host's folder in its place.
FROM scratch AS wheels

# What the RUN lines below source. It is mounted for the length of a RUN and is in no layer of the result.
FROM scratch AS helpers
COPY <<'EOT' /lib.sh
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_CACHE_DIR=/var/cache/pip

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

# Print the interpreter to build on: the distribution's own if it is 3.10 or newer, else the newest one there is.
interpreter() {
    for candidate in python3 /usr/bin/python3.1[0-9] /opt/python/cp31[0-9]-cp31[0-9]/bin/python; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            found=$(command -v "$candidate")
            case $candidate in python3) break ;; esac
        fi
    done
    [ -n "${found:-}" ] || { echo "devbox: no Python 3.10 or newer with venv in the base image" >&2; exit 1; }
    echo "$found"
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
# made. It belongs into the RUN that made the folder: later it would store all of it again.
shared() {
    chgrp -R devbox "$@"
    chmod -R g+rwX "$@"
    find "$@" -type d -exec chmod g+s {} +
}
EOT

# A CUDA toolchain from Debian packages and NVIDIA's wheels on PyPI, in the layout of NVIDIA's own images.
FROM ${BASE_IMAGE} AS base

# CUDA_TOOLKIT is a version of PyPI's `cuda-toolkit`, which pins all parts of one CUDA release to each other. Without `crt`
# and `nvvm` among the parts nvcc pulls the newest of them, which belong to another release.
ARG CUDA_VERSION=13.0
ARG CUDA_TOOLKIT=13.0.2
ARG CUDA_PARTS=nvcc,crt,nvvm,cudart,cccl,nvrtc,nvjitlink,cublas,cufft,curand,cusolver,cusparse,nvtx,profiler

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    --mount=type=cache,target=/var/cache/pip <<'EOT'
. /run/devbox/lib.sh
packages "build-essential ca-certificates python3 python3-venv" "gcc gcc-c++ make ca-certificates python3.12"

cuda=/usr/local/cuda-$CUDA_VERSION
"$(interpreter)" -m venv /tmp/pip
/tmp/pip/bin/pip install -q --no-compile --target /tmp/wheels "cuda-toolkit[$CUDA_PARTS]==$CUDA_TOOLKIT"
mv /tmp/wheels/nvidia/cu13 "$cuda"
rm -rf /tmp/pip /tmp/wheels

# What the wheels leave out of an installed toolkit: execute bits, lib64, and the links that a linker and CMake look for.
ln -s "$cuda" /usr/local/cuda
ln -s lib "$cuda/lib64"
chmod +x "$cuda"/bin/* "$cuda"/nvvm/bin/*
rm -f "$cuda"/lib/*.alt.so*
for library in "$cuda"/lib/lib*.so.*; do
    link=${library%%.so.*}.so
    [ -e "$link" ] || ln -s "$(basename "$library")" "$link"
done
echo "$cuda/lib64" >/etc/ld.so.conf.d/devbox-cuda.conf
ldconfig
printf '{"cuda": {"name": "CUDA SDK", "version": "%s"}}\n' "$CUDA_TOOLKIT" >"$cuda/version.json"

# No wheel holds a libcuda to link with, since the real one comes with the driver. So one is made from the functions that
# cuda.h declares. It is for the linker alone: each function says CUDA_ERROR_STUB_LIBRARY (34).
mkdir "$cuda/lib/stubs"
gcc -E -P -D__CUDA_API_VERSION_INTERNAL "$cuda/include/cuda.h" | tr '\n;' ' \n' |
    sed -n 's/.*CUresult  *\(cu[A-Za-z0-9_]*\) *(.*/int \1(void) { return 34; }/p' | sort -u >/tmp/stub.c
gcc -shared -fPIC -Os -w -Wl,-soname,libcuda.so.1 -o "$cuda/lib/stubs/libcuda.so" /tmp/stub.c
rm /tmp/stub.c

settle "$cuda" /usr/include /usr/lib/gcc
EOT

# No NVIDIA_VISIBLE_DEVICES here: it would hand every GPU to a container that asked for none.
ENV CUDA_HOME=/usr/local/cuda \
    CUDA_VERSION=${CUDA_VERSION} \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PATH=/usr/local/cuda/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
