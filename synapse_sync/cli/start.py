"""The first step of the installed command: Ctrl-C ends it quietly, before anything else of synapse is imported.

Nothing but `_signal`, which is part of Python itself, is imported before that: `__future__` would be a third of the
time until then.
"""

import _signal as signal  # type: ignore[import-not-found]  # the same without enum, which takes milliseconds

TYPE_CHECKING = False  # see `places.py`
if TYPE_CHECKING:
    from typing import NoReturn


def quiet_interrupt() -> None:
    """Let Ctrl-C end the process without a traceback, until `Interrupts` handles it; an ignored one stays so."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def entry() -> "NoReturn":
    """Run the installed command."""
    quiet_interrupt()
    from synapse_sync.cli.main import entry as run  # its imports take most of the time of a start

    run()
