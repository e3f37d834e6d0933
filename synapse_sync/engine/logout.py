"""Logout: forget a token that `synapse login` keeps."""

from __future__ import annotations

from pathlib import Path

from synapse_sync.engine.login import write_kept
from synapse_sync.user import keychain
from synapse_sync.user.tokens import read_kept


def forget(path: Path, host: str) -> tuple[bool, tuple[str, ...]]:
    """Forget the token for a host; returns whether there was one, and warnings. Raises `StorageError`."""
    kept = read_kept(path)
    if host not in kept:
        return False, ()
    warnings: tuple[str, ...] = ()
    if kept[host] is None and not keychain.forget(host):
        warnings = (f"the keyring could not be asked to forget {host}; take `synapse-sync` out of it by hand",)
    write_kept(path, {name: token for name, token in kept.items() if name != host})
    return True, warnings
