"""Paths as users write them: those that cannot be meant as they are, but only by a shell or on another system."""

from __future__ import annotations

import re
import shlex

from synapse_sync.core.unseen import is_plain_line

#: `$NAME`, `${NAME}`, PowerShell's `$env:NAME` and `%NAME%`.
_VARIABLE = re.compile(r"\$(?:env:)?\{?(?P<unix>[A-Za-z_]\w*)\}?|%(?P<windows>[A-Za-z_][\w()]*)%", re.IGNORECASE)
_HOMES = {"home", "userprofile", "homepath"}
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://+(.*)", re.DOTALL)
_DRIVE = re.compile(r"([A-Za-z]):(?:[\\/](.*)|$)", re.DOTALL)


def mistake_in_path(text: str, *, windows: bool) -> tuple[str, str] | None:
    """Return why a path cannot be meant as it is, and how to write it; None if nothing is wrong with it.

    `windows` says whether the path is for Windows, where drives and backslashes have their meaning. A leading `~`
    is no mistake: synapse expands it on every system.
    """
    if not text:
        return "an empty path", "write a directory; `.` is the current one"
    # Lone surrogates are the bytes of a name that is not UTF-8; such names exist.
    if not is_plain_line("".join(char for char in text if not "\ud800" <= char <= "\udfff")):
        hint = "in double quotes `\\` begins an escape; use single quotes or forward slashes"
        return "a character that cannot be seen is in it", hint
    if text != text.strip():
        return "it begins or ends with a space", f"write `{text.strip()}`"
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return "it has quotes around it", f"write `{text[1:-1]}`"
    if (url := _URL.fullmatch(text)) is not None:
        local = url[1].lower() == "file"
        return "it is a URL, not a path", f"write `/{url[2].lstrip('/')}`" if local else "write a directory"
    if (variable := _VARIABLE.search(text)) is not None:
        return _variable(text, variable)
    return None if windows else _windows_path(text)


def shell_word(text: str, *, windows: bool) -> str:
    """A path as one word of a command line, to be typed: cmd and PowerShell know double quotes only."""
    if not windows:
        return shlex.quote(text)
    return text if re.fullmatch(r"[\w:.\\/-]+", text, re.ASCII) else f'"{text}"'


def is_windows_path(text: str) -> bool:
    """Whether a path names a drive of Windows."""
    return _DRIVE.match(text) is not None


def _variable(text: str, found: re.Match[str]) -> tuple[str, str]:
    name = found["unix"] or found["windows"]
    rest = text[found.end() :].replace("\\", "/")
    at_home = name.lower() in _HOMES and found.start() == 0 and rest[:1] in ("", "/")
    hint = f"write `~{rest}`" if at_home else "write the path itself; `~` at its beginning is your home directory"
    return f"synapse does not expand `{found[0]}`", hint


def _windows_path(text: str) -> tuple[str, str] | None:
    if (drive := _DRIVE.match(text)) is not None:
        rest = (drive[2] or "").replace("\\", "/")
        return "it is a path of Windows", f"write a path of this system; WSL has `/mnt/{drive[1].lower()}/{rest}`"
    if "\\" in text:
        return "it has backslashes", f"write `{text.replace(chr(92), '/')}`, which works on every system"
    return None
