"""What devbox calls the images of a framework's stages, and the label that says of an image which stage it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from devbox.frameworks.model import Framework

LABEL = "devbox.image"


def repository(framework: str, rules: str = "") -> str:
    """Return the repository of a framework's images: "devbox-vllm".

    What a checkout's own rules make has a name of its own, `rules` in it: no other checkout takes it for devbox's.
    """
    return f"devbox-{framework}-{rules}" if rules else f"devbox-{framework}"


def reference(framework: Framework, stage: str) -> str:
    """Return what `devbox image build` calls the image of a stage: "devbox-vllm:cuda13-devel"."""
    return f"{repository(framework.name, framework.rules)}:{framework.variant}-{stage}"


def label(framework: Framework, stage: str) -> str:
    """Return the value of the label of a stage's image: "vllm/cuda13/devel"."""
    return f"{framework.name}/{framework.variant}/{stage}"


def made_from(inspected: dict[str, Any] | None) -> tuple[str, str, str] | None:
    """Return (framework, variant, stage) of an image that devbox has built, as its label says."""
    labels = ((inspected or {}).get("Config") or {}).get("Labels") or {}
    parts = tuple(str(labels.get(LABEL, "")).split("/"))
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else None
