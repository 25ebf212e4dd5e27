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
