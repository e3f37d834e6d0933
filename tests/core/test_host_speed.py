"""Which host is asked first: the user's order, unless what was measured says otherwise."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.host_speed import HALF_LIFE, HOPED, HostRating, Speed, learned, preferred

NOW = 1_800_000_000.0
RATES = st.floats(min_value=0.0, max_value=1e11)
SPEEDS = st.builds(Speed, rate=RATES, at=st.floats(min_value=NOW - 2e7, max_value=NOW + 1e5))
RATINGS = st.lists(
    st.builds(
        HostRating, mark=st.integers(0, 2), speed=st.none() | SPEEDS, hoped=st.booleans(), local=st.booleans()
    ),
    min_size=1,
    max_size=6,
)


def fresh(*rates: float | None) -> list[HostRating]:
    return [HostRating(speed=None if rate is None else Speed(rate=rate, at=NOW)) for rate in rates]


@given(RATINGS)
def test_a_better_mark_comes_before_all(standings: list[HostRating]) -> None:
    chosen = preferred(standings, NOW)
    assert standings[chosen].mark == min(standing.mark for standing in standings)


@given(st.lists(RATES, min_size=1, max_size=6))
def test_measured_just_now_the_first_that_is_about_as_fast_as_the_fastest(rates: list[float]) -> None:
    chosen = preferred(fresh(*rates), NOW)
    assert 2 * max(1.0, rates[chosen]) >= max(rates)
    assert all(2 * rate < max(rates) for rate in rates[:chosen])


@given(st.lists(st.none() | RATES, min_size=1, max_size=6), st.integers(0, 5))
def test_one_that_gets_faster_is_not_asked_later(rates: list[float | None], which: int) -> None:
    chosen = preferred(fresh(*rates), NOW)
    if (rate := rates[chosen]) is not None:
        assert preferred(fresh(*rates[:chosen], 3 * rate, *rates[chosen + 1 :]), NOW) == chosen


@given(st.lists(RATES, max_size=5))
def test_who_was_never_measured_and_stands_first_gets_its_turn(rates: list[float]) -> None:
    assert preferred(fresh(None, *rates), NOW) == 0


@given(st.floats(min_value=0.0, max_value=HOPED / 2.01))
def test_who_was_never_measured_gets_its_turn_behind_slow_ones(rate: float) -> None:
    assert preferred(fresh(rate, None), NOW) == 1
    missed = [*fresh(rate), HostRating(hoped=False)]
    assert preferred(missed, NOW) == 0, "but not again when it has just missed a file"


@given(st.floats(min_value=HOPED / 1.99, max_value=1e11))
def test_nobody_is_tried_while_what_stands_first_is_fast(rate: float) -> None:
    assert preferred(fresh(rate, None), NOW) == 0


@given(st.floats(min_value=0.0, max_value=1e6), st.floats(min_value=1e7, max_value=1e11))
def test_an_old_figure_fades_until_the_first_gets_another_turn(slow: float, fast: float) -> None:
    def at(age: float) -> int:
        old = HostRating(speed=Speed(rate=slow, at=NOW - age))
        return preferred([old, HostRating(speed=Speed(rate=fast, at=NOW))], NOW)

    turns = [at(weeks * HALF_LIFE) for weeks in range(13)]
    assert turns[0] == 1 and turns[-1] == 0
    assert turns == sorted(turns, reverse=True), "it never falls back by ageing"


@given(st.lists(RATES, max_size=4))
def test_a_file_on_this_machine_keeps_its_place(rates: list[float]) -> None:
    assert preferred([HostRating(local=True), *fresh(*rates)], NOW) == 0


@given(st.none() | SPEEDS, RATES)
def test_a_new_measurement_counts_at_least_half(before: Speed | None, rate: float) -> None:
    after = learned(before, rate, NOW)
    old = rate if before is None else before.rate
    assert after.at == NOW
    assert min(old, rate) <= after.rate * 1.000001 + 1e-9 and after.rate <= max(old, rate) * 1.000001 + 1e-9
    assert abs(after.rate - rate) <= abs(after.rate - old) * 1.000001 + 1e-3


@given(RATINGS)
def test_hosts_that_never_failed_nor_were_measured_keep_the_order(standings: list[HostRating]) -> None:
    assert preferred([HostRating() for _ in standings], NOW) == 0
