"""Prints the SBOM of a wheel of devbox, in CycloneDX: the wheel with its hash, and what it needs to run.

Usage: python .ci/sbom.py WHEEL LOCK     (by the Python of an environment that was made from that lock)
The same wheel and lock give the same bytes: there is no time and no random number in it.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename


def needed(name: str) -> dict[str, list[str]]:
    """Return the distributions that one needs to run here, itself too, each with those that it names."""
    found: dict[str, list[str]] = {}
    waiting = [canonicalize_name(name)]
    while waiting:
        one = waiting.pop()
        if one not in found:
            named = map(Requirement, distribution(one).requires or ())
            found[one] = sorted(
                canonicalize_name(r.name) for r in named if not r.marker or r.marker.evaluate({"extra": ""})
            )
            waiting += found[one]
    return dict(sorted(found.items()))


def hashes(lock: str, name: str) -> list[dict[str, str]]:
    """Return the hashes that the lock takes for a distribution's files."""
    lines = re.search(rf"^{re.escape(name)}==\S+.*?(?=^\S|\Z)", lock, re.MULTILINE | re.DOTALL)
    digests = re.findall(r"--hash=sha256:([0-9a-f]{64})", lines[0] if lines else "")
    return [{"alg": "SHA-256", "content": digest} for digest in digests]


def component(name: str, version: str, digests: list[dict[str, str]]) -> dict[str, object]:
    """Return a distribution as CycloneDX has it."""
    metadata = distribution(name).metadata
    classified = [
        one.rpartition(" :: ")[2] for one in metadata.get_all("Classifier") or () if one.startswith("License")
    ]
    licence = metadata.get("License-Expression") or metadata.get("License") or ", ".join(classified)
    url = f"pkg:pypi/{name}@{version}"
    return {
        "type": "library", "bom-ref": url, "name": name, "version": version, "purl": url,
        **({"licenses": [{"license": {"name": licence.splitlines()[0]}}]} if licence else {}),
        **({"hashes": digests} if digests else {}),
    }  # fmt: skip


def main(wheel: Path, lock: str) -> None:
    """Print the SBOM."""
    name, version, *_ = parse_wheel_filename(wheel.name)
    packages = needed(name)
    versions = {one: str(version) if one == name else distribution(one).version for one in packages}
    content = hashlib.sha256(wheel.read_bytes()).hexdigest()
    own = component(name, str(version), [{"alg": "SHA-256", "content": content}])
    others = [component(one, versions[one], hashes(lock, one)) for one in packages if one != name]
    refs = {one: f"pkg:pypi/{one}@{versions[one]}" for one in packages}
    sbom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {**own, "type": "application"}},
        "components": others,
        "dependencies": [{"ref": refs[one], "dependsOn": [refs[x] for x in named]} for one, named in packages.items()],
    }
    sys.stdout.write(json.dumps(sbom, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]).read_text(encoding="utf-8"))
