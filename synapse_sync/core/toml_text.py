"""Values as TOML writes them on one line. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

#: Printable ASCII without quotes and backslashes.
_PLAIN = re.compile(r"[ !#-\[\]-~]*").fullmatch


def is_plain(text: str) -> bool:
    """Whether TOML writes a text as it is, in quotes."""
    return _PLAIN(text) is not None


@lru_cache(maxsize=256)
def key_text(key: str) -> str:
    """A key, in quotes if it needs them."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else string_text(key)


def value_text(value: object) -> str:
    """A value on a single line."""
    if isinstance(value, str):
        return f'"{value}"' if _PLAIN(value) is not None else string_text(value)  # most are
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return repr(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key_text(str(key))} = {value_text(item)}" for key, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(value_text(item) for item in value) + "]"
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return repr(value)  # numbers: Python writes them as TOML reads them, `inf` and `nan` too


_ESCAPES = {"\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", '"': '\\"', "\\": "\\\\"}
#: Quotes, control characters, and what cannot be seen but changes how the text around it is shown.
_TO_ESCAPE = re.compile(
    r'[\x00-\x1f"\\\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]'
)


def string_text(text: str) -> str:
    """A basic string; characters that could control a terminal or an editor are escaped."""
    text = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates cannot be written at all
    return '"' + _TO_ESCAPE.sub(lambda match: _ESCAPES.get(match[0]) or f"\\u{ord(match[0]):04x}", text) + '"'


def comment_text(*words: str) -> str:
    """Names as a comment may contain them: without control characters."""
    text = " ".join(words)
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)
