"""The remotes that the user's environment or settings name, and the directories of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from synapse_sync.core.remote import Remote, RemoteKind, parse_remotes
from synapse_sync.errors import InputError
from synapse_sync.user.places import expanded

VARIABLE = "SYNAPSE_REMOTE"


def named_remotes(environ: Mapping[str, str], value: object, config: Path) -> tuple[Remote, ...]:
    """Return the remotes of SYNAPSE_REMOTE, separated by commas, else those of the settings.

    `value` is that of the key `remote` in the file `config`. Raises `InputError`.
    """
    if given := environ.get(VARIABLE, "").strip():
        found = parse_remotes([text for text in given.split(",") if text.strip()], VARIABLE)
        return tuple(at_directory(remote, None, VARIABLE) for remote in found)
    where = f"{config}: remote"
    return tuple(at_directory(remote, config.parent, where) for remote in parse_remotes(value, where))


def at_directory(remote: Remote, base: Path | None, where: str) -> Remote:
    """Return a remote with the whole path of its directory, which is relative to `base`.

    Raises `InputError`, which names the setting `where`, for a relative path without a base.
    """
    if remote.kind is not RemoteKind.DIRECTORY:
        return remote
    path = Path(expanded(remote.address, where))
    if base is None and not path.is_absolute():
        raise InputError(f"{where}: `{remote.address}` is not an absolute path", hint="write the whole path")
    return replace(remote, address=str(path if base is None else base / path))
