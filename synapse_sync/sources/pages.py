"""Pages that hosts show instead of a file: recognised by host or by their words, each with a way out. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from synapse_sync.sites import named

_BY_HAND = "download it in a browser and name the file as `./…`, or look for a host with plain links"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One kind of page: `what` it is, as a half sentence, and what to do about it."""

    what: str
    todo: str
    #: Hosts whose every page is of this kind, with all names below them.
    hosts: tuple[str, ...] = ()
    #: What gives it away whoever serves it, as a pattern.
    words: str | None = None


#: The first that fits is told.
_PAGES = (
    Page(
        words=r"Google Drive - Virus scan warning|Google Drive can(?:'|’|&#39;)t scan this file for viruses",
        what="Google Drive's question whether to download a file that it could not scan for viruses",
        todo=f"an address with `&confirm=t` at its end may skip the question; otherwise {_BY_HAND}",
    ),
    Page(
        words=r"Google Drive - Quota exceeded|Too many users have viewed or downloaded this file recently",
        what="Google Drive's word that the file was downloaded too often lately",
        todo="try again in a day, or add `mirrors`",
    ),
    Page(
        hosts=("accounts.google.com",),
        what="Google's login page: the file is not shared with everybody who has the link",
        todo=f"ask its owner to share it; or {_BY_HAND}",
    ),
    Page(
        hosts=("drive.google.com", "docs.google.com", "drive.usercontent.google.com"),
        what="a page of Google Drive",
        todo="use `https://drive.google.com/uc?export=download&id=ID`, with the ID from the address; "
        "large files are behind a question even there",
    ),
    Page(
        hosts=("dropbox.com",),
        what="Dropbox's preview page",
        todo="write `dl=1` instead of `dl=0` at the end of the address",
    ),
    Page(
        hosts=("1drv.ms", "onedrive.live.com", "sharepoint.com"),
        what="OneDrive's page about the file",
        todo=f"an address with `download=1` in its query may give the file itself; otherwise {_BY_HAND}",
    ),
    Page(
        hosts=("mega.nz", "mega.co.nz", "mega.io"),
        what="Mega's page: its files are encrypted, and only its own programs can download them",
        todo="download it with those and name the file as `./…`, or look for a host with plain links",
    ),
    Page(
        hosts=("mediafire.com", "wetransfer.com", "we.tl", "gofile.io"),
        what="a page with a button, and the address behind that button does not last",
        todo=_BY_HAND,
    ),
    Page(
        hosts=("pixeldrain.com",),
        what="Pixeldrain's page about the file",
        todo="write `/api/file/ID` instead of `/u/ID`",
    ),
    Page(
        hosts=named("github").hosts,
        what="a page of GitHub",
        todo="for a file of a release write `gh:OWNER/REPO@TAG/FILE`; for one of the tree take what `Raw` leads to",
    ),
)


def recognise(hosts: Iterable[str], body: str) -> Page | None:
    """The kind of page that came from one of these hosts (the one asked, the one that answered), if it is known."""
    names = tuple(hosts)
    for page in _PAGES:
        if page.words is not None and re.search(page.words, body, re.IGNORECASE):
            return page
        if any(name == host or name.endswith(f".{host}") for host in page.hosts for name in names):
            return page
    return None
