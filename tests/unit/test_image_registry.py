"""The client of registries against a server of its own: tokens, credentials, redirects, digests, interruptions."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from devbox.config.network import Network
from devbox.errors import ConfigError, EngineError
from devbox.image.registry import credentials
from devbox.image.registry.client import IntegrityError, Registry, RegistryError, Web, is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOB = b"the content of a blob"
MANIFEST = json.dumps({"layers": []}).encode()


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass
class Server:
    """A registry as its users see it. `auth` is "", "basic", "bearer"; `seen` are the requests that came."""

    port: int = 0
    auth: str = ""
    manifest: bytes = MANIFEST
    blob: bytes = BLOB
    busy: int = 0
    cut: bool = False
    redirect: str = ""
    refuse_token: bool = False
    pages: tuple[tuple[str, ...], ...] = (("1", "latest"),)
    link: str = '</v2/a/b/tags/list?n=2&last={last}>; rel="next"'
    digest: str = ""
    seen: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    def answer(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        authorization = request.headers.get("Authorization", "")
        self.seen.append((request.command, request.path, authorization))
        path = urllib.parse.urlsplit(request.path)
        if self.busy:
            self.busy -= 1
            self.send(request, 503)
        elif path.path == "/token":
            self.token(request, body, authorization)
        elif path.path.startswith("/v2/") and self.auth == "basic" and authorization != basic("alice:secret"):
            self.send(request, 401, {"WWW-Authenticate": 'Basic realm="test"'})
        elif path.path.startswith("/v2/") and self.auth == "bearer" and authorization != "Bearer good":
            realm = f'Bearer realm="http://{self.host}/token",service="test",scope="repository:a/b:pull"'
            self.send(request, 401, {"WWW-Authenticate": realm})
        elif path.path.endswith("/manifests/latest") or "/manifests/sha256:" in path.path:
            self.send(request, 200, {"Docker-Content-Digest": self.digest} if self.digest else {}, self.manifest)
        elif path.path.endswith("/b/tags/list"):
            self.tags(request, urllib.parse.parse_qs(path.query).get("last", [""])[0])
        elif "/blobs/" in path.path and self.redirect:
            self.send(request, 307, {"Location": self.redirect})
        elif "/blobs/" in path.path or path.path == "/elsewhere":
            self.send(request, 200, content=self.blob)
        else:
            self.send(request, 404)

    def tags(self, request: BaseHTTPRequestHandler, last: str) -> None:
        number = next((number for number, page in enumerate(self.pages, 1) if page and page[-1] == last), 0)
        page = self.pages[number]
        more = {"Link": self.link.format(last=page[-1], host=self.host)} if number + 1 < len(self.pages) else {}
        self.send(request, 200, more, json.dumps({"name": "a/b", "tags": page}).encode())

    def token(self, request: BaseHTTPRequestHandler, body: bytes, authorization: str) -> None:
        form = urllib.parse.parse_qs(body.decode())
        anonymous = not authorization and not body
        known = authorization == basic("alice:secret") or form.get("refresh_token") == ["identity"]
        if (known or anonymous) and not (anonymous and self.refuse_token):
            self.send(request, 200, content=json.dumps({"token": "good" if known else "anonymous"}).encode())
        else:
            self.send(request, 401)

    def send(
        self, request: BaseHTTPRequestHandler, status: int, headers: dict[str, str] | None = None, content: bytes = b""
    ) -> None:
        request.send_response(status)
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(content) + (10 if self.cut else 0)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content)


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.answer(self, b"")

        def do_HEAD(self) -> None:
            state.answer(self, b"")

        def do_POST(self) -> None:
            state.answer(self, self.rfile.read(int(self.headers["Content-Length"])))

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.port = httpd.server_address[1]
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devbox.image.registry.client.time.sleep", lambda _: None)


def registry(server: Server, folder: Path, config: dict[str, Any] | None = None, **environ: str) -> Registry:
    (folder / "config.json").write_text(json.dumps(config or {}))
    return Registry(server.host, Web(Network()), {"DOCKER_CONFIG": str(folder), **environ})


def login(server: Server, user: str = "alice:secret") -> dict[str, Any]:
    return {"auths": {server.host: {"auth": base64.b64encode(user.encode()).decode()}}}


def fetched(one: Registry, wanted: str = digest(BLOB)) -> bytes:
    target = io.BytesIO()
    one.blob("a/b", wanted, target)
    return target.getvalue()


def test_manifests_blobs_and_tags(server: Server, tmp_path: Path) -> None:
    one = registry(server, tmp_path)
    found = one.manifest("a/b", "latest")
    assert (found.digest, found.content, found.data) == (digest(MANIFEST), MANIFEST, {"layers": []})
    assert one.manifest("a/b", found.digest) == found
    assert fetched(one) == BLOB
    assert one.tags("a/b") == ("1", "latest")
    assert {authorization for _, _, authorization in server.seen} == {""}


@pytest.mark.parametrize(
    "link",
    [
        '</v2/a/b/tags/list?n=2&last={last}>; rel="next"',
        "<http://{host}/v2/a/b/tags/list?n=2&last={last}>; rel=next",
        '<?n=2&last={last}>; type="x"; rel="next"',
        # Whatever host it names, no other one is asked.
        '<https://elsewhere.invalid/v2/a/b/tags/list?n=2&last={last}>; rel="next"',
    ],
)
def test_tags_are_read_from_all_pages(link: str, server: Server, tmp_path: Path) -> None:
    server.pages, server.link, server.auth = (("a", "b"), ("c", "d"), ("e",)), link, "bearer"
    assert registry(server, tmp_path, login(server)).tags("a/b") == ("a", "b", "c", "d", "e")
    assert sum(path.startswith("/token") for _, path, _ in server.seen) == 1


def test_a_list_of_tags_without_an_end_ends(server: Server, tmp_path: Path) -> None:
    # Its last tag leads back to the first page.
    server.pages, server.link = (("a", "b"), ("c",)), '</v2/a/b/tags/list?last=>; rel="next"'
    assert registry(server, tmp_path).tags("a/b") == ("a", "b")
    server.pages, server.link = (("a",), ("a",)), '</v2/a/b/tags/list?last={last}>; rel="first"'
    assert registry(server, tmp_path).tags("a/b") == ("a",)


def test_a_digest_is_asked_for_without_a_download(server: Server, tmp_path: Path) -> None:
    one = registry(server, tmp_path)
    assert one.digest("a/b", "latest") == digest(MANIFEST)
    assert [method for method, _, _ in server.seen] == ["HEAD", "GET"]
    server.digest = digest(MANIFEST)
    assert one.digest("a/b", "latest") == digest(MANIFEST)
    assert [method for method, _, _ in server.seen] == ["HEAD", "GET", "HEAD"]
    with pytest.raises(RegistryError) as caught:
        one.digest("a/b", "nope")
    assert caught.value.status == 404


def test_how_often_and_how_long_a_silent_server_is_asked(server: Server, tmp_path: Path) -> None:
    server.busy = 5
    (tmp_path / "config.json").write_text("{}")
    one = Registry(server.host, Web(Network(), attempts=1), {"DOCKER_CONFIG": str(tmp_path)})
    with pytest.raises(RegistryError, match="answered 503"):
        one.tags("a/b")
    assert len(server.seen) == 1


def test_basic_credentials_of_docker_login(server: Server, tmp_path: Path) -> None:
    server.auth = "basic"
    assert fetched(registry(server, tmp_path, login(server))) == BLOB
    with pytest.raises(RegistryError, match="does not let you read a/b") as caught:
        fetched(registry(server, tmp_path, login(server, "alice:wrong")))
    assert caught.value.hint == f"docker login {server.host}"
    with pytest.raises(RegistryError, match="does not let you read a/b"):
        fetched(registry(server, tmp_path))


def test_a_token_is_exchanged_once(server: Server, tmp_path: Path) -> None:
    server.auth = "bearer"
    one = registry(server, tmp_path, login(server))
    one.manifest("a/b", "latest")
    assert fetched(one) == BLOB
    asked = [(method, path) for method, path, _ in server.seen if path.startswith("/token")]
    assert asked == [("GET", "/token?service=test&scope=repository%3Aa%2Fb%3Apull")]


def test_an_identity_token_is_exchanged(server: Server, tmp_path: Path) -> None:
    server.auth = "bearer"
    config = {"auths": {server.host: {"identitytoken": "identity"}}}
    assert fetched(registry(server, tmp_path, config)) == BLOB
    assert ("POST", "/token", "") in server.seen


def test_expired_credentials_go_without(server: Server, tmp_path: Path) -> None:
    server.auth = "bearer"
    with pytest.raises(RegistryError, match="does not let you read"):
        fetched(registry(server, tmp_path, login(server, "alice:expired")))
    assert server.seen[-1][2] == "Bearer anonymous"
    server.refuse_token = True
    with pytest.raises(RegistryError, match="refused the credentials that docker has") as caught:
        fetched(registry(server, tmp_path, login(server, "alice:expired")))
    assert caught.value.hint == f"docker login {server.host}"


def test_a_redirect_elsewhere_does_not_get_the_credentials(server: Server, tmp_path: Path) -> None:
    server.auth = "basic"
    server.redirect = f"http://127.0.0.1:{server.port}/elsewhere"
    assert fetched(registry(server, tmp_path, login(server))) == BLOB
    assert server.seen[-1] == ("GET", "/elsewhere", "")


def test_another_content_than_promised_is_refused(server: Server, tmp_path: Path) -> None:
    one = registry(server, tmp_path)
    server.blob = b"something else"
    with pytest.raises(IntegrityError, match="another content"):
        fetched(one)
    with pytest.raises(IntegrityError, match="another manifest"):
        one.manifest("a/b", digest(b"another"))


def test_an_interrupted_download_is_refused(server: Server, tmp_path: Path) -> None:
    server.cut = True
    with pytest.raises(RegistryError):
        fetched(registry(server, tmp_path))
    with pytest.raises(RegistryError):
        registry(server, tmp_path).tags("a/b")


def test_a_manifest_that_is_none(server: Server, tmp_path: Path) -> None:
    for content in (b"[]", b"<html>", b"", b"\xff"):
        server.manifest = content
        with pytest.raises(RegistryError, match="no JSON object"):
            registry(server, tmp_path).manifest("a/b", "latest")


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.busy = 2
    assert fetched(registry(server, tmp_path)) == BLOB
    server.busy = 3
    with pytest.raises(RegistryError, match="answered 503"):
        fetched(registry(server, tmp_path))


def test_what_is_not_there(server: Server, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=r"has no a/b:9$") as caught:
        registry(server, tmp_path).manifest("a/b", "9")
    assert caught.value.status == 404
    assert caught.value.hint == f"devbox image tags {server.host}/a/b"
    with pytest.raises(RegistryError, match=r"has no repository a/none$"):
        registry(server, tmp_path).tags("a/none")
    with pytest.raises(RegistryError, match="cannot be reached"):
        Registry("localhost:1", Web(Network()), {"DOCKER_CONFIG": str(tmp_path)}).manifest("a/b", "9")


def test_this_machine_is_reached_without_the_proxy(server: Server, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    web = Web(Network(http_proxy="http://127.0.0.1:1", https_proxy="http://127.0.0.1:1"))
    assert fetched(Registry(server.host, web, {"DOCKER_CONFIG": str(tmp_path)})) == BLOB


def test_only_this_machine_is_asked_over_plain_http() -> None:
    loopback = ["localhost", "127.0.0.1", "127.1.2.3", "::1", "a.localhost"]
    assert [
        host for host in (*loopback, "10.0.0.1", "127.evil.org", "localhost.evil.org") if is_loopback(host)
    ] == loopback


# Credentials


def found(folder: Path, config: Any, host: str = "r.org", **environ: str) -> tuple[str, str, str] | None:
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    one = credentials.credential_for(host, {"DOCKER_CONFIG": str(folder), **environ})
    return None if one is None else (one.user, one.password, one.identity_token)


def entry(text: str) -> dict[str, str]:
    return {"auth": base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, None),
        ({"auths": {"r.org": entry("u:p:q")}}, ("u", "p:q", "")),
        ({"auths": {"https://r.org/v1/": entry("u:p")}}, ("u", "p", "")),
        ({"auths": {"r.org": {"identitytoken": "t", **entry("u:p")}}}, ("", "", "t")),
        ({"auths": {"r.org": {"username": "u", "password": "p"}}}, ("u", "p", "")),
        ({"auths": {"r.org": {}}}, None),
        ({"auths": {"r.org": {"auth": "%%%"}}}, None),
        ({"auths": {"other.org": entry("u:p")}}, None),
        ([], None),
    ],
)
def test_what_docker_login_has_kept(config: Any, expected: object, tmp_path: Path) -> None:
    assert found(tmp_path, config) == expected


def test_docker_hub_has_a_name_of_its_own(tmp_path: Path) -> None:
    config = {"auths": {"https://index.docker.io/v1/": entry("u:p")}}
    assert found(tmp_path, config, "docker.io") == ("u", "p", "")


def helper(folder: Path, name: str, script: str) -> str:
    path = folder / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\nread -r registry\n{script}\n")
    path.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def test_credential_helpers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = 'echo "{\\"Username\\": \\"%s\\", \\"Secret\\": \\"for $registry\\"}"'
    helper(tmp_path, "one", answer % "u")
    helper(tmp_path, "two", answer % "<token>")
    helper(tmp_path, "none", 'echo "credentials not found in native keychain"; exit 1')
    helper(tmp_path, "broken", "echo it broke >&2; exit 1")
    monkeypatch.setenv("PATH", helper(tmp_path, "odd", "echo nonsense"))
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    assert found(tmp_path, {"credsStore": "one"}, **path) == ("u", "for r.org", "")
    assert found(tmp_path, {"credsStore": "one", "credHelpers": {"r.org": "two"}}, **path) == ("", "", "for r.org")
    kept = {"auths": {"r.org": entry("u:p")}}
    assert found(tmp_path, {"credsStore": "none", **kept}, **path) == ("u", "p", "")
    with pytest.raises(EngineError, match="docker-credential-broken has failed") as caught:
        found(tmp_path, {"credsStore": "broken"}, **path)
    assert caught.value.detail == "it broke"
    with pytest.raises(EngineError, match="is no credential"):
        found(tmp_path, {"credsStore": "odd"}, **path)
    with pytest.raises(EngineError, match="is not installed"):
        found(tmp_path, {"credsStore": "missing"}, **path)


def test_credentials_of_the_environment(tmp_path: Path) -> None:
    given = {"DEVCONTAINERS_OCI_AUTH": "a.org|u|p,r.org|me|it|has|bars"}
    assert found(tmp_path, {}, **given) == ("me", "it|has|bars", "")
    assert found(tmp_path, {}, "ghcr.io", GITHUB_TOKEN="t") == ("USERNAME", "t", "")
    assert found(tmp_path, {}, "r.org", GITHUB_TOKEN="t") is None
    assert found(tmp_path, {}, "ghcr.io", GITHUB_TOKEN="t", GITHUB_HOST="ghe.org") is None


def test_a_broken_configuration_of_docker(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        found(tmp_path, "{")


def test_a_credential_is_not_shown() -> None:
    assert "secret" not in repr(credentials.Credential("secret-user", "secret", "secret-token"))
