"""Push by a cluster: each worker uploads some of the files, over its own network and with its own credentials."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.remote import Remote
from synapse_sync.core.reporter import Reporter
from synapse_sync.engine.parallel import Each
from synapse_sync.engine.push import Pushed, PushResult, Standing
from synapse_sync.engine.push_choice import Choice, Upload


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One file for a worker: its `path`, which all machines share, and the address of the remote.

    `to` is the address if the user named it. `repair` says that wrong files in the remote are replaced; all that
    are there are read then. No credential is in it: connections of a cluster need not be encrypted.
    """

    address: str
    upload: Upload
    path: Path | None
    to: str | None = None
    repair: bool = False


def push_spread(
    remote: Remote,
    choice: Choice,
    *,
    each: Each,
    do: Callable[[Errand], PushResult],
    find: Callable[[Upload], Path | None],
    reporter: Reporter,
    to: str | None = None,
    repair: bool = False,
) -> Pushed:
    """Have each file uploaded by one of the workers; failures of single files are in the answer.

    `do` runs on a worker. `find` returns a file of this machine that seems to have the bytes of an upload. `to` and
    `repair` are those of `Errand`. Where the remote is down, the workers are not given the rest. Raises what `each`
    raises.
    """
    uploads, standing = choice.uploads, Standing()
    errands = [
        Errand(address=remote.address, upload=upload, path=find(upload), to=to, repair=repair) for upload in uploads
    ]
    reporter.transfers_planned(len(uploads), sum(upload.size for upload in uploads))
    results: dict[str, PushResult] = {}
    for errand, result in each(do, errands):
        results[errand.upload.sha256] = result
        standing.note(result.error)
        _report(result, reporter)
        if standing.down is not None:
            break
    rest = (standing.refused(upload) for upload in uploads if upload.sha256 not in results)
    found = (*results.values(), *(result for result in rest if result is not None))
    return Pushed(remote=remote, results=found, kept=choice.kept)


def _report(result: PushResult, reporter: Reporter) -> None:
    """Report a file that a worker has done with."""
    upload = result.upload
    if result.sent:
        name = f"{upload.model} ({upload.filename})"
        reporter.transfer_started(upload.sha256, name, result.sent, 0, "uploading")
        reporter.transfer_advanced(upload.sha256, result.sent)
    reporter.transfer_finished(upload.sha256, result.error)
