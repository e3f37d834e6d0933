"""Our side: the real command in a project of its own, locked beforehand, with a store of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.measure import Command, Failed

BIN = Path(sys.executable).parent
SYNAPSE = str(BIN / "synapse")
NAME = "synapse sync"


def environment(folder: Path, authority: Path | None = None) -> dict[str, str]:
    """A store and settings of the benchmark's own, consent for this run, and the authority to trust."""
    env = {
        "SYNAPSE_STORE": str(folder / "store"),
        "SYNAPSE_CONFIG": str(folder / "no-settings.toml"),
        "SYNAPSE_TRUST": "1",  # the originals are outside the project, the servers on loopback
    }
    return env if authority is None else {**env, "SSL_CERT_FILE": str(authority)}


def manifest(models: Iterable[tuple[str, str]]) -> str:
    """A manifest with one target and a model for each pair of reference and SHA-256."""
    lines = ['[targets.models]\nlayout = "flat"\nroot = "models"\n']
    for number, (source, sha256) in enumerate(models):
        lines.append(f'\n[models.model-{number:05}]\nsource = "{source}"\nsha256 = "{sha256}"\ntype = "lora"\n')
    return "".join(lines)


def lock(folder: Path, text: str, env: Mapping[str, str], prefix: tuple[str, ...] = ()) -> None:
    """Write the manifest into a project and lock it, by a command behind `prefix`; raises `Failed`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "synapse.toml").write_text(text)
    words = [*prefix, SYNAPSE, "lock", "-q"]
    done = subprocess.run(words, cwd=folder, env={**os.environ, **env}, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"synapse lock: {done.stderr[-500:]}")


def sync(locked: Path, folder: Path, authority: Path | None) -> Command:
    """A fresh project and a fresh store, with both files of a project that was locked before."""
    for name in ("synapse.toml", "synapse.lock"):
        shutil.copy(locked / name, folder / name)
    return Command(argv=(SYNAPSE, "sync"), folder=folder, env=environment(folder, authority))
