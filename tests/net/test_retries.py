from __future__ import annotations

import pytest

from synapse_sync.errors import StatusError
from synapse_sync.net.retries import Retry, parse_retry_after


def test_back_off_doubles_up_to_its_limit_and_then_ends():
    retry = Retry(attempts=5, first_delay=1.0, longest=3.0)
    assert [retry.delay(n, None, 1.0) for n in range(1, 6)] == [1.0, 2.0, 3.0, 3.0, None]
    assert retry.delay(1, None, 0.0) == 0.5


def test_server_is_never_asked_earlier_than_it_says():
    retry = Retry(patience=60.0, first_delay=1.0)
    assert retry.delay(1, 7.0, 0.0) == 7.0
    assert retry.delay(1, 7.0, 1.0) == 8.75
    assert retry.delay(1, 61.0, 0.0) is None
    assert retry.delay(4, 0.0, 0.0) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7.0), (" 7 ", 7.0), ("0", 0.0), (None, None), ("", None), ("soon", None), ("-1", None), ("²", None),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 50.0), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
    ],
)  # fmt: skip
def test_retry_after_in_both_forms(text, seconds):
    assert parse_retry_after(text, 10.0) == seconds


def status(number, *, retry_after=None):
    return StatusError("no", status=number, url="https://hub.example/f", retry_after=retry_after)


def test_a_wait_after_a_failure_is_the_one_that_the_server_asks_for():
    assert Retry(first_delay=1.0).after(1, status(202, retry_after=7.0), 0.0) == 7.0
    assert Retry(patience=60.0).after(1, status(202, retry_after=61.0), 0.0) is None
    assert Retry(attempts=4).after(4, status(503, retry_after=1.0), 0.0) is None


def test_a_server_that_prepares_its_answer_gets_more_attempts_and_not_for_ever():
    retry = Retry(attempts=4, unready=20, longest=30.0)
    assert retry.after(19, status(202, retry_after=1.0), 0.0) == 1.0
    assert retry.after(19, status(202), 1.0) == 30.0
    assert retry.after(20, status(202, retry_after=1.0), 0.0) is None


def test_clients_that_were_refused_together_come_back_apart():
    waits = [Retry(first_delay=1.0).delay(1, 20.0, jitter / 100) for jitter in range(101)]
    assert min(waits) == 20.0 and max(waits) == 25.0, "never earlier than asked, and spread over a quarter of it"
