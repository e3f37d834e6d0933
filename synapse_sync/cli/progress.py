"""Progress of downloads: bars on a terminal, plain lines in logs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synapse_sync.cli.texts import cell_text, count_text, fit_text, left_text, text_width
from synapse_sync.core.reporter import Reporter
from synapse_sync.core.size_text import size_text

if TYPE_CHECKING:
    from synapse_sync.errors import SynapseError

#: Seconds between progress lines where there is no terminal.
PLAIN_EVERY = 5.0
#: A download of fewer bytes ends before anybody reads a line about its beginning.
_SOON = 8 << 20
#: What became of a file at the end of other work than a download.
_DONE = {"hashing": "hashed", "uploading": "uploaded"}


@dataclass(slots=True)
class _File:
    """One download; its numbers are bytes. `seen` was `done` when the last line was written."""

    name: str
    total: int | None
    done: int
    seen: int
    word: str = "downloading"
    work: str = "downloading"  # for which the bytes count


class _Sum:
    """All downloads of a run together. `size` is None as soon as one of them has no known size."""

    def __init__(self) -> None:
        self.files = self.finished = self.done = 0
        self.size: int | None = 0
        self.active: dict[str, _File] = {}

    def planned(self, files: int, size: int | None) -> None:
        self.files += files
        self.size = None if self.size is None or size is None else self.size + size

    def started(self, key: str, name: str, total: int | None, done: int, work: str = "downloading") -> bool:
        """Count a file that begins; returns whether it is new. A file that begins again loses its bytes so far."""
        before = self.active.get(key)
        self.done += done - (before.done if before is not None else 0)
        self.active[key] = _File(name, total, done, seen=done, word=work, work=work)
        return before is None

    def advanced(self, key: str, count: int) -> None:
        file = self.active.get(key)
        if file is not None:
            file.done += count
            self.done += count

    def ended(self, key: str, *, failed: bool) -> _File | None:
        """Count a file that ended; returns it if it had begun. The missing bytes of a failed file leave the sum."""
        self.finished += 1
        file = self.active.pop(key, None)
        if failed and file is not None and file.total is not None and self.size is not None:
            self.size -= max(0, file.total - file.done)
        return file

    @property
    def name(self) -> str:
        """The name of the line about all files."""
        return f"all, {min(self.finished, self.files):,} of {count_text(self.files, 'file')}"


class _Talk(Reporter):
    """The lines of both reporters: `say` writes a line of talk, `warn` a warning; phases are said if `verbose`."""

    def __init__(self, say: Callable[[str], None], warn: Callable[[str], None], *, verbose: bool = False) -> None:
        self._say, self._warn, self._verbose = say, warn, verbose

    def phase(self, text: str) -> None:
        if self._verbose:
            self._say(text)

    def note(self, text: str) -> None:
        self._say(text)

    def warn(self, text: str) -> None:
        self._warn(text)


class Lines(_Talk):
    """Progress as plain lines, for logs: when a download begins and ends, and every few seconds.

    `say` writes a line of talk, `warn` a warning; phases are said if `verbose`.
    """

    def __init__(self, say: Callable[[str], None], warn: Callable[[str], None], *, verbose: bool = False) -> None:
        super().__init__(say, warn, verbose=verbose)
        self._lock = threading.Lock()
        self._sum = _Sum()
        self._last = time.monotonic()
        self._seen = 0

    def transfers_planned(self, files: int, size: int | None) -> None:
        with self._lock:
            self._sum.planned(files, size)
            self._last, self._seen = time.monotonic(), self._sum.done

    def transfer_started(
        self, key: str, name: str, total: int | None, done: int, word: str = "downloading"
    ) -> None:
        with self._lock:
            self._seen += done  # bytes from an earlier run say nothing about the speed
            self._sum.started(key, name, total, done, word)
        if total is not None and total - done < _SOON:
            return
        resumed = f", continues at {size_text(done)}" if done else ""
        self._say(f"{word} {name}" + (f"  {size_text(total)}" if total else "") + resumed)

    def transfer_advanced(self, key: str, count: int) -> None:
        with self._lock:
            self._sum.advanced(key, count)
            now = time.monotonic()
            if (elapsed := now - self._last) < PLAIN_EVERY:
                return
            lines = list(self._lines(elapsed))
            self._last = now
        for line in lines:
            self._say(line)

    def transfer_phase(self, key: str, word: str) -> None:
        with self._lock:
            if (file := self._sum.active.get(key)) is not None:
                file.word = word

    def transfer_finished(self, key: str, error: SynapseError | None) -> None:
        with self._lock:
            file = self._sum.ended(key, failed=error is not None)
        if error is not None or file is None:  # nothing was read of a file that had never begun
            return
        if file.done or file.work not in _DONE:  # none of them was a model that had to be read
            self._say(f"{_DONE.get(file.work, 'verified')} {file.name}  {size_text(file.done)}")

    def _lines(self, elapsed: float) -> Iterator[str]:
        for file in self._sum.active.values():
            rate = max(0, file.done - file.seen) / elapsed
            file.seen = file.done
            word = "downloading" if file.word == file.work else file.word
            yield progress_text(file.name, file.done, file.total, rate=rate, word=word)
        if self._sum.files > 1:
            rate = max(0, self._sum.done - self._seen) / elapsed
            yield progress_text(self._sum.name, self._sum.done, self._sum.size, rate=rate)
        self._seen = self._sum.done


def progress_text(name: str, done: int, total: int | None, *, rate: float, word: str = "downloading") -> str:
    """Return a line about one download; `done` and `total` are bytes, `rate` is in bytes per second."""
    text = f"  {name}: {size_text(done)}"
    if total:
        text += f" of {size_text(total)} ({100 * min(done, total) / total:.0f} %)"
    if word != "downloading":
        return f"{text}, {word}"
    text += f", {size_text(rate)}/s"
    return f"{text}, {left_text((total - done) / rate)} left" if total and rate >= 1 and total > done else text


def _phase(word: str) -> str:
    """The word beside a bar: downloads need none."""
    return "" if word == "downloading" else word


class Bars(_Talk):
    """Progress bars by rich: a line a file, and one for all where there are several.

    `say` writes a line of talk, `warn` a warning; both ask `above` first. Phases are said if `verbose`.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        warn: Callable[[str], None],
        *,
        verbose: bool = False,
        color: bool | None = None,
    ) -> None:
        from rich.console import Console as Screen
        from rich.console import RenderableType
        from rich.constrain import Constrain
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )
        from rich.table import Column

        screen = Screen(stderr=True, no_color=color is False)

        class Narrow(Progress):
            """Bars that leave room for the terminal's `^C`, which would begin a new line after a full one."""

            def get_renderables(self) -> Iterator[RenderableType]:
                for renderable in super().get_renderables():
                    yield Constrain(renderable, max(20, screen.width - 4))

        super().__init__(say, warn, verbose=verbose)
        self._progress = Narrow(
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=None),
            DownloadColumn(table_column=Column(no_wrap=True)),
            TransferSpeedColumn(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[word]}", markup=False, table_column=Column(no_wrap=True)),
            console=screen,
            transient=True,
            expand=True,
        )
        self._sum = _Sum()
        self._all: Any = None
        self._tasks: dict[str, Any] = {}
        self._over = False
        self._lock = threading.Lock()

    def above(self, text: str) -> bool:
        """Print a line above the bars; False where no bar is shown, and nothing was printed."""
        if not self._tasks:
            return False
        from rich.text import Text

        self._progress.print(Text.from_ansi(text))
        return True

    def transfers_planned(self, files: int, size: int | None) -> None:
        with self._lock:
            self._sum.planned(files, size)

    def transfer_started(
        self, key: str, name: str, total: int | None, done: int, word: str = "downloading"
    ) -> None:
        with self._lock:
            if self._over:  # race: at an interrupt, a thread that was left behind comes here last
                return
            if not self._tasks:
                self._start()
            self._sum.started(key, name, total, done, word)
            self._show_all()
            if (task := self._tasks.get(key)) is not None:
                self._progress.reset(task, total=total, completed=done)
                return
            room = max(18, self._progress.console.width - 56)
            short = cell_text(name)
            short = short if text_width(short) <= room else fit_text(short, room).rstrip()
            self._tasks[key] = self._progress.add_task(short, total=total, completed=done, word=_phase(word))

    def _start(self) -> None:
        try:
            self._progress.start()
        except RuntimeError:  # no more threads: without one of their own, the bars move when a file begins or ends
            self._progress.live.auto_refresh = False

    def transfer_advanced(self, key: str, count: int) -> None:
        # Under the lock: at an interrupt, `stop` removes the bars in another thread.
        with self._lock:
            self._sum.advanced(key, count)
            if (task := self._tasks.get(key)) is None:
                return
            self._progress.advance(task, count)
            if self._all is not None:
                self._progress.advance(self._all, count)

    def transfer_phase(self, key: str, word: str) -> None:
        with self._lock:
            if (task := self._tasks.get(key)) is not None:
                self._progress.update(task, word=_phase(word))

    def transfer_finished(self, key: str, error: SynapseError | None) -> None:
        with self._lock:
            self._sum.ended(key, failed=error is not None)
            task = self._tasks.pop(key, None)
            if task is not None:
                self._progress.remove_task(task)
            if self._tasks:
                self._show_all()
            else:
                self._clear()

    def stop(self) -> None:
        """Remove everything from the screen; nothing is shown after that."""
        with self._lock:
            self._over = True
            self._tasks.clear()
            self._clear()

    def _show_all(self) -> None:
        """Update the line about all files, which is the first one."""
        if self._sum.files < 2:
            return
        name, size, done = self._sum.name, self._sum.size, self._sum.done
        if self._all is None:
            self._all = self._progress.add_task(name, total=size, completed=done, word="")
        else:
            self._progress.update(self._all, description=name, total=size, completed=done)

    def _clear(self) -> None:
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        self._all = None
        self._progress.stop()
