"""Writers: one row for each format of `synapse export`, and one module for each row. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from synapse_sync.interop.writers import aria2, sh, sha256sums
from synapse_sync.interop.writers.values import Export, Written


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """One format: `about` is its line in the help, and `write` makes the text.

    With `fetches`, the text downloads files, so that policy is asked about each of them first. With `completes`,
    the user names a file of that format, whose text is `Export.given`. With `merges`, that is the present text of
    the file that is written. With `beside`, relative roots begin at the directory of that file.
    """

    about: str
    write: Callable[[Export], Written]
    fetches: bool = False
    completes: bool = False
    merges: bool = False
    beside: bool = False


WRITERS: Mapping[str, Writer] = {
    "aria2": Writer(about="an input file of aria2c", write=aria2.write, fetches=True),
    "sh": Writer(about="a script that rebuilds the tree with curl and sha256sum", write=sh.write, fetches=True),
    "sha256sums": Writer(about="a list that `sha256sum -c` checks", write=sha256sums.write),
}
