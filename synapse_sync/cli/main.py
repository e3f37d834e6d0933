"""The front door: a sync with nothing to do is answered at once, everything else by the commands."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import time

from synapse_sync.cli.quick import answer
from synapse_sync.cli.streams import Streams

TYPE_CHECKING = False  # see `places.py`
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

#: Seconds after Ctrl-C in which further ones change nothing; a later one ends the process at once.
WAY_OUT = 5.0
#: New objects between two searches for circles of garbage. With Python's 700, a command that reads ten thousand
#: models spends a quarter of its time on searches that find none.
_SEARCHES = (50_000, 20, 20)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code and lets no traceback out (unless `--debug` asks for it)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    with Streams() as streams:
        return streams.settled(_run(arguments))


def _run(arguments: Sequence[str]) -> int:
    try:
        if answer(arguments):
            return 0
        from synapse_sync.cli.commands import run

        return run(arguments)
    except KeyboardInterrupt:  # `run` reports its own; this one arrived before it, or while it reported something
        from synapse_sync.cli.console import Console

        console = Console.for_arguments(arguments)
        console.verb = arguments[0] if arguments else None
        console.interrupted()
        return 130


class Interrupts:
    """The signals that end the command: the first one is raised, and the way out is not disturbed by more of them.

    `number` is the signal that arrived first, or 0. `installed` holds the signals that are handled here.
    """

    def __init__(self) -> None:
        self.number = 0
        self._since = 0.0
        self.installed: list[int] = []

    def install(self) -> None:
        """Handle SIGINT, SIGTERM and SIGHUP, unless the caller has them ignored, as `nohup` does."""
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, self._stop)
                self.installed.append(number)

    def _stop(self, number: int, frame: object) -> None:
        if not self.number:
            self.number, self._since = number, time.monotonic()
            raise KeyboardInterrupt
        if time.monotonic() - self._since > WAY_OUT:  # the way out hangs, or Python dropped the first interrupt
            os.write(2, b"interrupted\n")
            os._exit(128 + self.number)

    def ignore(self) -> None:
        """Ignore the signals from now on. Hazard: the teardown of Python restores the default, which kills."""
        for number in self.installed:
            signal.signal(number, signal.SIG_IGN)


def command() -> int:
    """Run the command as a process: SIGTERM and SIGHUP are treated like Ctrl-C."""
    gc.set_threshold(*_SEARCHES)
    interrupts = Interrupts()
    try:
        interrupts.install()
        code = main()
        interrupts.ignore()
    except KeyboardInterrupt:  # at the edges of `main`, where no work is done
        interrupts.ignore()
        code = 130
        if sys.stderr is not None:
            sys.stderr.write("interrupted\n")
    return 128 + interrupts.number if interrupts.number and code == 130 else code


def entry() -> NoReturn:
    """Run the installed command, and end the process without the teardown of Python.

    The teardown of three hundred modules takes a tenth of the time of a sync.
    """
    code = command()
    threading = sys.modules.get("threading")
    if threading is None or threading.active_count() == 1:
        try:
            atexit._run_exitfuncs()
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
        except Exception:  # Python itself reports the failure
            sys.exit(code)
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    sys.exit(command())
