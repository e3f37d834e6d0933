"""The parts that all documents share."""

from __future__ import annotations

import msgspec


class Shape(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A table of a document."""


class Error(Shape):
    """An error. `kind` is the name of its class, `hint` the next step, `model` the model that it is about."""

    kind: str
    message: str
    hint: str | None
    model: str | None
    exit_code: int


class Errors(Shape):
    """The document of a command that failed as a whole."""

    errors: list[Error]
    exit_code: int
