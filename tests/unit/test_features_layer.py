"""The Dockerfile of Features, and what makes it another one."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox.container.desired import Image
from devbox.container.up.feature_layer import layer_of
from devbox.devcontainer.features.ids import Local
from devbox.devcontainer.features.metadata import read
from devbox.devcontainer.features.order import Feature
from devbox.devcontainer.model import Variation
from devbox.devcontainer.read import read as read_contract
from devbox.errors import ContractError, ImageError
from devbox.image.features.layer import Layer, Step, _env, failure_of

if TYPE_CHECKING:
    from pathlib import Path


def step(folder: Path, options: tuple[tuple[str, str], ...] = (), **metadata: Any) -> Step:
    folder.mkdir(exist_ok=True)
    text = json.dumps({"id": folder.name, "version": "1.0.0", "name": "x", **metadata})
    (folder / "devcontainer-feature.json").write_text(text)
    (folder / "install.sh").write_text("#!/bin/sh\n")
    found = read(text, folder / "devcontainer-feature.json")
    return Step(Feature(f"./{folder.name}", {}, Local(folder), found, folder), options)


def layer(*steps: Step) -> Layer:
    entries = tuple(one.feature.metadata.entry(one.feature.identifier) for one in steps)
    return Layer("base:1", "sha256:0", "dev", "dev", "coder", steps, entries)


def test_one_run_for_each_feature_with_its_variables_before_it(tmp_path: Path) -> None:
    first = step(tmp_path / "one", containerEnv={"PATH": "/one:${PATH}", "SAY": 'a "b" \\'})
    assert layer(first, step(tmp_path / "two")).dockerfile() == (
        "ARG BASE_IMAGE=scratch\n"
        "FROM ${BASE_IMAGE}\n"
        "USER root\n"
        'ENV PATH="/one:${PATH}"\n'
        'ENV SAY="a \\"b\\" \\\\"\n'
        "RUN --mount=type=bind,source=0,target=/tmp/devbox-feature/run \\\n"
        "    --mount=type=bind,from=feature-0,target=/tmp/devbox-feature/files \\\n"
        "    --mount=type=secret,id=ca_bundle,required=false \\\n"
        '    ["/bin/sh", "/tmp/devbox-feature/run/feature-install.sh", "one"]\n'
        "RUN --mount=type=bind,source=1,target=/tmp/devbox-feature/run \\\n"
        "    --mount=type=bind,from=feature-1,target=/tmp/devbox-feature/files \\\n"
        "    --mount=type=secret,id=ca_bundle,required=false \\\n"
        '    ["/bin/sh", "/tmp/devbox-feature/run/feature-install.sh", "two"]\n'
        "USER dev\n"
    )


def test_what_makes_another_image(tmp_path: Path) -> None:
    one, two = step(tmp_path / "one"), step(tmp_path / "two")
    plain = layer(one, two)
    digests = {
        plain.digest(),
        layer(two, one).digest(),
        layer(step(tmp_path / "one", (("A", "b"),)), two).digest(),
        replace(plain, inputs="sha256:1").digest(),
        replace(plain, remote_user="root").digest(),
        replace(plain, metadata=()).digest(),
    }
    assert len(digests) == 6
    assert layer(one, two).digest() == plain.digest()
    (tmp_path / "one/install.sh").chmod(0o755)
    assert layer(one, two).digest() not in digests
    # Its name alone makes none: the same base may be called otherwise.
    (tmp_path / "one/install.sh").chmod(0o644)
    assert replace(plain, base="other:1").digest() == plain.digest()


def sourced(text: str) -> str:
    """Return what a shell has for A after reading a file of variables."""
    return subprocess.run(
        ["/bin/sh", "-c", '. /dev/stdin; printf %s "$A"'], input=text, capture_output=True, text=True, check=True
    ).stdout


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0$\r"), max_size=20))
def test_a_shell_reads_options_as_they_were_written(value: str) -> None:
    assert sourced(_env([("A", value)])) == value


def test_a_variable_in_an_option_is_filled_in() -> None:
    assert sourced(_env([("B", "b"), ("A", "a $B ${B} `id`")])) == "a b b `id`"


def test_a_command_in_an_option_is_text(tmp_path: Path) -> None:
    value = "$(touch ran) pa$$word $1 $ `touch ran` $((1+1)) ${X:-$(touch ran)} \"'\\ $HOME"
    script = f'{_env((("VALUE", value),))}printf %s "$VALUE"'
    done = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, env={"HOME": "/h"}
    )
    assert list(tmp_path.iterdir()) == []
    assert done.stdout == value.replace("${X:-$(touch ran)}", "$(touch ran)").replace("$HOME", "/h")


def test_a_script_with_windows_line_ends_is_named(tmp_path: Path) -> None:
    one = step(tmp_path / "one")
    (tmp_path / "one/install.sh").write_bytes(b"#!/bin/sh\r\necho\r\n")
    said = "not found\ndevbox: the Feature 'one' failed with exit code 127\nexit code: 127"
    error = failure_of(ImageError("the image could not be built", detail=said), [one])
    assert (error.detail or "").startswith("not found\ninstall.sh of the Feature ./one has Windows line ends (CR LF)")
    assert ".gitattributes" in (error.detail or "")


@pytest.mark.parametrize("value", ["${localEnv:TOKEN}", "a${env:B:c}", "${containerEnv:PATH}:/x"])
def test_what_an_image_cannot_know_is_said_with_feature_and_key(tmp_path: Path, value: str) -> None:
    one = step(tmp_path / "one", containerEnv={"KEY": value})
    (tmp_path / "devcontainer.json").write_text('{"image": "a"}')
    contract = read_contract(tmp_path / "devcontainer.json", tmp_path, {})
    with pytest.raises(ContractError) as caught:
        layer_of(contract, Image("a", "", ""), [one.feature], lambda _: None, user=None, environ={})
    for word in ("./one", "KEY", value[value.index("$") : value.index("}") + 1]):
        assert word in caught.value.message


@pytest.mark.parametrize("kept", [True, False])
def test_what_features_say_of_tools_can_be_kept_out_of_the_label(tmp_path: Path, kept: bool) -> None:
    one = step(tmp_path / "one", init=True, customizations={"vscode": {"extensions": ["a.b"]}})
    (tmp_path / "devcontainer.json").write_text('{"image": "a"}')
    call = Variation(feature_tools_in_label=kept)
    contract = read_contract(tmp_path / "devcontainer.json", tmp_path, {}, variation=call)
    layer = layer_of(contract, Image("a", "", ""), [one.feature], lambda _: None, user=None, environ={})
    assert [set(entry) for entry in json.loads(layer.label)] == [{"id", "init", *(["customizations"] if kept else [])}]
