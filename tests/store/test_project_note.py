"""What is read of a project where nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from synapse_sync.store.project_note import completed, note_path, project_key
from synapse_sync.store.projects import ProjectRecord, write_record


def test_each_directory_has_a_key_of_its_own_by_whatever_name_it_is_reached(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / "link").symlink_to("one")
    one, two = project_key(tmp_path / "one"), project_key(str(tmp_path / "two"))
    assert one != two and len(one) == len(two) == 16
    assert project_key(tmp_path / "link") == project_key(tmp_path / "two" / ".." / "one") == one


def test_what_was_completed(tmp_path: Path) -> None:
    roots = {"comfy": "/work/comfy", "forge": "/work/forge"}
    write_record(tmp_path, "key", ProjectRecord(project="/work", roots=roots, complete="abc"))
    assert completed(tmp_path, "key") == ("abc", ["/work/comfy", "/work/forge"])
    write_record(tmp_path, "key", ProjectRecord(project="/work", roots=roots))
    assert completed(tmp_path, "key") is None
    assert completed(tmp_path, "other") is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"{",
        b"[" * 100_000,
        b'{"complete": "x", "roots": ["/r"]}',
        b'{"complete": "x", "roots": {"a": 1}}',
        b'{"complete": 1, "roots": {"a": "/r"}}',
        b'{"complete": "x"}',
    ],
)
def test_a_damaged_note_says_nothing(tmp_path: Path, content: bytes) -> None:
    path = Path(note_path(tmp_path, "key"))
    path.parent.mkdir()
    path.write_bytes(content)
    assert completed(tmp_path, "key") is None
