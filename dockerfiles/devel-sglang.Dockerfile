# The checkout's python/ folder, of which its pyproject.toml alone is read: `--build-context checkout=DIR`.
FROM scratch AS checkout

FROM scratch AS requirements
COPY --from=checkout pyproject.tom[l] /

# What the kernels' scikit-build needs, in the environment that has torch.
FROM torch AS devel

# BUILD_REQUIREMENTS is what the kernels' pyproject.toml asks for, and what its CMake uses. EXTRA is the extra of sglang's
# package with what it needs to run: several gigabytes that a C++ build does not need, installed only where RUNTIME is 1.
ARG BUILD_REQUIREMENTS="scikit-build-core>=0.10 wheel setuptools setuptools-scm numpy packaging pytest"
ARG EXTRA=""
ARG RUNTIME=0
ARG PYTHON_OVERRIDES=""

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=wheels,target=/run/wheels \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    --mount=type=cache,target=/var/cache/uv <<'EOT'
. /run/devbox/lib.sh
packages "libnuma-dev libibverbs-dev" "numactl-devel rdma-core-devel"
# shellcheck disable=SC2086  # a list of words
install_python $BUILD_REQUIREMENTS
finish_venv
EOT

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=requirements,target=/run/checkout \
    --mount=type=bind,from=wheels,target=/run/wheels \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/uv <<'EOT'
[ "$RUNTIME" != 0 ] || exit 0
. /run/devbox/lib.sh
[ -f /run/checkout/pyproject.toml ] || {
    echo "devbox: RUNTIME=1 reads the checkout's python/pyproject.toml: name its folder by --context checkout=python" >&2
    exit 1
}
install_python -r /run/checkout/pyproject.toml ${EXTRA:+--extra "$EXTRA"}
finish_venv
EOT
