"""Each check of the doctor sees what is wrong, and nothing any more once its remedy was applied.

What a test cannot break on this machine, such as a driver or the kernel, are frozen facts, or files below a root of
its own. What the engine can show is in tests/engine/test_doctor_engine.py.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devbox.config.network import Network
from devbox.doctor import clock, disk
from devbox.doctor.model import Patient
from devbox.doctor.report import report
from devbox.doctor.run import CHECKS, examine, look
from devbox.engine.docker import Engine
from devbox.errors import UsageError
from devbox.facts import certificates, cuda, system
from devbox.facts.model import EngineFacts, Gpu, Gpus, Host, User
from devbox.facts.system import System
from devbox.finding import Finding
from devbox.frameworks.load import load
from devbox.masking import Mask

if TYPE_CHECKING:
    from collections.abc import Callable

ME = Host(User(4711, 4711, "me", "/home/me"), cpus=8, cpu_quota=None, memory_total=64000, memory_available=64000)
FACTS = EngineFacts("26.1.5", rootless=False, local=True, cdi=False, cdi_devices=(), nvidia_runtime=True,
                    memlock=None, stack=None, nofile=None)  # fmt: skip
H100 = Gpus((Gpu(0, "GPU-1", "NVIDIA H100", "9.0"),), "550.54.14")
# Its time was January 2020.
OLD_CA = """-----BEGIN CERTIFICATE-----
MIIBPjCB5qADAgECAgEBMAoGCCqGSM49BAMCMBExDzANBgNVBAMMBk9sZCBDQTAe
Fw0yMDAxMDEwMDAwMDBaFw0yMDAyMDEwMDAwMDBaMBExDzANBgNVBAMMBk9sZCBD
QTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABB+kTU294rjxPIvQVTW3J0jkMn9+
ggTxHXy7x+A4P3Hevz4OYROkEE9a41/T3zaUqG1GQb8sHs8nAizy8kmNxLijLzAt
MAwGA1UdEwQFMAMBAf8wHQYDVR0OBBYEFIZx2uVJTbPCls77NLlK6eqZe304MAoG
CCqGSM49BAMCA0cAMEQCIEXd8oIP+zFjrmXvL3BVGyxeZQRpR9DRnNoCHWTnmZGh
AiBlYmZ6yJw9TyMCMa/UPOLjsyTDIhk8HUMz3ip2z09A2g==
-----END CERTIFICATE-----
"""
# Another content, which is enough where none is verified.
NEW_CA = "-----BEGIN CERTIFICATE-----\nMIIBPjCB\n-----END CERTIFICATE-----\n"


@pytest.fixture
def patient(tmp_path: Path) -> Callable[..., Patient]:
    def make(environ: dict[str, str] | None = None, **known: Any) -> Patient:
        nothing = {
            "engine_facts": FACTS, "trouble": None, "container": None, "framework": None, "host": ME, "additions": (),
            "gpus": Gpus(reason="none"), "system": System(shm=1 << 35), "network": Network(),
        }  # fmt: skip
        workspace = known.pop("workspace", tmp_path)
        return Patient(Engine(environ={**os.environ, **(environ or {})}), workspace, **{**nothing, **known})

    return make


def wrong(check: str, seen: Patient) -> list[Finding]:
    """Return what a check finds that is not as it should be."""
    return [one for one in look(check, seen) if one.severity != "ok" and "is not known" not in one.message]


def shell(remedy: str | None, cwd: Path) -> None:
    """Do what a remedy says, as a person would who is root already."""
    assert remedy is not None
    subprocess.run(["sh", "-ec", remedy.removeprefix("sudo ")], cwd=cwd, check=True)


def test_a_name_that_is_no_check_is_refused_with_the_names_there_are(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no check 'dsik'; there are engine, connection, limits"):
        examine(Engine(), tmp_path, ["dsik"])


@pytest.mark.skipif(shutil.which("docker") is None, reason="docker is not installed")
def test_without_an_engine_every_check_ends_and_the_trouble_is_said_once(tmp_path: Path) -> None:
    environ = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    found = examine(Engine(environ=environ), tmp_path)
    assert [one.check for one in found if "does not answer" in one.message] == ["engine"]
    assert {one.check for one in found} >= {"clock", "network"}


BROKEN_FACTS: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "memlock": ("limits", {"engine_facts": replace(FACTS, memlock=8 << 20)}, {}, "LimitMEMLOCK=infinity"),
    "stack": ("limits", {"engine_facts": replace(FACTS, stack=8 << 20)}, {}, "LimitSTACK=infinity"),
    "nofile": ("limits", {"engine_facts": replace(FACTS, nofile=1024)}, {}, "LimitNOFILE=infinity"),
    "shm": ("limits", {"system": System(shm=64 << 20)}, {}, "remount,size=50% /dev/shm"),
    "no driver": ("gpu", {"system": System(nvidia=2)}, {"gpus": H100}, "install the NVIDIA driver"),
    "other driver": (
        "gpu", {"gpus": Gpus(reason="nvidia-smi failed: Failed to initialize NVML: Driver/library version mismatch")},
        {"gpus": H100}, "reboot",
    ),
    "toolkit": ("gpu", {"gpus": H100, "engine_facts": replace(FACTS, nvidia_runtime=False)}, {"gpus": H100},
                "nvidia-ctk"),
    "driver": ("cuda", {"gpus": replace(H100, driver="535.54.03"), "framework": load("cuda", "cuda13")},
               {"gpus": replace(H100, driver="580.65.06"), "framework": load("cuda", "cuda13")}, "cuda-compat-13-0"),
    "memory": ("memory", {"host": replace(ME, memory_available=3000)}, {}, "free"),
    "container's memory": (
        "memory", {"container": {"HostConfig": {"Memory": 2 << 30}}},
        {"container": {"HostConfig": {"Memory": 32 << 30}}}, "--memory",
    ),
    "two names": ("users", {"system": System(accounts=(("me", 4711), ("you", 4711)))},
                  {"system": System(accounts=(("me", 4711), ("you", 4712)))}, "usermod --uid NUMBER you"),
    "perf": ("debugging", {"system": System(perf=4)}, {"system": System(perf=1)}, "perf_event_paranoid=1"),
    "ptrace": ("debugging", {"system": System(ptrace=1)}, {"system": System(ptrace=0)}, "ptrace_scope=0"),
    "ncu": ("debugging", {"system": System(counters_for_root=True)}, {}, "ERR_NVGPUCTRPERM"),
    "SYS_PTRACE": ("debugging", {"container": {"HostConfig": {}}}, {"container": {"HostConfig": {"CapAdd": ["ALL"]}}},
                   "SYS_PTRACE"),
    "proxy": ("network", {"network": Network(http_proxy="http://me:secret@127.0.0.1:3128")},
              {"network": Network(http_proxy="http://proxy:3128"), "engine_facts": replace(FACTS, proxy="http://proxy")},
              "172.17.0.1:3128"),
    "no port": ("network", {"network": Network(http_proxy="http://localhost:port")}, {}, "export http_proxy=http://HOST"),
    "no URL": ("network", {"network": Network(https_proxy="proxy:3128")}, {}, "export https_proxy=http://HOST:PORT"),
}  # fmt: skip


@pytest.mark.parametrize(("check", "broken", "mended", "remedy"), BROKEN_FACTS.values(), ids=BROKEN_FACTS)
def test_facts_that_are_wrong_are_found_with_the_remedy(
    check: str, broken: dict[str, Any], mended: dict[str, Any], remedy: str, patient: Callable[..., Patient]
) -> None:
    found = wrong(check, patient(**broken))
    assert remedy in str([one.remedy for one in found])
    assert "secret" not in str(found)
    assert wrong(check, patient(**mended)) == []


@pytest.mark.parametrize(
    ("driver", "release", "gpu", "fit"),
    [
        ("550.54.14", "12.4.1", "NVIDIA H100", "full"),
        ("580.65.06", "12.0", "NVIDIA H100", "full"),
        ("535.104.05", "12.4", "NVIDIA GeForce RTX 4090", "minor"),
        ("535.104.05", "13.0", "NVIDIA H200", "forward"),
        ("535.104.05", "13.0", "NVIDIA GeForce RTX 4090", "none"),
        ("390.1", "12.0", "NVIDIA H100", "none"),
        ("525.60.13", "13.0", "NVIDIA H100", "none"),
        ("470.57.02", "12.4", "NVIDIA A100", "forward"),
        ("535.104.05", "11.7.1", "NVIDIA H100", "full"),
        ("580.65.06", "12.7", "NVIDIA H100", "full"),
        ("595.45.04", "13.3", "NVIDIA H100", "minor"),
        ("610.43.02", "13.4", "NVIDIA H100", "minor"),
        ("615.71.09", "13.4.2", "NVIDIA H100", "full"),
        ("575.51.03", "13.0", "NVIDIA RTX PRO 6000 Blackwell Server Edition", "forward"),
        ("575.51.03", "13.0", "NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "none"),
        ("580.65.06", "99.1", "NVIDIA H100", "unknown"),
        ("", "12.0", "", "unknown"),
    ],
)
def test_which_driver_runs_which_cuda(driver: str, release: str, gpu: str, fit: str) -> None:
    assert cuda.fit(driver, release, gpu) == fit


def test_a_cdi_specification_of_a_former_driver_is_found(tmp_path: Path, patient: Callable[..., Patient]) -> None:
    library, node = tmp_path / "libcuda.so.550", "/dev/nvidia77"
    spec = tmp_path / "nvidia.yaml"
    spec.write_text(
        f"kind: nvidia.com/gpu\ncontainerEdits:\n  mounts:\n  - hostPath: {library}\n    containerPath: /x\n"
    )
    facts = replace(FACTS, cdi=True, cdi_devices=("nvidia.com/gpu=0",), cdi_folders=(str(tmp_path),))
    (found,) = wrong("gpu", patient(gpus=H100, engine_facts=facts))
    assert str(library) in found.message
    assert found.remedy == f"sudo nvidia-ctk cdi generate --output={spec}"
    library.touch()
    assert wrong("gpu", patient(gpus=H100, engine_facts=facts)) == []
    spec.write_text(f'{{"devices": [{{"containerEdits": {{"deviceNodes": [{{"path": "{node}"}}]}}}}]}}')
    assert node in wrong("gpu", patient(gpus=H100, engine_facts=facts))[0].message


def test_files_of_the_machine_are_read_below_any_root(tmp_path: Path, patient: Callable[..., Patient]) -> None:
    texts = {
        "proc/sys/kernel/perf_event_paranoid": "4\n", "proc/sys/kernel/yama/ptrace_scope": "2\n",
        "proc/driver/nvidia/params": "X: 0\nRmProfilingAdminOnly: 1\n", "etc/passwd": "me:x:4711:1::/:\nodd\n",
        "etc/subuid": "me:100000:65536\nyou:150000:65536\n", "etc/subgid": "me:100000:1000\n",
        "sys/bus/pci/devices/0/vendor": "0x10de\n", "sys/bus/pci/devices/0/class": "0x030200\n",
    }  # fmt: skip
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    seen = system.gather(tmp_path)
    assert (seen.perf, seen.ptrace, seen.counters_for_root, seen.nvidia, seen.shm) == (4, 2, True, 1, None)
    assert [one.severity for one in wrong("debugging", patient(system=seen))] == ["info", "warning", "info"]
    rootless = replace(FACTS, rootless=True)
    said = [one.message for one in wrong("users", patient(system=seen, engine_facts=rootless))]
    assert said == ["/etc/subuid gives me and you the same ids", "/etc/subgid gives me fewer than 65536 ids"]
    (tmp_path / "etc/subuid").write_text("me:100000:65536\nyou:165536:65536\n")
    (tmp_path / "etc/subgid").write_text("me:100000:65536\n")
    assert wrong("users", patient(system=system.gather(tmp_path), engine_facts=rootless)) == []


def test_an_authority_of_the_machine_is_found_until_the_settings_have_it(
    tmp_path: Path, patient: Callable[..., Patient]
) -> None:
    own, bundle = tmp_path / "usr/local/share/ca-certificates/site.crt", tmp_path / "etc/ssl/certs/ca-certificates.crt"
    for path, text in ((own, OLD_CA), (bundle, NEW_CA)):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    additions = certificates.additions(tmp_path)
    (found,) = wrong("network", patient(additions=additions))
    assert found.remedy == "sudo update-ca-certificates"
    other = own.rename(own.with_suffix(".pem"))  # which that program passes over
    (found,) = wrong("network", patient(additions=certificates.additions(tmp_path)))
    assert found.remedy == f"sudo mv {other} {own} && sudo update-ca-certificates"
    other.rename(own)
    bundle.write_text(OLD_CA)
    (found,) = wrong("network", patient(additions=additions))
    assert found.remedy is not None
    assert f"DEVBOX_CA_BUNDLE={bundle}" in found.remedy
    said = [one.message for one in wrong("network", patient(additions=additions, network=Network(ca_bundle=bundle)))]
    assert said == [f"in {bundle} the time of Old CA is over"]
    bundle.write_text(NEW_CA)
    assert wrong("network", patient(network=Network(ca_bundle=bundle))) == []
    bundle.write_text("no certificate")
    assert wrong("network", patient(network=Network(ca_bundle=bundle)))[0].severity == "error"


def test_root_owned_files_are_named_in_the_remedy_and_nothing_above_them_ever_is(
    tmp_path: Path, patient: Callable[..., Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can make a file of root's")
    tree = tmp_path / "a tree"
    (tree / "build").mkdir(parents=True)
    (tree / "build/x.o").touch()
    (tree / "mine").touch()
    os.chown(tree, 4711, 4711)
    os.chown(tree / "mine", 4711, 4711)
    for name in ("DEVBOX_STATE_DIR", "DEVBOX_CACHE_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    (found,) = wrong("ownership", patient(workspace=tree))
    assert found.remedy == f"sudo chown -hR --from=root 4711:4711 {shlex.quote(str(tree / 'build'))}"
    shell(found.remedy, tree)
    assert wrong("ownership", patient(workspace=tree)) == []
    monkeypatch.setenv("DEVBOX_STATE_DIR", str(tmp_path))
    for folder in (Path("/"), Path.home(), Path.home().parent):
        found = wrong("ownership", patient(workspace=folder))[-1]
        assert found.remedy == f"sudo chown -hR --from=root 4711:4711 {tmp_path}"
        assert f"{folder} is no checkout" in str(wrong("ownership", patient(workspace=folder)))


def git(*args: str, cwd: Path) -> None:
    subprocess.run(
        ["git", "-c", "user.name=x", "-c", "user.email=x@x", *args], cwd=cwd, check=True, capture_output=True
    )


def test_a_worktree_that_was_moved_is_found_until_git_has_repaired_it(
    tmp_path: Path, patient: Callable[..., Patient]
) -> None:
    home, tree, moved = tmp_path / "home", tmp_path / "tree", tmp_path / "moved"
    home.mkdir()
    git("init", "-q", cwd=home)
    git("commit", "-q", "--allow-empty", "-m", "x", cwd=home)
    git("worktree", "add", "-q", str(tree), cwd=home)
    mine = replace(ME, user=replace(ME.user, uid=os.getuid()))
    assert wrong("checkout", patient(workspace=tree, host=mine)) == []
    tree.rename(moved)
    found = wrong("checkout", patient(workspace=moved, host=mine))
    assert "looks for this worktree at" in found[0].message
    shell(found[0].remedy, moved)
    assert wrong("checkout", patient(workspace=moved, host=mine)) == []
    home.rename(tmp_path / "elsewhere")
    (found_error,) = wrong("checkout", patient(workspace=moved, host=mine))
    assert found_error.severity == "error"
    shell(found_error.remedy, tmp_path / "elsewhere")
    assert wrong("checkout", patient(workspace=moved, host=mine)) == []


def test_a_repository_of_another_owner_is_found_until_it_is_named_as_safe(
    tmp_path: Path, patient: Callable[..., Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    tree = tmp_path / "tree"
    tree.mkdir()
    git("init", "-q", cwd=tree)
    git("config", "safe.directory", "*", cwd=tree)  # a repository cannot say it of itself
    (found,) = wrong("checkout", patient(workspace=tree))
    assert "dubious ownership" in found.message
    shell(found.remedy, tree)
    assert wrong("checkout", patient(workspace=tree)) == []


def test_a_file_system_that_is_nearly_full_is_found_by_space_and_by_inodes(tmp_path: Path) -> None:
    real = os.statvfs(tmp_path)
    assert disk.statvfs(tmp_path / "not/yet/there") is not None

    def with_(**values: int) -> os.statvfs_result:
        names = ["bsize", "frsize", "blocks", "bfree", "bavail", "files", "ffree", "favail", "flag", "namemax"]
        return os.statvfs_result([values.get(f"f_{name}", getattr(real, f"f_{name}")) for name in names])

    (found,) = disk.files(with_(f_files=1000000, f_favail=10), "/var/lib/docker")
    assert "10 more files" in found.message
    assert list(disk.files(with_(f_files=1000000, f_favail=900000), "/var/lib/docker")) == []
    (found,) = disk.home(tmp_path, with_(f_frsize=4096, f_bavail=100), 5 << 30)
    assert found.message == f"0 MiB are free for {tmp_path}"
    assert list(disk.home(tmp_path, with_(f_frsize=4096, f_bavail=1 << 30), 5 << 30)) == []


def test_clocks_that_differ_are_told_by_how_much_at_least(tmp_path: Path) -> None:
    assert clock.skew(100.0, 100.4, 101.0) == 0.0
    assert clock.skew(100.0, 131.0, 101.0) == 30.0
    assert clock.skew(100.0, 70.0, 101.0) == -30.0
    assert abs(clock.of_folder(tmp_path) or 0.0) < 2.0
    assert list(tmp_path.iterdir()) == []
    assert clock.of_folder(tmp_path / "none") is None


def test_what_chooses_the_engine_against_dockers_own_choice_is_found(
    tmp_path: Path, patient: Callable[..., Patient]
) -> None:
    (tmp_path / "config.json").write_text('{"currentContext": "work"}')
    environ = {"DOCKER_CONFIG": str(tmp_path), "DOCKER_HOST": "tcp://127.0.0.1:1"}
    first, second = wrong("connection", patient(environ, engine_facts=None))
    assert (first.remedy or "").startswith("unset DOCKER_HOST")
    assert "without TLS" in second.message
    mended = {"DOCKER_CONFIG": str(tmp_path), "DOCKER_HOST": "unix:///none", "DOCKER_CONTEXT": ""}
    (tmp_path / "config.json").write_text("{}")
    assert wrong("connection", patient(mended, engine_facts=None)) == []


def contract(folder: Path, image: str) -> None:
    (folder / ".devcontainer.json").write_text(f'{{"image": "{image}"}}')


def test_a_registry_that_is_unknown_silent_or_closed_is_a_finding_within_seconds(
    tmp_path: Path, patient: Callable[..., Patient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("devbox.doctor.registry.SECONDS", 1.0)
    known: dict[str, Any] = {"engine_facts": None}
    contract(tmp_path, "nowhere.invalid/x:1")
    (found,) = wrong("registry", patient(**known))
    assert "nowhere.invalid" in found.message
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        contract(tmp_path, f"127.0.0.1:{silent.getsockname()[1]}/x:1")
        (found,) = wrong("registry", patient(**known))
        assert found.severity == "warning"
    (found,) = wrong("registry", patient(**known))
    assert "refused" in found.message


def test_the_storage_of_a_compiler_cache_that_does_not_answer_is_found(
    patient: Callable[..., Patient], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"redis://127.0.0.1:{server.getsockname()[1]}"
        (tmp_path / "devbox.toml").write_text(f'cache_remote = "{url}"\n')
        assert wrong("cache", patient()) == []
    (found,) = wrong("cache", patient())
    assert "the shared storage at 127.0.0.1 does not answer" in found.message


def test_a_report_says_what_is_there_and_neither_a_secret_nor_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    environ = {
        "PATH": str(tmp_path), "HTTP_PROXY": "http://me:hunter2@proxy:1", "DEVBOX_API_KEY": "hunter2", "OTHER": "x",
        "DOCKER_CONFIG": f"{tmp_path}/docker",
    }  # fmt: skip
    said = report(Engine(environ=environ), [Finding("disk", "warning", f"{tmp_path} is full", "rm x")], Mask())
    assert "hunter2" not in said
    assert str(tmp_path) not in said
    assert "DOCKER_CONFIG=~/docker" in said
    assert "OTHER" not in said
    assert "warning disk: ~ is full\n        rm x" in said
    assert "docker buildx: 'docker' is not installed" in said


def test_every_check_is_a_module_of_the_doctors() -> None:
    modules = {path.stem for path in Path(disk.__file__).parent.glob("*.py")} - {"__init__", "model", "run", "report"}
    assert modules == set(CHECKS)
