"""Local files: a file of this machine that is locked already is read where it is, and not copied."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.manifest.values import Requirement
from synapse_sync.engine.parallel import threads
from synapse_sync.engine.read_files import readers_of, reading
from synapse_sync.engine.tools import Tools
from synapse_sync.errors import NotFound, StorageError, SynapseError
from synapse_sync.sources.base import Resolved
from synapse_sync.store.durable import make_dirs, storage_error
from synapse_sync.store.known_digests import KnownDigests
from synapse_sync.transfer.inspect import inspect_want
from synapse_sync.transfer.want import Got, Want


class LocalFiles:
    """Reads local files whose path the last lock has, in `pins`; `remarks` are the warnings about their content.

    A sync finds them where they are, or copies what it has to place. Digests that an import or an earlier lock
    learned are not computed again while size and time of the file stay.
    """

    def __init__(self, pins: Iterable[LockedModel], tools: Tools) -> None:
        artifacts = (artifact for model in pins for artifact in model.artifacts)
        self._locked = frozenset(a.url for a in artifacts if a.url.source == "path" and a.archive is None)
        self._tools = tools
        self.remarks: list[str] = []

    def path_of(self, want: Want) -> Path | None:
        """The path of a wanted file that is read where it is; None for any other one."""
        if want.format == "archive" or not want.is_local or want.places[0] not in self._locked:
            return None
        path = self._tools.local_path(want.places[0])
        return None if path is None else Path(path)

    def read(self, wants: Sequence[Want]) -> tuple[Got | SynapseError | None, ...]:
        """Hash and inspect the files that have a `path_of`; one answer for each want, None for the others."""
        paths = {number: path for number, want in enumerate(wants) if (path := self.path_of(want)) is not None}
        if not paths:
            return (None,) * len(wants)
        with contextlib.suppress(StorageError):  # a store that this user may only read remembers nothing
            make_dirs(self._tools.store.root)
        known = KnownDigests(self._tools.store.root)
        size = sum(wants[number].size or 0 for number in paths)
        with reading(len(paths), size, known, self._tools.reporter) as advanced:
            each = threads(readers_of(paths.values()))
            found = dict(each(lambda n: self._one(wants[n], paths[n], known, advanced), list(paths)))
        return tuple(found.get(number) for number in range(len(wants)))

    def _one(
        self, want: Want, path: Path, known: KnownDigests, advanced: Callable[[int], None]
    ) -> Got | SynapseError:
        """One file with its digests, or why it cannot be locked."""
        try:
            before = path.stat()
            remarks = inspect_want(path, want)
            sha256, blake3 = known.both(path, advanced)
            after = path.stat()
        except SynapseError as error:
            return error
        except OSError as error:
            return storage_error(error, f"`{want.subject}`: reading {path}")
        if (before.st_size, before.st_mtime_ns, before.st_ino) != (after.st_size, after.st_mtime_ns, after.st_ino):
            return StorageError(
                f"`{want.subject}`: {path} changed while synapse read it",
                hint="run the command again when no other program writes to the file",
            )
        self.remarks += remarks
        return Got(want=want, sha256=sha256, blake3=blake3, size=after.st_size, path=path)


def gone_files(
    stale: Sequence[Requirement], answers: Mapping[str, Resolved | SynapseError], pins: Mapping[str, LockedModel]
) -> dict[str, str]:
    """The models whose local file is not at its path any more, each with a warning: an upgrade keeps their pins.

    A target that moved has the files of an import along, and its models still name their old paths.
    """
    return {
        entry.name: f"`{entry.name}`: {answer.message}; its pin stays as it was (if the file moved, change its "
        "`source` in synapse.toml)"
        for entry in stale
        if entry.reference.source == "path"
        and isinstance(answer := answers[entry.name], NotFound)
        and (pin := pins.get(entry.name)) is not None
        and pin.requirement == entry.text
    }
