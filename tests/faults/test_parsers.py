"""Whatever reads text from outside refuses in its own words, and means what it accepts (see `fuzz.py`)."""

from __future__ import annotations

import itertools
import json
import random

import pytest
from cases import case
from hypothesis import given, settings
from hypothesis import strategies as st
from parsers import READERS, Reader, mutants, mutate

readers = pytest.mark.parametrize("reader", READERS.values(), ids=READERS)


@readers
def test_good_inputs_are_good(reader: Reader) -> None:
    # Some names and references are in the list because they are bad ones.
    assert sum(map(reader.feed, reader.seeds)) >= (
        1 if reader.name in ("names", "reference") else len(reader.seeds)
    )


@case(38, 114, 115, 119, 125)
@readers
def test_inputs_that_are_nearly_right(reader: Reader) -> None:
    accepted = sum(map(reader.feed, itertools.islice(mutants(reader, seed=7), 2_000)))
    assert 0 < accepted < 2_000, "both happen, or this tests nothing"


@case(38, 114, 115, 125)
@readers
@given(data=st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace")))
@settings(max_examples=60)
def test_any_input(reader: Reader, data: bytes) -> None:
    reader.feed(data)


@readers
@given(seed=st.integers(0, 1 << 32))
@settings(max_examples=60)
def test_any_mutant(reader: Reader, seed: int) -> None:
    reader.feed(mutate(reader, random.Random(seed)))


_TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@case(38)
@pytest.mark.parametrize("name", ["civitai", "receipt"])
@given(value=_TREES)
@settings(max_examples=60)
def test_any_json(name: str, value: object) -> None:
    READERS[name].feed(json.dumps(value).encode())


@case(125)
@given(
    table=st.dictionaries(
        st.sampled_from(["a", "b", "__metadata__"]),
        st.fixed_dictionaries({}, optional={"dtype": _TREES, "shape": _TREES, "data_offsets": _TREES}) | _TREES,
    )
)
def test_any_header(table: dict[str, object]) -> None:
    header = json.dumps(table).encode()
    READERS["safetensors"].feed(len(header).to_bytes(8, "little") + header + bytes(16))


# -- inputs that once were bugs ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "moment", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "9999-12-31T00:00:00Z"]
)
def test_a_date_at_the_end_of_the_calendar(moment: str) -> None:
    version = {"id": 70, "publishedAt": moment, "earlyAccessTimeFrame": 5, "files": [], "model": {"name": "M"}}
    assert READERS["civitai"].feed(json.dumps(version).encode()) in (True, False)
