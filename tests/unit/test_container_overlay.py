"""What flags and settings lay over a contract that devbox has not written: pure, from settings to docker's words."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from devbox import config
from devbox.config.table import LAID
from devbox.container.contract import overlay
from devbox.container.contract.overlay import agree_to_own, laid_over, said_now
from devbox.container.contract.reach import reach_of
from devbox.container.desired import Image, desired, differences
from devbox.container.up.feature_layer import _of_contract
from devbox.devcontainer.merge import merge
from devbox.devcontainer.overlay import Overlay, without_overlays
from devbox.devcontainer.read import read
from devbox.devcontainer.record import sealed
from devbox.devcontainer.requirements import demanded_gpu, without_gpus
from devbox.errors import UsageError
from devbox.trust import grants
from devbox.trust.restricted import restricted

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.config import Settings
    from devbox.devcontainer.model import Contract

IMAGE: dict[str, Any] = {"image": "a:1"}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace, with the user's settings and state beside it."""
    monkeypatch.setenv("DEVBOX_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("DEVBOX_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "config").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def contract(work: Path, **content: Any) -> Contract:
    path = work / ".devcontainer/devcontainer.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content or IMAGE))
    return read(path, work, {})


def settings(work: Path, *, own: str = "", checkout: str = "", **flags: object) -> Settings:
    (work.parent / "config/config.toml").write_text(own)
    (work / "devbox.toml").write_text(checkout)
    return config.load(work, environ={}, flags=flags)


def laid(work: Path, content: dict[str, Any] | None = None, **said: Any) -> Contract:
    return laid_over(contract(work, **(content or IMAGE)), settings(work, **said), local=True)


def test_every_setting_that_can_be_laid_is_known_by_what_it_becomes() -> None:
    assert set(overlay.KEYS) == set(LAID)


def test_nothing_said_changes_nothing(work: Path) -> None:
    assert laid(work, own="jobs = 3").overlays == ()
    assert laid(work, own='[workspace."/elsewhere"]\nenv = ["A=1"]').overlays == ()


def test_it_comes_after_the_contract_by_the_rules_of_the_specification(work: Path) -> None:
    content = {
        **IMAGE,
        "remoteUser": "dev",
        "containerEnv": {"A": "1", "B": "1"},
        "mounts": ["type=volume,source=v,target=/data", "type=volume,source=v,target=/v"],
        "postCreateCommand": "first",
        "appPort": 80,
        "runArgs": ["--ipc=host"],
    }
    hooks = '{"postCreateCommand": "second", "postStartCommand": {"a": ["x"]}}'
    one = laid(
        work,
        content,
        mounts=[f"{work.parent / 'data'}:/data:ro"],
        env=["B=2", "HF_TOKEN"],
        ports=["9000:90"],
        run_args=["--hostname=deep"],
        user="root",
        hooks=hooks,
    )
    merged = merge(one, ({"id": "image", "postCreateCommand": "zeroth"},), {}, {"HF_TOKEN": "secret-value"})
    assert merged.remote_user == "root"
    assert dict(merged.container_env) == {"A": "1", "B": "2"}
    assert merged.mounts == (
        "type=volume,source=v,target=/v",
        f"type=bind,source={work.parent / 'data'},target=/data,readonly",
    )
    assert dict(merged.hooks)["postCreateCommand"] == ((("", "zeroth"),), (("", "first"),), (("", "second"),))
    assert dict(merged.hooks)["postStartCommand"] == ((("a", ("x",)),),)
    assert merged.publish == ("127.0.0.1:80:80", "127.0.0.1:9000:90")
    assert merged.run_args == ("--ipc=host", "--hostname=deep")
    # What the host's variable holds is filled in where a command runs, and stands in no label.
    assert "secret-value" not in json.dumps(merged.metadata)


def test_the_label_of_a_container_gives_it_back(work: Path) -> None:
    one = laid(work, gpus="none", user="1500:1600:me", env=["A=1"], ports=["80"], run_args=["--init"], features="b,c")
    (whole,) = one.overlays
    entries = merge(one, ({"id": "image"},), {}).metadata
    assert without_overlays(entries) == (({"id": "image"},), (whole,))
    assert whole.ids == (1500, 1600)
    again = merge(contract(work), *without_overlays(entries)[:1], {})
    assert again.publish == ()


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"customizations": None},
        {"customizations": {"devbox": 3}},
        {"customizations": {"devbox": {"overlay": []}}},
    ],
)
def test_any_other_entry_is_no_overlay(entry: dict[str, Any]) -> None:
    assert without_overlays([entry]) == ((entry,), ())


def test_an_overlay_that_makes_no_sense_says_nothing() -> None:
    said = {"appPort": "80", "runArgs": [1, "--x"], "features": 3, "gpus": True, "ids": ["a", 2]}
    ((), (one,)) = without_overlays([{"customizations": {"devbox": {"overlay": said}}}])
    assert one == Overlay(run_args=("--x",))


def state(one: Contract) -> dict[str, Any]:
    return desired(one, merge(one, (), {}), Image("a:1", "", ""), name=None).state


def test_a_container_is_another_one_with_it_and_the_reason_names_what(work: Path) -> None:
    assert differences(state(contract(work)), state(laid(work, env=["A=1"], gpus="none", user="1500:1500"))) == (
        "containerEnv A: nothing → 1",
        "the choice of GPUs: nothing → none",
        "the remote user's ids: nothing → 1500:1500",
    )
    assert differences(state(laid(work, env=["A=1"])), state(laid(work, own='env = ["A=1"]'))) == ()


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["--gpus", "all", "--ipc=host"], ("--ipc=host",)),
        (["--gpus=all"], ()),
        (["--device", "nvidia.com/gpu=0", "--device", "/dev/fuse"], ("--device", "/dev/fuse")),
        (["--device=nvidia.com/gpu=all", "--name", "--gpus"], ("--name",)),
        (["--ipc", "host"], ("--ipc", "host")),
    ],
)
def test_a_choice_of_gpus_takes_the_place_of_the_contracts(words: list[str], kept: tuple[str, ...], work: Path) -> None:
    assert without_gpus(words) == kept
    one = laid(work, {**IMAGE, "runArgs": words, "hostRequirements": {"gpu": True}}, gpus="none")
    assert merge(one, (), {}).run_args == kept
    assert demanded_gpu(one) is None
    assert demanded_gpu(one.judged) is True


def test_the_ids_of_the_remote_user(work: Path) -> None:
    content = {**IMAGE, "remoteUser": "dev", "updateRemoteUserUID": False}
    assert laid(work, content, user="host").ids is None
    assert merge(laid(work, content, user="host"), (), {}).update_remote_user_uid
    assert laid(work, content, user="1500:1600:me").ids == (1500, 1600)
    assert merge(laid(work, content, user="1500:1600:me"), (), {}).remote_user == "dev"


class TestTrust:
    """The person's own is not asked for; what lies in the checkout is judged like the contract."""

    def test_what_the_person_lays_over_it_is_not_judged(self, work: Path) -> None:
        own = 'mounts = ["/:/host"]\nrun_args = ["--privileged"]\nenv = ["HF_TOKEN"]'
        assert reach_of(laid(work, own=own), {}) == ()
        assert {one.kind for one in reach_of(laid(work, {**IMAGE, "runArgs": ["--privileged"]}, own=own), {})} == {
            "privileged"
        }

    def test_its_variables_are_remembered_as_agreed_to(self, work: Path) -> None:
        agree_to_own(laid(work, env=["HF_TOKEN"]))
        assert [(one.kind, one.value) for one in grants.recall(work).grants] == [("variable", "HF_TOKEN")]

    def test_a_file_of_the_checkout_cannot_reach_out(self, work: Path) -> None:
        for text in ('mounts = ["/:/host"]', 'run_args = ["--privileged"]', 'env = ["HF_TOKEN"]'):
            with pytest.raises(UsageError):
                settings(work, checkout=text)

    def test_what_it_may_say_is_the_checkouts(self, work: Path) -> None:
        hooks = '[hooks]\npostCreateCommand = "make"'
        one = laid(work, checkout=f'env = ["A=1"]\nfeatures = ["./x"]\n{hooks}', own='ports = ["80"]')
        assert [overlay.own for overlay in one.overlays] == [False, True]
        assert one.judged.features == {"./x": {}}
        assert merge(one, (), {}).container_env == (("A", "1"),)

    def test_a_first_look_is_without(self, work: Path) -> None:
        assert restricted(laid(work, run_args=["--privileged"])).overlays == ()


def test_words_for_docker_run_have_no_place_in_a_compose_project(work: Path) -> None:
    content = {"dockerComposeFile": "c.yml", "service": "dev", "workspaceFolder": "/w"}
    with pytest.raises(UsageError):
        laid(work, content, run_args=["--init"])
    assert laid(work, content, own='run_args = ["--init"]').overlays == ()


def test_a_mount_cannot_take_the_place_of_the_checkout(work: Path) -> None:
    with pytest.raises(UsageError, match="where the checkout lies"):
        laid(work, mounts=[f"{work.parent}:/workspaces/work"])
    with pytest.raises(UsageError, match="there is no"):
        laid(work, mounts=["/not/there:/x"])


def test_an_edited_contract_of_devboxes_own_is_not_given_again_what_it_was_written_by(work: Path) -> None:
    own = {"framework": "cuda", "choices": {"gpus": "none"}, "settings": {"env": "A=1"}}
    content = {**sealed({**IMAGE, "customizations": {"devbox": own}}), "name": "edited"}
    assert laid(work, content, own='env = ["A=1"]', gpus="none").overlays == ()
    (one,) = laid(work, content, own='env = ["A=2"]', gpus="none").overlays
    assert (one.entry, one.gpus) == ({"containerEnv": {"A": "2"}}, None)


def test_flags_hold_for_this_time(work: Path) -> None:
    assert said_now(laid(work, own='gpus = "none"', env=["A=1"], ports=["80"])) == ("--env", "--port")


def test_a_persons_features_are_no_matter_of_the_lock_file(work: Path) -> None:
    from tests.unit.test_features_layer import step

    features = [step(work / name).feature for name in ("a", "b", "c", "d")]
    needs: dict[str, Any] = {"./a": {"./c": {}}, "./b": {"./d": {}}}
    linked = [with_needs(one, needs.get(one.identifier, {})) for one in features]
    assert [one.identifier for one in _of_contract(linked, ["./a"])] == ["./a", "./c"]


def with_needs(feature: Any, needs: dict[str, Any]) -> Any:
    from dataclasses import replace

    return replace(feature, metadata=replace(feature.metadata, depends_on=needs))
