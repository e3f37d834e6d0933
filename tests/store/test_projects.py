"""What the store remembers of the projects that use it."""

from __future__ import annotations

from pathlib import Path

import pytest

from synapse_sync.engine.collect import plan_collection
from synapse_sync.errors import StorageError
from synapse_sync.store.projects import ProjectRecord, mount_point, mounts_of, read_record, records, write_record

RECORD = ProjectRecord(
    project="/work/studio",
    roots={"comfy": "/work/comfy"},
    complete="abc",
    absent={"usb": "/media/usb"},
    links={"/work/comfy/models": "/mnt/big"},
    mounts={"/media/usb": "/media/usb"},
)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_record(tmp_path, "key", RECORD)
    assert read_record(tmp_path, "key") == RECORD
    assert list(records(tmp_path)) == [("key", RECORD)]
    assert RECORD.every_root == {"comfy": "/work/comfy", "usb": "/media/usb"}


def test_a_root_that_is_reachable_again_counts_where_it_is_now() -> None:
    moved = ProjectRecord(project="p", roots={"comfy": "/new"}, absent={"comfy": "/old"})
    assert moved.every_root == {"comfy": "/new"}


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"project": "p", "roots": []}', b"\xff", b"{"])
def test_a_damaged_record_counts_as_none(tmp_path: Path, content: bytes) -> None:
    write_record(tmp_path, "good", RECORD)
    (tmp_path / "projects" / "bad.json").write_bytes(content)
    assert read_record(tmp_path, "bad") is None
    assert list(records(tmp_path)) == [("good", RECORD)]


def test_a_store_without_projects_remembers_none(tmp_path: Path) -> None:
    assert list(records(tmp_path)) == []
    assert read_record(tmp_path, "key") is None


def test_a_record_of_an_older_version_lacks_some_keys(tmp_path: Path) -> None:
    (tmp_path / "projects").mkdir()
    (tmp_path / "projects" / "old.json").write_bytes(b'{"project": "/p", "roots": {"a": "/r"}}')
    assert read_record(tmp_path, "old") == ProjectRecord(project="/p", roots={"a": "/r"}, asked=False)


def test_projects_that_cannot_be_read_count_as_none_unless_all_are_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_record(tmp_path, "key", RECORD)
    real = Path.iterdir

    def iterdir(path: Path) -> object:
        if path.name == "projects":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    assert list(records(tmp_path)) == []
    with pytest.raises(PermissionError):
        list(records(tmp_path, all_of_them=True))
    with pytest.raises(StorageError, match="projects of the store"):
        plan_collection(tmp_path)


def test_a_mount_point_stays_noted_while_its_drive_is_away(tmp_path: Path) -> None:
    root = str(tmp_path)
    assert mounts_of([root], {root: "/mnt/x", "/elsewhere": "/mnt/y"}) == {root: "/mnt/x"}
    (tmp_path / ".synapse").mkdir()
    assert mounts_of([root], {root: "/mnt/x"}).get(root, "") == mount_point(root) != "/mnt/x"
