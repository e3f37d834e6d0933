"""Login: keep a token, in the system's keyring where there is one, else in a file that only its owner can read."""

from __future__ import annotations

from pathlib import Path

from synapse_sync.store.durable import make_dirs, storage_error, write_atomic
from synapse_sync.user import keychain
from synapse_sync.user.tokens import format_kept, read_kept


def keep(path: Path, host: str, token: str) -> str:
    """Keep the token for a host; returns where, in words. Raises `StorageError`."""
    kept = read_kept(path)
    in_keyring = keychain.keep(host, token)
    write_kept(path, {**kept, host: None if in_keyring else token})
    return "the system's keyring" if in_keyring else f"the file {path}"


def write_kept(path: Path, kept: dict[str, str | None]) -> None:
    """Write the file of kept tokens, for its owner's eyes only, whatever it was before."""
    try:
        if not path.parent.is_dir():
            make_dirs(path.parent.parent)
            path.parent.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise storage_error(error, f"making {path.parent}") from error
    write_atomic(path, format_kept(kept).encode(), mode=0o600, keep_mode=False)
