"""`devbox frameworks`: what is known, one framework as text, and every mistake of a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from devbox.cli.app import run
from devbox.ui.outline import outline

if TYPE_CHECKING:
    from pathlib import Path

FORK = 'extends = "cuda"\ntitle = "Our tree"\n'


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEVBOX_CONFIG_DIR", str(tmp_path / "config"))
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PWD", str(folder))
    return folder


def asked(capsys: pytest.CaptureFixture[str], *args: str) -> Any:
    assert run(["frameworks", *args, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["data"]


def test_list_names_the_frameworks_of_the_checkout_too(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (work / "devbox.toml").write_text(f"[frameworks.ours]\n{FORK}")
    known = {one["name"]: one for one in asked(capsys, "list")["frameworks"]}
    assert set(known) == {"cuda", "vllm", "trtllm", "sglang", "dynamo", "tgi", "ours"}
    assert known["ours"]["variants"] == ["cuda13", "cpu"]
    assert known["ours"]["origin"] == str(work / "devbox.toml")
    assert run(["frameworks", "list", "--workspace", "/"]) == 0
    assert "ours" not in capsys.readouterr().out


def test_show_says_what_is_there_and_nothing_empty(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["frameworks", "show", "vllm", "--variant", "rocm"]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert lines[:2] == ["name: vllm", "variant: rocm"]
    assert "  devices: /dev/kfd /dev/dri" in lines
    assert "    VLLM_TARGET_DEVICE = rocm" in lines
    assert "gpu: no" in lines
    assert "None" not in text
    assert "[]" not in text
    assert asked(capsys, "show", "vllm", "--variant", "rocm")["run"]["devices"] == ["/dev/kfd", "/dev/dri"]


def test_show_of_an_unknown_one_comes_with_the_choices(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["frameworks", "show", "sglan"]) == 2
    said = capsys.readouterr().err
    assert "did you mean 'sglang'?" in said
    assert run(["frameworks", "show", "sglang", "--variant", "cuda11"]) == 2
    assert "cuda13, cuda12, rocm, cpu" in capsys.readouterr().err


def test_validate_tells_every_mistake_and_its_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(FORK)
    bad.write_text(f"{FORK}gpus = true\nports = 'x'\nvariants.cpu.cuda = 13\n")
    assert run(["frameworks", "validate", str(good)]) == 0
    assert capsys.readouterr().out == f"✓ {good}\n"
    assert run(["frameworks", "validate", str(good), str(bad)]) == 2
    assert capsys.readouterr().out.splitlines() == [
        f"✓ {good}",
        f"✗ {bad}: there is no key 'gpus'",
        "    did you mean 'gpu'?",
        f"✗ {bad}: 'ports' must be a list, each a whole number, not 'x'",
        f"✗ {bad}: 'variants.cpu.cuda' must be a string, not the number 13",
    ]
    assert run(["frameworks", "validate", str(bad), "--json"]) == 2
    (checked,) = json.loads(capsys.readouterr().out)["data"]["files"]
    assert [len(checked["mistakes"]), checked["mistakes"][0]["hint"]] == [3, "did you mean 'gpu'?"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'{FORK}stages = ["toolchain", "nowhere", "user"]', "names a stage without a file"),
        (f'{FORK}image_stages = ["nowhere"]', "names a stage without a file"),
        (f'{FORK}services = ["kafka"]', "there is no service called 'kafka'"),
        ("title = ", "is not valid TOML"),
        ('extends = "nothing"', "there is no framework called 'nothing'"),
    ],
)
def test_validate_looks_for_what_a_file_names(
    tmp_path: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    assert run(["frameworks", "validate", str(file)]) == 2
    (line, *_) = capsys.readouterr().out.splitlines()
    assert line.startswith("✗ ")
    assert said in line


def test_validate_of_no_file_and_of_what_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["frameworks", "validate", str(tmp_path / "nothing.toml")]) == 2
    assert "there is no file" in capsys.readouterr().err
    assert run(["frameworks", "validate", str(tmp_path)]) == 2
    assert "there is no file" in capsys.readouterr().err


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("ab c", max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from("abc"), VALUES))
@example({"a": [{}]})
def test_any_json_has_an_outline_of_its_keys(data: dict[str, object]) -> None:
    lines = outline(data).splitlines()
    shown = [key for key, value in data.items() if isinstance(value, (bool, int)) or (isinstance(value, str) and value)]
    assert all(any(line.startswith(f"{key}: ") for line in lines) for key in shown)
