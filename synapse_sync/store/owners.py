"""Owners: whose files in a store count as one's own, and whose are hashed before use and copied."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from synapse_sync.store.durable import random_name


class Owners:
    """The owners that a user trusts in the store at `root`: themselves, root, and those of their settings.

    `trusted` has names or numbers of users, and names of groups (with an `@` before a group that is called like a
    user): all members of a group are trusted. Names that this machine does not know trust nobody.
    """

    def __init__(self, root: Path, trusted: Iterable[str] = ()) -> None:
        self._root = root
        self._trusted = tuple(trusted)
        self._known: dict[int, bool] = {}

    def trust(self, found: os.stat_result) -> bool:
        """Whether a file with this stat belongs to one of them. Without owners (Windows) each file does."""
        if os.name == "nt":
            return True
        uid = found.st_uid
        if uid not in self._known:
            self._known[uid] = uid in _self() or self._is_named(uid) or uid == self.mine
        return self._known[uid]

    @cached_property
    def mine(self) -> int | None:
        """The owner that a file made by this user gets in the store; None where none can be made.

        It is another one than the user's own where the mount says so: root-squash, rootless containers, SMB.
        """
        for directory in (self._root / "tmp", self._root):
            path = directory / random_name()
            with contextlib.suppress(OSError):
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                try:
                    return os.fstat(handle).st_uid
                finally:
                    os.close(handle)
                    path.unlink()
        return None

    def _is_named(self, uid: int) -> bool:
        if not self._trusted:
            return False
        names, groups = {str(uid)}, set[str]()
        if sys.platform != "win32":
            import grp
            import pwd

            with contextlib.suppress(KeyError):
                user = pwd.getpwuid(uid)
                names.add(user.pw_name)
                for gid in os.getgrouplist(user.pw_name, user.pw_gid):
                    with contextlib.suppress(KeyError):
                        groups.add(grp.getgrgid(gid).gr_name)
        return any(name in names or name.removeprefix("@") in groups for name in self._trusted)


def _self() -> set[int]:
    """Root, and this user: for root the one who called sudo, too."""
    if sys.platform == "win32":
        return {0}  # the owner of every file there, as Python says
    else:
        user, called = os.geteuid(), os.environ.get("SUDO_UID", "")
        return {0, user, int(called)} if user == 0 and called.isascii() and called.isdigit() else {0, user}
