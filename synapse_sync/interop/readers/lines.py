"""Lists of addresses: one on each line, and the input files of aria2. Pure.

aria2's format is that of its manual, "Input File": a line of URIs that are separated by tabs, mirrors of one file,
and below it indented options of this file. Options that hold credentials (`header`) are never read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.reference_text import shown
from synapse_sync.interop.readers.listed import MODELS, Listed, is_reference, listed

#: A digest in a checksum of aria2: `sha-256=…`; weaker ones prove nothing.
_CHECKSUM = re.compile(r"sha-?256=([0-9A-Fa-f]{64})")
_COMMENT = ("#", "//", ";")


@dataclass(frozen=True, slots=True)
class Entry:
    """The addresses of one file, with aria2's options and the number of the line, which counts from 1."""

    line: int
    locations: tuple[str, ...]
    options: dict[str, str] = field(default_factory=dict)


def are_lines(text: str) -> bool:
    """Whether a text is a list of addresses: whether its first line with content is one."""
    first = next((line for line in text[: 1 << 16].splitlines() if not _is_blank(line)), "")
    address = first.split("\t")[0]
    return not first[:1].isspace() and (address.startswith(("https://", "http://")) or is_reference(address))


def read_addresses(lines: Sequence[str]) -> Iterator[Listed] | None:
    """The models of a list of addresses; None for an input file of aria2."""
    if _is_aria2(lines):
        return None
    return (_address(number, line) for number, line in enumerate(lines, start=1) if not _is_blank(line))


def read_aria2(lines: Sequence[str]) -> Iterator[Listed] | None:
    """The models of an input file of aria2; None for a plain list of addresses."""
    return map(_download, _entries(lines)) if _is_aria2(lines) else None


def _is_blank(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith(_COMMENT)


def _is_aria2(lines: Sequence[str]) -> bool:
    return any("\t" in line.strip() or (line[:1] in " \t" and "=" in line) for line in lines if not _is_blank(line))


def _address(number: int, line: str) -> Listed:
    text = line.strip()
    return listed(shown(text), locations=[text], at=f"line {number}")


def _entries(lines: Sequence[str]) -> Iterator[Entry]:
    entry: Entry | None = None
    for number, line in enumerate(lines, start=1):
        if _is_blank(line):
            continue
        if not line[:1].isspace():
            if entry is not None:
                yield entry
            entry = Entry(number, tuple(part.strip() for part in line.split("\t") if part.strip()))
        elif entry is not None:
            key, _, value = line.strip().partition("=")
            entry.options[key.strip()] = value.strip()
    if entry is not None:
        yield entry


def _download(entry: Entry) -> Listed:
    options: Mapping[str, str] = entry.options
    digest = _CHECKSUM.fullmatch(options.get("checksum", ""))
    out = options.get("out", "")
    return listed(
        out or shown(entry.locations[0]),
        locations=entry.locations,
        filename=out,
        folder=ui_folder(options.get("dir", "")),
        sha256=None if digest is None else digest[1],
        at=f"line {entry.line}",
    )


def ui_folder(path: str) -> str:
    """A directory on another machine as a folder of a UI: the part from `models` on; a relative one as it is."""
    parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")]
    if MODELS in parts:
        return "/".join(parts[parts.index(MODELS) :])
    return "" if re.match(r"[/\\~]|[A-Za-z]:", path) else "/".join(parts)
