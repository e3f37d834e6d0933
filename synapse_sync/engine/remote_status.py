"""Remote status: which of the locked files each remote has. Looks only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.remote import Remote
from synapse_sync.engine.push_choice import Upload
from synapse_sync.errors import SynapseError
from synapse_sync.net.at_once import at_once
from synapse_sync.suppliers.remote.base import UNKNOWN, RemoteStore
from synapse_sync.suppliers.remote.refusals import MayLack
from synapse_sync.suppliers.remote.remotes import Remotes

_AT_ONCE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteState:
    """The files of one remote that are `there`, and those that are `missing`; an `error` if nobody knows.

    `wrong` are files under a right digest that have another size. Where a remote does not say sizes, it has none.
    """

    remote: Remote
    there: tuple[Upload, ...] = ()
    missing: tuple[Upload, ...] = ()
    wrong: tuple[Upload, ...] = ()
    error: SynapseError | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {
            "remote": self.remote.address,
            "there": len(self.there),
            "there_bytes": sum(upload.size for upload in self.there),
            "missing": [_value(each) for each in self.missing],
            "wrong": [_value(each) for each in self.wrong],
            "error": None if self.error is None else self.error.to_dict(),
        }


def _value(upload: Upload) -> dict[str, Any]:
    return {"sha256": upload.sha256, "size": upload.size, "model": upload.model, "filename": upload.filename}


def remote_states(
    remotes: Remotes, uploads: Sequence[Upload], true_size: Callable[[str, int], int | None]
) -> tuple[RemoteState, ...]:
    """Ask each remote for each file: one request a file, several at once. A failure is in the answer.

    `true_size(sha256, said)` returns the size in bytes of a verified file of this machine, if it is another than
    the locked one: sites are wrong about sizes at times.
    """
    sizes = {each.sha256: true_size(each.sha256, each.size) or each.size for each in uploads}
    return tuple(_state(remotes, remote, uploads, sizes) for remote in remotes.remotes)


def _state(remotes: Remotes, remote: Remote, uploads: Sequence[Upload], true: Mapping[str, int]) -> RemoteState:
    try:
        store = remotes.open(remote)
        answers = at_once(partial(_size, store), uploads, _AT_ONCE)
    except SynapseError as error:
        return RemoteState(remote=remote, error=error)
    refused = next((answer for answer in answers if isinstance(answer, MayLack)), None)
    if refused is not None and not any(isinstance(answer, int) for answer in answers):
        return RemoteState(remote=remote, error=refused)
    # A server that lets us at one file lacks those that it refuses.
    pairs = [
        (upload, size if isinstance(size, int) else None) for upload, size in zip(uploads, answers, strict=True)
    ]
    right = {sha256: {size, UNKNOWN} for sha256, size in true.items()}
    return RemoteState(
        remote=remote,
        there=tuple(upload for upload, size in pairs if size in right[upload.sha256]),
        missing=tuple(upload for upload, size in pairs if size is None),
        wrong=tuple(upload for upload, size in pairs if size is not None and size not in right[upload.sha256]),
    )


def _size(store: RemoteStore, upload: Upload) -> int | MayLack | None:
    try:
        return store.size(upload.sha256)
    except MayLack as error:
        return error
