"""The root of a target: the one for this machine, checked for every system that shares the manifest."""

from __future__ import annotations

import re
from collections.abc import Mapping

from synapse_sync.core.manifest.mistakes import Mistakes
from synapse_sync.core.manifest.shape import RootTable
from synapse_sync.core.paths import is_windows_path, mistake_in_path

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SYSTEMS = {"linux": "Linux", "macos": "macOS", "windows": "Windows"}


def read_root(
    path: tuple[str, ...], raw: str | RootTable, system: str, environ: Mapping[str, str], mistakes: Mistakes
) -> str:
    """The root for this machine. Those for other systems are checked as well: a shared file must serve all."""
    if isinstance(raw, str):
        _check_text(path, raw, system, mistakes)
        return raw
    for each in _SYSTEMS:
        if (text := getattr(raw, each)) is not None:
            _check_text((*path, each), text, each, mistakes)
    if raw.default is not None:
        _check_text((*path, "default"), raw.default, system, mistakes)
    if raw.env is not None and _VARIABLE.fullmatch(raw.env) is None:
        mistakes.bad((*path, "env"), f"`{raw.env}` is not the name of a variable", 'like `"COMFY_ROOT"`')
    elif raw.env is not None and (value := environ.get(raw.env)):
        # The user's own word: it may be on another computer, which a manifest may not say.
        if (mistake := mistake_in_path(value, windows=system == "windows")) is not None:
            mistakes.bad((*path, "env"), f"{raw.env} is `{value}`: {mistake[0]}", mistake[1])
        return value
    own: str | None = getattr(raw, system)
    if own is None and raw.default is None:
        instead = f"set {raw.env}, or add `default`" if raw.env else f"add `{system}` or `default`"
        mistakes.bad(path, f"no root for {_SYSTEMS[system]}", instead)
    return own or raw.default or "."


def _check_text(path: tuple[str, ...], text: str, system: str, mistakes: Mistakes) -> None:
    """Report a root that cannot be meant as it is written, or that a manifest may not name."""
    if (mistake := mistake_in_path(text, windows=system == "windows")) is not None:
        hint = mistake[1]
        if system != "windows" and path[-1] == "root" and is_windows_path(text):
            hint = f"{hint}; or name one for each system: `root = {{ default = \"…\", windows = '{text}' }}`"
        mistakes.bad(path, f"`{text}`: {mistake[0]}", hint)
    elif text.startswith(("//", "\\\\")):
        # Windows logs in to the server of such a path with the user's account, just to look at it.
        mistakes.bad(path, f"`{text}`: it is on another computer", "mount it, then write that path")
