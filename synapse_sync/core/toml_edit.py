"""Edit one key at the top of a TOML text: all other statements stay as they are, byte for byte."""

from __future__ import annotations

from synapse_sync.core.toml import statements


def with_top_key(text: str, key: str, value: str | None) -> str:
    """The text with one key at its top level set, or without it if `value` is None.

    `value` is the value as TOML writes it. A new key goes above the first table and the comment on that. The text
    must be valid.
    """
    newline = "\r\n" if "\r\n" in text else "\n"
    line = "" if value is None else f"{key} = {value}{newline}"
    parts = list(statements(text))
    texts = [part.text for part in parts]
    known = next((number for number, part in enumerate(parts) if part.is_entry and part.path == (key,)), None)
    if known is not None:
        texts[known] = line
        return "".join(texts)
    place = next((number for number, part in enumerate(parts) if part.is_header), len(parts))
    while 0 < place < len(parts) and texts[place - 1].lstrip().startswith("#"):
        place -= 1
    if place and line and not texts[place - 1].endswith("\n"):
        line = newline + line
    return "".join((*texts[:place], line, *texts[place:]))
