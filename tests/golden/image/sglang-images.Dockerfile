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

# The kernels' own folder, which moved in 2026: an edit elsewhere compiles nothing.
FROM toolchain AS kernel-source
WORKDIR /run/source
RUN --mount=type=bind,from=source,target=/run/source <<'EOT'
set -eu
mkdir /kernels
for folder in python/sglang/kernels/aot sgl-kernel; do
    [ ! -e "$folder/pyproject.toml" ] || { cp -a "$folder/." /kernels; exit; }
done
echo "devbox: no kernels of SGLang in the build context 'source'; name the checkout: --build-context source=DIR" >&2
exit 1
EOT

FROM devel AS kernels

# KERNELS is 0 where the kernels come from PyPI. KERNEL_PROJECT is the file that describes them on this hardware, such as
# pyproject_cpu.toml. CUDA_ARCHS only says whether kernels for GPUs before 9.0 are made, too.
ARG KERNELS=1
ARG KERNEL_PROJECT=pyproject.toml
ARG CUDA_ARCHS=""
ARG NVCC_THREADS=1
ARG MAX_JOBS=""
ARG MEMORY_PER_JOB=8192
ARG CMAKE_ARGS=""

WORKDIR /workspaces/sglang/kernels
RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=kernel-source,source=/kernels,target=/workspaces/sglang/kernels,rw \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=secret,id=sccache,required=false \
    --mount=type=cache,target=/var/cache/ccache <<'EOT'
. /run/devbox/lib.sh
mkdir -p /kernels
[ "$KERNELS" != 0 ] || exit 0
compiler_cache_begin
[ "$KERNEL_PROJECT" = pyproject.toml ] || cp "$KERNEL_PROJECT" pyproject.toml
case ";$CUDA_ARCHS" in
\;) older= ;;
*[!0-9][5-8][0-9]* | *[!0-9][5-8].*) older=-DENABLE_BELOW_SM90=ON ;;
*) older=-DENABLE_BELOW_SM90=OFF ;;
esac
CMAKE_BUILD_PARALLEL_LEVEL=$(jobs "$((MEMORY_PER_JOB * NVCC_THREADS))")
# With its own option for ccache, the compiler would be called through two caches.
export CMAKE_BUILD_PARALLEL_LEVEL CMAKE_POLICY_VERSION_MINIMUM=3.5 \
    CMAKE_ARGS="-DENABLE_CCACHE=OFF $older -DSGL_KERNEL_COMPILE_THREADS=$NVCC_THREADS $CMAKE_ARGS"
python -m pip wheel -q --no-deps --no-build-isolation --config-settings=build-dir=/tmp/build --wheel-dir /kernels .
compiler_cache_end
rm -rf /tmp/build
EOT

# The wheels of the package, which is Python alone, and of its kernels.
FROM devel AS wheel

ARG SOURCE_VERSION=""

WORKDIR /workspaces/sglang
RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=source,target=/workspaces/sglang,rw \
    --mount=type=bind,from=kernels,source=/kernels,target=/run/kernels \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/uv <<'EOT'
. /run/devbox/lib.sh
# setuptools-scm has no .git to ask.
[ -z "$SOURCE_VERSION" ] || export SETUPTOOLS_SCM_PRETEND_VERSION="$SOURCE_VERSION"
uv build -q --wheel --python /opt/venv --out-dir /dist python
cp /run/kernels/*.whl /dist 2>/dev/null || true
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
