"""Link modes: how a blob of the store gets its name in a tree.

A new mode is one member here and one function in `store/links.py`; everything else asks the member.
"""

from __future__ import annotations

from enum import StrEnum

from synapse_sync.errors import InputError

#: The receipt's words for a file that was there with the right bytes, and for one that the user handed over since.
ADOPTED, TAKEN = "adopted", "taken"
#: The word for a file that only a receipt lists that does not count: perhaps the user's own.
CLAIMED = "claimed"
#: The receipt's words for a relative link to another path of its target, and for a copy where no link can be made.
WITHIN, BESIDE = "link", "copy of a blob"


class LinkMode(StrEnum):
    """One way to place a file; `auto` is the best one that the two file systems allow."""

    AUTO = "auto"
    CLONE = "clone"  # a file of its own that shares its blocks with the blob
    HARDLINK = "hardlink"
    SYMLINK = "symlink"
    COPY = "copy"
    MOVE = "move"  # a file of its own; the blob leaves the store

    @property
    def empties_store(self) -> bool:
        """Whether the store no longer has the blob afterwards."""
        return self is LinkMode.MOVE

    @property
    def is_own_file(self) -> bool:
        """Whether a placed file always has blocks of its own, on whichever volume the blob is."""
        return self in (LinkMode.COPY, LinkMode.MOVE)

    @property
    def is_own_inode(self) -> bool:
        """Whether a placed file is one that the store knows nothing of, so that its mode and time are its own."""
        return self in (LinkMode.CLONE, LinkMode.COPY, LinkMode.MOVE)

    def needs_room(self, *, across: bool) -> bool:
        """Whether a file that is placed in this way occupies its size in the target.

        `across` says that store and target are on two devices. For `auto`, ask the way that it ends in.
        """
        return self is LinkMode.COPY or (across and self is LinkMode.MOVE)

    def accepts(self, how: str | None) -> bool:
        """Whether a file that was placed in the way `how` may remain; `auto` accepts every way."""
        return self is LinkMode.AUTO or how in (self, ADOPTED, TAKEN, CLAIMED)


def own_file_mode(mode: LinkMode, where: str) -> LinkMode:
    """The link mode in a reproducible workspace, where `auto` makes copies; `where` is for the error.

    Raises `InputError` for a mode that shares the store's files, with their times.
    """
    if mode is LinkMode.AUTO:
        return LinkMode.COPY
    if not mode.is_own_inode:
        raise InputError(
            f"{where}: link mode {mode} shares the store's files, which have times of this machine; "
            "synapse.toml says `reproducible = true`",
            hint="use `copy`, `clone` or `move` here, or remove `reproducible` from [workspace]",
        )
    return mode
