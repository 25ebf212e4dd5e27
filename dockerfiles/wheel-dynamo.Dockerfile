# The checkout: `--build-context source=DIR`.
FROM scratch AS source

# The wheels of Dynamo: its Rust runtime with Python bindings, its Python package, and the optional ones. One stage for the
# variants of all engines, which differ in their runtime alone.
FROM devel AS wheel

# 0 leaves the block manager (lib/bindings/kvbm) or the GPU memory service out, and so does a checkout without them.
ARG ENABLE_KVBM=1
ARG ENABLE_GPU_MEMORY_SERVICE=1
ARG BUILD_PROFILE=release
ARG MATURIN_OPTIONS=""
ARG MAX_JOBS=""
ARG MEMORY_PER_JOB=2048

# cargo reads .cargo/config.toml and rust-toolchain.toml from here upwards.
WORKDIR /run/source
RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=crates,target=/run/crates \
    --mount=type=bind,from=source,target=/run/source,rw \
    --mount=type=bind,from=wheels,target=/run/wheels \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=secret,id=sccache,required=false \
    --mount=type=cache,target=/var/cache/cargo \
    --mount=type=cache,target=/var/cache/sccache \
    --mount=type=cache,target=/var/cache/uv <<'EOT'
. /run/devbox/lib.sh
. /run/crates/cargo.sh
[ -f lib/bindings/python/Cargo.toml ] || {
    echo "devbox: no lib/bindings/python in the build context 'source'; name the checkout: --build-context source=DIR" >&2
    exit 1
}
cargo_begin "$(jobs "$MEMORY_PER_JOB")"
# shellcheck disable=SC2086  # a list of words
bindings() {
    maturin build --locked --profile "$BUILD_PROFILE" --interpreter /opt/venv/bin/python --out /dist \
        --manifest-path "$1/Cargo.toml" $MATURIN_OPTIONS
}
bindings lib/bindings/python
[ "$ENABLE_KVBM" = 0 ] || [ ! -f lib/bindings/kvbm/Cargo.toml ] || bindings lib/bindings/kvbm
compiler_cache_end

set -- .
[ "$ENABLE_GPU_MEMORY_SERVICE" = 0 ] || [ ! -f lib/gpu_memory_service/pyproject.toml ] || set -- "$@" lib/gpu_memory_service
for project in "$@"; do
    uv build --wheel --python /opt/venv/bin/python --find-links /run/wheels --out-dir /dist "$project"
done
rm -rf /dist/.gitignore /tmp/target
EOT
