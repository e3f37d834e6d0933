"""When to try again, and how long to wait before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from synapse_sync.errors import StatusError, SynapseError
from synapse_sync.net.failures import may_pass

#: A shorter wait (seconds) is over before anybody has read about it.
WORTH_TELLING = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often and how patiently; all times in seconds.

    `longest` bounds our own back-off, `patience` what a server may ask for.
    """

    attempts: int = 4
    first_delay: float = 1.0
    longest: float = 30.0
    patience: float = 60.0

    def delay(self, attempt: int, retry_after: float | None, jitter: float) -> float | None:
        """Seconds to wait after failed attempt number `attempt` (from 1), or None to give up.

        `jitter` is a random number between 0 and 1, so that many clients do not come back together.
        """
        if attempt >= self.attempts:
            return None
        if retry_after is not None:
            # Never earlier than asked; a server that wants more patience than we have gets none.
            return None if retry_after > self.patience else retry_after + jitter * self.first_delay
        backoff = min(self.longest, self.first_delay * 2.0 ** (attempt - 1))
        return backoff * (0.5 + jitter / 2)

    def after(self, attempt: int, error: SynapseError, jitter: float) -> float | None:
        """Seconds to wait after this failure of attempt number `attempt`; None if another attempt is useless."""
        if not may_pass(error):
            return None
        return self.delay(attempt, error.retry_after if isinstance(error, StatusError) else None, jitter)


def asked_wait(headers: Mapping[str, str], now: float) -> float | None:
    """The seconds that an answer asks for: `Retry-After`, or until a used-up quota begins anew."""
    reset = headers.get("x-ratelimit-reset", "").strip()
    if headers.get("x-ratelimit-remaining", "").strip() == "0" and reset.isascii() and reset.isdigit():
        return max(0.0, float(reset[:12]) - now)  # seconds since 1970, as GitHub tells them
    return parse_retry_after(headers.get("retry-after"), now)


def parse_retry_after(value: str | None, now: float) -> float | None:
    """The seconds that a `Retry-After` header asks for (a number or a date); `now` is seconds since 1970."""
    if not value or not value.strip():
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError, TypeError):
        return None
