"""A late dataclass is the class that the standard library makes: the same objects, as frozen, the same words."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import pickle
import pkgutil
from dataclasses import field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import synapse_sync
from synapse_sync.core.frozen import dataclass, maker


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Plain:
    first: str
    second: int = 2
    kept: int | None = field(default=None, compare=False)
    inner: str | None = field(default=None, init=False, compare=False, repr=False)
    named: tuple[str, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True, slots=True, order=True)
class Late:
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
def test_the_objects_are_those_of_a_dataclass(one: dict[str, Any], other: dict[str, Any]) -> None:
    plain, late = Plain(**one), Late(**one)
    assert dataclasses.asdict(late) == dataclasses.asdict(plain)
    assert repr(late) == repr(plain).replace("Plain", "Late")
    assert (late == Late(**other)) is (plain == Plain(**other))
    assert (late < Late(**other), late >= Late(**other)) == (plain < Plain(**other), plain >= Plain(**other))
    assert hash(late) == hash(plain) == hash(Late(**one))
    assert type(late) is Late
    assert late != plain
    assert dataclasses.replace(late, second=7) == Late(**{**one, "second": 7})
    assert pickle.loads(pickle.dumps(late)) == late == copy.deepcopy(late)


@given(VALUES)
def test_a_maker_makes_the_same_objects_with_names_and_by_places(one: dict[str, Any]) -> None:
    make = maker(Late)
    made = make(**one)
    assert made == Late(**one)
    assert type(made) is Late
    assert dataclasses.asdict(made) == dataclasses.asdict(Plain(**one))
    assert make(made.first, made.second, made.kept, made.named) == made


@pytest.mark.parametrize("made", [False, True])
def test_they_are_frozen(made: bool) -> None:
    late = maker(Late)("a", 3) if made else Late("a", 3)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'second'"):
        late.second = 4  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        late.other = 4  # type: ignore[attr-defined]
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'second'"):
        del late.second
    assert not hasattr(late, "__dict__")
    assert late.inner is None


def test_the_signature_and_its_mistakes_are_those_of_a_dataclass() -> None:
    assert inspect.signature(Late) == inspect.signature(Plain)
    assert Late.__match_args__ == Plain.__match_args__
    for words in ({}, {"first": "a", "third": 1}, {"first": "a", "inner": "b"}):
        with pytest.raises(TypeError, match=r"Late\.__init__"):
            Late(**words)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Late("a", 1, None, ("b",))  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class Checked:
    text: str

    def __post_init__(self) -> None:
        if not self.text:
            raise ValueError("empty")


@dataclass(frozen=True, slots=True)
class Listed:
    items: list[str] = field(default_factory=list)
    inner: list[str] = field(default_factory=list, init=False)


@dataclass(frozen=True, slots=True)
class Derived(Plain):
    third: str = ""


def test_a_check_runs_and_a_default_is_made_anew() -> None:
    with pytest.raises(ValueError, match="empty"):
        Checked("")
    assert Checked("a") == Checked("a")
    one, other = Listed(), Listed()
    assert one.items == other.items == one.inner == []
    assert one.items is not other.items
    assert one.inner is not other.inner
    assert Listed(["a"]).items == ["a"]
    assert Derived("a", third="b").third == "b"  # with bases it is the standard library's


@pytest.mark.parametrize("cls", [Checked, Listed, Derived])
def test_a_class_that_does_more_than_set_its_fields_has_no_maker(cls: type[object]) -> None:
    with pytest.raises(TypeError, match=cls.__name__):
        maker(cls)


@dataclass(frozen=True, slots=True)
class Own:
    text: str

    def __repr__(self) -> str:
        return "own"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own)

    def __setstate__(self, state: list[object]) -> None:
        object.__setattr__(self, "text", "restored")


def test_the_methods_of_a_class_stay() -> None:
    assert repr(Own("a")) == "own"
    assert Own("a") == Own("b")
    assert hash(Own("a")) == hash(("a",))  # as `dataclasses` does it
    assert copy.copy(Own("a")).text == "restored"


def _classes() -> list[type[Any]]:
    """Every late dataclass of the package."""
    found: dict[type[Any], None] = {}
    for info in pkgutil.walk_packages(synapse_sync.__path__, "synapse_sync."):
        if info.name.startswith(("synapse_sync.core.", "synapse_sync.layouts.")):
            for cls in vars(importlib.import_module(info.name)).values():
                if isinstance(cls, type) and dataclasses.is_dataclass(cls) and hasattr(cls, "__slots__"):
                    found[cls] = None
    return list(found)


@pytest.mark.parametrize("cls", _classes(), ids=lambda cls: f"{cls.__module__}.{cls.__qualname__}")
def test_every_class_has_the_signature_that_dataclasses_would_give_it(cls: type[Any]) -> None:
    fields = [
        (
            each.name,
            each.type,
            field(default=each.default, init=each.init, kw_only=each.kw_only)
            if each.default_factory is dataclasses.MISSING
            else field(default_factory=each.default_factory, init=each.init, kw_only=each.kw_only),
        )
        for each in dataclasses.fields(cls)
    ]
    if cls.__init__.__qualname__ == f"{cls.__name__}.__init__" and cls.__name__ != "SafePath":  # which has its own
        twin = dataclasses.make_dataclass(cls.__name__, fields, frozen=True)
        assert str(inspect.signature(cls)) == str(inspect.signature(twin))
