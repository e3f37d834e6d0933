"""The list and the headers of a bundle."""

from __future__ import annotations

import hashlib
import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.bundle import (
    LIST,
    RECORD,
    Contents,
    Member,
    archive_size,
    contents_of,
    contents_text,
    extended_size,
    parse_contents,
    size_in,
    with_end,
)
from synapse_sync.core.tar import BLOCK, file_header
from synapse_sync.errors import IntegrityError

DIGEST = hashlib.sha256(b"x").hexdigest()
SIZES = st.integers(0, 8 << 40)
PATHS = st.sampled_from(["synapse.toml", "synapse.lock", "shared/base.toml", f"{'ü' * 80}/{'a' * 150}.toml"])


def members() -> st.SearchStrategy[list[Member]]:
    digest = st.binary(max_size=2).map(lambda data: hashlib.sha256(data).hexdigest())
    return st.lists(
        digest.map(lambda found: Member(name=f"blobs/{found}", sha256=found))
        | st.tuples(digest, digest).map(lambda pair: Member(name=f"previews/{pair[0]}", sha256=pair[1]))
        | st.tuples(PATHS, digest).map(lambda pair: Member(name=f"project/{pair[0]}", sha256=pair[1])),
        unique_by=lambda member: member.name,
    )


@given(members(), st.sets(st.just(DIGEST)))
def test_the_list_is_read_as_it_was_written(found: list[Member], without: set[str]) -> None:
    contents = contents_of(found, sorted(without))
    assert parse_contents(contents_text(contents)) == contents
    assert contents_of(found[::-1], sorted(without)) == contents


@pytest.mark.parametrize(
    "line",
    [
        f"{DIGEST}  project/../synapse.toml",
        f"{DIGEST}  project//etc/passwd",
        f"{DIGEST}  project/.git/config",
        f"{DIGEST}  /etc/passwd",
        f"{DIGEST}  blobs/{'0' * 64}",
        f"{DIGEST}  previews/cat.png",
        f"{DIGEST}  includes/{'0' * 64}.toml",
        f"{DIGEST}  elsewhere/x",
        f"{DIGEST.upper()}  project/synapse.toml",
        f"{DIGEST} *project/synapse.toml",
        f"# without {DIGEST[1:]}",
        "",
    ],
)
def test_a_wrong_line_is_refused(line: str) -> None:
    with pytest.raises(IntegrityError, match="SHA256SUMS"):
        parse_contents(with_end(f"# synapse bundle 1\n{line}\n".encode()))


@pytest.mark.parametrize("order", [(0, 0), (1, 0)])
def test_members_come_once_and_in_order(order: tuple[int, int]) -> None:
    lines = [f"{DIGEST}  project/synapse.lock", f"{DIGEST}  project/synapse.toml"]
    text = "\n".join(["# synapse bundle 1", *(lines[number] for number in order), ""])
    with pytest.raises(IntegrityError, match="as synapse writes"):
        parse_contents(with_end(text.encode()))


def test_a_newer_format_says_so() -> None:
    with pytest.raises(IntegrityError, match="format '2'") as caught:
        parse_contents(b"# synapse bundle 2\n")
    assert "upgrade synapse" in str(caught.value.hint)


@given(st.sampled_from([f"blobs/{DIGEST}", LIST]) | PATHS.map("project/{}".format), SIZES)
def test_a_header_is_read_as_it_was_written(name: str, size: int) -> None:
    header = file_header(name, size)
    assert size_in(header, name) == size
    assert BLOCK + (extended_size(header) and extended_size(header) + BLOCK) == len(header)
    read = tarfile.TarInfo.frombuf(header[-BLOCK:], "utf-8", "strict")
    assert (read.mode, read.mtime, read.uid, read.gid, read.uname) == (0o644, 0, 0, 0, "")


@given(SIZES, st.data())
def test_any_other_header_is_refused(size: int, data: st.DataObject) -> None:
    header = bytearray(file_header(f"blobs/{DIGEST}", size))
    at = data.draw(st.integers(0, len(header) - 1))
    header[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(IntegrityError):
        size_in(bytes(header), f"blobs/{DIGEST}")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_nothing_but_a_file_is_accepted(kind: bytes) -> None:
    info = tarfile.TarInfo("project/synapse.toml")
    info.type, info.linkname, info.mode = kind, "/etc/passwd" if kind != tarfile.DIRTYPE else "", 0o644
    with pytest.raises(IntegrityError, match="something else"):
        size_in(info.tobuf(tarfile.PAX_FORMAT), info.name)


def test_extended_headers_are_bounded_and_have_no_other_keys() -> None:
    info = tarfile.TarInfo("project/synapse.toml")
    info.mode, info.pax_headers = 0o644, {"GNU.sparse.major": "1", "GNU.sparse.realsize": "1000000000000"}
    with pytest.raises(IntegrityError, match="something else"):
        size_in(info.tobuf(tarfile.PAX_FORMAT), info.name)
    info.pax_headers = {"comment": "x" * 100_000}
    with pytest.raises(IntegrityError, match="too large"):
        extended_size(info.tobuf(tarfile.PAX_FORMAT)[:BLOCK])


def test_the_size_of_an_archive_is_known_before_it_is_written() -> None:
    contents = Contents(members=(Member(name=f"blobs/{DIGEST}", sha256=DIGEST),))
    with tarfile.open(fileobj=(file := io.BytesIO()), mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for name, content in ((LIST, contents_text(contents)), (f"blobs/{DIGEST}", b"x")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    assert archive_size(contents, [1]) == len(file.getvalue()) and not len(file.getvalue()) % RECORD
