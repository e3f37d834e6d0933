from __future__ import annotations

import pytest

from synapse_sync.errors import NetworkError, NotFound, StatusError
from synapse_sync.net.failures import RETRYABLE, BadRange, Transient, may_pass
from synapse_sync.net.retries import Retry, parse_retry_after


def test_back_off_doubles_up_to_its_limit_and_then_ends():
    retry = Retry(attempts=5, first_delay=1.0, longest=3.0)
    assert [retry.delay(n, None, 1.0) for n in range(1, 6)] == [1.0, 2.0, 3.0, 3.0, None]
    assert retry.delay(1, None, 0.0) == 0.5


def test_server_is_never_asked_earlier_than_it_says():
    retry = Retry(patience=60.0, first_delay=1.0)
    assert retry.delay(1, 7.0, 0.0) == 7.0
    assert retry.delay(1, 7.0, 1.0) == 8.0
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


def test_answers_are_not_retried():
    assert not RETRYABLE & {200, 204, 301, 400, 401, 403, 404, 410, 416, 451, 501}
    assert {429, 503} <= RETRYABLE


def status(number, *, retry_after=None, body=""):
    return StatusError("no", status=number, url="https://hub.example/f", body=body, retry_after=retry_after)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (Transient("the network"), True),
        (NetworkError("not HTTP"), False),
        (BadRange("another part"), False),
        (NotFound("gone"), False),
        (status(503), True),
        (status(429), True),
        (status(404), False),
        (status(202), True),
        (status(425), True),
        (status(202, retry_after=5.0), True),
        (status(429, body="unusual amount of downloading"), False),
        (status(429, body="unusual amount of downloading", retry_after=5.0), True),
    ],
)
def test_one_rule_says_what_may_pass(error, passes):
    assert may_pass(error) is passes
    assert (Retry().after(1, error, 0.5) is not None) is passes


def test_a_wait_after_a_failure_is_the_one_that_the_server_asks_for():
    assert Retry(first_delay=1.0).after(1, status(202, retry_after=7.0), 0.0) == 7.0
    assert Retry(patience=60.0).after(1, status(202, retry_after=61.0), 0.0) is None
    assert Retry(attempts=4).after(4, status(202, retry_after=1.0), 0.0) is None
