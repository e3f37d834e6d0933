"""Web pages that hosts show instead of a file: recognised by host or by their text, each with a next step. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from synapse_sync.core.frozen import dataclass
from synapse_sync.sites import named

_BY_HAND = "download it in a browser and name the file as `./…`, or look for a host with plain links"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One kind of page: `what` it is, as a part of a sentence, and the next step in `todo`.

    All pages of `hosts`, and of all hosts below them, are of this kind; so is each page with the pattern `words`.
    """

    what: str
    todo: str
    hosts: tuple[str, ...] = ()
    words: str | None = None


#: In order: the first kind that fits is reported.
_PAGES = (
    Page(
        words=r"Google Drive - Virus scan warning|Google Drive can(?:'|’|&#39;)t scan this file for viruses",
        what="Google Drive's question whether to download a file that it could not scan for viruses",
        todo=f"an address with `&confirm=t` at its end may skip the question; otherwise {_BY_HAND}",
    ),
    Page(
        words=r"Google Drive - Quota exceeded|Too many users have viewed or downloaded this file recently",
        what="Google Drive's note that the file was downloaded too often",
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
        "for large files, Google asks a question even there",
    ),
    Page(
        hosts=("dropbox.com",),
        what="Dropbox's preview page",
        todo="write `dl=1` instead of `dl=0` at the end of the address",
    ),
    Page(
        hosts=("1drv.ms", "onedrive.live.com", "sharepoint.com"),
        what="OneDrive's page about the file",
        todo=f"an address with `download=1` in its query may lead to the file itself; otherwise {_BY_HAND}",
    ),
    Page(
        hosts=("mega.nz", "mega.co.nz", "mega.io"),
        what="Mega's page: its files are encrypted, and only its own programs can download them",
        todo="download it with one of those, and name the file as `./…`; or look for a host with plain links",
    ),
    Page(
        hosts=("mediafire.com", "wetransfer.com", "we.tl", "gofile.io"),
        what="a page with a button, whose address expires",
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
        todo="for a file of a release write `gh:OWNER/REPO@TAG/FILE`; for a file of the tree, use the address of "
        "its `Raw` button",
    ),
)


def recognise(hosts: Iterable[str], body: str) -> Page | None:
    """Return the kind of a page, or None if it is unknown.

    `hosts` are the host that was asked and the host that answered; `body` is the text of the page.
    """
    names = tuple(hosts)
    for page in _PAGES:
        if page.words is not None and re.search(page.words, body, re.IGNORECASE):
            return page
        if any(name == host or name.endswith(f".{host}") for host in page.hosts for name in names):
            return page
    return None
