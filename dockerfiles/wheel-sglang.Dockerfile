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
