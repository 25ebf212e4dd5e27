# The checkout's requirements/ folder, and nothing else of it: `--build-context checkout=DIR` puts it in place of this one.
FROM scratch AS checkout

# The files that a build reads: a change of any other installs nothing anew.
FROM scratch AS requirements
COPY --from=checkout *common.tx[t] *build*.tx[t] /
COPY --from=checkout buil[d] /build/

# What vLLM's own CMake needs: the build requirements of the checkout, in the environment that has torch.
FROM torch AS devel

# Files below requirements/. REQUIREMENTS is what vLLM needs to run: several gigabytes that a C++ build does not need, so they
# are installed only where RUNTIME is 1.
ARG BUILD_REQUIREMENTS=build/cuda.txt
ARG REQUIREMENTS=cuda.txt
ARG RUNTIME=0
ARG PYTHON_OVERRIDES=""

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=requirements,target=/run/checkout \
    --mount=type=bind,from=wheels,target=/run/wheels \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    --mount=type=cache,target=/var/cache/uv <<'EOT'
. /run/devbox/lib.sh
[ -f "/run/checkout/$BUILD_REQUIREMENTS" ] || {
    echo "devbox: the checkout has no requirements/$BUILD_REQUIREMENTS; choose another --variant, or a newer checkout" >&2
    exit 1
}
packages "libnuma-dev" "numactl-devel"
install_python -r "/run/checkout/$BUILD_REQUIREMENTS"
finish_venv
EOT

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=checkout,target=/run/checkout \
    --mount=type=bind,from=wheels,target=/run/wheels \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/uv <<'EOT'
[ "$RUNTIME" != 0 ] || exit 0
. /run/devbox/lib.sh
install_python -r "/run/checkout/$REQUIREMENTS"
finish_venv
EOT
