"""Mounts, volumes, networks, labels, ports, variables, limits and devices, spelled as hostile people would.

What docker makes is what was judged. Each text goes through devbox's parser. What that takes is written again and given
to docker, and what docker made of it is compared with the value. What it does not take never reaches docker.
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from devbox.devcontainer.compose.mounts import escaped, text_of
from devbox.devcontainer.compose.sealed import sealed
from devbox.engine.docker import Engine
from devbox.engine.networks import Network
from devbox.engine.ports import Published
from devbox.engine.run_args import Volume, parse
from devbox.engine.spec import ContainerSpec, Mount
from devbox.errors import ContractError
from devbox.trust.containers import of_container

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


pytestmark = pytest.mark.engine

SEED = 20261130
PREFIX = "words-test-"
ODD = ["\r", "\n", "\t", "\0", '"', "'", " ", ",", ":", "=", "\u00a0", "\u212a", "\x1b[2K", "..", "/", "//", "\ufeff"]


class Case(NamedTuple):
    """A text, the words for docker that devbox makes of it, and what must be there then."""

    text: str
    words: list[str]
    holds: Callable[[dict[str, Any]], bool]


def hostile(random_: random.Random, text: str) -> str:
    """Return `text` with a few changes that readers may take differently."""
    for _ in range(random_.choice([0, 0, 1, 1, 2])):
        at = random_.randint(0, len(text))
        match random_.randrange(5):
            case 0:
                text = text[:at] + random_.choice(ODD) + text[at:]
            case 1:
                text = text[:at] + text[at:].swapcase()
            case 2:
                fields = text.split(",")
                random_.shuffle(fields)
                text = ",".join([*fields, random_.choice(fields)] if random_.random() < 0.3 else fields)
            case 3:
                text = '"' + text.replace('"', '""') + '"' if random_.random() < 0.5 else text.replace(",", '","')
            case _:
                text = text[:at] + text[at + 1 :]
    return text


def mount(random_: random.Random, number: int, folder: str) -> Case:
    source = random_.choice(
        [folder, f"{folder}/a b", f"{folder}/c,d", f"{folder}/./x/..", ".", "./x", "/", f"{folder}//x"]
    )
    name = random_.choice(["source", "src", "SOURCE", "Src"])
    kind = random_.choice(["type=bind", "type=bind", "TYPE=Bind", "type=volume", "type=tmpfs", ""])
    if kind not in {"type=bind", "TYPE=Bind"}:
        source = random_.choice([f"{PREFIX}v{number}", source])
    extra = random_.choice(
        ["", "readonly", "ro=false", "ro=TRUE", "readonly=1", "volume-opt=type=none", "Volume-Opt=device=/",
         "tmpfs-size=1m", "bind-propagation=rslave", "volume-nocopy", "consistency=cached"]
    )  # fmt: skip
    target = random_.choice(
        [f"target=/t{number}", f"dst=/t{number}/", f"Destination=/t{number}//x/..", f"target=t{number}"]
    )
    written = '"' + f"{name}={source}" + '"' if "," in source else f"{name}={source}"
    fields = [field for field in (kind, written if kind != "type=tmpfs" else "", target, extra) if field]
    text = hostile(random_, ",".join(fields))
    made = Mount.parse(text).beside(folder)

    def holds(inspected: dict[str, Any]) -> bool:
        found = [one for one in inspected["HostConfig"].get("Mounts") or () if one["Target"] == made.target]
        if len(found) != 1:
            return False
        options = dict(made.options)
        driver = ((found[0].get("VolumeOptions") or {}).get("DriverConfig") or {}).get("Options") or {}
        asked = dict(str(value).partition("=")[::2] for key, value in made.options if key == "volume-opt")
        propagation = (found[0].get("BindOptions") or {}).get("Propagation")
        return (
            found[0]["Type"] == made.type
            and (found[0].get("Source") or None) == made.source
            and bool(found[0].get("ReadOnly")) == made.readonly
            and driver == asked
            and propagation == options.get("bind-propagation")
        )

    return Case(text, ["--mount", made.csv()], holds)


def volume(random_: random.Random, number: int, folder: str) -> Case:
    source = random_.choice([folder, ".", "./x", "..", "~", f"{folder}/a b", "/", f"{PREFIX}w{number}", "c:\\x", ""])
    mode = random_.choice(["", ":ro", ":rw", ":RO", ":ro,z", ":nocopy", ":rslave", ":ro,rw", ":what", ":"])
    target = random_.choice([f"/v{number}", f"/v{number}/", f"/v{number}/../v{number}", f"v{number}"])
    text = hostile(random_, f"{source}:{target}{mode}" if source else target)
    made = Volume.parse(text, folder)

    def holds(inspected: dict[str, Any]) -> bool:
        found = [one for one in inspected["Mounts"] if one["Destination"] == made.target]
        if len(found) != 1:
            return False
        one, wanted = found[0], made.mount
        where = one["Source"] if wanted.type == "bind" else one["Name"]
        return (
            one["Type"] == wanted.type
            and (where == wanted.source if wanted.source else len(where) == 64)
            and one["RW"] != wanted.readonly
        )

    return Case(text, [f"--volume={made}"], holds)


def port(random_: random.Random, number: int, folder: str) -> Case:
    base = 1000 + number * 4
    inner = random_.choice(
        [f"{base}", f"{base}-{base + 1}", f"0{base}", f"+{base}", f"{base + 1}-{base}", "0", "70000"]
    )
    outer = random_.choice(["", f"{base}:", f"{base}-{base + 1}:", ":", "-1:", f"{base:#x}:"])
    host = random_.choice(
        ["", "127.0.0.1:", "0.0.0.0:", "[::1]:", "::1:", "[0:0::1]:", "localhost:", "127.1:", "010.0.0.1:"]
    )
    text = hostile(
        random_, f"{host if outer else ''}{outer}{inner}{random_.choice(['', '/udp', '/TCP', '/sctp', '/x'])}"
    )
    made = Published.parse(text)

    def holds(inspected: dict[str, Any]) -> bool:
        bindings = inspected["HostConfig"]["PortBindings"]
        first, last = made.inner
        for inside in range(first, last + 1):
            found = bindings.get(f"{inside}/{made.protocol or 'tcp'}") or []
            outside = None
            if made.outer is not None:
                low, high = made.outer
                outside = str(low + inside - first) if high - low == last - first else f"{low}-{high}"
            wanted = {"HostIp": made.host or "", "HostPort": outside or ""}
            if wanted not in found:
                return False
        return True

    return Case(text, [f"--publish={made}"], holds)


def label(random_: random.Random, number: int, folder: str) -> Case:
    key = random_.choice(
        [f"k{number}", f"devcontainer.local_folder{number}", f"DEVBOX.workspace{number}", f" devbox.x{number}", ""]
    )
    text = hostile(random_, f"{key}={random_.choice(['', '1', 'a=b', 'a b', '/other'])}")
    (made,) = parse(["--label", text], folder) if random_.random() < 0.5 else parse([f"-l{text}"], folder)
    name, _, value = str(made.value).partition("=")

    def holds(inspected: dict[str, Any]) -> bool:
        labels = inspected["Config"]["Labels"]
        mine = not any(one.lower().strip().startswith(("devbox.", "devcontainer.", "com.docker.")) for one in labels)
        return mine and labels.get(name) == value

    return Case(text, [made.word], holds)


def network(random_: random.Random, number: int, folder: str) -> Case:
    name = random_.choice(
        ["host", "none", "bridge", "HOST", "Host", "name=host", "name=HOST", "NAME=host", "name= host"]
    )
    more = random_.choice(["", "", ",alias=a", ",driver-opt=a=b", ",alias=a,alias=b", ",ALIAS=a", ",name=none"])
    text = hostile(random_, f"{name}{more}")
    made = Network.parse(text)

    def holds(inspected: dict[str, Any]) -> bool:
        return bool(inspected["HostConfig"]["NetworkMode"] == made.name)

    return Case(text, [f"--network={made}"], holds)


def env(random_: random.Random, number: int, folder: str) -> Case:
    name = random_.choice([f"K{number}", f"k.{number}", f" K{number}", "HOME", "HOM*", "*", "", "PATH", "\u212aEY"])
    value = random_.choice(["", "=", "=1", "=a=b", "= ", "=${HOME}", "=$HOME", "='x'", "=*"])
    text = hostile(random_, f"{name}{value}")
    (made,) = parse(["--env", text] if random_.random() < 0.5 else [f"-e{text}"], folder)
    key, equals, said = str(made.value).partition("=")
    given = said if equals else os.environ.get(key)

    def holds(inspected: dict[str, Any]) -> bool:
        # The engine adds its own.
        there = [one for one in inspected["Config"]["Env"] or () if key == "PATH" or not one.startswith("PATH=")]
        return there == [key if given is None else f"{key}={given}"]

    return Case(text, [made.word], holds)


# Nothing of the host, or somebody else's.
NOT_ITS_OWN = ("Binds", "CapAdd", "Devices", "DeviceRequests", "Privileged", "PidMode", "SecurityOpt", "VolumesFrom",
               "GroupAdd", "UTSMode")  # fmt: skip


def stays(inspected: dict[str, Any], *but: str) -> bool:
    """Tell whether a container has nothing of the host, `but` for these of its parts."""
    config = inspected["HostConfig"]
    mounts = [one for one in config.get("Mounts") or () if one["Type"] != "tmpfs"]
    own = config["NetworkMode"] in {"bridge", "default"} and config["IpcMode"] in {"private", "shareable"}
    return own and not mounts and not any(config.get(key) for key in NOT_ITS_OWN if key not in but)


def limit(random_: random.Random, number: int, folder: str) -> Case:
    said = random_.choice([
        f"ulimit=nofile={number + 3}:{number + 9}", "ulimit=nproc=3", "ulimit=core=-1", "ulimit=host", "shm-size=1m",
        f"tmpfs=/t{number}:size=1m,exec", f"tmpfs=/t{number}", f"tmpfs=/t{number}:bind,source=/", "memory=64m",
        "cpus=0.5", f"add-host=h{number}:127.0.0.1", "dns=127.0.0.1", f"hostname=h{number}", "user=0:0", "workdir=/w",
        "stop-signal=TERM", "pids-limit=9", "cap-drop=ALL", "entrypoint=/x", "stop-timeout=1", "cpuset-cpus=0",
    ])  # fmt: skip
    option, _, plain = said.partition("=")
    text = hostile(random_, plain)
    words = [f"--{option}={text}"] if random_.random() < 0.8 else [f"--{option}", text]
    return Case(text, [one.word for one in parse(words, folder)], stays)


def device(random_: random.Random, number: int, folder: str) -> Case:
    inner = random_.choice(["", f":/dev/x{number}", f":/dev/x{number}:r", ":rwm", ":x", ":/dev/y:rwm:z"])
    text = hostile(random_, random_.choice(["/dev/null", "/dev/zero", "vendor.com/x=all", ".", ""]) + inner)
    (made,) = parse([f"--device={text}"], folder)
    (reach,) = of_container(ContainerSpec("x", run_args=(made.word,)), Path(folder))

    def holds(inspected: dict[str, Any]) -> bool:
        devices = [one["PathOnHost"] for one in inspected["HostConfig"]["Devices"] or ()]
        shown = all(place == reach.value.partition(":")[0] for place in devices)
        return reach.kind == "device" and shown and stays(inspected, "Devices", "DeviceRequests")

    return Case(text, [made.word], holds)


KINDS = [mount, volume, port, label, network, env, limit, device]
ALONE = {network, env, limit, device}


def cases(count: int, folder: str, seed: int) -> tuple[list[tuple[Any, Case]], int]:
    """Return what devbox takes of `count` texts, and how many it refused."""
    random_ = random.Random(seed)
    taken, refused = [], 0
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        try:
            taken.append((kind, kind(random_, number, folder)))
        except ContractError:
            refused += 1
    return taken, refused


@pytest.fixture
def image(engine: Engine, engine_name: Callable[[str], str], tmp_path: Path) -> Iterator[str]:
    archive = tmp_path / "empty.tar"
    archive.write_bytes(bytes(10240))
    name = engine_name("words")
    engine.run(["import", str(archive), name])
    yield name
    engine.run(["image", "rm", "--force", name], check=False)
    volumes = engine.run(["volume", "ls", "--quiet", "--filter", f"name={PREFIX}"]).stdout.split()
    if volumes:
        engine.run(["volume", "rm", *volumes], check=False)


EVERY_KEY = Path(__file__).parents[1] / "data/compose/every-key.yaml"
PIECES = ["$", "$$", "$x", "${x}", "${x:-y}", "\u2028", "\u0085", "\x7f", "\ufeff", "\U0001f600", '"', "\\", "\t", "\n",
          " #", ": ", "{", "&a", "*a", "!x", "hf_secret_value", "pa$$word$x", "b"]  # fmt: skip


def said(folder: Path, text: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what docker compose makes of a file."""
    (folder / "e.env").touch()
    file = folder / "c.yml"
    file.write_text(text)
    argv = ["compose", "--project-name", "p", "-f", str(file), "--profile", "*", "config", "--format", "json"]
    config: dict[str, Any] = json.loads(Engine(environ=environ).run(argv).stdout)
    return config


def test_a_project_that_is_written_again_is_the_same(tmp_path: Path) -> None:
    random_ = random.Random(SEED)

    def text() -> str:
        return "".join(random_.choices(PIECES, k=random_.randrange(6)))

    services = {
        f"s{number}": {
            "image": "a",
            "command": [escaped(text()) for _ in range(3)],
            "environment": {"A": escaped(text()), "A_TOKEN": escaped(text()), "NONE": None},
            "labels": {"x": escaped(text())},
            "volumes": [{"type": "bind", "source": f"/x{escaped(text())}", "target": "/t"}],
        }
        for number in range(40)
    }
    environ = {**os.environ, "X_TOKEN": "hf_secret_value", "Y_TOKEN": "pa$$word$x", "x": "never"}
    first = said(tmp_path, text_of({"services": services}), environ)
    again, secrets = sealed(first, environ)
    assert {"hf_secret_value", "pa$$word$x"} <= set(secrets.values())
    assert not any(value in text_of(again) for value in ("hf_secret_value", "pa$$word$x", "pa$$$$word$$x"))
    assert said(tmp_path, text_of(again), {**environ, **secrets}) == first


def test_a_project_of_every_key_is_written_again(tmp_path: Path) -> None:
    first = said(tmp_path, EVERY_KEY.read_text(), {**os.environ, "HOME": "/h"})
    again, secrets = sealed(first, {})
    second = said(tmp_path, text_of(again), {**os.environ, **secrets})
    # That is for `docker compose watch`, and is left out.
    first["services"]["a"].pop("develop")
    assert second == first


def apart(group: list[Case]) -> Iterator[list[Case]]:
    """Yield the cases a dozen at a time, none with another of one label's name: the last one would count."""
    dozen: list[Case] = []
    for case in group:
        names = {
            one.words[0].partition("=")[2].partition("=")[0] for one in dozen if one.words[0].startswith("--label")
        }
        if len(dozen) == 12 or case.words[0].partition("=")[2].partition("=")[0] in names:
            yield dozen
            dozen = []
        dozen.append(case)
    yield dozen


def made(engine: Engine, image: str, group: list[Case]) -> dict[str, Any] | None:
    """Return what docker makes of all of a group in one container; None where it refuses them."""
    words = [word for case in group for word in case.words]
    done = engine.run(["create", *words, image, "/none"], check=False)
    if not done.ok:
        return None
    identifier = done.stdout.strip()
    inspected = engine.container(identifier)
    engine.run(["rm", "--force", "--volumes", identifier])
    return inspected


def compare(engine: Engine, image: str, count: int, folder: Path, *, seed: int = SEED) -> None:
    for name in ("a b", "c,d", "x"):
        (folder / name).mkdir()
    taken, refused = cases(count, str(folder), seed)
    assert refused > count / 10, "the texts are too tame to prove anything"
    assert len(taken) > count / 5, "almost nothing is taken, so nothing is compared"
    groups = [[case for kind, case in taken if kind is one] for one in KINDS if one not in ALONE]
    waiting = [one for group in groups for one in apart(group)]
    waiting += [[case] for kind, case in taken if kind in ALONE]
    compared = 0
    while waiting:
        group = waiting.pop()
        inspected = made(engine, image, group)
        if inspected is None:
            # Docker refuses one of them: nothing was made, and the others are looked at without it.
            waiting += [] if len(group) == 1 else [group[: len(group) // 2], group[len(group) // 2 :]]
            continue
        for case in group:
            compared += 1
            assert case.holds(inspected), (case.text, case.words, inspected)
    sys.stdout.write(f"{count} texts: {refused} refused by devbox, {compared} made by docker as they were judged\n")
    assert compared > len(taken) / 3


def test_what_docker_makes_is_what_was_judged(engine: Engine, image: str, tmp_path: Path) -> None:
    compare(engine, image, 96, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_what_docker_makes_of_many_is_what_was_judged(engine: Engine, image: str, tmp_path: Path, part: int) -> None:
    compare(engine, image, 800, tmp_path, seed=SEED + 1 + part)
