"""Growth: every command in projects of several sizes. Time and memory must grow no faster than the project."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import importing, large_projects, ours
from benchmarks.measure import Command, Failed, Sample, floor, run

SIZES = (100, 1_000, 5_000, 20_000, 50_000)
#: The exponent above which a cost counts as growing faster than the project; sorting alone reaches 1.1.
MOST = 1.15
#: A cost that grows by less than a quarter, 0.2 s of CPU time or 20 MB is flat: noise would fit any curve.
_FLAT, _LEAST_CPU, _LEAST_MEMORY = 0.25, 0.2, 20e6
#: Seconds of CPU time at 10,000 models.
_TARGETS = {"list": 1.0, "add": 3.0, "remove": 3.0, "lock --check": 2.0}
_STEPS = [step / 100 for step in range(20, 301)]


def exponent(costs: Sequence[tuple[int, float]], least: float) -> float:
    """The p of the curve `a + b n^p`, a and b not negative, that fits costs at sizes best; 0 if they hardly grow.

    `costs` are pairs of a size and a cost, from the smallest size on. Each error counts in relation to its cost.
    With fewer than three costs, or a growth below `least`, the answer is 0 as well.
    """
    if len(costs) < 3 or costs[-1][1] - costs[0][1] < least:
        return 0.0
    best = min((_fit(costs, power) for power in _STEPS), key=lambda fit: fit[0])
    _, a, b, power = best
    size = max(size for size, _ in costs)
    return 0.0 if b * size**power < _FLAT * (a + b * size**power) else power


def _fit(costs: Sequence[tuple[int, float]], power: float) -> tuple[float, float, float, float]:
    """The squared relative error of the best curve with this power, and its a, b and power."""
    rows = [(1 / cost, size**power / cost) for size, cost in costs]
    ss, sx, xx = sum(u * u for u, _ in rows), sum(u * x for u, x in rows), sum(x * x for _, x in rows)
    s1, x1 = sum(u for u, _ in rows), sum(x for _, x in rows)
    determinant = ss * xx - sx * sx
    a, b = ((xx * s1 - sx * x1) / determinant, (ss * x1 - sx * s1) / determinant) if determinant else (0.0, x1 / xx)
    if a < 0:
        a, b = 0.0, x1 / xx
    if b < 0:
        a, b = s1 / ss, 0.0
    return sum((a * u + b * x - 1) ** 2 for u, x in rows), a, b, power


@dataclass(frozen=True, slots=True)
class Growth:
    """The samples of every command, by size."""

    samples: Mapping[str, Mapping[int, Sample]] = field(default_factory=dict)

    def exponents(self, name: str) -> tuple[float, float]:
        """The exponents of a command's CPU time and memory."""
        found = sorted(self.samples[name].items())
        # A process counts as large as the one that started it: below that, nothing is known.
        memory = [(size, float(one.memory)) for size, one in found if one.memory > 1.02 * floor()]
        return exponent([(size, one.cpu) for size, one in found], _LEAST_CPU), exponent(memory, _LEAST_MEMORY)

    @property
    def too_fast(self) -> list[str]:
        """The commands whose time or memory grows faster than the project."""
        return [name for name in self.samples if max(self.exponents(name)) > MOST]

    def text(self) -> str:
        """The table in Markdown."""
        sizes = sorted(next(iter(self.samples.values())))
        lines = [
            f"## Growth, {sizes[0]:,} to {sizes[-1]:,} models",
            "",
            f"| CPU s | {' | '.join(f'{size:,}' for size in sizes)} | exponent | MB at {sizes[-1]:,} | exponent |",
            f"|---|{'---:|' * (len(sizes) + 3)}",
        ]
        for name, found in self.samples.items():
            time, memory = self.exponents(name)
            figures = " | ".join(f"{found[size].cpu:.2f}" for size in sizes)
            peak = found[sizes[-1]].memory / 1e6
            lines.append(f"| {name} | {figures} | {time:.2f} | {peak:.0f} | {memory:.2f} |")
        lines += ["", f"An exponent of 0 is a cost that hardly grows; above {MOST} the run fails."]
        lines += [f"Too fast: {', '.join(self.too_fast)}."] if self.too_fast else []
        lines += [
            f"- {name} at 10,000: ≤ {most:g} s of CPU time, {self.samples[name][10_000].cpu:.2f} s measured"
            for name, most in _TARGETS.items()
            if 10_000 in self.samples.get(name, {})
        ]
        return "\n".join(lines) + "\n"


def measure(work: Path, largest: int, runs: int) -> Growth:
    """All commands at all sizes up to `largest`; of `runs` the one with the least CPU time counts."""
    sizes = sorted({*(size for size in SIZES if size < largest), largest})
    found: dict[str, dict[int, Sample]] = {}
    for size in sizes:
        print(f"growth: {size:,} models", flush=True)
        for name, sample in _at(work / f"growth-{size}", size, runs):
            print(f"  {name:28} {sample.cpu:8.2f} s {max(sample.memory, floor()) / 1e6:6.0f} MB", flush=True)
            found.setdefault(name, {})[size] = sample
    return Growth(found)


def _at(place: Path, size: int, runs: int) -> Iterator[tuple[str, Sample]]:
    """The sample of each command at one size, in a project that is made for it and removed afterwards."""
    shutil.rmtree(place, ignore_errors=True)
    try:
        # In a process of its own: what this one ever had in memory would count for every command.
        words = (sys.executable, "-m", "benchmarks.large_projects", str(place), str(size))
        subprocess.run(words, check=True)
        yield from _Project(place, size).samples(runs)
        yield from _imports(place, size)
    finally:
        shutil.rmtree(place, ignore_errors=True)


#: Commands that leave the project as it is.
_LOOKS: dict[str, tuple[str, ...]] = {
    "sync, nothing to do": ("sync",),
    "sync --dry-run": ("sync", "--dry-run", "--offline"),
    "status": ("status",),
    "status --all": ("status", "--all"),
    "list": ("list",),
    "list --json": ("list", "--json"),
    "show": ("show", large_projects.name(7)),
    "lock --check": ("lock", "--check"),
    "lock --dry-run": ("lock", "--dry-run", "--offline"),
    "lock": ("lock", "--offline"),
    "verify": ("verify",),
    "verify --store": ("verify", "--store"),
    "store size": ("store", "size"),
    "store gc --dry-run": ("store", "gc", "--dry-run"),
    "trust --list": ("trust", "--list"),
}


#: The size of an imported file in bytes; its header is most of it.
_IMPORTED = 5_000


def _imports(place: Path, size: int) -> Iterator[tuple[str, Sample]]:
    """An import of that many files into a new project, and the same once more."""
    tree = importing.make_tree(place / "tree", size, _IMPORTED)
    folder = place / "importing"
    folder.mkdir()
    for name in ("import", "import, again"):
        words = (ours.SYNAPSE, "import", "--offline", "-q", str(tree))
        yield name, run(Command(argv=words, folder=folder, env=ours.environment(folder)))


class _Project:
    """A generated project at work; every command runs with the project's own store."""

    def __init__(self, place: Path, size: int) -> None:
        self._folder = place / "project"
        self._env = ours.environment(place)
        self._size = size

    def samples(self, runs: int) -> Iterator[tuple[str, Sample]]:
        """Each command with its best sample; those that change much run once."""
        self._commit()
        yield "first sync", self._run(("sync", "--frozen", "--offline", "-q"))
        for name, words in _LOOKS.items():
            yield name, self._best(runs, words)
        (self._folder / "local.safetensors").write_bytes(large_projects.content(9_999_999))
        add = ("add", "./local.safetensors", "--name", "new", "--type", "lora")
        yield "add", self._best(runs, add, self._restore())
        yield "remove", self._best(runs, ("remove", large_projects.name(self._size // 2)), self._restore())
        manifest = self._folder / "synapse.toml"
        restore = self._restore()
        manifest.write_text(large_projects.manifest_text(range(self._size), "renamed-"))
        yield "lock of renamed models", self._run(("lock", "--offline"))
        restore()
        manifest.write_text(large_projects.manifest_text(range(self._size // 2)))
        yield "sync that removes half", self._run(("sync", "--offline", "--yes", "-q"))
        yield "diff of half the models", self._best(runs, ("diff",))

    def _commit(self) -> None:
        """Commit both files, for `synapse diff`."""
        git = ("git", "-c", "user.name=b", "-c", "user.email=b@localhost", "-C", str(self._folder))
        for words in (("init", "-q"), ("add", "synapse.toml", "synapse.lock"), ("commit", "-qm", "all")):
            subprocess.run([*git, *words], check=True)

    def _run(self, words: tuple[str, ...]) -> Sample:
        return run(Command(argv=(ours.SYNAPSE, *words), folder=self._folder, env=self._env))

    def _best(self, runs: int, words: tuple[str, ...], restore: Callable[[], None] = lambda: None) -> Sample:
        samples = []
        for _ in range(runs):
            samples.append(self._run(words))
            restore()
        return min(samples, key=lambda sample: sample.cpu)

    def _restore(self) -> Callable[[], None]:
        """A function that writes both files again as they are now."""
        files = {path: path.read_bytes() for path in self._folder.glob("synapse.*")}
        if len(files) != 2:
            raise Failed("a project has two files")

        def restore() -> None:
            for path, data in files.items():
                path.write_bytes(data)

        return restore
