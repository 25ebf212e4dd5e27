# An empty folder of wheels. `--build-context wheels=DIR` puts a host's folder in its place.
FROM scratch AS wheels

# What the RUN lines below source. It is mounted for the length of a RUN and is in no layer of the result.
FROM scratch AS helpers
COPY <<'EOT' /lib.sh
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_CACHE_DIR=/var/cache/pip
export UV_CACHE_DIR=/var/cache/uv UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy

# A private CA comes as a secret. It is named to each tool, never put over the system's bundle: a package that brings
# ca-certificates could not replace a mounted file.
bundle=/run/secrets/ca_bundle
if [ -s "$bundle" ]; then
    for variable in SSL_CERT_FILE REQUESTS_CA_BUNDLE PIP_CERT CURL_CA_BUNDLE GIT_SSL_CAINFO CARGO_HTTP_CAINFO \
        NODE_EXTRA_CA_CERTS; do
        export "$variable=$bundle"
    done
else
    bundle=
fi

# Everything that this RUN creates is newer than this file.
started=$(mktemp)

# packages "APT NAMES" "DNF NAMES": install them, whichever of the two the image has.
# shellcheck disable=SC2086  # the lists are split into words
packages() {
    if command -v apt-get >/dev/null; then
        set -- $1
        apt_get update -qq
        apt_get install -qq -y --no-install-recommends "$@" >/dev/null
    elif command -v dnf >/dev/null; then
        set -- $2
        dnf install -q -y --setopt=install_weak_deps=False --setopt=cachedir=/var/cache/apt/dnf --setopt=keepcache=True \
            ${bundle:+--setopt=sslcacert="$bundle"} --allowerasing "$@"
    else
        echo "devbox: the base image has neither apt-get nor dnf" >&2
        exit 1
    fi
}

# Registry images throw downloaded packages away; the options after the image's own keep them in the cache mount.
apt_get() {
    cat >/tmp/apt.conf <<CONF
#clear DPkg::Post-Invoke;
#clear APT::Update::Post-Invoke;
Binary::apt::APT::Keep-Downloaded-Packages "true";
Dpkg::Use-Pty "false";
${bundle:+Acquire::https::CaInfo \"$bundle\";}
CONF
    apt-get -c /tmp/apt.conf "$@"
}

# Print the interpreter to build on: PYTHON_VERSION if it is set, else the distribution's own if it is 3.10 or newer, else the
# newest one there is.
interpreter() {
    wanted=${PYTHON_VERSION:-}
    for candidate in ${wanted:+"python$wanted"} python3 /usr/bin/python3.1[0-9] /opt/python/cp31[0-9]-cp31[0-9]/bin/python; do
        if "$candidate" -c 'import sys, venv, ensurepip; mine = "%d.%d" % sys.version_info[:2]
sys.exit(sys.version_info < (3, 10) or sys.argv[1] not in ("", mine))' "$wanted" 2>/dev/null; then
            found=$(command -v "$candidate")
            case $candidate in python*) break ;; esac
        fi
    done
    [ -n "${found:-}" ] || {
        echo "devbox: no Python ${wanted:-3.10 or newer} with venv in the base image" >&2
        exit 1
    }
    echo "$found"
}

# make_venv: make /opt/venv with torch: the one that the base image has, else one among the host's wheels in spite of
# TORCH_VERSION, else one from PyPI or TORCH_INDEX. In kept.txt stands what no requirement may replace.
make_venv() {
    python=$(interpreter)
    : >/tmp/kept.txt
    # cmake and ninja stay the ones of the toolchain.
    [ ! -d /opt/devbox ] || uv pip freeze -q --python /opt/devbox | grep -E '^(cmake|ninja)==' >/tmp/kept.txt
    if "$python" -c 'import torch' 2>/dev/null; then
        uv venv -q --seed --system-site-packages --python "$python" /opt/venv
        "$python" -c 'import importlib.metadata as m, re
for d in m.distributions():
    if re.match(r"(torch|triton|numpy|nvidia-|tensorrt)", d.name.lower()): print(f"{d.name}=={d.version}")' >>/tmp/kept.txt
        mv /tmp/kept.txt /opt/venv/
        return
    fi
    uv venv -q --seed --python "$python" /opt/venv
    if ls /run/wheels/torch-[0-9]*.whl >/dev/null 2>&1; then
        uv pip install -q --python /opt/venv --no-deps --no-index --find-links /run/wheels torch
        uv pip freeze --python /opt/venv | grep '^torch==' >>/tmp/kept.txt
    fi
    mv /tmp/kept.txt /opt/venv/
    install_python "torch${TORCH_VERSION:+==$TORCH_VERSION}"
}

# install_python REQUIREMENT…: into /opt/venv, by uv. What kept.txt names stays as it is, whatever the requirements pin; words
# of PYTHON_OVERRIDES ("certifi numpy<2") take the place of what they pin, such as a version that a mirror lacks.
install_python() {
    # shellcheck disable=SC2086  # a list of words
    printf '%s\n' ${PYTHON_OVERRIDES:-} | cat /opt/venv/kept.txt - >/tmp/overrides.txt
    set -- --override /tmp/overrides.txt "$@"
    # Where torch is there already, its index has nothing more to give, and may be out of reach.
    [ -z "${TORCH_INDEX:-}" ] || grep -q '^torch==' /opt/venv/kept.txt ||
        set -- --extra-index-url "$TORCH_INDEX" --index-strategy unsafe-best-match "$@"
    [ ! -d /run/wheels ] || set -- --find-links /run/wheels "$@"
    torch=$(torch_version)
    uv pip install --python /opt/venv "$@"
    rm /tmp/overrides.txt
    [ -z "$torch" ] || [ "$torch" = "$(torch_version)" ] ||
        echo "devbox: the requirements replace the shared layer's torch: --arg TORCH_VERSION=$(torch_version) stores one less" >&2
}
torch_version() { uv pip freeze -q --python /opt/venv | sed -n 's/^torch==//p'; }

# jobs MIB: print how many compiles that take MIB each may run at once: MAX_JOBS, else what CPUs and free memory allow.
jobs() {
    [ -z "${MAX_JOBS:-}" ] || { echo "$MAX_JOBS"; return; }
    awk -v mib="$1" -v cpus="$(nproc)" '/^MemAvailable:/ {
        n = int($2 / 1024 / mib); print n < 1 ? 1 : n < cpus ? n : cpus }' /proc/meminfo
}

# compiler_cache_begin: from here on CMake's compiles go through a cache. It is ccache in the cache mount /var/cache/ccache;
# or, where the secret `sccache` holds KEY=VALUE lines of a storage, sccache, with a server of this RUN's own.
compiler_cache_begin() {
    compiler_cache=ccache
    if [ -s /run/secrets/sccache ]; then
        while IFS= read -r line || [ -n "$line" ]; do
            case $line in [A-Z]*=*) export "${line?}" ;; esac
        done </run/secrets/sccache
        export SCCACHE_SERVER_UDS=/tmp/sccache.sock SCCACHE_IDLE_TIMEOUT=0
        if sccache --start-server >/tmp/sccache.log 2>&1; then
            compiler_cache=sccache
            export RUSTC_WRAPPER=sccache
        else
            # A storage out of reach must not fail a build. Its address may hold a password.
            echo "devbox: sccache cannot use its storage, so ccache is taken instead" >&2
            sed 's|://[^@ ]*@|://…@|g' /tmp/sccache.log >&2
        fi
        rm -f /tmp/sccache.log
    fi
    if [ "$compiler_cache" = ccache ]; then
        export CCACHE_DIR=/var/cache/ccache CCACHE_COMPILERCHECK=content CCACHE_MAXSIZE=20G \
            CCACHE_STATSLOG=/tmp/ccache.log
        : >"$CCACHE_STATSLOG"
    fi
    export CMAKE_C_COMPILER_LAUNCHER=$compiler_cache CMAKE_CXX_COMPILER_LAUNCHER=$compiler_cache \
        CMAKE_CUDA_COMPILER_LAUNCHER=$compiler_cache CMAKE_HIP_COMPILER_LAUNCHER=$compiler_cache
}

# compiler_cache_end: say in one line what the cache answered since compiler_cache_begin.
compiler_cache_end() {
    if [ "$compiler_cache" = sccache ]; then
        sccache --show-stats --stats-format=json >/tmp/cache.json
        sccache --stop-server >/dev/null 2>&1 || true
    else
        ccache --print-log-stats --format=json >/tmp/cache.json
        rm -f "$CCACHE_STATSLOG"
    fi
    /opt/devbox/bin/python -I -c 'import json, sys
cache, stats = sys.argv[1], json.load(open(sys.argv[2]))
if cache == "sccache":
    hits, misses = (sum(stats["stats"][key]["counts"].values()) for key in ("cache_hits", "cache_misses"))
else:
    hits, misses = stats["direct_cache_hit"] + stats["preprocessed_cache_hit"], stats["cache_miss"]
print("devbox-compiler-cache", json.dumps({"hits": hits, "misses": misses, "cache": cache}))' "$compiler_cache" /tmp/cache.json
    rm -f /tmp/cache.json
}

# settle FOLDER…: give what this RUN installed there one fixed time. Otherwise a rebuilt layer makes every object of every
# build tree look out of date. Not the epoch: ninja takes a time of 0 for a missing file.
settle() {
    for folder in "$@"; do
        [ ! -d "$folder" ] || find "$folder" -cnewer "$started" -exec touch -h -d '2000-01-01T00:00:00Z' {} +
    done
    rm -rf "$started" /tmp/apt.conf
}

# shared FOLDER…: let the members of the group devbox write there, so that the user can install into an environment that root
# made. It belongs into the RUN that made the files: later it would store all of them again.
shared() {
    find "$@" ! -group devbox -exec chgrp -h devbox {} +
    find "$@" ! -type l ! -perm -g=w -exec chmod g+rwX {} +
    find "$@" -type d ! -perm -g=s -exec chmod g+s {} +
}

# compile_venv: compile what was installed, since a user that is not root cannot. A .pyc holds the time of its source, so it
# comes after settle; what torch brings for newer Pythons does not compile.
compile_venv() {
    /opt/venv/bin/python -m compileall -qq -j 0 /opt/venv/lib || true
}

# finish_venv: what ends each RUN that installs into /opt/venv of a devel stage.
finish_venv() {
    # The programs themselves, not the Python wrappers of the wheels.
    for program in cmake ctest cpack ninja; do
        ln -sf "/usr/local/bin/$program" "/opt/venv/bin/$program"
    done
    settle /opt/venv /opt/devbox /usr/include
    compile_venv
    shared /opt/venv
    devbox-toolchain
}
EOT
