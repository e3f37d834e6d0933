"""Hashing what is in place again, with the page cache warm."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from benchmarks import ours, peers
from benchmarks.measure import Command, Contender, compare, run
from benchmarks.report import Table, Target
from benchmarks.servers import make_files

_NAME = "synapse verify"
_SUMS = "sha256sum -c"


def measure(work: Path, count: int, size: int, runs: int) -> Table:
    """One table; the files are made and placed once and kept."""
    print("verify", flush=True)
    place = work / f"verify-{count}-{size}"
    project = place / "project"
    env = ours.environment(place)
    models = project / "models"
    if not (place / "ready").exists():
        files = make_files(place, "originals", count=count, size=size)
        ours.lock(project, ours.manifest((str(place / file.name), file.sha256) for file in files), env)
        run(Command(argv=(ours.SYNAPSE, "sync"), folder=project, env=env))
        names = sorted(path.name for path in models.glob("*.safetensors"))
        sums = {Path(file.name).name: file.sha256 for file in files}
        (place / "sha256").write_text("".join(f"{sums[name]}  {models / name}\n" for name in names))
        _write_b3(place, [str(models / name) for name in names])
        (place / "ready").touch()
    contenders = (
        _in(project, _NAME, (ours.SYNAPSE, "verify"), env),
        _in(place, _SUMS, ("sha256sum", "-c", "--quiet", "sha256")),
        _in(place, "openssl dgst -sha256", ("sh", "-ec", 'openssl dgst -sha256 "$0"/*.safetensors', str(models))),
        _in(place, "b3sum --check", ("b3sum", "--check", "--quiet", "b3")),
    )
    return Table(
        title=f"Verifying {count} files of {size / 1e6:g} MB, cached",
        ours=_NAME,
        runs=compare(peers.installed(contenders), runs=runs, folder=work / "run", warm_up=True),
        targets=(Target(of="seconds", most=1 / 3, peer=_SUMS), Target(of="memory", most=100)),
        size=count * size,
        notes=(
            "peak memory counts mapped pages of the page cache, for us as for b3sum",
            f"{os.cpu_count()} cores; openssl and sha256sum use one, which is what they do",
        ),
    )


def _in(folder: Path, name: str, argv: tuple[str, ...], env: dict[str, str] | None = None) -> Contender:
    return Contender(name=name, command=lambda _: Command(argv=argv, folder=folder, env=env or {}))


def _write_b3(place: Path, paths: list[str]) -> None:
    try:
        done = subprocess.run(["b3sum", *paths], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        return
    (place / "b3").write_text(done.stdout)
