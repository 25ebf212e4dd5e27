USER ${DEV_NAME}
WORKDIR /workspaces

# What the small images share. It is mounted for the length of a RUN and is in no layer of the result.
FROM scratch AS final
COPY <<'EOT' /final.sh
# account NAME UID: a user of group 0 whose home the group may write, so that the image runs under any uid of that group, too.
# An account that has the uid or the name already becomes this one.
account() {
    owner=$(getent passwd "$2" | cut -d: -f1)
    if [ -z "$owner" ] && ! getent passwd "$1" >/dev/null; then
        # Without --no-log-init a high uid makes a sparse log file of many gigabytes, which a layer stores in full.
        useradd --no-log-init --no-create-home -u "$2" -g 0 -d "/home/$1" -s "$(command -v bash || command -v sh)" "$1"
    else
        sed -i "s|^${owner:-$1}:\([^:]*\):[^:]*:[^:]*:\([^:]*\):[^:]*|$1:\1:$2:0:\2:/home/$1|" /etc/passwd
    fi
    install -d -o "$2" -g 0 -m 0775 "/home/$1" "/home/$1/.cache"
}

# needs FOLDER LIST LIBRARIES: name in LIST the OS packages of the libraries that the programs below FOLDER load, and copy to
# LIBRARIES those that no package has, such as CUDA's where it came from wheels. The driver's own are the host's.
needs() {
    mkdir -p "$3"
    : >"$2"
    find "$1" -type f -exec sh -c 'head -c 4 "$1" | grep -q ELF' - {} \; -print >/tmp/programs
    while read -r program; do
        LD_LIBRARY_PATH=$1/lib:$1/lib64 ldd "$program" 2>/dev/null || true
    done </tmp/programs | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u >/tmp/libraries
    while read -r library; do
        case $library in "$1"/*) continue ;; esac
        file=$(realpath "$library")
        if command -v dpkg-query >/dev/null; then
            owner=$(dpkg-query -S "*/${file##*/}" 2>/dev/null | sed -n '1s/:.*//p')
        else
            owner=$(rpm -qf --qf '%{NAME}\n' "$file" 2>/dev/null) || owner=
        fi
        if [ -n "$owner" ]; then echo "$owner" >>"$2"; else cp "$file" "$3/${library##*/}"; fi
    done </tmp/libraries
    sort -u -o "$2" "$2"
    rm /tmp/programs /tmp/libraries
}

# install_needs FOLDER: install what `needs` named there, on an image of the same distribution.
install_needs() {
    names=$(tr '\n' ' ' <"$1/packages")
    [ -z "$names" ] || packages "$names" "$names"
    find "$1/lib" -type f -exec cp {} /usr/local/lib/ \;
    echo /usr/local/lib >/etc/ld.so.conf.d/devbox.conf
    ldconfig
}

# lay FROM TO: put a tree there as root's own, whoever owned it where it was built.
lay() {
    umask 022
    mkdir -p "$2"
    cp -r --preserve=links,timestamps "$1/." "$2/"
}
EOT

# The checkout: `--build-context source=DIR`.
FROM scratch AS source

# The wheels of Dynamo: its Rust runtime with Python bindings, its Python package, and the optional ones. One stage for the
# variants of all engines, which differ in their runtime alone.
FROM devel AS wheel

# 0 leaves the block manager (lib/bindings/kvbm) or the GPU memory service out, and so does a checkout without them.
ARG ENABLE_KVBM=1
ARG ENABLE_GPU_MEMORY_SERVICE=1
ARG BUILD_PROFILE=release
ARG MATURIN_OPTIONS=""
ARG MAX_JOBS=""
ARG MEMORY_PER_JOB=2048

# cargo reads .cargo/config.toml and rust-toolchain.toml from here upwards.
WORKDIR /run/source
RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=crates,target=/run/crates \
    --mount=type=bind,from=source,target=/run/source,rw \
    --mount=type=bind,from=wheels,target=/run/wheels \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=secret,id=sccache,required=false \
    --mount=type=cache,target=/var/cache/cargo \
    --mount=type=cache,target=/var/cache/sccache \
    --mount=type=cache,target=/var/cache/uv <<'EOT'
. /run/devbox/lib.sh
. /run/crates/cargo.sh
[ -f lib/bindings/python/Cargo.toml ] || {
    echo "devbox: no lib/bindings/python in the build context 'source'; name the checkout: --build-context source=DIR" >&2
    exit 1
}
cargo_begin "$(jobs "$MEMORY_PER_JOB")"
# shellcheck disable=SC2086  # a list of words
bindings() {
    maturin build --locked --profile "$BUILD_PROFILE" --interpreter /opt/venv/bin/python --out /dist \
        --manifest-path "$1/Cargo.toml" $MATURIN_OPTIONS
}
bindings lib/bindings/python
[ "$ENABLE_KVBM" = 0 ] || [ ! -f lib/bindings/kvbm/Cargo.toml ] || bindings lib/bindings/kvbm
compiler_cache_end

set -- .
[ "$ENABLE_GPU_MEMORY_SERVICE" = 0 ] || [ ! -f lib/gpu_memory_service/pyproject.toml ] || set -- "$@" lib/gpu_memory_service
for project in "$@"; do
    uv build --wheel --python /opt/venv/bin/python --find-links /run/wheels --out-dir /dist "$project"
done
rm -rf /dist/.gitignore /tmp/target
EOT

# What a build makes, and nothing else: `--output DIR` puts it on the host.
FROM scratch AS dist
COPY --from=wheel /dist /

# Dynamo on the image of an engine, which is seen from its environment; or on a plain one for the frontend and the router.
FROM ${RUNTIME_IMAGE} AS runtime
USER root

ARG NIXL_VERSION=1.3.2
ARG NATS_VERSION=2.15.1
ARG PYTHON_VERSION=""

ENV VIRTUAL_ENV=/opt/venv \
    UV_LINK_MODE=copy \
    NIXL_PREFIX=/opt/nvidia/nvda_nixl \
    NIXL_LIB_DIR=/opt/nvidia/nvda_nixl/lib64 \
    NIXL_PLUGIN_DIR=/opt/nvidia/nvda_nixl/lib64/plugins \
    PATH=/opt/venv/bin:${PATH}

# What does not change with each commit comes first, in a layer of its own.
RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=fabric,target=/run/fabric \
    --mount=type=bind,from=final,target=/run/final \
    --mount=type=bind,from=nixl,target=/run/nixl \
    --mount=type=bind,from=wheels,target=/run/wheels \
    --mount=type=bind,from=devel,source=/opt/devbox/bin,target=/opt/uv \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    --mount=type=cache,target=/var/cache/uv <<'EOT'
. /run/devbox/lib.sh
. /run/fabric/fabric.sh
. /run/final/final.sh
python="python3-venv" python_dnf="python3.12"
! command -v python3 >/dev/null || python='' python_dnf=''
packages "ca-certificates curl etcd-client etcd-server ibverbs-providers jq libibverbs1 libnuma1 librdmacm1 $python" \
    "ca-certificates curl jq libibverbs librdmacm numactl-libs rdma-core shadow-utils $python_dnf"

PATH=$PATH:/opt/uv
make_environment
install_fabric
login_shells
account dynamo 1000
chmod -R g=u /opt/venv
settle
EOT

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=wheel,source=/dist,target=/run/dist \
    --mount=type=bind,from=wheels,target=/run/wheels \
    --mount=type=bind,from=devel,source=/opt/devbox/bin,target=/opt/uv \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/uv <<'EOT'
. /run/devbox/lib.sh
# What is new is the group's, too. A change of the rest would store it a second time.
umask 002
PATH=$PATH:/opt/uv
# An engine among the host's wheels goes before that of the runtime image.
for wheel in /run/wheels/vllm-*.whl /run/wheels/sglang-*.whl /run/wheels/tensorrt_llm-*.whl; do
    [ ! -f "$wheel" ] || set -- "$@" "$wheel"
done
install_python --find-links /run/dist /run/dist/*.whl "$@"
settle
EOT

ARG SOURCE_COMMIT=""
ENV DYNAMO_COMMIT_SHA=${SOURCE_COMMIT} \
    HOME=/home/dynamo
WORKDIR /home/dynamo
USER dynamo

# The word of the other frameworks for it.
FROM runtime AS release

# The lists of requirements, and nothing else of the checkout: a change of any other file installs nothing anew.
FROM scratch AS dev-requirements
COPY --from=source pyproject.tom[l] containe[r]/dep[s]/requirement*.tx[t] /

# devel with what people and tests want beside the compilers. It runs as root, as Dynamo's own `dev` does; `user` is the one
# for a person.
FROM devel AS dev
USER root

# BACKEND names an extra of the checkout's pyproject.toml (vllm, sglang, trtllm): with it the engine itself, many gigabytes.
ARG BACKEND=""

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked <<'EOT'
. /run/devbox/lib.sh
packages "autoconf automake fd-find htop iproute2 iputils-ping jq libtool ltrace nano net-tools ripgrep strace tmux tree valgrind
    vim zsh" \
    "autoconf automake htop iproute iputils jq libtool ltrace nano net-tools strace tmux tree valgrind vim-enhanced zsh"
settle /usr/include
devbox-toolchain
EOT

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=dev-requirements,target=/run/checkout \
    --mount=type=bind,from=wheels,target=/run/wheels \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/uv <<'EOT'
. /run/devbox/lib.sh
set --
for list in common test dev; do
    file=/run/checkout/requirements.$list.txt
    [ ! -f "$file" ] || set -- "$@" -r "$file"
done
[ -z "$BACKEND" ] || set -- "$@" -r /run/checkout/pyproject.toml --extra "$BACKEND"
[ $# = 0 ] || install_python "$@"
finish_venv
EOT
