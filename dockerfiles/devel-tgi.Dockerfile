# A site's own TensorRT, as NVIDIA's archive has it (include/, lib/): `--build-context tensorrt=DIR`.
FROM scratch AS tensorrt

# Text Generation Inference with its TensorRT-LLM backend: Rust, whose build script runs CMake, MPI, UCX, NCCL and TensorRT.
FROM rust AS devel

# NCCL's version where PyPI's wheel is taken, because the base image and its package sources have none.
ARG NCCL_VERSION=2.32.3

ENV CMAKE_PREFIX_PATH=/usr/local/mpi:/usr/local/tensorrt \
    PKG_CONFIG_PATH=/usr/local/mpi/lib/pkgconfig:/usr/local/lib/pkgconfig \
    TENSORRT_INSTALL_PREFIX=/usr/local/tensorrt \
    TGI_INSTALL_PREFIX=/usr/local/tgi \
    OMPI_ALLOW_RUN_AS_ROOT=1 \
    OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=tensorrt,target=/run/tensorrt \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked <<'EOT'
. /run/devbox/lib.sh
packages "libibverbs-dev libopenmpi-dev libucx-dev openmpi-bin python3-setuptools" "openmpi-devel rdma-core-devel ucx-devel"

# What only some package sources have: a compiler for C++23, and NVIDIA's own for NCCL and TensorRT, which its images name.
known() {
    if command -v apt-cache >/dev/null; then
        apt-cache policy "$1" | grep -q 'Candidate: [0-9]'
    else
        dnf -q list "$1" >/dev/null 2>&1
    fi
}
names=
for name in gcc-14 g++-14 libnccl-dev libnvinfer-dev libnvinfer-plugin-dev libnvonnxparsers-dev; do
    ! known "$name" || names="$names $name"
done
[ -z "$names" ] || packages "$names" "$names"

# The places where the backend looks, whichever way a library came.
libraries=$(echo /usr/lib/*-linux-gnu)
[ -d "$libraries" ] || libraries=/usr/lib64
mkdir -p /usr/local/mpi /usr/local/tensorrt /usr/local/tgi/include /usr/local/tgi/lib /usr/local/lib/pkgconfig
module=$(find "$libraries" -path '*openmpi*/ompi.pc' | head -n 1)
ln -s "${module%/pkgconfig/*}" /usr/local/mpi/lib

if [ -f /run/tensorrt/include/NvInfer.h ]; then
    cp -a /run/tensorrt/include /run/tensorrt/lib /usr/local/tensorrt/
    echo /usr/local/tensorrt/lib >/etc/ld.so.conf.d/tensorrt.conf
elif header=$(find /usr/include -name NvInfer.h | grep .); then
    ln -s "$(dirname "$header")" /usr/local/tensorrt/include
    ln -s "$libraries" /usr/local/tensorrt/lib
else
    # PyPI's wheels of TensorRT are programs that fetch the libraries from NVIDIA, and have no headers.
    echo "devbox: no TensorRT: neither the build context 'tensorrt' nor a package has it; the Rust part builds without" >&2
fi

# CUDA from wheels has no pkg-config files. The build script asks for these by a name with or without a version.
for name in cuda cudart cublas nvidia-ml; do
    pkg-config --exists "$name" || pkg-config --exists "$name-${CUDA_VERSION:-}" ||
        printf 'Name: %s\nDescription: %s\nVersion: %s\nLibs: -L%s -l%s\nCflags: -I/usr/local/cuda/include\n' \
            "$name" "$name" "${CUDA_VERSION:-0}" "/usr/local/cuda/lib64 -L/usr/local/cuda/lib64/stubs" "$name" \
            >"/usr/local/lib/pkgconfig/$name.pc"
done
ldconfig
# cargo and CMake install there while they build, whoever runs them.
shared /usr/local/tgi
settle /usr/local/include /usr/local/tensorrt /usr/include /usr/lib/gcc
devbox-toolchain
EOT

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/pip <<'EOT'
! find /usr/include /usr/local/cuda/include -name nccl.h | grep -q . || exit 0
. /run/devbox/lib.sh
major=${CUDA_VERSION:-13}
/opt/devbox/bin/pip install -q --no-compile --no-deps --target /tmp/nccl "nvidia-nccl-cu${major%%.*}==$NCCL_VERSION"
mv /tmp/nccl/nvidia/nccl/include/* /usr/local/include/
mv /tmp/nccl/nvidia/nccl/lib/libnccl.so.2 /usr/local/lib/
ln -s libnccl.so.2 /usr/local/lib/libnccl.so
ldconfig
rm -r /tmp/nccl
settle /usr/local/include
devbox-toolchain
EOT
