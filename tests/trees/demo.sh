#!/usr/bin/env bash
# The main job on the small CUDA tree beside this script: up, build, edit a kernel, build again, status.
#
# Usage: tests/trees/demo.sh     (`make demo`; devbox must be on PATH; KEEP=1 keeps the folder, the container and its volumes)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d "${TMPDIR:-/tmp}/devbox-demo.XXXXXX")
work=$folder/saxpy

show() {
    printf '\n$ %s\n' "$*"
    "$@"
}

finish() {
    local code=$?
    trap - EXIT
    cd "$here"
    if [ -n "${KEEP:-}" ]; then
        printf '\nkept: %s\n' "$work"
    elif [ "$code" -ne 0 ]; then
        # The error that stands above is the one to read: what is tidied up now says nothing.
        [ ! -d "$work" ] || (cd "$work" && devbox down --volumes --yes) >/dev/null 2>&1 || true
        rm -rf "$folder"
    else
        (cd "$work" && show devbox down --volumes --yes) || code=1
        rm -rf "$folder"
    fi
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cp -R "$here/saxpy" "$work"
cd "$work"
git init --quiet --initial-branch=main .
git add --all
git -c user.name=demo -c user.email=demo@localhost commit --quiet --message 'A small CUDA tree'

show devbox up --yes
show devbox build --incremental --seed-from none
show sed -i 's/kThreads = 256/kThreads = 128/' kernels/axpy.cu
show devbox build --incremental
show devbox status
