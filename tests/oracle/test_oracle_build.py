"""The image that `devbox prebuild` makes has the label that `build` of the reference CLI gives it."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from devbox.container.prebuild import PrebuildRequest, prebuild
from devbox.container.up.complete import Wishes
from devbox.reporter import Silent
from devbox.trust.ask import Answers
from tests.oracle.up_lab import CASES, CORPUS, Lab, label_of_dockerfile, parse_log, selected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from subprocess import CompletedProcess

    from tests.oracle.up_lab import Recorded

    Built = Callable[[str], tuple[Lab, Recorded]]

# The reference passes on what no tool can use; devbox leaves it out, with a warning.
DIFFER = {"env-numbers", "host-requirements-upper-case", "nulls"}
# Nor does the reference give the image of a compose service without Features a label, nor read one that is no object.
WITHOUT = {"compose-hooks", "compose-labelled", "compose-users", "metadata-wrong-types"}
FEATURES = CORPUS / "features"
# These are of what no label holds.
NOT_LABELLED = ("app-port", "run-args", "workspace-")
BUILT = [
    *(one for one in CASES if one in WITHOUT or not ("compose" in one or one.startswith(NOT_LABELLED))),
    *(f"features/{path.stem}" for path in sorted(FEATURES.glob("*.json"))),
]


@pytest.fixture(scope="module")
def built(
    request: pytest.FixtureRequest, reference_cli: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Built]:
    """Return a function that says what `build` of the reference CLI tells docker, run in the background."""
    top = tmp_path_factory.mktemp("build")
    labs: dict[str, Lab] = {}
    theirs: dict[str, Future[CompletedProcess[str]]] = {}
    wanted = selected(request, __file__)
    with ThreadPoolExecutor(2) as pool:
        for case in BUILT:
            if case in wanted:
                lab = labs[case] = Lab.of(top / case.replace("/", "-"), CORPUS / f"{case}.json")
                for folder in (path for path in FEATURES.iterdir() if path.is_dir()):
                    shutil.copytree(folder, lab.contract.parent / folder.name)
                theirs[case] = pool.submit(lab.reference, reference_cli, "build", "--image-name", "complete:1")

        def answer(case: str) -> tuple[Lab, Recorded]:
            theirs[case].result()
            return labs[case], parse_log(labs[case].folder / "reference-build")

        yield answer


@pytest.mark.parametrize("case", BUILT)
def test_the_label_of_a_complete_image_is_the_references(case: str, built: Built) -> None:
    lab, recorded = built(case)
    theirs: Any = json.loads(label_of_dockerfile(recorded) or "[]")

    engine = lab.engine("devbox-build")
    answers = Answers(trust=True, dry_run=True)
    ours = prebuild(PrebuildRequest(lab.workspace, Wishes(), answers=answers), engine, Silent()).metadata

    assert ours or case not in WITHOUT
    assert (list(ours) != theirs) == (case in DIFFER | WITHOUT), (ours, theirs)
