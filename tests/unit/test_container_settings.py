"""`config show`: every layer of every setting, the strongest in force and the others told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from devbox import config, paths
from devbox.container.contract.settings import Setting, Value, explain
from devbox.frameworks.sources import files

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "CMakeLists.txt").touch()
    (tmp_path / "a.cu").touch()
    return tmp_path


def settings(tree: Path, **environ: str) -> dict[str, Setting]:
    return {one.key: one for one in explain(tree, environ)}


def test_every_key_has_a_value_or_a_default(tree: Path) -> None:
    found = settings(tree)
    assert tuple(found) == tuple(config.TABLE)
    assert found["jobs"] == Setting("jobs", None, "default")
    assert found["framework"].value == "cuda"
    assert found["framework"].origin.startswith("detected: CMakeLists.txt")
    assert found["variant"] == Setting("variant", "cuda13", str(files()["cuda"]))


def test_all_layers_of_one_key(tree: Path) -> None:
    user, project, local = paths.config_dir() / "config.toml", tree / "devbox.toml", tree / "devbox.local.toml"
    user.parent.mkdir(parents=True)
    user.write_text('gpus = "0"\n')
    project.write_text('gpus = "1"\n')
    local.write_text('gpus = "2"\n')
    contract = tree / ".devcontainer/devcontainer.json"
    contract.parent.mkdir()
    own = {"framework": "cuda", "variant": "cuda13", "generated": "x", "choices": {"gpus": "3"}}
    contract.write_text(json.dumps({"image": "x", "customizations": {"devbox": own}}))

    found = settings(tree, DEVBOX_GPUS="4")["gpus"]
    told = [Value(found.value, found.origin), *found.hidden]
    origins = ["DEVBOX_GPUS", str(contract), str(local), str(project), str(user), str(files()["cuda"])]
    assert told == [Value(value, origin) for value, origin in zip("43210", origins, strict=False)] + [
        Value("auto", origins[-1])
    ]
    # The contract comes before what the files show.
    assert settings(tree)["framework"] == Setting("framework", "cuda", str(contract))
    # A shared contract is no layer: it does not change what devbox would write.
    contract.write_text(json.dumps({"image": "x", "customizations": {"devbox": {**own, "shared": "cuda-cpu"}}}))
    assert settings(tree)["gpus"].origin == str(local)


def test_the_hosts_own_variables_and_no_password(tree: Path) -> None:
    found = settings(tree, https_proxy="http://ada:hunter2@proxy:1", DEVBOX_HTTP_PROXY="http://ada:hunter2@proxy:2")
    assert found["https_proxy"] == Setting("https_proxy", "http://***@proxy:1", "$https_proxy")
    assert found["http_proxy"].value == "http://***@proxy:2"


def test_a_list_in_a_file_is_a_list_of_names(tree: Path) -> None:
    (tree / "devbox.toml").write_text('services = ["redis", "etcd"]\n')
    assert settings(tree)["services"].value == "redis,etcd"
