"""The hub's library gets one client of ours, also when several threads ask at once."""

from __future__ import annotations

import ssl
from concurrent.futures import ThreadPoolExecutor

from synapse_sync.sources.huggingface.connection import connect_as_we_do


class Trust:
    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context()


def test_threads_share_one_client() -> None:
    from huggingface_hub import close_session, get_session  # not before the guard has given it another home

    trust = Trust()

    def client(_: int) -> object:
        connect_as_we_do(trust.context, None)
        return get_session()

    with ThreadPoolExecutor(max_workers=4) as pool:
        clients = list(pool.map(client, range(8)))
    assert len({id(client) for client in clients}) == 1
    connect_as_we_do(Trust().context, None)
    assert get_session() is not clients[0], "other certificates want another client"
    close_session()
