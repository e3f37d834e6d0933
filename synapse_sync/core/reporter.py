"""Who draws progress: documented no-ops; the console subclasses what it wants to show."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synapse_sync.core.report import Outcome
    from synapse_sync.errors import SynapseError


class Reporter:
    """Hears what is going on and says nothing.

    Methods are called from several threads at once and must be quick; one that draws needs a lock of its own.
    `key` is `Want.key`: one transfer from `transfer_started` to `transfer_finished`.
    """

    def phase(self, text: str) -> None:
        """A new part of the work begins ("resolving 12 models")."""

    def note(self, text: str) -> None:
        """Something worth a line, and no reason to worry."""

    def warn(self, text: str) -> None:
        """Something the user should know, although the work goes on."""

    def transfers_planned(self, files: int, size: int | None) -> None:
        """So many files are going to be fetched, of so many bytes together if all sizes are known."""

    def transfer_started(self, key: str, name: str, total: int | None, done: int) -> None:
        """A file is being fetched: `total` bytes if known, `done` of them here already.

        Called again for the same key when the size becomes known or the file has to begin anew.
        """

    def transfer_advanced(self, key: str, count: int) -> None:
        """`count` more bytes have arrived."""

    def transfer_phase(self, key: str, word: str) -> None:
        """What the transfer does now: `waiting`, `downloading`, `hashing` or `verifying`."""

    def transfer_finished(self, key: str, error: SynapseError | None) -> None:
        """The file is in the store, or `error` says why not. A key that was never started may finish, too."""

    def action_done(self, outcome: Outcome) -> None:
        """One action of the plan was carried out, or failed."""


class Attentive(Reporter):
    """Passes on what it hears, and writes the warnings down: they belong into the answer, too."""

    def __init__(self, reporter: Reporter, warnings: list[str]) -> None:
        self._reporter = reporter
        self._warnings = warnings

    def phase(self, text: str) -> None:
        self._reporter.phase(text)

    def note(self, text: str) -> None:
        self._reporter.note(text)

    def warn(self, text: str) -> None:
        self._warnings.append(text)
        self._reporter.warn(text)

    def transfers_planned(self, files: int, size: int | None) -> None:
        self._reporter.transfers_planned(files, size)

    def transfer_started(self, key: str, name: str, total: int | None, done: int) -> None:
        self._reporter.transfer_started(key, name, total, done)

    def transfer_advanced(self, key: str, count: int) -> None:
        self._reporter.transfer_advanced(key, count)

    def transfer_phase(self, key: str, word: str) -> None:
        self._reporter.transfer_phase(key, word)

    def transfer_finished(self, key: str, error: SynapseError | None) -> None:
        self._reporter.transfer_finished(key, error)

    def action_done(self, outcome: Outcome) -> None:
        self._reporter.action_done(outcome)
