"""What `up` of the reference CLI and of devbox tell docker, for every contract of the corpus, as parsed commands."""

from __future__ import annotations

import functools
import tomllib
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.oracle.up_lab import (
    CASES,
    CORPUS,
    HERE,
    NO_GPU,
    Lab,
    Recorded,
    build_of,
    compose_of,
    differing,
    run_of,
    selected,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DIFFERENCES: list[dict[str, Any]] = tomllib.loads((HERE / "differences.toml").read_text())["difference"]
# An engine that has the toolkit, and GPUs; the toolkit alone; CDI devices and no runtime of that name.
DEVICES = [{"Source": "cdi", "ID": f"nvidia.com/gpu={name}"} for name in ("0", "1", "all")]
RUNTIME_ALONE = {**NO_GPU, "Runtimes": {"runc": {}, "nvidia": {"path": "nvidia-container-runtime"}}}
NVIDIA = {**RUNTIME_ALONE, "DiscoveredDevices": DEVICES}
CDI = {**NO_GPU, "DiscoveredDevices": DEVICES, "CDISpecDirs": ["/etc/cdi"]}
Both = tuple[dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="session")
def recorded(
    request: pytest.FixtureRequest, reference_cli: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Both]]:
    """Return a function that says what both tools tell docker for a case.

    The reference takes a third of a second to start: it runs in the background for all cases that were selected.
    """
    top = tmp_path_factory.mktemp("up")
    labs: dict[str, Lab] = {}
    theirs: dict[str, Future[Recorded]] = {}
    wanted = selected(request, __file__)
    with ThreadPoolExecutor(2) as pool:
        for case in CASES:
            if case in wanted:
                labs[case] = Lab.of(top / case, CORPUS / f"{case}.json")
                theirs[case] = pool.submit(labs[case].reference_up, reference_cli)

        @functools.cache
        def both(case: str) -> Both:
            lab = labs[case]
            return flat(lab, theirs[case].result()), flat(lab, lab.devbox_up())

        yield both


def expected(case: str, flat: set[str]) -> set[str]:
    """Return the keys in which a case is listed to differ. `flat` are the keys that either tool has."""
    keys: set[str] = set()
    for difference in DIFFERENCES:
        if case in difference.get("contracts", ()) and {"run", "compose"} & set(difference["keys"]):
            return set(difference["keys"])
    for difference in DIFFERENCES:
        named = difference.get("contracts")
        mode = difference.get("mode", "run")
        if not any(key.startswith(f"{mode} ") for key in flat):
            continue
        if case in named if named else case not in difference.get("but", ()):
            keys |= set(difference["keys"]) & flat
    return keys


@pytest.mark.parametrize("case", CASES)
def test_docker_is_told_the_same_but_for_what_is_listed(case: str, recorded: Callable[[str], Both]) -> None:
    them, us = recorded(case)
    assert us, "devbox told docker nothing"
    assert different(them, us) == expected(case, {*them, *us})


LISTED = [(number, case) for number, one in enumerate(DIFFERENCES) for case in one.get("contracts", ())]


@pytest.mark.parametrize(("number", "case"), LISTED)
def test_each_listed_difference_occurs(number: int, case: str, recorded: Callable[[str], Both]) -> None:
    them, us = recorded(case)
    assert different(them, us) & set(DIFFERENCES[number]["keys"])


@pytest.mark.parametrize(("case", "mode"), [("image-only", "run"), ("build-target", "build"), ("compose", "compose")])
def test_each_difference_that_is_everywhere_occurs(case: str, mode: str, recorded: Callable[[str], Both]) -> None:
    them, us = recorded(case)
    everywhere = [one for one in DIFFERENCES if "contracts" not in one and one.get("mode", "run") == mode]
    assert {key for one in everywhere for key in one["keys"]} <= different(them, us)


@pytest.mark.parametrize(
    ("case", "info", "reference", "devbox"),
    [
        ("gpu-true", NO_GPU, None, None),
        ("gpu-true", NVIDIA, "all", "all"),
        ("gpu-optional", NVIDIA, "all", "all"),
        ("gpu-object", NVIDIA, "all", "all"),
        ("gpu-false", NVIDIA, None, None),
        # The reference asks for the runtime's name, not for a GPU: the start fails there.
        ("gpu-optional", RUNTIME_ALONE, "all", None),
        ("gpu-optional", CDI, None, "nvidia.com/gpu=all"),
        # Twice for the reference: once by runArgs, once by the requirement.
        ("gpu-and-run-args", NVIDIA, "all", "all"),
    ],
)
def test_gpus(
    case: str,
    info: dict[str, Any],
    reference: str | None,
    devbox: str | None,
    tmp_path: Path,
    reference_cli: str,
) -> None:
    lab = Lab.of(tmp_path, CORPUS / f"{case}.json", info=info)
    them, us = run_of(lab.reference_up(reference_cli)), run_of(lab.devbox_up())
    assert them is not None
    assert us is not None
    assert (them.get("gpus"), us.get("gpus") or next(iter(us.get("device", ())), None)) == (reference, devbox)


@pytest.mark.parametrize(
    "case", ["user-remote-only", "user-of-the-image", "user-by-number", "image-only", "build-user"]
)
def test_the_remote_user_gets_the_ids_of_the_host_in_a_layer_of_its_own_where_the_reference_does_so(
    case: str, tmp_path: Path, reference_cli: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab.of(tmp_path, CORPUS / f"{case}.json")
    theirs = uid_layer(lab.reference_up(reference_cli, uid="on"))
    monkeypatch.setattr("os.getuid", lambda: 1500)
    assert uid_layer(lab.devbox_up()) == theirs


def uid_layer(recorded: Recorded) -> tuple[str, str] | None:
    """Return the remote user and the image's user of the build that changes ids, or None without one."""
    for command in recorded.commands:
        words = dict(word.partition("=")[::2] for word in command)
        if command[0] in {"build", "buildx"} and "REMOTE_USER" in words:
            return words["REMOTE_USER"], words["IMAGE_USER"]
    return None


def different(them: dict[str, Any], us: dict[str, Any]) -> set[str]:
    """Return the keys in which the tools differ; `run` or `compose` where the reference starts nothing at all."""
    mode = next(iter(us)).partition(" ")[0]
    starts = any(key.startswith(f"{mode} ") for key in them) and f"{mode} refused" not in them
    return differing(them, us) if starts else {mode}


def flat(lab: Lab, recorded: Recorded) -> dict[str, Any]:
    """Return what a tool told docker as one mapping: the project; or the container, and the image if one is built."""
    project = compose_of(recorded, lab.environ("unused"))
    if project is not None:
        return {f"compose {key}": value for key, value in project.items()}
    parts = {"run": run_of(recorded), "build": build_of(recorded)}
    return {f"{what} {key}": value for what, part in parts.items() if part for key, value in part.items()}
