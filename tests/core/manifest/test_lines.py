"""Plain lines of models have the values that the reader of TOML finds, in its order, and its mistakes."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from synapse_sync.core.manifest.lines import manifest_tables
from synapse_sync.core.toml import read_toml
from synapse_sync.core.toml_error import TomlError

_NAMES = st.sampled_from(["a", "b", "c-1", "D_2", "7", '"a"', "'b'", "a.b", "models", "é", '"q q"', "-"])
_KEYS = st.sampled_from(["source", "sha256", "type", "source", "a.b", '"source"'])
_TEXTS = st.sampled_from(
    ['""', '"x"', '", b = "', '"x" # y', '"""', '"""x"""', "'x'", r'"\u0041"', '"\t"', '"é {} = [models]"', '", y"']
) | st.text(max_size=4).map(lambda text: json.dumps(text, ensure_ascii=False))
_TABLES = st.lists(st.tuples(_KEYS, _TEXTS), max_size=3).map(
    lambda pairs: "{ " + ", ".join(f"{key} = {text}" for key, text in pairs) + " }"
)
_VALUES = _TEXTS | _TABLES | st.sampled_from(["1", "[1]", "true", "{}", "[", "[\n", '["x", "y"]', '{a="b"}', "{\n"])
_LINES = (
    st.tuples(_NAMES, _VALUES).map(lambda pair: f"{pair[0]} = {pair[1]}")
    | st.sampled_from(
        ["", "# c", "#\x01", " # c", "[models]", "[models.a]", "[[models.b]]", "[targets.x]", "]", '"""']
    )
    | st.sampled_from(["models.a = 1", "[models.a.b]", "models = 1", "x = 1", "[x]", "}", "\r", "a = 1\r"])
)
_MANY = st.lists(_LINES, max_size=8).map("\n".join)


def _read(text: str) -> object:
    """The tables with their order, or the mistake."""
    try:
        return json.dumps(read_toml(text), default=str)
    except TomlError as error:
        return str(error)


def _read_quickly(text: str) -> object:
    try:
        return json.dumps(manifest_tables(text), default=str)
    except TomlError as error:
        return str(error)


@given(_MANY, _MANY)
@example("", 'a = "x"\nb = { source = "y", type = "vae" }')
@example("[models.a]\nx = 1", 'b = "x"\nc-1 = "y"\n[models.7]\nsource = "z"')
@example("[models.a]", 'b = "x"\na = "y"')
@example("", 'a = "x"\nb = "y"\n[models.b]')
@example('x = """', 'a = "x"\nb = "y"\n"""')
@example("x = [", 'a = "x"\nb = "y"\n]')
def test_the_tables_are_those_of_the_reader_of_toml(above: str, models: str) -> None:
    text = f"{above}\n[models]\n{models}\n"
    assert _read_quickly(text) == _read(text)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_last_line_may_have_any_end(end: str) -> None:
    text = f'\n[models]\na = "x"\nb = "y"{end}'
    assert manifest_tables(text) == {"models": {"a": "x", "b": "y"}}


def test_a_long_line_is_judged_by_the_reader_of_toml() -> None:
    text = f'\n[models]\na = "x"\nb = "{"y" * (9 << 20)}"\n'
    with pytest.raises(TomlError, match="a line of"):
        manifest_tables(text)
