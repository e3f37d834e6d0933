"""The JSON Schema of the manifest describes every key, for people who have only an editor."""

from __future__ import annotations

import pytest

from synapse_sync.core.manifest import shape
from synapse_sync.core.manifest.schema import KEYS, manifest_schema
from synapse_sync.core.manifest.shape import IncludedTable, Table


def tables() -> list[type[Table]]:
    """The tables of the manifest; an included one has no keys of its own."""
    found = [kind for kind in vars(shape).values() if isinstance(kind, type) and issubclass(kind, Table)]
    return [kind for kind in found if kind not in (Table, IncludedTable)]


@pytest.mark.parametrize("table", tables(), ids=lambda table: table.__name__)
def test_every_key_is_described(table: type[Table]) -> None:
    assert list(KEYS[table.__name__]) == list(table.__struct_encode_fields__), "in the order of the table"
    for key, said in manifest_schema()["$defs"][table.__name__]["properties"].items():
        assert said["description"] == KEYS[table.__name__][key]
        assert said["description"].endswith((".", "…")) and len(said["description"].split()) <= 25


def test_nothing_else_is_described() -> None:
    assert {table.__name__ for table in tables()} == set(KEYS)
