"""What a sweep does at one point: put the stage back, run with a fault, check, run again without one, check again.

These functions run in the zygote. The stage is a directory with a project, a second target, a store and canaries;
its path is fixed, since receipts and links name it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import json
import os
import re
import shutil
import signal
import stat
import sys
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from invariants import journals_parse, look, promised
from sweep import sabotage
from sweep.shim import Fault, Shim
from sweep.zygote import Child, Ended, Resident

from synapse_sync.cli.main import main
from synapse_sync.engine import collect
from synapse_sync.store.receipt_log import as_json, sealed

Words = tuple[str, ...]
PROJECT, STORE = "project", "home/store"
#: What may come and go in the store.
OURS = tuple(f"{STORE}/{name}/" for name in ("blobs", "locks", "meta", "partials", "projects", "quarantine", "tmp"))
#: The trees of the stage, where what is visible is either as before or as wanted.
TREES = ("project/ui", "second", "other/ui")
CANARY = "canary"
_RECEIPTS = ".synapse/receipt-*.json"
_ASIDE = re.compile(r"\.set-aside-\d+$")


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Commands that start from a state of the stage, kept in `template`.

    `again` are exit codes that a repetition may end with, since what was done already may be refused; `hurt` those
    of a run with errors, besides 1 and 9. `lossy` says that dropping bytes is the point of it. `codes` are those of
    the undisturbed run.
    """

    name: str
    stage: str
    template: str
    commands: tuple[Words, ...]
    codes: tuple[int, ...] = ()
    again: frozenset[int] = frozenset({0})
    hurt: frozenset[int] = frozenset()
    lossy: bool = False
    sabotage: str | None = None
    no_locks: bool = False


@dataclass(frozen=True, kw_only=True)
class Golden:
    """What a scenario does when nothing happens: calls, exit codes, and the pictures before, between and after."""

    calls: tuple[str, ...]
    codes: tuple[int, ...]
    pictures: tuple[Mapping[str, str], ...]
    said: str


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of one point."""

    point: str
    signal: int | None
    codes: tuple[int, ...]
    problems: tuple[str, ...] = ()
    said: str = ""
    waited: bool = False


# -- the stage -------------------------------------------------------------------------------------


def put_back(template: Path, stage: Path) -> None:
    """Make the stage what the template is: hard links, times, and signed receipts that know the new inodes."""
    if stage.exists():
        _clear(stage)
    seen: dict[int, str] = {}
    _copy(str(template), str(stage), seen)
    for root, path in [(stage / tree, path) for tree in TREES for path in (stage / tree).glob(_RECEIPTS)]:
        data = json.loads(path.read_bytes())
        for entry in data["entries"]:
            with contextlib.suppress(FileNotFoundError):
                entry["inode"] = (root / entry["path"]).stat().st_ino
        data.pop("seal", None)
        content = as_json(data)
        for key in (stage / "home/store").glob("receipt-key-*"):
            content = sealed(content, key.read_bytes())
        path.write_bytes(content)


def _clear(stage: Path) -> None:
    for folder, _, _ in os.walk(stage):
        os.chmod(folder, 0o755)
    shutil.rmtree(stage)


def _copy(source: str, copy: str, seen: dict[int, str]) -> None:
    os.mkdir(copy)
    with os.scandir(source) as entries:
        for entry in entries:
            target = f"{copy}/{entry.name}"
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), target)
            elif entry.is_dir():
                _copy(entry.path, target, seen)
            elif (info := entry.stat()).st_ino in seen:
                os.link(seen[info.st_ino], target)
            else:
                with open(entry.path, "rb") as old, open(target, "xb") as new:
                    new.write(old.read())
                    os.fchmod(new.fileno(), stat.S_IMODE(info.st_mode))
                os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))
                seen[info.st_ino] = target


def picture(stage: Path) -> dict[str, str]:
    """Every file and link of the stage with what is in it; directories are left out."""
    found: dict[str, str] = {}
    _look(str(stage), "", found, {})
    return found


def _look(folder: str, shown: str, found: dict[str, str], hashed: dict[int, str]) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            where = shown + entry.name
            if entry.is_symlink():  # links to directories count as files
                found[where] = f"-> {os.readlink(entry.path)}"
            elif entry.is_dir():
                _look(entry.path, f"{where}/", found, hashed)
            elif (inode := entry.inode()) in hashed:
                found[where] = hashed[inode]
            else:
                with open(entry.path, "rb") as file:
                    found[where] = hashed[inode] = hashlib.sha256(file.read()).hexdigest()


def content(stage: Path, shown: Mapping[str, str], path: str) -> str | None:
    """The digest behind a path of a picture; a link into the store counts as the bytes it leads to."""
    value = shown.get(path)
    if value is not None and value.startswith("-> "):
        with contextlib.suppress(ValueError):
            return shown.get(os.path.relpath(value[3:], stage), value)
    return value


def visible(shown: Collection[str]) -> set[str]:
    """The paths in the trees that a UI would list."""
    return {
        path
        for path in shown
        if path.startswith(tuple(f"{tree}/" for tree in TREES)) and not any(p[0] == "." for p in path.split("/"))
    }


# -- running -----------------------------------------------------------------------------------------


def child(
    stage: Path,
    words: Sequence[Words],
    fault: Callable[[Callable[[], None]], Fault] | None = None,
    *,
    scenario: Scenario | None = None,
    project: str = PROJECT,
    shots: bool = False,
) -> Child:
    """A process that runs these commands, with a fault; its value is (exit codes, calls, pictures).

    It ends with the first command that fails.
    """

    def run(tell: Callable[[], None]) -> tuple[list[int], list[str], list[dict[str, str]]]:
        _prepare(scenario)
        shim = Shim(fault(tell) if fault is not None else Fault(), f"{stage}/")
        shim.install()
        codes: list[int] = []
        pictures = [picture(stage)] if shots else []
        for command in words:
            codes.append(main([*command, "--no-progress", "-C", str(stage / project)]))
            if shots:
                pictures.append(picture(stage))
            elif codes[-1]:
                break
        return codes, shim.calls, pictures

    return Child(run)


def _prepare(scenario: Scenario | None) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    collect.GRACE = -3600.0  # everything is old enough
    if scenario is None:
        return
    if scenario.sabotage:
        getattr(sabotage, scenario.sabotage)()
    if scenario.no_locks:
        fcntl = importlib.import_module("fcntl")
        fcntl.flock = lambda handle, flags: None


# -- what the zygote is asked for ----------------------------------------------------------------------


def run(stage: str, words: Sequence[Words], project: str = PROJECT) -> tuple[list[int], str]:
    """Run commands on the stage as it is, for building templates."""
    ended = child(Path(stage), words, project=project).end()
    if ended.value is None:
        raise AssertionError(f"{words}: {ended.said}")
    return ended.value[0], ended.said


def golden(scenario: Scenario) -> Golden:
    """Run a scenario undisturbed."""
    stage = Path(scenario.stage)
    put_back(Path(scenario.template), stage)
    _warm_up(stage, scenario.commands)
    put_back(Path(scenario.template), stage)
    way = scenario.sabotage if scenario.sabotage in sabotage.HARMLESS else None
    ended = child(stage, scenario.commands, scenario=replace(scenario, sabotage=way), shots=True).end()
    assert ended.value is not None, ended.said
    codes, calls, pictures = ended.value
    return Golden(calls=tuple(calls), codes=tuple(codes), pictures=tuple(pictures), said=ended.said)


def _warm_up(stage: Path, words: Sequence[Words]) -> None:
    """Run commands in this process: children need not import, compile and allocate again what that takes.

    They inherit nothing that the package remembers of files: each of its caches is emptied.
    """
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        for command in (*words, ("sync", "--yes"), ("sync", "--check")):
            main([*command, "--no-progress", "-C", str(stage / PROJECT)])
    _forget()
    assert threading.active_count() == 1, "a process with threads cannot be forked"


def _forget() -> None:
    """Empty each cache of the package."""
    for forget in _caches(len(sys.modules)):
        forget()


@functools.cache
def _caches(modules: int) -> list[Callable[[], None]]:
    """What empties each cache of the package, as long as no further module is loaded."""
    ours = [vars(module) for name, module in list(sys.modules.items()) if name.startswith("synapse_sync")]
    found = (getattr(value, "cache_clear", None) for names in ours for value in names.values())
    return [forget for forget in found if callable(forget)]


def _again(request: tuple[Path, Sequence[Words]]) -> list[int]:
    """Run all of these commands on the stage, as a process that knows nothing of it; returns their exit codes."""
    stage, words = request
    _prepare(None)
    _without_fsync(f"{stage}/")
    codes = [main([*command, "--no-progress", "-C", str(stage / PROJECT)]) for command in words]
    _forget()
    return codes


@functools.cache
def _without_fsync(root: str) -> None:
    Shim(Fault(), root).install()


#: Runs the repetitions of all points.
_repeat = Resident(_again)


def point(scenario: Scenario, known: Golden, kind: str, at: int, forever: bool = False) -> Verdict:
    """One point: a fault at the `at`-th call, then the checks, the repetition and the checks after it."""
    stage = Path(scenario.stage)
    put_back(Path(scenario.template), stage)
    ended = child(
        stage,
        scenario.commands,
        lambda tell: Fault(kind, at, forever=forever, told=tell),
        scenario=scenario,
    ).end()
    name = f"{scenario.name}: {kind}{' from' if forever else ' at'} call {at}"
    problems = judge_end(kind, ended, scenario, known)
    return recover(scenario, known, name, ended, problems)


def twice(scenario: Scenario, known: Golden, at: int, second: int) -> Verdict:
    """Killed at one call, and the repetition killed at another (case 82)."""
    stage = Path(scenario.stage)
    put_back(Path(scenario.template), stage)
    child(stage, scenario.commands, lambda tell: Fault("before", at), scenario=scenario).end()
    ended = child(stage, scenario.commands, lambda tell: Fault("before", second), scenario=scenario).end()
    return recover(scenario, known, f"{scenario.name}: killed at {at}, then at {second}", ended, [])


def pair(scenario: Scenario, known: Golden, at: int, other: Sequence[Words], project: str) -> Verdict:
    """One process stopped at a call while another runs until it ends or waits; then both go on."""
    stage = Path(scenario.stage)
    put_back(Path(scenario.template), stage)
    first = child(stage, scenario.commands, lambda tell: Fault("stop", at, told=tell), scenario=scenario)
    stopped = first.told()
    second = child(stage, other, scenario=scenario, project=project)
    waited = second.waits()
    if stopped:
        os.kill(first.pid, signal.SIGCONT)
    ends = [first.end(), second.end()]
    name = (
        f"{scenario.name}: stopped at call {at} for {' + '.join(' '.join(words) for words in other)} in {project}"
    )
    problems = []
    for ended in ends:
        problems += judge_end("stop", ended, scenario, known)
    verdict = recover(scenario, known, name, ends[0], problems)
    return replace(verdict, waited=waited, said=f"{ends[1].said}\n--- the first:\n{verdict.said}")


def swapped(scenario: Scenario, known: Golden, at: int, path: str) -> Verdict:
    """A process is stopped at a call, a file becomes a link to one of somebody else's, and it goes on (case 91)."""
    stage = Path(scenario.stage)
    put_back(Path(scenario.template), stage)
    place, canary = stage / path, stage / CANARY / "model.safetensors"
    before = look(canary)
    running = child(stage, scenario.commands, lambda tell: Fault("stop", at, told=tell), scenario=scenario)
    if running.told():
        os.waitpid(running.pid, os.WUNTRACED)
        place.unlink(missing_ok=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(canary)
        os.kill(running.pid, signal.SIGCONT)
    ended = running.end()
    problems = judge_end("stop", ended, replace(scenario, hurt=scenario.hurt | {6, 7}), known)
    if look(canary) != before:
        problems.append("I2: what the link leads to was touched")
    return Verdict(
        point=f"{scenario.name}: {path} swapped at call {at}", signal=ended.signal, codes=(),
        problems=tuple(problems), said=ended.said,
    )  # fmt: skip


def judge_end(kind: str, ended: Ended, scenario: Scenario, known: Golden) -> list[str]:
    """What is wrong with the way in which a process ended."""
    problems = []
    if ended.hung:
        problems.append("it hung")
    elif ended.signal is not None:
        allowed = {"before": {9}, "after": {9}, "SIGTERM": {15}, "SIGHUP": {1}}.get(kind, set())
        if ended.signal not in allowed:
            problems.append(f"it died of signal {ended.signal}")
    elif ended.value is None:
        problems.append("it crashed")
    if "Traceback" in ended.said:
        problems.append("I7: a traceback")
    codes = ended.value[0] if ended.value is not None else []
    usual = {*known.codes, *scenario.again, 0}
    if kind == "SIGINT":
        usual |= {130, 8, 2, 6}
    elif kind not in ("before", "after", "count"):
        usual |= {1, 8, 9} | scenario.hurt | ({7} if scenario.no_locks else set())
    problems += [f"I7: exit code {code}" for code in codes if code not in usual]
    return problems


def recover(scenario: Scenario, known: Golden, name: str, ended: Ended, problems: list[str]) -> Verdict:
    """The checks right after a fault, the repetition without it, and the checks after that."""
    stage = Path(scenario.stage)
    problems = [*problems, *(f"at once: {p}" for p in check(stage, known, lossy=scenario.lossy))]
    sync: tuple[Words, ...] = () if scenario.commands[-1][0] == "sync" else (("sync", "--yes"),)
    words = (*scenario.commands, *sync, ("sync", "--check"))
    again = _repeat((stage, words))
    codes = again.value if again.value is not None else []
    if again.value is None or again.hung:
        problems.append("I4: the repetition crashed or hung")
    elif not set(codes[:-2]) <= {*known.codes, *scenario.again, 0} or codes[-2:] != [0, 0]:
        problems.append(f"I4: the repetition ends with {codes}")
    problems += [f"after the repetition: {p}" for p in check(stage, known, lossy=scenario.lossy, final=True)]
    said = f"{ended.said}\n--- again:\n{again.said}" if problems else ""
    first = tuple(ended.value[0]) if ended.value is not None else ()
    return Verdict(point=name, signal=ended.signal, codes=first, problems=tuple(problems), said=said)


# -- the checks --------------------------------------------------------------------------------------


def check(stage: Path, known: Golden, *, lossy: bool, final: bool = False) -> list[str]:
    """Everything that must be true of the stage at any time; with `final`, also that the aim is reached."""
    shown = picture(stage)
    before, after = known.pictures[0], known.pictures[-1]
    problems = [
        f"I2: {path} was touched"
        for path in before
        if path.startswith(f"{CANARY}/") and shown.get(path) != before[path]
    ]
    for path, value in shown.items():
        bad = value != path.rpartition("/")[2] and (final or before.get(path) != value)
        if path.startswith(f"{STORE}/blobs/") and bad:
            problems.append(f"I1: {path} holds {value[:12]}")
    allowed = {p for picture in known.pictures for p in picture}
    for path in sorted(visible(shown)):
        found = content(stage, shown, path)
        if _is_aside(path, found):  # whatever was there, ours or the user's
            contents = {value for picture in known.pictures for value in picture.values()}
        else:
            contents = {content(stage, picture, path) for picture in known.pictures}
            contents |= {picture.get(path) for picture in known.pictures}
        if path not in allowed and not _is_aside(path, found):
            problems.append(f"I5: {path} should not be there")
        elif not {found, shown[path]} & contents and not (found or "").startswith("-> "):
            problems.append(f"I1: {path} holds {(found or '')[:12]}")
    problems += [f"I5: {path} should not be there" for path in shown if _is_stray(path, allowed)]
    problems += _own_files(stage, shown, known)
    if not lossy:
        kept = set(shown.values())
        problems += [
            f"bytes are lost: {path}"
            for path, value in before.items()
            if _is_weights(path) and not value.startswith("-> ") and value not in kept
        ]
    if final:
        for path in sorted(visible(shown) | visible(after)):
            found = content(stage, shown, path)
            if found != content(stage, after, path) and not _is_aside(path, found):
                problems.append(f"I4: {path} is not what it should be")
        for path in after:
            if path.startswith(f"{STORE}/blobs/") and path.rpartition("/")[2] not in shown.values():
                problems.append(f"I4: {path} is nowhere")  # a blob may have moved out into a tree
        for name in ("synapse.toml", "synapse.lock"):
            if shown.get(f"{PROJECT}/{name}") != after.get(f"{PROJECT}/{name}"):
                problems.append(f"I4: {name} is another one")
    return problems


def _is_aside(path: str, found: str | None) -> bool:
    """Whether this is a file that was moved aside, perhaps for the second time."""
    return _ASIDE.search(path) is not None and found is not None


def _is_weights(path: str) -> bool:
    return path.startswith((f"{STORE}/blobs/", *TREES)) and "/.synapse/" not in path


def _is_stray(path: str, allowed: Collection[str]) -> bool:
    """Whether nobody would expect a hidden file here."""
    if path in allowed or path.startswith(OURS) or path in visible([path]):
        return False
    name = path.rpartition("/")[2]
    return not (
        name.startswith((".synapse-tmp-", ".receipt-", ".synapse.lock.", ".synapse.toml.")) or ".synapse/" in path
    )


def _own_files(stage: Path, shown: Mapping[str, str], known: Golden) -> list[str]:
    """Manifest and lockfile are old or new; receipts, journals and notes can be read."""
    problems = []
    for path in (f"{PROJECT}/synapse.toml", f"{PROJECT}/synapse.lock"):
        if shown.get(path) not in {picture.get(path) for picture in known.pictures}:
            problems.append(f"I3: {path} is neither old nor new")
    try:
        lockfile = stage / PROJECT / "synapse.lock"
        roots = [stage / tree for tree in TREES]
        promised(lockfile.read_text("utf-8") if lockfile.exists() else "", roots)
        journals_parse(roots)
        for path in (stage / STORE / "projects").glob("*.json"):
            json.loads(path.read_bytes())
    except Exception as error:
        problems.append(f"I3: {error}")
    return problems
