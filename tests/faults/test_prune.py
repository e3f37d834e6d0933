"""Cases 94 to 107: what is not ours stays, whatever happens to what is ours."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cases import case
from invariants import differences, snapshot
from stage import Stage
from workbench import CHECKPOINT, EYES, MODELS, SHARPEN, declare

from synapse_sync.demo.weights import safetensors_bytes

REMARKS = {
    96: "a link or directory in the place of our file is kept and reported, never followed",
    97: "a folder that the user moved and linked is followed; into another target or the store it is refused",
    98: "an empty manifest prunes nothing and says so; a run with an error prunes nothing",
    99: "asked about on a terminal; elsewhere `--yes` is needed",
    100: "prune keeps the bytes in the store; `store gc` drops only what a known place can give again",
    102: "there is no trash: a pruned file leaves its bytes in the store, and moves there if it is the only copy",
    103: "roots may overlap: each receipt speaks of its own files only, and files of one are foreign to the other",
}


@pytest.fixture
def synced(stage: Stage) -> Stage:
    """Two models in place, and a manifest that wants only one of them."""
    stage.manifest(declare("eyes", "sharpen"))
    stage("sync")
    assert set(stage.tree()) == {EYES, SHARPEN}
    stage.manifest(declare("eyes"))
    return stage


def foreign_neighbours(stage: Stage, directory: str) -> None:
    """Files of the user's with all kinds of names beside ours."""
    for name in ("4x-sharpen.safetensors.bak", "4X-SHARPEN.txt", ".hidden", "notes.md", "4x-sharpen.preview.png"):
        stage.foreign(f"{directory}/{name}", name.encode())


@case(94, 106)
def test_foreign_files_beside_ours_stay(synced: Stage) -> None:
    foreign_neighbours(synced, "models/upscale_models")
    synced("sync")
    assert EYES in synced.tree() and SHARPEN not in synced.tree()
    assert (synced.path / "models/upscale_models/notes.md").exists()


@case(95)
@pytest.mark.parametrize("how", ["append", "same-size", "same-time", "replaced"])
def test_a_file_that_the_user_changed_stays(synced: Stage, how: str) -> None:
    place = synced.path / SHARPEN
    content, own = place.read_bytes(), place.stat()
    changed = content + b"!" if how == "append" else content[:-1] + bytes([content[-1] ^ 1])
    place.unlink()
    place.write_bytes(changed)
    if how == "same-size":
        old = (synced.path / EYES).stat()
        os.utime(place, ns=(old.st_atime_ns, old.st_mtime_ns))
    if how == "same-time":
        os.utime(place, ns=(own.st_atime_ns, own.st_mtime_ns))
    synced.guard(place)
    said = synced("sync")
    assert "changed" in said.out + said.err
    synced._known.add(__import__("hashlib").sha256(changed).hexdigest())


@case(96)
@pytest.mark.parametrize("what", ["symlink", "directory", "fifo", "dangling", "hardlink"])
def test_something_else_in_its_place_stays(synced: Stage, what: str) -> None:
    place = synced.path / SHARPEN
    treasure = synced.path / "precious" / "model.safetensors"
    place.unlink()
    match what:
        case "symlink":
            place.symlink_to(treasure)
        case "dangling":
            place.symlink_to("nowhere")
        case "hardlink":
            os.link(treasure, place)
        case "directory":
            place.mkdir()
            (place / "inside").write_bytes(b"x")
        case "fifo":
            os.mkfifo(place)
    synced("sync", code=None)
    assert os.path.lexists(place), "kept"
    if what == "directory":
        assert (place / "inside").read_bytes() == b"x"
        shutil.rmtree(place)
    else:
        place.unlink()


@case(97)
@pytest.mark.parametrize("level", ["models", "models/upscale_models"])
@pytest.mark.parametrize("behind", ["the very file", "another file"])
def test_a_parent_that_became_a_link(synced: Stage, tmp_path: Path, level: str, behind: str) -> None:
    """The user moved a folder to another disk: the file behind the link is pruned like others if it is the one that
    was placed. Nothing else behind it is touched."""
    elsewhere = tmp_path / "elsewhere"
    (synced.path / level).rename(elsewhere)
    (synced.path / level).symlink_to(elsewhere)
    (elsewhere / "precious").write_bytes(b"mine")
    file = elsewhere / Path(SHARPEN).relative_to(level)
    if behind == "another file":
        file.unlink()
        file.write_bytes(b"mine, too")
    synced("sync", code=None)
    assert (elsewhere / "precious").read_bytes() == b"mine"
    if behind == "the very file":
        assert not file.exists()
    else:
        assert file.read_bytes() == b"mine, too"
    (elsewhere / "precious").unlink()
    file.unlink(missing_ok=True)
    (synced.path / level).unlink()
    elsewhere.rename(synced.path / level)


@case(98)
@pytest.mark.parametrize("manifest", ["", "[models]\n", "[targets.default]\n"])
def test_an_empty_manifest_prunes_nothing(synced: Stage, manifest: str) -> None:
    synced.manifest(manifest)
    said = synced("sync", "--yes", code=None)
    assert set(synced.tree()) == {EYES, SHARPEN}
    assert "nothing is pruned" in said.err
    synced.manifest(declare("eyes"))


@case(98)
@pytest.mark.parametrize(
    "manifest", ["models = 5\n", "[models\n", "[models]\nx = 5\n", "\0", declare("eyes") + 'n = "civitai:1"\n']
)
def test_what_cannot_be_read_or_resolved_prunes_nothing(synced: Stage, manifest: str) -> None:
    synced.manifest(manifest)
    assert synced("sync", "--yes", code=None).code in (2, 4)
    assert set(synced.tree()) == {EYES, SHARPEN}
    synced.manifest(declare("eyes"))


@case(98)
def test_a_run_with_an_error_prunes_nothing(synced: Stage) -> None:
    synced.manifest(declare("eyes", "portrait"))
    synced("lock")
    from synapse_sync.demo.exchange import Fault

    synced.hub.faults.add("/api/download/", Fault(status=404))
    synced.hub.faults.add("/api/v1/", Fault(status=404))
    synced("sync", "--yes", code=4)
    assert set(synced.tree()) == {EYES, SHARPEN}


def many(stage: Stage, count: int) -> str:
    put = stage.hub.files.put
    urls = [put(f"m{number}.safetensors", safetensors_bytes(str(number))) for number in range(count)]
    return "".join(f'[models.m{number}]\nsource = "{url}"\ntype = "lora"\n' for number, url in enumerate(urls))


@case(99)
def test_a_prune_of_very_much_is_asked_about(stage: Stage) -> None:
    stage.manifest(many(stage, 24))
    stage("sync")
    full = stage.tree()
    stage.manifest(many(stage, 3))
    said = stage("sync", code=2)
    assert "21" in said.err and "24" in said.err and "--yes" in said.err
    assert stage.tree() == full
    stage("sync", "--no-prune")
    assert stage.tree() == full
    stage("sync", "--yes")
    assert len(stage.tree()) == 3


@case(100)
def test_the_last_copy_of_bytes_is_kept(stage: Stage, tmp_path: Path) -> None:
    local = tmp_path / "only.safetensors"
    local.write_bytes(safetensors_bytes("only"))
    stage.manifest(declare("eyes") + f'only = {{ source = "{local}", type = "lora" }}\n')
    stage("sync")
    stage.manifest(declare("eyes"))
    stage("sync")
    local.unlink()
    for blob in (stage.store / "blobs").rglob("*"):
        if blob.is_file():
            os.utime(blob)
    said = stage("store", "gc", "--yes")
    assert len(stage.blobs()) == 2, said.out + said.err


@case(101)
@pytest.mark.parametrize("option", ["--dry-run", "--check"])
def test_a_dry_run_says_what_will_happen(synced: Stage, option: str) -> None:
    synced.manifest(declare("eyes", "portrait"))
    synced("lock")
    said = synced("sync", option, "--json", code=None).json
    before = synced.tree()
    assert set(before) == {EYES, SHARPEN}
    done = synced("sync", "--json").json
    assert CHECKPOINT in synced.tree() and SHARPEN not in synced.tree()
    for path in (CHECKPOINT, SHARPEN):
        assert path in str(said) and path in str(done)


@case(103)
@pytest.mark.parametrize("inner", ["models", "models/checkpoints", "."])
def test_roots_that_overlap(stage: Stage, inner: str) -> None:
    """Two targets, one inside the other or the same: dropping one leaves what the other wants."""
    head = f'[targets.outer]\nroot = "."\n[targets.inner]\nroot = "{inner}"\nlayout = "flat"\n'
    stage.manifest(declare("eyes", "portrait", head=head))
    stage("sync")
    both = stage.tree()
    assert EYES in both and len(both) in (2, 3, 4)
    stage.manifest(declare("eyes", "portrait", head='[targets.outer]\nroot = "."\n'))
    stage("sync", "--yes")
    assert {EYES, CHECKPOINT} <= set(stage.tree())


@case(103)
def test_a_store_inside_the_tree(stage: Stage) -> None:
    os.environ["SYNAPSE_STORE"] = str(stage.path / "models" / "store")
    stage.manifest(declare("eyes", "sharpen"))
    stage("sync")
    stage.manifest(declare("eyes"))
    stage("sync")
    assert "in sync" in stage("status").out
    stage.excuse("I1", reason="the store's own files lie in the tree")


@case(103)
def test_a_root_that_two_projects_share(synced: Stage, tmp_path: Path) -> None:
    """What one project drops and the other still wants stays; so does all that the other placed."""
    other = tmp_path / "other"
    other.mkdir()
    text = declare("sharpen", head=f'[targets.theirs]\nroot = "{synced.path}"\n')
    (other / "synapse.toml").write_text(text)
    result = synced._run(["sync", "-C", str(other)])
    synced.heard(result, "the other project")
    assert result.code == 0
    synced("sync")
    assert set(synced.tree()) == {EYES, SHARPEN}
    assert "in sync" in synced._run(["status", "-C", str(other)]).out


@case(94)
@pytest.mark.parametrize("place", ["sub", "unknown"])
def test_a_copied_receipt_is_no_licence(synced: Stage, tmp_path: Path, place: str) -> None:
    """A tree copied with its receipt into another project, or to where the store knows nothing of its project."""
    copy = tmp_path / "copy"
    (copy / "sub").mkdir(parents=True)
    root = "sub" if place == "sub" else "."
    shutil.copytree(synced.path, copy / root, symlinks=True, dirs_exist_ok=True)
    (copy / "synapse.toml").write_text(declare("eyes", head=f'[targets.default]\nroot = "{root}"\n'))
    if place == "unknown":
        for receipt in (copy / ".synapse").glob("receipt-*"):
            receipt.rename(receipt.with_name(f"receipt-{'f' * 16}-default{receipt.suffix}"))
    result = synced._run(["sync", "--yes", "-C", str(copy)])
    synced.heard(result, "in the copy")
    assert (copy / root / SHARPEN).exists(), "the copy's receipt is another project's"


@case(94, 97)
@pytest.mark.parametrize(
    "path",
    ["../precious/model.safetensors", "/etc/hostname", "a/../../x", ".git/config", "precious/model.safetensors"],
)
def test_a_receipt_that_lies(synced: Stage, path: str) -> None:
    """A receipt may have been edited: paths in it are checked, and so is the content behind them."""
    import json

    (receipt,) = (synced.path / ".synapse").glob("receipt-*.json")
    good = receipt.read_bytes()
    data = json.loads(good)
    data["entries"].append({**data["entries"][0], "path": path})
    receipt.write_text(json.dumps(data))
    synced.excuse("I3", reason="this receipt is damaged on purpose")
    synced("sync", "--yes", code=None)
    if path != "precious/model.safetensors":
        receipt.write_bytes(good)


@case(94)
def test_a_root_that_was_swapped(synced: Stage, tmp_path: Path) -> None:
    """Another tree is mounted where ours was: it has no receipt, so nothing in it is ours."""
    for path in (EYES, SHARPEN):
        here = (synced.path / path).parent
        here.rename(tmp_path / here.name)
        synced.foreign(path, b"a file of somebody else " + path.encode())
    said = synced("sync", code=7)
    assert EYES in said.out + said.err
    (synced.path / EYES).unlink()
    synced._canaries.remove(synced.path / EYES)
    synced._before.pop(str(synced.path / EYES))


@case(94)
def test_a_project_that_moved(synced: Stage, tmp_path: Path) -> None:
    """A copy of a whole project is kept in step by its own receipt; the original stays as it is."""
    moved = tmp_path / "moved"
    shutil.copytree(synced.path, moved, symlinks=True)
    before = snapshot(synced.path)
    result = synced._run(["sync", "--yes", "-C", str(moved)])
    synced.heard(result, "after the move")
    assert result.code == 0 and (moved / EYES).exists() and not (moved / SHARPEN).exists()
    assert differences(before, snapshot(synced.path)) == []


@case(104)
@pytest.mark.parametrize("mode", ["hardlink", "symlink", "copy", "move"])
def test_an_entry_that_moves_costs_no_download(stage: Stage, mode: str) -> None:
    head = f'[targets.t]\nlink-mode = "{mode}"\n'
    stage.manifest(head + f'[models.eyes]\nsource = "{MODELS["eyes"]}"\n')
    stage("sync")
    content = stage.tree()[EYES]
    stage.hub.clear_log()
    stage.manifest(
        head + f'[models.renamed]\nsource = "{MODELS["eyes"]}"\nsubfolder = "sub"\nfilename = "x.safetensors"\n'
    )
    stage("sync")
    assert stage.tree() == {"models/embeddings/sub/x.safetensors": content}
    assert stage.hub.requests("storage") == []


@case(105)
@pytest.mark.parametrize(
    ("one", "two"), [("a", "a"), ("a", "A"), ("é", "E\u0301"), ("ﬁ", "fi"), ("ß", "SS"), ("Å", "\u212b")]
)
def test_two_entries_for_one_destination(stage: Stage, one: str, two: str) -> None:
    stage.manifest(
        f'[models.one]\nsource = "{MODELS["eyes"]}"\ntype = "lora"\nfilename = "{one}.safetensors"\n'
        f'[models.two]\nsource = "{MODELS["sharpen"]}"\ntype = "lora"\nfilename = "{two}.safetensors"\n'
    )
    said = stage("sync", code=2).err
    assert "one" in said and "two" in said
    assert stage.tree() == {} and stage.hub.requests("storage") == []
    stage.manifest(declare("eyes"))


@case(106)
def test_only_directories_that_are_ours_and_empty_go(stage: Stage) -> None:
    text = f'[models.eyes]\nsource = "{MODELS["eyes"]}"\nsubfolder = "%s"\n'
    stage.manifest(text % "deep/deeper" + f'[models.sharpen]\nsource = "{MODELS["sharpen"]}"\n')
    stage("sync")
    stage.foreign("models/embeddings/deep/note.txt", b"mine")
    stage.manifest(text % "other" + f'[models.sharpen]\nsource = "{MODELS["sharpen"]}"\n')
    stage("sync")
    assert (stage.path / "models/embeddings/deep").is_dir()
    assert not (stage.path / "models/embeddings/deep/deeper").exists()
    stage.manifest(declare("sharpen"))
    stage("sync", "--yes")
    assert (stage.path / "models/embeddings").is_dir(), "a folder of the UI stays, empty or not"


@case(107)
def test_an_immutable_file(synced: Stage) -> None:
    place = synced.path / SHARPEN
    done = subprocess.run(["chattr", "+i", str(place)], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("needs chattr +i")
    try:
        said = synced("sync", code=9)
        assert SHARPEN in said.out + said.err and place.exists()
        (receipt,) = (synced.path / ".synapse").glob("receipt-*.json")
        assert SHARPEN in receipt.read_text(), "it is still ours"
    finally:
        subprocess.run(["chattr", "-i", str(place)], check=True)


@case(102)
def test_a_pruned_file_that_is_the_only_copy_moves_into_the_store(stage: Stage) -> None:
    head = '[targets.t]\nlink-mode = "move"\n'
    stage.manifest(declare("eyes", "sharpen", head=head))
    stage("sync")
    assert stage.blobs() == []
    stage.manifest(declare("eyes", head=head))
    stage("sync")
    assert len(stage.blobs()) == 1
    stage.manifest(declare("eyes", "sharpen", head=head))
    stage("lock")
    stage.hub.clear_log()
    stage("sync", "--offline")
    assert set(stage.tree()) == {EYES, SHARPEN} and stage.hub.requests() == []
