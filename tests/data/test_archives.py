from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unmask.base.errors import DataError
from unmask.data.archives import Limits, stem_of, unpack, unpack_nested

HOSTILE = (
    "../out.txt",
    "a/../../out.txt",
    "/etc/out.txt",
    "C:/out.txt",
    "..\\out.txt",
    "a\\..\\..\\out.txt",
    "\\out.txt",
)


def make_zip(file: Path, *entries: tuple[str, bytes], **settings: int) -> Path:
    with zipfile.ZipFile(file, "w", **settings) as archive:  # type: ignore[call-overload]
        for name, content in entries:
            archive.writestr(name, content)
    return file


def make_tar(file: Path, *entries: tuple[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(file, mode) as archive:  # type: ignore[call-overload]
        for name, content in entries:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize(
    ("name", "mode"), [("a.tar", "w"), ("a.tgz", "w:gz"), ("a.tar.bz2", "w:bz2"), ("a.txz", "w:xz")]
)
def test_tar_archives(tmp_path: Path, name: str, mode: str) -> None:
    content = [("set/real/1.jpg", b"one"), ("set/fake/2.jpg", b"two" * 999)]
    done = unpack(make_tar(tmp_path / name, *content, mode=mode), tmp_path / "out")
    assert tree(tmp_path / "out") == dict(content)
    assert (done.files, done.size, stem_of(tmp_path / name)) == (2, 3000, "a")


def test_zip_archives(tmp_path: Path) -> None:
    content = [("set/", b""), ("set/real/1.jpg", b"one"), ("set/fäke/2.jpg", b"two")]
    done = unpack(make_zip(tmp_path / "a.zip", *content), tmp_path / "deep/out")
    assert tree(done.folder) == {"set/real/1.jpg": b"one", "set/fäke/2.jpg": b"two"}
    assert stat.S_IMODE(done.folder.stat().st_mode) == 0o755


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_names_that_lead_outside_are_refused_and_nothing_stays(tmp_path: Path, name: str, make: object) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    archive = make(inside / "a.bin", ("fine.jpg", b"fine"), (name, b"hostile"))  # type: ignore[operator]
    with pytest.raises(DataError, match="leads out of its folder"):
        unpack(archive, inside / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["inside", "a.bin"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(
        st.text(st.sampled_from("ab./\\:C\0~ "), min_size=1, max_size=10).filter(lambda name: name[0] != "\0"),
        min_size=1,
        max_size=4,
        unique=True,
    )
)
def test_whatever_the_names_nothing_leaves_the_folder(
    names: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    for kind, make in (("zip", make_zip), ("tar", make_tar)):
        archive = make(home / f"a.{kind}", *((name, b"x") for name in names))
        try:
            unpack(archive, home / kind)
        except DataError:
            assert not (home / kind).exists()
    assert {path.name for path in home.iterdir()} <= {"a.zip", "a.tar", "zip", "tar"}
    assert not [path for path in home.rglob("*") if path.is_symlink()]


KINDS = (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE)
NAMES = st.sampled_from(["a", "b", "a/b", "a/b/c", "b/a", "./a", "a//b", "a/.", "link", "link/a", "link/secret.txt"])
TARGETS = st.sampled_from(["..", "../..", "/", "../secret.txt", "a", "link", "/etc/passwd", ""])


@settings(max_examples=80, deadline=None)
@given(entries=st.lists(st.tuples(NAMES, st.sampled_from(KINDS), TARGETS, st.binary(max_size=8)), max_size=7))
def test_whatever_the_members_of_a_tar_nothing_leaves_its_folder(
    entries: list[tuple[str, bytes, str, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Links to the outside with files below their names, files where folders are, the same name twice."""
    home = tmp_path_factory.mktemp("home")
    (home / "secret.txt").write_bytes(b"secret")
    with tarfile.open(home / "a.tar", "w") as archive:
        for name, kind, target, content in entries:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            info.size = len(content) if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(content))
    try:
        done = unpack(home / "a.tar", home / "out/in")
    except DataError:
        assert not list((home / "out").iterdir())
    else:
        inside = list((home / "out/in").rglob("*"))
        assert all((path.is_file() or path.is_dir()) and not path.is_symlink() for path in inside)
        assert done.files == sum(path.is_file() for path in inside)
        contents = {content for _, kind, _, content in entries if kind == tarfile.REGTYPE} | {b""}
        assert {path.read_bytes() for path in inside if path.is_file()} <= contents
    assert (home / "secret.txt").read_bytes() == b"secret"
    assert (home / "secret.txt").stat().st_nlink == 1
    assert {path.name for path in home.iterdir()} <= {"a.tar", "out", "secret.txt"}


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a")])
def test_a_file_where_a_folder_is(tmp_path: Path, make: object, names: tuple[str, str]) -> None:
    archive = make(tmp_path / "x.bin", *((name, b"x") for name in names))  # type: ignore[operator]
    with pytest.raises(DataError, match="twice"):
        unpack(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["x.bin"]


def test_links_and_devices_are_left_out_and_counted(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, kind, target in (
            ("link", tarfile.SYMTYPE, "/etc"),
            ("hard", tarfile.LNKTYPE, "../../secret"),
            ("pipe", tarfile.FIFOTYPE, ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            archive.addfile(info)
        # A file below the name of the link: it must not be written through it.
        info = tarfile.TarInfo("link/passwd")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    done = unpack(tmp_path / "a.tar", tmp_path / "out")
    assert done.left_out == ("link", "hard", "pipe")
    assert tree(tmp_path / "out") == {"link/passwd": b"x"}
    assert not (tmp_path / "out/link").is_symlink()
    info_zip = zipfile.ZipInfo("link")
    info_zip.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(info_zip, "/etc")
    assert unpack(tmp_path / "a.zip", tmp_path / "out2").left_out == ("link",)


def test_bombs_are_refused(tmp_path: Path) -> None:
    zeros = bytes(4 << 20)
    limits = Limits(small=1 << 20)
    bombs = [
        make_zip(tmp_path / "a.zip", ("zeros", zeros), compression=zipfile.ZIP_DEFLATED),
        make_tar(tmp_path / "a.tgz", ("zeros", zeros)),
        make_tar(tmp_path / "b.tgz", *((f"{i}", bytes(1 << 18)) for i in range(16))),
    ]
    for bomb in bombs:
        with pytest.raises(DataError, match="out of proportion"):
            unpack(bomb, tmp_path / "out", limits=limits)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tgz", "a.zip", "b.tgz"]
    # As much from an archive that is as large is no bomb.
    noise = make_zip(tmp_path / "noise.zip", ("noise", os.urandom(2 << 20)))
    assert unpack(noise, tmp_path / "out", limits=limits).size == 2 << 20


def test_a_tar_that_claims_a_huge_sparse_file(tmp_path: Path) -> None:
    info = tarfile.TarInfo("sparse")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 0
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[483:495] = b"77777777777\0"  # its real size: 8 GiB
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "a.tar").write_bytes(bytes(header) + bytes(1024))
    with pytest.raises(DataError, match="out of proportion"):
        unpack(tmp_path / "a.tar", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_too_many_files_and_too_little_room(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", *((f"{i}", b"x") for i in range(5)))
    with pytest.raises(DataError, match="more than 4 files"):
        unpack(archive, tmp_path / "out", limits=Limits(files=4))
    with pytest.raises(DataError, match="GiB are free") as caught:
        unpack(archive, tmp_path / "out", limits=Limits(spare=1 << 60))
    assert "--to DIR" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_the_same_name_twice(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive = make_zip(tmp_path / "a.zip", ("a", b"1"), ("a", b"2"))
    with pytest.raises(DataError, match="names 'a' twice"):
        unpack(archive, tmp_path / "out")


def _whole(file: Path, name: str) -> Path:
    entry = ("a/b.jpg", os.urandom(50_000))
    return make_zip(file, entry) if name == "a.zip" else make_tar(file, entry, mode="w" if name == "a.tar" else "w:gz")


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tgz"])
def test_broken_archives(tmp_path: Path, name: str) -> None:
    whole = _whole(tmp_path / "whole", name)
    content = bytearray(whole.read_bytes())
    content[20_000:20_100] = bytes(100)
    texts = [b"", b"nonsense", whole.read_bytes()[:30_000], bytes(content)]
    if name == "a.tar":
        texts.pop()  # a bare tar has no check sums of its content
    for number, text in enumerate(texts):
        file = tmp_path / f"{number}-{name}"
        file.write_bytes(text)
        with pytest.raises(DataError, match=r"is broken|is neither a zip nor a tar") as caught:
            unpack(file, tmp_path / "out")
        assert caught.value.hint
        assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "a.zip", ("a", b"1"))
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="exists already"):
        unpack(archive, tmp_path / "out")


def test_archives_in_archives(tmp_path: Path) -> None:
    inner = make_zip(tmp_path / "inner.zip", ("1.mp4", b"1")).read_bytes()
    middle = make_tar(tmp_path / "middle.tgz", ("parts/part_0.zip", inner)).read_bytes()
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "all.tar.gz").write_bytes(middle)
    assert len(unpack_nested(folder)) == 2
    assert (folder / "all/parts/part_0/1.mp4").read_bytes() == b"1"
    assert unpack_nested(folder) == []
