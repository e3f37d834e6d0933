"""How the hub's own library connects: through our API client, by whose rules every request of it goes."""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from synapse_sync.errors import NetworkError
from synapse_sync.net.api import Api, is_unready
from synapse_sync.net.credentials import display_url, origin_of

#: Pages of one listing that are read at most: a page of the hub has 1000 files, a repository 100,000 as it advises.
_MOST_PAGES = 150
#: Headers of a request that are ours to set, and of an answer that no longer hold for its decoded body.
_OURS = frozenset({"authorization", "cookie", "host", "connection", "accept-encoding", "content-length"})
_SPENT = frozenset({"content-encoding", "content-length", "transfer-encoding", "connection", "set-cookie"})
_lock = threading.Lock()
_installed: tuple[Api, str] | None = None
_former: Any = None  # the factory of the library's client before ours
_pages: ContextVar[set[str] | None] = ContextVar("pages", default=None)


def client_library() -> Any:
    """Return the HTTP library that the hub's library uses: httpx or a module like it."""
    from huggingface_hub.errors import HfHubHTTPError

    names = (kind.__module__.partition(".")[0] for kind in HfHubHTTPError.__mro__)
    return importlib.import_module(next(name for name in names if name.startswith("httpx")))


def connect_through(api: Api, endpoint: str) -> None:
    """Make the library send its requests through `api`, and to this endpoint only; its hooks stay.

    Without this, the library would follow redirects and `Link` headers to any host, with the token. The library has
    one client for the whole process: when `api` is closed, it gets the one back that it had, for other code here.
    """
    global _installed, _former
    with _lock:
        # Race: threads come here together, and a new client closes the connections of the one before.
        if _installed == (api, endpoint):
            return
        from huggingface_hub import get_session, set_client_factory

        library = client_library()
        # The hooks are not read from the library's own client: making that fails if a variable names a bad proxy.
        hook = getattr(importlib.import_module("huggingface_hub.utils._http"), "hf_request_event_hook", None)
        hooks = {"request": [] if hook is None else [hook]}

        def client() -> Any:
            return library.Client(
                transport=_through(library, api, endpoint), event_hooks=hooks, trust_env=False, timeout=None
            )

        if _installed is None:
            # The library has no public way to ask for it; without it, the library's usual client returns.
            http = importlib.import_module("huggingface_hub.utils._http")
            _former = getattr(http, "_GLOBAL_CLIENT_FACTORY", None) or http.default_client_factory
        set_client_factory(client)
        get_session()
        _installed = (api, endpoint)
    api.at_close(lambda: _disconnect(api))


def _disconnect(api: Api) -> None:
    """Give the library its former client back, unless another `api` is connected by now."""
    global _installed, _former
    with _lock:
        if _installed is None or _installed[0] is not api:
            return
        from huggingface_hub import set_client_factory

        set_client_factory(_former)
        _installed = _former = None


@contextlib.contextmanager
def one_listing() -> Iterator[None]:
    """A context in which this thread asks for the pages of one listing; repeated or too many pages are refused."""
    token = _pages.set(set())
    try:
        yield
    finally:
        _pages.reset(token)


def _through(library: Any, api: Api, endpoint: str) -> Any:
    """Return a transport for the library that sends its requests through `api`."""

    class Through(library.BaseTransport):  # type: ignore[misc]
        """A transport that passes on one request after the other."""

        def handle_request(self, request: Any) -> Any:
            url = str(request.url)
            if origin_of(url) != origin_of(endpoint):
                raise NetworkError(
                    f"{endpoint} refers to another host for its own listing ({display_url(url)}); refused",
                    hint="a proxy or a mirror may be changing its answers; check HF_ENDPOINT",
                )
            headers = {name: value for name, value in request.headers.items() if name.lower() not in _OURS}
            answer = api.exchange(request.method, url, headers=headers, body=request.read() or None)
            if is_unready(answer):
                raise api.status_error(answer)
            if 200 <= answer.status < 300:
                _count_page(endpoint, url)
            kept = [(name, value) for name, value in answer.headers.items() if name not in _SPENT]
            return library.Response(answer.status, headers=kept, content=answer.body, request=request)

        def close(self) -> None:
            # Not `api.close()`: the library comes here while a lock of ours is held that the end of `api` needs.
            api.drop_connections()

    return Through()


def _count_page(endpoint: str, url: str) -> None:
    pages = _pages.get()
    if pages is None:
        return
    if url in pages or len(pages) >= _MOST_PAGES:
        raise NetworkError(
            f"{endpoint}: its listing does not end ({display_url(url)})",
            hint="a proxy or a mirror may be changing its answers; check HF_ENDPOINT",
        )
    pages.add(url)
