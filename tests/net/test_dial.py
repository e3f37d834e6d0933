"""A host with several addresses: the first that answers wins, and dead ones cost a moment."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from world import audited, closed_port

from synapse_sync.net.dial import Dialer

Address = tuple[str, int]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def listening(stack: ExitStack) -> Address:
    """An address that answers."""
    door = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=20))
    return door.getsockname()


def swallowing(stack: ExitStack) -> Address:
    """An address that answers nothing: its queue is full, so everything else is dropped."""
    door = stack.enter_context(socket.socket())
    door.bind(("127.0.0.1", 0))
    door.listen(0)
    for _ in range(3):
        waiting = stack.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex(door.getsockname())
    return door.getsockname()


def refusing(stack: ExitStack) -> Address:
    """An address where nobody listens."""
    return "127.0.0.1", stack.enter_context(closed_port())


def dialer(*addresses: Address, head_start: float = 0.1) -> Dialer:
    """A dialer to whom these are the addresses of every host."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
    return Dialer(head_start, lambda *asked: found)


def test_dead_addresses_hold_up_nothing(stack: ExitStack) -> None:
    alive = listening(stack)
    began = time.monotonic()
    with dialer(swallowing(stack), swallowing(stack), alive).connect("hub.example", 443, timeout=60.0) as sock:
        assert sock.getpeername() == alive
        assert sock.gettimeout() == 60.0
    assert time.monotonic() - began < 30.0, "else it ends after a minute"


def test_the_address_that_answered_comes_first_from_then_on(stack: ExitStack) -> None:
    dead, alive = swallowing(stack), listening(stack)
    known = dialer(dead, alive)
    tried = []
    for host in ("hub.example", "hub.example", "other.example"):
        with audited("socket.connect") as seen:
            known.connect(host, 443, timeout=60.0).close()
        tried.append([address for _, address in seen])
    assert tried[0] == [dead, alive]
    assert tried[1][0] == alive
    assert tried[2] == [dead, alive], "nothing is known of another host"


def test_a_refusal_lets_the_next_one_begin_at_once(stack: ExitStack) -> None:
    alive = listening(stack)
    began = time.monotonic()
    with dialer(refusing(stack), alive, head_start=60.0).connect("hub.example", 443, timeout=120.0) as sock:
        assert sock.getpeername() == alive
    assert time.monotonic() - began < 30.0


def test_the_time_limit_is_for_all_addresses_together(stack: ExitStack) -> None:
    dead = [swallowing(stack) for _ in range(40)]
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        dialer(*dead).connect("hub.example", 443, timeout=0.5)
    assert 0.4 < time.monotonic() - began < 15.0, "each for itself would take twenty seconds"


def test_no_address_answers(stack: ExitStack) -> None:
    with pytest.raises(ConnectionRefusedError):
        dialer(refusing(stack), refusing(stack)).connect("hub.example", 443, timeout=10.0)


def test_no_address_at_all() -> None:
    def unknown(*asked: object) -> list[tuple[int, int, int, str, Address]]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    with pytest.raises(socket.gaierror):
        Dialer(look_up=unknown).connect("hub.example", 443, timeout=1.0)


def test_the_families_take_turns(stack: ExitStack) -> None:
    """Two dead IPv6 addresses come first, as systems sort them; the IPv4 address has to wait for one of them."""
    alive = listening(stack)
    sixth = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", swallowing(stack)[1], 0, 0)) for _ in range(9)]
    fourth = (socket.AF_INET, socket.SOCK_STREAM, 6, "", alive)
    with Dialer(0.3, lambda *asked: [*sixth, fourth]).connect("hub.example", 443, timeout=10.0) as sock:
        assert sock.getpeername() == alive


def test_options_and_the_local_address_are_those_asked_for(stack: ExitStack) -> None:
    alive = listening(stack)
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    with dialer(alive).connect("h", 1, timeout=None, source=("127.0.0.1", 0), options=options) as sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockname()[0] == "127.0.0.1" and sock.gettimeout() is None


def test_a_round_trip_is_known_after_the_first_connection(stack: ExitStack) -> None:
    """It is that of the address that answered, without the head start of a dead one, and the shortest of all."""
    dial = dialer(swallowing(stack), listening(stack), head_start=0.3)
    assert dial.round_trip("hub.example", 443) is None
    found = []
    for wait in (0.3, 0.0):
        began = time.monotonic()
        dial.connect("hub.example", 443, timeout=10.0).close()
        took = time.monotonic() - began
        found.append(dial.round_trip("hub.example", 443) or 0)
        assert 0 < found[-1] <= took - wait
    assert found[1] <= found[0]
    assert dial.round_trip("hub.example", 80) is None
