"""The log of a receipt: the changes since it was written whole, so that a long sync costs no more for each file.

`receipt-<key>.log` beside the receipt has a line of JSON for each batch of changes. A line counts only for the
receipt that it was written after. A receipt that is written whole has all changes, so the log is removed then.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from synapse_sync.core.frozen import dataclass
from synapse_sync.store.durable import append_line
from synapse_sync.user.small_files import UnfitFile, read_small

#: The beginning of the last value of sealed JSON. Versions before seals ignore the key.
_SEAL = b',"seal":"'


def sealed(content: bytes, secret: bytes) -> bytes:
    """Return a JSON object with its seal: an HMAC of all that comes before, as the last value of the object."""
    seal = hmac.digest(secret, content, "sha256").hex()
    return content[:-1] + _SEAL + seal.encode() + b'"}'


def is_sealed(text: bytes, secret: bytes) -> bool:
    """Whether this secret made the seal of this JSON."""
    content, mark, rest = text.rpartition(_SEAL)
    return bool(mark) and hmac.compare_digest(sealed(content + b"}", secret), content + mark + rest)


def as_json(data: Mapping[str, Any]) -> bytes:
    """Return compact JSON. Names on disk that are not UTF-8 have lone surrogates; JSON can write those escaped."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")


def mark_of(receipt: bytes) -> str:
    """The mark by which the lines of a log name the content of the receipt that they continue."""
    return hashlib.sha256(receipt).hexdigest()


def log_path(receipt: Path) -> Path:
    """The path of the log of a receipt."""
    return receipt.with_suffix(".log")


@dataclass(slots=True)
class ReceiptLog:
    """The log that one run writes, after the receipt at `receipt`, whose content has the mark `base`.

    `size` is that of the receipt, in bytes.
    """

    receipt: Path
    base: str
    size: int
    written: int = field(default=0, init=False)

    @property
    def is_long(self) -> bool:
        """Whether to write the receipt whole again: all in all, that costs as much as the log."""
        return self.written > max(self.size, 1 << 20)

    def append(self, batch: Mapping[str, Any], secret: bytes | None) -> None:
        """Write down a batch: entries that are new or changed, and the paths of those that are gone.

        The line is durable when this returns, and sealed with the secret if there is one. Raises `OSError`.
        """
        line = as_json({"base": self.base, **batch})
        line = line if secret is None else sealed(line, secret)
        append_line(log_path(self.receipt), line + b"\n", durable=True)
        self.written += len(line)


@dataclass(frozen=True, slots=True)
class Batch:
    """One line of a log: values of entries, the paths of those that are gone, and what else is said of entries."""

    entries: tuple[Any, ...]
    gone: tuple[str, ...]
    sealed: bool
    more: Any = None


def batches(receipt: Path, content: bytes, secret: bytes | None = None) -> Iterator[Batch]:
    """The lines of the log of a receipt with this content, up to the first that a crash or an edit damaged.

    What such a line says is not known, and files that no receipt lists are looked at anew. Raises `OSError`.
    """
    try:
        lines = read_small(log_path(receipt)).split(b"\n")[:-1]
    except (FileNotFoundError, UnfitFile):
        return
    base = mark_of(content) if lines else ""
    for line in lines:
        try:
            data = json.loads(line)
            entries, gone, of = tuple(data["entries"]), tuple(data["gone"]), data["base"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return
        if of == base and all(isinstance(path, str) for path in gone):
            yield Batch(entries, gone, secret is not None and is_sealed(line, secret), data.get("more"))
