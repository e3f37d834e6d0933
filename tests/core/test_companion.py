"""Companions: which previews are chosen, and that merging loses nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.artifact import RATINGS, ModelCard, Preview
from synapse_sync.core.companion import ByteFacts, chosen, made_from, merge
from synapse_sync.core.reference import Reference

values = st.none() | st.integers(0, 3) | st.sampled_from(["", "a", "b"]) | st.just([])
tables = st.dictionaries(st.sampled_from("abcde"), values)


@given(tables, tables, tables)
def test_what_others_wrote_is_kept(
    theirs: dict[str, object], base: dict[str, object], ours: dict[str, object]
) -> None:
    merged = merge(theirs, base, ours)
    for key, value in theirs.items():
        theirs_alone = (key in base and value != base[key]) or (key not in base and value not in (None, "", [], {}))
        if key not in ours or theirs_alone:
            assert merged[key] == value
    assert merged.keys() <= theirs.keys() | ours.keys()


@given(tables, tables, tables)
def test_merging_again_changes_nothing(
    theirs: dict[str, object], base: dict[str, object], ours: dict[str, object]
) -> None:
    merged = merge(theirs, base, ours)
    assert merge(merged, ours, ours) == merged


@given(tables, tables)
def test_an_untouched_sidecar_becomes_ours(base: dict[str, object], ours: dict[str, object]) -> None:
    merged = merge(base, base, ours)
    assert {key: merged[key] for key in ours} == ours


@given(tables, tables, tables)
def test_facts_of_other_bytes_go_together(
    theirs: dict[str, object], base: dict[str, object], ours: dict[str, object]
) -> None:
    facts = ByteFacts(keys=frozenset("ab"), known_by=(("a",),))
    merged = merge(theirs, base, ours, facts)
    if facts.differ(theirs, ours):
        assert {key: merged[key] for key in "ab" if key in theirs and key in merged} == {
            key: ours[key] for key in "ab" if key in theirs and key in ours
        }
    assert not facts.differ(merged, ours), "no digest of other bytes is left"
    alone = merge(theirs, base, ours)
    assert {key: merged.get(key) for key in "cde"} == {key: alone.get(key) for key in "cde"}


@pytest.mark.parametrize(
    ("theirs", "ours", "differ"),
    [("AB", "ab", False), ("", "ab", False), (None, "ab", False), (7, 7, False), (7, 8, True), ({}, 8, False)],
)
def test_only_two_known_identities_differ(theirs: object, ours: object, differ: bool) -> None:
    facts = ByteFacts(keys=frozenset("x"), known_by=(("x", "id"),))
    assert facts.differ({"x": {"id": theirs}}, {"x": {"id": ours}}) is differ
    assert not facts.differ({"x": None}, {"x": {"id": ours}})


def card(*levels: int, around: int | None = 1) -> ModelCard:
    """The words about a model with previews of these levels; `around` is how explicit the model is."""
    found = (Preview(url=Reference.parse(f"https://e.com/{n}"), nsfw=level) for n, level in enumerate(levels))
    return ModelCard(previews=tuple(found), nsfw=around)


def test_the_rating_is_the_most_that_is_shown() -> None:
    for rating, bit in RATINGS.items():
        found = chosen(card(1, 2, 4, 8, 16, 32), cover=None, rating=rating, count=100)
        assert [preview.nsfw for preview in found] == [level for level in (1, 2, 4, 8, 16, 32) if level <= bit]


@pytest.mark.parametrize(
    ("around", "shown_at"),
    [
        (1, ["pg", "pg13", "r", "x", "xxx"]),
        (3, ["pg13", "r", "x", "xxx"]),
        (8, ["x", "xxx"]),
        (9, ["x", "xxx"]),
        (16, ["xxx"]),
        (32, []),
        (0, ["xxx"]),
        (None, ["xxx"]),
    ],
)
def test_an_unrated_preview_is_as_explicit_as_its_model_may_be(around: int | None, shown_at: list[str]) -> None:
    """And where nobody rated the model either, it counts as the most explicit of all."""
    unrated = card(0, around=around)
    assert [r for r in RATINGS if chosen(unrated, cover=None, rating=r, count=1)] == shown_at


def test_a_rated_preview_is_shown_whatever_its_model_is() -> None:
    assert chosen(card(0, 1, around=16), cover=None, rating="pg", count=2) == card(0, 1).previews[1:]


def test_the_first_ones_that_fit_are_chosen() -> None:
    assert chosen(card(8, 1, 2), cover=None, rating="pg13", count=1) == (card(8, 1).previews[1],)
    assert chosen(card(8, 1, 2), cover=None, rating="pg13", count=0) == ()


def test_the_users_cover_comes_first_and_once() -> None:
    site = card(8, 1)
    assert chosen(site, cover=site.previews[0].url, rating="pg", count=3) == site.previews
    assert chosen(site, cover=Reference.parse("https://e.com/own"), rating="pg", count=2) == (
        Preview(url=Reference.parse("https://e.com/own")),
        site.previews[1],
    )


def test_an_image_that_is_listed_twice_is_one() -> None:
    twice = ModelCard(previews=card(1).previews * 2)
    assert chosen(twice, cover=None, rating="pg", count=5) == card(1).previews


def test_what_it_is_made_from_tells_apart() -> None:
    assert made_from("a", {"x": 1, "y": 2}) == made_from("a", {"y": 2, "x": 1})
    assert made_from("a", "b") != made_from("ab")
