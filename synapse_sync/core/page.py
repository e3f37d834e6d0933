"""Pages: the address of the web page that a reference names, for people. Pure."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from synapse_sync.core.reference import Reference
from synapse_sync.sites import host_site, named


def page_of(reference: Reference) -> str | None:
    """Return the address of the page about a reference; None if no known site has one."""
    id_, revision = quote(reference.id), quote(reference.revision or "", safe="")
    if reference.source == "civitai" and reference.id:
        return f"{named('civitai').home}/models/{id_}" + (f"?modelVersionId={revision}" if revision else "")
    if reference.source == "huggingface":
        return f"{named('huggingface').home}/{id_}" + (f"/tree/{revision}" if revision else "")
    if reference.source == "github":
        return f"{named('github').home}/{id_}/releases" + (f"/tag/{revision}" if revision else "")
    if reference.source == "modelscope":
        return f"{named('modelscope').home}/models/{id_}"
    return None


def is_known_page(url: str) -> bool:
    """Whether an address is one of a known site, over http or https, and may be opened in a browser."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https")
        and port is None
        and "@" not in parts.netloc
        and host_site((parts.hostname or "").lower()) is not None
    )
