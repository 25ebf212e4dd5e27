# What the tests of the checkout need beside the release. The checkout itself is mounted when they run.
FROM release AS test
USER root

# TEST_REQUIREMENTS are packages and `-r FILE`, with files below the checkout's top.
ARG TEST_REQUIREMENTS="pytest pytest-asyncio pytest-timeout pytest-xdist"
# hadolint ignore=DL3003
RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=torch,source=/opt/devbox/bin/uv,target=/usr/local/bin/uv \
    --mount=type=bind,from=release-requirements,source=/requirements,target=/run/checkout \
    --mount=type=bind,from=wheels,target=/run/wheels \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/uv <<'EOT'
. /run/devbox/lib.sh
cd /run/checkout || exit
# shellcheck disable=SC2086  # a list of words
install_python $TEST_REQUIREMENTS
compile_venv
EOT

WORKDIR /workspaces
USER ${APP_UID}:0
ENTRYPOINT []
CMD ["bash"]
