"""The user's browser: `--web` opens the page of a model, `--open` a page that was written."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from synapse_sync.cli.console import Console
from synapse_sync.core.page import is_known_page
from synapse_sync.errors import InputError
from synapse_sync.sites import SITES

F = TypeVar("F", bound=Callable[..., Any])


def web(command: F) -> F:
    """Add `--web`."""
    text = "Open its page in the browser, and print the address."
    return click.option("--web", is_flag=True, help=text)(command)


def open_page(console: Console, url: str | None, what: str) -> None:
    """Print the address of the page about `what`, and open it where a browser can be shown.

    Raises `InputError` if no known site has such a page: any other address would come from a file of somebody else.
    """
    if url is None or not is_known_page(url):
        raise InputError(
            f"`{what}` has no page on a known site", hint=f"known: {', '.join(site.title for site in SITES)}"
        )
    console.answer(url)
    _open(console, url)


def open_file(console: Console, path: Path) -> None:
    """Open a page of this machine where a browser can be shown; elsewhere say so."""
    if not _open(console, path.resolve().as_uri()):
        console.say("not opened: no browser can be shown here")


def _open(console: Console, url: str) -> bool:
    """Open an address in the browser, if one can be shown; returns whether it was."""
    if not _has_screen():
        return False
    import webbrowser

    if not webbrowser.open(url):
        return False
    console.say("opened in the browser")
    return True


def _has_screen() -> bool:
    """Whether a browser would have a window: without one, it would take over this terminal or fail."""
    if sys.platform in ("win32", "darwin"):
        return not os.environ.get("SSH_CONNECTION")
    else:
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
