"""The two streams of a run: printing never fails, and an answer that was lost is reported at the end.

A full disk, a reader that has gone or a character that the encoding lacks must not stop the work: a file may be
half placed, or a lockfile not written yet. Import-light: every run loads this, the quick answer too.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys

TYPE_CHECKING = False  # see `places.py`
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TextIO

#: The error handler that both streams get.
_HANDLER = "synapse-plain"
#: Signs that synapse prints, for every encoding but UTF: one that has them may still be another one than the
#: reader's. A pipe of Windows has the "ANSI" code page, and PowerShell reads it with the "OEM" one.
_PLAIN = {"…": "...", "→": "->", "↓": "v", "↑": "^", "×": "x", "·": "-", "“": '"', "”": '"', "’": "'", "–": "-",
          "━": "-", "╸": "-", "╺": "-"}  # fmt: skip
_SIGNS = str.maketrans(_PLAIN)
#: The reader of the output has gone, which is no failure. Windows says EINVAL of a pipe without a reader.
_GONE = {errno.EPIPE, errno.ECONNRESET, errno.ESHUTDOWN, *((errno.EINVAL,) if os.name == "nt" else ())}


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replace one character that cannot be encoded: by its own byte, or by an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    char = error.object[error.start]
    if "\udc80" <= char <= "\udcff":  # a byte of a file name that is not text: it is printed as that byte
        return bytes([ord(char) - 0xDC00]), error.start + 1
    return char.encode("ascii", "backslashreplace").decode("ascii"), error.start + 1


codecs.register_error(_HANDLER, _plain)


class Guard:
    """A text stream whose `write` and `flush` never raise when the stream fails; `lost` is the first failure."""

    def __init__(self, stream: TextIO) -> None:
        self.stream: TextIO | None = stream
        self.lost: Exception | None = None
        self._errors = getattr(stream, "errors", None)
        _reconfigure(stream, errors=_HANDLER)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    @property
    def encoding(self) -> str:
        """The encoding; UTF-8 for ASCII, since click and rich would otherwise bypass this guard."""
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        return "utf-8" if codecs.lookup(encoding).name == "ascii" else encoding

    def write(self, text: str) -> int:
        """Write text, or drop it if an earlier write failed; returns its length."""
        if (stream := self.stream) is not None:
            encoding = getattr(stream, "encoding", None) or "utf-8"
            plain = text if encoding[:3].lower() == "utf" else text.translate(_SIGNS)
            self._attempt(lambda: _write_all(stream, plain))
        return len(text)

    def flush(self) -> None:
        """Flush, unless an earlier write failed."""
        if self.stream is not None:
            self._attempt(self.stream.flush)

    def _attempt(self, step: Callable[[], object]) -> None:
        if self.lost is None:
            try:
                step()
            except (OSError, ValueError) as error:  # ValueError: the stream was closed
                self.lost = error

    def release(self) -> None:
        """Flush, restore the stream and let go of it; text that cannot be written is dropped."""
        self.flush()
        # click keeps every stream that it ever printed to: by way of this guard it would keep all that was printed.
        stream, self.stream = self.stream, None
        if stream is None:
            return
        if self.lost is None:
            _reconfigure(stream, errors=self._errors)
            return
        try:
            # The buffer still holds the lost text, and Python would fail on it at its end, with code 120.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
        except (OSError, ValueError):
            pass


def _write_all(stream: TextIO, text: str) -> None:
    """Write all of a text, also to an unbuffered stream, whose one write may accept a part or nothing."""
    raw = getattr(stream, "buffer", None)
    if not isinstance(raw, io.RawIOBase):
        stream.write(text)
        return
    stream.flush()
    data = text if os.linesep == "\n" else text.replace("\n", os.linesep)
    rest = memoryview(data.encode(stream.encoding, stream.errors or "strict"))
    while rest:
        written = raw.write(rest)
        if written is None:  # it does not block, and its reader is slow
            import select

            select.select([], [raw], [])
        else:
            rest = rest[written:]


def _reconfigure(stream: TextIO, **how: str | None) -> None:
    change = getattr(stream, "reconfigure", None)
    if change is not None:
        change(**how)


def use_utf8(stream: TextIO | None) -> None:
    """Switch a stream to UTF-8, whatever the locale says: for JSON."""
    if stream is not None:
        _reconfigure(stream, encoding="utf-8", errors=_HANDLER)


class Streams:
    """A context in which `sys.stdout` and `sys.stderr` are guarded; a stream that was closed stays closed."""

    def __enter__(self) -> Streams:
        self._before = sys.stdout, sys.stderr
        self._out = None if sys.stdout is None else Guard(sys.stdout)
        self._err = None if sys.stderr is None else Guard(sys.stderr)
        sys.stdout, sys.stderr = self._out, self._err
        return self

    def __exit__(self, *exc: object) -> None:
        sys.stdout, sys.stderr = self._before
        del self._before  # hazard: a kept traceback leads here, and would keep all that was printed
        for guard in (self._out, self._err):
            if guard is not None:
                guard.release()

    def settled(self, code: int) -> int:
        """Return the exit code of the run: `code`, or 9 if that is 0 and the answer could not be written.

        Lost talk on stderr does not change it, nor does a reader that has gone.
        """
        if self._out is None:
            return code
        self._out.flush()
        lost = self._out.lost
        if lost is None or getattr(lost, "errno", None) in _GONE:
            return code
        from synapse_sync.errors import StorageError

        if self._err is not None:
            words = getattr(lost, "strerror", None) or str(lost)
            self._err.write(f"error: cannot write the answer to standard output: {words}\n")
            self._err.flush()
        return code or StorageError.exit_code
