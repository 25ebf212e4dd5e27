# The checkout: `--build-context source=DIR`.
FROM scratch AS source

# The tree as it installs itself, to be laid at PREFIX: built by its own CMake, with the compiler cache.
FROM devel AS wheel

# CMAKE_OPTIONS are further ones, quoted as for a shell: "-DGGML_NATIVE=OFF -DNAME='a b'".
ARG CUDA_ARCHS=""
ARG BUILD_TYPE=Release
ARG CMAKE_OPTIONS=""
ARG PREFIX=/usr/local
ARG MAX_JOBS=""
ARG MEMORY_PER_JOB=2048

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=final,target=/run/final \
    --mount=type=bind,from=source,target=/run/source,rw \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=secret,id=sccache,required=false \
    --mount=type=cache,target=/var/cache/ccache <<'EOT'
. /run/devbox/lib.sh
. /run/final/final.sh
[ -f /run/source/CMakeLists.txt ] || {
    echo "devbox: no CMakeLists.txt in the build context 'source'; name the checkout: --build-context source=DIR" >&2
    exit 1
}
compiler_cache_begin
eval "set -- $CMAKE_OPTIONS"
[ -z "$CUDA_ARCHS" ] || set -- "-DCMAKE_CUDA_ARCHITECTURES=$CUDA_ARCHS" "$@"
cmake -G Ninja -S /run/source -B /tmp/build "-DCMAKE_BUILD_TYPE=$BUILD_TYPE" "-DCMAKE_INSTALL_PREFIX=$PREFIX" "$@"
cmake --build /tmp/build --parallel "$(jobs "$MEMORY_PER_JOB")"
compiler_cache_end

DESTDIR=/tmp/install cmake --install /tmp/build --strip
[ -d "/tmp/install$PREFIX" ] || {
    echo "devbox: the tree installs nothing below $PREFIX: its CMakeLists.txt needs an install() rule for what it makes" >&2
    exit 1
}
mv "/tmp/install$PREFIX" /dist
needs /dist /needs/packages /needs/lib
rm -rf /tmp/build /tmp/install
EOT
