from __future__ import annotations

import tracemalloc

import pytest

from synapse_sync.core.toml import MAX_TEXT, read_toml


def test_what_is_in_it() -> None:
    text = 'version = 1\n[a.b."c.d"]\nx = "1.2.3. ... ..."\n' + f'y = "{"word. " * 500}" # {"a." * 500}\n'
    assert read_toml(text)["a"]["b"]["c.d"]["x"].startswith("1.2.3")


@pytest.mark.parametrize(
    "text",
    [
        "a." * 20_000 + "b = 1",
        "[" + "a . " * 20_000 + "b]",
        "x = { " + '"a".' * 20_000 + "b = 1 }",
        "a = " + "[" * 100_000,
        "a = " + "{a=" * 100_000,
        "a = " + "9" * 10_000,
        "a" * (MAX_TEXT + 1),
        "a = 1\na = 2",
        "\0",
        "\ufeffa = 1",
    ],
    ids=range(10),
)
def test_bombs_are_refused_before_they_go_off(text: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"\w"):
            read_toml(text)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
