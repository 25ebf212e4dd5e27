"""A small client of OCI registries: manifests, blobs and tags, each verified by its digest.

It is our own because there is nothing else that fits: the Python clients import a stack of HTTP and schema libraries,
and lack identity tokens or send credentials on with redirects. docker itself lists no tags, and cannot say whether an
image is there without a plugin. What is needed of the distribution specification is four requests and one token
exchange, all of them reading: what is written to a registry, docker writes.

Sources: the OCI distribution specification; docker's "Token authentication" and "OAuth2 token authentication" pages.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import field
from http.client import HTTPException
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlencode, urljoin, urlsplit

from devbox.errors import ImageError
from devbox.image.registry import credentials
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from http.client import HTTPMessage, HTTPResponse
    from typing import BinaryIO

    from devbox.config.network import Network

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
# What an image may be: of one platform or, as an index, of several; as OCI and as docker write it.
IMAGE = (
    f"{MANIFEST}, application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json"
)
TIMEOUT_SECONDS = 30.0
MAX_BYTES = 1 << 30
_MAX_MANIFEST = 4 << 20
_PAGE = 1000
_MAX_PAGES = 500
_ATTEMPTS = 3
_BUSY = {429, 500, 502, 503, 504}
_NEXT = re.compile(r"<([^>]*)>\s*;[^,]*\brel=\"?next\"?")
_PARAMETER = re.compile(r'([a-zA-Z_]+)="([^"]*)"')
_CLIENT = "devbox"


class RegistryError(ImageError):
    """A registry or a server did not give what was asked of it. `status` is its HTTP status, 0 without an answer."""

    code = "registry"

    def __init__(self, message: str, *, status: int = 0, hint: str | None = None, detail: str | None = None) -> None:
        """Take the sentence and the status."""
        super().__init__(message, hint=hint, detail=detail)
        self.status = status


class UnreachableError(RegistryError):
    """A registry or a server gave no answer at all."""

    code = "unreachable"


class IntegrityError(RegistryError):
    """What was downloaded is not what its digest promises."""

    code = "integrity"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest: its digest, its exact bytes, and what they say."""

    digest: str
    content: bytes
    data: dict[str, Any] = field(hash=False, repr=False)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to something else."""

    def redirect_request(  # noqa: PLR0917  # the base class's signature
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Return the request for `newurl`. `Authorization` is not in it: it was not set as a header to be kept."""
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise urllib.error.URLError(f"it redirects to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Web:
    """HTTP as the site has it: with its proxies and its CA bundle.

    `timeout` is in seconds, for one answer; `attempts` is how often a server that is busy or silent is asked.
    """

    def __init__(self, network: Network, *, timeout: float = TIMEOUT_SECONDS, attempts: int = _ATTEMPTS) -> None:
        self._timeout = timeout
        self._attempts = attempts
        proxies = {name.removesuffix("_proxy"): url for name, url in network.proxies().items() if name.islower()}
        self._no_proxy = proxies.pop("no", "")
        context = ssl.create_default_context()
        if network.ca_bundle is not None:
            context.load_verify_locations(cafile=network.ca_bundle)
        https = urllib.request.HTTPSHandler(context=context)
        self._direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), https, _Redirects())
        self._proxied = urllib.request.build_opener(urllib.request.ProxyHandler(proxies), https, _Redirects())

    def get(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        authorization: str = "",
        data: bytes | None = None,
        method: str | None = None,
    ) -> HTTPResponse:
        """Open `url`. Raises urllib's HTTPError for a refusal, UnreachableError where there is no answer.

        The method is GET, or POST with `data`, where none is named.
        """
        headers = {"User-Agent": _CLIENT, **headers}
        request = urllib.request.Request(url, data=data, headers=headers, method=method)  # noqa: S310
        if authorization:
            # Another host that a redirect leads to does not get it.
            request.add_unredirected_header("Authorization", authorization)
        host = urlsplit(url).hostname or ""
        opener = self._direct if is_loopback(host) or self._excepted(host) else self._proxied
        for attempt in range(self._attempts):
            last = attempt + 1 == self._attempts
            try:
                answer: HTTPResponse = opener.open(request, timeout=self._timeout)
            except urllib.error.HTTPError as error:
                if error.code not in _BUSY or last:
                    raise
                error.close()
            except (OSError, HTTPException) as error:
                reason = getattr(error, "reason", None) or error
                if last or isinstance(reason, ssl.SSLError):
                    raise UnreachableError(
                        f"{urlsplit(url).netloc} cannot be reached: {getattr(reason, 'strerror', None) or reason}",
                        hint="devbox config show   # ca_bundle and https_proxy say how the network is reached",
                    ) from None
            else:
                return answer
            time.sleep(0.3 * 3**attempt)
        raise AssertionError

    def _excepted(self, host: str) -> bool:
        """Whether a host is to be reached without the proxy."""
        names = [name.strip().lstrip(".") for name in self._no_proxy.split(",")]
        return "*" in names or any(name and (host == name or host.endswith(f".{name}")) for name in names)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: docker takes plain http from it alone."""
    return host in {"localhost", "::1"} or host.endswith(".localhost") or bool(re.fullmatch(r"127(\.\d{1,3}){3}", host))


class Registry:
    """One registry, with what it has been told about who asks."""

    def __init__(self, host: str, web: Web, environ: Mapping[str, str]) -> None:
        self.host = host
        self._web = web
        self._environ = environ
        served = "registry-1.docker.io" if host == "docker.io" else host
        scheme = "http" if is_loopback(urlsplit(f"//{host}").hostname or "") else "https"
        self._url = f"{scheme}://{served}/v2"
        self._authorization: dict[str, str] = {}

    def manifest(self, name: str, reference: str, *, accept: str = MANIFEST) -> Manifest:
        """Return a manifest by tag or digest. Raises RegistryError; IntegrityError where it is not that digest's.

        `accept` are the media types that will do: `MANIFEST` for an artifact, `IMAGE` for whatever an image may be.
        """
        content = self._read(name, f"manifests/{reference}", accept)
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if reference.startswith("sha256:") and digest != reference:
            raise IntegrityError(f"{self.host} sent another manifest of {name} than {reference}: {digest}")
        return Manifest(digest, content, self._object(content, name))

    def digest(self, name: str, reference: str) -> str:
        """Return the digest of an image by its tag without downloading anything, which no registry counts as a pull.

        Raises RegistryError, with the status 404 where there is no such image.
        """
        with self._get(name, f"manifests/{reference}", IMAGE, method="HEAD") as answer:
            found: str | None = answer.headers.get("Docker-Content-Digest")
        # The header is not promised: a registry without it is asked for the manifest itself.
        return found or self.manifest(name, reference, accept=IMAGE).digest

    def blob(self, name: str, digest: str, target: BinaryIO) -> None:
        """Write a blob to `target`. Raises RegistryError; IntegrityError where it is not what `digest` promises."""
        with self._get(name, f"blobs/{digest}", "*/*") as answer:
            found = copy(answer, target, f"{self.host}/{name}")
        if found != digest:
            raise IntegrityError(f"{self.host} sent another content of {name} than {digest}: {found}")

    def tags(self, name: str) -> tuple[str, ...]:
        """Return the tags of a repository in the registry's order, from as many pages as it has. Raises RegistryError.

        Each page names the next one in its `Link` header (distribution specification, "Content Discovery"; RFC 5988).
        """
        found: dict[str, None] = {}
        what = f"tags/list?n={_PAGE}"
        for _ in range(_MAX_PAGES):
            content = io.BytesIO()
            with self._get(name, what, "application/json") as answer:
                copy(answer, content, f"{self.host}/{name}", limit=_MAX_MANIFEST)
                link = _NEXT.search(answer.headers.get("Link", ""))
            tags = self._object(content.getvalue(), name).get("tags")
            before = len(found)
            found.update(dict.fromkeys(tag for tag in tags or () if isinstance(tag, str)))
            if link is None or len(found) == before:
                return tuple(found)
            # The link may be a path or a whole URL; whatever host it names, this registry is the one to ask.
            query = urlsplit(urljoin(f"{self._url}/{name}/{what}", link[1])).query
            what = f"tags/list?{query}"
        return tuple(found)

    def _read(self, name: str, what: str, accept: str) -> bytes:
        """Return an answer that is small."""
        content = io.BytesIO()
        with self._get(name, what, accept) as answer:
            copy(answer, content, f"{self.host}/{name}", limit=_MAX_MANIFEST)
        return content.getvalue()

    def _object(self, content: bytes, name: str) -> dict[str, Any]:
        try:
            data = json.loads(content)
        except (ValueError, RecursionError):
            data = None
        if not isinstance(data, dict):
            raise RegistryError(f"{self.host} answered what is no JSON object when asked for {name}")
        return data

    def _get(self, name: str, what: str, accept: str, method: str | None = None) -> HTTPResponse:
        """Ask the registry, as who docker is logged in as if it wants to know."""
        url = f"{self._url}/{name}/{what}"
        try:
            return self._open(url, name, accept, method)
        except urllib.error.HTTPError as error:
            challenge = error.headers.get("WWW-Authenticate", "")
            error.close()
            if error.code not in {401, 403} or not challenge:
                raise self._refused(name, what, error.code) from None
        self._authorization[name] = self._authorize(name, challenge)
        try:
            return self._open(url, name, accept, method)
        except urllib.error.HTTPError as error:
            error.close()
            raise self._refused(name, what, error.code) from None

    def _open(self, url: str, name: str, accept: str, method: str | None) -> HTTPResponse:
        authorization = self._authorization.get(name, "")
        return self._web.get(url, {"Accept": accept}, authorization=authorization, method=method)

    def _authorize(self, name: str, challenge: str) -> str:
        """Return the `Authorization` for what the registry asks for in its `WWW-Authenticate`."""
        scheme, _, rest = challenge.partition(" ")
        credential = credentials.credential_for(self.host, self._environ)
        if scheme.lower() == "basic":
            if credential is None or not credential.user:
                raise self._refused(name, "", 401)
            return credential.basic
        parameters = dict(_PARAMETER.findall(rest))
        realm = urlsplit(parameters.get("realm", ""))
        if scheme.lower() != "bearer" or (realm.scheme != "https" and not is_loopback(realm.hostname or "")):
            raise RegistryError(f"{self.host} asks for credentials in a way that is not known: {challenge}", status=401)
        scope = parameters.get("scope") or f"repository:{name}:pull"
        token = self._token(realm.geturl(), parameters.get("service", self.host), scope, credential)
        return f"Bearer {token}"

    def _token(self, realm: str, service: str, scope: str, credential: credentials.Credential | None) -> str:
        """Exchange a credential for an access token. One that is refused may have expired: then it goes without."""
        try:
            answer = self._ask_token(realm, service, scope, credential)
        except urllib.error.HTTPError as error:
            error.close()
            if credential is None or error.code not in {400, 401, 403}:
                raise self._refused(scope.split(":")[1] if ":" in scope else "", "", error.code) from None
            try:
                answer = self._ask_token(realm, service, scope, None)
            except urllib.error.HTTPError as anonymous:
                anonymous.close()
                raise RegistryError(
                    f"{self.host} refused the credentials that docker has for it",
                    status=error.code,
                    hint=f"docker login {self.host}",
                ) from None
        with answer:
            content = io.BytesIO()
            copy(answer, content, realm, limit=_MAX_MANIFEST)
            try:
                said = json.loads(content.getvalue())
                return str(said.get("token") or said["access_token"])
            except (ValueError, KeyError, AttributeError):
                raise RegistryError(f"{urlsplit(realm).netloc} sent no token for {self.host}") from None

    def _ask_token(
        self, realm: str, service: str, scope: str, credential: credentials.Credential | None
    ) -> HTTPResponse:
        query = {"service": service, "scope": scope}
        if credential is not None and credential.identity_token:
            form = {"grant_type": "refresh_token", "client_id": _CLIENT, "refresh_token": credential.identity_token}
            return self._web.get(realm, {}, data=urlencode({**form, **query}).encode())
        url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}"
        return self._web.get(url, {}, authorization=credential.basic if credential is not None else "")

    def _refused(self, name: str, what: str, status: int) -> RegistryError:
        kind, _, reference = what.partition("?")[0].partition("/")
        if status in {401, 403}:
            return RegistryError(
                f"{self.host} does not let you read {name}", status=status, hint=f"docker login {self.host}"
            )
        if status == 404:
            if kind == "tags":
                return RegistryError(f"{self.host} has no repository {name}", status=status)
            mark = "@" if ":" in reference else ":"
            return RegistryError(
                f"{self.host} has no {name}{mark}{reference}",
                status=status,
                hint=f"devbox image tags {self.host}/{name}",
            )
        return RegistryError(f"{self.host} answered {status} when asked for the {kind} of {name}", status=status)


def copy(source: IO[bytes], target: BinaryIO, name: str, *, limit: int = MAX_BYTES) -> str:
    """Copy a download of at most `limit` bytes and return its digest. Raises RegistryError where it breaks off."""
    digest = hashlib.sha256()
    size = 0
    try:
        while chunk := source.read(1 << 16):
            size += len(chunk)
            if size > limit:
                raise RegistryError(f"{name} sends more than {limit >> 20} MiB")
            digest.update(chunk)
            target.write(chunk)
    except (OSError, HTTPException) as error:
        raise RegistryError(f"the download of {name} broke off: {error}") from None
    # The standard library says nothing where a server closes before it has sent what it announced.
    if getattr(source, "length", None):
        raise RegistryError(f"the download of {name} broke off after {size} bytes")
    return f"sha256:{digest.hexdigest()}"
