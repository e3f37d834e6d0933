"""A project that an earlier version made goes on: no question, no download, nothing moved, nothing orphaned.

The archives in `tests/data` were packed right after `lock` and `sync` by two earlier commits: before the modules
were arranged anew (d6a095c), and before manifests needed consent (6668f4b). Both have targets inside and outside of
the project, a local source outside, plain URLs of this machine, adopted files and all three ways of placing.
Locks and indexes are left out, and paths, the project's key and the origin are placeholders.
"""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from world import Project

from synapse_sync.store.project_note import project_key
from synapse_sync.store.projects import identity_of

DATA = Path(__file__).parents[1] / "data"
WRITTEN = {".json", ".toml", ".lock"}


def unpack(name: str, base: Path, origin: str) -> None:
    """Unpack an archive as if its version had just worked in `base`: with paths, times and inodes of here."""
    key = project_key(base / "studio")
    with tarfile.open(DATA / f"project-before-{name}.tar.gz") as archive:
        for member in archive.getmembers():
            archive.extract(member, base, filter="tar")
    words = {"@HERE@": base.as_posix(), "@FILES@": origin, "@KEY@": key}
    for path in sorted(base.rglob("*")):
        if path.suffix in WRITTEN and path.is_file():
            text = path.read_text("utf-8")
            for mark, word in words.items():
                text = text.replace(mark, word)
            path.write_text(text, "utf-8")
            path.rename(path.with_name(path.name.replace("@KEY@", key)))
    for meta in (base / "store/meta").rglob("*.json"):
        time = json.loads(meta.read_bytes())["mtime_ns"]
        os.utime(base / "store/blobs/sha256" / meta.parent.name / meta.stem, ns=(time, time))
    for path in base.rglob("receipt-*.json"):
        rewrite(path, lambda data, root=path.parents[1]: [_look(root, entry) for entry in data["entries"]])
    note = base / f"store/projects/{key}.json"
    rewrite(note, lambda data: "identity" in data and data.update(identity=identity_of(base / "studio")))


def _look(root: Path, entry: dict[str, Any]) -> None:
    """Restore the time of a placed file, and write down the inode that it got here."""
    place = root / entry["path"]
    os.utime(place, ns=(entry["mtime_ns"], entry["mtime_ns"]))
    assert place.stat().st_size == entry["size"]
    entry["inode"] = place.stat().st_ino


def rewrite(path: Path, change: Any) -> None:
    data = json.loads(path.read_bytes())
    change(data)
    path.write_text(json.dumps(data), "utf-8")


def looks(base: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file of the user, of the trees and of the store's blobs: its inode, its time and its content."""
    return {
        str(path.relative_to(base)): (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(base.rglob("*"))
        if path.is_file() and ".synapse" not in path.parts and not path.is_relative_to(base / "store")
    } | {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns, b"")
        for path in (base / "store/blobs").rglob("?" * 64)
    }


@pytest.fixture(params=["rearranging", "trust"])
def earlier(request: pytest.FixtureRequest, project: Project, tmp_path: Path) -> Project:
    """A project that an earlier version made, and a hub that has answered nothing yet."""
    base = tmp_path / "earlier"
    unpack(request.param, base, project.hub.files.url)
    os.environ |= {"SYNAPSE_STORE": str(base / "store"), "SYNAPSE_CONFIG": str(base / "home/config.toml")}
    os.environ.pop("SYNAPSE_TRUST_HOSTS")  # earlier versions had no such variable
    project.hub.clear_log()
    return Project(path=base / "studio", store=base / "store", hub=project.hub, _run=project._run)


def test_it_goes_on(earlier: Project) -> None:
    base = earlier.path.parent
    before = looks(base)
    assert len(before) > 20
    for words in ("status", "sync --frozen", "sync", "status", "verify", "sync --check", "sync"):
        assert "agree" not in earlier(*words.split()).err
        assert looks(base) == before, words
    status = earlier("status", "--json").json
    assert status["asks"] == []
    assert earlier.hub.requests() == []


def test_a_lost_file_comes_from_the_store(earlier: Project) -> None:
    """The places outside are still its own: they are written again without a question."""
    base = earlier.path.parent
    lost = [base / f"{where}/small.safetensors" for where in ("tools", "away/models/loras")]
    content = [path.read_bytes() for path in lost]
    for path in lost:
        path.unlink()
    earlier("sync", "--frozen")
    assert [path.read_bytes() for path in lost] == content
    assert earlier.hub.requests() == []


def test_no_orphan(earlier: Project) -> None:
    """Placed files that nothing wants any more are pruned; a file that was adopted outside of the project stays."""
    base = earlier.path.parent
    before = set(looks(base))
    text = (earlier.path / "synapse.toml").read_text("utf-8")
    heads = text.split("\n[models.")
    earlier.manifest("\n[models.".join(head for head in heads if not head.startswith(("small]", "notes]"))))
    earlier("sync")
    gone = {name for name in before - set(looks(base)) if "/" in name}
    assert gone == {
        "tools/small.safetensors",
        "tools/notes.dat",
        "away/models/loras/small.safetensors",
        "studio/ComfyUI/models/loras/small.safetensors",
        "studio/ComfyUI/models/embeddings/notes.dat",
    }
    earlier("verify")
    assert [seen for seen in earlier.hub.requests() if seen.origin in ("files", "storage")] == []
