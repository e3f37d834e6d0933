"""`aria2`: the input file of `aria2c --input-file`, which checks each SHA-256. Pure.

The format is that of aria2's manual, "Input File": a line of URLs of one file with tabs between them, then indented
lines of its options. A URL must not contain `#` at its beginning or a tab; those of the lockfile contain neither.
"""

from __future__ import annotations

from synapse_sync.interop.writers.values import Export, ExportedFile, Written, below, local_notes, without_address

_HEADER = "# Written by `synapse export aria2`. Use: aria2c --input-file=THIS-FILE\n"


def write(export: Export) -> Written:
    """Write one download for each file; links, archives and files without a URL are left out, with a warning."""
    roots = export.roots
    notes = list(local_notes(without_address(export)))
    blocks: list[str] = []
    for path, file in export.placed():
        if file.artifact.archive is not None:
            notes.append(f"`{file.model.name}`: aria2 does not unpack archives; left out: {path}")
        elif file.addresses:
            blocks.append(_block(roots[file.target], file))
    wanting = sorted({address.site for _, file in export.placed() for address in file.addresses} - {""})
    notes += (f"aria2 sends no token: a file of {site} that needs one fails; the format `sh` "
              "sends it" for site in wanting)  # fmt: skip
    left_out = sum(1 for _ in export.placed()) - len(blocks)
    return Written("".join((_HEADER, *blocks)), tuple(dict.fromkeys(notes)), left_out)


def _block(root: str, file: ExportedFile) -> str:
    urls = "\t".join(address.url for address in file.addresses)
    directory = below(root, file.path).rpartition("/")[0] or "."
    options = (f"dir={directory}", f"out={file.path.name}", f"checksum=sha-256={file.artifact.sha256}",
               "auto-file-renaming=false", "continue=true")  # fmt: skip
    return "".join((f"{urls}\n", *(f"  {option}\n" for option in options)))
