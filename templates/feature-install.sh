#!/bin/sh
# Installs one Feature in an image build: feature-install.sh ID. Its files are mounted at ../files, its options and the
# users lie beside this script. What it leaves in the image is what its own install.sh makes.
set -eu

id=$1
here=$(cd "$(dirname "$0")" && pwd)
work=/tmp/dev-container-features
mkdir -p "$work"
cp -R "$here/../files" "$work/$id"
chmod -R 0755 "$work/$id"

home() {
    { getent passwd "$1" 2>/dev/null || grep -E "^$1:|^[^:]*:[^:]*:$1:" /etc/passwd || true; } | head -n 1 | cut -d: -f6
}

# shellcheck disable=SC1091  # written for each build
. "$here/users.env"
cat "$here/users.env" >"$work/devcontainer-features.builtin.env"
cat >>"$work/devcontainer-features.builtin.env" <<END
_CONTAINER_USER_HOME="$(home "${_CONTAINER_USER%%:*}")"
_REMOTE_USER_HOME="$(home "${_REMOTE_USER%%:*}")"
END
cp "$here/options.env" "$work/$id/devcontainer-features.env"

# A private CA comes as a secret, and is named to each tool for as long as this runs.
bundle=/run/secrets/ca_bundle
if [ -s "$bundle" ]; then
    for variable in SSL_CERT_FILE REQUESTS_CA_BUNDLE PIP_CERT CURL_CA_BUNDLE GIT_SSL_CAINFO CARGO_HTTP_CAINFO \
        NODE_EXTRA_CA_CERTS; do
        export "$variable=$bundle"
    done
    echo "Acquire::https::CaInfo \"$bundle\";" >"$work/apt.conf"
    export APT_CONFIG="$work/apt.conf"
fi

cd "$work/$id"
set -a
# shellcheck disable=SC1091
. ../devcontainer-features.builtin.env
# shellcheck disable=SC1091
. ./devcontainer-features.env
set +a

code=0
./install.sh || code=$?
if [ "$code" -ne 0 ]; then
    echo "devbox: the Feature '$id' failed with exit code $code"
    exit "$code"
fi
cd /
rm -rf "$work"
