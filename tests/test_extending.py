"""The pages "Add a source" and "Add a layout" are true: a copy of the package gets what they say, and syncs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from shown import blocks

import synapse_sync
from synapse_sync.demo.hub import Hub
from synapse_sync.demo.weights import safetensors_bytes

ROOT = Path(__file__).parents[1]
COMMIT = "0123456789" * 4


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the package, and an empty project beside it; returns the directory of both."""
    package = Path(synapse_sync.__file__).parent
    shutil.copytree(package, tmp_path / "synapse_sync")  # with its bytecode, which is valid there
    (tmp_path / "studio").mkdir()
    return tmp_path


@pytest.fixture
def running() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub
    assert hub.crashes == []


def code(page: str, file: str) -> str:
    """The block of a page that belongs into a file."""
    (found,) = [block.text for block in blocks((ROOT / "docs" / page).read_text("utf-8")) if file in block.words]
    return found


def insert(path: Path, before: str, text: str) -> None:
    """Write a text before the only place with another one."""
    whole = path.read_text("utf-8")
    assert whole.count(before) == 1, f"{path.name} has changed: say so on the page, too"
    path.write_text(whole.replace(before, text + before), "utf-8")


def synapse(copied: Path, *lines: str) -> str:
    """Run commands of the copy, in one process; returns what they printed."""
    code = (
        "import sys; from synapse_sync.cli.main import main\n"
        "for line in sys.argv[1:]:\n    if code := main(line.split()): sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *lines],
        cwd=copied / "studio",
        env={**os.environ, "PYTHONPATH": str(copied), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_source_is_added_as_the_page_says(copied: Path, running: Hub) -> None:
    row = code("add-a-source.md", "sites.py").replace("\n", "\n    ").strip()
    insert(copied / "synapse_sync/sites.py", ")\n\n\ndef named(", f"    {row},\n")
    (copied / "synapse_sync/sources/example.py").write_text(code("add-a-source.md", "sources/example.py"), "utf-8")
    weights = safetensors_bytes("portrait", size=9_000)
    listing = {
        "commit": COMMIT,
        "files": [
            {"path": "vae/p.safetensors", "size": len(weights), "sha256": hashlib.sha256(weights).hexdigest()}
        ],
    }
    running.files.put("api/studio/vae/main", json.dumps(listing).encode())
    running.files.put(f"files/studio/vae/{COMMIT}/vae/p.safetensors", weights)
    os.environ["EXAMPLE_ENDPOINT"] = f"{running.files.url}/files"

    said = synapse(
        copied,
        "init --layout comfyui --root .",
        "add example:studio/vae/vae/p.safetensors --type vae",
        "sync",
        "status",
    )
    assert "in sync: 1 file\n" in said
    assert (copied / "studio/models/vae/p.safetensors").read_bytes() == weights
    assert f'"example:studio/vae@{COMMIT}/vae/p.safetensors"' in (copied / "studio/synapse.lock").read_text("utf-8")


def test_a_layout_is_added_as_the_page_says(copied: Path) -> None:
    tables = copied / "synapse_sync/layouts/tables.py"
    tables.write_text(tables.read_text("utf-8") + "\n" + code("add-a-layout.md", "layouts/tables.py"), "utf-8")
    row = code("add-a-layout.md", "layouts/__init__.py").replace("\n", "\n        ").strip()
    insert(copied / "synapse_sync/layouts/__init__.py", "    )\n}\n\n\ndef guess(", f"        {row},\n")
    own = copied / "studio" / "own.safetensors"
    own.write_bytes(safetensors_bytes("own", size=9_000))

    for folder in ("painter.py", "data/checkpoints", "data/loras"):
        (copied / "studio/painter" / folder).mkdir(parents=True)
    assert "layout painter" in synapse(copied, "init", "add ./own.safetensors --type lora", "sync")
    assert (copied / "studio/painter/data/loras/own.safetensors").read_bytes() == own.read_bytes()
