# torch in a virtual environment of its own layer: the same text, arguments and base give the same layer in every framework.
FROM toolchain AS torch

# TORCH_VERSION is the version that checkouts pin; "" is the newest. TORCH_INDEX is where a torch comes from that PyPI lacks.
# PYTHON_VERSION ("3.12") is one that the base image or its distribution has.
ARG TORCH_VERSION=2.14.0
ARG TORCH_INDEX=""
ARG PYTHON_VERSION=""
ARG UV_VERSION=0.13.8

ENV VIRTUAL_ENV=/opt/venv \
    UV_LINK_MODE=copy \
    PATH=/opt/venv/bin:${PATH}

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=wheels,target=/run/wheels \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    --mount=type=cache,target=/var/cache/pip \
    --mount=type=cache,target=/var/cache/uv <<'EOT'
. /run/devbox/lib.sh
if [ -n "$PYTHON_VERSION" ] && ! command -v "python$PYTHON_VERSION" >/dev/null; then
    packages "python$PYTHON_VERSION python$PYTHON_VERSION-dev python$PYTHON_VERSION-venv" \
        "python$PYTHON_VERSION python$PYTHON_VERSION-devel" || {
        echo "devbox: no Python $PYTHON_VERSION: the base image has none, and its distribution gives none; leave --python out," \
            "or name another base (--base-image)" >&2
        exit 1
    }
fi
/opt/devbox/bin/pip install -q --no-compile "uv==$UV_VERSION"
ln -s /opt/devbox/bin/uv /opt/devbox/bin/uvx /usr/local/bin/

make_venv
finish_venv
EOT
