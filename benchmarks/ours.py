"""Our side: the real command in a project of its own, locked beforehand, with a store of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Command, Failed

BIN = Path(sys.executable).parent
SYNAPSE = str(BIN / "synapse")
NAME = "synapse sync"


@dataclass(frozen=True, slots=True)
class Build:
    """An installation of synapse: its name in the tables, and the command."""

    name: str
    program: str


OWN = Build(NAME, SYNAPSE)
#: Debian's Python, which is built with the profile of a run (PGO); many others, pyenv's too, are not.
DEBIAN = Path("/usr/bin/python3")
_OLDEST = (3, 11)


def build_for(python: Path, work: Path) -> Build:
    """Install this checkout for another Python, in an environment below `work`; raises `Failed`."""
    number = _output([str(python), "-c", "import platform; print(platform.python_version())"])
    if tuple(map(int, number.split(".")[:2])) < _OLDEST:
        raise Failed(f"{python} is {number}")
    place = work / f"python-{number}"
    program = place / "bin" / "synapse"
    if not program.exists():
        shutil.rmtree(place, ignore_errors=True)
        # Debian's may come without pip; that of this Python installs for others as well.
        _output([str(python), "-m", "venv", "--without-pip", str(place)])
        pip = work / "pip-venv"
        if not (pip / "bin" / "pip").exists():
            venv.create(pip, with_pip=True, clear=True)
        there = ("--python", str(place / "bin" / "python"))
        _output([str(pip / "bin" / "pip"), *there, "install", "-q", "-e", str(Path(__file__).parents[1])])
    return Build(f"{NAME}, {python} {number}", str(program))


def _output(words: list[str]) -> str:
    """The output of a command; raises `Failed`, with its error."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=300)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        said = (
            said.decode("utf-8", "replace") if isinstance(said, bytes) else said
        )  # of a command that took too long
        raise Failed(f"{words[0]}: {said.strip()[-300:]}") from error
    return done.stdout.strip()


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


def sync(locked: Path, folder: Path, authority: Path | None, build: Build = OWN) -> Command:
    """A fresh project and a fresh store, with both files of a project that was locked before."""
    for name in ("synapse.toml", "synapse.lock"):
        shutil.copy(locked / name, folder / name)
    return Command(argv=(build.program, "sync"), folder=folder, env=environment(folder, authority))
