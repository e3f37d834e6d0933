"""Make names from outside safe to use as a path. No other module does that.

The rules are the same on every system, so that a lockfile made on Linux works on Windows. A name has no separators
and no control, bidirectional or invisible characters. It is not `.`, `..` or a device name, and does not end with a
dot or a space. It is in Unicode form NFC, with at most 180 bytes of UTF-8.
"""

from __future__ import annotations

import contextlib
import re
import unicodedata
from functools import cache
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from synapse_sync.core.characters import named_character
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.unseen import all_seen, is_unseen
from synapse_sync.errors import UnsafeName

MAX_NAME_BYTES = 180
#: A stem leaves room for the longest ending of a companion, `.preview-100.jpeg`: UIs look for it under that stem.
MAX_STEM_BYTES = MAX_NAME_BYTES - 17
#: The most characters and bytes of a name that is made from a title.
_MAX_SLUG, _MAX_SLUG_BYTES = 48, 150
_FORBIDDEN = set('<>:"/\\|?*')
#: A parameter of a header: `name=token` or `name="quoted string"`, after the type or another parameter.
_PARAMETER = r"""(?:^|;)\s*([\w!#$&+\-.^`|~*]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;]*))"""
_DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$", "clock$"} | {
    f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"
}
#: Directories of synapse and of git; no name from outside may lead into them.
_RESERVED = {".git", ".synapse"}
#: A path of plain ASCII parts, none of them a device, hidden or long. `_fault` finds nothing in such a path. Most
#: paths are plain, and one command reads many thousands: so the loop never gives a character back, and little is in
#: `(?i:…)`, which is slow.
_PLAIN_PART = (
    r"(?![AaCcLlNnPp](?i:on|rn|ux|ul|om[0-9]|pt[0-9])(?:[. /]|\Z))"
    r"[A-Za-z0-9_][A-Za-z0-9_ .+()\-]{0,161}+(?<![ .])"
)
_PLAIN_PATH = rf"{_PLAIN_PART}(?:/{_PLAIN_PART})*\Z"


@cache
def _plain_path() -> re.Pattern[str]:
    return re.compile(_PLAIN_PATH)


def _is_bad(char: str) -> bool:
    return char in _FORBIDDEN or is_unseen(char)


def _has_bad(name: str) -> bool:
    """Whether a name has a bad character."""
    return not _FORBIDDEN.isdisjoint(name) or not all_seen(name)


def _fault(name: str) -> str | None:
    """The fault of one part of a path, or None."""
    if not name:
        return "an empty name"
    if unicodedata.normalize("NFKC", name) in {".", ".."}:  # dots of other widths may become plain ones somewhere
        return f"`{name}` is not a name"
    if _has_bad(name):
        return f"{named_character(next(filter(_is_bad, name)))} is a character that is not allowed in names"
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
    """The form that two paths share if some file system cannot tell them apart (case, Unicode form)."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", path).casefold())


def declared_name(entry: str) -> str:
    """The name under `[models]` of an entry: `NAME@VERSION` is one of several versions of `NAME`."""
    return entry.partition("@")[0]


def is_plain_path(path: str) -> bool:
    """Whether a path is surely safe, as nearly all are; others may be safe as well."""
    return _plain_path().match(path) is not None


def is_plain_name(name: str) -> bool:
    """Whether a name is one safe part of a path without spaces and odd characters; others may be safe as well."""
    return " " not in name and "/" not in name and _plain_path().match(name) is not None


@dataclass(frozen=True, slots=True, order=True, init=False)
class SafePath:
    """A relative path of safe parts. Nothing else may be joined to a target's root; raises `UnsafeName`."""

    text: str

    def __init__(self, text: str) -> None:  # one call less than a dataclass makes: it is there for every file
        if not is_plain_path(text):
            for part in text.split("/"):
                if (fault := _fault(part)) is not None:
                    raise UnsafeName(f"unsafe path {text!r}: {fault}")
        object.__setattr__(self, "text", text)

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


def safe_filename(text: str, *, encoded: bool = False, fallback: str = "model") -> str:
    """Make the name of one file safe and keep as much of it as possible; never raises.

    Only the last component counts: a site's file name must not create directories. With `encoded`, the text has the
    form of its transport (a URL, a header) and is percent-decoded once. The name is visible: it does not begin with
    a dot, since UIs pass over hidden files. `fallback` replaces a name of which nothing remains.
    """
    if is_plain_name(text):
        return text
    if encoded:
        text = percent_decoded(text)
    text = "".join(char for char in text if not is_unseen(char))  # first: normal forms of later characters differ
    name = PurePosixPath(unicodedata.normalize("NFC", text).replace("\\", "/")).name
    name = "".join("_" if char in _FORBIDDEN else char for char in name)
    name = visible_name(name.strip(" ").rstrip(". "), fallback)
    stem, dot, suffix = name.rpartition(".")
    if not stem:
        stem, dot, suffix = name, "", ""
    while len(stem.encode()) > MAX_STEM_BYTES:
        stem = stem[:-1]
    while len((stem + dot + suffix).encode()) > MAX_NAME_BYTES:
        # One character of the stem stays: without it, the name would be hidden.
        stem, suffix = (stem[:-1], suffix) if len(stem) > 1 else (stem, suffix[:-1])
    name = (stem + dot + suffix).strip(" ").rstrip(". ")
    if _fault(name) is not None:
        name = f"_{name}" if name and _fault(f"_{name}") is None else fallback
    return name


def slug(title: str) -> str:
    """A title as a short name: `DreamShaper XL v2` becomes `dreamshaper-xl-v2`.

    Capitals, accents of Latin letters, pictographs and other signs go. Of a title that is mostly ASCII, the other
    letters go as well, since not every keyboard has them; else letters of all scripts stay. A title without any
    letter or digit becomes `model`.
    """
    letters = re.sub("[^a-z0-9]", "-", title.lower()) if title.isascii() else _letters(title)
    words = re.sub(r"-+", "-", letters).strip("-")[:_MAX_SLUG]
    while len(words.encode()) > _MAX_SLUG_BYTES:
        words = words[:-1]
    words = words.strip("-")
    return words if words and _fault(words) is None else f"model-{words}".strip("-")


def _letters(title: str) -> str:
    """A title in small letters, with `-` for each character that does not go into a name."""
    apart = unicodedata.normalize("NFKD", title).casefold()
    apart = re.sub(r"(?<=[a-z])[\u0300-\u036f]+", "", apart)
    whole = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", apart))
    letters = "".join(char if _is_word(char) else "-" for char in whole)
    plain = sum(char.isascii() and char.isalpha() for char in letters)
    if 2 * plain >= sum(char.isalpha() for char in letters):
        letters = "".join(char if char.isascii() else "-" for char in letters)
    return letters


def _is_word(char: str) -> bool:
    """Whether a character belongs to a word: a letter, a digit, or a mark on a letter, as in Hindi and Thai."""
    return (unicodedata.category(char)[0] in "LM" or char.isdigit()) and not is_unseen(char)


def safe_path(text: str, *, visible: bool = False) -> SafePath:
    """Make a site's relative path safe part by part; `..` and absolute paths are refused, not repaired.

    A repository keeps its names, since other files refer to them; with `visible`, no part begins with a dot.
    Raises `UnsafeName`.
    """
    if text.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", text):
        raise UnsafeName(f"unsafe path {text!r}: absolute")
    path = SafePath(unicodedata.normalize("NFC", text))
    return SafePath("/".join(visible_name(part) for part in path.parts)) if visible else path


def percent_decoded(text: str) -> str:
    """Decode `%20` and its like once; a text that does not decode to UTF-8 stays as it is.

    A `%` that no two hexadecimal digits follow means itself.
    """
    try:
        return unquote(text, errors="strict")
    except ValueError:
        return text


def disposition_name(header: str | None) -> str | None:
    """Return the file name in a `Content-Disposition` header as it was sent, or None.

    The syntax is that of RFC 6266: `filename*` (RFC 8187: charset, language, percent-encoded bytes) goes before
    `filename` (a token or a quoted string, whose UTF-8 arrives as Latin-1). A name in `filename` may be
    percent-encoded all the same: browsers decode it, and so does this. The name is not safe yet.
    """
    values: dict[str, str] = {}
    for match in re.finditer(_PARAMETER, header or ""):
        key, quoted, plain = match.groups()
        values.setdefault(key.lower(), plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
    charset, _, rest = values.get("filename*", "").partition("'")
    _, mark, extended = rest.partition("'")
    if mark and extended:
        with contextlib.suppress(ValueError, LookupError):  # an unknown charset, or bytes that it does not have
            return unquote(extended, encoding=charset.strip() or "utf-8", errors="strict")
    name = values.get("filename", "").strip()
    with contextlib.suppress(ValueError):
        name = name.encode("latin-1").decode("utf-8")
    return percent_decoded(name) or None


def visible_name(name: str, fallback: str = "model") -> str:
    """The name without dots at its beginning; one that was nothing but an ending is `fallback` with that ending."""
    rest = name.lstrip(". ")
    return rest if rest == name or "." in rest else f"{fallback}.{rest}" if rest else rest
