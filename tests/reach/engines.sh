# Starts all engines of the box, as root in it: Docker and Podman, each of root's and of the account dev's.
set -eu

# Only the legacy tables work where the kernel has no nf_tables.
if ! iptables-nft -t nat -L >/dev/null 2>&1; then
    update-alternatives --set iptables /usr/sbin/iptables-legacy >/dev/null
    update-alternatives --set ip6tables /usr/sbin/ip6tables-legacy >/dev/null
fi
chmod 666 /dev/net/tun /dev/fuse
mount --make-rshared /
useradd --create-home --uid 1000 dev
install -d -o dev -g dev -m 700 /run/user/1000 /run/user/1000/podman
mkdir -p /run/podman /etc/containers /etc/cdi /opt/as-podman

# Podman raises these for each container, which takes a right that a box in a box may lack.
cat >/etc/containers/containers.conf <<CONF
[containers]
default_ulimits=["nofile=$(ulimit -Hn):$(ulimit -Hn)", "nproc=$(ulimit -Hu):$(ulimit -Hu)"]
[network]
firewall_driver="iptables"
CONF

printf '#!/bin/sh\nexec podman "$@"\n' >/opt/as-podman/docker
printf '#!/bin/sh\nPYTHONPATH=/devbox PYTHONDONTWRITEBYTECODE=1 exec /opt/devbox/bin/python -m devbox "$@"\n' >/usr/local/bin/devbox
chmod 755 /opt/as-podman/docker /usr/local/bin/devbox
git config --system user.name test
git config --system user.email test@localhost

# A device that every machine has stands for a GPU. The rootless Docker sees no link in its /etc, so it is told of a folder.
cat >/etc/cdi/nvidia.json <<'SPEC'
{"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "devices": [
  {"name": "0", "containerEdits": {"deviceNodes": [{"path": "/dev/fuse"}]}},
  {"name": "all", "containerEdits": {"deviceNodes": [{"path": "/dev/fuse"}]}}]}
SPEC
cat >/opt/rootless.sh <<'USER'
mkdir -p ~/.config/docker ~/.config/cdi
cp /etc/cdi/nvidia.json ~/.config/cdi/
[ -e ~/.config/docker/daemon.json ] ||
    echo '{"features": {"cdi": true}, "cdi-spec-dirs": ["/home/dev/.config/cdi"]}' >~/.config/docker/daemon.json
export XDG_RUNTIME_DIR=/run/user/1000 PATH=/usr/sbin:/usr/share/docker.io/contrib:$PATH
setsid dockerd-rootless.sh >/tmp/dockerd-rootless.log 2>&1 </dev/null &
setsid podman system service --time=0 unix:///run/user/1000/podman/podman.sock >/tmp/podman-rootless.log 2>&1 </dev/null &
USER
mkdir -p /etc/docker
echo '{"features": {"cdi": true}, "cdi-spec-dirs": ["/etc/cdi"]}' >/etc/docker/daemon.json

# Another machine reaches root's Docker by TLS, too. What it needs for that is in /share/tls.
mkdir -p /share/tls && cd /share/tls
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout authority.pem -out ca.pem \
    -addext keyUsage=critical,keyCertSign 2>/dev/null
signed() { # signed NAME EXTENSIONS: makes NAME-key.pem and NAME-cert.pem
    openssl req -newkey rsa:2048 -nodes -subj "/CN=$1" -keyout "$1-key.pem" -out "$1.csr" 2>/dev/null
    printf '%b' "$2" >extensions
    openssl x509 -req -days 2 -in "$1.csr" -CA ca.pem -CAkey authority.pem -CAcreateserial -extfile extensions -out "$1-cert.pem" 2>/dev/null
}
signed server "subjectAltName=IP:$(hostname -i | cut -d' ' -f1)\nextendedKeyUsage=serverAuth\n"
signed client "extendedKeyUsage=clientAuth\n"
cp client-cert.pem cert.pem
cp client-key.pem key.pem
chmod 644 ./*.pem
tls="--tlsverify --tlscacert /share/tls/ca.pem --tlscert /share/tls/server-cert.pem --tlskey /share/tls/server-key.pem"
cd /

setsid dockerd -H unix:///run/docker.sock -H tcp://0.0.0.0:2376 $tls >/var/log/dockerd.log 2>&1 </dev/null &
setsid podman system service --time=0 unix:///run/podman/podman.sock >/var/log/podman.log 2>&1 </dev/null &
su dev -c 'sh /opt/rootless.sh'

for socket in /run/docker.sock /run/podman/podman.sock /run/user/1000/docker.sock /run/user/1000/podman/podman.sock; do
    tries=0
    until curl --silent --fail --output /dev/null --unix-socket "$socket" http://d/_ping; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || { echo "no engine answers at $socket" >&2; tail -n 5 /var/log/*.log /tmp/*.log >&2; exit 1; }
        sleep 0.1
    done
done
