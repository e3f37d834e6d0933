"""The stage of a case: a project with canaries around it, whose every command is watched."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import invariants
from world import Project, Result

NAMES = frozenset({"I1", "I2", "I3", "I4", "I6", "I7", "I8", "I10", "I11", "I12"})


@dataclass(frozen=True)
class Stage(Project):
    """A project with canaries around it; `ends_well` is what every case ends with.

    `roots` are the targets' roots, `secrets` what may be seen nowhere, `healers` make everything go well again,
    `counters` tell how many requests other servers than the hub were sent, and `cleanup` ends those servers.
    """

    roots: list[Path] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    healers: list[Callable[[], object]] = field(default_factory=list)
    counters: list[Callable[[], int]] = field(default_factory=list)
    cleanup: ExitStack = field(default_factory=ExitStack)
    _sizes: dict[str, int] = field(default_factory=dict)
    _said: list[Result] = field(default_factory=list)
    _known: set[str] = field(default_factory=set)
    _canaries: list[Path] = field(default_factory=list)
    _before: dict[str, invariants.Look] = field(default_factory=dict)
    _excused: dict[str, str] = field(default_factory=dict)

    # -- what a case may do ------------------------------------------------------------------------

    def __call__(self, *words: str, code: int | None = 0) -> Result:
        """Run one command (I7) within bounds (I8), which writes nothing if it is one that only looks (I11)."""
        reads = invariants.only_reads(words) and "I11" not in self._excused
        before = invariants.state_of(self.path, self.store) if reads else {}
        meter = invariants.Meter(self.path, self.store, *self.roots)
        result = super().__call__(*words, code=None)
        self.heard(result, words)
        if "I8" not in self._excused:
            meter.check(sum(self._sizes.values()), words)
        if reads:
            after = invariants.state_of(self.path, self.store)
            assert invariants.differences(before, after) == [], f"I11: {words} wrote"
        if code is not None:
            assert result.code == code, f"{words}: {result.code}\n{result.out}\n{result.err}"
        return result

    def heard(self, result: Result, what: object) -> None:
        """Take note of what a command said; for commands that are run in another way than by calling us."""
        self._said.append(result)
        if "I7" not in self._excused:
            invariants.ends_properly(result, what)
        if "I3" not in self._excused:
            self.learn()

    def excuse(self, *names: str, reason: str) -> None:
        """Do not check these invariants at the end, for a reason."""
        assert names and set(names) <= NAMES and reason
        self._excused.update(dict.fromkeys(names, reason))

    def guard(self, *paths: Path) -> None:
        """From now on these files and trees may not be touched (I2)."""
        self._canaries.extend(paths)
        self._before.update(invariants.snapshot(*paths))

    def foreign(self, path: str, content: bytes) -> Path:
        """A file of the user's inside the project, which may not be touched (I2)."""
        place = self.path / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        self.guard(place)
        return place

    def target(self, root: Path) -> None:
        """One more root of a target; a canary tree is planted in it."""
        self.roots.append(root)
        self.guard(invariants.plant(root))

    def locked(self, manifest: str) -> None:
        """Lock this, and empty the store: from here on it is the machine of a colleague who has both files."""
        self.manifest(manifest)
        self("lock")
        self.empty_store()

    def empty_store(self) -> None:
        """The store of a machine on which nothing was ever downloaded."""
        shutil.rmtree(self.store, ignore_errors=True)
        self.hub.clear_log()

    def learn(self) -> None:
        """Note what the lockfile and the receipts promise now (I1, I3)."""
        lock = self.path / "synapse.lock"
        text = lock.read_text("utf-8") if lock.is_file() else ""
        self._known.update(invariants.promised(text, self.roots))
        self._sizes.update(invariants.pinned(text))

    def tree(self, *, root: str = ".") -> dict[str, bytes]:
        """Every file in the project but its own two, what is hidden, and the canaries."""
        base = self.path / root
        return {
            path: content
            for path, content in super().tree(root=root).items()
            if not any((base / path).is_relative_to(canary) for canary in self._canaries)
        }

    # -- what every case ends with -----------------------------------------------------------------

    def holds(self) -> None:
        """What must be true at any moment, also right after a kill: I1, I2, I3, I6."""
        for name, check in (("I1", self._whole), ("I2", self._untouched), ("I3", self._parses), ("I6", self._mum)):
            if name not in self._excused:
                check()

    def ends_well(self) -> None:
        """I1 to I12, as far as they are not excused: now, after a plain second run, and after a third."""
        self.holds()
        if "I4" in self._excused:
            return
        for heal in self.healers:
            heal()
        self.hub.faults.clear()
        if (self.path / "synapse.toml").exists():
            self("sync", "--yes", "--no-progress")
            self.holds()
            if "I10" not in self._excused:
                self._second_run_does_nothing()
        if "I12" not in self._excused:
            spared = {str(path) for path in self._before}
            assert invariants.leftovers(self.store, self.roots, spared) == [], "I12: left over"

    def _second_run_does_nothing(self) -> None:
        self.hub.clear_log()
        count = sum(counter() for counter in self.counters)
        before = invariants.state_of(self.path, self.store, *self.roots)
        self("sync", "--no-progress")
        after = invariants.state_of(self.path, self.store, *self.roots)
        assert invariants.differences(before, after) == [], "I10: the second run wrote"
        asked = len(self.hub.requests()) + sum(counter() for counter in self.counters) - count
        assert asked == 0, f"I10: the second run made {asked} requests"
        assert "in sync" in self("status").out, "I9: done, but not in sync"

    def _whole(self) -> None:
        self.learn()
        invariants.blobs_are_whole(self.store)
        for root in self.roots:
            if root.is_dir() and root.is_relative_to(self.path):
                invariants.tree_is_whole(self.tree(root=str(root.relative_to(self.path))), self._known)

    def _untouched(self) -> None:
        now = invariants.snapshot(*self._canaries)
        assert invariants.differences(self._before, now) == [], "I2: not ours, and touched"

    def _parses(self) -> None:
        self.learn()
        invariants.journals_parse(self.roots)

    def _mum(self) -> None:
        for said in self._said:
            invariants.says_no_secret(said.out + said.err, self.secrets, "what was said")
        invariants.files_hold_no_secret([self.path, self.store, *self.roots], self.secrets)
        tokens = {"civitai": self.hub.civitai_token, "huggingface": self.hub.huggingface_token}
        invariants.tokens_stay_home(self.hub.requests(), tokens)
