"""Small files (manifest, lockfile, settings, receipts, notes), read so that none can hang or fill a command.

Import-light: `cli/quick.py` uses it before anything else is imported.
"""

from __future__ import annotations

import errno
import hashlib
import os
from stat import S_ISDIR, S_ISREG

TYPE_CHECKING = False  # see `places.py`
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from os import PathLike

    from synapse_sync.errors import InputError

#: The most bytes that such a file may have: a lockfile of 50,000 models, or a receipt of 200,000 files.
LARGEST = 64 * 1024 * 1024
#: Pieces of this size (bytes) come from memory that Python has at hand; larger ones are requested from the system.
_PIECE = 64 * 1024
#: A pipe or a terminal must neither block the opening nor become ours (POSIX). Windows reads text without O_BINARY.
_FLAGS = os.O_RDONLY
for _name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"):
    _FLAGS |= getattr(os, _name, 0)


class UnfitFile(OSError):
    """A file that synapse does not read: a directory, a pipe, a device, or one that is too large.

    It is an `OSError`: a note of synapse that has become one counts as damaged. `strerror` has the reason.
    """


def read_small(
    path: str | PathLike[str], limit: int = LARGEST, trust: Callable[[os.stat_result], bool] | None = None
) -> bytes:
    """Return the content of the regular file at `path`, or of the one that a link there leads to.

    Raises `UnfitFile` for anything else, for more than `limit` bytes and for a file whose stat `trust` refuses.
    Raises `OSError` as `open` does.
    """
    return b"".join(_pieces(path, limit, trust, whole=True))  # a single piece is not copied


def content(path: str) -> bytes:
    """Return the content of a small file, `b""` if it does not exist; raises like `read_small`."""
    try:
        return read_small(path)
    except (FileNotFoundError, NotADirectoryError):
        return b""


def content_digest(path: str) -> bytes:
    """Return the SHA-256 of that content; raises like `read_small`."""
    digest = hashlib.sha256()
    try:
        for piece in _pieces(path, LARGEST):
            digest.update(piece)
    except (FileNotFoundError, NotADirectoryError):
        return hashlib.sha256().digest()
    return digest.digest()


def _pieces(
    path: str | PathLike[str],
    limit: int,
    trust: Callable[[os.stat_result], bool] | None = None,
    *,
    whole: bool = False,
) -> Iterator[bytes]:
    """The content in pieces; `whole` has it in one, unless the size of the file is not what it says."""
    # Looked at before it is opened: opening alone wakes the writer of a pipe, and can set a device in motion.
    _check(path, os.stat(path), limit)  # noqa: PTH116 - `pathlib` takes longer to import than all of this
    handle = os.open(path, _FLAGS)
    try:
        found = os.fstat(handle)
        _check(path, found, limit)  # another file may have taken its name meanwhile
        if trust is not None and not trust(found):
            raise UnfitFile(errno.EPERM, "it belongs to another user", os.fspath(path))
        size, count = found.st_size + 1 if whole else _PIECE, 0
        while piece := os.read(handle, max(size - count, _PIECE)):
            count += len(piece)
            if count > limit:  # it grows, or its size is not what the file system says (as below /proc)
                raise _too_large(path, limit)
            yield piece
    finally:
        os.close(handle)


def _check(path: str | PathLike[str], found: os.stat_result, limit: int) -> None:
    if S_ISDIR(found.st_mode):
        raise UnfitFile(errno.EISDIR, "it is a directory", os.fspath(path))
    if not S_ISREG(found.st_mode):
        raise UnfitFile(errno.EINVAL, "it is not a regular file", os.fspath(path))
    if found.st_size > limit:
        raise _too_large(path, limit)


def _too_large(path: str | PathLike[str], limit: int) -> UnfitFile:
    return UnfitFile(errno.EFBIG, f"it has more than {max(1, limit >> 20)} MB", os.fspath(path))


def refusal(error: UnfitFile, hint: str = "replace it with a regular file, or remove it") -> InputError:
    """Return the error for a file that the user, or a project, named."""
    from synapse_sync.errors import InputError

    return InputError(f"cannot read {error.filename}: {error.strerror}", hint=hint)
