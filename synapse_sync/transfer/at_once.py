"""At once: a small file in one pass, from one answer into memory. Whatever is unusual goes the usual way."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from synapse_sync.blocks import new_block
from synapse_sync.core.reference import Reference
from synapse_sync.errors import RefusedFormat, SynapseError
from synapse_sync.net.stream import Stream
from synapse_sync.store.partials import Partial, has_partial, place_id
from synapse_sync.transfer.crew import Crew
from synapse_sync.transfer.hashing import put_back, take_block
from synapse_sync.transfer.opener import Opener, Stopped
from synapse_sync.transfer.want import Got, Want

_SMALLEST, _TINY = 16 << 10, 64 << 10
#: The aim for one read, in seconds, as for larger files.
_PACE = 0.05
#: After this many seconds the file goes the usual way, where progress is saved.
_PATIENCE = 2.0

#: Publishes the verified bytes of a file; None where that is not possible at once.
Publish = Callable[[memoryview], Got | None]


def receive_at_once(crew: Crew, want: Want, place: Reference, opener: Opener, publish: Publish) -> Got | None:
    """Receive a file whose size and SHA-256 are known from `place`, and publish it, without a partial download.

    None if anything is unusual, errors included. Then `opener` keeps the answer with all its bytes, or the error,
    for the next one who asks. Raises `Stopped`, and what `publish` raises.
    """
    size = want.size
    if want.sha256 is None or size is None or not 0 < size < crew.limits.split_from:
        return None
    if has_partial(crew.store.home(want.sha256).root, want.sha256):
        return None
    # A whole block for a few kilobytes would cost more than they do: Python fills it with zeros.
    block = new_block(size) if size < _TINY else take_block()
    try:
        if size > len(block) or not crew.slot(opener.host, wait=True):
            return None
        try:
            stream = opener.ahead()
            if stream is None or stream.status != 200 or stream.total != size or stream.doubt is not None:
                return None
            crew.reporter.transfer_started(want.key, want.subject, size, 0)
            crew.reporter.transfer_phase(want.key, "downloading")
            data = block[: _receive(crew, want, opener, stream, block[:size])]
            got = None
            if crew.stop.is_set() and len(data) < size:
                _keep(crew, want, place, stream, data)
                raise Stopped
            try:
                if _is_right(crew, want, data):
                    got = publish(data)
            except RefusedFormat:
                # The bytes are right. If the user changes the policy, they need not be downloaded again.
                _keep(crew, want, place, stream, data)
                raise
            if got is None:
                stream.again(data)
            else:
                opener.passed()
            return got
        finally:
            crew.give_back(opener.host)
    finally:
        if size >= _TINY:
            put_back(block)


def _is_right(crew: Crew, want: Want, data: memoryview) -> bool:
    if len(data) != want.size:
        return False
    crew.reporter.transfer_phase(want.key, "verifying")
    return hashlib.sha256(data).hexdigest() == want.sha256


def _keep(crew: Crew, want: Want, place: Reference, stream: Stream, data: memoryview) -> None:
    """Write received bytes into a partial download, for a later run."""
    assert want.sha256 is not None
    partial = Partial(crew.store.home(want.sha256).root, want.sha256)
    try:
        where = place_id(str(place))
        partial.begin(stream.total, etag=stream.etag, last_modified=stream.last_modified, place=where)
        partial.write(0, data)
        partial.save()
    finally:
        partial.close()


def _receive(crew: Crew, want: Want, opener: Opener, stream: Stream, block: memoryview) -> int:
    """Fill the block; return the number of bytes, fewer if the connection failed, is slow, or everything stops."""
    most = len(block) if crew.bucket.rate is None else max(_SMALLEST, crew.bucket.rate // 8)
    step = crew.steps.get(opener.host, _SMALLEST)
    began = now = crew.clock.now()
    filled = 0
    try:
        while filled < len(block) and now - began < _PATIENCE and not crew.stop.is_set():
            count = stream.readinto(block[filled : filled + min(step, most)])
            filled += count
            crew.reporter.transfer_advanced(want.key, count)
            crew.bucket.take(count)
            before, now = now, crew.clock.now()
            step = step * 2 if now - before < _PACE else max(_SMALLEST, step // 2)
    except SynapseError:
        pass  # the stream raises it once more, after these bytes
    finally:
        crew.steps[opener.host] = min(step, 1 << 20)
    return filled
