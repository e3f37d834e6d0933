"""Several stores that work as one: each is on a volume of its own, where its blobs can be linked into targets.

The main store has all state: projects, locks, consents. The others have blobs with their notes, partial downloads
and what is set aside; those of another volume that some target is on save a second copy of each file there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from synapse_sync.store.blobs import BlobEntry, BlobStore
from synapse_sync.store.durable import READ_ONLY
from synapse_sync.store.hashing import Answer, Question
from synapse_sync.store.partials import has_partial


def nearest_directory(path: Path) -> Path:
    """The path itself, or the nearest directory above it that exists."""
    while not path.exists():
        path = path.parent
    return path


def device_of(path: Path) -> int:
    """The device of a path, or of the nearest directory above it that exists."""
    return nearest_directory(path).stat().st_dev


class SeveralStores(BlobStore):
    """The stores `members`, the main one first: a blob that any of them has is there.

    A new blob goes into the store on the volume of the targets that need it. `targets` returns the roots of the
    targets, for blobs of which that is not known yet. Of two stores on one volume the first receives new blobs.
    """

    def __init__(self, members: Sequence[BlobStore], targets: Callable[[], Iterable[Path]] = tuple) -> None:
        super().__init__(members[0].root)
        self._members = tuple(members)
        self._targets = targets
        self._receivers: dict[str, BlobStore] = {}
        self._right: dict[str, BlobStore] = {}  # the store in which a blob was found to be right

    @property
    def members(self) -> tuple[BlobStore, ...]:
        return self._members

    @cached_property
    def _volumes(self) -> dict[int, BlobStore]:
        """The store of each device."""
        return {device_of(member.root): member for member in reversed(self._members)}

    @cached_property
    def _serving(self) -> set[BlobStore]:
        """The stores on whose volumes there are targets."""
        return set(map(self.beside, self._targets()))

    @cached_property
    def _usual(self) -> BlobStore:
        """The store for blobs of unknown use: that on the volume of all targets, if they share one."""
        return next(iter(self._serving)) if len(self._serving) == 1 else self._members[0]

    def home(self, sha256: str | None) -> BlobStore:
        if sha256 is None:
            return self._usual
        known = self._right.get(sha256)
        if known is not None and os.path.lexists(known.path(sha256)):
            return known
        having = (member for member in self._members if os.path.lexists(member.path(sha256)))
        return next(having, None) or self._receiver(sha256) or self._usual

    def _receiver(self, sha256: str) -> BlobStore | None:
        """The store that receives a blob: what an earlier run left of it decides, then the targets."""
        begun = (member for member in self._members if has_partial(member.root, sha256))
        return next(begun, None) or self._receivers.get(sha256)

    def expect(self, sha256: str, directory: Path) -> None:
        self._receivers.setdefault(sha256, self.beside(directory))

    def beside(self, directory: Path, sha256: str | None = None) -> BlobStore:
        there = self._volumes.get(device_of(directory))
        if there is not None:
            return there
        return self._members[0] if sha256 is None else self.home(sha256)

    def near(self, sha256: str, directory: Path) -> Path:
        home, there = self.home(sha256), self.beside(directory, sha256)
        if there is home or device_of(home.root) == device_of(there.root):
            return home.path(sha256)
        return there.import_file(home.path(sha256), sha256=sha256, origin=home.origin(sha256))

    # -- asking ------------------------------------------------------------------------------------

    def path(self, sha256: str) -> Path:
        return self.home(sha256).path(sha256)

    def temporary(self) -> Path:
        return self._usual.temporary()

    def has(self, sha256: str) -> bool:
        for member in self._members:
            if member.has(sha256):
                self._right[sha256] = member
                return True
        return False

    def is_changed(self, sha256: str) -> bool:
        return not self.has(sha256) and self.home(sha256).is_changed(sha256)

    def is_foreign(self, sha256: str) -> bool:
        return self.home(sha256).is_foreign(sha256)

    def is_public(self, sha256: str) -> bool:
        return self.home(sha256).is_public(sha256)

    def true_size(self, sha256: str, said: int) -> int | None:
        return self.home(sha256).true_size(sha256, said)

    def verify(self, sha256: str) -> bool:
        return self.home(sha256).verify(sha256)

    def heard(self, sha256: str, answer: Answer) -> None:
        self.home(sha256).heard(sha256, answer)

    def question(self, path: Path, sha256: str) -> Question:
        there = (member for member in self._members if path.is_relative_to(member.root))
        return next(there, self.home(sha256)).question(path, sha256)

    def matches(self, path: Path, sha256: str) -> bool:
        there = (member for member in self._members if path.is_relative_to(member.root))
        return next(there, self.home(sha256)).matches(path, sha256)

    def learn(self, sha256: str, answer: Answer) -> None:
        self.home(sha256).learn(sha256, answer)

    def entries(self) -> Iterator[BlobEntry]:
        for member in self._members:
            yield from member.entries()

    def blake3(self, sha256: str) -> str | None:
        return next(filter(None, (member.blake3(sha256) for member in self._members)), None)

    def origin(self, sha256: str) -> str | None:
        return next(filter(None, (member.origin(sha256) for member in self._members)), None)

    # -- bringing in and dropping --------------------------------------------------------------------

    def publish(
        self,
        temp: Path,
        *,
        sha256: str,
        size: int,
        blake3: str | None = None,
        origin: str | None = None,
        mode: int = READ_ONLY,
    ) -> Path:
        # By a rename, which stays on one volume: where the file was received decides.
        there = (member for member in self._members if temp.is_relative_to(member.root))
        member = next(there, self.home(sha256))
        return member.publish(temp, sha256=sha256, size=size, blake3=blake3, origin=origin, mode=mode)

    def publish_bytes(self, data: memoryview, *, sha256: str, origin: str) -> Path | None:
        return self.home(sha256).publish_bytes(data, sha256=sha256, origin=origin)

    def import_file(
        self,
        source: Path,
        *,
        sha256: str,
        move: bool = False,
        origin: str | None = None,
        advanced: Callable[[int], None] = lambda count: None,
    ) -> Path:
        if self.has(sha256):
            member = self.home(sha256)
        else:
            # A file that moves stays on its volume; so does a copy beside targets, if nothing else is known.
            receiver = None if move else self._receiver(sha256)
            there = self.beside(source.parent)
            member = receiver or (there if move or there in self._serving else self._usual)
        return member.import_file(source, sha256=sha256, move=move, origin=origin, advanced=advanced)

    def make_way(self, sha256: str) -> None:
        self.home(sha256).make_way(sha256)

    def quarantine(self, sha256: str, why: str) -> Path | None:
        return self.home(sha256).quarantine(sha256, why)

    def has_aside(self, sha256: str, place: Path) -> bool:
        return any(member.has_aside(sha256, place) for member in self._members)

    def remove(self, sha256: str) -> int:
        return sum(member.remove(sha256) for member in self._members)

    def sweep(self, now: float | None = None) -> int:
        return sum(member.sweep(now) for member in self._members)
