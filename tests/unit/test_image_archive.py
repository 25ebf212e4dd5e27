"""Archives from elsewhere: nothing lands outside, nothing is half there."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from devbox.errors import ImageError
from devbox.image.features import archive

if TYPE_CHECKING:
    from pathlib import Path


def tar(path: Path, *members: tarfile.TarInfo, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as out:  # type: ignore[call-overload]
        for member in members:
            out.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    info.size = 3 if kind == tarfile.REGTYPE else 0
    return info


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_files_folders_and_links_are_unpacked(mode: str, tmp_path: Path) -> None:
    file = tar(
        tmp_path / "a.tgz",
        member("./install.sh", mode=0o755),
        member("./bin/tool"),
        member("./link", tarfile.SYMTYPE, "bin/tool"),
        mode=mode,
    )
    folder = tmp_path / "out/tree"
    archive.unpack(file, folder, "it")
    assert (folder / "link").read_bytes() == b"xxx"
    assert (folder / "install.sh").stat().st_mode & 0o111
    assert [path.name for path in folder.parent.iterdir()] == ["tree"]


@pytest.mark.parametrize(
    "bad",
    [
        member("../evil"),
        member("a/../../evil"),
        member("link", tarfile.SYMTYPE, "../evil"),
        member("link", tarfile.SYMTYPE, "/etc/passwd"),
        member("link", tarfile.LNKTYPE, "../evil"),
        member("itself", tarfile.LNKTYPE, "itself"),
        member("device", tarfile.CHRTYPE),
        member("pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda info: f"{info.name} {info.linkname}",
)
def test_nothing_lands_outside(bad: tarfile.TarInfo, tmp_path: Path) -> None:
    file = tar(tmp_path / "a.tgz", member("good"), bad)
    folder = tmp_path / "out/tree"
    with pytest.raises(ImageError, match="the thing cannot be unpacked"):
        archive.unpack(file, folder, "the thing")
    assert not (tmp_path / "evil").exists()
    assert not list((tmp_path / "out").iterdir())


def test_an_absolute_name_is_one_within_the_folder(tmp_path: Path) -> None:
    archive.unpack(tar(tmp_path / "a.tgz", member("/evil")), tmp_path / "tree", "it")
    assert (tmp_path / "tree/evil").is_file()


def test_a_link_does_not_lead_a_later_member_out(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    file = tar(tmp_path / "a.tgz", member("d", tarfile.SYMTYPE, str(tmp_path / "outside")), member("d/evil"))
    with pytest.raises(ImageError):
        archive.unpack(file, tmp_path / "tree", "it")
    assert not list((tmp_path / "outside").iterdir())


def test_a_chain_of_links_does_not_lead_out(tmp_path: Path) -> None:
    # Each seems to stay inside by its text alone.
    deep = member("a/b/c/x", tarfile.SYMTYPE, "../../../z")
    file = tar(tmp_path / "a.tgz", member("z/f"), deep, member("w", tarfile.SYMTYPE, "a/b/c/x/../.."))
    with pytest.raises(ImageError, match="w is a link to"):
        archive.unpack(file, tmp_path / "tree", "it")


def test_a_hard_link_is_the_file_that_it_names(tmp_path: Path) -> None:
    archive.unpack(tar(tmp_path / "a.tgz", member("a"), member("b", tarfile.LNKTYPE, "a")), tmp_path / "tree", "it")
    assert (tmp_path / "tree/b").read_bytes() == b"xxx"


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x1f\x8b\x08\x00broken"])
def test_what_is_no_archive(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(content)
    with pytest.raises(ImageError, match="cannot be unpacked"):
        archive.unpack(tmp_path / "a.tgz", tmp_path / "tree", "it")
    assert not (tmp_path / "tree").exists()


def test_half_an_archive(tmp_path: Path) -> None:
    whole = tar(tmp_path / "a.tgz", *(member(f"f{index}") for index in range(100))).read_bytes()
    (tmp_path / "a.tgz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ImageError, match="cannot be unpacked"):
        archive.unpack(tmp_path / "a.tgz", tmp_path / "tree", "it")
    assert not (tmp_path / "tree").exists()


def test_what_would_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 5)
    with pytest.raises(ImageError, match="more than devbox takes"):
        archive.unpack(tar(tmp_path / "a.tgz", member("a"), member("b")), tmp_path / "tree", "it")
    assert not (tmp_path / "tree").exists()
