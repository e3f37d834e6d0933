"""Remote status: which of the locked files each remote has. Looks only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from synapse_sync.core.remote import Remote
from synapse_sync.engine.push_choice import Upload
from synapse_sync.errors import SynapseError
from synapse_sync.net.at_once import at_once
from synapse_sync.suppliers.remote.base import RemoteStore
from synapse_sync.suppliers.remote.remotes import Remotes

_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteState:
    """The files of one remote that are `there`, and those that are `missing`; an `error` if nobody knows."""

    remote: Remote
    there: tuple[Upload, ...] = ()
    missing: tuple[Upload, ...] = ()
    error: SynapseError | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {
            "remote": self.remote.address,
            "there": len(self.there),
            "there_bytes": sum(upload.size for upload in self.there),
            "missing": [
                {"sha256": each.sha256, "size": each.size, "model": each.model, "filename": each.filename}
                for each in self.missing
            ],
            "error": None if self.error is None else self.error.to_dict(),
        }


def remote_states(remotes: Remotes, uploads: Sequence[Upload]) -> tuple[RemoteState, ...]:
    """Ask each remote for each file: one request a file, several at once. A failure is in the answer."""
    return tuple(_state(remotes, remote, uploads) for remote in remotes.remotes)


def _state(remotes: Remotes, remote: Remote, uploads: Sequence[Upload]) -> RemoteState:
    try:
        store = remotes.open(remote)
        sizes = at_once(partial(_size, store), uploads, _AT_ONCE)
    except SynapseError as error:
        return RemoteState(remote=remote, error=error)
    pairs = list(zip(uploads, sizes, strict=True))
    return RemoteState(
        remote=remote,
        there=tuple(upload for upload, size in pairs if size is not None),
        missing=tuple(upload for upload, size in pairs if size is None),
    )


def _size(store: RemoteStore, upload: Upload) -> int | None:
    return store.size(upload.sha256)
