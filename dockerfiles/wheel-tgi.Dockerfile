# The checkout: `--build-context source=DIR`.
FROM scratch AS source

# The server as its release image has it: the program, and what its CMake part installs at PREFIX.
FROM devel AS wheel

ARG CUDA_ARCHS=""
ARG BUILD_PROFILE=release
ARG CARGO_PACKAGE=text-generation-backends-trtllm
ARG PREFIX=/usr/local/tgi
ARG MAX_JOBS=""
ARG MEMORY_PER_JOB=5120

# The build script takes its settings from the environment of its own compile.
ENV CMAKE_INSTALL_PREFIX=${PREFIX}

# cargo reads .cargo/config.toml and rust-toolchain.toml from here upwards.
WORKDIR /run/source
RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=crates,target=/run/crates \
    --mount=type=bind,from=final,target=/run/final \
    --mount=type=bind,from=source,target=/run/source,rw \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=secret,id=sccache,required=false \
    --mount=type=cache,target=/var/cache/cargo \
    --mount=type=cache,target=/var/cache/sccache <<'EOT'
. /run/devbox/lib.sh
. /run/crates/cargo.sh
. /run/final/final.sh
[ -f Cargo.toml ] || {
    echo "devbox: no Cargo.toml in the build context 'source'; name the checkout: --build-context source=DIR" >&2
    exit 1
}
cargo_begin "$(jobs "$MEMORY_PER_JOB")"
[ -z "$CUDA_ARCHS" ] || export CUDA_ARCH_LIST="$CUDA_ARCHS"
export USE_LLD_LINKER=ON
cargo build --locked --profile "$BUILD_PROFILE" --package "$CARGO_PACKAGE" --bin "$CARGO_PACKAGE"
compiler_cache_end

profile=$BUILD_PROFILE
# cargo's folder for the profile `dev`.
[ "$profile" != dev ] || profile=debug
mkdir -p "$PREFIX/bin"
cp "/tmp/target/$profile/$CARGO_PACKAGE" "$PREFIX/bin/text-generation-launcher"
cp -a "$PREFIX" /dist
needs /dist /needs/packages /needs/lib
rm -rf /tmp/target
EOT
