"""Remotes: a second machine takes the bytes from a plain web server or a directory, and the site is not asked."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from second_machine import emptied, from_the_site, path_of
from workbench import declare
from world import Project

from synapse_sync.demo.exchange import Fault
from synapse_sync.demo.storage import Stored


@pytest.fixture
def locked(impatient: None, project: Project) -> Project:
    """A project with a lockfile; neither its store nor its tree has a file of it."""
    project.manifest(declare("portrait", "eyes", "sharpen"))
    project("sync")
    return project


def on_the_web(project: Project, blobs: dict[str, bytes]) -> str:
    """A plain web server with these files, by their digests; it is the remote of this machine."""
    for digest, content in blobs.items():
        project.hub.storage.publish(f"/remote/{path_of(digest)}", Stored(content=content))
    os.environ["SYNAPSE_REMOTE"] = f"{project.hub.storage.url}/remote"
    return os.environ["SYNAPSE_REMOTE"]


def in_a_directory(project: Project, blobs: dict[str, bytes]) -> str:
    """The same in a directory, as on a network drive."""
    root = project.path.parent / "drive"
    for digest, content in blobs.items():
        (root / path_of(digest)).parent.mkdir(parents=True, exist_ok=True)
        (root / path_of(digest)).write_bytes(content)
    root.mkdir(exist_ok=True)
    os.environ["SYNAPSE_REMOTE"] = str(root)
    return os.environ["SYNAPSE_REMOTE"]


Make = Callable[[Project, dict[str, bytes]], str]
KINDS = pytest.mark.parametrize("make", [on_the_web, in_a_directory])


@KINDS
def test_a_second_machine_asks_the_remote_alone(locked: Project, make: Make) -> None:
    tree = locked.tree()
    remote = make(locked, emptied(locked))
    os.environ.pop("CIVITAI_API_KEY", None)
    done = locked("sync", "--json")
    assert locked.tree() == tree and not from_the_site(locked)
    assert not done.json["warnings"] and not done.err.count("warning")
    assert remote in done.out
    locked.hub.clear_log()
    assert "nothing to do" in locked("sync").out and not locked.hub.log


@KINDS
def test_what_a_remote_lacks_comes_from_the_site_without_a_word(locked: Project, make: Make) -> None:
    tree, had = locked.tree(), emptied(locked)
    missing = sorted(had)[0]
    make(locked, {digest: content for digest, content in had.items() if digest != missing})
    done = locked("sync")
    assert locked.tree() == tree and "warning" not in done.err
    assert len(from_the_site(locked)) == 1


@KINDS
@pytest.mark.parametrize("kind", ["altered", "truncated", "longer"])
def test_wrong_bytes_are_refused_and_reported_once(locked: Project, make: Make, kind: str) -> None:
    tree, had = locked.tree(), emptied(locked)
    bad = sorted(had)[0]
    right = had[bad]
    wrong = {"altered": right[:-1] + b"\0", "truncated": right[: len(right) // 2], "longer": right + b"more"}
    remote = make(locked, had | {bad: wrong[kind]})
    done = locked("sync", "--json")
    assert locked.tree() == tree
    (warning,) = done.json["warnings"]
    assert remote in warning and "wrong bytes" in warning
    assert ("--repair` replaces them" in warning) == (make is in_a_directory)
    assert len(from_the_site(locked)) == 1
    assert "nothing to do" in locked("sync").out


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(drop=True), Fault(status=500), Fault(status=403)])
def test_a_remote_that_fails_is_reported_once(locked: Project, fault: Fault) -> None:
    tree = locked.tree()
    on_the_web(locked, emptied(locked))
    locked.hub.faults.add("/remote/", fault)
    done = locked("sync", "--json")
    assert locked.tree() == tree and len(from_the_site(locked)) == 3
    (warning,) = done.json["warnings"]
    assert warning.startswith(f"the remote {locked.hub.storage.url}/remote")


def test_a_break_in_the_middle_is_continued(locked: Project) -> None:
    tree = locked.tree()
    on_the_web(locked, emptied(locked))
    locked.hub.faults.add("/remote/", Fault(cut_after=1000, times=1))
    locked("sync")
    assert locked.tree() == tree and not from_the_site(locked)


def test_several_are_asked_in_their_order(locked: Project) -> None:
    tree, had = locked.tree(), emptied(locked)
    first, *others = sorted(had)
    drive = in_a_directory(locked, {first: had[first]})
    web = on_the_web(locked, {digest: had[digest] for digest in others})
    os.environ["SYNAPSE_REMOTE"] = f"{drive},{web}"
    locked("sync")
    assert locked.tree() == tree and not from_the_site(locked)
    assert {seen.path for seen in locked.hub.log} == {f"/remote/{path_of(digest)}" for digest in others}


def test_offline_a_directory_is_enough(locked: Project) -> None:
    tree, had = locked.tree(), emptied(locked)
    web, drive = on_the_web(locked, had), in_a_directory(locked, had)
    os.environ["SYNAPSE_REMOTE"] = web
    assert "--offline prevents downloads" in locked("sync", "--offline", code=5).err
    os.environ["SYNAPSE_REMOTE"] = f"{web},{drive}"
    locked("sync", "--offline")
    assert locked.tree() == tree and not locked.hub.log


def test_a_drive_that_is_not_mounted_is_reported(locked: Project) -> None:
    tree = locked.tree()
    drive = in_a_directory(locked, emptied(locked))
    shutil.rmtree(drive)
    done = locked("sync")
    assert locked.tree() == tree and " ".join(done.err.split()).count("mount its drive") == 1
    assert not Path(drive).exists()


def test_a_remote_of_the_manifest_needs_consent(locked: Project) -> None:
    tree, had = locked.tree(), emptied(locked)
    remote = on_the_web(locked, had)
    del os.environ["SYNAPSE_REMOTE"]
    locked.manifest(declare("portrait", "eyes", "sharpen", head=f'[workspace]\nremote = "{remote}"\n'))
    asked = locked("sync", code=2)
    assert f"download from the remote {remote}" in " ".join(asked.err.split())
    assert not locked.tree() and not locked.hub.log
    locked("sync", "--trust")
    assert locked.tree() == tree and not from_the_site(locked)


def test_the_settings_name_remotes(locked: Project) -> None:
    tree, had = locked.tree(), emptied(locked)
    drive = in_a_directory(locked, had)
    del os.environ["SYNAPSE_REMOTE"]
    (locked.store.parent / "config.toml").write_text(f"remote = [{Path(drive).as_posix()!r}]\n")
    locked("sync")
    assert locked.tree() == tree and not locked.hub.log


def test_a_missing_extra_says_how_to_install_it(locked: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    emptied(locked)
    monkeypatch.setitem(sys.modules, "obstore", None)
    os.environ["SYNAPSE_REMOTE"] = "s3://models/team"
    for words in (("sync",), ("store", "pull"), ("store", "push", "--all"), ("store", "status")):
        said = locked(*words, code=2).err
        assert said.count("error:") == 1 and "pip install 'synapse-sync[remote]'" in " ".join(said.split())
    assert not locked.tree() and not from_the_site(locked)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ftp://host/x", "no such kind of remote"),
        ("https://user:secret@host/x", "no user, password"),
        ("https://host/x?sig=secret", "has no query"),
        ("s3://bucket/../x", "an empty part"),
        ("relative/path", "not an absolute path"),
    ],
)
def test_an_address_that_cannot_be_meant(locked: Project, text: str, words: str) -> None:
    os.environ["SYNAPSE_REMOTE"] = text
    said = " ".join(locked("sync", code=2).err.split())
    assert words in said and "SYNAPSE_REMOTE" in said and "secret" not in said


def test_a_download_in_place_of_damaged_files_of_a_directory_is_called_one(locked: Project) -> None:
    blobs = emptied(locked)
    in_a_directory(locked, {name: bytes([content[0] ^ 1]) + content[1:] for name, content in blobs.items()})
    done = locked("sync", "--json").json
    assert done["fetched_bytes"] == sum(map(len, blobs.values())) and done["remote_files"] == 0
    emptied(locked)
    said = locked("sync").out
    assert f"{len(blobs)} downloaded (" in said and "found on this machine" not in said
