"""Places: the paths of the user's settings, of the store and of the project.

Import-light: `cli/quick.py` uses it before anything else is imported.
"""

from __future__ import annotations

import hashlib
import os
import sys

TYPE_CHECKING = False  # importing `typing` takes longer than a whole quick answer
if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MANIFEST = "synapse.toml"
LOCKFILE = "synapse.lock"
CONFIG = "config.toml"
#: A path without any of these needs no closer look.
_SUSPICIOUS = "$%\\:'\" "
#: For each kind of directory the variable and the usual place of the XDG specification.
_XDG = {"config": ("XDG_CONFIG_HOME", "~/.config"), "data": ("XDG_DATA_HOME", "~/.local/share")}


def config_path(environ: Mapping[str, str]) -> str | None:
    """The path of the user's `config.toml`, which need not exist; None for a user without a home directory.

    `SYNAPSE_CONFIG` has the path of the file, or of the directory that contains it. Raises `InputError` for a path
    that is not absolute.
    """
    given = environ.get("SYNAPSE_CONFIG")
    if given:
        path = _absolute(given, "SYNAPSE_CONFIG")
        # A directory of that very name is what Docker makes for a bind mount without a file: it is reported.
        folder = path.endswith(("/", os.sep)) or (os.path.basename(path) != CONFIG and os.path.isdir(path))
        return os.path.join(path, CONFIG) if folder else path
    directory = _own_directory("config", environ)
    return None if directory is None else os.path.join(directory, CONFIG)


def settings_directory() -> str | None:
    """The usual directory of the user's settings, wherever `SYNAPSE_CONFIG` is; None without a home directory."""
    return _own_directory("config", os.environ)


def store_path(written: str | None, config: str | None, environ: Mapping[str, str]) -> str:
    """The path of the store: from its variable, else from the settings (`written`), else its usual place.

    `config` is the path of the settings: a relative path in them begins at their directory. Raises `InputError`
    for a `SYNAPSE_STORE` that is not an absolute path, and for a user without a home directory who has set nothing.
    """
    if given := environ.get("SYNAPSE_STORE"):
        return _absolute(given, "SYNAPSE_STORE")
    if written is not None and config is not None:
        return os.path.join(os.path.dirname(config), expanded(written, "store"))
    directory = _own_directory("data", environ)
    if directory is None:
        from synapse_sync.errors import InputError

        raise InputError(
            "this user has no home directory, so the store has no place",
            hint="set HOME, or set SYNAPSE_STORE to the path of a directory",
        )
    return os.path.join(directory, "store")


def more_stores(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The further stores that `SYNAPSE_STORES` lists, separated as in `PATH`.

    Raises `InputError` for one that is not an absolute path.
    """
    given = environ.get("SYNAPSE_STORES", "").split(os.pathsep)
    return tuple(_absolute(path, "SYNAPSE_STORES") for path in given if path)


def this_system() -> str:
    """The system that paths are for: "windows", "macos", or "linux" for every other one."""
    return {"win32": "windows", "darwin": "macos"}.get(sys.platform, "linux")


def other_stores(environ: Mapping[str, str], home: Path | None) -> tuple[Path, ...]:
    """The directories in which other programs for models keep theirs, as far as they exist.

    StabilityMatrix (its `Data` folder), LM Studio, Ollama and InvokeAI, in their usual places in 2026.
    """
    if home is None:
        return ()
    usual = (
        ".local/share/StabilityMatrix/Models",
        "AppData/Roaming/StabilityMatrix/Models",
        ".lmstudio/models",
        ".cache/lm-studio/models",
        os.path.join(environ.get("OLLAMA_MODELS") or ".ollama/models", "blobs"),
        "invokeai/models",
    )
    base = str(home)  # paths are made of those that exist: every command looks
    return tuple(home / path for path in usual if os.path.isdir(os.path.join(base, path)))


def home_directory() -> Path | None:
    """The user's home directory; None where neither HOME nor the system's list of users has one."""
    from pathlib import Path

    found = home_text()
    return None if found.startswith("~") else Path(found)


def home_text() -> str:
    """The user's home directory as text, `~` if it has none: for the fingerprint of a sync."""
    return os.path.expanduser("~")


def _absolute(path: str, variable: str) -> str:
    """Return the path in a variable; raises `InputError` for a relative one, which moves with the directory."""
    found = expanded(path, variable)
    if not os.path.isabs(found):
        from synapse_sync.errors import InputError

        raise InputError(
            f"{variable}: `{path}` is not an absolute path",
            hint=f"write the whole path: `{os.path.abspath(found)}`",
        )
    return found


def expanded(path: str, name: str = "") -> str:
    """Return a path as a user wrote it, with the home directory in place of its `~`.

    `name` is the setting or variable that it comes from, for errors. Every path of a manifest, a setting or a
    variable passes here. Raises `InputError` for a path that cannot be meant as it is (a shell's variable, a drive
    of Windows, a URL): it would become a directory of that very name.
    """
    found = os.path.expanduser(path)
    if not path or found.startswith("~") or not path.isprintable() or any(char in path for char in _SUSPICIOUS):
        from synapse_sync.core.paths import mistake_in_path

        where = f"{name}: `{path}`" if name else f"`{path}`"
        mistake = mistake_in_path(path, windows=os.name == "nt")
        if mistake is None and found.startswith("~"):
            mistake = "no such home directory", "write the path without `~`"
        if mistake is not None:
            from synapse_sync.errors import InputError  # not before: on Windows each path gets this closer look

            raise InputError(f"{where}: {mistake[0]}", hint=mistake[1])
    return found


def find_project(start: str) -> str | None:
    """Return the nearest directory from `start` upwards with a `synapse.toml` whatever that is, or None.

    Raises `InputError` for one above `start` that another user made: in `/tmp`, anybody may leave one for everybody
    below. One in `start` itself is deliberate.
    """
    here = first = os.path.realpath(start)
    while True:
        path = os.path.join(here, MANIFEST)
        if os.path.exists(path):  # a directory or a pipe is reported when it is read
            if here != first:
                _check_owner(here, path, first)
            return here
        above = os.path.dirname(here)
        if above == here:
            return None
        here = above


def _check_owner(directory: str, manifest: str, start: str) -> None:
    """Raise `InputError` unless a directory and its manifest belong to this user or to root.

    For root, the user is the one who called sudo, else the owner of the working directory `start`.
    """
    if not hasattr(os, "geteuid"):
        return
    user = os.geteuid()
    if user == 0:
        called = os.environ.get("SUDO_UID", "")
        user = int(called) if called.isascii() and called.isdigit() else os.stat(start).st_uid
    # Both the link and what it leads to: `synapse.toml` may be kept among dotfiles.
    owners = {os.stat(directory).st_uid, os.lstat(manifest).st_uid, os.stat(manifest).st_uid}
    if owners - {0, user}:
        from synapse_sync.errors import InputError

        raise InputError(
            f"{manifest} belongs to another user, and is above {start}; it is not used",
            hint=f"if you want it, name its directory: `-C {directory}`; else make a `{MANIFEST}` of your own here",
        )


def settings_digest(config: bytes, store: str | None) -> str:
    """Return a digest of the settings that a complete sync depends on: `config.toml`, and the path of the store."""
    return hashlib.sha256(config + b"\0" + (store or "").encode("utf-8", "surrogateescape")).hexdigest()


def _own_directory(kind: str, environ: Mapping[str, str]) -> str | None:
    """The directory of synapse among the user's; None for a user without a home directory."""
    if sys.platform == "linux" and os.path.isabs(environ.get("HOME", "")):
        # The same paths as those of platformdirs, whose import costs a third of a sync with nothing to do.
        variable, usual = _XDG[kind]
        base = environ.get(variable, "")
        return os.path.join(base if os.path.isabs(base) else os.path.expanduser(usual), "synapse")
    import platformdirs

    find = platformdirs.user_config_dir if kind == "config" else platformdirs.user_data_dir
    try:
        found = find("synapse", appauthor=False)
    except RuntimeError:  # neither HOME nor the system's list of users has a home directory
        return None
    return None if found.startswith("~") else found  # older versions leave `~` as it is
