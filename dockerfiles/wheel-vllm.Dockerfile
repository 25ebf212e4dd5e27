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
