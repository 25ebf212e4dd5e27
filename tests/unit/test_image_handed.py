"""An image that is handed to another builder as an OCI layout."""

from __future__ import annotations

import io
import tarfile
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from devbox.engine.spec import ImageBuild
from devbox.image.buildkit.handed import handed
from devbox.paths import cache_dir
from devbox.reporter import Silent

if TYPE_CHECKING:
    from collections.abc import Sequence


def test_two_builds_that_write_the_same_image_both_get_it() -> None:
    folder = cache_dir() / "handed" / "abc"

    def run(args: Sequence[str]) -> None:
        data = b'{"manifests": [{}]}'
        with tarfile.open(args[2], "w") as archive:
            head = tarfile.TarInfo("index.json")
            head.size = len(data)
            archive.addfile(head, io.BytesIO(data))
        # Another build is done first.
        folder.mkdir()
        (folder / "index.json").write_text("theirs")

    engine: Any = SimpleNamespace(image=lambda _: {"Id": "sha256:abc"}, run=run)
    build = ImageBuild(dockerfile="Dockerfile", context="/w")
    assert handed(engine, build, ["own:1"], Silent()).contexts == (("own:1", f"oci-layout://{folder}"),)
    assert [one.name for one in folder.parent.iterdir()] == ["abc"]
