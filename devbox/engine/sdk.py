"""The docker SDK, for an engine that has no socket on this machine: contexts and TLS are its affair.

Imported late: the SDK brings an HTTP library along, which takes longer to load than most of what devbox asks.
"""

from __future__ import annotations

import json
import os
from functools import cache
from typing import TYPE_CHECKING

from devbox.engine.address import address, is_unverified, tls_folder
from devbox.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from docker.api.client import APIClient

    from devbox.engine.address import Address

# No feature of a later one is used, and the SDK then asks for none before the first question.
_VERSION = "1.41"


def ask(
    environ: Mapping[str, str], request: str, *, timeout: float, body: Mapping[str, object] | None = None
) -> tuple[int, bytes]:
    """GET `request` from the Engine API, or POST a `body`; return the status and the answer. Raises OSError."""
    api = client(environ)
    url = f"{api.base_url}{request}"
    headers = {"Content-Type": "application/json"}
    if body is None:
        answer = api.get(url, timeout=timeout)
    else:
        answer = api.post(url, data=json.dumps(body), headers=headers, timeout=timeout)
    return int(answer.status_code), bytes(answer.content)


def client(environ: Mapping[str, str]) -> APIClient:
    """Return the SDK's client of the engine that `environ` names.

    Raises EngineError where that cannot be, FileNotFoundError for a context that is not there.
    """
    where = address(environ)
    if not where.url:
        raise FileNotFoundError(f"there is no docker context '{where.context}'")
    try:
        return _client_of(where, environ)
    except (OSError, ValueError) as error:
        from devbox.engine.trouble import chosen_elsewhere

        hint = chosen_elsewhere(environ)
        raise EngineError(f"the Docker engine {where} cannot be asked: {error}", hint=hint) from None


def _client_of(where: Address, environ: Mapping[str, str]) -> APIClient:
    if where.context is None:
        folder = environ.get("DOCKER_CERT_PATH") or os.path.join(environ.get("HOME", "/"), ".docker")  # noqa: PTH118
        verified = bool(environ.get("DOCKER_TLS_VERIFY"))
        return _client(where.url, folder if verified or environ.get("DOCKER_TLS") else None, verified)
    folder = tls_folder(environ, where.context)
    verified = not is_unverified(environ, where.context)
    # One that is to take any certificate speaks TLS without one of its own, too.
    return _client(where.url, folder if os.path.isdir(folder) or not verified else None, verified)  # noqa: PTH112


@cache
def _client(url: str, folder: str | None, verified: bool) -> APIClient:  # noqa: FBT001
    """Return the client of `url`, with the keys and certificates in `folder`, if any, by docker's names for them.

    Raises OSError and ValueError.
    """
    from docker.api.client import APIClient
    from docker.errors import DockerException
    from docker.tls import TLSConfig

    try:
        if folder is None:
            return _by_itself(APIClient(base_url=url, version=_VERSION))
        ca, *pair = (os.path.join(folder, name) for name in ("ca.pem", "cert.pem", "key.pem"))  # noqa: PTH118
        own = tuple(pair) if all(map(os.path.exists, pair)) else None
        if not verified:
            # The person has said so. Each question would be warned of.
            import urllib3

            urllib3.disable_warnings()
        tls = TLSConfig(client_cert=own, ca_cert=ca if os.path.exists(ca) else None, verify=verified)  # noqa: PTH110
        return _by_itself(APIClient(base_url=url, version=_VERSION, tls=tls))
    except DockerException as error:
        raise ValueError(error) from None


def _by_itself(api: APIClient) -> APIClient:
    """Return a client to which REQUESTS_CA_BUNDLE, which is for the web, says nothing; proxies hold, as for docker."""
    from requests.utils import get_environ_proxies

    api.proxies = get_environ_proxies(api.base_url)
    api.trust_env = False
    return api
