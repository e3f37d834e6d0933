"""Measure: one process from start to end, and several that do the same work in turn."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: No contender needs longer; one that does is hanging.
_PATIENCE = 1800.0
#: A disk without new work for this long (seconds) is at rest; nobody waits longer for that than the second number.
_REST, _UNREST = 0.5, 15.0


class Failed(Exception):
    """A contender did not do the work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """The command to start, and its directory. `env` is its environment without PATH, HOME and the locale."""

    argv: tuple[str, ...]
    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run: wall time, CPU time (user and system, children too), the largest process in bytes.

    A new process counts as large as the one that started it: below `floor()`, `memory` says nothing.
    """

    seconds: float
    cpu: float
    memory: int


def floor() -> int:
    """The most memory that this process ever had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One way to do the work: `command` prepares a new empty folder, `check` raises `Failed`; neither is timed."""

    name: str
    command: Callable[[Path], Command]
    check: Callable[[Path], None] = lambda folder: None


def run(command: Command) -> Sample:
    """Run one process to its end; raises `Failed` with the end of what it said."""
    home = command.folder / ".home"
    home.mkdir(parents=True, exist_ok=True)
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", **command.env}
    with (home / "output").open("w+b") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            command.argv,
            cwd=command.folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        alarm = threading.Timer(_PATIENCE, os.killpg, (process.pid, signal.SIGKILL))
        alarm.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - began
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        finally:
            alarm.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            output.seek(0)
            said = output.read().decode("utf-8", "replace").strip()[-500:]
            raise Failed(f"{command.argv[0]} ended with {process.returncode}: {said}")
    return Sample(seconds=seconds, cpu=usage.ru_utime + usage.ru_stime, memory=usage.ru_maxrss * 1024)


@dataclass(slots=True)
class Runs:
    """The samples of each contender, round by round, and why some have none."""

    samples: dict[str, list[Sample]]
    dropped: dict[str, str] = field(default_factory=dict)

    def median(self, name: str, of: str) -> float:
        """The median of one figure of a contender."""
        return statistics.median(float(getattr(sample, of)) for sample in self.samples[name])

    def ratio(self, name: str, to: str, of: str) -> float:
        """The median of the ratios between two contenders, taken round by round."""
        pairs = zip(self.samples[name], self.samples[to], strict=True)
        return statistics.median(float(getattr(one, of) / getattr(other, of)) for one, other in pairs)


def compare(contenders: Sequence[Contender], *, runs: int, folder: Path, warm_up: bool = False) -> Runs:
    """Run all contenders in turn, round after round, each round beginning with another one.

    The first contender is ours: its failure is raised. A peer that fails is dropped, and the reason kept.
    """
    result = Runs({contender.name: [] for contender in contenders})
    for number in range(-1 if warm_up else 0, runs):
        turn = max(0, number) % len(contenders)
        for contender in (*contenders[turn:], *contenders[:turn]):
            if contender.name in result.dropped:
                continue
            try:
                sample = _once(contender, folder)
            except Failed as error:
                if contender is contenders[0]:
                    raise
                result.dropped[contender.name] = str(error)
                del result.samples[contender.name]
                print(f"  {contender.name}: dropped: {error}", flush=True)
                continue
            if number >= 0:
                result.samples[contender.name].append(sample)
                print(f"  {number + 1}  {contender.name:40} {sample.seconds:8.3f} s", flush=True)
    return result


def _once(contender: Contender, folder: Path) -> Sample:
    """One run in an empty folder, with nothing waiting to be written by the one before."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        command = contender.command(folder)
        _settle()
        sample = run(command)
        contender.check(folder)
        return sample
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _settle() -> None:
    """Write what waits to be written, and wait until the disks are at rest, as far as the system says.

    Hazard: a file system that discards deleted blocks goes on after `sync`, with the files of the run before.
    """
    os.sync()
    end = time.monotonic() + _UNREST
    before = _disk_work()
    while time.monotonic() < end:
        time.sleep(_REST)
        now = _disk_work()
        if now == before:
            return
        before = now


def _disk_work() -> list[str]:
    """The counters of all disks, equal in two readings if nothing was read or written between them.

    Empty where the system has no such file, as outside Linux.
    """
    try:
        text = Path("/proc/diskstats").read_text()
    except OSError:
        return []
    return [line for line in text.splitlines() if not line.split()[2].startswith(("loop", "ram"))]
