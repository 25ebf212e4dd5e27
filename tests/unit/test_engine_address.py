"""Where the engine is: what names it, how it is reached from here, and whether it sees a folder of this machine."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import os
import shutil
import ssl
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from devbox import config
from devbox.__main__ import _in_context
from devbox.container.checkout.elsewhere import is_seen
from devbox.engine import sdk, tunnel
from devbox.engine.address import address, in_context, reached, tls_folder
from devbox.engine.docker import Engine
from devbox.errors import ConfigError, EngineError
from devbox.facts.sight import sees
from devbox.paths import may_set

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.fixture
def contexts(tmp_path: Path) -> dict[str, str]:
    """An environment with docker's contexts `here`, a rootless engine's, and `far`."""
    for name, url in {"here": "unix:///run/user/7/docker.sock", "far": "tcp://far:2376"}.items():
        folder = tmp_path / "contexts/meta" / hashlib.sha256(name.encode()).hexdigest()
        folder.mkdir(parents=True)
        (folder / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": url}}}))
    return {"DOCKER_CONFIG": str(tmp_path), "HOME": str(tmp_path)}


def test_a_context_is_stronger_than_what_else_names_an_engine(contexts: dict[str, str]) -> None:
    said = {**contexts, "DOCKER_HOST": "tcp://other:1", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/keys"}
    assert address(said).url == "tcp://other:1"
    chosen = in_context(said, "far")
    assert chosen == {**contexts, "DOCKER_CONTEXT": "far"}
    assert (address(chosen).url, address(chosen).context) == ("tcp://far:2376", "far")
    assert address(in_context(said, "none")).url == ""
    assert Path(tls_folder(chosen, "far")).parent.parent.name == "tls"


@pytest.mark.parametrize("unverified", [False, True])
def test_a_context_says_whether_any_certificate_will_do(
    contexts: dict[str, str], tmp_path: Path, *, unverified: bool
) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=other"]
    made = ["openssl", "req", "-x509", *kind, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(made, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            url = f"tcp://127.0.0.1:{server.server_port}"
            name = hashlib.sha256(b"far").hexdigest()
            endpoint = {"Host": url, "SkipTLSVerify": unverified}
            (tmp_path / "contexts/meta" / name / "meta.json").write_text(
                json.dumps({"Endpoints": {"docker": endpoint}})
            )
            if not unverified:
                folder = tmp_path / "contexts/tls" / name / "docker"
                folder.mkdir(parents=True)
                # Another authority's: none has signed it.
                shutil.copy(certificate, folder / "ca.pem")
            chosen = in_context(contexts, "far")
            with contextlib.nullcontext() if unverified else pytest.raises(OSError, match="certificate"):
                assert sdk.ask(chosen, "/_ping", timeout=10)[0] == 501
        finally:
            server.shutdown()


def test_a_contexts_socket_is_asked_at_once(contexts: dict[str, str]) -> None:
    by = reached(in_context(contexts, "here"))
    assert by == {**contexts, "DOCKER_HOST": "unix:///run/user/7/docker.sock"}
    assert reached(in_context(contexts, "far")) == in_context(contexts, "far")


def test_what_is_reached_through_a_tunnel_is_called_by_its_own_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "socket_to", lambda _: "/run/x/engine")
    engine = Engine(environ={"DOCKER_HOST": "ssh://me@box"})
    assert engine.environ["DOCKER_HOST"] == "unix:///run/x/engine"
    # So programs that are started there, such as devbox itself, find the way, and know that it is elsewhere.
    assert address(engine.environ) == engine.address
    assert engine.address == ("ssh://me@box", "DOCKER_HOST", None)


@pytest.mark.parametrize(
    ("url", "words", "there"),
    [
        ("ssh://box", ["--", "box"], ""),
        ("ssh://Me%40x@Box:2222/", ["-p", "2222", "-l", "Me@x", "--", "Box"], ""),
        ("ssh://me@[::1]:22/run/docker.sock", ["-p", "22", "-l", "me", "--", "::1"], "/run/docker.sock"),
    ],
)
def test_an_address_of_ssh_names_host_user_port_and_socket(url: str, words: list[str], there: str) -> None:
    host, found, path = tunnel._destination(url)
    assert (found, path) == (words, there)
    assert host == words[-1]


@pytest.mark.parametrize("url", ["ssh://", "ssh://-oProxyCommand=x", "ssh://box:port"])
def test_an_address_that_names_no_host_is_said(url: str) -> None:
    with pytest.raises(EngineError, match="names no host"):
        tunnel._destination(url)


def test_a_setting_names_the_engine_of_a_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVBOX_CONFIG_DIR", str(tmp_path))
    assert not may_set("context", {})
    (tmp_path / "config.toml").write_text(f'context = "all"\n[workspace."{tmp_path}/w*"]\ncontext = "mine"\n')
    assert may_set("context", {})
    assert config.context_for(tmp_path / "work", {}) == "mine"
    assert config.context_for(tmp_path / "other", {}) == config.context_for(None, {}) == "all"
    assert config.context_for(None, {"DEVBOX_CONTEXT": "said"}) == "said"
    assert config.context_for(None, {"DOCKER_HOST": "tcp://x"}) is None
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "devbox.toml").write_text('context = "theirs"\n')
    with pytest.raises(ConfigError, match="says on which machine containers run"):
        config.load(checkout, environ={}, flags={})


def test_a_context_before_the_command_goes_into_dockers_own_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://x")
    monkeypatch.setenv("DOCKER_CONTEXT", "old")
    assert _in_context(["--context", "a", "--context=b", "up", "--context", "c"]) == ["up", "--context", "c"]
    assert os.environ["DOCKER_CONTEXT"] == "b"
    assert "DOCKER_HOST" not in os.environ
    assert _in_context(["--context"]) == ["--context"]


class Seeing(Engine):
    """An engine that looks at mounts before it looks for the image, or after it, as Podman does."""

    def __init__(self, *, folder: Path | None, image_first: bool = False) -> None:
        super().__init__(environ={"DOCKER_HOST": "tcp://far:1"})
        self.folder, self.image_first = folder, image_first
        self.asked: list[Path] = []

    def ask(
        self, request: str, *, body: Mapping[str, Any] | None = None, timeout: float | None = None
    ) -> tuple[int, bytes]:
        assert body is not None
        source = Path(body["HostConfig"]["Mounts"][0]["Source"])
        self.asked.append(source)
        if self.image_first or (self.folder is not None and source.is_relative_to(self.folder) and source.exists()):
            return 404, b'{"message":"No such image"}'
        return 400, b'{"message":"invalid mount config for type \\"bind\\": bind source path does not exist: /x"}'


@pytest.mark.parametrize("git", ["folder", "none", "link"])
def test_an_engine_is_asked_whether_it_sees_a_folder(tmp_path: Path, git: str) -> None:
    engine = Seeing(folder=tmp_path)
    if git == "folder":
        (tmp_path / ".git").mkdir()
    elif git == "link":
        (tmp_path / "other").mkdir()
        (tmp_path / ".git").symlink_to("other")
    before = sorted(tmp_path.rglob("*"))
    assert sees(engine, tmp_path) is True
    # Where a link leads is somebody else's.
    assert {one.parent for one in engine.asked} == {tmp_path / ".git" if git == "folder" else tmp_path}
    assert sees(Seeing(folder=tmp_path / "other"), tmp_path) is False
    assert sees(Seeing(folder=tmp_path, image_first=True), tmp_path) is None
    assert sorted(tmp_path.rglob("*")) == before
    # An engine that does not say, and is reached by a network, is taken for another machine's.
    assert not is_seen(Seeing(folder=tmp_path, image_first=True), tmp_path)


def test_a_socket_in_a_folder_of_somebody_elses_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The short folder is below `/tmp`, where anybody may have made it before."""
    folder = tmp_path / "engines/x"
    folder.mkdir(parents=True)
    folder.parent.chmod(0o777)
    monkeypatch.setattr(tunnel, "_folder", lambda _: str(folder))
    monkeypatch.setattr(tunnel, "_answers", lambda _: True)
    with pytest.raises(EngineError, match="not yours alone"):
        tunnel.socket_to("ssh://far")
    folder.parent.chmod(0o700)
    folder.chmod(0o700)
    assert tunnel.socket_to("ssh://far") == f"{folder}/engine"


@pytest.mark.parametrize("lives", [True, False])
def test_a_connection_that_others_use_is_not_ended_because_the_engine_is_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, lives: bool
) -> None:
    log, program = tmp_path / "log", tmp_path / "ssh"
    program.write_text(
        f'#!/bin/sh\necho "$@" >> {log}\ncase "$*" in *true) exit {0 if lives else 255};; esac\nexit 1\n'
    )
    program.chmod(0o755)
    tmp_path.chmod(0o700)
    folder = tmp_path / "engine"
    folder.mkdir(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(tunnel, "_folder", lambda _: str(folder))
    monkeypatch.setattr(tunnel, "_answers", lambda _: None)
    with pytest.raises(EngineError, match="takes too long" if lives else "not reached by ssh"):
        tunnel.socket_to("ssh://box")
    assert ("-O exit" in log.read_text()) is not lives
