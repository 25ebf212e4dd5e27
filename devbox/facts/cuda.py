"""Which driver runs programs of which CUDA release, as data. Versions are compared as tuples of numbers.

Source: the tables "CUDA Toolkit and Corresponding Driver Versions" and "... Minimum Required Driver Version for CUDA
Minor Version Compatibility" of https://docs.nvidia.com/cuda/cuda-toolkit-release-notes/, for Linux; for what
`cuda-compat` can do, https://docs.nvidia.com/deploy/cuda-compatibility/forward-compatibility.html. Those of 13.2 and
13.3 are what their installers are called after, `cuda_13.3.0_610.43.02_linux.run`, that of 13.4 is the branch of its
package cuda-compat-13-4, 615.71.09 (seen on 2026-11-30).
"""

from __future__ import annotations

from typing import Literal

# The first driver that knows all of a release.
DRIVERS = {
    "11.8": "520.61.05",
    "12.0": "525.60.13",
    "12.1": "530.30.02",
    "12.2": "535.54.03",
    "12.3": "545.23.06",
    "12.4": "550.54.14",
    "12.5": "555.42.02",
    "12.6": "560.28.03",
    "12.8": "570.26",
    "12.9": "575.51.03",
    "13.0": "580.65.06",
    "13.1": "590.44.01",
    "13.2": "595.45.04",
    "13.3": "610.43.02",
    "13.4": "615",
}
# The first driver that runs programs of all releases of a major version, without what is new in them, such as PTX.
MINOR = {11: "450.80.02", 12: "525.60.13", 13: "580.65.06"}
# The branches on which the package cuda-compat of a later major version starts, on data center GPUs alone: those that
# NVIDIA's images nvidia/cuda:12.0.1, 13.0.2 and 13.1.1 name in NVIDIA_REQUIRE_CUDA (seen on 2026-11-30).
FORWARD_BRANCHES = {12: frozenset({470}), 13: frozenset({535, 550, 565, 570, 575})}
# Names of GPUs that are none: https://docs.nvidia.com/deploy/cuda-compatibility/ speaks of "NVIDIA Data Center GPUs".
_NO_DATA_CENTER = ("GeForce", "TITAN", "Quadro", "RTX A", "RTX PRO")
# And of those that are, though their name begins as one of these: "NVIDIA RTX PRO 6000 Blackwell Server Edition".
_SERVER = "Server Edition"

Fit = Literal["full", "minor", "forward", "none", "unknown"]


def number(version: str) -> tuple[int, ...]:
    """Return a version as numbers; what is no number ends it."""
    parts = []
    for word in version.split("."):
        if not word.isdigit():
            break
        parts.append(int(word))
    return tuple(parts)


def wanted(cuda: str) -> str | None:
    """Return the first driver that knows all of the CUDA release `cuda` ("12.4.1"); None where it is not known."""
    major, minor = (*number(cuda), 0, 0)[:2]
    return DRIVERS.get(f"{major}.{minor}")


def fit(driver: str, cuda: str, gpu: str) -> Fit:
    """Say how programs of the release `cuda` run with `driver` on the GPU called `gpu`.

    "full"; "minor", without what the release has new; "forward", with the package cuda-compat in the image alone.
    """
    least, ours = MINOR.get((*number(cuda), 0)[0]), number(driver)
    whole = wanted(cuda)
    if not ours or least is None:
        return "unknown"
    # A driver runs all that came before it, so one of the next major version has all of this one.
    following = MINOR.get(number(cuda)[0] + 1)
    if following is not None and ours >= number(following):
        return "full"
    if whole is not None and ours >= number(whole):
        return "full"
    if ours >= number(least):
        return "minor" if whole is not None else "unknown"
    data_center = _SERVER in gpu or not any(word in gpu for word in _NO_DATA_CENTER)
    return "forward" if data_center and ours[0] in FORWARD_BRANCHES.get(number(cuda)[0], ()) else "none"
