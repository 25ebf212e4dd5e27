"""How a framework's image is built for one user and one site: what the contract's `build` says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from devbox.devcontainer.writing.request import Recipe
from devbox.image.assembly.inline import inlined, requirements
from devbox.image.assembly.stage_files import assemble

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.config.network import Network
    from devbox.devcontainer.users import ContainerUser
    from devbox.frameworks.model import Framework, Pairs

TARGET = "user"
WHEELS = "wheels"
CA_SECRET = "ca_bundle"  # noqa: S105  # the name of a secret
# The CA bundle of whoever builds; where none is named, an empty file, which the stages take for none.
ANYBODYS_BUNDLE = "${localEnv:SSL_CERT_FILE:/dev/null}"

_ARG = re.compile(r"^ARG (\w+)", re.MULTILINE)


def recipe(
    framework: Framework,
    *,
    base_image: str,
    user: ContainerUser | None,
    find_links: Path | None,
    network: Network,
    checkout: Path | None,
    inline: bool = False,
) -> Recipe:
    """Return the recipe of `framework` on `base_image` for `user`.

    `user` None keeps the stage's own user. `find_links` is a host folder of wheels. A part of the checkout that does
    not exist is left out: the stage has an empty one in its place, and says what it misses. Without a checkout every
    part is taken to be there. `inline` writes the parts into the Dockerfile, as they are now.
    """
    dockerfile = assemble(framework)
    # What only the images' own stages declare is not for this one: docker would warn of it.
    declared = frozenset(_ARG.findall(dockerfile))
    args = [("BASE_IMAGE", base_image), *((name, value) for name, value in framework.args if name in declared)]
    if user is not None:
        args += [
            ("DEV_UID", str(user.uid)),
            ("DEV_GID", str(user.gid)),
            ("DEV_NAME", user.name),
            ("DEV_HOME", user.home),
        ]
    args.append(("DEV_CACHES", " ".join(framework.caches)))
    parts = [part for part in framework.contexts if checkout is None or part.folder(checkout) is not None]
    contexts = [(part.name, part.path) for part in parts]
    if inline and checkout is not None:
        names = tuple(value for _, value in framework.args)
        for part in parts:
            dockerfile = inlined(dockerfile, part.name, requirements(checkout / part.path, names))
        contexts = []
    if find_links is not None:
        contexts.append((WHEELS, str(find_links)))
    return Recipe(
        dockerfile=dockerfile,
        target=TARGET,
        args=tuple(args),
        contexts=tuple(contexts),
        secrets=site_secrets(network),
        forwarded=forwarded(network),
    )


def site_secrets(network: Network) -> Pairs:
    """Return the secrets that a build needs to reach the network: a private CA."""
    return ((CA_SECRET, str(network.ca_bundle)),) if network.ca_bundle is not None else ()


def forwarded(network: Network) -> tuple[str, ...]:
    """Return the names of the proxy variables, for `--build-arg NAME`. A client may have either spelling."""
    return tuple(network.proxies())
