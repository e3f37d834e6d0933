"""Annotations: errors and warnings in the form by which GitHub shows them at the line of a pull request."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from synapse_sync.user.places import find_project

#: The file and the line at the beginning of a message about one of the project's two files.
_PLACE = re.compile(r"(?P<file>synapse\.(?:toml|lock))(?::(?P<line>\d{1,7}))?(?::\d+)?: ")


def wanted(environ: Mapping[str, str]) -> bool:
    """Whether this is a step of GitHub Actions, or of a runner that reads the same commands."""
    return environ.get("GITHUB_ACTIONS") == "true"


def annotation(level: str, message: str, hint: str | None, directory: Path, environ: Mapping[str, str]) -> str:
    """Return the command to the runner for a message; `level` is "error" or "warning".

    `directory` is that of the project, or one below it. Text from outside cannot end the command: GitHub decodes
    what is escaped here.
    """
    properties = {"title": "synapse"}
    if (match := _PLACE.match(message)) is not None and (path := _in_repository(match["file"], directory, environ)):
        properties |= {"file": path} | ({"line": match["line"]} if match["line"] else {})
    text = message if hint is None else f"{message}\nhint: {hint}"
    listed = ",".join(f"{key}={_escaped(value, ':,')}" for key, value in properties.items())
    return f"::{level} {listed}::{_escaped(text)}"


def _in_repository(name: str, directory: Path, environ: Mapping[str, str]) -> str | None:
    """Return the path of a project's file from the top of the checkout; None if it is elsewhere."""
    project, top = find_project(str(directory)), environ.get("GITHUB_WORKSPACE")
    if project is None or not top:
        return None
    path = Path(os.path.relpath(Path(os.path.realpath(project)) / name, os.path.realpath(top)))
    return None if path.is_absolute() or ".." in path.parts else path.as_posix()


def _escaped(text: str, more: str = "") -> str:
    return "".join(f"%{ord(char):02X}" if char in f"%\r\n{more}" else char for char in text)
