"""`devbox up` with Features, on a real engine: installed once, in order, cached by content; consent and failures."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from devbox.container.describe import describe
from devbox.container.up.apply import Journal
from devbox.container.up.images import have_image, plan_image
from devbox.container.up.uid import with_host_ids
from devbox.devcontainer.merge import image_metadata, merge
from devbox.devcontainer.read import read
from devbox.errors import ContractError, ImageError, RefusedError
from devbox.image.base.package import reference
from devbox.reporter import Silent
from tests.engine.lab import Checkout, remove

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from devbox.container.desired import Image
    from devbox.engine.docker import Engine

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("base_image")]

IMAGE = reference(None, "debian:12")
# Its number says whether it was installed again.
NOTE = '#!/bin/sh\nset -e\necho "$(basename "$PWD") $(cat /proc/sys/kernel/random/uuid) ${SAY-}" >> /installed\n'


class Work(Checkout):
    """A checkout with Features of its own."""

    @property
    def folder(self) -> Path:
        return self.path / ".devcontainer"

    def feature(self, name: str, script: str = NOTE, **metadata: Any) -> None:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        whole = {"id": name, "version": "1.0.0", "name": name, **metadata}
        (folder / "devcontainer-feature.json").write_text(json.dumps(whole))
        (folder / "install.sh").write_text(script)

    def write_features(self, *features: str, **contract: Any) -> None:
        self.write(**{"features": {f"./{name}": {} for name in features}, **contract})

    def made(self) -> Image:
        contract = read(self.folder / "devcontainer.json", self.path, os.environ)
        return have_image(Journal(self.engine, Silent()), contract, plan_image(self.engine.image, contract))

    def installed(self, image: str) -> list[str]:
        """Return a line for each Feature that was installed in an image."""
        return self.engine.run(["run", "--rm", image, "cat", "/installed"]).stdout.splitlines()


@pytest.fixture
def work(tmp_path: Path, engine: Engine) -> Iterator[Work]:
    before = _images(engine)
    made = Work(tmp_path / "tree", engine, IMAGE)
    made.folder.mkdir(parents=True)
    yield made
    remove(engine, made.path)
    ours = [image for image in _images(engine) - before if _belongs(engine, image)]
    if ours:
        engine.run(["rmi", "--force", *ours], check=False)


def _images(engine: Engine) -> set[str]:
    return set(engine.run(["images", "--quiet", "--no-trunc", "devbox-features"]).stdout.split())


def _belongs(engine: Engine, image: str) -> bool:
    """Whether an image was made by these tests: others may make Features at the same time."""
    found = engine.image(image) or {}
    entries = image_metadata((found.get("Config") or {}).get("Labels"))
    return any(str(entry.get("id", "")).startswith("./test-") for entry in entries)


def test_features_bring_their_hooks_variables_and_entrypoints(work: Work) -> None:
    work.feature(
        "test-one",
        NOTE + "printf '#!/bin/sh\\ntouch /entered\\n' > /usr/local/bin/enter; chmod +x /usr/local/bin/enter\n",
        containerEnv={"PATH": "/opt/one:${PATH}", "ONE": "a b"},
        entrypoint="/usr/local/bin/enter",
        postCreateCommand="echo one >> order",
        mounts=[{"type": "volume", "source": "devbox-test-${devcontainerId}", "target": "/volume"}],
        init=True,
    )
    work.feature("test-two", dependsOn={"./test-one": {}}, postCreateCommand={"a": "echo two >> order"})
    work.write_features("test-two", postCreateCommand="echo own >> order")
    first = work.up()
    try:
        assert first.outcome == "created"
        assert (work.path / "order").read_text().split() == ["one", "two", "own"]
        assert work.inside(first.container, "sh", "-c", "echo $ONE; echo $PATH").startswith("a b\n/opt/one:")
        assert [line.split()[0] for line in work.installed(first.image)] == ["test-one", "test-two"]
        work.inside(first.container, "test", "-f", "/entered")
        inspected = work.engine.container(first.container) or {}
        assert inspected["HostConfig"]["Init"]
        entries = image_metadata(inspected["Config"]["Labels"])
        assert [entry.get("id") for entry in entries] == ["./test-one", "./test-two", None]
        second = work.up()
        assert (second.outcome, second.container) == ("running", first.container)
    finally:
        volumes = work.engine.run(["volume", "ls", "--quiet", "--filter", "name=devbox-test-"]).stdout.split()
        name = f"devbox-test-{read(work.folder / 'devcontainer.json', work.path, os.environ).devcontainer_id}"
        assert name in volumes
        work.engine.run(["rm", "--force", "--volumes", first.container])
        work.engine.run(["volume", "rm", name])


def test_only_what_changed_is_installed_again(work: Work) -> None:
    work.feature("test-one")
    work.feature("test-two")
    work.write_features("test-one", "test-two")
    made = work.up()
    before = work.installed(made.image)
    work.feature("test-two", NOTE + "# changed\n")
    changed = work.up()
    after = work.installed(changed.image)
    assert changed.outcome == "created"
    assert any("what the image is built from changed" in reason for reason in changed.reasons)
    assert after[0] == before[0]
    assert after[1] != before[1]
    # Back again: the image is still there.
    work.feature("test-two")
    assert work.made().reference == made.image


def test_a_dry_run_builds_nothing_and_knows_what_features_bring(work: Work) -> None:
    work.feature("test-dry", capAdd=["SYS_PTRACE"], postCreateCommand="echo never")
    work.write_features("test-dry")
    shown = work.up(dry_run=True)
    steps = {step.title.partition(":")[0]: "\n".join(step.lines) for step in shown.steps}
    assert f"--build-context feature-0={work.folder / 'test-dry'}" in steps["Installing Features"]
    assert "echo never" in steps["lifecycle commands"]
    assert "needs your consent (--trust): has the capability SYS_PTRACE" in shown.notes
    assert work.engine.image(shown.image) is None


def test_what_a_feature_reaches_on_the_host_needs_consent(work: Work) -> None:
    work.feature("test-docker", privileged=True)
    work.write_features("test-docker")
    with pytest.raises(RefusedError) as caught:
        work.up(yes=True)
    assert "runs privileged" in str(caught.value.detail)
    assert work.up(trust=True).outcome == "created"
    assert work.up().outcome == "running"


def test_an_option_that_there_is_not_is_said_each_time(work: Work) -> None:
    work.feature("test-one", options={"version": {"type": "string", "default": "1"}})
    work.write(features={"./test-one": {"versoin": "2"}})
    for outcome in ("created", "running"):
        assert work.up().outcome == outcome
        (said,) = (text for text in work.said.warnings if "versoin" in text)
        assert said.endswith("is none that it declares; did you mean 'version'?")


def test_a_failing_script_is_shown_with_what_it_said(work: Work) -> None:
    work.feature("test-bad", "#!/bin/sh\necho about to fail\nexit 7\n", documentationURL="https://x.org/docs")
    work.write_features("test-bad")
    with pytest.raises(ImageError) as caught:
        work.up()
    assert caught.value.message == "install.sh of the Feature ./test-bad failed with exit code 7"
    assert caught.value.detail == "about to fail"
    assert caught.value.hint == "https://x.org/docs   # what it needs"
    work.feature("test-bad")
    assert work.up().outcome == "created"


def test_a_feature_that_is_not_whole(work: Work) -> None:
    work.feature("test-half")
    work.write_features("test-half")
    (work.folder / "test-half/install.sh").unlink()
    with pytest.raises(ContractError, match=r"the Feature \./test-half has no install\.sh"):
        work.up()
    (work.folder / "test-half/devcontainer-feature.json").write_text('{"id": "test-half", "options": []}')
    (work.folder / "test-half/install.sh").write_text(NOTE)
    with pytest.raises(ContractError, match="'options' must be an object"):
        work.up()


def test_features_on_a_dockerfile_know_its_user(work: Work) -> None:
    (work.folder / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN useradd --create-home --uid 1234 dev\nUSER dev\n")
    users = (
        '#!/bin/sh\nid -un; echo "$_CONTAINER_USER $_CONTAINER_USER_HOME $_REMOTE_USER $_REMOTE_USER_HOME" > /users\n'
    )
    work.feature("test-users", users)
    work.write_features("test-users", build={"dockerfile": "Dockerfile"}, remoteUser="games")
    image = work.made()
    assert work.engine.run(["run", "--rm", image.reference, "cat", "/users"]).stdout == (
        "dev /home/dev games /usr/games\n"
    )
    assert work.engine.run(["run", "--rm", image.reference, "id", "-un"]).stdout == "dev\n"
    # The layer of the remote user's ids comes on top.
    work.write_features("test-users", build={"dockerfile": "Dockerfile"}, remoteUser="dev")
    image = work.made()
    contract = read(work.folder / "devcontainer.json", work.path, os.environ)
    merged = merge(contract, image_metadata(image.config["Labels"]), image.config, {})
    made = with_host_ids(Journal(work.engine, Silent()), merged, image, uid=4321, gid=4321)
    assert made is not None
    name = made.name
    try:
        assert work.engine.run(["run", "--rm", name, "sh", "-c", "id -u; cat /users"]).stdout.startswith("4321\ndev ")
    finally:
        plain = work.engine.run(["images", "--quiet", "devbox-tree"]).stdout.split()
        work.engine.run(["rmi", "--force", name, *plain], check=False)


def test_features_of_a_service_know_its_user(work: Work, engine_name: Callable[[str], str]) -> None:
    project = engine_name("features")
    services = {"dev": {"image": IMAGE, "user": "games", "command": "sleep infinity", "init": True}}
    # JSON is YAML too.
    (work.folder / "compose.yaml").write_text(json.dumps({"name": project, "services": services}))
    script = '#!/bin/sh\necho "$_CONTAINER_USER $_REMOTE_USER" > /users\n'
    work.feature("test-service", script, containerEnv={"SERVED": "yes"}, postCreateCommand="echo hook > /tmp/hook")
    work.write_features("test-service", dockerComposeFile="compose.yaml", service="dev", remoteUser="root")
    try:
        made = work.up(trust=True)
        told = work.inside(made.container, "sh", "-c", "cat /users /tmp/hook; echo $SERVED; id -un")
        assert told.split() == ["games", "root", "hook", "yes", "games"]
        assert work.up().outcome == "running"
    finally:
        work.engine.run(["compose", "--project-name", project, "down", "--timeout", "1", "--volumes"])


@pytest.mark.parametrize("compose", [False, True])
def test_what_an_image_will_be_is_known_before_it_is_built(work: Work, compose: bool) -> None:
    """Its user, its variables and its Features, for `config contract` and dry runs."""
    work.feature("test-one", init=True, postCreateCommand="echo one")
    (work.folder / "Dockerfile").write_text(
        f"FROM {IMAGE} AS base\nARG NAME=kim\nENV A=1 B=${{A:-2}}\nUSER $NAME\nFROM base\nRUN true # {work.path}\n"
    )
    made_of: dict[str, Any] = {"build": {"dockerfile": "Dockerfile", "args": {"NAME": "ada"}}}
    if compose:
        service = {
            "build": {"context": ".", "args": {"NAME": "ada"}},
            "command": "sleep infinity",
            "volumes": ["..:/w"],
        }
        (work.folder / "compose.yaml").write_text(json.dumps({"services": {"app": service}}))
        made_of = {"dockerComposeFile": "compose.yaml", "service": "app"}
    file = work.folder / "devcontainer.json"
    file.write_text(json.dumps({**made_of, "features": {"./test-one": {}}, "remoteEnv": {"P": "${containerEnv:HOME}"}}))
    found = describe(work.engine, work.path, Silent(), merged=True)
    assert found.merged is not None
    assert (found.merged["remote_user"], found.merged["init"]) == ("ada", True)
    assert found.merged["hooks"]["postCreateCommand"] == [{"": "echo one"}]
    assert "Dockerfile, which is not built yet" in str(found.source)
    assert found.configuration["remoteEnv"] == {"P": "${containerEnv:HOME}"}
    assert work.up(dry_run=True).remote_user == "ada"


def test_a_contract_is_shown_with_the_variables_of_its_container(work: Work) -> None:
    work.write(containerEnv={"A": "1"}, remoteEnv={"B": "<${containerEnv:A}>"})
    assert work.up().compose_project_name is None
    found = describe(work.engine, work.path, Silent(), merged=True)
    assert found.merged is not None
    assert (found.configuration["remoteEnv"], found.merged["remote_env"]) == ({"B": "<1>"}, {"B": "<1>"})


@pytest.mark.parametrize("feature", ["./gone", "not a name", "127.0.0.1:9/none/here:1"])
def test_a_feature_that_cannot_be_had_is_said_before_anything_is_built(work: Work, feature: str) -> None:
    (work.folder / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN touch /built # {work.path}\n")
    file = work.folder / "devcontainer.json"
    file.write_text(json.dumps({"build": {"dockerfile": "Dockerfile"}, "features": {feature: {}}}))
    with pytest.raises((ContractError, ImageError)):
        work.up()
    contract = read(file, work.path, os.environ)
    assert plan_image(work.engine.image, contract).image is None


def test_nothing_is_built_on_an_image_that_has_the_engine_fetch(
    work: Work, engine: Engine, engine_name: Callable[[str], str], tmp_path: Path
) -> None:
    hostile, text = engine_name("fetching"), f"FROM {IMAGE}\nONBUILD ADD http://127.0.0.1:9/x /x\n"
    (tmp_path / "Dockerfile").write_text(text)
    engine.run(["build", "--quiet", "--tag", hostile, "--file", str(tmp_path / "Dockerfile"), str(work.folder)])
    try:
        work.feature("test-one")
        work.write_features("test-one", image=hostile)
        with pytest.raises(ContractError, match=r"http://127\.0\.0\.1:9/x .*ONBUILD"):
            work.made()
        work.write(image=hostile, remoteUser="games")
        image = work.made()
        merged = merge(read(work.folder / "devcontainer.json", work.path, os.environ), [], image.config, {})
        with pytest.raises(ContractError, match="ONBUILD"):
            with_host_ids(Journal(engine, Silent()), merged, image, uid=4321, gid=4321)
    finally:
        engine.run(["rmi", hostile], check=False)
