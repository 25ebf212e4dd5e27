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

# The checkout: `--build-context source=DIR` puts it in place of this one.
FROM scratch AS source

# What the C++ part is made of: an edit of Python alone compiles nothing.
FROM toolchain AS native-source
WORKDIR /run/source
RUN --mount=type=bind,from=source,target=/run/source <<'EOT'
set -eu
[ -f setup.py ] || {
    echo "devbox: no checkout of vLLM was given: --build-context source=DIR" >&2
    exit 1
}
mkdir /native
for part in CMakeLists.txt cmake csrc pyproject.toml setup.py requirements tools rust rust-toolchain.toml vllm/__init__.py \
    vllm/envs.py; do
    [ ! -e "$part" ] || cp -a --parents "$part" /native
done
EOT

# The extensions, in a wheel with nothing else. Sources lie where a dev container has them.
FROM devel AS native

# CUDA_ARCHS is torch's list ("9.0 10.0"); "" compiles for all that vLLM knows. MAX_JOBS is how many compiles run at once; ""
# is what CPUs and memory allow. CMAKE_ARGS are further options of cmake, such as FETCHCONTENT_SOURCE_DIR_…
ARG VLLM_TARGET_DEVICE=cuda
ARG CUDA_ARCHS=""
ARG NVCC_THREADS=1
ARG MAX_JOBS=""
ARG MEMORY_PER_JOB=8192
ARG CMAKE_ARGS=""

WORKDIR /workspaces/vllm
RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=native-source,source=/native,target=/workspaces/vllm,rw \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=secret,id=sccache,required=false \
    --mount=type=cache,target=/var/cache/ccache <<'EOT'
. /run/devbox/lib.sh
mkdir -p /native
# A wheel for no device holds no extension.
[ "$VLLM_TARGET_DEVICE" != empty ] || exit 0
compiler_cache_begin
# vLLM's setup.py divides the jobs by nvcc's threads, and takes sccache for its cache wherever there is one.
threads=$NVCC_THREADS
MAX_JOBS=$(($(jobs "$((MEMORY_PER_JOB * threads))") * threads))
VLLM_DISABLE_SCCACHE=1
[ "$CMAKE_CXX_COMPILER_LAUNCHER" != sccache ] || VLLM_DISABLE_SCCACHE=0
export MAX_JOBS VLLM_DISABLE_SCCACHE
[ -z "$CUDA_ARCHS" ] || export TORCH_CUDA_ARCH_LIST="$CUDA_ARCHS"
# The version of this wheel is of no account: a new commit with the same sources compiles nothing.
export SETUPTOOLS_SCM_PRETEND_VERSION=0.0.0 CMAKE_BUILD_TYPE=Release
python setup.py -q bdist_wheel --dist-dir=/native --py-limited-api=cp38
compiler_cache_end
EOT

# The wheel: Python from the checkout, extensions from the stage before.
FROM devel AS wheel

ARG VLLM_TARGET_DEVICE=cuda
ARG SOURCE_VERSION=""

WORKDIR /workspaces/vllm
RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=source,target=/workspaces/vllm,rw \
    --mount=type=bind,from=native,source=/native,target=/run/native \
    --mount=type=secret,id=ca_bundle,required=false <<'EOT'
. /run/devbox/lib.sh
# setuptools-scm has no .git to ask.
[ -z "$SOURCE_VERSION" ] || export SETUPTOOLS_SCM_PRETEND_VERSION="$SOURCE_VERSION"
set -- bdist_wheel --dist-dir=/dist
if native=$(ls /run/native/*.whl 2>/dev/null); then
    export VLLM_USE_PRECOMPILED=1 VLLM_PRECOMPILED_WHEEL_LOCATION="$native" VLLM_SKIP_PRECOMPILED_VERSION_SUFFIX=1
    set -- "$@" --py-limited-api=cp38
fi
python setup.py -q "$@"
EOT

# What a build makes, and nothing else: `--output DIR` puts it on the host.
FROM scratch AS dist
COPY --from=wheel /dist /

# The lists of requirements, and nothing else of the checkout.
FROM toolchain AS release-requirements
WORKDIR /run/source
RUN --mount=type=bind,from=source,target=/run/source <<'EOT'
set -eu
mkdir /requirements
for part in requirement*.txt constraint*.txt requirements python/pyproject*.toml; do
    [ ! -e "$part" ] || cp -a --parents "$part" /requirements
done
EOT

# What serves: no compiler unless COMPILERS is 1, no sources, and a user that is not root. Each RUN changes more often than
# the one before.
FROM ${RUNTIME_IMAGE} AS release
USER root

# COMPILERS is for what compiles kernels while it serves: Triton calls a C compiler, FlashInfer nvcc as well.
ARG PYTHON_VERSION=""
ARG COMPILERS=0
ARG APP_NAME=app
ARG APP_UID=1000

# USER: what asks for the user's name finds one under any uid (`--user 1234:0`).
ENV LANG=C.UTF-8 \
    HOME=/home/${APP_NAME} \
    USER=${APP_NAME} \
    VIRTUAL_ENV=/opt/venv \
    PATH=/opt/venv/bin:${PATH}

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=final,target=/run/final \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked <<'EOT'
. /run/devbox/lib.sh
. /run/final/final.sh
python="python${PYTHON_VERSION:-3}"
[ "$COMPILERS" = 0 ] || compilers_apt="gcc g++ libc6-dev $python-dev" compilers_dnf="gcc gcc-c++ python${PYTHON_VERSION:-3.12}-devel"
packages "ca-certificates libgomp1 libnuma1 $python $python-venv ${compilers_apt:-}" \
    "ca-certificates libgomp numactl-libs python${PYTHON_VERSION:-3.12} ${compilers_dnf:-}"
if [ "$COMPILERS" != 0 ] && [ -n "${CUDA_VERSION:-}" ] && ! command -v nvcc >/dev/null; then
    # What NVIDIA's base image leaves out.
    release=$(echo "$CUDA_VERSION" | cut -d. -f1,2 | tr . -)
    cuda="cuda-nvcc-$release cuda-cudart-dev-$release cuda-nvrtc-dev-$release libcublas-dev-$release libcurand-dev-$release"
    packages "$cuda" "$(echo "$cuda" | sed 's/-dev-/-devel-/g')"
fi
account "$APP_NAME" "$APP_UID"
settle
EOT

ARG TORCH_VERSION=2.14.0
ARG TORCH_INDEX=""
RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=torch,source=/opt/devbox/bin/uv,target=/usr/local/bin/uv \
    --mount=type=bind,from=wheels,target=/run/wheels \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/uv <<'EOT'
. /run/devbox/lib.sh
make_venv
compile_venv
EOT

# REQUIREMENTS is a file below requirements/ or the checkout's top, EXTRA an extra of it where it is a pyproject.toml. BUILT are
# the packages among them whose wheels come out of the checkout.
ARG REQUIREMENTS=""
ARG EXTRA=""
ARG BUILT=""
ARG PYTHON_OVERRIDES=""
RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=torch,source=/opt/devbox/bin/uv,target=/usr/local/bin/uv \
    --mount=type=bind,from=release-requirements,source=/requirements,target=/run/checkout \
    --mount=type=bind,from=wheels,target=/run/wheels \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/uv <<'EOT'
. /run/devbox/lib.sh
# A requirement on no Python at all is none.
for name in $BUILT; do PYTHON_OVERRIDES="$PYTHON_OVERRIDES $name;python_version<'0'"; done
for list in "/run/checkout/requirements/$REQUIREMENTS" "/run/checkout/$REQUIREMENTS"; do
    [ -f "$list" ] || continue
    install_python -r "$list" ${EXTRA:+--extra "$EXTRA"}
    break
done
compile_venv
EOT

# The wheel is no part of a layer: it is mounted, and what is stored is what it installs.
RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=torch,source=/opt/devbox/bin/uv,target=/usr/local/bin/uv \
    --mount=type=bind,from=wheel,source=/dist,target=/run/dist \
    --mount=type=bind,from=wheels,target=/run/wheels \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/uv <<'EOT'
. /run/devbox/lib.sh
# What the checkout makes serves, whichever version of it the checkout asks for.
for wheel in /run/dist/*.whl; do
    PYTHON_OVERRIDES="$PYTHON_OVERRIDES $(basename "$wheel" | sed 's/-.*//')@file://$wheel"
done
install_python /run/dist/*.whl
compile_venv
EOT

# Arguments go to the server, unless the first one is a program: `docker run IMAGE bash`.
ARG COMMAND="python3"
COPY --chmod=755 <<EOT /usr/local/bin/devbox-serve
#!/bin/sh
if [ -n "\$1" ] && command -v "\$1" >/dev/null; then exec "\$@"; fi
exec ${COMMAND} "\$@"
EOT

ARG SOURCE_VERSION=""
ARG SOURCE_COMMIT=""
LABEL org.opencontainers.image.version=${SOURCE_VERSION} \
    org.opencontainers.image.revision=${SOURCE_COMMIT}
WORKDIR ${HOME}
USER ${APP_UID}:0
ENTRYPOINT ["devbox-serve"]

# What the tests of the checkout need beside the release. The checkout itself is mounted when they run.
FROM release AS test
USER root

# TEST_REQUIREMENTS are packages and `-r FILE`, with files below the checkout's top.
ARG TEST_REQUIREMENTS="pytest pytest-asyncio pytest-timeout pytest-xdist"
# hadolint ignore=DL3003
RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=torch,source=/opt/devbox/bin/uv,target=/usr/local/bin/uv \
    --mount=type=bind,from=release-requirements,source=/requirements,target=/run/checkout \
    --mount=type=bind,from=wheels,target=/run/wheels \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/uv <<'EOT'
. /run/devbox/lib.sh
cd /run/checkout || exit
# shellcheck disable=SC2086  # a list of words
install_python $TEST_REQUIREMENTS
compile_venv
EOT

WORKDIR /workspaces
USER ${APP_UID}:0
ENTRYPOINT []
CMD ["bash"]
