USER ${DEV_NAME}
WORKDIR /workspaces

# What the small images share. It is mounted for the length of a RUN and is in no layer of the result.
FROM scratch AS final
COPY <<'EOT' /final.sh
# account NAME UID: a user of group 0 whose home the group may write, so that the image runs under any uid of that group, too.
# An account that has the uid or the name already becomes this one.
account() {
    owner=$(getent passwd "$2" | cut -d: -f1)
    if [ -z "$owner" ] && ! getent passwd "$1" >/dev/null; then
        # Without --no-log-init a high uid makes a sparse log file of many gigabytes, which a layer stores in full.
        useradd --no-log-init --no-create-home -u "$2" -g 0 -d "/home/$1" -s "$(command -v bash || command -v sh)" "$1"
    else
        sed -i "s|^${owner:-$1}:\([^:]*\):[^:]*:[^:]*:\([^:]*\):[^:]*|$1:\1:$2:0:\2:/home/$1|" /etc/passwd
    fi
    install -d -o "$2" -g 0 -m 0775 "/home/$1" "/home/$1/.cache"
}

# needs FOLDER LIST LIBRARIES: name in LIST the OS packages of the libraries that the programs below FOLDER load, and copy to
# LIBRARIES those that no package has, such as CUDA's where it came from wheels. The driver's own are the host's.
needs() {
    mkdir -p "$3"
    : >"$2"
    find "$1" -type f -exec sh -c 'head -c 4 "$1" | grep -q ELF' - {} \; -print >/tmp/programs
    while read -r program; do
        LD_LIBRARY_PATH=$1/lib:$1/lib64 ldd "$program" 2>/dev/null || true
    done </tmp/programs | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u >/tmp/libraries
    while read -r library; do
        case $library in "$1"/*) continue ;; esac
        file=$(realpath "$library")
        if command -v dpkg-query >/dev/null; then
            owner=$(dpkg-query -S "*/${file##*/}" 2>/dev/null | sed -n '1s/:.*//p')
        else
            owner=$(rpm -qf --qf '%{NAME}\n' "$file" 2>/dev/null) || owner=
        fi
        if [ -n "$owner" ]; then echo "$owner" >>"$2"; else cp "$file" "$3/${library##*/}"; fi
    done </tmp/libraries
    sort -u -o "$2" "$2"
    rm /tmp/programs /tmp/libraries
}

# install_needs FOLDER: install what `needs` named there, on an image of the same distribution.
install_needs() {
    names=$(tr '\n' ' ' <"$1/packages")
    [ -z "$names" ] || packages "$names" "$names"
    find "$1/lib" -type f -exec cp {} /usr/local/lib/ \;
    echo /usr/local/lib >/etc/ld.so.conf.d/devbox.conf
    ldconfig
}

# lay FROM TO: put a tree there as root's own, whoever owned it where it was built.
lay() {
    umask 022
    mkdir -p "$2"
    cp -r --preserve=links,timestamps "$1/." "$2/"
}
EOT

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

# What a build makes, and nothing else: `--output DIR` puts it on the host.
FROM scratch AS dist
COPY --from=wheel /dist /

# The installed tree with the libraries that it loads, and neither compilers nor sources. It runs as a user without rights.
FROM ${RUNTIME_IMAGE} AS release
USER root

ARG PREFIX=/usr/local
ARG APP_NAME=app
ARG APP_UID=1000

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=final,target=/run/final \
    --mount=type=bind,from=wheel,source=/dist,target=/run/dist \
    --mount=type=bind,from=wheel,source=/needs,target=/run/needs \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked <<'EOT'
. /run/devbox/lib.sh
. /run/final/final.sh
install_needs /run/needs
lay /run/dist "$PREFIX"
ldconfig
account "$APP_NAME" "$APP_UID"
settle
EOT

ENV HOME=/home/${APP_NAME} \
    PATH=${PREFIX}/bin:${PATH}
WORKDIR ${HOME}
USER ${APP_UID}:0
