from __future__ import annotations

import errno
import json
import os
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from synapse_sync.errors import StorageError
from synapse_sync.store.durable import umask
from synapse_sync.store.partials import (
    Partial,
    add_range,
    bytes_begun,
    missing_ranges,
    old,
    partial_key,
    place_id,
    sweep,
)


def begun(root, key="k", total=100, **over):
    partial = Partial(root, key)
    values = {"etag": '"e"', "last_modified": None, "place": "p"} | over
    partial.begin(total, **values)
    return partial


@pytest.mark.parametrize(
    ("add", "expected"),
    [
        ((0, 5), [(0, 5), (10, 20), (30, 40)]),
        ((5, 10), [(5, 20), (30, 40)]),
        ((20, 30), [(10, 40)]),
        ((12, 15), [(10, 20), (30, 40)]),
        ((0, 50), [(0, 50)]),
        ((25, 35), [(10, 20), (25, 40)]),
        ((41, 42), [(10, 20), (30, 40), (41, 42)]),
        ((7, 7), [(10, 20), (30, 40)]),
    ],
)
def test_ranges_are_merged(add, expected):
    ranges = [(10, 20), (30, 40)]
    add_range(ranges, *add)
    assert ranges == expected


def test_missing_is_the_rest():
    assert missing_ranges([], 10) == [(0, 10)]
    assert missing_ranges([(0, 3), (5, 7)], 10) == [(3, 5), (7, 10)]
    assert missing_ranges([(0, 10)], 10) == []
    assert missing_ranges([], 0) == []


def test_write_out_of_order_and_take_over_in_another_run(tmp_path):
    partial = begun(tmp_path, total=10)
    partial.write(5, memoryview(b"fghij"))
    assert (partial.frontier, partial.done_bytes, partial.complete) == (0, 5, False)
    partial.write(0, memoryview(b"ab"))
    partial.save()
    partial.close()

    again = Partial(tmp_path, "k")
    assert (again.total, again.etag, again.last_modified, again.place) == (10, '"e"', None, "p")
    assert again.done == ((0, 2), (5, 10))
    assert again.missing() == [(2, 5)]
    again.write(2, memoryview(b"cde"))
    assert again.complete
    again.close()
    assert again.path.read_bytes() == b"abcdefghij"


def test_bytes_that_were_not_saved_do_not_count(tmp_path):
    partial = begun(tmp_path)
    partial.write(0, memoryview(b"x" * 10))
    partial.save()
    partial.write(10, memoryview(b"x" * 10))
    partial.close()
    again = Partial(tmp_path, "k")
    assert again.done == ((0, 10),)
    again.close()


@pytest.mark.parametrize(
    "state",
    [
        "",
        "[]",
        "nonsense",
        '{"size": 100}',
        '{"size": -1, "done": []}',
        '{"size": 99, "done": [[0, 10]]}',
        '{"size": 100, "done": [[0, 101]]}',
        '{"size": 100, "done": [[5, 5]]}',
        '{"size": 100, "done": [[0, 5, 7]]}',
        '{"size": 100, "done": [[true, 5]]}',
        '{"size": 100, "done": {"0": 5}}',
        '{"size": 100, "done": [[0, 10]], "etag": 5}',
    ],
)
def test_state_that_cannot_be_believed_is_no_state(tmp_path, state):
    partial = begun(tmp_path)
    partial.write(0, memoryview(b"x" * 10))
    partial.save()
    partial.close()
    partial.state_path.write_text(state)
    again = Partial(tmp_path, "k")
    assert (again.total, again.done) == (None, ())
    again.close()


def test_state_without_its_file_is_no_state(tmp_path):
    partial = begun(tmp_path)
    partial.write(0, memoryview(b"x" * 10))
    partial.save()
    partial.close()
    partial.path.unlink()
    again = Partial(tmp_path, "k")
    assert again.done == ()
    again.close()


def test_begin_forgets_what_was_there(tmp_path):
    partial = begun(tmp_path)
    partial.write(0, memoryview(b"x" * 100))
    partial.save()
    partial.begin(50, etag=None, last_modified="d", place="q")
    assert partial.done == () and not partial.state_path.exists()
    assert partial.path.stat().st_size == 50
    partial.close()


def test_state_holds_nothing_but_what_is_needed(tmp_path):
    partial = begun(tmp_path, place=place_id("https://x.example/f?sig=hush"))
    partial.write(0, memoryview(b"x"))
    partial.save()
    partial.close()
    state = json.loads(partial.state_path.read_text())
    assert set(state) == {"size", "etag", "last_modified", "place", "done"}
    assert "hush" not in str(state) and "example" not in str(state)
    assert partial.path.stat().st_mode & 0o777 == 0o666 & ~umask(), "another user of the store may resume it"


def test_unknown_size_is_not_gone_on_with(tmp_path):
    partial = begun(tmp_path, total=None)
    partial.write(0, memoryview(b"abc"))
    partial.save()
    assert not partial.state_path.exists()
    partial.end_at(3)
    assert partial.complete
    partial.close()


def test_discard_and_set_aside_leave_nothing_behind(tmp_path):
    for _ in range(2):
        partial = begun(tmp_path, total=3)
        partial.write(0, memoryview(b"abc"))
        partial.save()
        aside = partial.set_aside(tmp_path / "quarantine" / "k-refused")
        assert [*(tmp_path / "quarantine").iterdir()] == [aside]
        assert aside.read_bytes() == b"abc"
    partial = begun(tmp_path)
    partial.write(0, memoryview(b"abc"))
    partial.save()
    assert partial.state_path.exists()
    partial.discard()
    assert list((tmp_path / "partials").iterdir()) == []


def test_threads_write_side_by_side(tmp_path):
    partial = begun(tmp_path, total=8 * 1000)
    threads = [
        threading.Thread(
            target=lambda n=n: [partial.write(n * 1000 + i * 100, memoryview(bytes([n]) * 100)) for i in range(10)]
        )
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert partial.complete
    partial.close()
    assert partial.path.read_bytes() == b"".join(bytes([n]) * 1000 for n in range(8))


def test_link_in_the_place_of_a_partial_is_not_followed(tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "partials").mkdir()
    (tmp_path / "partials" / "k").symlink_to(victim)
    with pytest.raises(StorageError):
        Partial(tmp_path, "k")
    assert victim.read_bytes() == b"precious"


def test_full_disk_is_a_storage_error(tmp_path, monkeypatch):
    partial = begun(tmp_path)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite" if hasattr(os, "pwrite") else "write", full)
    with pytest.raises(StorageError):
        partial.write(0, memoryview(b"abc"))
    assert partial.done == ()
    partial.close()


def test_keys_and_bytes_begun(tmp_path):
    sha = "ab" * 32
    assert partial_key(sha, "url") == sha
    assert partial_key(None, "a") != partial_key(None, "b")
    assert partial_key(None, "a").startswith("url-") and len(partial_key(None, "a")) == 44
    assert bytes_begun(tmp_path, sha) == 0
    partial = begun(tmp_path, sha)
    partial.write(10, memoryview(b"x" * 7))
    partial.save()
    partial.close()
    assert bytes_begun(tmp_path, sha) == 7


def test_only_old_partials_are_swept(tmp_path):
    assert old(tmp_path, 7) == []
    for key in ("young", "aged"):
        partial = begun(tmp_path, key, total=5)
        partial.write(0, memoryview(b"abc"))
        partial.save()
        partial.close()
    now = 1e9
    for path in (tmp_path / "partials").iterdir():
        days = 10 if path.name.startswith("aged") else 1
        os.utime(path, (now - days * 86400, now - days * 86400))
    assert [p.name for p in old(tmp_path, 7, now)] == ["aged", "aged.json"]
    assert sweep(tmp_path, 7, now) > 0
    assert sorted(p.name for p in (tmp_path / "partials").iterdir()) == ["young", "young.json"]


def test_a_kill_while_publishing_leaves_a_partial_that_opens(tmp_path: Path) -> None:
    with closing(Partial(tmp_path, "ab" * 32)) as partial:
        partial.begin(4, etag=None, last_modified=None, place="p")
        partial.write(0, memoryview(b"abcd"))
        partial.save()
    partial.path.chmod(0o444)
    with closing(Partial(tmp_path, "ab" * 32)) as again:
        assert again.complete
        assert stat.S_IMODE(again.path.stat().st_mode) == 0o666 & ~umask()


def test_a_partial_with_a_second_name_is_never_written_to(tmp_path: Path) -> None:
    with closing(Partial(tmp_path, "ab" * 32)) as partial:
        partial.begin(4, etag=None, last_modified=None, place="p")
        partial.write(0, memoryview(b"abcd"))
        partial.save()
    (tmp_path / "model").hardlink_to(partial.path)
    with closing(Partial(tmp_path, "ab" * 32)) as again:
        again.begin(4, etag=None, last_modified=None, place="p")
        again.write(0, memoryview(b"EVIL"))
    assert (tmp_path / "model").read_bytes() == b"abcd"


def test_bytes_are_not_believed_after_a_sync_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may have dropped them, and would call the next fsync a success."""
    with closing(begun(tmp_path)) as partial:
        partial.write(0, memoryview(b"x" * 50))
        partial.save()
        with monkeypatch.context() as bad:

            def fail(handle: int) -> None:
                raise OSError(errno.EIO, "Input/output error")

            bad.setattr(os, "fdatasync" if hasattr(os, "fdatasync") else "fsync", fail)
            bad.setattr(os, "fsync", fail)
            partial.write(50, memoryview(b"y" * 10))
            with pytest.raises(StorageError, match="reports an error"):
                partial.save()
        partial.save()
    with closing(Partial(tmp_path, "k")) as again:
        assert again.done == ()


@pytest.mark.parametrize("again", [False, True])
def test_what_another_process_published_is_not_truncated(tmp_path: Path, again: bool) -> None:
    """On a file system whose locks lie, two may have opened one partial download."""
    with closing(begun(tmp_path)) as partial:
        partial.write(0, memoryview(b"x" * 100))
        blob = partial.path.replace(tmp_path / "blob")
        if again:
            partial.path.write_bytes(b"of a third process")
        with pytest.raises(StorageError):
            partial.reset()
        assert blob.read_bytes() == b"x" * 100


def test_a_file_that_has_its_size_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where locks lie, another process may fill and publish it right after we looked."""
    with closing(Partial(tmp_path, "k")) as partial, monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", lambda *_: pytest.fail("an empty file was emptied"))
        partial.reset()


def test_a_closed_partial_holds_no_file_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(3):
        partial = begun(tmp_path, key=f"k{number}")
        partial.write(0, memoryview(b"x"))
        partial.close()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_what_was_published_is_not_remembered(tmp_path: Path) -> None:
    partial = begun(tmp_path, total=3)
    partial.write(0, memoryview(b"abc"))
    partial.save()
    partial.path.rename(tmp_path / "blob")
    partial.published()
    assert list((tmp_path / "partials").iterdir()) == []


def test_one_that_another_user_began_and_closed_is_begun_anew(tmp_path, monkeypatch):
    partial = begun(tmp_path)
    partial.write(0, memoryview(b"x"))
    partial.save()
    partial.close()
    path, real = partial.path, os.open
    stranger = path.stat().st_ino

    def refuse(where, flags, *more, **words):
        if str(where) == str(path) and path.exists() and path.stat().st_ino == stranger and not flags & os.O_EXCL:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(where))
        return real(where, flags, *more, **words)

    monkeypatch.setattr(os, "open", refuse)
    again = Partial(tmp_path, path.name)
    assert again.done == () and path.stat().st_size == 0
    again.close()
