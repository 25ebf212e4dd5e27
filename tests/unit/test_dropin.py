"""`devbox devcontainer`: how command lines are read, what is answered, and that nobody is asked."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devbox import config
from devbox.container.hooks.commands import ALL, Extent, Hooks
from devbox.devcontainer.features.lock import FrozenError
from devbox.devcontainer.merge import merge
from devbox.devcontainer.model import Variation
from devbox.devcontainer.read import read
from devbox.dropin.arguments import ArgumentsError, parse, usage
from devbox.dropin.log import Log
from devbox.dropin.main import _failure, main
from devbox.dropin.meant import extent, settings_of, variation
from devbox.dropin.options import COMMANDS, EVERYWHERE
from devbox.errors import ConfigError
from devbox.image.registry.client import Manifest, Registry

if TYPE_CHECKING:
    from typing import BinaryIO

JSON = dict[str, Any]


class Shelf(Registry):
    """A registry with one artifact, of one file."""

    def __init__(self, manifest: JSON, layer: bytes = b"") -> None:
        digest = f"sha256:{hashlib.sha256(layer).hexdigest()}"
        self._data = {"layers": [{"digest": digest}], **manifest}
        self._layer = layer

    def manifest(self, name: str, reference: str, *, accept: str = "") -> Manifest:
        del name, reference, accept
        return Manifest("sha256:0", json.dumps(self._data).encode(), self._data)

    def tags(self, name: str) -> tuple[str, ...]:
        del name
        return ("1",)

    def blob(self, name: str, digest: str, target: BinaryIO) -> None:
        del name, digest
        target.write(self._layer)


def test_options_are_read_as_the_reference_reads_them() -> None:
    line = "up --workspace-folder a --id-label=a=1 --id-label b=2 --prebuild false --mount-workspace-git-root=false"
    found = parse([*line.split(), "--skipPostCreate", "--remote-env", "A=", "--remote-env", "A=x=y"])
    assert found.text("workspace-folder") == "a"
    assert found.pairs("id-label") == (("a", "1"), ("b", "2"))
    assert found.pairs("remote-env") == (("A", "x=y"),)
    assert not found.on("prebuild")
    assert found.on("skip-post-create")
    assert found.text("log-level") == "info"
    assert variation(found).git_root is False


def test_all_behind_the_command_of_exec_is_its_own() -> None:
    found = parse(["exec", "--remote-env", "A=1", "ls", "--nope", "-l", "--help"])
    assert found.words == ("ls", "--nope", "-l", "--help")
    assert parse(["exec", "--", "ls", "-l"]).words == ("ls", "-l")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "Not enough non-option arguments: got 0, need at least 1"),
        ("bogus", "Unknown argument: bogus"),
        ("up --nope", "Unknown argument: nope"),
        ("up a b", "Unknown arguments: a, b"),
        ("build a b", "Unknown argument: b"),
        ("exec", "Not enough non-option arguments: got 0, need at least 1"),
        ("features info", "Not enough non-option arguments: got 0, need at least 2"),
        ("set-up", "Missing required argument: container-id"),
        (
            "up --log-level loud",
            'Invalid values:\n  Argument: log-level, Given: "loud", Choices: "info", "debug", "trace"',
        ),
        ("up --terminal-rows 3", "Implications failed:\n terminal-rows -> terminal-columns"),
        ("up --id-label a", "Unmatched argument format: id-label must match <name>=<value>"),
        ("exec --remote-env a ls", "Unmatched argument format: remote-env must match <name>=<value>"),
        (
            "up --mount type=tmpfs,target=/x",
            (
                "Unmatched argument format: mount must match "
                "type=<bind|volume>,source=<source>,target=<target>[,external=<true|false>]"
            ),
        ),
        ("up --no-lockfile --frozen-lockfile", "--no-lockfile and --frozen-lockfile are mutually exclusive."),
        ("up --config", "Not enough arguments following: config"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_told_in_the_references_words(
    line: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ArgumentsError) as raised:
        parse(line.split())
    assert str(raised.value) == said
    assert main(line.split()) == 1
    assert capsys.readouterr().err.endswith(f"\n\n{said}\n")


def test_help_and_version_fail_for_no_other_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert main(["up", "--nope", "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("0.89.0\ndevcontainer up\n")
    for command in COMMANDS:
        assert command.words in usage(None)
        assert all(f"--{one.name} " in usage(command) for one in command.options if not one.hidden)


def test_an_option_that_does_nothing_is_on_the_page() -> None:
    repository = Path(__file__).resolve().parents[2]
    page = (repository / "docs/devcontainer-cli.md").read_text()
    modules = [path for path in (repository / "devbox/dropin").glob("*.py") if path.name != "options.py"]
    read = "".join(path.read_text() for path in modules)
    for command in COMMANDS:
        idle = [one.name for one in (*EVERYWHERE, *command.options) if f'"{one.name}"' not in read]
        assert [name for name in idle if not re.search(rf"--{name}\b", page)] == []


def test_a_configuration_that_is_not_there_is_an_outcome(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--workspace-folder", str(tmp_path)]) == 1
    place = tmp_path / ".devcontainer/devcontainer.json"
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["outcome"] == "error"
    assert outcome["message"] == f"Dev container config ({place}) not found."
    assert main(["exec", "--workspace-folder", str(tmp_path), "true"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert f"Error: Dev container config ({place}) not found." in said.err


def test_what_the_call_says_beside_the_file_is_read_with_it(tmp_path: Path) -> None:
    path = tmp_path / ".devcontainer.json"
    path.write_text('{"image": "a", "features": {"./one": {}}, "remoteEnv": {"A": "1"}}')
    other = tmp_path / "other.json"
    other.write_text('{"image": "b"}')
    plain = read(path, tmp_path, {})
    varied = read(
        path,
        tmp_path,
        {},
        variation=Variation(
            labels=(("mine", "1"),),
            features={"./two": {}},
            probe="none",
            host_ids="off",
            remote_env=(("A", "2"), ("B", "3")),
            remote_env_in_label=False,
        ),
    )
    assert varied.labels == (("mine", "1"),)
    assert varied.devcontainer_id != plain.devcontainer_id
    assert varied.config["features"] == {"./one": {}, "./two": {}}
    merged = merge(varied, (), {})
    assert (merged.user_env_probe, merged.update_remote_user_uid, merged.metadata) == ("none", False, ())
    assert merged.remote_env_of(varied.variation) == (("B", "3"),)
    assert merge(plain, (), {}).metadata == ({"remoteEnv": {"A": "1"}},)
    overridden = read(path, tmp_path, {}, variation=Variation(content=other))
    assert (overridden.image, overridden.path) == ("b", path)
    assert merge(plain, [{"updateRemoteUserUID": True}], {}).update_remote_user_uid
    never = read(path, tmp_path, {}, variation=Variation(host_ids="never"))
    assert not merge(never, [{"updateRemoteUserUID": True}], {}).update_remote_user_uid


def test_a_part_of_a_repository_may_be_mounted_alone(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").touch()
    part = tmp_path / "part"
    part.mkdir()
    path = part / ".devcontainer.json"
    path.write_text('{"image": "a"}')
    alone = read(path, part, {}, variation=Variation(git_root=False))
    assert read(path, part, {}).workspace_folder == f"/workspaces/{tmp_path.name}/part"
    assert (alone.workspace_folder, alone.workspace_mount) == (
        "/workspaces/part",
        f"type=bind,source={part},target=/workspaces/part",
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", ALL),
        ("--skip-post-create", Extent(inside=False)),
        ("--skip-post-attach", Extent(attach=False)),
        ("--skip-non-blocking-commands", Extent(blocking=True)),
        ("--prebuild", Extent(until="updateContentCommand", again="updateContentCommand")),
    ],
)
def test_options_say_which_lifecycle_commands_run(options: str, expected: Extent) -> None:
    assert extent(parse(["up", *options.split()])) == expected


def test_of_the_commands_those_run_that_are_due_and_meant() -> None:
    names = ("onCreateCommand", "updateContentCommand", "postCreateCommand", "postAttachCommand")
    hooks = Hooks(tuple((name, (((("", "true"),)),)) for name in names), "", "")
    assert ALL.of(hooks, ("postCreateCommand", "postAttachCommand")) == names[2:]
    assert Extent(attach=False).of(hooks, names) == names[:3]
    assert Extent(again="updateContentCommand").of(hooks, ("onCreateCommand",)) == names[:2]


def test_options_that_are_settings_of_devbox_go_on_as_such() -> None:
    assert settings_of(parse(["up"])) == {}
    line = "up --frozen-lockfile --dotfiles-repository a/b --dotfiles-target-path ~/x"
    assert settings_of(parse(line.split())) == {"dotfiles_repository": "a/b", "dotfiles_target_path": "~/x"}
    assert variation(parse(line.split())).features_lock == "frozen"
    assert variation(parse(["build", "--no-lockfile", "--no-cache"])).features_lock == "off"


def test_consent_in_advance_is_the_persons_own_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("DEVBOX_CONFIG_DIR", str(home))
    home.mkdir()
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    assert config.load(checkout, environ={}, flags={}).devcontainer_trust == "ask"
    (home / "config.toml").write_text('[devcontainer]\ntrust = "always"\n')
    assert config.load(checkout, environ={}, flags={}).devcontainer_trust == "always"
    of_folder = f'[workspace."{checkout}".devcontainer]\ntrust = "always"\n'
    (home / "config.toml").write_text(of_folder)
    assert config.load(checkout, environ={}, flags={}).devcontainer_trust == "always"
    assert config.load(tmp_path, environ={}, flags={}).devcontainer_trust == "ask"
    (checkout / "devbox.toml").write_text('[devcontainer]\ntrust = "always"\n')
    with pytest.raises(ConfigError, match="agrees to everything in your place"):
        config.load(checkout, environ={}, flags={})


def test_the_log_is_lines_with_a_time_or_json_and_hides_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Log()
    reporter.mask.hide(["s3cret-value"])
    reporter.info("the s3cret-value")
    with reporter.step("Working"):
        reporter.output("a line")
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("Z] ")[2] for line in lines][1:] == ["Start: Working", "a line"]
    assert "s3cret-value" not in lines[0]
    reporter = Log(json_lines=True)
    with reporter.step("Working"):
        reporter.warn("odd")
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(event["type"], event["level"], event["text"]) for event in events] == [
        ("start", 3, "Working"),
        ("text", 4, "odd"),
        ("stop", 2, "Working"),
    ]
    assert events[2]["startTimestamp"] == events[0]["timestamp"]
    with reporter.step("Creating the container devbox-x"):
        pass
    assert json.loads(capsys.readouterr().err.splitlines()[0])["text"] == "Starting container"


@pytest.mark.parametrize(("missing", "sentence"), [(True, "exist"), (False, "match")])
def test_a_frozen_lock_file_fails_in_the_references_words(missing: bool, sentence: str) -> None:
    outcome = _failure(FrozenError(Path("/w/lock.json"), missing=missing), Log())
    assert outcome["message"] == f"Lockfile does not {sentence}."
    assert outcome["description"].startswith("/w/lock.json ")


def test_deprecated_options_are_told_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--experimental-lockfile", "--experimental-frozen-lockfile"]
    assert main(["build", "--workspace-folder", str(tmp_path), *options]) == 1
    said = capsys.readouterr().err
    assert all(f"Warning: {option} is deprecated. " in said for option in options)


@pytest.mark.parametrize(
    "annotations",
    [
        ["x"],
        *(
            {"dev.containers.metadata": said}
            for said in ("[1]", '{"x"', '{"id": "a", "dependsOn": [1]}', 1, "[" * 9999)
        ),
    ],
)
def test_what_a_publisher_wrote_need_not_make_sense(
    annotations: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("devbox.dropin.features.registry_of", lambda _: Shelf({"annotations": annotations}))
    code = main(["features", "info", "verbose", "ghcr.io/a/b:1"])
    said = capsys.readouterr()
    assert "Published Tags" in said.out
    assert (code == 0) == ("flowchart" in said.out)
    assert (code == 1) == ("Error: ghcr.io/a/b:1" in said.err)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        (b'{"options": ["a"]}', "devcontainer-template.json: 'options' must be an object of objects"),
        (b'{"options": {"a": "b"}}', "devcontainer-template.json: 'options' must be an object of objects"),
        (b'{"name": "\xff", "options": {}}', None),
        (b"{}", None),
    ],
)
def test_what_a_template_says_need_not_make_sense(
    metadata: bytes,
    said: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for name, content in (("devcontainer-template.json", metadata), ("file", b"x")):
            item = tarfile.TarInfo(name)
            item.size = len(content)
            tar.addfile(item, io.BytesIO(content))
    monkeypatch.setattr("devbox.dropin.templates.registry_of", lambda _: Shelf({}, layer.getvalue()))
    code = main(["templates", "apply", "--template-id", "ghcr.io/a/b:1", "--workspace-folder", str(tmp_path / "w")])
    told = capsys.readouterr()
    if said is None:
        assert (code, json.loads(told.out)) == (0, {"files": ["./file"]})
    else:
        assert (code, told.out) == (1, "")
        assert said in told.err
        assert not (tmp_path / "w").exists()
