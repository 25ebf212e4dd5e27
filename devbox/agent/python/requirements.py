"""What an installed package needs and the environment lacks.

pip alone would hold the checkout's pin of torch against the image's. But the C++ part is compiled against the image's
torch, and another one on the volume would be imported in its place.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, NamedTuple

from ..events import AgentError
from ..tools import run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .environment import Environment

# What belongs together: one of them from elsewhere, and none of them can be imported.
KEPT = ("torch", "torchvision", "torchaudio", "triton")
# Run by the environment's Python: what the package needs and is not there, and what of the image stays as it is.
ASK_NEEDS = """
import importlib.metadata as metadata, json, sys
from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name
here = {}
for one in metadata.distributions():
    here.setdefault(canonicalize_name(one.metadata["Name"]), one.version)
kept = {name: here[name] for name in sys.argv[2:] if name in here}
missing, others = [], []
for text in metadata.Distribution.at(sys.argv[1]).requires or ():
    need = Requirement(text)
    name = canonicalize_name(need.name)
    if need.marker is not None and not need.marker.evaluate({"extra": ""}):
        continue
    fits = name in here and need.specifier.contains(here[name], prereleases=True)
    if name in kept:
        if not fits:
            others.append(str(need))
    elif not fits or need.extras:
        need.marker = None
        missing.append(str(need))
print(json.dumps({"missing": missing, "kept": kept, "others": others}))
"""


class Needs(NamedTuple):
    """What is `missing`, as pip takes it; what of the image is `kept`, with versions; `others` were asked for."""

    missing: list[str]
    kept: dict[str, str]
    others: list[str]


def ask(layer: Environment, installed: str, environ: Mapping[str, str]) -> Needs:
    """Return what the package with the `.dist-info` folder `installed` needs. Raises AgentError if it cannot tell."""
    answer = run([layer.python, "-c", ASK_NEEDS, installed, *KEPT], layer.inside(environ))
    if not answer:
        raise AgentError(
            f"cannot tell what {os.path.basename(installed)} needs",
            hint="devbox exec -- python3 -m pip check   # shows more",
        )
    return Needs(**json.loads(answer))
