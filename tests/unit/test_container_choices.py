"""For what a contract is written: what was asked for now, and before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from devbox import config
from devbox.container.contract.choices import carried, changed_since, settled, still_asked, wheels
from devbox.devcontainer.record import Record
from devbox.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def settings(**flags: str) -> config.Settings:
    return config.load(None, environ={}, flags=flags)


def test_what_was_asked_for_stays_asked_for() -> None:
    first, choices = carried(settings(gpus="none", user="2000:3000:bob"), {}, "mine")
    assert (first.gpus, choices) == ("none", {"gpus": "none", "user": "2000:3000:bob", "name": "mine"})
    again, kept = carried(settings(arch="90", gpus="all"), choices, None)
    assert (again.user, again.gpus, again.arch) == ("2000:3000:bob", "all", "90")
    assert kept == {"gpus": "all", "arch": "90", "user": "2000:3000:bob", "name": "mine"}


def test_a_flag_of_the_first_run_is_stronger_than_a_file_and_a_file_is_not_recorded(tmp_path: Path) -> None:
    (tmp_path / "devbox.toml").write_text('gpus = "all"\nuser = "root"\n')
    found = config.load(tmp_path, environ={"DEVBOX_ARCH": "90"}, flags={})
    merged, choices = carried(found, {"gpus": "none"}, None)
    assert (merged.gpus, merged.user, choices) == ("none", "root", {"gpus": "none", "arch": "90"})


def test_a_setting_that_changed_since_the_contract_was_written_is_said(tmp_path: Path) -> None:
    def found(text: str) -> config.Settings:
        (tmp_path / "devbox.toml").write_text(text)
        return config.load(tmp_path, environ={}, flags={})

    assert settled(found(""), {}) == {}
    settings = settled(found('gpus = "none"\nccache_size = "50G"\n'), {})
    assert settings == {"gpus": "none", "ccache_size": "50G"}
    record = Record(settings=settings, choices={"arch": "90"})
    # What a flag has chosen hides what a file says.
    assert changed_since(found('gpus = "none"\nccache_size = "50G"\narch = "100"\njobs = 3\n'), record) == ()
    added, removed = changed_since(found('gpus = "none"\ncompiler_cache = "sccache"\n'), record)
    assert added.startswith(f"compiler_cache is now sccache ({tmp_path}/devbox.toml)")
    assert removed.startswith("ccache_size is set no more")


def test_a_variant_that_sticks_is_said() -> None:
    record = Record(choices={"variant": "ubuntu22"})
    assert still_asked(settings(variant="ngc"), record) == still_asked(settings(), Record()) == ()
    (said,) = still_asked(settings(), record)
    assert said.startswith("the variant ubuntu22 was asked for before, and holds")


def test_wheels_are_a_folder_or_none(tmp_path: Path) -> None:
    assert wheels(settings()) is wheels(settings(find_links="none")) is None
    assert wheels(settings(find_links=str(tmp_path))) == tmp_path
    with pytest.raises(UsageError, match=f"no folder {tmp_path}/wheels") as raised:
        wheels(settings(find_links=str(tmp_path / "wheels")))
    assert "--find-links none" in str(raised.value.hint)
