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
