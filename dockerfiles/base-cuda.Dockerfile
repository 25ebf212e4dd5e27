# A CUDA toolchain from Debian packages and NVIDIA's wheels on PyPI, in the layout of NVIDIA's own images.
FROM ${BASE_IMAGE} AS base

# CUDA_TOOLKIT is a version of PyPI's `cuda-toolkit`, which pins all parts of one CUDA release to each other. Without `crt`
# and `nvvm` among the parts nvcc pulls the newest of them, which belong to another release.
ARG CUDA_VERSION=13.0
ARG CUDA_TOOLKIT=13.0.2
ARG CUDA_PARTS=nvcc,crt,nvvm,cudart,cccl,nvrtc,nvjitlink,cublas,cufft,curand,cusolver,cusparse,nvtx,profiler

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    --mount=type=cache,target=/var/cache/pip <<'EOT'
. /run/devbox/lib.sh
packages "build-essential ca-certificates python3 python3-venv" "gcc gcc-c++ make ca-certificates python3.12"

cuda=/usr/local/cuda-$CUDA_VERSION
"$(interpreter)" -m venv /tmp/pip
/tmp/pip/bin/pip install -q --no-compile --target /tmp/wheels "cuda-toolkit[$CUDA_PARTS]==$CUDA_TOOLKIT"
mv /tmp/wheels/nvidia/cu13 "$cuda"
rm -rf /tmp/pip /tmp/wheels

# What the wheels leave out of an installed toolkit: execute bits, lib64, and the links that a linker and CMake look for.
ln -s "$cuda" /usr/local/cuda
ln -s lib "$cuda/lib64"
chmod +x "$cuda"/bin/* "$cuda"/nvvm/bin/*
rm -f "$cuda"/lib/*.alt.so*
for library in "$cuda"/lib/lib*.so.*; do
    link=${library%%.so.*}.so
    [ -e "$link" ] || ln -s "$(basename "$library")" "$link"
done
echo "$cuda/lib64" >/etc/ld.so.conf.d/devbox-cuda.conf
ldconfig
printf '{"cuda": {"name": "CUDA SDK", "version": "%s"}}\n' "$CUDA_TOOLKIT" >"$cuda/version.json"

# No wheel holds a libcuda to link with, since the real one comes with the driver. So one is made from the functions that
# cuda.h declares. It is for the linker alone: each function says CUDA_ERROR_STUB_LIBRARY (34).
mkdir "$cuda/lib/stubs"
gcc -E -P -D__CUDA_API_VERSION_INTERNAL "$cuda/include/cuda.h" | tr '\n;' ' \n' |
    sed -n 's/.*CUresult  *\(cu[A-Za-z0-9_]*\) *(.*/int \1(void) { return 34; }/p' | sort -u >/tmp/stub.c
gcc -shared -fPIC -Os -w -Wl,-soname,libcuda.so.1 -o "$cuda/lib/stubs/libcuda.so" /tmp/stub.c
rm /tmp/stub.c

settle "$cuda" /usr/include /usr/lib/gcc
EOT

# No NVIDIA_VISIBLE_DEVICES here: it would hand every GPU to a container that asked for none.
ENV CUDA_HOME=/usr/local/cuda \
    CUDA_VERSION=${CUDA_VERSION} \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PATH=/usr/local/cuda/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
