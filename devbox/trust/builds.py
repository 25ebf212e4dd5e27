"""What an image build reaches: judged by the very value of which docker's words, or those of a bake file, are made."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from devbox.engine.spec import fields_of
from devbox.masking import has_password, is_secret_name
from devbox.trust import dockerfiles
from devbox.trust.containers import variable
from devbox.trust.reach import Reach, is_inside, of_path

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from devbox.engine.spec import BuildOptions, ImageBuild

# Options of `docker build` with a value, and those without one, that stay in the build; some depend on the value.
_VALUED = frozenset({"--add-host", "--build-context", "--label", "--platform", "--progress", "--secret", "--shm-size",
                     "--ulimit"})  # fmt: skip
_SWITCHES = frozenset({"--no-cache", "--pull", "--quiet", "-q"})


def of_image_build(
    build: ImageBuild, workspace: Path, *, given: BuildOptions | None = None, own: Collection[str] = ()
) -> Iterator[Reach]:
    """Yield what an image build reaches, but for what the person has `given` for it, and `own` folders of devbox's.

    Its tags are names on the engine, and asked about there.
    """
    for key, judge in JUDGES.items():
        value, said = getattr(build, key), getattr(given, key, None)
        if isinstance(value, tuple):
            value = tuple(item for item in value if item not in (said or ()))
        if value and value != said:
            for one in judge(value, workspace):
                if one.kind != "path" or one.value not in own:
                    yield one


def _stays_inside(_: Any, __: Path) -> Iterator[Reach]:
    yield from ()


def _of_dockerfile(place: str, workspace: Path) -> Iterator[Reach]:
    if not is_inside(place, workspace):
        yield of_path(place, f"takes the Dockerfile {place} from outside the workspace")
    yield from dockerfiles.of_file(place)


def _of_args(pairs: Iterable[tuple[str, str]], _: Path) -> Iterator[Reach]:
    for name, value in pairs:
        if name.upper() == dockerfiles.SYNTAX:
            yield from dockerfiles.of_frontend(value)


def _of_context(place: str, workspace: Path) -> Iterator[Reach]:
    if not place.startswith("/"):
        yield Reach("remote", place, f"is built from {place}, which is elsewhere")
    elif not is_inside(place, workspace):
        yield of_path(place, f"takes the build context {place} from outside the workspace")


def _of_contexts(pairs: Iterable[tuple[str, str]], workspace: Path) -> Iterator[Reach]:
    for name, place in pairs:
        yield from of_named_context(name, place, workspace)


def of_named_context(name: str, place: str, workspace: Path) -> Iterator[Reach]:
    """Yield what a named context is: an image is what any Dockerfile can start from."""
    if place.startswith("docker-image://"):
        return
    if not place.startswith("/"):
        yield Reach("remote", place, f"is built with {place}, which is elsewhere, as {name}")
    elif not is_inside(place, workspace):
        yield of_path(place, f"is built with {place} of the host as {name}")


def _of_forwarded(names: Iterable[str], _: Path) -> Iterator[Reach]:
    yield from (variable(name) for name in names if is_secret_name(name))


def _of_secrets(pairs: Iterable[tuple[str, str]], workspace: Path) -> Iterator[Reach]:
    for name, place in pairs:
        if place != os.devnull and not is_inside(place, workspace):
            yield of_path(place, f"gives {place} of the host to its steps, as the secret {name}")


def _of_env_secrets(pairs: Iterable[tuple[str, str]], _: Path) -> Iterator[Reach]:
    yield from (variable(name) for _, name in pairs)


def _of_ssh(items: Iterable[str], _: Path) -> Iterator[Reach]:
    yield from (Reach("build", f"ssh {item}", f"gives its steps an ssh-agent of yours: {item}") for item in items)


def _of_caches(key: str) -> Callable[[Iterable[str], Path], Iterator[Reach]]:
    return lambda items, _: of_caches(key, items)


def of_caches(key: str, items: Iterable[str]) -> Iterator[Reach]:
    """Yield the caches of an image build that are no image of a registry: folders, and services with keys of yours."""
    for item in items:
        words = dict(field.strip().partition("=")[::2] for field in str(item).split(","))
        plain = "=" not in str(item) or (words.keys() == {"type", "ref"} and words["type"] == "registry")
        if not plain or key == "cache_to":
            yield Reach("build", f"{key} {item}", f"is built with {key}: {item}")


def _of_outputs(items: Iterable[str], workspace: Path) -> Iterator[Reach]:
    for item in items:
        words = fields_of(item)
        place = words.get("dest", "")
        if words.get("type") != "local" or not place.startswith("/") or not is_inside(place, workspace):
            place = f", {os.path.realpath(place)}" if place else ""
            yield Reach("build", f"output {item}{place}", f"writes what it has built elsewhere: {item}{place}")


def of_network(name: str, _: Path) -> Iterator[Reach]:
    """Yield what the network of a build's steps is."""
    if name not in {"none", "default"}:
        yield Reach("build", f"network {name}", f"is built with network: {name}")


def of_proxies(proxies: Mapping[str, str]) -> Iterator[Reach]:
    """Yield the proxies with a password, by their settings' keys, that steps get: these could write it into a layer."""
    for key, value in proxies.items():
        if key.endswith("_proxy") and has_password(value):
            yield Reach("variable", key, f"gives your {key}, which holds a password, to the steps of its image build")


def _of_options(words: Sequence[str], workspace: Path) -> Iterator[Reach]:
    for option in _options(words):
        if not _stays(option, workspace):
            yield Reach("build", option, f"passes to docker build: {option}")


# What each part of a build reaches, by the field of its value. One that is missing here is judged by nobody.
JUDGES: Final[Mapping[str, Callable[[Any, Path], Iterator[Reach]]]] = {
    "context": _of_context,
    "dockerfile": _of_dockerfile,
    "args": _of_args,
    "contexts": _of_contexts,
    "forwarded": _of_forwarded,
    "secrets": _of_secrets,
    "env_secrets": _of_env_secrets,
    "ssh": _of_ssh,
    "cache_from": _of_caches("cacheFrom"),
    "cache_to": _of_caches("cache_to"),
    "outputs": _of_outputs,
    "network": of_network,
    "options": _of_options,
    # Names on the engine are looked up there (`names`). A step sees the others, and they end with it.
    **dict.fromkeys(("tags", "platforms", "attest", "shm_size", "pull", "no_cache", "target", "labels"), _stays_inside),
}


def bound(found: Iterable[Reach], folder: Path, names: Iterable[str], more: object) -> Iterator[Reach]:
    """Yield what a build reaches, bound to its Dockerfile and Features, `names` from `folder`, and `more` of its words.

    Only a build that reaches the host can do harm by what its steps are.
    """
    reach = tuple(found)
    if reach:
        from devbox.trust.content import digest, of_files

        content = digest([of_files(folder, names), more])
        yield from (replace(one, content=content) for one in reach)


def _options(words: Sequence[str]) -> Iterator[str]:
    """Yield the options among the words of `docker build`, each with its value; a word that is none by itself."""
    rest = list(words)
    while rest:
        word = rest.pop(0)
        yield f"{word}={rest.pop(0)}" if word in _VALUED and rest else word


def _stays(option: str, workspace: Path) -> bool:
    """Tell whether an option of `docker build` reaches nothing but the build."""
    if not option.isprintable():
        # Docker's reader of these ends at a line break, and is no judge of the rest.
        return False
    name, equals, value = option.partition("=")
    if name == "--build-context":
        named, _, place = value.partition("=")
        return bool(place) and not any(of_named_context(named, place, workspace))
    if name == "--secret":
        words = value.split(",")
        said = dict(word.partition("=")[::2] for word in words)
        file = said.get("src", "")
        plain = said.keys() == {"id", "src"} and len(words) == len(said) and file.startswith("/")
        return plain and not any(_of_secrets([("", file)], workspace))
    return name in _VALUED if equals else name in _SWITCHES
