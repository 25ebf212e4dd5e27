"""Kinds of machines have two names: images say `amd64` and `arm64`, kernels and wheels `x86_64` and `aarch64`."""

from __future__ import annotations

import os

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_MACHINES = {architecture: machine for machine, architecture in _ARCHITECTURES.items()}


def architecture() -> str:
    """Return this machine's kind as images call it: "amd64"."""
    machine = os.uname().machine
    # macOS says arm64 of itself.
    return _ARCHITECTURES.get(machine, machine)


def machine_of(architecture: str) -> str:
    """Return what a kernel calls an `architecture` of images: "x86_64" for "amd64"."""
    return _MACHINES.get(architecture, architecture)
