"""Sharing: every verb that passes locked files on to other machines, or receives them from there."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from synapse_sync.core.reporter import Reporter
from synapse_sync.core.shard import WHOLE, Shard
from synapse_sync.errors import SynapseError, raise_all
from synapse_sync.project import Project
from synapse_sync.questions import Questions
from synapse_sync.user.places import home_directory
from synapse_sync.user.settings import load_settings
from synapse_sync.wiring import Wiring

if TYPE_CHECKING:
    from synapse_sync.engine.bundle import Bundled, BundleWish
    from synapse_sync.engine.publish import Published
    from synapse_sync.engine.pull import Pulled
    from synapse_sync.engine.push import Pushed, Pusher, PushResult
    from synapse_sync.engine.push_choice import Upload
    from synapse_sync.engine.push_registry import InRegistry, RegistryWish
    from synapse_sync.engine.push_spread import Errand
    from synapse_sync.engine.remote_gc import RemoteCollection
    from synapse_sync.engine.remote_status import RemoteState
    from synapse_sync.suppliers.remote.base import WritableRemote
    from synapse_sync.suppliers.remote.remotes import Remotes


#: A limited rate is one of the whole worker: its threads upload one after the other then.
_IN_TURN = threading.Lock()


class Sharing(Questions):
    """The part of a workspace for other machines: every verb is one method and one module of `engine/`."""

    def bundle(self, output: Path | BinaryIO, wish: BundleWish) -> Bundled:
        """Write everything that another machine needs as one archive; `engine/bundle.py` has the parameters."""
        from synapse_sync.engine.bundle import bundle

        wiring = self._wiring
        open_wire = None if wiring.offline else wiring.connections.open_wire
        return bundle(self.project, output, wish, wiring.tools(), wiring.nearby, open_wire=open_wire)

    def push_to_registry(self, wish: RegistryWish) -> InRegistry:
        """Write the locked files into a repository of a registry; `engine/push_registry.py` has the parameters."""
        from synapse_sync.engine.push_registry import push_registry

        return push_registry(self.project, wish, self._wiring.tools(), self._wiring.registry_means())

    # -- remotes -----------------------------------------------------------------------------------

    def push(
        self,
        names: Sequence[str] = (),
        *,
        to: str | None = None,
        repair: bool = False,
        shard: Shard = WHOLE,
        dask: str | None = None,
    ) -> Pushed:
        """Upload the locked files of models, or of all that everybody may download, to a remote.

        `to` is its address; None is the first one that can be written. With `repair`, wrong files there are
        replaced. `shard` is the part of the files that is uploaded. With `dask`, the workers of the scheduler there
        upload them, with their own settings and credentials. Raises `InputError`, or `NotTrusted` for a remote of
        the manifest alone.
        """
        from synapse_sync.engine.push_choice import choose

        wiring = self._wiring
        remote = self._writable(to)
        each = None if dask is None else self.part(shard, dask).each
        choice = choose(self.project, names, wiring.tools(), open_wire=wiring.connections.open_wire, shard=shard)
        if each is None:
            return _pusher(wiring, remote, wiring.file_for, to=to, repair=repair, reads=repair).push(choice)
        from synapse_sync.engine.push_spread import push_spread

        return push_spread(
            remote.remote, choice, each=each, do=upload, find=wiring.file_for, reporter=wiring.reporter,
            to=to, repair=repair,
        )  # fmt: skip

    def check_backfill(self) -> None:
        """Raise `InputError` or `NotTrusted` unless a remote is named that files can be uploaded to."""
        self._writable(None)

    def backfill(self, *, repair: bool = False) -> Pushed:
        """Upload what the first writable remote lacks of the locked files that this machine has.

        With `repair`, the wrong files that a sync of this workspace has met there are replaced; without it, each is
        a failure in the answer.
        """
        from synapse_sync.engine.push_choice import choose

        wiring = self._wiring
        pusher = _pusher(wiring, self._writable(None), wiring.file_for, repair=repair)
        if wiring.remotes is not None:
            remote = pusher.remote.remote
            pusher.known_wrong = frozenset(sha256 for where, sha256 in wiring.remotes.wrong if where == remote)
        choice = choose(self.project, (), wiring.tools(), open_wire=wiring.connections.open_wire)
        here = tuple(upload for upload in choice.uploads if pusher.find(upload) is not None)
        return pusher.push(replace(choice, uploads=here))

    def _writable(self, to: str | None) -> WritableRemote:
        """Open a remote to write to; one that only the manifest names needs the user's consent."""
        from synapse_sync.core.trust import Kind

        wiring = self._wiring
        remotes = wiring.remotes or wiring.remotes_at(())
        store = remotes.writable(to)
        if to is None and store.remote not in self.settings.remotes:
            wiring.trust.require(wiring.trust.remotes([store.remote], Kind.PUSH))
        return store

    def pull(self, names: Sequence[str] = ()) -> Pulled:
        """Bring the locked files of models, or of all, from the remotes into the store; nothing is placed."""
        from synapse_sync.engine.pull import pull

        remotes = self._readable()
        raise_all(remotes.problems())
        return pull(self.project, names, self._wiring.tools(), remotes)

    def _readable(self) -> Remotes:
        """The remotes of this run; raises `InputError` for none, `NotTrusted` for those of the manifest alone."""
        from synapse_sync.suppliers.remote.remotes import no_remote

        remotes, trust = self._wiring.remotes, self._wiring.trust
        if remotes is None:
            raise no_remote()
        trust.require(trust.remotes(set(remotes.remotes) - set(self.settings.remotes)))
        return remotes

    def remote_states(self) -> tuple[RemoteState, ...]:
        """The locked files that each remote has, and those that it lacks."""
        from synapse_sync.engine.push_choice import uploads_of
        from synapse_sync.engine.remote_status import remote_states

        uploads = uploads_of(self.project.lockfile.models)
        return remote_states(self._readable(), uploads, self._wiring.store.true_size)

    def publish(self, *, to: str | None = None) -> Published:
        """Write the lockfile into a remote, so that a collection there keeps its files."""
        from synapse_sync.engine.publish import publish

        return publish(self.project.lockfile, self._writable(to))

    def plan_remote_collection(self, *, to: str | None = None, age: float) -> RemoteCollection:
        """The files of a remote that no published lockfile names, and that are older than `age` (seconds)."""
        from synapse_sync.engine.remote_gc import plan_remote_collection

        return plan_remote_collection(self._writable(to), before=time.time() - age)

    def collect_remote(self, plan: RemoteCollection, *, age: float) -> tuple[int, int | None]:
        """Delete the files of a plan, and drop what killed pushes left behind for longer than `age` (seconds).

        Returns the freed bytes, and how many uploads were dropped: None where the remote does not list them.
        """
        from synapse_sync.engine.remote_gc import collect_remote

        remote = self._writable(plan.remote.address)
        return collect_remote(remote, plan), remote.abort_uploads(time.time() - age)


def _pusher(
    wiring: Wiring,
    remote: WritableRemote,
    find: Callable[[Upload], Path | None],
    *,
    to: str | None = None,
    repair: bool,
    reads: bool = False,
) -> Pusher:
    from synapse_sync.engine.push import Pusher

    return Pusher(
        remote=remote,
        find=find,
        wire=lambda: wiring.connections.wire,
        reporter=wiring.reporter,
        retry=wiring.connections.retry,
        to=to,
        repair=repair,
        reads=reads,
        limit_rate=wiring.settings.limit_rate,
    )


def upload(errand: Errand) -> PushResult:
    """Upload one file for a push of another machine, with the settings and the credentials of this one.

    A worker of a cluster runs this; a failure is a value.
    """
    from synapse_sync.engine.push import PushResult

    settings = load_settings(os.environ, home_directory())
    project = Project(Path.cwd(), settings.store, settings.variants)
    wiring = Wiring(project, settings, reporter=Reporter(), offline=settings.offline)
    try:
        remote = wiring.remotes_at(()).writable(errand.address)
        pusher = _pusher(
            wiring, remote, lambda asked: errand.path, to=errand.to, repair=errand.repair, reads=errand.repair
        )
        with nullcontext() if settings.limit_rate is None else _IN_TURN:
            return pusher.one(errand.upload)
    except SynapseError as error:
        return PushResult(upload=errand.upload, state="failed", error=error.about(errand.upload.model))
    finally:
        wiring.close()
