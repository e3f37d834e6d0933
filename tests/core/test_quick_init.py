"""A quick `__init__` makes the very objects that a dataclass makes, and these are as frozen."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.quick_init import maker, quick_init


@dataclass(frozen=True, slots=True)
class Plain:
    first: str
    second: int = 2
    kept: int | None = field(default=None, compare=False)
    inner: str | None = field(default=None, init=False, compare=False, repr=False)
    named: tuple[str, ...] = field(default=(), kw_only=True)


@quick_init
@dataclass(frozen=True, slots=True)
class Quick:
    first: str
    second: int = 2
    kept: int | None = field(default=None, compare=False)
    inner: str | None = field(default=None, init=False, compare=False, repr=False)
    named: tuple[str, ...] = field(default=(), kw_only=True)


VALUES = st.fixed_dictionaries(
    {"first": st.text(max_size=5)},
    optional={"second": st.integers(), "kept": st.none() | st.integers(), "named": st.tuples(st.text(max_size=3))},
)


@given(VALUES, VALUES)
def test_the_objects_are_those_of_a_dataclass(one: dict[str, object], other: dict[str, object]) -> None:
    plain, quick = Plain(**one), Quick(**one)  # type: ignore[arg-type]
    assert dataclasses.asdict(quick) == dataclasses.asdict(plain)
    assert repr(quick) == repr(plain).replace("Plain", "Quick")
    assert (quick == Quick(**other)) is (plain == Plain(**other))  # type: ignore[arg-type]
    assert hash(quick) == hash(Quick(**one))  # type: ignore[arg-type]
    assert type(quick) is Quick
    assert dataclasses.replace(quick, second=7) == Quick(**{**one, "second": 7})  # type: ignore[arg-type]
    assert pickle.loads(pickle.dumps(quick)) == quick == copy.deepcopy(quick)


@given(VALUES)
def test_a_maker_makes_the_same_objects_with_names_and_by_places(one: dict[str, object]) -> None:
    make = maker(Quick)
    made = make(**one)
    assert made == Quick(**one)  # type: ignore[arg-type]
    assert type(made) is Quick
    assert dataclasses.asdict(made) == dataclasses.asdict(Plain(**one))  # type: ignore[arg-type]
    assert make(made.first, made.second, made.kept, made.named) == made


@pytest.mark.parametrize("made", [False, True])
def test_they_are_frozen(made: bool) -> None:
    quick = maker(Quick)("a", 3) if made else Quick("a", 3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        quick.second = 4  # type: ignore[misc]
    with pytest.raises((dataclasses.FrozenInstanceError, TypeError)):
        quick.other = 4  # type: ignore[attr-defined]
    assert quick.inner is None


def test_the_signature_and_its_mistakes_are_those_of_a_dataclass() -> None:
    assert inspect.signature(Quick) == inspect.signature(Plain)
    for words in ({}, {"first": "a", "third": 1}, {"first": "a", "inner": "b"}):
        with pytest.raises(TypeError, match="__init__"):
            Quick(**words)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Quick("a", 1, None, ("b",))  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class Checked:
    text: str

    def __post_init__(self) -> None:
        assert self.text


@dataclass(frozen=True, slots=True)
class Listed:
    items: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Derived(Plain):
    third: str = ""


@pytest.mark.parametrize("cls", [Checked, Listed, Derived])
def test_a_class_that_needs_its_own_is_refused(cls: type[object]) -> None:
    for make in (quick_init, maker):
        with pytest.raises(TypeError, match=cls.__name__):
            make(cls)
