"""What a Dockerfile's instructions mean together: its stages, what each starts from, and which values it sees."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from devbox.image.dockerfile.instructions import Dockerfile, Instruction, json_words, parse
from devbox.image.dockerfile.words import assignments, fill, split_words, unquoted
from devbox.image.platforms import architecture
from devbox.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SCRATCH = "scratch"
# A build has these without declaring them globally: https://docs.docker.com/reference/dockerfile/#arg
PROXIES = frozenset(
    name for proxy in ("HTTP", "HTTPS", "FTP", "NO", "ALL") for name in (f"{proxy}_PROXY", f"{proxy.lower()}_proxy")
)


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage. `base` is what it starts from, arguments filled in; `parent` the index of the stage that this is.

    `name` is "" where it has none, `missing` are arguments in FROM that have no value. `instructions` begin after FROM.
    """

    index: int
    name: str
    base: str
    parent: int | None
    start: Instruction
    instructions: tuple[Instruction, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def image(self) -> str | None:
        """The image that it starts from, if that is neither a stage nor nothing."""
        return None if self.parent is not None or self.base in {"", SCRATCH} else self.base

    @property
    def shown(self) -> str:
        """Its name for people."""
        return self.name or f"stage {self.index}"

    @property
    def empty(self) -> bool:
        """Whether nothing is in it: then it stands for a named build context, which `--build-context` puts in place."""
        return self.base == SCRATCH and not self.instructions


@dataclass(frozen=True, slots=True)
class Stages:
    """All stages of a Dockerfile. `declared` are the ARGs before the first FROM, `values` what they are."""

    dockerfile: Dockerfile
    declared: tuple[Instruction, ...]
    values: Mapping[str, str]
    args: Mapping[str, str]
    stages: tuple[Stage, ...]

    def find(self, name: str) -> Stage | None:
        """Return the stage that `--from=NAME` or `--target NAME` means: by name, the last such, or by number."""
        named = next((stage for stage in reversed(self.stages) if stage.name == name.lower()), None)
        if named is None and name.isdigit() and int(name) < len(self.stages):
            return self.stages[int(name)]
        return named

    def chain(self, stage: Stage) -> list[Stage]:
        """Return `stage` after all stages that it starts from, the first one first."""
        found = [stage]
        while (parent := found[-1].parent) is not None:
            found.append(self.stages[parent])
        return found[::-1]

    def needed(self, target: Stage | None) -> list[Stage]:
        """Return the stages that a build of `target` (None: the last one) needs, in order: BuildKit skips the rest."""
        todo = [target or self.stages[-1]] if self.stages else []
        found: set[int] = set()
        while todo:
            stage = todo.pop()
            if stage.index in found:
                continue
            found.add(stage.index)
            todo += [] if stage.parent is None else [self.stages[stage.parent]]
            sources = (self.find(source) for instruction in stage.instructions for _, source in sources_of(instruction))
            todo += [source for source in sources if source is not None]
        return [stage for stage in self.stages if stage.index in found]

    def scopes(self, stage: Stage) -> Iterator[tuple[Instruction, dict[str, str], set[str]]]:
        """Yield each instruction of `stage` with the values that it sees, and the names that are declared by then.

        ENV and ARG of the stages that it starts from are seen, those of their images are not known. The sets change as
        they are read on.
        """
        values: dict[str, str] = {}
        declared: set[str] = set()
        environment: set[str] = set()
        for one in self.chain(stage):
            for instruction in one.instructions:
                if one is stage:
                    yield instruction, values, declared
                self._declare(instruction, values, declared, environment)

    def _declare(
        self, instruction: Instruction, values: dict[str, str], declared: set[str], environment: set[str]
    ) -> None:
        """Take what an ARG or ENV declares. An ENV hides an ARG of its name for good."""
        if instruction.keyword not in {"ARG", "ENV"}:
            return
        seen = dict(values)
        for name, text in assignments(instruction.keyword, instruction.text, self.dockerfile.escape):
            declared.add(name)
            if instruction.keyword == "ENV":
                environment.add(name)
                values[name] = fill(text or "", seen, self.dockerfile.escape).text
            elif name not in environment:
                value = self._argument(name, text, seen)
                if value is not None:
                    values[name] = value

    def _argument(self, name: str, text: str | None, seen: Mapping[str, str]) -> str | None:
        if name in self.args:
            return self.args[name]
        if text is not None:
            return fill(text, seen, self.dockerfile.escape).text
        return self.values.get(name)


def read_stages(
    text: str, args: Mapping[str, str], *, name: str = "Dockerfile", platform: str | None = None, target: str = ""
) -> Stages:
    """Read the stages of a Dockerfile, which errors call `name`, as a build with `args` for `platform` sees them.

    `platform` None is this machine's. Raises DockerfileError.
    """
    dockerfile = parse(text, name)
    values = platform_values(platform or f"linux/{architecture()}", target)
    values |= {name: args[name] for name in (*PROXIES, *values) if name in args}
    declared: list[Instruction] = []
    stages: list[Stage] = []
    inside: list[Instruction] = []
    for instruction in dockerfile.instructions:
        if instruction.keyword == "FROM":
            stages = _closed(stages, inside)
            stages.append(_stage(instruction, stages, values, dockerfile.escape))
        elif stages:
            inside.append(instruction)
        elif instruction.keyword == "ARG":
            declared.append(instruction)
            for key, default in assignments(instruction.keyword, instruction.text, dockerfile.escape):
                if key in args:
                    values[key] = args[key]
                elif default is not None:
                    values[key] = fill(default, values, dockerfile.escape).text
    return Stages(dockerfile, tuple(declared), values, args, tuple(_closed(stages, inside)))


def platform_values(platform: str, target: str = "") -> dict[str, str]:
    """Return the arguments that BuildKit sets itself, as for a build on `platform` ("linux/arm64/v8") for itself."""
    system, _, rest = platform.partition("/")
    architecture, _, variant = rest.partition("/")
    parts = {"PLATFORM": platform, "OS": system, "ARCH": architecture, "VARIANT": variant}
    both = {f"{side}{part}": value for side in ("TARGET", "BUILD") for part, value in parts.items()}
    return {**both, "TARGETSTAGE": target or "default"}


def base_images(dockerfile: str, args: Mapping[str, str], name: str = "Dockerfile") -> tuple[str, ...]:
    """Return the images that a Dockerfile's stages start from, in order, with the build arguments `args` filled in.

    Raises DockerfileError.
    """
    images = (stage.image for stage in read_stages(dockerfile, args, name=name).stages)
    # One that still names a variable has no value for it.
    return tuple(dict.fromkeys(image for image in images if image and "$" not in image))


def sources_of(instruction: Instruction) -> Iterator[tuple[str, str]]:
    """Yield ("copy" or "mount", name) of each stage, image or context that an instruction reads from."""
    holder = instruction.trigger or instruction
    if holder.keyword in {"COPY", "ADD"} and (source := holder.flag("from")):
        yield "copy", source
    for mount in mounts(holder):
        if source := mount.get("from"):
            yield "mount", source


def mounts(instruction: Instruction) -> list[dict[str, str]]:
    """Return the `--mount` flags of a RUN, by their keys; one that says no type is a bind mount."""
    if instruction.keyword != "RUN":
        return []
    found = []
    for name, value in instruction.flags:
        if name == "mount":
            items = (item.partition("=") for item in value.split(","))
            found.append({"type": "bind", **{key.strip().lower(): text for key, _, text in items}})
    return found


def local_sources(instruction: Instruction) -> list[str]:
    """Return what an instruction reads of the build context, as it is written: "." is all of it."""
    return [path for name, path in reads_of(instruction) if not name]


def reads_of(instruction: Instruction) -> list[tuple[str, str]]:
    """Return (name, path) of what an instruction reads of a stage, image or context, "" being the build's own context.

    Both are as they are written: "." is all of it.
    """
    holder = instruction.trigger or instruction
    if holder.keyword == "RUN":
        bound = (mount for mount in mounts(holder) if mount["type"] == "bind")
        return [(mount.get("from") or "", mount.get("source") or mount.get("src") or ".") for mount in bound]
    if holder.keyword not in {"COPY", "ADD"}:
        return []
    words = json_words(holder.text) or [
        unquoted(word, "\\") or word for word in split_words(holder.text, "\\") or holder.text.split()
    ]
    name = holder.flag("from") or ""
    return [(name, word) for word in words[:-1] if "://" not in word and not word.startswith(("<<", "git@"))]


def context_reads(
    stages: Stages, target: str | None, triggers: tuple[Instruction, ...] = ()
) -> dict[str, frozenset[str]]:
    """Return what a build of `target` (None: the last stage) reads of each context, by name in lower case.

    "" is the build's own context; names that are stages or images are in it, too. Paths are relative to the context's
    top: "." is all of it, which is also said where a variable has no value. `triggers` are what base images hold.
    """
    found: dict[str, set[str]] = {}
    aim = stages.find(target) if target else None
    for stage in stages.needed(aim):
        found.setdefault(stage.base.lower(), set()).add(".")
        for instruction, values, _ in stages.scopes(stage):
            _take(found, instruction, values, stages.dockerfile.escape)
    for instruction in triggers:
        _take(found, instruction, {}, stages.dockerfile.escape)
    return {name: frozenset(paths) for name, paths in found.items()}


def _take(found: dict[str, set[str]], instruction: Instruction, values: Mapping[str, str], escape: str) -> None:
    for name, path in reads_of(instruction):
        filled = fill(path, values, escape)
        # As from a top folder: nothing is above the context.
        inside = posixpath.normpath(f"/{filled.text}").strip("/") or "."
        found.setdefault(fill(name, values, escape).text.lower(), set()).add("." if filled.unset else inside)


def _closed(stages: list[Stage], inside: list[Instruction]) -> list[Stage]:
    """Return `stages` with what has been read of the last one, and forget that."""
    if not stages:
        return stages
    last = stages[-1]
    done = Stage(last.index, last.name, last.base, last.parent, last.start, tuple(inside), last.missing)
    inside.clear()
    return [*stages[:-1], done]


def _stage(instruction: Instruction, before: list[Stage], values: Mapping[str, str], escape: str) -> Stage:
    words = split_words(instruction.text, escape) or instruction.text.split() or [""]
    name = words[2].lower() if len(words) == 3 and words[1].lower() == "as" else ""
    filled = fill(words[0], values, escape)
    named = [stage.index for stage in before if stage.name and stage.name == filled.text.lower()]
    base = filled.text or words[0]
    return Stage(len(before), name, base, named[-1] if named else None, instruction, missing=tuple(filled.unset))
