# The checkout: `--build-context source=DIR` puts it in place of this one.
FROM scratch AS source

# The wheel, by the checkout's own script: it generates sources, compiles and packs in one go. Only the compiler cache makes a
# second build quick.
FROM devel AS wheel

# CUDA_ARCHS is CMake's list ("90-real;100-real"); "" compiles for all that TensorRT-LLM is tuned for. BUILD_WHEEL_ARGS are
# further options of the script, GITHUB_MIRROR is where it fetches from instead of https://github.com.
ARG CUDA_ARCHS=""
ARG MAX_JOBS=""
ARG MEMORY_PER_JOB=5120
ARG BUILD_WHEEL_SCRIPT=scripts/build_wheel.py
ARG BUILD_WHEEL_ARGS="--clean"
ARG GITHUB_MIRROR=""

WORKDIR /workspaces/trtllm
RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=source,target=/workspaces/trtllm,rw \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=secret,id=sccache,required=false \
    --mount=type=cache,target=/var/cache/pip \
    --mount=type=cache,target=/var/cache/ccache <<'EOT'
. /run/devbox/lib.sh
[ -f "$BUILD_WHEEL_SCRIPT" ] || {
    echo "devbox: no $BUILD_WHEEL_SCRIPT in the build context 'source'; name the checkout: --build-context source=DIR" >&2
    exit 1
}
compiler_cache_begin
export CCACHE_BASEDIR=/workspaces/trtllm GITHUB_MIRROR
# What the script knows differs from release to release.
knows() { grep -q -e "\"$1\"" -e "'$1'" "$BUILD_WHEEL_SCRIPT"; }
set -- --dist_dir /dist -j "$(jobs "$MEMORY_PER_JOB")"
[ -z "$CUDA_ARCHS" ] || set -- "$@" --cuda_architectures "$CUDA_ARCHS"
# It would make an environment of its own, in the checkout.
! knows --no-venv || set -- "$@" --no-venv
# shellcheck disable=SC2086  # a list of words
python "$BUILD_WHEEL_SCRIPT" "$@" $BUILD_WHEEL_ARGS
compiler_cache_end
EOT
