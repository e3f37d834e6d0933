"""Licence reports: texts of sites stay texts in every format."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.license_reports import FORMATS, as_csv, as_markdown, as_notice
from synapse_sync.core.licenses import Terms

ONE = Terms(
    name="face", reference="civitai:7@1", title="Face | v1", creator="=cmd()", licence="mit", commercial=True,
    base_model="SDXL", page="https://civitai.com/models/7", seen="2026-01-31",
)  # fmt: skip
BARE = Terms(
    name="vae", reference="https://example.org/v", title=None, creator=None, licence=None, commercial=None,
    base_model=None, page=None,
)  # fmt: skip


def test_csv_holds_every_fact_and_no_formula() -> None:
    head, first, second = csv.reader(io.StringIO(as_csv([ONE, BARE])))
    row = dict(zip(head, first, strict=True))
    assert row["creator"] == "'=cmd()" and row["commercial use"] == "yes" and row["seen"] == "2026-01-31"
    assert dict(zip(head, second, strict=True))["commercial use"] == "unknown"


def test_markdown_is_one_row_for_each_model() -> None:
    head, line, row, _ = as_markdown([ONE, BARE]).splitlines()
    assert row.count("|") == head.count("|") == line.count("|") and "`Face ¦ v1`" in row


def test_a_notice_names_creator_licence_and_page() -> None:
    assert as_notice([ONE, BARE]) == (
        "Face | v1\n  by: =cmd()\n  licence: mit\n  commercial use: yes\n  base model: SDXL\n"
        "  as seen on: 2026-01-31\n  at: https://civitai.com/models/7\n"
        "\nvae\n  licence: unknown\n  commercial use: unknown\n"
    )


@given(text=st.text(max_size=60))
def test_any_text_stays_on_its_line(text: str) -> None:
    terms = Terms(
        name="n", reference="r", title=text, creator=text, licence=text, commercial=None, base_model=text, page=None
    )
    assert as_markdown([terms]).count("\n") == 3
    assert all(each == "n" or each.isprintable() for each in as_notice([terms]).splitlines())
    (_, row) = csv.reader(io.StringIO(as_csv([terms])))
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)
    assert set(FORMATS) == {"csv", "markdown", "notice"}
