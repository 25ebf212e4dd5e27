# Gives the remote user of a hand-written contract the ids of the host's user ("updateRemoteUserUID"), on top of any
# image. Only the user's home changes its owner. An account that has the uid already gets the user's old one in exchange.
ARG BASE_IMAGE=debian:bookworm
# hadolint ignore=DL3006
FROM ${BASE_IMAGE}
# hadolint ignore=DL3002
USER root

ARG REMOTE_USER
ARG NEW_UID
ARG NEW_GID

RUN <<'EOT'
set -eu
field() { grep "^$1:" "$2" | head -n 1 | cut -d: -f"$3"; }
# Sets a numeric field of the line that starts with a name. Without usermod, which chowns on its own, or is not there.
set_field() { sed -i "s|^\(\($1\):\([^:]*:\)\{$(($3 - 2))\}\)[^:]*|\1$4|" "$2"; }

old_uid=$(field "$REMOTE_USER" /etc/passwd 3)
old_gid=$(field "$REMOTE_USER" /etc/passwd 4)
home=$(field "$REMOTE_USER" /etc/passwd 6)
if [ -z "$old_uid" ] || [ "$old_uid:$old_gid" = "$NEW_UID:$NEW_GID" ]; then
    exit 0
fi

other=$(cut -d: -f1,3 /etc/passwd | grep ":$NEW_UID\$" | grep -v "^$REMOTE_USER:" | head -n 1 | cut -d: -f1) || true
if [ -n "$other" ]; then
    set_field "$other" /etc/passwd 3 "$old_uid"
    other_home=$(field "$other" /etc/passwd 6)
    if [ -d "$other_home" ] && [ "$other_home" != / ]; then
        find "$other_home" -xdev -user "$NEW_UID" -exec chown -h "$old_uid" {} +
    fi
fi
set_field "$REMOTE_USER" /etc/passwd 3 "$NEW_UID"

# A group that has the gid is taken as it is; else the user's own group, if it has one, moves to the gid.
if ! cut -d: -f3 /etc/group | grep -qx "$NEW_GID"; then
    group=$(cut -d: -f1,3 /etc/group | grep ":$old_gid\$" | head -n 1 | cut -d: -f1) || true
    if [ "$group" = "$REMOTE_USER" ]; then
        set_field "$group" /etc/group 3 "$NEW_GID"
    else
        echo "host-$NEW_GID:x:$NEW_GID:" >>/etc/group
    fi
fi
set_field "$REMOTE_USER" /etc/passwd 4 "$NEW_GID"

if [ -d "$home" ] && [ "$home" != / ]; then
    find "$home" -xdev \( -user "$old_uid" -o -group "$old_gid" \) -exec chown -h "$NEW_UID:$NEW_GID" {} +
fi
EOT

ARG IMAGE_USER=root
USER ${IMAGE_USER}
