# The lists of requirements, and nothing else of the checkout: a change of any other file installs nothing anew.
FROM scratch AS dev-requirements
COPY --from=source pyproject.tom[l] containe[r]/dep[s]/requirement*.tx[t] /

# devel with what people and tests want beside the compilers. It runs as root, as Dynamo's own `dev` does; `user` is the one
# for a person.
FROM devel AS dev
USER root

# BACKEND names an extra of the checkout's pyproject.toml (vllm, sglang, trtllm): with it the engine itself, many gigabytes.
ARG BACKEND=""

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked <<'EOT'
. /run/devbox/lib.sh
packages "autoconf automake fd-find htop iproute2 iputils-ping jq libtool ltrace nano net-tools ripgrep strace tmux tree valgrind
    vim zsh" \
    "autoconf automake htop iproute iputils jq libtool ltrace nano net-tools strace tmux tree valgrind vim-enhanced zsh"
settle /usr/include
devbox-toolchain
EOT

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=dev-requirements,target=/run/checkout \
    --mount=type=bind,from=wheels,target=/run/wheels \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/uv <<'EOT'
. /run/devbox/lib.sh
set --
for list in common test dev; do
    file=/run/checkout/requirements.$list.txt
    [ ! -f "$file" ] || set -- "$@" -r "$file"
done
[ -z "$BACKEND" ] || set -- "$@" -r /run/checkout/pyproject.toml --extra "$BACKEND"
[ $# = 0 ] || install_python "$@"
finish_venv
EOT
