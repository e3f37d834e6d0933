"""`urls`: one URL a line, for programs that take such a list. Pure."""

from __future__ import annotations

from synapse_sync.interop.writers.values import Export, Written, local_notes, without_address


def write(export: Export) -> Written:
    """Write the first URL of each content, in the order of the paths."""
    urls = dict.fromkeys(file.addresses[0].url for _, file in export.placed() if file.addresses)
    local = without_address(export, by_content=True)
    return Written("".join(f"{url}\n" for url in urls), local_notes(local), len(local))


def is_one(text: str) -> bool:
    """Whether a text is such a list."""
    return all(line.startswith(("https://", "http://")) for line in text.splitlines())
