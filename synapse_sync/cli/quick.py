"""The quick answer: a `synapse sync` with nothing to do, before click and most of synapse are imported.

Everything else is left to the commands: other options, settings that must be parsed, and every error. No token is
read, since no request is sent.
"""

from __future__ import annotations

import os
import sys

from synapse_sync.cli.texts import in_sync_text
from synapse_sync.engine.unchanged import fingerprint, unchanged_files
from synapse_sync.sites import SITES, endpoint_variables
from synapse_sync.store.project_note import project_key
from synapse_sync.user.places import (
    LOCKFILE,
    MANIFEST,
    config_path,
    find_project,
    home_text,
    more_stores,
    settings_digest,
    store_path,
)
from synapse_sync.user.small_files import content, content_digest

TYPE_CHECKING = False  # see `user/places.py`
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Options that make no difference to a sync with nothing to do.
_INDIFFERENT = {"--locked", "--frozen", "--offline", "-y", "--yes", "--no-progress", "-q", "--quiet"}
#: Variables that are read here or have no say, and those that have none when they are 1.
_READ = {
    "SYNAPSE_STORE", "SYNAPSE_STORES", "SYNAPSE_CONFIG", "SYNAPSE_TRUST", "SYNAPSE_TRUST_HOSTS",
    "SYNAPSE_RETRY_DELAY",
}  # fmt: skip
_SWITCHES = {"SYNAPSE_LOCKED", "SYNAPSE_FROZEN", "SYNAPSE_OFFLINE", "SYNAPSE_NO_PROGRESS"}


def answer(arguments: Sequence[str]) -> bool:
    """Answer `sync` if there is nothing to do; returns whether that is the case. Else nothing is printed."""
    options = set(arguments[1:])
    if arguments[:1] != ["sync"] or not options <= _INDIFFERENT or {"--locked", "--frozen"} <= options:
        return False
    if not _is_indifferent(os.environ):
        return False
    try:
        files = _files_in_sync(os.environ)
        if files is not None and not options & {"-q", "--quiet"} and sys.stdout is not None:
            sys.stdout.write(f"{in_sync_text(files)}, nothing to do\n")
            sys.stdout.flush()
    except Exception:  # the commands meet the same error, and report it
        return False
    return files is not None


def _is_indifferent(environ: Mapping[str, str]) -> bool:
    """Whether no variable sets an option that makes a difference, or has a value that has to be refused."""
    names = {name for name in environ if name.startswith("SYNAPSE_") and environ[name]} - _READ
    plain = all(name in _SWITCHES and environ[name] == "1" for name in names)
    return plain and not {"SYNAPSE_LOCKED", "SYNAPSE_FROZEN"} <= names and _is_fit(environ)


def _is_fit(environ: Mapping[str, str]) -> bool:
    """Whether the settings surely accept the variables that have no say here: they must not fail only later.

    `load_settings` decides. Whatever is not plain is left to it.
    """
    whole, dot, part = environ.get("SYNAPSE_RETRY_DELAY", "").partition(".")
    numbers = ((whole or dot, 3), (part or dot, 6), (environ.get("SOURCE_DATE_EPOCH", ""), 15))
    tokens = (environ.get(name, "") for site in SITES for name in site.token_variables)
    files = (environ.get(site.token_file, "") for site in SITES)
    return (
        all(not text or (text.isascii() and text.isdigit() and len(text) <= most) for text, most in numbers)
        and environ.get("SYNAPSE_TRUST", "") in ("", "0", "1")
        and all(text.isascii() and text.isprintable() and not {*" \"'"} & {*text} for text in tokens)
        and all(not path or os.path.isfile(path) for path in files)
    )


def _files_in_sync(environ: Mapping[str, str]) -> int | None:
    """Return the number of files in place, or None if only a command that parses the user's files can know it."""
    project = find_project(os.getcwd())
    place = config_path(environ)
    config = b"" if place is None else content(place)
    store = environ.get("SYNAPSE_STORE")
    if project is None or (not store and _may_place_the_store(config)):
        return None
    more_stores(environ)  # raises for those that the settings refuse
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
    """Whether a text in TOML may have the key `store`, which can also be written with escapes.

    A key begins a line. `stores` is another one: the main store has the notes that an answer needs.
    """
    if b"store" not in config:
        return b"\\" in config
    keys = [line.lstrip(b"\xef\xbb\xbf \t\"'") for line in config.replace(b"\r", b"\n").split(b"\n")]
    return b"\\" in config or any(key.startswith(b"store") and not key.startswith(b"stores") for key in keys)


def _is_plain(url: str) -> bool:
    """Whether this is `https://` and a host, and nothing else: the settings accept every such address."""
    host = url.removeprefix("https://")
    return host != url and host.isascii() and host.replace(".", "").replace("-", "").isalnum()
