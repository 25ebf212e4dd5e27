"""Broken contracts: the files of the corpus and the labels of its images, mutated, give a result or a DevboxError."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devbox.container.contract.reach import reach_of
from devbox.container.desired import Image, desired, differences, secret_names
from devbox.devcontainer import requirements
from devbox.devcontainer.identity import METADATA
from devbox.devcontainer.merge import image_metadata, merge
from devbox.devcontainer.overlay import Overlay, without_overlays
from devbox.devcontainer.read import read
from devbox.devcontainer.substitute import ContainerVariables, substitute
from devbox.engine.spec import ContainerSpec, ImageBuild, build_args, container_args
from devbox.errors import DevboxError
from devbox.facts.model import EngineFacts, Gpus, Host, User
from devbox.image.dockerfile.stages import base_images

if TYPE_CHECKING:
    from collections.abc import Iterator

CORPUS = Path(__file__).parents[1] / "oracle/corpus"
FILES = [path.read_text() for path in sorted(CORPUS.glob("*.json")) if path.stem != "images"]
LABELS = [
    label
    for config in json.loads((CORPUS / "images.json").read_text()).values()
    if (label := (config["Labels"] or {}).get(METADATA))
]
# What a container records of what was laid over its contract.
OVERLAY = Overlay(
    {"remoteUser": "root", "remoteEnv": {"A": "${localEnv:X}"}, "mounts": ["type=tmpfs,target=/t"]},
    ports=("127.0.0.1:80:80",),
    run_args=("--user", "dev"),
    features={"./a": {}},
    gpus="none",
    ids=(1, 2),
)
LABELS.append(json.dumps([{"id": "a"}, OVERLAY.label()]))
DOCKERFILES = [path.read_text() for path in sorted((CORPUS / "beside").glob("Dockerfile*"))]

# What stands in for a piece of the text.
TOKENS = [
    *'{}[]",:/\\*\n\t $-0',
    "//",
    "/*",
    "*/",
    "null",
    "true",
    "1e999",
    "-1",
    '""',
    "[]",
    "{}",
    "${localEnv:X}",
    "${localEnv}",
    "${",
    "${containerEnv:PATH}",
    "${devcontainerId}",
    "${localWorkspaceFolder}",
    "\\u0000",
    "\\ud800",
    "\ufeff",
    "é🐋",
    "type=",
    "target=",
    "src=,",
    "a" * 300,
    "9" * 40,
    "--name",
    "=",
    "''",
]
# What stands in for a value.
VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    1e300,
    10**30,
    "",
    " ",
    "x",
    "\0",
    "\n",
    "${localEnv}",
    "${localEnv:X:y}",
    "${devcontainerId}",
    "/",
    "..",
    "a,b",
    '"',
    "type=bind",
    "type=volume,target=",
    "type=tmpfs,target=/t,readonly=maybe",
    [],
    [None],
    [[]],
    ["x"],
    [1],
    {},
    {"a": None},
    {"": ""},
    {"type": "bind", "target": "/x"},
    {"a": {"b": []}},
    "é🐋",
    "8gb",
    "9" * 30 + "tb",
    [["-c", "x"]],
    "=",
    "A=B",
]
HOST = Host(User(1000, 1000, "dev", "/home/dev"), 4, 2.0, 8192, 4096)
ENGINE = EngineFacts("26", False, True, True, ("nvidia.com/gpu=all",), True, None)


def mutated(text: str, chance: random.Random) -> str:
    """Return a text with a few pieces cut, doubled, moved or replaced."""
    for _ in range(chance.randint(1, 4)):
        start = chance.randint(0, len(text))
        end = min(len(text), start + chance.choice((0, 1, 1, 2, 5, 20)))
        piece = chance.choice((chance.choice(TOKENS), "", text[start:end] * 2, text[end : end + 30]))
        text = text[:start] + piece + text[end:]
    return text


def mutated_value(value: Any, chance: random.Random) -> Any:
    """Return a JSON value with one of its parts, of any depth, replaced or moved to another key."""
    if isinstance(value, (dict, list)) and value and chance.random() < 0.8:
        copy = value.copy()
        key = chance.choice(list(copy) if isinstance(copy, dict) else range(len(copy)))
        copy[key] = mutated_value(copy[key], chance)
        if isinstance(copy, dict) and chance.random() < 0.2:
            from devbox.devcontainer.properties import PROPERTIES

            copy[chance.choice(list(PROPERTIES))] = copy.pop(key)
        return copy
    return chance.choice(VALUES)


def mutations(seed: int) -> Iterator[tuple[str, str]]:
    """Yield pairs of a contract and an image's label, at least one of them mutated, without end."""
    chance = random.Random(seed)
    values = []
    for text in (*FILES, *LABELS):
        try:
            values.append(json.loads(text))
        except ValueError:
            continue
    contracts = [value for value in values if isinstance(value, dict) and "mounts" not in value.get("id", "")]
    while True:
        text, label = chance.choice(FILES), chance.choice(LABELS)
        match chance.randrange(4):
            case 0:
                text = mutated(text, chance)
            case 1:
                text = json.dumps(mutated_value(chance.choice(contracts), chance), ensure_ascii=chance.random() < 0.5)
            case 2:
                label = mutated(label, chance)
            case _:
                label = json.dumps(mutated_value(chance.choice(values), chance))
        yield text, label


def follow(text: str, label: str, workspace: Path) -> None:
    """Do with a contract and a label what `up` does before it asks the engine for something."""
    environ = {"X": "value", "HOME": "/root"}
    contract = read(workspace / ".devcontainer/devcontainer.json", workspace, environ, text=text)
    image = Image("image:1", "sha256:1", "", {"User": "dev", "Env": ["PATH=/bin"], "Entrypoint": None, "Cmd": ["sh"]})
    entries = image_metadata({METADATA: label})
    reach_of(contract, environ, entries)
    kept, overlays = without_overlays(entries)
    merge(replace(contract, overlays=overlays), kept, image.config, environ)
    merged = merge(contract, entries, image.config, environ)
    substitute(dict(merged.remote_env), ContainerVariables({"PATH": "/bin"}))
    secret_names(merged.container_env)
    wanted = desired(contract, merged, image)
    assert isinstance(wanted.spec, ContainerSpec)
    argv = ["run", *container_args(wanted.spec)]
    if contract.build is not None:
        recipe = contract.build
        build = ImageBuild(str(recipe.dockerfile), str(recipe.context), recipe.target, args=recipe.args)
        argv += build_args(build)
        for dockerfile in DOCKERFILES:
            base_images(dockerfile, dict(recipe.args))
    assert differences(wanted.state, wanted.state) == ()
    requirements.unmet(merged.host_requirements, HOST, 10**9)
    requirements.gpu(merged.host_requirements.get("gpu"), merged.run_args, Gpus(), ENGINE)
    # What no process could be started with would fail later, and not as a DevboxError.
    assert all(isinstance(word, str) and "\0" not in word for word in argv)
    "\0".join(argv).encode()


def run(count: int, seed: int, workspace: Path) -> tuple[int, int]:
    """Follow `count` mutations. Return how many gave a result, and how many a DevboxError."""
    results = errors = 0
    for text, label in islice(mutations(seed), count):
        try:
            follow(text, label, workspace)
            results += 1
        except DevboxError:
            errors += 1
        except BaseException:
            print(f"{text!r}\n{label!r}")
            raise
    return results, errors


def test_a_broken_contract_gives_a_result_or_an_error_that_is_said(tmp_path: Path) -> None:
    results, errors = run(2000, seed=1, workspace=tmp_path)
    # Both must happen, or the mutations are too harmless or too harsh to show anything.
    assert results > 400
    assert errors > 200


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_hundred_thousand_broken_contracts(seed: int, tmp_path: Path) -> None:
    results, errors = run(10_000, seed=1000 + seed, workspace=tmp_path)
    assert results + errors == 10_000
