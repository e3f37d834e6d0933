"""Several stores that work as one; `tests/engine/test_stores.py` has them on real volumes."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path

import pytest

from synapse_sync.errors import IntegrityError
from synapse_sync.store import several
from synapse_sync.store.blobs import BlobStore
from synapse_sync.store.partials import Partial
from synapse_sync.store.several import SeveralStores, device_of

CONTENT = b"weights" * 100
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two directories, each with all below it a volume of its own."""
    one, two = tmp_path / "one", tmp_path / "two"
    for each in (one, two):
        each.mkdir()
    monkeypatch.setattr(several, "device_of", lambda path: 2 if path.is_relative_to(two) else 1)
    return one, two


def stores(volumes: tuple[Path, Path], *targets: Path) -> SeveralStores:
    members = [BlobStore(volume / "store") for volume in volumes]
    for member in members:
        member.root.mkdir(exist_ok=True)
    return SeveralStores(members, lambda: targets)


def put(store: BlobStore, content: bytes = CONTENT) -> Path:
    temp = store.temporary()
    temp.write_bytes(content)
    return store.publish(temp, sha256=hashlib.sha256(content).hexdigest(), size=len(content), origin="civitai:1")


def test_it_answers_everything_that_a_store_does() -> None:
    """A method that is added to a store must be decided on here, or it would work on the main store alone."""
    asked = {name for name, _ in inspect.getmembers(BlobStore) if not name.startswith("_")}
    assert asked - vars(SeveralStores).keys() == set()


@pytest.mark.parametrize("where", [0, 1])
def test_a_blob_of_any_store_is_there(volumes: tuple[Path, Path], where: int) -> None:
    both = stores(volumes)
    path = put(both.members[where])
    assert both.has(SHA) and both.path(SHA) == path and both.home(SHA) is both.members[where]
    assert both.verify(SHA) and both.matches(path, SHA) and not both.is_foreign(SHA)
    assert [entry.path for entry in both.entries()] == [path]
    assert both.origin(SHA) == "civitai:1" and both.true_size(SHA, 1) == len(CONTENT)
    assert both.remove(SHA) == len(CONTENT) and not both.has(SHA)


@pytest.mark.parametrize("where", [0, 1])
def test_a_blob_is_received_where_it_will_be_placed(volumes: tuple[Path, Path], where: int) -> None:
    both = stores(volumes)
    both.expect(SHA, volumes[where] / "ui")
    both.expect(SHA, volumes[1 - where] / "ui")
    assert both.publish_bytes(memoryview(CONTENT), sha256=SHA, origin="civitai:1") == both.members[where].path(SHA)


def test_what_an_earlier_run_began_goes_on_where_it_is(volumes: tuple[Path, Path]) -> None:
    both = stores(volumes)
    Partial(both.root, SHA).close()
    both.expect(SHA, volumes[1])
    assert both.home(SHA) is both.members[0]


@pytest.mark.parametrize(("targets", "where"), [((), 0), ((1,), 1), ((1, 1), 1), ((0, 1), 0), ((0,), 0)], ids=str)
def test_bytes_of_unknown_use_go_where_all_targets_are(
    volumes: tuple[Path, Path], targets: tuple[int, ...], where: int
) -> None:
    both = stores(volumes, *(volumes[number] for number in targets))
    assert both.home(None) is both.members[where]
    assert both.temporary().is_relative_to(both.members[where].root)
    assert put(both).is_relative_to(both.members[where].root)


def test_a_blob_is_copied_beside_the_target_and_verified(volumes: tuple[Path, Path]) -> None:
    both = stores(volumes)
    first = put(both.members[0])
    assert both.near(SHA, volumes[0] / "ui") == first
    second = both.near(SHA, volumes[1] / "ui")
    assert second == both.members[1].path(SHA) and second.read_bytes() == CONTENT
    assert both.members[1].origin(SHA) == "civitai:1", "it can be downloaded again, and so be dropped"
    assert not second.samefile(first)
    first.chmod(0o644)
    first.write_bytes(b"other bytes")
    second.unlink()
    with pytest.raises(IntegrityError):
        both.near(SHA, volumes[1] / "ui")
    assert not second.exists()


def test_a_volume_without_a_store_has_the_blob_from_where_it_is(volumes: tuple[Path, Path]) -> None:
    one, two = (BlobStore(volume / "store") for volume in volumes)
    for store in (one, two):
        store.root.mkdir()
    path = put(one)
    assert SeveralStores([one, BlobStore(volumes[0] / "second")]).near(SHA, volumes[1]) == path


def test_a_bad_blob_of_one_store_does_not_hide_the_right_one_of_another(volumes: tuple[Path, Path]) -> None:
    both = stores(volumes)
    bad, good = put(both.members[0]), put(both.members[1])
    bad.chmod(0o644)
    bad.write_bytes(b"other bytes")
    assert not both.is_changed(SHA), "the right bytes are here"
    assert both.has(SHA) and both.path(SHA) == good
    assert bad.read_bytes() == b"other bytes"
    good.unlink()
    assert both.is_changed(SHA) and not both.has(SHA)


@pytest.mark.parametrize(
    ("move", "targets", "where"),
    [(True, (), 1), (True, (0,), 1), (False, (), 0), (False, (0,), 0), (False, (1,), 1), (False, (0, 1), 1)],
)
def test_a_file_of_this_machine_stays_on_its_volume_unless_it_is_only_copied(
    volumes: tuple[Path, Path], move: bool, targets: tuple[int, ...], where: int
) -> None:
    both = stores(volumes, *(volumes[number] for number in targets))
    source = volumes[1] / "own.safetensors"
    source.write_bytes(CONTENT)
    assert both.import_file(source, sha256=SHA, move=move) == both.members[where].path(SHA)
    assert source.exists() is not move


def test_the_device_of_what_is_not_there_yet_is_that_of_the_directory_above(tmp_path: Path) -> None:
    assert device_of(tmp_path / "a" / "b") == tmp_path.stat().st_dev
