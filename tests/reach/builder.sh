# Starts a second engine in the box, whose BuildKit is the builder `far`: it sees no image of the first one, and no network.
set -eu
[ ! -S /run/far/buildkit.sock ] || exit 0
mkdir -p /var/lib/docker/far /run/far
echo '{"features": {"containerd-snapshotter": true}}' >/run/far/daemon.json
# In the same network it would take the other one's bridge away.
setsid unshare --net dockerd --config-file /run/far/daemon.json -H unix:///run/far/docker.sock --data-root /var/lib/docker/far \
    --exec-root /run/far/exec --pidfile /run/far/pid --iptables=false --ip6tables=false >/var/log/far.log 2>&1 </dev/null &
tries=0
until curl --silent --fail --output /dev/null --unix-socket /run/far/docker.sock http://d/_ping; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || { tail -n 5 /var/log/far.log >&2; exit 1; }
    sleep 0.1
done
setsid python3 /devbox/tests/reach/buildkit.py /run/far/buildkit.sock /run/far/docker.sock >/dev/null 2>&1 </dev/null &
until [ -S /run/far/buildkit.sock ]; do sleep 0.1; done
docker buildx create --name far --driver remote unix:///run/far/buildkit.sock
