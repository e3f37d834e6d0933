"""The front door: a sync with nothing to do is answered at once, everything else by the commands."""

from __future__ import annotations

import atexit
import os
import signal
import sys

from synapse_sync.cli.quick import answer
from synapse_sync.cli.streams import Streams

TYPE_CHECKING = False  # see `places.py`
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn


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
    except KeyboardInterrupt:
        from synapse_sync.cli.console import Console

        Console.for_arguments(arguments).interrupted()
        return 130
    return run(arguments)


def command() -> int:
    """Run the command as a process: SIGTERM and SIGHUP are treated like Ctrl-C."""
    asked: list[int] = []

    def stop(number: int, frame: object) -> None:
        asked.append(number)
        raise KeyboardInterrupt

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # `nohup` has it ignored
            signal.signal(number, stop)
    code = main()
    return 128 + asked[0] if asked and code == 130 else code


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
