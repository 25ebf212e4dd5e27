# AWS's Elastic Fabric Adapter: its libfabric, rdma-core and NCCL plugin, without the kernel's part. It is laid under an image,
# not over it: EFA_BASE is what devel or the release would start from, and they start from this stage (BASE_IMAGE=efa,
# RUNTIME_IMAGE=efa). So a changed checkout does not store or push these hundreds of megabytes again.
FROM ${EFA_BASE} AS efa
USER root

# The installer is in no package. It comes from EFA_URL, or from the host's folder of wheels, and is what EFA_SHA256 says.
ARG EFA_VERSION=1.49.0
ARG EFA_SHA256=cf2e9281a2328a243c76f911a490faed43ca0fecfe4733c25e34b2e92a32c309
ARG EFA_URL=https://efa-installer.amazonaws.com
ARG EFA_OPTIONS="--build-ngc --skip-mpi"

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=bind,from=wheels,target=/run/wheels \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    --mount=type=cache,target=/var/cache/efa,sharing=locked <<'EOT'
. /run/devbox/lib.sh
name=aws-efa-installer-$EFA_VERSION.tar.gz
archive=/run/wheels/$name
is_the_one() { echo "$EFA_SHA256  $archive" | sha256sum --check --status 2>/dev/null; }
refuse() {
    echo "devbox: $name is not the one with the SHA-256 $EFA_SHA256; another version has another sum: --arg EFA_SHA256=…" >&2
    rm -f "/var/cache/efa/$name"
    exit 1
}
# What is at hand is looked at before anything is fetched.
[ ! -f "$archive" ] || is_the_one || refuse
packages "ca-certificates curl" "ca-certificates curl"
if [ ! -f "$archive" ]; then
    archive=/var/cache/efa/$name
    is_the_one || curl --fail --location --silent --show-error --retry 3 --output "$archive" "$EFA_URL/$name" || {
        echo "devbox: $EFA_URL/$name cannot be had; put it into the folder of wheels (--find-links DIR)" >&2
        exit 1
    }
    is_the_one || refuse
fi
tar -xzf "$archive" -C /tmp
# Its apt-get must ask nothing, and know the private CA.
[ -z "$bundle" ] || echo "Acquire::https::CaInfo \"$bundle\";" >/etc/apt/apt.conf.d/99devbox-efa
# shellcheck disable=SC2086  # a list of words
env -C /tmp/aws-efa-installer bash ./efa_installer.sh -y --skip-kmod --skip-limit-conf --no-verify $EFA_OPTIONS
rm -rf /etc/apt/apt.conf.d/99devbox-efa /tmp/aws-efa-installer
printf '%s\n' /opt/amazon/efa/lib /opt/amazon/ofi-nccl/lib >/etc/ld.so.conf.d/000-efa.conf
ldconfig
settle
EOT

ENV PATH=/opt/amazon/efa/bin:${PATH}
