from __future__ import annotations

import time
import tracemalloc

import pytest

from synapse_sync.core.toml import MAX_TEXT, read_toml, statements


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


TEXT = """\
# first
[workspace]
name = '''
[models]
'''

[models]
a = "x"  # [not a table]
"b.c" = { source = "}", list = [
  1,  # ]
] }
d.source = \"\"\"
e = 1
\"\"\"\"\"
[ models . "f\\u0067" ]
source = 'y#'
[[many]]
x = ["]"]
"""


def test_statements_know_their_lines_and_paths() -> None:
    found = [(s.line, s.path, s.table, s.is_header) for s in statements(TEXT) if s.path]
    assert found == [
        (2, ("workspace",), ("workspace",), True),
        (3, ("workspace", "name"), ("workspace",), False),
        (7, ("models",), ("models",), True),
        (8, ("models", "a"), ("models",), False),
        (9, ("models", "b.c"), ("models",), False),
        (12, ("models", "d", "source"), ("models",), False),
        (15, ("models", "fg"), ("models", "fg"), True),
        (16, ("models", "fg", "source"), ("models", "fg"), False),
        (17, ("many",), ("many",), True),
        (18, ("many", "x"), ("many",), False),
    ]


@pytest.mark.parametrize("text", ["", "a = 1", TEXT, TEXT.replace("\n", "\r\n"), TEXT.rstrip("\n"), "\n\n#"])
def test_statements_are_the_text(text: str) -> None:
    assert "".join(s.text for s in statements(text)) == text
    assert [s.line for s in statements(text)] == [
        1 + text[: sum(len(s.text) for s in list(statements(text))[:n])].count("\n")
        for n in range(len(list(statements(text))))
    ]


def test_statements_are_found_in_linear_time() -> None:
    def seconds(count: int) -> float:
        text = "".join(f'[models.m{n}]\nsource = "./{n}"\nmodels = [1, 2]\n' for n in range(count))
        start = time.process_time()
        assert sum(1 for _ in statements(text)) == 3 * count
        return time.process_time() - start

    assert min(seconds(16_000) for _ in range(3)) < 40 * max(min(seconds(1_000) for _ in range(3)), 1e-3)
