"""Quick: a `synapse sync` with nothing to do, answered before click and most of synapse are imported.

Whatever is not plain to see is left to the commands: other options, settings that have to be parsed, an error of
any kind. No token is looked at here: nobody is asked for anything.
"""

from __future__ import annotations

import os
import sys

from synapse_sync.cli.texts import in_sync_text
from synapse_sync.engine.unchanged import fingerprint, unchanged_files
from synapse_sync.sites import endpoint_variables
from synapse_sync.store.project_note import project_key
from synapse_sync.user.places import (
    LOCKFILE,
    MANIFEST,
    config_path,
    content,
    content_digest,
    find_project,
    home_text,
    settings_digest,
    store_path,
)

TYPE_CHECKING = False  # see `places.py`
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Options that say how something is to be done; they make no difference where nothing is.
_INDIFFERENT = {"--locked", "--frozen", "--offline", "-y", "--yes", "--no-progress", "-q", "--quiet"}


def answer(arguments: Sequence[str]) -> bool:
    """Tell that there is nothing to do, if that is what was asked and what is the case; else say nothing."""
    options = set(arguments[1:])
    if arguments[:1] != ["sync"] or not options <= _INDIFFERENT or {"--locked", "--frozen"} <= options:
        return False
    try:
        files = _files_in_sync(os.environ)
        if files is not None and not options & {"-q", "--quiet"} and sys.stderr is not None:
            sys.stderr.write(f"{in_sync_text(files)}\n")
            sys.stderr.flush()
    except Exception:  # the commands meet it again, and have the words for it
        return False
    return files is not None


def _files_in_sync(environ: Mapping[str, str]) -> int | None:
    """How many files are in place, if this can be told without parsing anything of the user's."""
    project = find_project(os.getcwd())
    place = config_path(environ)
    config = b"" if place is None else content(place)
    store = environ.get("SYNAPSE_STORE")
    if project is None or (not store and _may_place_the_store(config)):
        return None
    # The settings check these addresses; one that might be refused is left to them.
    if not all(_is_plain(environ[name]) for name in endpoint_variables() if environ.get(name)):
        return None
    state = fingerprint(
        content_digest(os.path.join(project, MANIFEST)),
        content_digest(os.path.join(project, LOCKFILE)),
        settings_digest(config, store),
        home_text(),
    )
    return unchanged_files(store_path(None, place, environ), project_key(project), state)


def _may_place_the_store(config: bytes) -> bool:
    """Whether a text in TOML might have the key `store`, which can be written with escapes, too."""
    return b"store" in config or b"\\" in config


def _is_plain(url: str) -> bool:
    """Whether this is the address of a host and no more, in which nothing can be wrong."""
    host = url.removeprefix("https://")
    return host != url and host.isascii() and host.replace(".", "").replace("-", "").isalnum()
