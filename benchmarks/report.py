"""The report: tables of medians and ratios, beside the targets, and what machine they are from."""

from __future__ import annotations

import datetime
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.measure import Runs, floor

_PROGRAMS = {
    "nginx": ("/usr/sbin/nginx", "-v"),
    "curl": ("curl", "-V"),
    "openssl": ("openssl", "version"),
    "aria2c": ("aria2c", "-v"),
    "wget": ("wget", "-V"),
    "sha256sum": ("sha256sum", "--version"),
    "b3sum": ("b3sum", "--version"),
    "git": ("git", "--version"),
    "rclone": ("rclone", "version"),
    "gcc": ("gcc", "--version"),
}
_PACKAGES = ("synapse-sync", "huggingface_hub", "urllib3", "httpx", "blake3", "click")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An aim: a ratio to a peer, or (peer None) a figure of synapse alone."""

    of: str
    most: float
    peer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The outcome of one subject; `size` in bytes makes CPU time comparable, 0 leaves that column as seconds."""

    title: str
    ours: str
    runs: Runs
    targets: tuple[Target, ...] = ()
    size: int = 0
    notes: tuple[str, ...] = ()


def table_text(table: Table) -> str:
    """A table in Markdown, and its targets."""
    per = table.size / 1e9 if table.size else 1.0
    unit = "CPU s/GB" if table.size else "CPU s"
    lines = [
        f"## {table.title}",
        "",
        f"| | s | synapse ÷ it | {unit} | peak MB |",
        "|---|---:|---:|---:|---:|",
    ]
    for name in table.runs.samples:
        seconds, cpu, memory = (table.runs.median(name, of) for of in ("seconds", "cpu", "memory"))
        ratio = "" if name == table.ours else f"{table.runs.ratio(table.ours, name, 'seconds'):.2f}"
        lines.append(f"| {name} | {seconds:.3f} | {ratio} | {cpu / per:.2f} | {_memory(memory)} |")
    notes = [*table.notes, *(f"{name}: left out ({why})" for name, why in table.runs.dropped.items())]
    if notes:
        lines += ["", *(f"- {note}" for note in notes)]
    if table.targets:
        lines += ["", "| target | to reach | measured | |", "|---|---:|---:|---|"]
        lines += [_target_line(table, target) for target in table.targets]
    return "\n".join(lines) + "\n"


def _memory(size: float) -> str:
    return f"{size / 1e6:.0f}" if size > floor() else f"≤ {floor() / 1e6:.0f}"


_WORDS = {"seconds": "time", "cpu": "CPU time", "memory": "peak memory"}


def _target_line(table: Table, target: Target) -> str:
    if target.peer is None and target.of == "seconds":
        seconds = table.runs.median(table.ours, "seconds")
        return f"| {_WORDS[target.of]} | ≤ {target.most:g} s | {seconds:.2f} s | {_verdict(seconds, target)} |"
    if target.peer is None:
        figure = max(sample.memory for sample in table.runs.samples[table.ours]) / 1e6
        return f"| {_WORDS[target.of]} | ≤ {target.most:.0f} MB | {figure:.0f} MB | {_verdict(figure, target)} |"
    what = f"{_WORDS[target.of]} ÷ {target.peer}"
    if target.peer not in table.runs.samples:
        return f"| {what} | ≤ {target.most:.2f} | not measured | |"
    ratio = table.runs.ratio(table.ours, target.peer, target.of)
    return f"| {what} | ≤ {target.most:.2f} | {ratio:.2f} | {_verdict(ratio, target)} |"


def _verdict(figure: float, target: Target) -> str:
    return "reached" if figure <= target.most else f"missed by {100 * (figure / target.most - 1):.0f} %"


def results_text(tables: Sequence[str], *, runs: int, work: Path) -> str:
    """All of RESULTS.md."""
    head = [
        "# Results",
        "",
        f"Written by `make bench`. Medians of {runs} interleaved runs; ratios are medians of the ratios within "
        "each round. Server and contenders share the machine. [What is measured](README.md).",
        "",
        *(f"- {line}" for line in machine(work)),
        "",
    ]
    return "\n".join(head) + "\n" + "\n".join(tables)


def machine(work: Path) -> list[str]:
    """The machine of the measurement, and the versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return [
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        f"CPU: {_cpu()}, {os.cpu_count()} cores, {memory / 1e9:.0f} GB of memory",
        f"{platform.system()} {platform.release()}, file system {_file_system(work)}",
        f"Python {platform.python_version()}; " + ", ".join(_package(name) for name in _PACKAGES),
        ", ".join(_program(name, words) for name, words in _PROGRAMS.items()),
    ]


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    model = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    extra = " with SHA instructions" if " sha_ni" in text else ""
    return (model[1] if model else platform.machine()) + extra


def _file_system(path: Path) -> str:
    done = subprocess.run(["stat", "-f", "-c", "%T", str(path)], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def _package(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"no {name}"


def _program(name: str, words: tuple[str, ...]) -> str:
    if shutil.which(words[0]) is None:
        return f"no {name}"
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    found = re.search(r"\d+\.[\d.]*\d", done.stdout + done.stderr)
    return f"{name} {found[0] if found else '?'}"


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stdout, flush=True)
