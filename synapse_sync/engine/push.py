"""Push: upload locked files to a remote under their digests. Present ones are skipped; every byte is hashed."""

from __future__ import annotations

import contextlib
import hashlib
import random
import shlex
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from synapse_sync.blocks import new_block
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.remote import Remote
from synapse_sync.core.reporter import Reporter
from synapse_sync.engine.push_choice import Choice, KeptBack, Upload
from synapse_sync.errors import AccessDenied, IntegrityError, NetworkError, NotFound, SynapseError
from synapse_sync.net.at_once import at_once
from synapse_sync.net.retries import WORTH_TELLING, Retry
from synapse_sync.net.wire import Wire
from synapse_sync.store.durable import outside_store, storage_error
from synapse_sync.store.hashing import hash_file
from synapse_sync.suppliers.remote.base import ACCESS_HINT, WritableRemote
from synapse_sync.transfer.crew import Bucket
from synapse_sync.transfer.want import Clock

#: How many files are uploaded at the same time, and how many of them may be large: these go in several parts, and
#: each part needs memory.
FILES_AT_ONCE = 8
LARGE_AT_ONCE = 3
_LARGE = 8 << 20
#: After this many failures in a row, the remote counts as down, and the other files are not tried.
_MOST_FAILURES = 3
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PushResult:
    """The outcome for one file: `state` is "pushed", "replaced", "there" or "failed"; `sent` is in bytes."""

    upload: Upload
    state: str
    sent: int = 0
    error: SynapseError | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {
            "sha256": self.upload.sha256,
            "size": self.upload.size,
            "model": self.upload.model,
            "filename": self.upload.filename,
            "state": self.state,
            "error": None if self.error is None else self.error.to_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """The outcome of a push to one remote."""

    remote: Remote
    results: tuple[PushResult, ...]
    kept: tuple[KeptBack, ...] = ()

    @property
    def errors(self) -> list[SynapseError]:
        """The failures, one for each file."""
        return [result.error for result in self.results if result.error is not None]

    def count(self, *states: str) -> int:
        """How many files have one of these states."""
        return sum(result.state in states for result in self.results)

    @property
    def sent(self) -> int:
        """The bytes that were uploaded."""
        return sum(result.sent for result in self.results)

    def to_dict(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {
            "remote": self.remote.address,
            "files": [result.to_dict() for result in self.results],
            "kept_back": [{"model": each.model, "why": each.why} for each in self.kept],
            "bytes": self.sent,
        }


class Stopped(Exception):
    """The push was interrupted."""


class Standing:
    """Whether a remote is worth asking: `down` is why not, after a refusal or failures of the network in a row.

    Safe to use from threads.
    """

    def __init__(self) -> None:
        self.down: SynapseError | None = None
        self._failures = 0
        self._lock = threading.Lock()

    def note(self, error: SynapseError | None) -> None:
        """Take note of the outcome for one file."""
        with self._lock:
            if error is None:
                self._failures = 0
                return
            self._failures += isinstance(error, NetworkError)
            if isinstance(error, AccessDenied) or self._failures >= _MOST_FAILURES:
                self.down = error

    def refused(self, upload: Upload) -> PushResult | None:
        """The result for a file that is not tried any more; None while it may be tried."""
        if self.down is None:
            return None
        error = self.down.copy()
        error.subject = upload.model
        return PushResult(upload=upload, state="failed", error=error)


@dataclass(kw_only=True)
class Pusher:
    """The work of one push to an open `remote`; `to` is the address by which the user named it.

    `find` returns a file of this machine that seems to have the bytes of an upload, or None. With `repair`, wrong
    files that are there are replaced. They are those of another size, and those that are `known_wrong`; with
    `reads`, all that are there are read and hashed. `limit_rate` is in bytes per second over all files.
    """

    remote: WritableRemote
    find: Callable[[Upload], Path | None]
    wire: Callable[[], Wire]
    reporter: Reporter
    retry: Retry
    to: str | None = None
    repair: bool = False
    reads: bool = False
    known_wrong: frozenset[str] = frozenset()
    limit_rate: int | None = None

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._large = threading.Semaphore(LARGE_AT_ONCE)
        self._standing = Standing()
        self._bucket = Bucket(self.limit_rate, self._stop, Clock())

    def push(self, choice: Choice) -> Pushed:
        """Upload what the remote lacks, several files at once. Failures of single files are in the answer.

        An interrupt (Ctrl-C) ends all uploads, of which nothing is visible, and is raised again.
        """
        uploads = choice.uploads
        self.reporter.transfers_planned(len(uploads), sum(upload.size for upload in uploads))
        results = at_once(self._one, uploads, FILES_AT_ONCE, halt=self._stop.set)
        return Pushed(remote=self.remote.remote, results=tuple(results), kept=choice.kept)

    def _one(self, upload: Upload) -> PushResult:
        result = self._standing.refused(upload) or self.one(upload)
        self.reporter.transfer_finished(upload.sha256, result.error)
        return result

    def one(self, upload: Upload) -> PushResult:
        """Upload one file unless it is there; a failure is a value."""
        try:
            result = self._pushed(upload)
        except SynapseError as error:
            result = PushResult(upload=upload, state="failed", error=error.about(upload.model))
        self._standing.note(result.error)
        return result

    def _pushed(self, upload: Upload) -> PushResult:
        path = self.find(upload)
        size = upload.size if path is None else _size(path)
        there = self._patiently(upload, partial(self.remote.size, upload.sha256))
        known = upload.sha256 in self.known_wrong
        wrong = there is not None and (known or (path is not None and there != size))
        if there is not None and not wrong:
            wrong = self.reads and not self._is_right(upload)
        if there is not None and not wrong:
            return PushResult(upload=upload, state="there")
        if wrong and not self.repair:
            having = "wrong bytes" if there == size else f"{there} bytes"
            lacking = "" if there == size else f", which are not its {size}"
            to = "" if self.to is None else f" --to {shlex.quote(self.to)}"
            raise IntegrityError(
                f"`{upload.model}`: {self.remote.remote} has {having} under {upload.sha256[:12]}…{lacking}",
                hint=f"`synapse store push {shlex.quote(upload.model)} --repair{to}` replaces them",
            )
        if path is None:
            raise NotFound(
                f"`{upload.model}`: {upload.filename} is not on this machine, so it cannot be uploaded",
                hint="`synapse sync` downloads it",
            )
        with self._large if size > _LARGE else contextlib.nullcontext():
            self._patiently(upload, partial(self._put, upload, path, size))
        return PushResult(upload=upload, state="replaced" if wrong else "pushed", sent=size)

    def _put(self, upload: Upload, path: Path, size: int) -> None:
        name = f"{upload.model} ({upload.filename})"
        self.reporter.transfer_started(upload.sha256, name, size, 0, "uploading")
        self.remote.put(upload.sha256, self._chunks(upload, path), size)

    def _chunks(self, upload: Upload, path: Path) -> Iterator[bytes]:
        """The bytes of a file, hashed on the way; raises `IntegrityError` at their end if they are others."""
        digest = hashlib.sha256()
        try:
            with path.open("rb", buffering=0) as file:
                while chunk := file.read(_CHUNK):
                    if self._stop.is_set():
                        raise Stopped
                    digest.update(chunk)
                    self._bucket.take(len(chunk))
                    yield chunk
                    self.reporter.transfer_advanced(upload.sha256, len(chunk))
        except OSError as error:
            raise storage_error(error, f"reading {path}") from error
        if digest.hexdigest() != upload.sha256:
            raise IntegrityError(
                f"`{upload.model}`: {path} no longer has the bytes of its digest; it was not uploaded",
                hint="`synapse verify --repair` mends it",
            )

    def _is_right(self, upload: Upload) -> bool:
        """Whether the remote has the right bytes: they are read and hashed."""
        self.reporter.transfer_started(
            upload.sha256, f"{upload.model} ({upload.filename})", upload.size, 0, "verifying"
        )
        return bool(self._patiently(upload, partial(self._hash, upload)) == upload.sha256)

    def _hash(self, upload: Upload) -> str:
        location = self.remote.locate(upload.sha256)
        if location is None:
            return ""
        if location.path is not None:
            try:
                sha256 = hash_file(Path(location.path))
            except OSError as error:
                raise outside_store(storage_error(error, f"reading {location.path}"), ACCESS_HINT) from error
            self.reporter.transfer_advanced(upload.sha256, upload.size)
            return sha256
        digest, block = hashlib.sha256(), new_block(_CHUNK)
        opened = self.wire().open(location.url, verified=True) if location.open is None else location.open(0, None)
        with opened as stream:
            while count := stream.readinto(block):
                if self._stop.is_set():
                    raise Stopped
                digest.update(block[:count])
                self._bucket.take(count)
                self.reporter.transfer_advanced(upload.sha256, count)
        return digest.hexdigest()

    def _patiently(self, upload: Upload, do: Callable[[], Any]) -> Any:
        """Do something, and try again after failures that may pass: the rules of all requests hold here, too."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return do()
            except SynapseError as error:
                wait = self.retry.after(attempt, error, random.random())
                if wait is None or self._stop.is_set():
                    raise
                if wait >= WORTH_TELLING:
                    self.reporter.note(f"{upload.model}: {error.message}; trying again in {wait:.0f} s")
            if self._stop.wait(wait):
                raise Stopped


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise storage_error(error, f"looking at {path}") from error
