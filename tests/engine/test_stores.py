"""Several stores, one a volume: each file is on each volume once, and is downloaded once. On two real volumes."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from workbench import CHECKPOINT, another_device, declare, downloads, sha256, target
from world import Project

from synapse_sync.store.blobs import BlobStore
from synapse_sync.user.places import config_path

pytestmark = pytest.mark.usefixtures("impatient")


@dataclass
class Away:
    """The other volume: a store, the root of a target, and the manifest's words for that."""

    store: Path
    ui: Path

    def head(self, mode: str = "auto") -> str:
        return target("away", str(self.ui), mode)

    def blobs(self) -> list[str]:
        return [entry.sha256 for entry in BlobStore(self.store).entries()]


@pytest.fixture
def away(project: Project) -> Iterator[Away]:
    """A store on another volume than the project and its main store, added as a user does it."""
    with another_device(project.path) as directory:
        project("store", "add", str(directory / "store"))
        yield Away(directory / "store", directory / "ui")


def settings() -> Path:
    return Path(config_path(os.environ) or "")


def test_files_are_received_and_linked_on_the_volume_of_their_target(
    project: Project, away: Away, portrait: bytes
) -> None:
    project.manifest(declare("portrait", head=away.head()))
    said = project("sync", "--yes").err
    assert "another disk" not in said
    assert (away.ui / CHECKPOINT).stat().st_nlink == 2 and away.blobs() == [sha256(portrait)]
    assert project.blobs() == [] and len(downloads(project.hub)) == 1
    assert "nothing to do" in project("sync").out and "in sync" in project("status").out
    assert project("verify").code == 0


def test_targets_on_two_volumes_cost_one_download_and_each_volume_one_file(
    project: Project, away: Away, portrait: bytes
) -> None:
    project.manifest(declare("portrait", head=target("here", "ui") + away.head()))
    project("sync", "--yes")
    assert project.blobs() == away.blobs() == [sha256(portrait)]
    for place in (project.path / "ui" / CHECKPOINT, away.ui / CHECKPOINT):
        assert place.stat().st_nlink == 2 and place.read_bytes() == portrait
    assert len(downloads(project.hub)) == 1


def test_what_is_in_another_store_is_copied_and_not_downloaded(project: Project, away: Away) -> None:
    project.manifest(declare("portrait", head=target("here", "ui")))
    project("sync")
    project.hub.clear_log()
    project.manifest(declare("portrait", head=target("here", "ui") + away.head()))
    project("sync", "--yes", "--offline")
    assert (away.ui / CHECKPOINT).stat().st_nlink == 2 and downloads(project.hub) == []


@pytest.mark.parametrize("mode", ["symlink", "hardlink"])
def test_a_link_leads_to_the_store_of_its_volume_and_counts_as_placed(
    project: Project, away: Away, portrait: bytes, mode: str
) -> None:
    project.manifest(declare("portrait", head=away.head(mode)))
    project("sync", "--yes")
    blob = BlobStore(away.store).path(sha256(portrait))
    assert (away.ui / CHECKPOINT).samefile(blob)
    project.manifest(declare("eyes", head=away.head(mode)))
    project("sync")
    assert not (away.ui / CHECKPOINT).exists() and blob.exists(), "pruned, and kept in its store"


def test_a_copy_needs_no_second_blob_on_the_volume(project: Project, away: Away) -> None:
    project.manifest(declare("portrait", head=target("here", "ui")))
    project("sync")
    project.manifest(declare("portrait", head=target("here", "ui") + away.head("copy")))
    project("sync", "--yes")
    assert (away.ui / CHECKPOINT).exists() and away.blobs() == []


def test_a_pruned_only_copy_moves_into_the_store_beside_it(project: Project, away: Away, portrait: bytes) -> None:
    project.manifest(declare("portrait", "eyes", head=away.head("move")))
    project("sync", "--yes")
    assert away.blobs() == project.blobs() == []
    project.manifest(declare("eyes", head=away.head("move")))
    project("sync")
    assert away.blobs() == [sha256(portrait)] and project.blobs() == []


def test_a_collection_gives_back_what_is_needed_on_another_volume_only(
    project: Project, away: Away, portrait: bytes, without_grace: None
) -> None:
    project.manifest(declare("portrait", head=target("here", "ui")))
    project("sync")
    project.manifest(declare("portrait", head=target("here", "ui") + away.head()))
    project("sync", "--yes")
    assert project("store", "gc", "--json").json["drop"] == [], "both volumes need it"
    project.manifest(declare("portrait", head=away.head()))
    project("sync")
    (dropped,) = project("store", "gc", "--yes", "--json").json["drop"]
    assert dropped["also_in"] == str(away.store)
    assert project.blobs() == [] and away.blobs() == [sha256(portrait)]
    assert (away.ui / CHECKPOINT).read_bytes() == portrait
    assert "nothing to do" in project("sync").out


def test_what_was_placed_before_moves_over_when_the_user_wants_it(
    project: Project, away: Away, portrait: bytes, without_grace: None
) -> None:
    project("store", "remove", str(away.store))
    project.manifest(declare("portrait", head=away.head()))
    project("sync", "--yes")
    assert (away.ui / CHECKPOINT).is_symlink()
    said = project("store", "add", str(away.store)).err
    assert "`synapse sync --link-mode hardlink`" in said and "`synapse store gc`" in said
    assert "nothing to do" in project("sync").out and (away.ui / CHECKPOINT).is_symlink()
    project("sync", "--link-mode", "hardlink", "--offline")
    project("store", "gc", "--yes")
    assert project.blobs() == [] and (away.ui / CHECKPOINT).stat().st_nlink == 2
    assert (away.ui / CHECKPOINT).read_bytes() == portrait and "in sync" in project("status").out


def test_a_collection_keeps_what_a_symbolic_link_may_lead_to(
    project: Project, away: Away, portrait: bytes, without_grace: None
) -> None:
    project("store", "remove", str(away.store))
    project.manifest(declare("portrait", head=away.head("symlink")))
    project("sync", "--yes")
    BlobStore(away.store).import_file(away.ui / CHECKPOINT, sha256=sha256(portrait))
    project("store", "add", str(away.store))
    assert project("store", "gc", "--json").json["drop"] == []
    assert (away.ui / CHECKPOINT).read_bytes() == portrait


def test_a_collection_of_the_other_store_alone_knows_who_uses_it(
    project: Project, away: Away, portrait: bytes, without_grace: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.manifest(declare("portrait", head=away.head()))
    project("sync", "--yes")
    project("store", "remove", str(away.store))
    monkeypatch.setenv("SYNAPSE_STORE", str(away.store))
    assert project("store", "gc", "--yes", "--json").json["drop"] == []
    assert away.blobs() == [sha256(portrait)]


def test_verify_reads_all_stores(project: Project, away: Away, portrait: bytes) -> None:
    project.manifest(declare("portrait"))
    project("sync")
    blob = BlobStore(away.store).import_file(project.path / CHECKPOINT, sha256=sha256(portrait))
    blob.chmod(0o644)
    blob.write_bytes(b"other bytes")
    assert project("store", "verify", code=6).err.count("does not have the content") == 1
    assert project("store", "verify", "--json").json["blobs"] == 1
    assert project("store", "size", "--json").json["blobs"] == 1


def test_a_store_whose_drive_is_away_is_named_and_never_made_anew(project: Project, away: Away) -> None:
    away.store.rename(away.store.with_name("unplugged"))
    project.manifest(declare("portrait", head=away.head()))
    said = project("sync", "--yes").err
    assert f"the store {away.store} is missing, so it is not used: mount its drive" in " ".join(said.split())
    assert not away.store.exists() and (away.ui / CHECKPOINT).exists() and len(project.blobs()) == 1
    assert project("store", "list", "--json").json["stores"][1]["here"] is False


def test_the_environment_lists_stores_too(
    project: Project, away: Away, portrait: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    project("store", "remove", str(away.store))
    monkeypatch.setenv("SYNAPSE_STORES", os.pathsep.join([str(away.store), ""]))
    project.manifest(declare("portrait", head=away.head()))
    project("sync", "--yes")
    assert away.blobs() == [sha256(portrait)]
    monkeypatch.setenv("SYNAPSE_STORES", "relative/store")
    assert "SYNAPSE_STORES: `relative/store` is not an absolute path" in project("sync", code=2).err


def test_a_manifest_names_no_store(project: Project, away: Away) -> None:
    project.manifest(declare("portrait", head=f'stores = ["{away.store.as_posix()}"]\n'))
    assert "stores: unknown key" in project("sync", code=2).err


def test_no_target_may_be_in_any_store(project: Project, away: Away) -> None:
    project.manifest(declare("portrait", head=target("t", str(away.store / "ui"))))
    assert "synapse's store" in project("sync", "--yes", code=2).err


def test_the_settings_list_it_and_keep_the_rest(project: Project, away: Away) -> None:
    project("store", "remove", str(away.store))
    settings().parent.mkdir(parents=True, exist_ok=True)
    settings().write_bytes(b"\xef\xbb\xbf# mine\ndownloads = 2\n\n[tokens]\n")
    project("store", "add", str(away.store))
    assert settings().read_text("utf-8").replace("\ufeff", "").startswith("# mine\ndownloads = 2\n\nstores = [")
    assert tomllib.loads(settings().read_text("utf-8-sig"))["stores"] == [away.store.as_posix()]
    shown = project("store", "list").out
    assert f"{project.store}  0 B in 0 blobs" in shown and "the main store" in shown and str(away.store) in shown


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("store", "is one of your stores already"),
        ("store/below", "overlap"),
        ("second", "is on the same volume as the store"),
        (".", "overlap"),
    ],
)
def test_a_directory_that_cannot_be_a_further_store(project: Project, away: Away, where: str, words: str) -> None:
    before = settings().read_bytes()
    assert words in project("store", "add", str(away.store.parent / where), code=2).err
    assert settings().read_bytes() == before and not (away.store / "below").exists()


@pytest.mark.parametrize("what", ["a file", "other files", "the main store", "no store"])
def test_what_is_no_store_is_neither_added_nor_removed(project: Project, away: Away, what: str) -> None:
    project("store", "remove", str(away.store))
    place = away.store.parent / "place"
    if what == "other files":
        place.mkdir()
        (place / "novel.txt").write_text("precious")
        assert "has other files in it" in project("store", "add", str(place), code=2).err
    elif what == "a file":
        place.write_text("precious")
        assert "is not a directory" in project("store", "add", str(place), code=2).err
    elif what == "the main store":
        assert "is the main store" in project("store", "remove", str(project.store), code=2).err
    else:
        assert "the settings list no store" in project("store", "remove", str(place), code=2).err
