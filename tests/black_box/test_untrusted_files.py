"""Files of a clone or of another user that are no files: nothing hangs, and nothing is written where they lead."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from cases import case
from workbench import EYES as PLACED
from world import Project, costing

from synapse_sync.demo import catalogue
from synapse_sync.sites import named

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes, devices and links of POSIX")
EYES, SHARPEN = f'eyes = "civitai:{catalogue.EYES}"\n', f'sharpen = "civitai:{catalogue.SHARPEN}"\n'


def sparse(place: Path) -> None:
    with place.open("wb") as file:
        file.truncate(1 << 30)


UNFIT = {
    "a device": lambda place: place.symlink_to("/dev/zero"),
    "a pipe": os.mkfifo,
    "a gigabyte of nothing": sparse,
    "a directory": Path.mkdir,
}


@case(184)
@pytest.mark.parametrize("verb", ["status", "sync", "lock", "verify", "list"])
@pytest.mark.parametrize("kind", UNFIT)
@pytest.mark.parametrize("name", ["synapse.toml", "synapse.lock"])
def test_the_files_of_a_project(project: Project, name: str, kind: str, verb: str) -> None:
    project.manifest(f"[models]\n{EYES}")
    (project.path / name).unlink(missing_ok=True)
    UNFIT[kind](project.path / name)
    with costing(5):
        said = project(verb, code=2)
    assert name in said.err.splitlines()[0]
    assert not project.hub.requests()


@case(184)
@pytest.mark.parametrize("kind", UNFIT)
def test_the_settings_and_a_file_with_a_token(
    project: Project, sandbox: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    project.manifest("[models]\n")
    UNFIT[kind](sandbox / "token")
    for name in (*named("civitai").token_variables, "CIVITAI_API_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CIVITAI_API_KEY_FILE", str(sandbox / "token"))
    assert str(sandbox / "token") in project("status", code=2).err
    monkeypatch.delenv("CIVITAI_API_KEY_FILE")
    UNFIT[kind](sandbox / "config.toml")
    assert "config.toml" in project("status", code=2).err


@case(184)
@pytest.mark.parametrize("kind", UNFIT)
def test_a_receipt_is_named(project: Project, kind: str) -> None:
    project.manifest(f"[models]\n{EYES}")
    project("sync")
    receipt = next((project.path / ".synapse").glob("receipt-*.json"))
    receipt.unlink()
    UNFIT[kind](receipt)
    assert receipt.name in project("sync", code=2).err
    assert (project.path / PLACED).is_file()


@case(184)
@pytest.mark.parametrize("kind", [kind for kind in UNFIT if kind != "a directory"])
def test_what_only_saves_work_counts_as_damaged(project: Project, kind: str) -> None:
    project.manifest(f"[models]\n{EYES}")
    project("sync")
    (project.path / PLACED).unlink()
    notes = [path for name in ("meta", "projects", "pictures") for path in (project.store / name).rglob("*")]
    notes += [project.store / "speeds.json", project.store / "digests.json"]
    for note in (note for note in notes if not note.is_dir()):
        note.unlink(missing_ok=True)
        UNFIT[kind](note)
    project("sync", code=None)
    assert (project.path / PLACED).is_file()


@case(185)
@pytest.mark.parametrize("name", ["journal.jsonl", "receipt"])
def test_nothing_below_our_directory_is_written_through_a_link(project: Project, sandbox: Path, name: str) -> None:
    """A clone has `.synapse` with links to files of the user."""
    project.manifest(f"[models]\n{EYES}")
    project("sync")
    state = project.path / ".synapse"
    place = next(state.glob("receipt-*.json")) if name == "receipt" else state / name
    victim = sandbox / place.name
    victim.write_bytes(place.read_bytes() if place.exists() else b"")
    before = victim.read_bytes()
    place.unlink(missing_ok=True)
    place.symlink_to(victim)
    project.manifest(f"[models]\n{SHARPEN}")
    project("sync", "--yes", code=None)
    assert victim.read_bytes() == before


@case(184)
def test_a_journal_that_is_a_pipe_ends_the_command(project: Project) -> None:
    project.manifest(f"[models]\n{EYES}")
    project("sync")
    os.mkfifo(project.path / ".synapse" / "journal.jsonl")
    project.manifest(f"[models]\n{SHARPEN}")
    assert "journal" in project("sync", "--yes", code=9).err
    assert (project.path / PLACED).is_file(), "nothing leaves its place without a line about it"


@case(185)
@pytest.mark.parametrize("verb", ["lock", "sync", "add", "upgrade"])
@pytest.mark.parametrize("name", ["synapse.lock", "notes.txt"])
def test_a_lockfile_that_leads_to_another_project(project: Project, sandbox: Path, name: str, verb: str) -> None:
    project.manifest(f"[models]\n{EYES}")
    project("lock")
    (sandbox / "another").mkdir()
    theirs = (project.path / "synapse.lock").rename(sandbox / "another" / name)
    before = theirs.read_bytes()
    (project.path / "synapse.lock").symlink_to(theirs)
    project.manifest(f"[models]\n{SHARPEN}")
    project.hub.clear_log()  # the first lock read the headers of its files
    words = {"add": ("add", f"civitai:{catalogue.DETAIL}"), "upgrade": ("lock", "--upgrade")}.get(verb, (verb,))
    text = (project.path / "synapse.toml").read_text()
    assert "synapse.lock" in project(*words, code=7).err
    assert theirs.read_bytes() == before
    assert (project.path / "synapse.toml").read_text() == text, "half an edit is none"
    assert not any("/download/" in request.path for request in project.hub.requests()), (
        "found before the first byte"
    )


def test_a_lockfile_that_leads_elsewhere_in_the_project(project: Project) -> None:
    (project.path / "locks").mkdir()
    (project.path / "locks" / "synapse.lock").write_text("version = 1\n")
    (project.path / "synapse.lock").symlink_to("locks/synapse.lock")
    project.manifest(f"[models]\n{EYES}")
    project("sync")
    assert (project.path / "synapse.lock").is_symlink()
    assert "sha256" in (project.path / "locks" / "synapse.lock").read_text()


def test_a_manifest_among_dotfiles_is_read_and_edited(project: Project, sandbox: Path) -> None:
    (sandbox / "dotfiles").mkdir()
    real = sandbox / "dotfiles" / "synapse.toml"
    real.write_text(f"[models]\n{EYES}")
    (project.path / "synapse.toml").symlink_to(real)
    project("sync")
    project("add", f"civitai:{catalogue.SHARPEN}", "--name", "sharpen")
    assert "sharpen" in real.read_text() and (project.path / "synapse.toml").is_symlink()
    assert not (project.path / "synapse.lock").is_symlink()


@case(185)
@pytest.mark.parametrize("name", [".gitattributes", "synapse.toml"])
def test_init_makes_nothing_behind_a_link(project: Project, sandbox: Path, name: str) -> None:
    (project.path / name).symlink_to(sandbox / "new")
    project("init", code=None)
    assert not (sandbox / "new").exists()


def test_init_beside_a_pipe(project: Project) -> None:
    os.mkfifo(project.path / ".gitattributes")
    project("init")


@case(185)
@pytest.mark.parametrize("way", ["symlink", "hardlink", "pipe"])
def test_who_holds_a_lock_is_not_written_into_another_file(project: Project, sandbox: Path, way: str) -> None:
    project.manifest(f"[models]\n{EYES}")
    project("sync")
    (project.path / PLACED).unlink()
    (sandbox / "precious").write_text("precious")
    for lock in (project.store / "locks").glob("*.lock"):
        owner = lock.with_name(f"{lock.name}.owner")
        if way == "symlink":
            owner.symlink_to(sandbox / "precious")
        elif way == "hardlink":
            owner.hardlink_to(sandbox / "precious")
        else:
            os.mkfifo(owner)
    project("sync")
    assert (sandbox / "precious").read_text() == "precious"
