"""One key at the top of a TOML text is set, and nothing else changes."""

from __future__ import annotations

import tomllib

import pytest

from synapse_sync.core.toml_edit import with_top_key

VALUE = '["/mnt/a"]'


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "stores = V\n"),
        ("offline = true", "offline = true\nstores = V\n"),
        ("offline = true\r\n", "offline = true\r\nstores = V\r\n"),
        ("# mine\n[tokens]\na = 'b'\n", "stores = V\n# mine\n[tokens]\na = 'b'\n"),
        ("x = 1 # why\n\n# mine\n[tokens]\n", "x = 1 # why\n\nstores = V\n# mine\n[tokens]\n"),
        ("stores = [\n  '/old', # one\n]\ny = 1\n", "stores = V\ny = 1\n"),
        ('"stores" = []\n[t]\nstores = 1\n', "stores = V\n[t]\nstores = 1\n"),
        ("[t]\nstores = 1\n", "stores = V\n[t]\nstores = 1\n"),
    ],
)
def test_set(text: str, wanted: str) -> None:
    found = with_top_key(text, "stores", VALUE)
    assert found == wanted.replace("V", VALUE)
    assert tomllib.loads(found)["stores"] == ["/mnt/a"]


@pytest.mark.parametrize("text", ["", "x = 1\n", "# only this", "x = 1\n# mine\n[t]\nstores = 1\n"])
def test_set_and_removed_again(text: str) -> None:
    assert with_top_key(text, "stores", None) == text
    ended = text if not text or text.endswith("\n") else f"{text}\n"
    assert with_top_key(with_top_key(text, "stores", VALUE), "stores", None) == ended
