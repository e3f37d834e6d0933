"""The mutants of a few lines."""

from __future__ import annotations

import pytest
from mutate import mutants


def changed(source: str) -> list[str]:
    """Each mutant's whole text, where it is Python."""
    return [mutant.apply(source.encode()).decode() for mutant in mutants("module.py", source.encode())]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b\n", ["x = (a <= b)\n", "x = (a >= b)\n"]),
        ("x = a and not b\n", ["x = (a or not b)\n", "x = a and (b)\n"]),
        ("x = a + 1\n", ["x = (a - 1)\n", "x = a + 0\n", "x = a + 2\n"]),
        ("if a:\n    b()\n", ["if (not a):\n    b()\n", "if a:\n    pass\n"]),
        ("def f():\n    return 'ü', x\n", ["def f():\n    return None\n"]),
        ("def f():\n    raise E(f'{a + 1}')\n", ["def f():\n    pass\n"]),
        ("x = row['key']\n", ["x = row['key~']\n"]),
        ("match x:\n    case A.B:\n        a = b\n", ["match x:\n    case A.B if False:\n        a = b\n"]),
        ("n += 1\n", ["n -= 1\n", "pass\n", "n += 0\n", "n += 2\n"]),
    ],
)
def test_each_change_alone(source: str, expected: list[str]) -> None:
    assert changed(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""Says 1 < 2."""\n',
        "x: Annotated[int, 3]\n",
        "@cached(maxsize=1)\nclass A(B, frozen=True):\n    pass\n",
        "if TYPE_CHECKING:\n    import a\n",
        "p = a / b\n",
    ],
)
def test_left_alone(source: str) -> None:
    assert changed(source) == []
