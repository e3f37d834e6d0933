"""The lines of `synapse list --sizes`: what each model takes, and what can be deleted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from synapse_sync.cli.render import table_lines
from synapse_sync.cli.texts import cell_text, count_text, shown_paths
from synapse_sync.core.size_text import size_text

if TYPE_CHECKING:
    from synapse_sync.core.disk_use import HeldFile
    from synapse_sync.engine.disk_use import DiskUse
    from synapse_sync.engine.unmanaged import Unmanaged

#: How many files of one kind are listed; `--json` has all of them.
_SHOWN = 5


def size_lines(use: DiskUse, types: Mapping[str, str | None]) -> Iterator[str]:
    """Return the table of all models, those that take most first; `types` are theirs by name."""
    if not use.models:
        return
    order = sorted(use.models, key=lambda each: (-each.on_disk, -each.size, each.name))
    rows = [
        (each.name, types.get(each.name) or "?", *map(size_text, (each.size, each.on_disk, each.alone)))
        for each in order
    ]
    rows.append(("(all)", "", size_text(use.size), size_text(use.on_disk), ""))
    yield from table_lines(rows, ("name", "type", "size", "on disk", "only it uses"), shrink=0)


def deletable_lines(use: DiskUse) -> Iterator[str]:
    """Return what can be deleted, each with the command or the files."""
    alone = [each for each in use.models if each.alone]
    found: list[str] = [
        *(_models_line(len(alone), sum(each.alone for each in alone)) if alone else ()),
        *_unmanaged_lines(use.unmanaged),
        *_duplicate_lines(use),
        *_store_lines(use),
    ]
    if found:
        yield ""
        yield click.style("can be deleted", bold=True)
        yield from found


def _models_line(number: int, size: int) -> tuple[str, str]:
    freed = f"  {size_text(size)} that only one model uses, in {count_text(number, 'model')}"
    return freed, "      `synapse remove NAME`, then `synapse sync` and `synapse store gc --now`"


def _unmanaged_lines(files: Sequence[Unmanaged]) -> Iterator[str]:
    if not files:
        return
    size = size_text(sum(each.size for each in files))
    yield f"  {size} in {count_text(len(files), 'unmanaged file')}, which synapse did not place"
    largest = sorted(files, key=lambda each: (-each.size, each.path))
    for each in largest[:_SHOWN]:
        yield f"      {shown_paths([_below(each.root, each.path)])}  {size_text(each.size)}"
    if len(files) > _SHOWN:
        yield f"      … and {len(files) - _SHOWN:,} more; `synapse status --all` lists them"


def _duplicate_lines(use: DiskUse) -> Iterator[str]:
    """Return the lines about bytes that are there more than once, and how to keep one copy."""
    files = use.duplicates
    if not files:
        return
    yield f"  {size_text(use.spare)} in duplicates: bytes that are on this machine more than once"
    for each in files[:_SHOWN]:
        yield f"      {size_text(each.spare)}  the same bytes {len(each.files)} times"
        yield from (f"          {_place_text(file)}" for file in each.files[:_SHOWN])
        if len(each.files) > _SHOWN:
            yield f"          … and {len(each.files) - _SHOWN:,} more"
    if len(files) > _SHOWN:
        yield f"      … and {len(files) - _SHOWN:,} more; `synapse list --sizes --json` has them"
    if use.copied:
        yield "      `synapse sync --link-mode symlink` places links instead of copies"
    if use.found:
        yield f"      `synapse import --move {shown_paths(use.found)}` keeps one copy in the store, and links to it"


def _place_text(file: HeldFile) -> str:
    return "the store" if file.key is None else cell_text(f"{file.key[0]}: {file.key[1]}")


def _store_lines(use: DiskUse) -> Iterator[str]:
    unused = use.unused
    if unused.drop or unused.refused:
        blobs = f"in {count_text(len(unused.drop), 'blob')} that nobody uses" if unused.drop else ""
        refused = f"in {count_text(len(unused.refused), 'download')} with wrong bytes" if unused.refused else ""
        yield f"  {size_text(unused.bytes)} in the store, {' and '.join(filter(None, (blobs, refused)))}"
        yield "      `synapse store gc --now` drops them"
    if unused.irreplaceable:
        size = size_text(sum(blob.size for blob in unused.irreplaceable))
        yield f"  {size} in the store that nobody uses, and that no known location has"
        yield "      `synapse store gc --now --irreplaceable` drops them, too"


def _below(root: str, path: str) -> str:
    return path if root in ("", ".") else f"{root.rstrip('/')}/{path}"
