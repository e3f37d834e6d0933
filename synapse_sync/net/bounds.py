"""How long each step of a request may last, and how much an answer may hold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The limits of one client; times in seconds, sizes in bytes.

    `connect` is for one connection, `read` for the pause between two pieces of an answer, `head` for all headers of
    an answer. `answer` and `body` are the time and the size of a whole JSON answer: one that drips would otherwise
    last for ever. `silence` is how long a server may pause after the last expected byte, where it announced no
    length.
    """

    connect: float = 10.0
    read: float = 30.0
    head: float = 60.0
    answer: float = 300.0
    body: int = 64 * 1024 * 1024
    silence: float = 1.0
