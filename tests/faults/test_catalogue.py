"""The catalogue is complete: no case is missing silently, and the table says what the tests say."""

from __future__ import annotations

from cases import CASES
from table import PAGE, find, page


def test_every_number_is_a_case() -> None:
    assert find().numbers <= {case.number for case in CASES}


def test_no_case_is_missing() -> None:
    found = find()
    told = {*found.tests, *found.skipped, *found.not_applicable}
    assert [case for case in CASES if case.number not in told] == []


def test_the_table_is_what_the_tests_say() -> None:
    text = PAGE.read_text("utf-8")
    assert text == page(text, find()), "python tests/faults/table.py writes it anew"
