"""Names from outside: the one place where they become safe to use as a path.

The rules are the same on every system, so that a lockfile made on Linux works on Windows: no separators inside
a name, no `.` or `..`, no control, bidirectional or invisible characters, no device names, no trailing dot or
space, Unicode form NFC, at most 180 bytes of UTF-8 a name.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from synapse_sync.errors import UnsafeName

MAX_NAME_BYTES = 180
_FORBIDDEN = set('<>:"/\\|?*')
_DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$", "clock$"} | {
    f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"
}
#: Directories that belong to us or to version control; nothing from outside may write below them.
_RESERVED = {".git", ".synapse"}


def _is_bad(char: str) -> bool:
    return char in _FORBIDDEN or unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def _has_bad(name: str) -> bool:
    """Whether any character is bad; of printable ones only those that are forbidden by name are."""
    return not _FORBIDDEN.isdisjoint(name) or (not name.isprintable() and any(map(_is_bad, name)))


def _fault(name: str) -> str | None:
    """What is wrong with one path component, or None."""
    if not name:
        return "an empty name"
    if unicodedata.normalize("NFKC", name) in {".", ".."}:  # dots of other widths may become plain ones somewhere
        return f"`{name}` is not a name"
    if _has_bad(name):
        return "a character that is not allowed in names"
    if name[-1] in ". " or name[0] == " ":
        return "a name must not begin with a space or end with a dot or a space"
    if re.split(r"[. ]", name, maxsplit=1)[0].casefold() in _DEVICES:
        return "a device name on Windows"
    if clash_key(name) in _RESERVED:
        return "a reserved directory"
    if unicodedata.normalize("NFC", name) != name:
        return "not in Unicode form NFC"
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        return f"longer than {MAX_NAME_BYTES} bytes"
    return None


def clash_key(path: str) -> str:
    """What two paths share when some file system would take them for one (case, Unicode form)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", path).casefold())


def declared_name(entry: str) -> str:
    """The name under `[models]` of an entry: `NAME@VERSION` is one of several versions of `NAME`."""
    return entry.partition("@")[0]


@dataclass(frozen=True, slots=True, order=True)
class SafePath:
    """A relative path whose every part is safe; the only thing that may be joined to a target's root."""

    text: str

    def __post_init__(self) -> None:
        for part in self.text.split("/"):
            if (fault := _fault(part)) is not None:
                raise UnsafeName(f"unsafe path {self.text!r}: {fault}")

    @property
    def name(self) -> str:
        """The last part."""
        return self.text.rpartition("/")[2]

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts, from the root down."""
        return tuple(self.text.split("/"))

    def __truediv__(self, other: SafePath) -> SafePath:
        return SafePath(f"{self.text}/{other.text}")

    def under(self, root: Path) -> Path:
        """The path on disk below `root`."""
        return root.joinpath(*self.parts)

    def __str__(self) -> str:
        return self.text


def safe_filename(text: str, *, fallback: str = "model") -> str:
    """Make a site's file name safe, keeping as much of it as can be kept; never raises.

    Only the last component counts: directories in a site's file name are not ours to create.
    """
    name = PurePosixPath(unicodedata.normalize("NFC", text).replace("\\", "/")).name
    name = "".join("_" if char in _FORBIDDEN else "" if _is_bad(char) else char for char in name)
    name = name.strip(" ").rstrip(". ")
    stem, dot, suffix = name.rpartition(".")
    if not stem:
        stem, dot, suffix = name, "", ""
    while len((stem + dot + suffix).encode()) > MAX_NAME_BYTES:
        stem, suffix = (stem[:-1], suffix) if stem else ("", suffix[:-1])
    name = (stem + dot + suffix).strip(" ").rstrip(". ")
    if _fault(name) is not None:
        name = f"_{name}" if name and _fault(f"_{name}") is None else fallback
    return name


def safe_path(text: str) -> SafePath:
    """Make a site's relative path safe part by part; `..` and absolute paths are refused, not repaired.

    Raises `UnsafeName`.
    """
    if text.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", text):
        raise UnsafeName(f"unsafe path {text!r}: absolute")
    return SafePath(unicodedata.normalize("NFC", text))
