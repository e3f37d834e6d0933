from __future__ import annotations

import io
import tarfile

from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.tar import BLOCK, END, directory_header, file_header, link_header, padding

NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=80).filter(
    lambda name: name not in (".", "..")
)
PATHS = st.lists(NAMES, min_size=1, max_size=6).map("/".join)


def members(data: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getmembers()


@given(PATHS, st.binary(max_size=2000))
def test_every_path_and_content_comes_back(path: str, content: bytes) -> None:
    data = file_header(path, len(content)) + content + padding(len(content)) + END
    assert len(data) % BLOCK == 0
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        (member,) = archive.getmembers()
        file = archive.extractfile(member)
        assert member.name == path.rstrip("/") and file is not None and file.read() == content
    assert (member.mode, member.mtime, member.uid, member.gid) == (0o644, 0, 0, 0)


def test_a_file_of_eight_gibibytes_and_more() -> None:
    for size in ((8 << 30) - 1, 8 << 30, 1 << 50):
        with tarfile.open(fileobj=io.BytesIO(file_header("large", size))) as archive:
            member = archive.next()
        assert member is not None and member.size == size


def test_directories_and_links() -> None:
    folder, link = members(directory_header("a/b") + link_header("a/b/c", "../d") + END)
    assert folder.isdir() and (folder.name, folder.mode, folder.mtime) == ("a/b", 0o755, 0)
    assert link.issym() and (link.name, link.linkname, link.mtime) == ("a/b/c", "../d", 0)
