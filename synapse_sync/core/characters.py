"""Names of characters for messages: an invisible character can be found only by its name. Pure."""

from __future__ import annotations

import unicodedata

_PLAIN = {" ": "a space", "\t": "a tab", "\n": "a line break", "\r": "a carriage return", "\0": "a null character"}
_MARKS = {"\ufeff": "a byte order mark (U+FEFF)", "\ufffd": "bytes that are not UTF-8"}


def named_character(char: str) -> str:
    """Return the words for one character: itself in backticks if it can be seen, else its name and number."""
    if (words := _PLAIN.get(char) or _MARKS.get(char)) is not None:
        return words
    if char.isprintable():
        return f"`{char}`"
    if "\udc80" <= char <= "\udcff":  # Python's stand-in for a byte of a file name
        return f"the byte 0x{ord(char) - 0xDC00:02X}, which is not UTF-8,"
    # Control characters have no name.
    name = unicodedata.name(char, "")
    return f"U+{ord(char):04X} ({name.lower()})" if name else f"the control character U+{ord(char):04X}"
