"""Generated contracts on a real engine: started by plain docker compose, by the reference CLI, and by devbox."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devbox import paths
from devbox.container.contract.generate import GenerateOptions, generate
from devbox.container.up.up import UpRequest, up
from devbox.reporter import Silent
from tests.asked import asked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from devbox.engine.docker import Engine

pytestmark = pytest.mark.engine

# Flags of the large trees that clang does not have.
NVCC = (
    "-forward-unknown-to-host-compiler --generate-code=arch=compute_90,code=[sm_90] --expt-relaxed-constexpr "
    "--expt-extended-lambda -Xcompiler=-fPIC --threads=4 -rdc=true --use_fast_math -static-global-template-stub=false"
)
GOLDEN = Path(__file__).parents[1] / "golden/devcontainer"


def write(path: Path, engine: Engine, **values: Any) -> Path:
    result, error = generate(GenerateOptions(path=path, **asked(**values)), engine, Silent())
    assert error is None
    return result.contract


def test_the_personal_form_is_what_up_writes(saxpy: Path, engine: Engine, base_image: str) -> None:
    contract = write(saxpy, engine, variant="cpu", base_image=base_image)
    text = contract.read_text()
    planned = up(UpRequest(path=saxpy, dry_run=True), engine, Silent())
    assert planned.contract == contract
    assert planned.written == ()
    again = up(UpRequest(path=saxpy, flags={"framework": "cuda"}, dry_run=True), engine, Silent())
    assert again.written == ()
    assert contract.read_text() == text
    git = subprocess.run(["git", "status", "--porcelain"], cwd=saxpy, capture_output=True, text=True, check=True)
    assert git.stdout == ""


def test_what_was_flat_stays_flat(saxpy: Path, engine: Engine, base_image: str) -> None:
    contract = write(saxpy, engine, variant="cpu", base_image=base_image, flat=True)
    assert contract == saxpy / ".devcontainer.json"
    planned = up(UpRequest(path=saxpy, flags={"user": "root"}, dry_run=True), engine, Silent())
    assert planned.written == (contract,)
    assert write(saxpy, engine, user="2000:2000:ada") == contract
    assert json.loads(contract.read_text())["remoteUser"] == "ada"
    assert not (saxpy / ".devcontainer/devcontainer.json").exists()


@pytest.mark.parametrize("name", sorted(path.name for path in GOLDEN.glob("*.yaml")))
def test_compose_takes_the_generated_files(name: str, engine: Engine) -> None:
    resolved = json.loads(engine.run(["compose", "--file", str(GOLDEN / name), "config", "--format", "json"]).stdout)
    service = resolved["services"]["dev"]
    assert service["ulimits"]["memlock"] == -1
    assert service["deploy"]["resources"]["reservations"]["devices"][0]["driver"] == "nvidia"
    assert service["build"]["additional_contexts"]["checkout"].endswith("/requirements")


def test_compose_takes_what_a_person_adds(engine: Engine) -> None:
    file = GOLDEN / "cuda-cuda13-own-compose.yaml"
    resolved = json.loads(engine.run(["compose", "--file", str(file), "config", "--format", "json"]).stdout)
    mounts = {mount["target"]: mount for mount in resolved["services"]["dev"]["volumes"]}
    assert (mounts["/data"]["source"], mounts["/data"]["read_only"]) == ("/srv/a, b/$$data", True)
    assert mounts["/models"]["volume"] == {"nocopy": True}
    assert resolved["volumes"][mounts["/models"]["source"]]["name"] == "build"
    assert resolved["volumes"][mounts["/build"]["source"]]["name"].startswith("devbox-1000-build-")
    assert resolved["volumes"][mounts["/scratch"]["source"]]["driver_opts"] == {"type": "nfs", "device": ":/scratch"}
    assert mounts["/tmp/fast"]["tmpfs"]["size"] == "1073741824"
    ports = [(port["host_ip"], port["published"], port["target"]) for port in resolved["services"]["dev"]["ports"]]
    assert ports == [("127.0.0.1", "8000", 8000), ("0.0.0.0", "9000", 80)]


def test_inlined_requirements_arrive_byte_for_byte(tmp_path: Path, engine: Engine, base_image: str) -> None:
    tree, out = tmp_path / "tree", tmp_path / "out"
    files = {
        "build/cpu.txt": "-r ../common.txt\ntorch==2.11 ; python_version < '3.14'  # $HOME `x` \\\n  --hash=a\nEOT\n",
        "common.txt": 'numpy\n\n"${quoted}" <<EOT\n',
        "cpu.txt": "-r common.txt\n",
    }
    for name, text in files.items():
        (tree / "requirements" / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / "requirements" / name).write_text(text)
    contract = write(tree, engine, framework="vllm", variant="cpu", base_image=base_image, shared=True, inline=True)
    folder = str(contract.parent)
    output = f"type=local,dest={out}"
    engine.run(["buildx", "build", "--target", "checkout", "--output", output, "-f", f"{folder}/Dockerfile", folder])
    assert {path.relative_to(out).as_posix(): path.read_text() for path in out.rglob("*.txt")} == files


@pytest.fixture
def composed(saxpy: Path, engine: Engine, base_image: str) -> Iterator[tuple[Path, list[str]]]:
    """Return a contract in the compose form, with a service, and the start of docker compose's argv for it."""
    service = paths.config_dir() / "services/probe.toml"
    service.parent.mkdir(parents=True)
    service.write_text(
        f'image = "{base_image}"\ncommand = ["sleep", "infinity"]\nvolume = "/data"\n'
        'health = ["CMD", "test", "-d", "/data"]\n[env]\nPROBE = "http://probe/$x"\n'
    )
    contract = write(saxpy, engine, variant="cpu", base_image=base_image, compose=True, services="probe")
    file = contract.with_name("compose.yaml")
    project = file.read_text().partition("\nname: ")[2].partition("\n")[0]
    yield contract, ["compose", "--file", str(file)]
    # By its name: the file may be gone by now.
    engine.run(["compose", "--project-name", project, "down", "--volumes", "--timeout", "0"], check=False)
    engine.run(["rmi", f"{project}-dev"], check=False)


def test_docker_compose_alone_starts_the_same_container(
    composed: tuple[Path, list[str]], saxpy: Path, engine: Engine, engine_name: Any
) -> None:
    _, compose = composed
    engine.run([*compose, "up", "--detach", "--build", "--wait"])
    theirs = engine.container(engine.run([*compose, "ps", "--quiet", "dev"]).stdout.strip())
    assert theirs is not None
    inside = [*compose, "exec", "--no-TTY", "dev"]
    assert engine.run([*inside, "sh", "-c", "echo $PROBE; pwd"]).stdout.split() == [
        "http://probe/$x",
        "/workspaces/cuda",
    ]
    assert engine.run([*inside, "getent", "hosts", "probe"]).stdout

    # What a person has had written needs no consent, in either form.
    notes = up(UpRequest(path=saxpy, dry_run=True), engine, Silent()).notes
    assert not [note for note in notes if "consent" in note]
    write(saxpy, engine, compose=False)
    done = up(UpRequest(path=saxpy, name=engine_name("same")), engine, Silent())
    ours = engine.container(done.container)
    assert ours is not None
    for key in ("IpcMode", "Init", "Privileged", "DeviceRequests"):
        assert (theirs["HostConfig"][key] or None) == (ours["HostConfig"][key] or None), key
    assert capabilities(theirs) == capabilities(ours) == {"SYS_PTRACE"}
    assert limits(theirs) == limits(ours)
    assert mounts(theirs) == mounts(ours)
    environment = set(ours["Config"]["Env"]) - {entry for entry in ours["Config"]["Env"] if entry.startswith("HOME=")}
    assert environment <= set(theirs["Config"]["Env"])


def capabilities(inspected: Any) -> set[str]:
    return {name.removeprefix("CAP_") for name in inspected["HostConfig"]["CapAdd"]}


def limits(inspected: Any) -> dict[str, tuple[int, int]]:
    return {item["Name"]: (item["Soft"], item["Hard"]) for item in inspected["HostConfig"]["Ulimits"]}


def mounts(inspected: Any) -> set[tuple[str, str, bool]]:
    found = inspected["Mounts"]
    return {(mount["Destination"], mount.get("Name") or mount["Source"], mount["RW"]) for mount in found}


def _somebody() -> pwd.struct_passwd | None:
    """Return the person who runs the tests, or where that is root, another one of this machine."""
    me = pwd.getpwuid(os.getuid())
    people = [one for one in pwd.getpwall() if 1000 <= one.pw_uid < 60000] if me.pw_uid == 0 else [me]
    return people[0] if people else None


def clangd(engine: Engine, inside: list[str], *environ: str) -> int:
    """Return how many arguments of a CUDA file's compile command clangd does not know."""
    entry = {"directory": "/build", "file": "t.cu", "command": f"nvcc {NVCC} -c t.cu"}
    database = json.dumps([entry]).replace("'", "")
    engine.run([*inside, "sh", "-c", f"touch /build/t.cu; echo '{database}' >/build/compile_commands.json"])
    argv = ["env", *environ, "clangd", "--check=/build/t.cu", "--compile-commands-dir=/build"]
    return engine.run([*inside, *argv], check=False).stderr.count("unknown argument")


@pytest.fixture
def anybodys(saxpy: Path) -> Iterator[Path]:
    """Return a folder that others may enter, with the tree in it: pytest closes its own to them."""
    with tempfile.TemporaryDirectory(prefix="devbox-test-") as folder:
        Path(folder).chmod(0o755)
        yield saxpy.rename(Path(folder, "saxpy"))


def test_a_shared_contract_in_the_reference_and_in_devbox(
    anybodys: Path, engine: Engine, base_image: str, reference_cli: str
) -> None:
    """The reference gives the user its person's ids; devbox takes over the container, and its volumes later."""
    person, tree, scratch = _somebody(), anybodys, anybodys.parent / "scratch"
    if person is None:
        pytest.skip("there is nobody but root on this machine")
    write(tree, engine, variant="cpu", base_image=base_image, shared=True)
    # The CLI fetches this file from its web site when the copy is older than five minutes.
    manifest = scratch / f"devcontainercli-{person.pw_name}" / "control-manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text('{"disallowedFeatures":[],"featureAdvisories":[]}')
    for path in (tree, scratch, *tree.rglob("*"), *scratch.rglob("*")):
        os.chown(path, person.pw_uid, person.pw_gid, follow_symlinks=False)
    argv = [reference_cli, "up", "--workspace-folder", str(tree)]
    volumes: list[str] = []
    images: list[str] = []
    try:
        answer = _as(person, argv, scratch)
        assert answer["remoteUser"] == "dev"
        inspected = engine.container(answer["containerId"])
        assert inspected is not None
        images += [inspected["Config"]["Image"], inspected["Config"]["Image"].removesuffix("-uid")]
        volumes += [mount["Name"] for mount in inspected["Mounts"] if mount["Type"] == "volume"]

        inside = ["exec", "--user", "dev", "--workdir", "/workspaces/cuda", answer["containerId"]]
        assert engine.run([*inside, "id", "-u"]).stdout.strip() == str(person.pw_uid)
        engine.run([*inside, "touch", "made", "/build/kept", "/cache/ccache/kept"])
        assert (tree / "made").stat().st_uid == person.pw_uid
        # A debugger works, and the container is not privileged.
        said = engine.run([*inside, "sh", "-c", "sleep 60 & gdb -p $! -batch -ex 'info proc'; kill $!"]).stdout
        assert "exe = '/usr/bin/sleep'" in said

        assert clangd(engine, inside) == 0
        # Without the image's configuration it stumbles over each of them.
        assert clangd(engine, inside, "XDG_CONFIG_HOME=/nonexistent") == len(NVCC.split())

        adopted = up(UpRequest(path=tree, trust=True), engine, Silent())
        assert (adopted.container, adopted.outcome) == (answer["containerId"], "running")
        own = up(UpRequest(path=tree, recreate=True, trust=True, yes=True), engine, Silent())
        assert own.container != answer["containerId"]
        kept = engine.run(["exec", own.container, "ls", "/build", "/cache/ccache"]).stdout
        assert kept.count("kept") == 2
        assert _as(person, argv, scratch)["containerId"] == own.container
    finally:
        labels: dict[str, str | None] = {"devcontainer.local_folder": str(tree)}
        for found in engine.containers(labels):
            engine.run(["rm", "--force", found.id], check=False)
        engine.run(["volume", "rm", *volumes], check=False)
        engine.run(["rmi", "--force", *images], check=False)


def _as(person: pwd.struct_passwd, argv: list[str], scratch: Path) -> Any:
    environ = {**os.environ, "TMPDIR": str(scratch), "HOME": str(scratch), "USER": person.pw_name}
    other: dict[str, Any] = {}
    if person.pw_uid != os.getuid():
        socket = Path("/var/run/docker.sock").stat().st_gid
        other = {"user": person.pw_uid, "group": person.pw_gid, "extra_groups": [socket]}
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False, timeout=600, **other)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
