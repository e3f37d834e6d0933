"""The hub's library sends its requests through our API client, also when several threads ask at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from synapse_sync.net.api import Api
from synapse_sync.net.credentials import Credentials
from synapse_sync.sources.huggingface.connection import connect_through

ENDPOINT = "http://127.0.0.1:9"


def test_threads_share_one_client() -> None:
    from huggingface_hub import close_session, get_session  # not before the guard has given it another home

    with Api(Credentials()) as api, Api(Credentials()) as another:

        def client(_: int) -> object:
            connect_through(api, ENDPOINT)
            return get_session()

        with ThreadPoolExecutor(max_workers=4) as pool:
            clients = list(pool.map(client, range(8)))
        assert len({id(client) for client in clients}) == 1
        connect_through(another, ENDPOINT)
        assert get_session() is not clients[0], "other rules want another client"
        close_session()


def test_other_code_of_the_process_gets_its_own_client_back() -> None:
    from huggingface_hub import close_session, get_session, set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    mine = default_client_factory()
    set_client_factory(lambda: mine)
    try:
        with Api(Credentials()) as api, Api(Credentials()) as another:
            connect_through(api, ENDPOINT)
            assert get_session() is not mine
            connect_through(another, ENDPOINT)
            api.close()
            assert get_session() is not mine, "the other one is still connected"
        assert get_session() is mine
    finally:
        set_client_factory(default_client_factory)
        close_session()
