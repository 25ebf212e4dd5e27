"""Several builds at once, as the JSON that `docker buildx bake` reads.

Keys and their forms: https://docs.docker.com/build/bake/reference/. Targets that share stages build them once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from devbox.engine.spec import ImageBuild

JSON = dict[str, Any]
# Newer versions of buildx ask before they read files outside of the current folder. This file is devbox's own.
ENVIRON = {"BUILDX_BAKE_ENTITLEMENTS_FS": "0"}


def bake_file(builds: Mapping[str, ImageBuild]) -> JSON:
    """Return the bake file for `builds` by their targets' names; its default group is all of them.

    Arguments that are named without a value are not in it: `bake_args` passes them on.
    """
    targets = {name: _target(build) for name, build in builds.items()}
    return {"group": {"default": {"targets": list(builds)}}, "target": targets}


def bake_args(file: str, builds: Mapping[str, ImageBuild], options: Sequence[str] = ()) -> list[str]:
    """Return the arguments after `docker` that build what the bake file `file` says."""
    args = ["buildx", "bake", "--file", file, *options]
    for name in dict.fromkeys(name for build in builds.values() for name in build.forwarded):
        # Without a value buildx takes it from its environment.
        args += ["--set", f"*.args.{name}"]
    return args


def _target(build: ImageBuild) -> JSON:
    target: JSON = {
        "context": build.context,
        "dockerfile": build.dockerfile,
        "target": build.target,
        "tags": list(build.tags),
        "platforms": list(build.platforms),
        "args": dict(build.args),
        "contexts": dict(build.contexts),
        "secret": list(build.secret_words()),
        "ssh": list(build.ssh),
        "labels": dict(build.labels),
        "attest": list(build.attest),
        "cache-from": [] if build.no_cache else list(build.cache_from),
        "cache-to": list(build.cache_to),
        "network": build.network,
        "shm-size": build.shm_size,
        "output": list(build.outputs or ("type=docker",)),
        "pull": build.pull or None,
        "no-cache": build.no_cache or None,
    }
    return {key: _literal(value) for key, value in target.items() if value not in (None, [], {})}


def _literal(value: Any) -> Any:
    """Return a JSON value whose strings bake takes as they are: it reads `${` and `%{` as templates."""
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{")
    if isinstance(value, dict):
        return {key: _literal(item) for key, item in value.items()}
    return [_literal(item) for item in value] if isinstance(value, list) else value
