"""How a framework's image is built for one user and one site: what the contract's `build` says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from devbox import toml
from devbox.devcontainer.writing.request import Recipe
from devbox.errors import UsageError
from devbox.image.assembly.inline import inlined, requirements
from devbox.image.assembly.stage_files import assemble

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
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
    args: Sequence[str] = (),
    inline: bool = False,
) -> Recipe:
    """Return the recipe of `framework` on `base_image` for `user`.

    `user` None keeps the stage's own user. `find_links` is a host folder of wheels. A part of the checkout that does
    not exist is left out: the stage has an empty one in its place, and says what it misses. Without a checkout every
    part is taken to be there. `args` are a person's own (`NAME=VALUE`), before the framework's. `inline` writes the
    parts into the Dockerfile, as they are now. Raises UsageError for an argument of `args` that no stage takes, or
    that is not for a person to say.
    """
    dockerfile = assemble(framework)
    # What only the images' own stages declare is not for this one: docker would warn of it.
    declared = frozenset(_ARG.findall(dockerfile))
    own = dict(one.split("=", 1) for one in args)
    _check(own, declared)
    said = {name: value for name, value in framework.args if name in declared} | own
    values = [("BASE_IMAGE", base_image), *said.items()]
    if user is not None:
        values += [
            ("DEV_UID", str(user.uid)),
            ("DEV_GID", str(user.gid)),
            ("DEV_NAME", user.name),
            ("DEV_HOME", user.home),
        ]
    values.append(("DEV_CACHES", " ".join(framework.caches)))
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
        args=tuple(values),
        contexts=tuple(contexts),
        secrets=site_secrets(network),
        forwarded=forwarded(network),
    )


def _check(own: Iterable[str], declared: frozenset[str]) -> None:
    for name in own:
        if name.startswith("DEV_") or name == "BASE_IMAGE":
            flag = "--base-image" if name == "BASE_IMAGE" else "--user"
            raise UsageError(f"the build argument {name} is devbox's own", hint=f"devbox up {flag} …")
        if name not in declared:
            near = toml.nearest(name, declared)
            known = ", ".join(sorted(one for one in declared if not one.startswith("DEV_") and one != "BASE_IMAGE"))
            raise UsageError(
                f"no stage takes the build argument {name}",
                hint=f"did you mean {near}?" if near else f"one of: {known}",
            )


def site_secrets(network: Network) -> Pairs:
    """Return the secrets that a build needs to reach the network: a private CA."""
    return ((CA_SECRET, str(network.ca_bundle)),) if network.ca_bundle is not None else ()


def forwarded(network: Network) -> tuple[str, ...]:
    """Return the names of the proxy variables, for `--build-arg NAME`. A client may have either spelling."""
    return tuple(network.proxies())
