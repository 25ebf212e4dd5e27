# Dynamo on the image of an engine, which is seen from its environment; or on a plain one for the frontend and the router.
FROM ${RUNTIME_IMAGE} AS runtime
USER root

ARG NIXL_VERSION=1.3.2
ARG NATS_VERSION=2.15.1
ARG PYTHON_VERSION=""

ENV VIRTUAL_ENV=/opt/venv \
    UV_LINK_MODE=copy \
    NIXL_PREFIX=/opt/nvidia/nvda_nixl \
    NIXL_LIB_DIR=/opt/nvidia/nvda_nixl/lib64 \
    NIXL_PLUGIN_DIR=/opt/nvidia/nvda_nixl/lib64/plugins \
    PATH=/opt/venv/bin:${PATH}

# What does not change with each commit comes first, in a layer of its own.
RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=fabric,target=/run/fabric \
    --mount=type=bind,from=final,target=/run/final \
    --mount=type=bind,from=nixl,target=/run/nixl \
    --mount=type=bind,from=wheels,target=/run/wheels \
    --mount=type=bind,from=devel,source=/opt/devbox/bin,target=/opt/uv \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    --mount=type=cache,target=/var/cache/uv <<'EOT'
. /run/devbox/lib.sh
. /run/fabric/fabric.sh
. /run/final/final.sh
python="python3-venv" python_dnf="python3.12"
! command -v python3 >/dev/null || python='' python_dnf=''
packages "ca-certificates curl etcd-client etcd-server ibverbs-providers jq libibverbs1 libnuma1 librdmacm1 $python" \
    "ca-certificates curl jq libibverbs librdmacm numactl-libs rdma-core shadow-utils $python_dnf"

PATH=$PATH:/opt/uv
make_environment
install_fabric
login_shells
account dynamo 1000
chmod -R g=u /opt/venv
settle
EOT

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=wheel,source=/dist,target=/run/dist \
    --mount=type=bind,from=wheels,target=/run/wheels \
    --mount=type=bind,from=devel,source=/opt/devbox/bin,target=/opt/uv \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/uv <<'EOT'
. /run/devbox/lib.sh
# What is new is the group's, too. A change of the rest would store it a second time.
umask 002
PATH=$PATH:/opt/uv
# An engine among the host's wheels goes before that of the runtime image.
for wheel in /run/wheels/vllm-*.whl /run/wheels/sglang-*.whl /run/wheels/tensorrt_llm-*.whl; do
    [ ! -f "$wheel" ] || set -- "$@" "$wheel"
done
install_python --find-links /run/dist /run/dist/*.whl "$@"
settle
EOT

ARG SOURCE_COMMIT=""
ENV DYNAMO_COMMIT_SHA=${SOURCE_COMMIT} \
    HOME=/home/dynamo
WORKDIR /home/dynamo
USER dynamo

# The word of the other frameworks for it.
FROM runtime AS release
