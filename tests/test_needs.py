"""The list of tests that cannot run on Windows names tests that exist, and the page on Windows has its reasons."""

from __future__ import annotations

import re

import pytest
from needs import CANNOT, LINKS, PIPES, TESTS, reason_for

PAGE = " ".join((TESTS.parent / "docs" / "windows.md").read_text("utf-8").split())


@pytest.mark.parametrize("row", [row for rows in CANNOT.values() for row in rows])
def test_every_row_names_a_test(row: str) -> None:
    file, _, name = row.partition("::")
    text = (TESTS / file).read_text("utf-8")
    assert not name or re.search(rf"^def {name.partition('[')[0]}\b", text, re.MULTILINE), row


@pytest.mark.parametrize("reason", [*CANNOT, LINKS, PIPES])
def test_the_page_has_every_reason(reason: str) -> None:
    assert reason in PAGE


def test_a_row_is_a_test_with_all_its_parameters_or_some() -> None:
    (links,) = {reason_for(f"tests/store/test_links.py::test_auto_falls_back[2-symlink-{n}]") for n in (1, 18)}
    assert links == LINKS
    assert reason_for("tests/store/test_links.py::test_auto_falls_back[1-hardlink-1]") is None
    assert reason_for("tests/store/test_durable.py::test_modes_follow_the_umask[2]") is not None
    assert reason_for("tests/store/test_durable.py::test_modes") is None
