"""Builds sdist and wheel into dist/, with SBOM and hashes; with a version, makes a release of it first.

Usage: python .ci/package.py [VERSION]     (by the Python of `make venv`)
Both are built twice, in folders of other names, the wheel a third time from the sdist: the bytes have to be the same.
A release is a commit with the changelog's section, and a tag on it. It is made in a clone, and comes here when all is
well: before that nothing here has changed. Nothing is pushed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
VERSION = re.compile(r"\d+\.\d+\.\d+((a|b|rc)\d+)?")
UNRELEASED = "## [Unreleased]\n"


def run(*argv: str | Path, cwd: Path = HERE, **more: str) -> str:
    """Run a program and return what it said, stderr aside. Raises CalledProcessError if it fails."""
    environ = {**os.environ, **more}
    return subprocess.run(argv, cwd=cwd, env=environ, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def fail(what: str) -> SystemExit:
    """Return the error that ends the program."""
    return SystemExit(f"no release: {what}")


def released(text: str, version: str, date: str) -> str:
    """Return the changelog with what was unreleased as the section of `version`."""
    before, found, after = text.partition(UNRELEASED)
    section = after.partition("\n## [")[0]
    if not found or not section.strip():
        raise fail("CHANGELOG.md has nothing unreleased")
    return f"{before}{UNRELEASED}\n## [{version}] - {date}\n{after}"


def release(clone: Path, version: str) -> None:
    """Make commit and tag in the clone."""
    if not VERSION.fullmatch(version):
        raise fail(f"{version} is no version such as 1.2.3 or 1.2.3rc1")
    if run("git", "status", "--porcelain"):
        raise fail("there are changes that are not committed")
    if run("git", "tag", "--list", f"v{version}"):
        raise fail(f"v{version} is there already")
    changelog = clone / "CHANGELOG.md"
    today = datetime.now(UTC).date().isoformat()
    changelog.write_text(released(changelog.read_text(encoding="utf-8"), version, today), encoding="utf-8")
    who = [word for key in ("user.name", "user.email") for word in ("-c", f"{key}={run('git', 'config', key)}")]
    run("git", *who, "commit", "--quiet", "--message", f"Release {version}", "CHANGELOG.md", cwd=clone)
    run("git", *who, "tag", "--annotate", "--message", f"devbox {version}", f"v{version}", cwd=clone)


def built(source: Path, out: Path, *kinds: str) -> dict[str, str]:
    """Build what is asked for from `source` into `out`; return the hashes by file."""
    targets = [word for kind in kinds for word in ("--target", kind)]
    run(sys.executable, "-m", "hatchling", "build", "--directory", out, *targets, cwd=source)
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())}


def compared(clone: Path, folder: Path) -> Path:
    """Return a folder with sdist and wheel of the clone. Raises SystemExit if another build gives other bytes."""
    again = folder / "another" / "place"
    run("git", "clone", "--quiet", clone, again)
    first = built(clone, folder / "out", "sdist", "wheel")
    second = built(again, folder / "out-again", "sdist", "wheel")
    sdist = next((folder / "out").glob("*.tar.gz"))
    with tarfile.open(sdist) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # from Python 3.11.4 on
        archive.extractall(folder / "sdist")  # noqa: S202  # what was just built here
    third = built(next((folder / "sdist").iterdir()), folder / "out-sdist", "wheel")
    for name, digest in first.items():
        if second.get(name) != digest or third.get(name, digest) != digest or len(third) != 1:
            raise fail(f"{name} is not the same when it is built again: {first}, {second}, {third}")
    return folder / "out"


def main(version: str | None) -> None:
    """Build, and release if a version is given."""
    dist = HERE / "dist"
    with tempfile.TemporaryDirectory(prefix="devbox-") as name:
        folder = Path(name)
        clone = folder / "clone"
        run("git", "clone", "--quiet", "--no-hardlinks", HERE, clone)
        if version:
            release(clone, version)
        made = compared(clone, folder)
        (wheel,) = made.glob("*.whl")
        if version and f"-{version}-" not in wheel.name:
            raise fail(f"the tag v{version} gave {wheel.name}")
        run(sys.executable, "-m", "pytest", "-q", "-m", "slow", "tests/unit/test_wheel.py", WHEEL=str(wheel))
        sbom = run(sys.executable, HERE / ".ci/sbom.py", wheel, HERE / ".ci/requirements.txt")
        wheel.with_suffix(".cdx.json").write_text(f"{sbom}\n", encoding="utf-8")
        lines = [f"{sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(made.iterdir())]
        (made / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
        shutil.rmtree(dist, ignore_errors=True)
        shutil.copytree(made, dist)
        if version:
            run("git", "fetch", "--quiet", clone, "tag", f"v{version}")
            run("git", "merge", "--quiet", "--ff-only", f"v{version}")
    sys.stdout.write("".join(f"dist/{path.name}\n" for path in sorted(dist.iterdir())))
    if version:
        sys.stdout.write(f"next: git push --follow-tags   # v{version} is committed and tagged here\n")


if __name__ == "__main__":
    main(sys.argv[1] if sys.argv[1:] and sys.argv[1] else None)
