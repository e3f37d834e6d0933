"""The cache of previews."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from synapse_sync.store.preview_cache import PreviewCache

URL = "https://image.example/1.png"
DAY = 86_400


def age(store: Path, days: float) -> None:
    """Make all that is kept as old as this."""
    then = time.time() - days * DAY
    for path in (store / "pictures").iterdir():
        os.utime(path, (then, then))


def test_each_address_has_its_preview(tmp_path: Path) -> None:
    cache = PreviewCache(tmp_path)
    assert cache.get(URL) is None
    cache.put(URL, b"one")
    cache.put(f"{URL}?width=450", b"two")
    assert (cache.get(URL), cache.get(f"{URL}?width=450")) == (b"one", b"two")
    assert cache.given_up(URL) is None


@pytest.mark.parametrize(("days", "why"), [(0, "gone"), (6.9, "gone"), (7.1, None)])
def test_an_address_without_a_preview_is_tried_again_after_a_week(
    tmp_path: Path, days: float, why: str | None
) -> None:
    cache = PreviewCache(tmp_path)
    cache.give_up(URL, "gone")
    age(tmp_path, days)
    assert cache.given_up(URL) == why


@pytest.mark.parametrize(("days", "freed"), [(29.9, 0), (30.1, 5)])
def test_what_nobody_asked_for_in_a_month_is_dropped(tmp_path: Path, days: float, freed: int) -> None:
    cache = PreviewCache(tmp_path)
    cache.put(URL, b"bytes")
    age(tmp_path, days)
    assert cache.sweep() == freed
    assert (cache.get(URL) is None) == (freed > 0)


def test_nothing_is_dropped_where_nothing_is(tmp_path: Path) -> None:
    assert PreviewCache(tmp_path).sweep() == 0
