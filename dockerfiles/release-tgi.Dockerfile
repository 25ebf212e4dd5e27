# The server with the libraries that it loads and what it needs to read tokenizers. It runs as a user without rights.
FROM ${RUNTIME_IMAGE} AS release
USER root

ARG PREFIX=/usr/local/tgi
ARG TRANSFORMERS="transformers tokenizers"

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=final,target=/run/final \
    --mount=type=bind,from=devel,source=/opt/devbox/bin,target=/opt/uv \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    --mount=type=cache,target=/var/cache/uv <<'EOT'
. /run/devbox/lib.sh
. /run/final/final.sh
packages "ca-certificates openmpi-bin python3-venv" "ca-certificates openmpi python3.12 shadow-utils"
PATH=$PATH:/opt/uv
uv venv -q --python "$(interpreter)" /opt/venv
: >/opt/venv/kept.txt
# shellcheck disable=SC2086  # a list of words
install_python $TRANSFORMERS
account tgi 1000
settle
EOT

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
echo "$PREFIX/lib" >/etc/ld.so.conf.d/tgi.conf
ldconfig
settle
EOT

ENV HOME=/home/tgi \
    PATH=${PREFIX}/bin:/opt/venv/bin:${PATH} \
    OMPI_MCA_plm_rsh_agent=""
# hadolint ignore=DL3064
ENV TOKENIZERS_PARALLELISM=false
WORKDIR /usr/local/tgi/bin
USER tgi
ENTRYPOINT ["text-generation-launcher"]
CMD ["--executor-worker", "/usr/local/tgi/bin/executorWorker"]
