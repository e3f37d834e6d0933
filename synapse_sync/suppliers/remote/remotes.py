"""The remotes of one run: which of them may have a file, and what became of asking them."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial

from synapse_sync.core.remote import Remote, RemoteKind, parse_remote
from synapse_sync.core.reporter import Reporter
from synapse_sync.errors import (
    AccessDenied,
    InputError,
    IntegrityError,
    NetworkError,
    NotFound,
    RefusedFormat,
    StorageError,
    SynapseError,
)
from synapse_sync.net.at_once import at_once
from synapse_sync.net.failures import switched_off
from synapse_sync.sources.base import Location
from synapse_sync.store.durable import outside_store
from synapse_sync.suppliers.remote.base import ACCESS_HINT, Means, RemoteStore, WritableRemote
from synapse_sync.suppliers.remote.refusals import MayLack, in_words, is_lack, may_be_lack
from synapse_sync.suppliers.remote.register import open_remote, unusable
from synapse_sync.transfer.want import Offer, Want

#: How many questions to one remote are asked at the same time.
_AT_ONCE = 16


def no_remote(what: str = "no remote is named") -> InputError:
    """The error for a verb that needs a remote, where none is named."""
    return InputError(
        what, hint='write `remote = "s3://BUCKET/PREFIX"` into your config.toml, or set SYNAPSE_REMOTE'
    )


class Remotes:
    """The remotes of one run, in their order. Safe to use from threads.

    `reporter` returns the one of this run. `allowed` says whether a remote may be read; one from a manifest needs
    the user's consent. A remote that cannot be reached is reported once, and asked no more.
    """

    def __init__(
        self,
        remotes: Sequence[Remote],
        means: Means,
        reporter: Callable[[], Reporter],
        *,
        allowed: Callable[[Remote], bool] = lambda remote: True,
    ) -> None:
        self.remotes: tuple[Remote, ...] = tuple(remotes)
        #: The blobs that remotes had other bytes for, each with its remote.
        self.wrong: set[tuple[Remote, str]] = set()
        self._means = means
        self._reporter = reporter
        self._allowed = allowed
        self._open: dict[Remote, RemoteStore] = {}
        self._down: dict[Remote, SynapseError] = {}
        self._failures: dict[tuple[Remote, str], SynapseError] = {}
        self._told: set[Remote] = set()
        self._lock = threading.Lock()

    def problems(self) -> list[InputError]:
        """Why remotes cannot be used on this machine, whatever they have; no request is made."""
        return [problem for remote in self.remotes if (problem := unusable(remote)) is not None]

    def open(self, remote: Remote) -> RemoteStore:
        """The open remote; raises `InputError` for one that is unusable here."""
        with self._lock:
            if remote not in self._open:
                self._open[remote] = open_remote(remote, self._means)
            return self._open[remote]

    def writable(self, address: str | None = None) -> WritableRemote:
        """Open the remote with this address, which need not be one of them; None is the first that can be written.

        Raises `InputError`.
        """
        if address is not None:
            known = {remote.address: remote for remote in self.remotes}
            remote = known.get(address) or parse_remote(address, "--to")
        else:
            first = next((remote for remote in self.remotes if remote.is_writable), None)
            if first is None:
                raise self._no_writable()
            remote = first
        store = self.open(remote)
        if not isinstance(store, WritableRemote):
            raise InputError(
                f"{remote} can only be read", hint="name a bucket or a directory: `--to s3://BUCKET/PREFIX`"
            )
        return store

    def _no_writable(self) -> InputError:
        """The error where none of the remotes can be written."""
        if not self.remotes:
            return no_remote("no remote is named that files can be uploaded to")
        named = ", ".join(map(str, self.remotes))
        can = "can only be read" if len(self.remotes) == 1 else "can all only be read"
        return InputError(
            f"{named} {can}, so there is no remote that files can be uploaded to",
            hint="add a bucket or a directory to `remote` in your config.toml, or to SYNAPSE_REMOTE after a comma",
        )

    def is_shared(self, sha256: str) -> bool:
        """Whether a directory among the remotes has a blob; nothing else is asked."""
        for remote in self._usable():
            if remote.kind is RemoteKind.DIRECTORY:
                try:
                    if self.open(remote).size(sha256) is not None:
                        return True
                except SynapseError:
                    continue
        return False

    def offers(self, want: Want) -> Iterator[Offer]:
        """Yield the remotes that may have the wanted bytes; whether one has them shows when it is asked."""
        for remote in self._usable():
            assert want.sha256 is not None
            yield Offer(
                remote=remote.address,
                locate=partial(self._locate, remote, want.sha256),
                failed=partial(self._failed, remote, want),
                is_directory=remote.kind is RemoteKind.DIRECTORY,
            )

    def having(self, digests: Collection[str]) -> frozenset[str]:
        """The blobs among `digests` that some remote has; one request for each blob and remote at most."""
        found: set[str] = set()
        for remote in self._usable():
            left = [sha256 for sha256 in digests if sha256 not in found]
            answers = at_once(partial(self._has, remote), left, _AT_ONCE)
            found |= {sha256 for sha256, there in zip(left, answers, strict=True) if there}
        return frozenset(found)

    def _usable(self) -> Iterator[Remote]:
        for remote in self.remotes:
            if remote in self._down or not self._allowed(remote):
                continue
            if self._means.offline and remote.kind is not RemoteKind.DIRECTORY:
                continue
            yield remote

    def _locate(self, remote: Remote, sha256: str) -> Location:
        location = self.open(remote).locate(sha256)
        if location is None:
            raise NotFound(f"{remote} does not have {sha256[:12]}…")
        return location

    def _has(self, remote: Remote, sha256: str) -> bool:
        if remote in self._down:
            return False
        try:
            return self.open(remote).size(sha256) is not None
        except SynapseError as error:
            if (words := self._said(remote, error)) is not None:
                self._reporter().warn(words)
            return False

    def _failed(self, remote: Remote, want: Want, error: SynapseError) -> str | None:
        """Say what kept the bytes of a remote from being used; None: that it does not have them is normal."""
        assert want.sha256 is not None
        if isinstance(error, StorageError):
            outside_store(error, ACCESS_HINT)
        error = in_words(remote, error)
        if isinstance(error, MayLack) or not may_be_lack(error):
            with self._lock:
                self._failures[remote, want.sha256] = error
        if isinstance(error, IntegrityError):
            with self._lock:
                self.wrong.add((remote, want.sha256))
            digest = f"{want.sha256[:12]}…"
            words = f"`{want.subject}`: the remote {remote} has wrong bytes under {digest}, which were not used"
            return f"{words}; {self._to_repair(remote, want.model)}"
        if isinstance(error, RefusedFormat):  # the right bytes, which the next location has as well
            return None
        return self._said(remote, error)

    def _to_repair(self, remote: Remote, model: str) -> str:
        """The next step for a wrong file of a model in a remote."""
        if not remote.is_writable:
            return "ask its administrator"
        first = next(each for each in self.remotes if each.is_writable)
        to = "" if remote == first else f" --to {shlex.quote(remote.address)}"
        return f"`synapse store push {shlex.quote(model)} --repair{to}` replaces them"

    def shortfall(self, want: Want) -> SynapseError:
        """Why none of the remotes has delivered the wanted bytes: wrong bytes, no answer, or nothing there."""
        found = self._shortfall(want)
        found.subject = want.subject
        return found

    def _shortfall(self, want: Want) -> SynapseError:
        """The error of `shortfall`, without its subject."""
        assert want.sha256 is not None
        for remote in self.remotes:
            if (remote, want.sha256) in self.wrong:
                return IntegrityError(
                    f"`{want.subject}`: the remote {remote} has wrong bytes, which were not used",
                    hint=f"`synapse sync` asks its site; then {self._to_repair(remote, want.model)}",
                )
        refused: MayLack | None = None
        for remote in self.remotes:
            if self._means.offline and remote.kind is not RemoteKind.DIRECTORY:
                return switched_off(f"`{want.subject}`: the remote {remote}")
            error = self._down.get(remote) or self._failures.get((remote, want.sha256))
            if isinstance(error, RefusedFormat):
                return error.copy()
            if isinstance(error, MayLack):  # another remote may have a better reason
                refused = error
            elif error is not None:
                failure = error.copy()
                failure.message = f"`{want.subject}`: the remote {remote} cannot be used now: {error.message}"
                return failure
        if refused is not None:
            failure = refused.copy()
            failure.message = f"`{want.subject}`: the remote {refused.message}"
            return failure
        writable = any(remote.is_writable for remote in self.remotes)
        after = f"; then `synapse store push {shlex.quote(want.model)}` uploads it" if writable else ""
        return NotFound(f"no remote has the file of `{want.subject}`", hint=f"`synapse sync` asks its site{after}")

    def _said(self, remote: Remote, error: SynapseError) -> str | None:
        """Say once that a remote cannot be used; it is asked no more then."""
        if is_lack(error):
            return None
        refused = may_be_lack(error)
        with self._lock:
            if isinstance(error, NetworkError | AccessDenied) and not refused:
                self._down[remote] = error
            if remote in self._told:
                return None
            self._told.add(remote)
        hint = "" if error.hint is None else f"; {error.hint}"
        if isinstance(error, MayLack):
            return f"the remote {error.message}{hint}"
        words = "refuses to send files, or does not have them" if refused else "cannot be used now"
        return f"the remote {remote} {words}: {error.message}{hint}"
