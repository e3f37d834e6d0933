"""Looks: the mode and the time of what synapse places, decided by the lockfile alone. Pure.

Two machines that sync one lockfile then have trees that no archive can tell apart, whatever their umask, their time
zone and the hour of the sync.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import field

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.instant import parse_instant

#: The modes of a file and of a directory that synapse makes in a tree.
FILE_MODE, FOLDER_MODE = 0o644, 0o755
#: The time of a file whose site states none: 1980-01-02, which FAT and zip can write in every time zone.
UNDATED = 315_619_200
#: The last second that is used, in the year 2242: in nanoseconds, file systems count in 64 bits with a sign.
_LAST = 1 << 33
_SECOND = 1_000_000_000
_STEP = 100  # NTFS counts in steps of 100 ns
#: Fractions stay below half a second: an archive that keeps whole seconds, rounded or cut off, has the same ones.
_STEPS = _SECOND // _STEP // 2 - 1


@dataclass(frozen=True, slots=True)
class Look:
    """A mode, None for that which it was made with, and a modification time in nanoseconds since 1970."""

    mode: int | None
    mtime_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """The looks of the files of a lockfile.

    `published` has the instant at which each model was published, as the lockfile writes it, by its name. `latest`
    is the value of SOURCE_DATE_EPOCH in seconds, if that is set: no time is later. `grouped` says that a group may
    write what this user makes: then modes stay as they were made.
    """

    published: Mapping[str, str | None] = field(default_factory=dict)
    latest: int | None = None
    grouped: bool = False

    def second(self, model: str) -> int:
        """The time of a model's files, in whole seconds since 1970: that of its publication, where it is known."""
        moment = parse_instant(self.published.get(model))
        usual = UNDATED if self.latest is None else self.latest
        second = usual if moment is None else int(moment.timestamp())
        return max(0, min(second, _LAST if self.latest is None else self.latest, _LAST))

    def of_file(self, model: str, sha256: str) -> Look:
        """The look of a file of a model.

        The fraction of its second comes from its content. A receipt compares sizes and times: without it, two files
        of one size that were published in one second could be swapped, and nobody would notice.
        """
        return Look(None if self.grouped else FILE_MODE, self.second(model) * _SECOND + _fraction(sha256))


def folder_time(files: Iterable[int], listing: Iterable[str]) -> int:
    """The time of a directory in nanoseconds: the second of the latest file below it; `files` are their times.

    The fraction comes from its `listing`, a text for each name in it. UIs list a directory again when its time has
    changed, so its time has to change with its content.
    """
    digest = hashlib.sha256("\0".join(sorted(listing)).encode("utf-8", "surrogateescape")).hexdigest()
    return whole_second(max(files)) + _fraction(digest)


def is_decided(time_ns: int, sha256: str) -> bool:
    """Whether a time has the fraction that follows from the content of its file: then anybody can know it."""
    return time_ns % _SECOND == _fraction(sha256)


def whole_second(time_ns: int) -> int:
    """A time in nanoseconds without its fraction of a second, as archives and layers of images keep it."""
    return time_ns - time_ns % _SECOND


def _fraction(digest: str) -> int:
    """A fraction of a second in nanoseconds, never 0, from a digest in hexadecimal."""
    return (int(digest[:12], 16) % _STEPS + 1) * _STEP
