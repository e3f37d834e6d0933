"""Reporter: the calls by which a run reports its progress. All are no-ops; the console overrides what it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synapse_sync.core.report import Outcome
    from synapse_sync.errors import SynapseError


class Reporter:
    """Receives the progress of a run and shows nothing.

    Several threads call these methods at once, so they must be quick, and a subclass that draws needs a lock.
    `key` is `Want.key`: it names one transfer from `transfer_started` to `transfer_finished`.
    """

    def phase(self, text: str) -> None:
        """A new part of the work begins ("resolving 12 models")."""

    def note(self, text: str) -> None:
        """A line of information."""

    def warn(self, text: str) -> None:
        """A warning; the work continues."""

    def transfers_planned(self, files: int, size: int | None) -> None:
        """`files` files will be downloaded, `size` bytes in all; None if a size is unknown."""

    def transfer_started(
        self, key: str, name: str, total: int | None, done: int, word: str = "downloading"
    ) -> None:
        """The download of a file begins: `total` bytes if known, of which `done` are here already.

        Called again for the same key when the size becomes known, or when the file starts over. `word` is
        "hashing" for files that are read where they are.
        """

    def transfer_advanced(self, key: str, count: int) -> None:
        """`count` more bytes have arrived."""

    def transfer_phase(self, key: str, word: str) -> None:
        """The phase of a transfer: `waiting`, `downloading`, `hashing` or `verifying`."""

    def transfer_finished(self, key: str, error: SynapseError | None) -> None:
        """The file is in the store, or `error` says why not. A key may finish that never started."""

    def action_done(self, outcome: Outcome) -> None:
        """One action of the plan was carried out, or failed."""


class Attentive(Reporter):
    """Passes everything on to another reporter and collects the warnings, which the answer contains as well."""

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

    def transfer_started(
        self, key: str, name: str, total: int | None, done: int, word: str = "downloading"
    ) -> None:
        self._reporter.transfer_started(key, name, total, done, word)

    def transfer_advanced(self, key: str, count: int) -> None:
        self._reporter.transfer_advanced(key, count)

    def transfer_phase(self, key: str, word: str) -> None:
        self._reporter.transfer_phase(key, word)

    def transfer_finished(self, key: str, error: SynapseError | None) -> None:
        self._reporter.transfer_finished(key, error)

    def action_done(self, outcome: Outcome) -> None:
        self._reporter.action_done(outcome)
