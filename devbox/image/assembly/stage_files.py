"""A framework's Dockerfile is the concatenation of its stage files, so that equal stages give equal layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from devbox.errors import ConfigError
from devbox.paths import config_dir, data_dir

if TYPE_CHECKING:
    from devbox.frameworks.model import Framework

PREAMBLE = "preamble"
EFA = "efa"


def assemble(framework: Framework, *, images: bool = False, efa: bool = False) -> str:
    """Return the Dockerfile of `framework`: self-contained, its context may be empty, no frontend is fetched for it.

    It ends with the stage of dev containers; with `images` the stages that only `devbox image build` makes follow. With
    `efa` the stage of that name comes first, for the others to start from.
    Raises ConfigError if a stage has no file.
    """
    names = ((EFA,) if efa else ()) + framework.stages + (framework.image_stages if images else ())
    title = f"{framework.name} ({framework.variant}): the stages {', '.join(names)}"
    try:
        return concatenate(
            title, framework.base_image, names, runtime_image=framework.runtime_image if images else None
        )
    except FileNotFoundError as error:
        raise ConfigError(f"the framework {framework.name} names a stage without a file: {error.filename}") from None


def concatenate(title: str, base_image: str, stages: tuple[str, ...], *, runtime_image: str | None = None) -> str:
    """Return a Dockerfile of `stages` on `base_image`, which a build argument can replace. Raises FileNotFoundError.

    `runtime_image` is what the stages for users start from.
    """
    # DL3002, DL3066: the stages before the last run as root, and the last one's user has a name that tools can show.
    # DL4006: `sh` of a base image need not know pipefail. SC1091: lib.sh is in the preamble.
    head = (
        f"# {title}. Written by devbox.\n"
        "# hadolint global ignore=DL3002,DL3066,DL4006,SC1091\n\n"
        "# A build argument, so that a registry's image, a site's own and the package base all serve.\n"
        f"ARG BASE_IMAGE={base_image}\n"
    )
    if runtime_image is not None:
        head += f"# What the finished image starts from.\nARG RUNTIME_IMAGE={runtime_image}\n"
    if EFA in stages:
        head += f"ARG EFA_BASE={base_image}\n"
    return "\n".join([head, *(_stage(name) for name in (PREAMBLE, *stages))])


def _stage(name: str) -> str:
    """Return the text of a stage file; a user's own framework may bring its own, beside its TOML file."""
    own = config_dir() / "dockerfiles" / f"{name}.Dockerfile"
    shipped = data_dir("dockerfiles") / f"{name}.Dockerfile"
    return (own if own.is_file() and not shipped.is_file() else shipped).read_text(encoding="utf-8")
