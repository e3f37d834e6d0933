"""Nothing to do: a sync of thousands of files that are all in place, beside tools in the same position."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from benchmarks import ours, peers
from benchmarks.measure import Command, Contender, Failed, compare, run
from benchmarks.report import Table, Target

_CLICK = "python -c 'import click'"
_RCLONE = "rclone sync"
_TARGETS = (Target(of="seconds", most=2.5, peer=_CLICK), Target(of="seconds", most=0.7, peer=_RCLONE))
#: How long the installation of DVC may take.
_INSTALLATION = 180


def measure(work: Path, count: int, runs: int, builds: Sequence[ours.Build] = (ours.OWN,)) -> Table:
    """One table; the trees are made once and kept. `builds` are synapse on several Pythons, ours first."""
    print("noop", flush=True)
    place = work / f"noop-{count}"
    project = place / "project"
    env = ours.environment(place)
    if not (place / "ready").exists():
        _prepare(place, project, env, count)
    models = project / "models"
    notes = []
    contenders = [
        *(_in(project, build.name, (build.program, "sync"), env) for build in builds),
        _in(place, _CLICK, (sys.executable, "-c", "import click")),
        _in(place / "git", "git status", ("git", "status", "--short")),
        _in(place, _RCLONE, ("rclone", "sync", str(models), "copy", "--config", "/dev/null")),
        _in(place, "rclone check --size-only",
            ("rclone", "check", "--size-only", str(models), "copy", "--config", "/dev/null")),
    ]  # fmt: skip
    dvc = _dvc(work, place)
    if isinstance(dvc, Contender):
        contenders.append(dvc)
    else:
        notes.append(dvc)
    return Table(
        title=f"Nothing to do, {count:,} files in place",
        ours=ours.NAME,
        runs=compare(peers.installed(contenders), runs=runs, folder=work / "run", warm_up=True),
        targets=_TARGETS,
        notes=tuple(notes),
    )


def _in(folder: Path, name: str, argv: tuple[str, ...], env: dict[str, str] | None = None) -> Contender:
    """A contender that works in a folder that stays."""
    return Contender(name=name, command=lambda _: Command(argv=argv, folder=folder, env=env or {}))


def _prepare(place: Path, project: Path, env: dict[str, str], count: int) -> None:
    """Place small files with our own sync, and copy the tree for the others."""
    shutil.rmtree(place, ignore_errors=True)
    originals = place / "originals"
    originals.mkdir(parents=True)
    models = []
    for number in range(count):
        text = f"file {number}\n".encode()
        path = originals / f"model-{number:05}.dat"
        path.write_bytes(text)
        models.append((str(path), hashlib.sha256(text).hexdigest()))
    print(f"  locking and placing {count:,} files, once", flush=True)
    ours.lock(project, ours.manifest(models), env)
    run(Command(argv=(ours.SYNAPSE, "sync"), folder=project, env=env))
    placed = project / "models"
    if len(list(placed.glob("*.dat"))) != count:
        raise Failed("not all files were placed")
    shutil.copytree(placed, place / "copy", ignore=shutil.ignore_patterns(".*"), copy_function=shutil.copy2)
    run(Command(argv=("rclone", "sync", str(placed), "copy", "--config", "/dev/null"), folder=place))
    shutil.copytree(place / "copy", place / "git")
    script = "git init -q; git add -A; git -c user.name=b -c user.email=b@localhost commit -qm all; git status"
    run(Command(argv=("sh", "-ec", script), folder=place / "git"))
    (place / "ready").touch()


def _dvc(work: Path, place: Path) -> Contender | str:
    """`dvc status` from an environment of its own, or why there is none."""
    environment, tree = work / "dvc-venv", place / "dvc"
    program = environment / "bin" / "dvc"
    if not program.exists():
        print("  installing dvc, once", flush=True)
        venv.create(environment, with_pip=True)
        words = [str(environment / "bin" / "python"), "-m", "pip", "install", "-q", "dvc"]
        try:
            subprocess.run(words, check=True, capture_output=True, timeout=_INSTALLATION)
        except (subprocess.SubprocessError, OSError) as error:
            shutil.rmtree(environment, ignore_errors=True)
            return f"dvc status: left out (its installation failed: {type(error).__name__})"
    env = {"DVC_NO_ANALYTICS": "1"}
    if not (tree / "ready").exists():
        shutil.rmtree(tree, ignore_errors=True)
        tree.mkdir()
        shutil.copytree(place / "copy", tree / "models")
        try:
            script = '"$DVC" init -q --no-scm; "$DVC" add -q models'
            run(Command(argv=("sh", "-ec", script), folder=tree, env={**env, "DVC": str(program)}))
        except Failed as error:
            return f"dvc status: left out ({error})"
        (tree / "ready").touch()
    return _in(tree, "dvc status", (str(program), "status", "-q"), env)
