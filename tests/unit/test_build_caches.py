"""The compiler cache: the launcher that never changes, what settings mean, and what a cache's answers mean."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devbox import config
from devbox.agent import protocol
from devbox.agent.caches import counts, launcher, setup, trial
from devbox.agent.caches.reach import unreachable
from devbox.agent.caches.sccache import reason
from devbox.agent.protocol import CacheLook
from devbox.builds.caches import choose
from devbox.builds.caches.choose import CompilerCache, compiler_cache
from devbox.builds.caches.doctor import diagnose
from devbox.builds.caches.explain import why_ccache
from devbox.builds.caches.storage import Storage, storage
from devbox.errors import UsageError
from devbox.masking import Mask

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.config import Settings

REDIS = "redis://cache.example.org:6379"


class TestLauncher:
    @pytest.fixture
    def launch(self, tmp_path: Path) -> str:
        """Write the scripts, and programs beside them that say how they were called."""
        for name in ("ccache", "icecc", "c++", "nvcc"):
            program = tmp_path / name
            program.write_text(f'#!/bin/sh\necho "{name} $*"\n')
            program.chmod(0o755)
        return launcher.write(str(tmp_path / "state"))

    def run(self, launch: str, tmp_path: Path, *argv: str, **environ: str) -> str:
        path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        return subprocess.run(
            [launch, *argv], env={**path, **environ}, check=True, capture_output=True, text=True
        ).stdout.strip()

    def test_it_starts_the_cache_of_the_build(self, launch: str, tmp_path: Path) -> None:
        cache = f"{tmp_path}/ccache"
        assert self.run(launch, tmp_path, "c++", "-c", "a b.c", DEVBOX_COMPILER_CACHE=cache) == "ccache c++ -c a b.c"

    def test_without_a_cache_it_is_the_compiler(self, launch: str, tmp_path: Path) -> None:
        assert self.run(launch, tmp_path, "c++", "-c", "x.c", DEVBOX_COMPILER_CACHE="") == "c++ -c x.c"

    def test_ninja_by_hand_takes_the_ccache_that_is_there(self, launch: str, tmp_path: Path) -> None:
        assert self.run(launch, tmp_path, "c++", "x.c") == "ccache c++ x.c"
        (tmp_path / "ccache").unlink()
        assert self.run(launch, tmp_path, "c++", "x.c") == "c++ x.c"

    def test_what_no_cache_had_goes_through_the_prefix_but_nvcc_does_not(self, launch: str, tmp_path: Path) -> None:
        step = launcher.step(str(tmp_path / "state"), prefix="icecc", phases="/p")
        assert step["CCACHE_PREFIX"] == step["DEVBOX_COMPILER_STEP"]
        assert self.run(step["CCACHE_PREFIX"], tmp_path, "c++", "x.c", **step) == "icecc c++ x.c"
        assert self.run(step["CCACHE_PREFIX"], tmp_path, "nvcc", "x.cu", **step).startswith("nvcc x.cu --time /p/")
        assert self.run(launch, tmp_path, "c++", "x.c", DEVBOX_COMPILER_CACHE="", **step) == "icecc c++ x.c"

    def test_a_second_writing_changes_nothing(self, launch: str, tmp_path: Path) -> None:
        os.utime(launch, (1, 1))
        assert launcher.write(str(tmp_path / "state")) == launch
        assert (tmp_path / "state/launch").stat().st_mtime == 1

    def test_a_launcher_of_the_container_s_own_is_named(self) -> None:
        assert launcher.own({"CMAKE_CXX_COMPILER_LAUNCHER": "/usr/bin/distcc", "CC": "cc"}) == ["distcc"]


class TestStorage:
    def test_redis_for_sccache_keeps_the_password_apart(self) -> None:
        found = storage("sccache", "redis://ann:p%40ss@cache:6379/2", {})
        assert found.variables == {"SCCACHE_REDIS_ENDPOINT": "redis://cache:6379", "SCCACHE_REDIS_DB": "2"}
        assert found.secrets == {"SCCACHE_REDIS_USERNAME": "ann", "SCCACHE_REDIS_PASSWORD": "p@ss"}
        assert "p%40ss" not in found.url
        assert "p@ss" not in repr(found)

    @pytest.mark.parametrize("url", ["redis://:p%40ss@cache", "redis://p%40ss@cache"])
    def test_a_password_needs_no_user(self, url: str) -> None:
        found = storage("sccache", url, {})
        assert found.variables == {"SCCACHE_REDIS_ENDPOINT": "redis://cache"}
        assert found.secrets == {"SCCACHE_REDIS_PASSWORD": "p@ss"}
        kept = storage("sccache", "redis://ann@cache", {"SCCACHE_REDIS_PASSWORD": "p@ss"})
        assert kept.secrets == {"SCCACHE_REDIS_USERNAME": "ann", "SCCACHE_REDIS_PASSWORD": "p@ss"}

    @pytest.mark.parametrize(
        ("url", "environ", "expected"),
        [
            ("redis://cache:6379", {}, "redis://cache:6379"),
            ("redis://cache", {"SCCACHE_REDIS_PASSWORD": "a/b"}, "redis://a%2Fb@cache"),
            ("redis://:secret@cache", {}, "redis://secret@cache"),
            ("redis://ann:secret@cache", {"SCCACHE_REDIS_PASSWORD": "other"}, "redis://ann:secret@cache"),
            ("file:/shared/ccache|umask=002", {}, "file:/shared/ccache|umask=002"),
        ],
    )
    def test_ccache_reads_one_url(self, url: str, environ: dict[str, str], expected: str) -> None:
        assert storage("ccache", url, environ).secrets == {"CCACHE_REMOTE_STORAGE": expected}

    def test_s3_takes_the_credentials_of_the_environment(self) -> None:
        environ = {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK", "HOME": "/h"}
        found = storage("sccache", "s3://bucket/some/prefix?region=eu-1&endpoint=minio:9000&ssl=false", environ)
        assert found.variables == {
            "SCCACHE_BUCKET": "bucket", "SCCACHE_S3_KEY_PREFIX": "some/prefix", "SCCACHE_REGION": "eu-1",
            "SCCACHE_ENDPOINT": "minio:9000", "SCCACHE_S3_USE_SSL": "false",
        }  # fmt: skip
        assert found.secrets == {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK"}

    def test_a_key_file_travels_as_its_text(self, tmp_path: Path) -> None:
        key = tmp_path / "key.json"
        key.write_text('{"k": 1}')
        found = storage("sccache", "gs://bucket/p", {"GOOGLE_APPLICATION_CREDENTIALS": str(key)})
        assert found.variables["SCCACHE_GCS_BUCKET"] == "bucket"
        assert found.files == {"SCCACHE_GCS_KEY_PATH": '{"k": 1}'}
        with pytest.raises(UsageError, match="GOOGLE_APPLICATION_CREDENTIALS"):
            storage("sccache", "gs://bucket", {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "none")})

    @pytest.mark.parametrize(
        ("kind", "url"),
        [
            ("ccache", "s3://b"),
            ("sccache", "http://x"),
            ("sccache", "redis:"),
            ("sccache", "s3://b?regoin=x"),
            ("sccache", "s3://b?endpoint=http://[::1"),
        ],
    )
    def test_what_makes_no_sense_is_said(self, kind: str, url: str) -> None:
        with pytest.raises(UsageError) as raised:
            storage(kind, url, {})
        assert raised.value.hint

    @given(st.sampled_from(["ccache", "sccache"]), st.text(max_size=40))
    def test_any_text_is_a_storage_or_an_error(self, kind: str, url: str) -> None:
        with contextlib.suppress(UsageError):
            assert isinstance(storage(kind, url, {}), Storage)

    def test_a_bad_port_or_bracket_is_an_error_too(self) -> None:
        for url in ("redis://[::1", "redis://h:port", "redis://:p@[x"):
            with pytest.raises(UsageError):
                storage("sccache", url, {})


class TestSettings:
    def settings(self, **values: str) -> Settings:
        return config.load(None, environ={f"DEVBOX_{key.upper()}": value for key, value in values.items()}, flags={})

    def test_ccache_is_the_default(self) -> None:
        assert compiler_cache(self.settings(), {}) == CompilerCache("ccache", "20G")

    def test_everything_can_be_chosen(self) -> None:
        chosen = self.settings(compiler_cache="ccache", cache_remote=REDIS, compiler_prefix="icecc", cache_group="cuda")
        cache = compiler_cache(chosen, {"SCCACHE_REDIS_PASSWORD": "hunter2"})
        assert (cache.prefix, cache.group) == ("icecc", True)
        mask = Mask()
        mask.hide(cache.secrets())
        assert "hunter2" not in mask(json.dumps(cache.asked(), default=vars))

    def test_a_storage_without_a_password_is_no_secret(self) -> None:
        assert list(compiler_cache(self.settings(cache_remote=REDIS), {}).secrets()) == []

    def test_the_url_is_shown_without_its_password(self) -> None:
        shown = dict(self.settings(cache_remote="redis://:hunter2@cache:6379").items())
        assert "hunter2" not in str(shown["cache_remote"])

    def test_no_cache_has_no_storage(self) -> None:
        assert compiler_cache(self.settings(compiler_cache="none", cache_remote="s3://b"), {}).storage is None

    def test_sccache_cannot_be_a_group_s_but_through_a_storage(self) -> None:
        with pytest.raises(UsageError, match="group"):
            compiler_cache(self.settings(compiler_cache="sccache", cache_group="cuda"), {})
        chosen = self.settings(compiler_cache="sccache", cache_group="cuda", cache_remote=REDIS)
        assert not compiler_cache(chosen, {}).group

    def test_an_unknown_cache_is_an_error(self) -> None:
        with pytest.raises(UsageError, match="no compiler cache"):
            self.settings(compiler_cache="distcc")

    def test_sccache_and_a_prefix_exclude_each_other(self) -> None:
        with pytest.raises(UsageError, match="icecc"):
            compiler_cache(self.settings(compiler_cache="sccache", compiler_prefix="icecc"), {})


class TestCounts:
    def test_ccache_s_log_by_language_and_file(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        log.write_text(
            "# /w/a.c\ncache_miss\nlocal_storage_miss\n# /w/b.cpp\ndirect_cache_hit\n"
            "# /w/c.cu\npreprocessed_cache_hit\nremote_storage_hit\n"
            "# /w/d.cpp\nunsupported_compiler_option\n# /w/e.cu\ncache_miss\nremote_storage_error\n"
        )
        found = counts.read_log(str(log))
        assert (found.hits, found.misses, found.remote, found.errors) == (2, 2, 1, 1)
        assert found.languages == {"C": [0, 1], "C++": [1, 0], "CUDA": [1, 1]}
        assert found.outcomes["/w/b.cpp"] == "hit"
        assert found.outcomes["/w/e.cu"] == "miss"
        assert "does not support" in found.outcomes["/w/d.cpp"]

    def test_no_log_is_no_answer(self, tmp_path: Path) -> None:
        assert counts.read_log(str(tmp_path / "none"))[:2] == (0, 0)

    def test_sccache_counts_a_cuda_source_once(self) -> None:
        def statistics(hits: dict[str, int], misses: dict[str, int]) -> dict[str, Any]:
            return {"stats": {"cache_hits": {"counts": hits}, "cache_misses": {"counts": misses}}}

        before = statistics({"C/C++": 2, "PTX": 1}, {"C/C++": 2})
        after = statistics(
            {"C/C++": 5, "CUDA": 1, "PTX": 3, "CUBIN": 2}, {"C/C++": 2, "CUDA": 1, "CUDA (Device code)": 1}
        )
        found = counts.difference(before, after)
        assert (found.hits, found.misses) == (4, 1)
        assert found.languages == {"C/C++": [3, 0], "CUDA": [1, 1]}

    def test_a_server_that_is_gone_answers_nothing(self) -> None:
        assert counts.difference({}, {})[:3] == (0, 0, {})


# Lines of ccache 4.14's log for one call, shortened.
MISMATCH = ["Considering result entry 0 (07)", "Mismatch for /w/k.h: hash d3 != 19", "Result: cache_miss"]


class TestWhy:
    @pytest.mark.parametrize(
        ("log", "hit", "said"),
        [
            (["Result: direct_cache_hit"], True, "headers, options and compiler are known"),
            (["Result: direct_cache_hit", "Result: remote_storage_hit"], True, "shared storage"),
            (["Result: preprocessed_cache_hit"], True, "preprocessor"),
            (MISMATCH, False, "/w/k.h changed"),
            ([*MISMATCH, "Mismatch for /w/l.h: hash d3 != 19"], False, "/w/k.h and 1 more changed"),
            (["No 0f in local storage", "Result: cache_miss"], False, "never compiled"),
            (["Unsupported compiler option: -fplugin=x", "Result: unsupported_compiler_option"], False, "-fplugin=x"),
            (["Result: compile_failed"], False, "the compile failed"),
            (["/w/k.h had a too new mtime: file modified too recently", "Result: cache_miss"], False, "just now"),
        ],
    )
    def test_a_sentence(self, log: list[str], hit: bool, said: str) -> None:
        found = why_ccache(log)
        assert found[0] is hit
        assert said in found[1]

    def test_another_compiler_is_named(self) -> None:
        changed = json.dumps(["cxx", "g++ 12.2", "g++ 13.1"])
        assert "another tree here was built with g++ 12.2" in why_ccache(["Result: cache_miss"], [changed])[1]

    @given(st.lists(st.text(max_size=60), max_size=10))
    def test_any_log_has_a_reason(self, log: list[str]) -> None:
        assert why_ccache(log)[1]


def said(**values: Any) -> CacheLook:
    settings = {name: [value, "environment"] for name, value in {"sloppiness": "", "compiler_check": "content"}.items()}
    found = {
        "kind": "ccache", "folder": "/cache/ccache", "exists": True, "writable": True, "uid": 1000, "shared": True,
        "owner": 1000, "group": 1000, "mode": 0o40755, "groups": [1000], "free": 50 << 30, "foreign": "", "skew": 0.0,
        "settings": settings, "by_hand": settings, "languages": {},
        "counters": {"cache_size_kibibyte": 100, "max_cache_size_kibibyte": 1000}, **values,
    }  # fmt: skip
    return CacheLook(**found)


class TestDoctor:
    def test_a_healthy_cache(self) -> None:
        (finding,) = diagnose(said(), CompilerCache())
        assert finding.severity == "ok"

    @pytest.mark.parametrize(
        ("values", "severity", "text"),
        [
            ({"writable": False, "owner": 0}, "error", "belongs to uid 0"),
            ({"exists": False}, "error", "not there"),
            ({"shared": False, "folder": "/build/x"}, "warning", "for this workspace alone"),
            ({"foreign": "/cache/ccache/a"}, "error", "another user"),
            ({"skew": 5.0}, "warning", "+5.0 s off"),
            ({"counters": {"cache_size_kibibyte": 990, "max_cache_size_kibibyte": 1000}}, "warning", "full"),
            ({"free": 1}, "warning", "MiB are free"),
            ({"counters": {"remote_storage_error": 3}}, "warning", "failed 3 times"),
        ],
    )
    def test_what_is_wrong(self, values: dict[str, Any], severity: str, text: str) -> None:
        found = [one for one in diagnose(said(**values), CompilerCache()) if text in one.message]
        assert [one.severity for one in found] == [severity]
        assert found[0].remedy

    @pytest.mark.parametrize(
        ("name", "value", "severity"),
        [
            ("sloppiness", "include_file_mtime, pch_defines", "error"),
            ("sloppiness", "time_macros", "error"),
            ("hash_dir", "false", "warning"),
            ("base_dir", "/home", "warning"),
            ("compiler_check", "mtime", "warning"),
        ],
    )
    def test_settings_that_only_ninja_by_hand_would_meet(self, name: str, value: str, severity: str) -> None:
        by_hand = {**said().by_hand, name: [value, "/etc/ccache.conf"]}
        (found,) = diagnose(said(by_hand=by_hand), CompilerCache())
        assert found.severity == severity
        assert found.message.startswith(f"by hand: {name}")
        assert "/etc/ccache.conf" in str(found.remedy)

    def test_a_group_s_cache_must_be_its_group_s(self) -> None:
        assert diagnose(said(mode=0o42775), CompilerCache(group=True))[0].severity == "ok"
        assert "0755" in diagnose(said(), CompilerCache(group=True))[0].message

    def test_the_shared_storage_is_named_with_why_it_fails(self) -> None:
        cache = CompilerCache(storage=storage("ccache", "redis://:secret@127.0.0.1:6379", {}))
        failing = {"counters": {"remote_storage_error": 3}}
        (finding,) = diagnose(said(**failing, unreachable="Connection refused"), cache)
        assert finding.message == "the shared storage redis://127.0.0.1:6379 failed 3 times"
        assert finding.why == "Connection refused"
        assert "password" in str(diagnose(said(**failing), cache)[0].why)
        assert "does not answer" in diagnose(said(unreachable="Connection refused"), cache)[0].message

    def test_an_address_is_tried(self, tmp_path: Path) -> None:
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            port = listening.getsockname()[1]
            assert unreachable(f"redis://127.0.0.1:{port}") == "Connection refused"
            listening.listen()
            assert unreachable(f"redis://127.0.0.1:{port}/1") == ""
            assert unreachable(f"s3://bucket/x?endpoint=http%3A%2F%2F127.0.0.1%3A{port}") == ""
        assert "not known" in unreachable("http://no-such-host.invalid/x")
        assert unreachable(f"file:{tmp_path}") == ""
        assert "is not there" in unreachable(f"file:{tmp_path}/x")
        for unknown in ("", "gs://bucket/x", "s3://bucket"):
            assert unreachable(unknown) == ""

    def test_a_server_s_reason_is_two_sentences(self) -> None:
        text = """sccache: error: cache storage failed to read: Unexpected (temporary) at read => send http request

Context:
   url: http://127.0.0.1:1/x/.sccache_check
   service: s3

Source:
   client error (Connect): tcp connect error: Connection refused (os error 111)

Backtrace:
   0: <unknown>
"""
        assert reason(text) == (
            "error: cache storage failed to read: Unexpected (temporary) at read => send http request: "
            "client error (Connect): tcp connect error: Connection refused (os error 111)"
        )
        assert reason("sccache: cannot start\n") == "sccache: cannot start"
        assert reason("") == ""

    def test_a_server_that_does_not_start(self) -> None:
        values = {"kind": "sccache", "problem": "no route to host", "server": {}, "bytes": 0}
        assert "no route" in diagnose(said(**values), CompilerCache("sccache"))[0].message


def test_rates() -> None:
    assert choose.hit_rate(2, 1) == "67 %"
    assert choose.hit_rate(0, 0) == "-"


def test_a_cache_that_cannot_be_tried_says_why(tmp_path: Path) -> None:
    """As one does whose program hangs, writes no log, or is gone."""
    cache = setup.Cache(
        "ccache", "/bin/true", {}, str(tmp_path), "", "", protocol.Storage(url="redis://127.0.0.1:1"), group=False
    )
    found = trial.attempt(cache)
    assert (found["took"], found["gave"]) == (False, False)
    assert "log" in found["why"]
