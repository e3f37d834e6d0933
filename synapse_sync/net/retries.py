"""When to try again, and how long to wait before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from synapse_sync.errors import StatusError, SynapseError
from synapse_sync.net.failures import NOT_READY, Unreachable, may_pass

#: A wait (seconds) below this is over before it could be read, and is not reported.
WORTH_TELLING = 0.5
#: A wait that a server asks for is made longer by up to this part of it: a fleet that was refused in one second
#: does not come back in one second.
_SPREAD = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a request is tried and how long each wait is; all times in seconds.

    `attempts` counts the first one too. Waits begin with `first_delay` and double up to `longest`. A server may ask
    for a wait of up to `patience`; if it asks for more, the request is given up. `unready` replaces `attempts` for
    a server that is not ready yet (202): it prepares the answer, which may take minutes, and nothing has failed.
    `hasty` ends the attempts at once where no connection can be made: somebody waits for the answer.
    """

    attempts: int = 4
    unready: int = 20
    first_delay: float = 1.0
    longest: float = 30.0
    patience: float = 60.0
    hasty: bool = False

    def delay(self, attempt: int, retry_after: float | None, jitter: float) -> float | None:
        """Return the seconds to wait after failed attempt number `attempt` (from 1), or None to give up.

        `retry_after` is the wait in seconds that the server asks for, if any. `jitter` is a random number between 0
        and 1, which spreads the next attempts of many clients.
        """
        return self._delay(attempt, self.attempts, retry_after, jitter)

    def _delay(self, attempt: int, attempts: int, retry_after: float | None, jitter: float) -> float | None:
        if attempt >= attempts:
            return None
        if retry_after is not None:
            # Never earlier than asked: servers count early attempts as abuse.
            spread = max(self.first_delay, retry_after / _SPREAD)
            return None if retry_after > self.patience else retry_after + jitter * spread
        backoff = min(self.longest, self.first_delay * 2.0 ** (attempt - 1))
        return backoff * (0.5 + jitter / 2)

    def after(self, attempt: int, error: SynapseError, jitter: float) -> float | None:
        """Return the seconds to wait after attempt number `attempt` failed with `error`.

        None means to give up: after an error that cannot pass, or too many attempts. `jitter` as in `delay`.
        """
        if not may_pass(error) or (self.hasty and isinstance(error, Unreachable)):
            return None
        if not isinstance(error, StatusError):
            return self.delay(attempt, None, jitter)
        attempts = self.unready if error.status == NOT_READY else self.attempts
        return self._delay(attempt, attempts, error.retry_after, jitter)


def asked_wait(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that an answer asks to wait: `Retry-After`, or until a used-up quota is renewed.

    `now` is in seconds since 1970. GitHub documents the two quota headers.
    """
    reset = headers.get("x-ratelimit-reset", "").strip()
    if headers.get("x-ratelimit-remaining", "").strip() == "0" and reset.isascii() and reset.isdigit():
        return max(0.0, float(reset[:12]) - now)  # in seconds since 1970
    return parse_retry_after(headers.get("retry-after"), now)


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a `Retry-After` header asks for: a number or a date (RFC 9110, section 10.2.3).

    `now` is in seconds since 1970. The answer is None for a missing or unreadable value.
    """
    if not value or not value.strip():
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError, TypeError):
        return None
