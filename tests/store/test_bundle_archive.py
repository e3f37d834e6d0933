"""The archive of a bundle as a stream: the bytes that were written, or a refusal."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.bundle import LIST, Contents, Member, contents_of, contents_text
from synapse_sync.core.tar import file_header
from synapse_sync.errors import IntegrityError
from synapse_sync.store.bundle_archive import ArchiveReader, ArchiveWriter

FILES = {
    "project/synapse.toml": b"",
    "project/synapse.lock": b"version = 1\n",
    f"project/{'a' * 120}.toml": b"x" * 513,
}
BLOBS = (b"one", b"x" * 1024)


def listed() -> tuple[Contents, dict[str, bytes]]:
    content = FILES | {f"blobs/{hashlib.sha256(blob).hexdigest()}": blob for blob in BLOBS}
    found = [Member(name=name, sha256=hashlib.sha256(data).hexdigest()) for name, data in content.items()]
    return contents_of(found, ["0" * 64]), content


def archive() -> bytes:
    contents, content = listed()
    writer = ArchiveWriter(out := io.BytesIO())
    writer.begin(contents)
    for member in contents.members:
        writer.add(member, len(content[member.name]), [content[member.name]])
    writer.end()
    return out.getvalue()


def read(data: bytes) -> dict[str, bytes]:
    reader = ArchiveReader(io.BytesIO(data))
    found = {
        member.name: b"".join(bytes(piece) for piece in reader.pieces(member, reader.size_of(member)))
        for member in reader.contents().members
    }
    reader.end()
    return found


DATA = archive()


def test_it_is_read_as_it_was_written() -> None:
    assert read(DATA) == listed()[1] and archive() == DATA


def test_pythons_own_reader_agrees() -> None:
    contents, content = listed()
    with tarfile.open(fileobj=io.BytesIO(DATA)) as found:
        names = found.getnames()
        assert names == [LIST, *(member.name for member in contents.members)]
        assert [found.extractfile(name).read() for name in names[1:]] == [content[name] for name in names[1:]]  # type: ignore[union-attr]
        assert {(info.mode, info.mtime, info.uid, info.uname) for info in found} == {(0o644, 0, 0, "")}


@pytest.mark.skipif(not (shutil.which("tar") and shutil.which("sha256sum")), reason="needs tar and sha256sum")
def test_a_machine_without_synapse_can_check_it(tmp_path: Path) -> None:
    (tmp_path / "bundle.tar").write_bytes(DATA)
    subprocess.run(["tar", "xf", "bundle.tar"], cwd=tmp_path, check=True)
    subprocess.run(["sha256sum", "-c", "--quiet", "--strict", LIST], cwd=tmp_path, check=True)


@given(st.integers(0, len(DATA) - 1))
def test_a_truncated_one_is_refused(end: int) -> None:
    with pytest.raises(IntegrityError):
        read(DATA[:end])


@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_an_altered_one_is_refused(at: int, mask: int) -> None:
    data = bytearray(DATA)
    data[at] ^= mask
    with pytest.raises(IntegrityError):
        read(bytes(data))


@given(st.binary(max_size=2000), st.integers(0, len(DATA)))
def test_inserted_bytes_are_refused(more: bytes, at: int) -> None:
    data = DATA[:at] + more + DATA[at:]
    if data == DATA:
        assert read(data)
        return
    with pytest.raises(IntegrityError):
        read(data)


@given(st.binary(max_size=2000))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        read(data)


@given(st.permutations(range(len(listed()[0].members))))
def test_another_order_is_refused(order: list[int]) -> None:
    contents, content = listed()
    members = [contents.members[number] for number in order]
    out = io.BytesIO()
    writer = ArchiveWriter(out)
    writer.begin(contents)
    for member in members:
        writer.add(member, len(content[member.name]), [content[member.name]])
    writer.end()
    if tuple(members) == contents.members:
        assert out.getvalue() == DATA
    else:
        with pytest.raises(IntegrityError):
            read(out.getvalue())


def test_a_size_that_never_comes_takes_no_memory() -> None:
    contents, _ = listed()
    text = contents_text(contents)
    data = file_header(LIST, len(text)) + text + bytes(-len(text) % 512)
    reader = ArchiveReader(io.BytesIO(data + file_header(contents.members[0].name, 1 << 60)))
    member = reader.contents().members[0]
    size = reader.size_of(member)
    with pytest.raises(IntegrityError, match="in the middle"):
        list(reader.pieces(member, size))
    with pytest.raises(IntegrityError, match="at most"):
        ArchiveReader(io.BytesIO(file_header(LIST, 1 << 40))).contents()


def test_a_file_that_grows_or_shrinks_or_changes_is_noticed() -> None:
    member = Member(
        name=f"blobs/{hashlib.sha256(b'right').hexdigest()}", sha256=hashlib.sha256(b"right").hexdigest()
    )
    for pieces in ([b"right", b"er"], [b"rig"], [b"wrong"]):
        with pytest.raises(IntegrityError, match="does not have the content"):
            ArchiveWriter(io.BytesIO()).add(member, 5, pieces)
