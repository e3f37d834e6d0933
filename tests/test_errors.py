"""Errors carry their facts as fields, and keep them when they are copied."""

from __future__ import annotations

import inspect
import pickle

import pytest

from synapse_sync import errors
from synapse_sync.errors import AmbiguousFile, InvalidSettings, RefusedFormat, StatusError, SynapseError

KINDS = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, SynapseError) and kind not in (errors.Several, StatusError)
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_is_about_somebody_else(kind: type[SynapseError]) -> None:
    one = kind("words", hint="do this")
    other = one.copy()
    one.about("first")
    other.about("second")
    assert type(other) is kind
    assert (str(other), other.message, other.hint, other.exit_code) == ("words", "words", "do this", kind.exit_code)
    no_model = kind is InvalidSettings  # a setting is at fault, whichever model met it
    assert (one.subject, other.subject) == ((None, None) if no_model else ("first", "second"))


def test_a_copy_keeps_the_fields() -> None:
    ambiguous = AmbiguousFile("two", candidates=["file = { id = 1 }", "file = { id = 2 }"]).copy()
    assert isinstance(ambiguous, AmbiguousFile) and len(ambiguous.candidates) == 2
    refused = RefusedFormat("no", permission="allow-pickle").copy()
    assert isinstance(refused, RefusedFormat) and refused.permission == "allow-pickle"
    status = StatusError("503", status=503, url="https://example.org", body="b", retry_after=2.0).copy()
    assert isinstance(status, StatusError) and (status.status, status.body, status.retry_after) == (503, "b", 2.0)


@pytest.mark.parametrize("kind", KINDS)
def test_another_process_may_have_it(kind: type[SynapseError]) -> None:
    one = kind("words", hint="do this").of("model")
    other = pickle.loads(pickle.dumps(one))
    assert type(other) is kind and other.to_dict() == one.to_dict()


def test_the_fields_of_a_status_arrive_as_well() -> None:
    status = StatusError("503", status=503, url="https://example.org", body="b", retry_after=2.0).about("m")
    both = pickle.loads(pickle.dumps(errors.Several([status, SynapseError("other")])))
    assert both.errors[0].__dict__ == status.__dict__ and both.exit_code == 1
