"""What the checks are given to look at: facts, each gathered when the first check asks for it, and then kept."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from devbox import config
from devbox.config.network import network_of
from devbox.container import which
from devbox.container.inside.find import labelled
from devbox.errors import EngineError
from devbox.facts import certificates, host, system
from devbox.facts import engine as engine_facts
from devbox.facts import gpu as gpu_facts
from devbox.facts.model import Gpus
from devbox.frameworks.load import load

if TYPE_CHECKING:
    from pathlib import Path

    from devbox.config import Settings
    from devbox.config.network import Network
    from devbox.engine.docker import Engine
    from devbox.facts.model import EngineFacts, Host
    from devbox.facts.system import System
    from devbox.frameworks.model import Framework

JSON = dict[str, Any]


class Patient:
    """The checkout, this machine and its engine, or what was the `trouble` with that."""

    def __init__(self, engine: Engine, workspace: Path, **known: object) -> None:
        """Take the engine and the checkout; `known` are facts that are not to be gathered, by their names."""
        self.engine = engine
        self.workspace = workspace
        self.__dict__.update(known)

    @cached_property
    def host(self) -> Host:
        """The user, the CPUs and the memory."""
        return host.gather()

    @cached_property
    def system(self) -> System:
        """What the machine's own files say."""
        return system.gather()

    @cached_property
    def additions(self) -> tuple[tuple[Path, Path, str], ...]:
        """The certificate authorities that were added to the machine, as `facts.certificates` has them."""
        return certificates.additions()

    @cached_property
    def _asked(self) -> tuple[EngineFacts | None, EngineError | None]:
        try:
            return engine_facts.gather(self.engine), None
        except EngineError as error:
            return None, error

    @cached_property
    def engine_facts(self) -> EngineFacts | None:
        """What the engine says of itself; None where it does not answer."""
        return self._asked[0]

    @cached_property
    def trouble(self) -> EngineError | None:
        """Why the engine does not answer."""
        return self._asked[1]

    @cached_property
    def gpus(self) -> Gpus:
        """The GPUs of the engine's host."""
        facts = self.engine_facts
        return gpu_facts.gather(self.engine, facts) if facts is not None else Gpus(reason="no engine was asked")

    @cached_property
    def framework(self) -> Framework | None:
        """The checkout's framework, where there is no doubt about it."""
        seen = which.frameworks(self.workspace)
        return load(seen[0].name, seen[0].variant, self.workspace) if len(seen) == 1 else None

    @cached_property
    def settings(self) -> Settings:
        """The settings in force. Raises ConfigError."""
        return config.load(self.workspace, environ=self.engine.environ, flags={})

    @cached_property
    def network(self) -> Network:
        """What is said of proxies and of the CA bundle. Raises ConfigError."""
        return network_of(self.settings, self.engine.environ)

    @cached_property
    def container(self) -> JSON | None:
        """`docker inspect` of the checkout's dev container that runs, None if none does."""
        if self.engine_facts is None:
            return None
        running = [one for one in labelled(self.engine, str(self.workspace)) if one.running]
        return self.engine.container(running[0].id) if running else None
