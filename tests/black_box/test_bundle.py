"""`synapse bundle` and `unbundle`: a project crosses an air gap, and nothing wrong does."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from stand_ins import space
from world import Project, names_in, places_below

from synapse_sync.core.bundle import LIST, Member, contents_of
from synapse_sync.demo import catalogue
from synapse_sync.demo.weights import pickle_bytes, safetensors_bytes
from synapse_sync.store.bundle_archive import ArchiveWriter

MANIFEST = f"""
include = ["./shared/vae.toml"]
[workspace]
previews = true
sidecars = ["civitai-info", "lora-manager"]
[targets.comfy]
layout = "comfyui"
root = "ComfyUI"
[models]
portrait = "civitai:{catalogue.PORTRAIT}"
eyes = "civitai:{catalogue.EYES}"
"""
SHARED = f'[models]\nvae = "hf://{catalogue.VAE_REPO}/portrait_vae.safetensors"\n'


@pytest.fixture
def synced(project: Project) -> Project:
    (project.path / "shared").mkdir()
    (project.path / "shared/vae.toml").write_text(SHARED)
    project.manifest(MANIFEST)
    project("sync")
    return project


@contextlib.contextmanager
def another_machine(project: Project, home: Path) -> Iterator[Project]:
    """The same command on a machine with a home of its own, which never opens a connection."""
    before = dict(os.environ)
    (home / "studio").mkdir(parents=True, exist_ok=True)
    os.environ |= places_below(home) | {"SYNAPSE_OFFLINE": "1", "CIVITAI_API_KEY": ""}
    try:
        yield replace(project, path=home / "studio", store=home / "store")
    finally:
        os.environ.clear()
        os.environ |= before


def test_a_project_crosses_an_air_gap(synced: Project, tmp_path: Path) -> None:
    out = tmp_path / "studio.tar"
    said = synced("bundle", str(out), "--json").json
    assert said["files"] == 3 and said["bytes"] == out.stat().st_size and said["warnings"] == []
    with another_machine(synced, tmp_path / "far") as far:
        came = far("unbundle", str(out), "--json").json
        assert (came["added"], came["present"]) == (3, 0) and came["contents"] == said["contents"]
        assert sorted(came["written"]) == ["shared/vae.toml", "synapse.lock", "synapse.toml"]
        assert len(far.blobs()) == 3
        far("sync", "--frozen", "--offline")
        here = {path: data for path, data in synced.tree().items() if not path.endswith(".metadata.json")}
        there = far.tree()
        assert {path: there[path] for path in here} == here
        assert any(path.endswith(".civitai.info") for path in here) and any(
            path.endswith(".jpeg") for path in here
        ), list(here)
        assert far("sync", "--offline", "--json").json["actions"] == []
        again = far("unbundle", str(out), "--json").json
        assert (again["added"], again["present"], again["written"]) == (0, 3, [])


def test_two_runs_have_one_digest(synced: Project, tmp_path: Path) -> None:
    synced("bundle", str(tmp_path / "one.tar"))
    shutil.rmtree(synced.store / "tmp", ignore_errors=True)
    for path in synced.path.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.utime(path, (1, 1))
    synced("sync")
    synced("bundle", str(tmp_path / "two.tar"))
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_files_of_a_tree_need_no_blobs(synced: Project, tmp_path: Path) -> None:
    synced("bundle", str(tmp_path / "one.tar"))
    for path in [path for path in synced.path.rglob("*") if path.name.endswith(".safetensors")]:
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)
    synced("sync")
    shutil.rmtree(synced.store / "blobs")
    synced("bundle", str(tmp_path / "two.tar"))
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_a_pipe_carries_it(synced: Project, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "synapse_sync"]
    far = {**os.environ, **places_below(tmp_path / "far")}
    with subprocess.Popen([*command, "bundle", "-", "-C", str(synced.path)], stdout=subprocess.PIPE) as sender:
        received = subprocess.run(
            [*command, "unbundle", "-", str(tmp_path / "new")], stdin=sender.stdout, env=far, check=False
        )
    assert (sender.returncode, received.returncode) == (0, 0)
    assert names_in(tmp_path / "new") == ["shared", "synapse.lock", "synapse.toml"]


def test_a_pipe_without_a_reader_ends_in_words(synced: Project) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "synapse_sync", "bundle", "-", "-C", str(synced.path)]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert done.returncode == 9 and "error: the reader of the bundle has gone" in done.stderr
    assert "None" not in done.stderr and "Traceback" not in done.stderr


def test_since_leaves_out_what_an_earlier_lockfile_has(synced: Project, tmp_path: Path) -> None:
    shutil.copy(synced.path / "synapse.lock", tmp_path / "earlier.lock")
    synced("bundle", str(tmp_path / "first.tar"))
    synced("add", f"civitai:{catalogue.SHARPEN}", "--name", "sharpen", "--allow-pickle", "--trust")
    synced("sync")
    (synced.path / "below").mkdir()
    below = replace(synced, path=synced.path / "below")  # the path is one of the working directory
    said = below("bundle", str(tmp_path / "second.tar"), "--since", "../../earlier.lock", "--json").json
    assert (said["files"], len(said["left_out"])) == (1, 3)
    with another_machine(synced, tmp_path / "far") as far:
        refused = far("unbundle", str(tmp_path / "second.tar"), code=8)
        assert "unbundle the earlier bundle first" in refused.err and names_in(far.path) == []
        far("unbundle", str(tmp_path / "first.tar"), str(tmp_path / "first"))
        far("unbundle", str(tmp_path / "second.tar"))
        far("sync", "--frozen", "--offline", "--trust")
        assert len(far.blobs()) == 4


def test_a_place_for_the_project_is_tried_before_the_first_byte(synced: Project, tmp_path: Path) -> None:
    out = tmp_path / "studio.tar"
    synced("bundle", str(out))
    (tmp_path / "taken").write_text("mine")
    places = [tmp_path / "taken", tmp_path / "taken/below"]
    places += [Path("/proc/nowhere")] if sys.platform == "linux" else []
    with another_machine(synced, tmp_path / "far") as far:
        for place in places:
            refused = far("unbundle", str(out), str(place), code=9 if place.parts[1] == "proc" else 2)
            assert "nothing was unpacked" in refused.err and "name another directory" in refused.err
            assert "verified" not in refused.out + refused.err and far.blobs() == []
        assert (tmp_path / "taken").read_text() == "mine"
        new = tmp_path / "a/b"
        out.write_bytes(out.read_bytes()[:-10_000])
        far("unbundle", str(out), str(new), code=6)
        assert not new.parent.exists(), "a trial leaves no directory behind"


def test_since_may_name_a_commit(synced: Project, tmp_path: Path) -> None:
    for words in (
        ["init", "-q"],
        ["add", "synapse.lock"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *words], cwd=synced.path, check=True)
    said = synced("bundle", str(tmp_path / "x.tar"), "--since", "HEAD", "--json").json
    assert (said["files"], len(said["left_out"])) == (0, 3)
    refused = synced("bundle", str(tmp_path / "y.tar"), "--since", "lost", code=2).err
    assert "`lost` is no commit" in refused and f"no file is at {synced.path / 'lost'}" in " ".join(refused.split())


def test_local_files_and_gated_models_are_handed_on_by_name(project: Project, tmp_path: Path) -> None:
    (project.path / "mine.safetensors").write_bytes(safetensors_bytes("mine"))
    project.hub.huggingface.grant(catalogue.GATED_REPO)
    project.manifest(
        '[targets.comfy]\nlayout = "comfyui"\nroot = "ComfyUI"\n[models]\n'
        'mine = { source = "./mine.safetensors", type = "vae" }\n'
        f'closed = {{ source = "hf://{catalogue.GATED_REPO}", type = "lora" }}\n'
        f'portrait = "civitai:{catalogue.PORTRAIT}"\n'
    )
    project("sync")
    assert 'gated = "manual"' in project.lock_text
    out = str(tmp_path / "x.tar")
    said = project("bundle", out)
    assert "`mine` is a file of this machine" in said.err and "`closed` is a gated or private" in said.err
    counts = [
        project("bundle", out, *words, "--json").json["files"]
        for words in ([], ["--include", "mine"], ["--include", "mine", "--include", "closed"], ["--all"])
    ]
    assert counts == [1, 2, 3, 3]
    assert "no model `mien`" in project("bundle", out, "--include", "mien", code=2).err


# -- what is refused -------------------------------------------------------------------------------------


def test_a_damaged_blob_ends_the_bundle(synced: Project, tmp_path: Path) -> None:
    blob = next(path for path in (synced.store / "blobs").rglob("*") if path.is_file())
    found = blob.stat()
    blob.chmod(0o600)
    data = bytearray(blob.read_bytes())
    data[-1] ^= 1
    blob.write_bytes(data)
    os.utime(blob, ns=(found.st_atime_ns, found.st_mtime_ns))
    (tmp_path / "out").mkdir()
    said = synced("bundle", str(tmp_path / "out/x.tar"), code=6)
    assert "synapse verify --repair" in said.err and names_in(tmp_path / "out") == []


def test_missing_files_are_named_before_anything_is_written(synced: Project, tmp_path: Path) -> None:
    shutil.rmtree(synced.store)
    shutil.rmtree(synced.path / "ComfyUI")
    (tmp_path / "out").mkdir()
    assert "synapse sync" in synced("bundle", str(tmp_path / "out/x.tar"), code=8).err
    assert names_in(tmp_path / "out") == []


def test_only_a_bundle_is_replaced(synced: Project, tmp_path: Path) -> None:
    out = tmp_path / "x.tar"
    synced("bundle", str(out))
    synced("bundle", str(out))
    out.write_bytes(b"my own")
    assert "no earlier bundle" in synced("bundle", str(out), code=7).err and out.read_bytes() == b"my own"
    out.write_bytes(b"")
    synced("bundle", str(out), code=7)
    out.unlink()
    out.with_name("x.tar.partial").write_bytes(b"")
    synced("bundle", str(out))
    out.with_name("x.tar.partial").write_bytes(b"my own")
    assert "no earlier bundle" in synced("bundle", str(out), code=7).err
    assert "not a directory" in synced("bundle", str(tmp_path / "absent/x.tar"), code=2).err
    with space(lambda: 10_000):
        assert "not enough space" in synced("bundle", str(tmp_path / "y.tar"), code=9).err


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.999])
def test_a_truncated_bundle_writes_no_project(synced: Project, tmp_path: Path, share: float) -> None:
    out = tmp_path / "x.tar"
    synced("bundle", str(out))
    data = out.read_bytes()
    out.write_bytes(data[: int(len(data) * share)])
    with another_machine(synced, tmp_path / "far") as far:
        far("unbundle", str(out), code=6)
        assert names_in(far.path) == [] and not [*(far.store / "tmp").glob("*")]
        kept = far.blobs()
        assert set(kept) <= set(synced.blobs())
        out.write_bytes(data)
        assert far("unbundle", str(out), "--json").json["added"] == 3 - len(kept)


def test_files_of_the_user_are_never_replaced(synced: Project, tmp_path: Path) -> None:
    out = tmp_path / "x.tar"
    synced("bundle", str(out))
    with another_machine(synced, tmp_path / "far") as far:
        far.manifest("# mine\n")
        said = far("unbundle", str(out), code=7)
        assert "name a new directory" in said.err and far.blobs() == []
        assert (far.path / "synapse.toml").read_text() == "# mine\n"
        far("unbundle", str(out), str(tmp_path / "new"))
        (far.path / "synapse.toml").unlink()
        (far.path / "shared").symlink_to(tmp_path / "outside")
        (tmp_path / "outside").mkdir()
        assert "leads out of the project" in far("unbundle", str(out), code=2).err
        assert names_in(tmp_path / "outside") == []


def rebuilt(source: Path, change: dict[str, bytes | None]) -> bytes:
    """A bundle with other content under these names (None: without it), whose list and digests are right."""
    with tarfile.open(source) as archive:
        found = {info.name: archive.extractfile(info).read() for info in archive if info.name != LIST}  # type: ignore[union-attr]
    found |= {name: data for name, data in change.items() if data is not None}
    found = {name: data for name, data in found.items() if change.get(name, data) is not None}
    members = [Member(name=name, sha256=hashlib.sha256(data).hexdigest()) for name, data in found.items()]
    contents = contents_of(members)
    writer = ArchiveWriter(out := io.BytesIO())
    writer.begin(contents)
    for member in contents.members:
        writer.add(member, len(found[member.name]), [found[member.name]])
    writer.end()
    return out.getvalue()


def test_a_hostile_bundle_places_nothing(synced: Project, tmp_path: Path) -> None:
    """Each has right digests: the rest of it is refused, and nothing but right blobs is left."""
    right, wrong = tmp_path / "right.tar", tmp_path / "wrong.tar"
    synced("bundle", str(right))
    evil = pickle_bytes("evil")
    sha256 = hashlib.sha256(evil).hexdigest()
    vae = next(model for model in synced.locked() if model["name"] == "vae")["artifact"][0]
    swapped = synced.lock_text.replace(vae["sha256"], sha256).replace(
        f"size = {vae['size']}", f"size = {len(evil)}"
    )
    instead: dict[str, bytes | None] = {f"blobs/{vae['sha256']}": None, f"blobs/{sha256}": evil}
    cases: list[tuple[dict[str, bytes | None], int, str]] = [
        ({"project/.bashrc": b"evil"}, 6, "does not include"),
        ({f"blobs/{sha256}": evil}, 6, "pins no file"),
        ({**instead, "project/synapse.lock": swapped.encode()}, 2, "calls itself safetensors"),
        ({"project/synapse.toml": b"[models\n"}, 2, "synapse.toml"),
        ({"project/synapse.lock": b"<<<<<<< x\n"}, 2, "synapse.lock"),
    ]
    with another_machine(synced, tmp_path / "far") as far:
        for change, code, words in cases:
            wrong.write_bytes(rebuilt(right, change))
            assert words in " ".join(far("unbundle", str(wrong), code=code).err.split())
            assert names_in(far.path) == [] and sha256 not in far.blobs()


def test_a_bundle_carries_no_consent(synced: Project, tmp_path: Path) -> None:
    elsewhere = f'layout = "flat"\nroot = "{tmp_path}/outside"'
    synced.manifest(MANIFEST.replace('layout = "comfyui"\nroot = "ComfyUI"', elsewhere))
    synced("lock")
    synced("sync", "--trust")
    synced("bundle", str(tmp_path / "x.tar"))
    with another_machine(synced, tmp_path / "far") as far:
        far("unbundle", str(tmp_path / "x.tar"))
        shutil.rmtree(tmp_path / "outside")
        assert "synapse trust" in far("sync", "--frozen", "--offline", code=2).err


def test_a_collection_keeps_what_no_sync_has_placed_yet(synced: Project, tmp_path: Path) -> None:
    synced("bundle", str(tmp_path / "x.tar"))
    with another_machine(synced, tmp_path / "far") as far:
        far("unbundle", str(tmp_path / "x.tar"))
        far("store", "gc", "--now", "--yes")
        assert len(far.blobs()) == 3
