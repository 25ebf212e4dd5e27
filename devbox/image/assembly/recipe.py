"""How a framework's image is built for one user and one site: what the contract's `build` says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.engine.spec import csv_record
from devbox.image.assembly.inline import inlined, requirements
from devbox.image.assembly.stage_files import assemble

if TYPE_CHECKING:
    from devbox.config.network import Network
    from devbox.frameworks.model import Framework, Pairs
    from devbox.image.assembly.users import ContainerUser

TARGET = "user"
WHEELS = "wheels"
CA_SECRET = "ca_bundle"  # noqa: S105  # the name of a secret
# As the specification spells it: it is replaced by whoever runs the contract.
WORKSPACE = "${localWorkspaceFolder}"
# The CA bundle of whoever builds; where none is named, an empty file, which the stages take for none.
ANYBODYS_BUNDLE = "${localEnv:SSL_CERT_FILE:/dev/null}"

_ARG = re.compile(r"^ARG (\w+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is built, and with what. A context's path is absolute, or relative to the workspace.

    `forwarded` are build arguments that are named without a value: docker takes them from the client's environment if
    they are there, so that a proxy's password is in no file and no argv. BuildKit keeps them out of the history.
    """

    dockerfile: str
    target: str
    args: Pairs
    contexts: Pairs
    secrets: Pairs
    forwarded: tuple[str, ...] = ()

    def options(self) -> list[str]:
        """Return `build.options` of a devcontainer.json: the parts of the recipe that it has no key for."""
        options: list[str] = []
        for name, path in self.contexts:
            options += ["--build-context", f"{name}={path if Path(path).is_absolute() else f'{WORKSPACE}/{path}'}"]
        for name, path in self.secrets:
            options += ["--secret", csv_record([f"id={name}", f"src={path}"])]
        for name in self.forwarded:
            options += ["--build-arg", name]
        return options


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
    parts = [part for part in framework.contexts if checkout is None or (checkout / part.path).is_dir()]
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
