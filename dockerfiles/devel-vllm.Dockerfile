# The checkout's requirements/ folder, and nothing else of it: `--build-context checkout=DIR` puts it in place of this one.
FROM scratch AS checkout

# What vLLM's own CMake needs: the build requirements of the checkout, torch among them, in one virtual environment.
FROM toolchain AS devel

# Files below requirements/. REQUIREMENTS is what vLLM needs to run: several gigabytes that a C++ build does not need, so they
# are installed only where RUNTIME is 1. TORCH_INDEX is where a torch that PyPI lacks comes from.
ARG BUILD_REQUIREMENTS=build/cuda.txt
ARG REQUIREMENTS=cuda.txt
ARG RUNTIME=0
ARG TORCH_INDEX=""
ARG UV_VERSION=0.13.8

ENV VIRTUAL_ENV=/opt/venv \
    UV_LINK_MODE=copy \
    PATH=/opt/venv/bin:${PATH}

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=checkout,target=/run/checkout \
    --mount=type=bind,from=wheels,target=/run/wheels \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    --mount=type=cache,target=/var/cache/pip \
    --mount=type=cache,target=/var/cache/uv <<'EOT'
. /run/devbox/lib.sh
[ -f "/run/checkout/$BUILD_REQUIREMENTS" ] || {
    echo "devbox: the checkout has no requirements/$BUILD_REQUIREMENTS; choose another --variant, or a newer checkout" >&2
    exit 1
}
packages "libnuma-dev" "numactl-devel"

export UV_CACHE_DIR=/var/cache/uv UV_PYTHON_DOWNLOADS=never
/opt/devbox/bin/pip install -q --no-compile "uv==$UV_VERSION"
ln -s /opt/devbox/bin/uv /opt/devbox/bin/uvx /usr/local/bin/
uv venv -q --seed --python "$(interpreter)" /opt/venv

# cmake and ninja stay the ones of the toolchain, whatever newer ones the requirements allow.
uv pip freeze -q --python /opt/devbox/bin/python | grep -E '^(cmake|ninja)==' >/tmp/overrides.txt

# A torch among the host's wheels is used as it is, in spite of the checkout's pin. Else it comes from PyPI or TORCH_INDEX.
set -- -r "/run/checkout/$BUILD_REQUIREMENTS"
[ "$RUNTIME" = 0 ] || set -- "$@" -r "/run/checkout/$REQUIREMENTS"
if ls /run/wheels/torch-[0-9]*.whl >/dev/null 2>&1; then
    uv pip install -q --no-deps --no-index --find-links /run/wheels torch
    uv pip freeze | grep '^torch==' >>/tmp/overrides.txt
    set -- "$@" --find-links /run/wheels
elif [ -n "$TORCH_INDEX" ]; then
    set -- "$@" --extra-index-url "$TORCH_INDEX" --index-strategy unsafe-best-match
fi
uv pip install --override /tmp/overrides.txt "$@"
rm /tmp/overrides.txt

# The programs themselves, not the Python wrappers of the wheels.
for program in cmake ctest cpack ninja; do
    ln -sf "/usr/local/bin/$program" "/opt/venv/bin/$program"
done

settle /opt/venv /opt/devbox /usr/include
# Only now: a .pyc holds the time of its source.
/opt/venv/bin/python -m compileall -q -j 0 /opt/venv/lib || true
shared /opt/venv
devbox-toolchain
EOT
