"""Images that only the engine has, handed to a builder that sees none of them: as OCI layouts, named build contexts.

`docker save` writes one since Docker 25: https://docs.docker.com/engine/release-notes/25.0/. BuildKit asks for the
layers that it has not got yet, so what was sent once is not sent again.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from devbox.errors import ImageError
from devbox.paths import cache_dir

if TYPE_CHECKING:
    from collections.abc import Iterable

    from devbox.engine.docker import Engine
    from devbox.engine.spec import ImageBuild
    from devbox.reporter import Reporter

_SCHEME = "oci-layout://"
_REFERENCE = "org.opencontainers.image.ref.name"
# What a context without a tag is looked up by.
_LATEST = "latest"


def handed(engine: Engine, build: ImageBuild, bases: Iterable[str], reporter: Reporter | None) -> ImageBuild:
    """Return `build` with a context for each of `bases` that is on the engine and in no registry.

    Without a `reporter` nothing is written, as in a dry run. Raises ImageError where the engine cannot write one.
    """
    contexts = []
    for name in dict.fromkeys(bases):
        found = engine.image(name)
        if found is None or found.get("RepoDigests"):
            continue
        folder = cache_dir() / "handed" / str(found["Id"]).removeprefix("sha256:")[:16]
        if reporter is not None and not folder.is_dir():
            with reporter.step(f"Writing {name} down for the builder ({int(found.get('Size') or 0) >> 20} MiB)"):
                _write(engine, name, folder)
        contexts.append((name, f"{_SCHEME}{folder}"))
    return replace(build, contexts=(*build.contexts, *contexts))


def _write(engine: Engine, name: str, folder: Path) -> None:
    """Write an image as an OCI layout. Where another build has written it meanwhile, that one stays."""
    import tarfile
    import tempfile

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as beside:
        archive, layout = Path(beside, "image.tar"), Path(beside, "layout")
        engine.run(["save", "--output", str(archive), name])
        with tarfile.open(archive) as stream:
            # Python 3.11 has filters from its fourth patch on, and Debian 12 has the second.
            stream.extraction_filter = getattr(tarfile, "data_filter", None)
            stream.extractall(layout)  # noqa: S202  # what the engine just wrote
        archive.unlink()
        try:
            index = json.loads((layout / "index.json").read_text(encoding="utf-8"))
            index["manifests"] = [{**index["manifests"][0], "annotations": {_REFERENCE: _LATEST}}]
        except (OSError, ValueError, LookupError, TypeError):
            raise ImageError(
                f"the engine cannot write {name} as an OCI layout, by which another builder would get it",
                hint="Docker Engine 25 or newer can; or push it to a registry, and name it with --base-image",
            ) from None
        (layout / "index.json").write_text(json.dumps(index), encoding="utf-8")
        try:
            layout.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
