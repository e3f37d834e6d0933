"""Push, pull, status, publish and collection, with a directory as the remote."""

from __future__ import annotations

import io
import os
import shutil
import time
import zipfile
from pathlib import Path

import pytest
from second_machine import emptied, from_the_site, path_of
from workbench import declare
from world import Project

from synapse_sync.demo import catalogue
from synapse_sync.demo.weights import safetensors_bytes


@pytest.fixture
def drive(impatient: None, project: Project) -> Path:
    """An empty directory that is the remote of a synced project."""
    place = project.path.parent / "drive"
    place.mkdir()
    os.environ["SYNAPSE_REMOTE"] = str(place)
    project.manifest(declare("portrait", "eyes", "sharpen"))
    project("sync")
    return place


def files_in(drive: Path) -> dict[str, bytes]:
    return {path.relative_to(drive).as_posix(): path.read_bytes() for path in drive.rglob("*") if path.is_file()}


def test_what_is_pushed_is_what_a_second_machine_syncs(project: Project, drive: Path) -> None:
    tree = project.tree()
    done = project("store", "push", "--all")
    assert "3 files uploaded" in done.out and "0 there already" in done.out
    assert "3 there already" in project("store", "push", "--all").out
    had = emptied(project)
    assert files_in(drive) == {path_of(digest): content for digest, content in had.items()}
    assert "on this machine" not in project("status", "--json", code=None).out
    done = project("sync")
    assert "3 from a remote (" in done.out and "on this machine" not in done.out + done.err
    assert project.tree() == tree and not from_the_site(project)


def test_status_and_names(project: Project, drive: Path) -> None:
    project("store", "push", "eyes")
    (state,) = project("store", "status", "--json").json["remotes"]
    assert (state["there"], {each["model"] for each in state["missing"]}) == (1, {"portrait", "sharpen"})
    said = project("store", "status", "--missing").out
    assert "has 1 file" in said and "lacks 2 files" in said and "portrait" in said
    project("store", "push", "--all")
    assert project("store", "status").out.rstrip().endswith(": all")
    assert "no model `nothing` is locked" in project("store", "push", "nothing", code=2).err
    assert "name the models" in project("store", "push", code=2).err


def test_pull_asks_the_remotes_alone(project: Project, drive: Path) -> None:
    project("store", "push", "eyes", "portrait")
    emptied(project)
    done = project("store", "pull", code=4)
    assert "2 files pulled" in done.out and "no remote has the file of `sharpen" in " ".join(done.err.split())
    assert len(project.blobs()) == 2 and not project.tree() and not from_the_site(project)
    assert "0 files pulled" in project("store", "pull", "eyes").out


def test_local_and_gated_models_are_pushed_only_by_name(project: Project, drive: Path) -> None:
    (project.path / "own.safetensors").write_bytes(safetensors_bytes("own", size=3000))
    own = 'own = { source = "./own.safetensors", type = "lora" }\n'
    gated = f'gated = {{ source = "hf://{catalogue.GATED_REPO}", type = "vae" }}\n'
    project.manifest(declare("eyes") + own + gated)
    project.hub.huggingface.grant(catalogue.GATED_REPO)
    project("sync")
    done = project("store", "push", "--all", "--json")
    assert {each["model"] for each in done.json["kept_back"]} == {"own", "gated"}
    assert len(files_in(drive)) == 1
    assert "`own` is a file of this machine" in project("store", "push", "--all").err
    project("store", "push", "own", "gated")
    assert len(files_in(drive)) > 2
    # A second machine has neither the file nor access, and needs them no more.
    tree = project.tree()
    del tree["own.safetensors"]
    emptied(project)
    (project.path / "own.safetensors").unlink()
    del os.environ["HF_TOKEN"]
    project("sync")
    assert project.tree() == tree


def test_a_file_out_of_an_archive_comes_alone(project: Project, drive: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("style.safetensors", safetensors_bytes("style", size=4000))
        archive.writestr("read me.txt", b"hello")
    url = project.hub.files.put("parcel.zip", packed.getvalue())
    project.manifest(f'[models]\nstyle = {{ source = "{url}", extract = "*.safetensors", type = "lora" }}\n')
    project("sync")
    tree = project.tree()
    project("store", "push", "--all")
    emptied(project)
    project("sync")
    assert project.tree() == tree and not project.hub.log
    shutil.rmtree(drive)
    drive.mkdir()
    emptied(project)
    project("sync")
    assert project.tree() == tree and [seen.path for seen in project.hub.log] == ["/files/parcel.zip"]


def test_backfill_uploads_what_came_from_the_site(project: Project, drive: Path) -> None:
    emptied(project)
    done = project("sync", "--backfill")
    assert len(files_in(drive)) == 3 and "3 files uploaded" in done.out
    again = project("sync", "--backfill", "--json").json
    assert [each["state"] for each in again["backfill"]["files"]] == ["there"] * 3


@pytest.mark.parametrize("words", [("sync", "--backfill", "--repair"), ("store", "push", "--all", "--repair")])
def test_wrong_bytes_are_replaced_by_repair(project: Project, drive: Path, words: tuple[str, ...]) -> None:
    project("store", "push", "--all")
    right = files_in(drive)
    bad = drive / sorted(right)[0]
    bad.chmod(0o644)
    bad.write_bytes(right[bad.relative_to(drive).as_posix()][:-3] + b"bad")
    if words[0] == "sync":
        emptied(project)
    done = project(*words)
    assert files_in(drive) == right and "1 of them replaced" in done.out


def spoil(drive: Path) -> Path:
    """Change the last byte of a file of the remote; returns it."""
    bad = sorted(path for path in (drive / "blobs").rglob("*") if path.is_file())[0]
    bad.chmod(0o644)
    bad.write_bytes(bad.read_bytes()[:-1] + b"\x01")
    return bad


def test_a_backfill_does_not_pass_over_wrong_bytes_that_its_sync_met(project: Project, drive: Path) -> None:
    project("store", "push", "--all")
    spoil(drive)
    emptied(project)
    done = project("sync", "--backfill", code=6)
    said = " ".join(done.err.split())
    assert "has wrong bytes under" in said and "--repair` replaces them" in said and "2 there already" in done.out
    command = said.partition("hint: `synapse ")[2].partition("`")[0]
    assert "1 of them replaced" in project(*command.split()).out
    emptied(project)
    assert "3 there already" in project("sync", "--backfill").out


def test_a_pull_says_why_no_remote_had_the_right_bytes(project: Project, drive: Path) -> None:
    project("store", "push", "--all")
    spoil(drive)
    emptied(project)
    said = " ".join(project("store", "pull", code=6).err.split())
    assert "has wrong bytes" in said and "no remote has" not in said
    os.environ["SYNAPSE_REMOTE"] = f"{project.hub.storage.url}/remote"
    assert "no remote has the file" in project("store", "pull", code=4).err
    assert "switched off" in project("store", "pull", "--offline", code=5).err
    shutil.rmtree(drive)
    os.environ["SYNAPSE_REMOTE"] = str(drive)
    assert "no remote has" not in project("store", "pull", code=9).err


@pytest.mark.parametrize("words", [("sync", "--backfill", "--repair"), ("store", "push", "--all")])
def test_a_file_that_was_only_found_there_is_not_called_verified(
    project: Project, drive: Path, words: tuple[str, ...]
) -> None:
    project("store", "push", "--all")
    spoil(drive)
    done = project(*words)
    assert "3 there already" in done.out and "verified" not in done.out + done.err
    read = project("store", "push", "--all", "--repair").err
    assert read.count("verified") == 2 and " 0 B" not in read


def test_status_sees_another_size(project: Project, drive: Path) -> None:
    assert "lacks 3 files" in project("store", "status", "--check", code=8).out
    project("store", "push", "--all")
    project("store", "status", "--check")
    bad = spoil(drive)
    bad.write_bytes(bad.read_bytes()[:100])
    assert "1 file of a wrong size" in project("store", "status").out
    (state,) = project("store", "status", "--check", "--json", code=8).json["remotes"]
    assert [each["sha256"] for each in state["wrong"]] == [bad.name] and state["there"] == 2


def test_another_size_is_seen_without_reading(project: Project, drive: Path) -> None:
    project("store", "push", "--all")
    bad = next(path for path in drive.rglob("*") if path.is_file())
    bad.chmod(0o644)
    bad.write_bytes(b"half")
    done = project("store", "push", "--all", code=6)
    assert "--repair` replaces them" in " ".join(done.err.split()) and bad.read_bytes() == b"half"


def test_a_blob_that_changed_here_is_not_uploaded(project: Project, drive: Path) -> None:
    blob = next(path for path in (project.store / "blobs").rglob("*") if path.is_file())
    found = blob.stat()
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:-1] + b"\x01")
    os.utime(blob, ns=(found.st_atime_ns, found.st_mtime_ns))
    done = project("store", "push", "--all", code=6)
    assert "no longer has the bytes of its digest" in " ".join(done.err.split())
    assert len(files_in(drive)) == 2 and not list((drive / "tmp").iterdir())


def test_a_collection_keeps_what_a_published_lockfile_names(project: Project, drive: Path) -> None:
    project("store", "push", "--all")
    refused = project("store", "gc", "--remote", "--yes", "--days", "0", code=2)
    assert "no lockfile is published" in refused.err and "store publish" in refused.err
    assert "published as" in project("store", "publish").out
    assert "already published" in project("store", "publish").out
    old = time.time() - 30 * 86_400
    unused, theirs = drive / path_of("ab" * 32), drive / "blobs/sha256/ab/notes.txt"
    for path in (unused, theirs):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"unused")
        os.utime(path, (old, old))
    for path in drive.rglob("*"):
        os.utime(path, (old, old))
    young = drive / path_of("cd" * 32)
    young.parent.mkdir(parents=True)
    young.write_bytes(b"young")
    left = drive / "tmp" / "123-0123456789ab"
    left.write_bytes(b"half")
    os.utime(left, (old, old))
    assert "1 file, 6 B to delete" in project("store", "gc", "--remote", "--dry-run").err
    assert unused.exists()
    assert "nothing was deleted" in project("store", "gc", "--remote", code=2).err
    done = project("store", "gc", "--remote", "--yes")
    assert "freed 6 B" in done.err and "dropped 1 upload" in done.err
    assert not unused.exists() and young.exists() and theirs.exists() and not left.exists()
    assert "0 files to delete" not in done.err and project("store", "status").out.rstrip().endswith(": all")


DAMAGES = {
    "other": lambda data: data[:-1] + b"#",
    "shorter": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "longer": lambda data: data + b"\n",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_lockfile_is_mended_by_publishing_again(project: Project, drive: Path, damage: str) -> None:
    """The collection stops, names the command, and works after it."""
    project("store", "push", "--all")
    project("store", "publish")
    (lockfile,) = (drive / "lockfiles").rglob("*/*/*")
    right = lockfile.read_bytes()
    lockfile.chmod(0o644)
    lockfile.write_bytes(DAMAGES[damage](right))
    refused = " ".join(project("store", "gc", "--remote", "--yes", "--days", "0", code=6).err.split())
    assert "`synapse store publish` in its project mends it" in refused
    assert "published again as" in project("store", "publish").out
    assert lockfile.read_bytes() == right and not list((drive / "tmp").iterdir())
    assert project("store", "publish", "--json").json["mended"] is False
    assert "3 in use" in project("store", "gc", "--remote", "--yes", "--days", "0").err


def test_a_lockfile_that_was_altered_there_stops_the_collection(project: Project, drive: Path) -> None:
    project("store", "publish")
    (lockfile,) = (drive / "lockfiles").rglob("*/*/*")
    lockfile.chmod(0o644)
    lockfile.write_bytes(b"version = 1\n")
    unused = drive / path_of("ab" * 32)
    unused.parent.mkdir(parents=True)
    unused.write_bytes(b"x")
    assert "other bytes than its digest" in project("store", "gc", "--remote", "--yes", "--days", "0", code=6).err
    assert unused.exists()


def test_the_store_of_a_machine_is_not_collected_as_a_remote(project: Project, drive: Path) -> None:
    """Its projects link to its files, and publish nothing."""
    tree = project.tree()
    os.environ["SYNAPSE_REMOTE"] = str(project.store)
    project("store", "publish")
    project("remove", "eyes")
    refused = project("store", "gc", "--remote", "--yes", "--days", "0", code=7)
    assert "is the store of a machine" in " ".join(refused.err.split())
    assert len(project.blobs()) == 3 and project.tree() == tree


def test_a_collection_leaves_a_directory_of_temporary_files_alone(project: Project, drive: Path) -> None:
    project("store", "publish")
    mine = drive / "tmp/thesis.odt"
    mine.write_bytes(b"mine")
    os.utime(mine, (1, 1))
    project("store", "gc", "--remote", "--yes", "--days", "0")
    assert mine.read_bytes() == b"mine"


def test_an_edit_through_a_link_stays_when_files_are_pulled(project: Project, drive: Path) -> None:
    project("store", "push", "--all")
    shutil.rmtree(project.path / "models")
    project("sync", "--link-mode", "symlink")
    place = next(path for path in (project.path / "models").rglob("*eyes*") if path.is_symlink())
    place.resolve().chmod(0o644)
    place.write_bytes(mine := b"my own change")
    said = project("store", "pull", code=7)
    assert "not replaced" in said.err and place.read_bytes() == mine
    bundle = project.path.parent / "one.tar"
    other = project.store.parent / "another store"
    os.environ["SYNAPSE_STORE"] = str(other)
    project("store", "pull")
    project("bundle", str(bundle))
    os.environ["SYNAPSE_STORE"] = str(project.store)
    said = project("unbundle", str(bundle), "new", code=7)
    assert "nothing was unpacked" in said.err and place.read_bytes() == mine
    assert not (project.path / "new").exists()


def test_a_remote_of_the_manifest_is_written_only_with_consent(project: Project, drive: Path) -> None:
    del os.environ["SYNAPSE_REMOTE"]
    where = f'[workspace]\nremote = "{drive.as_posix()}"\n'
    project.manifest(declare("portrait", "eyes", "sharpen", head=where))
    project("trust")
    assert f"upload files to the remote {drive}" in " ".join(project("store", "push", "--all", code=2).err.split())
    assert not files_in(drive)
    project("store", "push", "--all", "--trust")
    project("store", "publish")
    assert len(files_in(drive)) == 4


@pytest.mark.parametrize("verb", ["status", "pull", "publish", "gc"])
def test_consent_as_part_of_a_command_about_remotes(project: Project, drive: Path, verb: str) -> None:
    project("store", "push", "--all")
    project("store", "publish")
    del os.environ["SYNAPSE_REMOTE"]
    where = f'[workspace]\nremote = "{drive.as_posix()}"\n'
    project.manifest(declare("portrait", "eyes", "sharpen", head=where))
    words = ("store", verb, *(["--remote"] if verb == "gc" else []))
    assert "`--trust`" in project(*words, code=2).err
    project(*words, "--trust")
    project(*words)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="modes do not hold here")
def test_a_file_that_cannot_be_read_there_needs_no_other_store(project: Project, drive: Path) -> None:
    project("store", "push", "eyes")
    next(path for path in (drive / "blobs").rglob("*") if path.is_file()).chmod(0)
    emptied(project)
    for words in (("sync",), ("store", "push", "eyes", "--repair")):
        said = " ".join(project(*words, code=None).err.split())
        assert "check who may" in said and "SYNAPSE_STORE" not in said


@pytest.mark.parametrize(
    "words", [("--days", "3"), ("--to", "x"), ("--trust",), ("--remote", "--now"), ("--remote", "--irreplaceable")]
)
def test_a_collection_ignores_no_option(project: Project, words: tuple[str, ...]) -> None:
    assert "--remote" in project("store", "gc", "--yes", *words, code=2).err


def test_without_a_remote(project: Project, drive: Path) -> None:
    del os.environ["SYNAPSE_REMOTE"]
    for words in (("push", "--all"), ("pull",), ("status",), ("publish",), ("gc", "--remote")):
        assert "SYNAPSE_REMOTE" in project("store", *words, code=2).err
    assert "SYNAPSE_REMOTE" in project("sync", "--backfill", code=2).err
    os.environ["SYNAPSE_REMOTE"] = "https://models.example/store"
    for words in (("store", "push", "--all"), ("store", "publish"), ("sync", "--backfill")):
        said = " ".join(project(*words, code=2).err.split())
        assert "models.example/store can only be read" in said and "add a bucket or a directory" in said
    shutil.rmtree(drive)
    assert "is missing" in project("store", "push", "--all", "--to", str(drive), code=9).err
    assert not drive.exists()
