# An empty folder of wheels. `--build-context wheels=DIR` puts a host's folder in its place.
FROM scratch AS wheels

# What the RUN lines below source. It is mounted for the length of a RUN and is in no layer of the result.
FROM scratch AS helpers
COPY <<'EOT' /lib.sh
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_CACHE_DIR=/var/cache/pip

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

# Print the interpreter to build on: the distribution's own if it is 3.10 or newer, else the newest one there is.
interpreter() {
    for candidate in python3 /usr/bin/python3.1[0-9] /opt/python/cp31[0-9]-cp31[0-9]/bin/python; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            found=$(command -v "$candidate")
            case $candidate in python3) break ;; esac
        fi
    done
    [ -n "${found:-}" ] || { echo "devbox: no Python 3.10 or newer with venv in the base image" >&2; exit 1; }
    echo "$found"
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
# made. It belongs into the RUN that made the folder: later it would store all of it again.
shared() {
    chgrp -R devbox "$@"
    chmod -R g+rwX "$@"
    find "$@" -type d -exec chmod g+s {} +
}
EOT
