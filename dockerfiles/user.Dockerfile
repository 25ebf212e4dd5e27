# The host's user, in a layer of kilobytes: no package, no recursive chown, nothing from the build context.
FROM devel AS user
USER root

ARG DEV_UID=1001
ARG DEV_GID=1001
ARG DEV_NAME=dev
ARG DEV_HOME=/home/dev
ARG DEV_CACHES="ccache"

# nvcc's flags that clang does not know. clangd reads this for the user, so that no checkout needs a .clangd file.
COPY <<'EOT' /etc/devbox/clangd.yaml
If:
  PathMatch: .*\.cuh?
CompileFlags:
  Add: [-xcuda, -Wno-unknown-cuda-version]
  Remove:
    - -arch*
    - -ccbin*
    - -code*
    - -compress-all
    - --compiler-bindir*
    - --compress-*
    - --default-stream*
    - --diag*
    - -diag-*
    - --expt-*
    - --extended-lambda
    - -forward-unknown-*
    - --forward-unknown-*
    - -gencode*
    - --generate-*
    - --gpu-*
    - -lineinfo
    - --ptxas-options*
    - -rdc*
    - --relocatable-device-code*
    - --source-in-ptx
    - -static-global-template-stub*
    - -t=*
    - --threads*
    - --use_fast_math
    - -Xcompiler*
    - -Xcudafe*
    - -Xfatbin*
    - -Xnvlink*
    - -Xptxas*
EOT

RUN <<'EOT'
set -eu
shell=$(command -v bash || command -v sh)

if [ "$DEV_UID" != 0 ]; then
    command -v useradd >/dev/null || {
        echo "devbox: the base image has no useradd; take a Debian, Ubuntu or RPM base, or --user root" >&2
        exit 1
    }

    # A group that has the gid is taken as it is. Another one that has only the name must not be in the way.
    if ! getent group "$DEV_GID" >/dev/null; then
        getent group "$DEV_NAME" >/dev/null && groupmod -n "image-$DEV_NAME" "$DEV_NAME"
        groupadd -g "$DEV_GID" "$DEV_NAME"
    fi

    # Likewise for the user: the name moves away from an account at another uid, and an account at the uid gets the name.
    named=$(getent passwd "$DEV_NAME" | cut -d: -f3)
    if [ -n "$named" ] && [ "$named" != "$DEV_UID" ]; then
        usermod -l "image-$DEV_NAME" "$DEV_NAME"
    fi
    owner=$(getent passwd "$DEV_UID" | cut -d: -f1)
    if [ -z "$owner" ]; then
        # Without --no-log-init a high uid makes a sparse log file of many gigabytes, which a layer stores in full.
        useradd --no-log-init --no-create-home -u "$DEV_UID" -g "$DEV_GID" -d "$DEV_HOME" -s "$shell" "$DEV_NAME"
    else
        [ "$owner" = "$DEV_NAME" ] || usermod -l "$DEV_NAME" "$owner"
        # Not by `usermod -g -d`, which would chown everything in the home folder.
        sed -i "s|^\($DEV_NAME:[^:]*:[^:]*\):.*|\1:$DEV_GID::$DEV_HOME:$shell|" /etc/passwd
    fi

    # The group that may write the environments of the devel stage.
    ! getent group devbox >/dev/null || usermod -aG devbox "$DEV_NAME"

    if command -v sudo >/dev/null; then
        install -d -m 0750 /etc/sudoers.d
        echo "$DEV_NAME ALL=(ALL:ALL) NOPASSWD: ALL" >/etc/sudoers.d/devbox
        chmod 0440 /etc/sudoers.d/devbox
    fi

    new_home=
    [ -d "$DEV_HOME" ] || new_home=yes
    install -d -o "$DEV_UID" -g "$DEV_GID" -m 0755 "$DEV_HOME"
    if [ -n "$new_home" ] && [ -d /etc/skel ]; then
        find /etc/skel -mindepth 1 -maxdepth 1 -type f -exec install -o "$DEV_UID" -g "$DEV_GID" -m 0644 -t "$DEV_HOME" {} +
    fi
fi

install -d -o "$DEV_UID" -g "$DEV_GID" -m 0755 "$DEV_HOME/.config" "$DEV_HOME/.config/clangd"
[ -e "$DEV_HOME/.config/clangd/config.yaml" ] || ln -s /etc/devbox/clangd.yaml "$DEV_HOME/.config/clangd/config.yaml"

# A fresh named volume takes owner and mode of the folder that it is mounted on. A tool that gives the user other ids later
# changes the owner of the home alone: the group, which goes by the user's name, may write all the same.
group=$DEV_GID
! getent group devbox >/dev/null || group=devbox
install -d -o "$DEV_UID" -g "$group" -m 0775 /build /cache /workspaces
for cache in $DEV_CACHES; do
    install -d -o "$DEV_UID" -g "$group" -m 0775 "/cache/$cache"
done
EOT

USER ${DEV_NAME}
WORKDIR /workspaces
