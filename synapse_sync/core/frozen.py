"""Frozen values: dataclasses that cost next to nothing until they are used. Pure.

`dataclasses` writes six methods of each frozen class as text, and compiles them while the module is imported. For
the classes of a command that was half of its start, and most of their methods are never called. Here each method is
made when it is first asked for. A dataclass that is derived from such a class is refused with a `TypeError`.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass  # for a type checker it is the decorator of the standard library

T = TypeVar("T")
_ORDER = ("__lt__", "__le__", "__gt__", "__ge__")

if not TYPE_CHECKING:

    def dataclass(
        cls: type[T] | None = None,
        /,
        *,
        frozen: bool = False,
        slots: bool = False,
        order: bool = False,
        **options: Any,
    ) -> Any:
        """`dataclasses.dataclass`, with late methods for a class that is frozen, has slots and no bases."""

        def made(cls: type) -> type:
            if frozen and slots and cls.__bases__ == (object,) and options.get("eq", True):
                return _late(cls, order=order, **options)
            return dataclasses.dataclass(cls, frozen=frozen, slots=slots, order=order, **options)

        return made if cls is None else made(cls)


def maker(cls: type[T]) -> Callable[..., T]:
    """A function that makes the objects of such a class, in half of the time.

    It has the parameters of the class, all of them with or without their names; those without a default are first.
    Python passes keywords to a function more quickly than to a class. Raises `TypeError` for a class that does more
    than to set its fields.
    """
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]  # raises for another class
    made_anew = any(each.default_factory is not dataclasses.MISSING for each in fields)
    if cls.__bases__ != (object,) or hasattr(cls, "__post_init__") or made_anew:
        raise TypeError(f"{cls.__name__} needs its own `__init__`")
    parameters = sorted((_parameter(each) for each in fields if each.init), key=lambda each: "=" in each)
    steps = ["self = _new(_open)", *_steps(cls), "return self"]
    made: Callable[..., T] = _function("make", parameters, steps, cls)
    return made


class _Late:
    """A method of one class, which replaces itself when it is first asked for.

    Hazard: two threads may ask at once. Both make the same function, and either may stay.
    """

    def __init__(self, cls: type, name: str, make: Callable[[type], Any]) -> None:
        self._cls, self._name, self._make = cls, name, make

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        method = self._make(self._cls)
        setattr(self._cls, self._name, method)
        return method.__get__(instance, owner)


def _late(cls: type, *, order: bool, **options: Any) -> type:
    """A frozen dataclass with slots. Only its fields and its slots are made now."""
    own = set(vars(cls))
    if vars(cls).get("__hash__", ...) is None:  # Python's own word about a class that has an `__eq__`
        own.remove("__hash__")
    init = options.pop("init", True)
    made: type = dataclasses.dataclass(cls, init=False, repr=False, eq=False, slots=True, **options)
    late = {name: _twin_method(name, order) for name in ("__repr__", "__eq__", "__hash__")}
    late |= {name: _twin_method(name, order) for name in _ORDER if order}
    if init:
        late["__init__"] = _init
    for name, make in late.items():
        if name not in own:
            setattr(made, name, _Late(made, name, make))
    shared = {
        "__setattr__": _no_set,
        "__delattr__": _no_delete,
        "__getstate__": _state,
        "__setstate__": _set_state,
    }
    for name, method in shared.items():
        if name not in own:
            setattr(made, name, method)
    return made


def _twin_method(name: str, order: bool) -> Callable[[type], Any]:
    """A function that makes this method: the one that the standard library writes for the same fields."""

    def make(cls: type) -> Any:
        fields = [(each.name, each.type, _copy(each)) for each in dataclasses.fields(cls)]
        twin = dataclasses.make_dataclass(cls.__name__, fields, init=False, order=order, unsafe_hash=True)
        method = vars(twin)[name]
        method.__qualname__ = f"{cls.__qualname__}.{name}"
        return method

    return make


def _copy(field: dataclasses.Field[Any]) -> Any:
    """The field without its default, which has no meaning for the methods that compare and print."""
    return dataclasses.field(repr=field.repr, hash=field.hash, compare=field.compare, kw_only=True)


# -- the making of objects -------------------------------------------------------------------------


def _init(cls: type) -> Any:
    """The `__init__` of a class."""
    fields = [each for each in dataclasses.fields(cls) if each.init]
    by_name = [each for each in fields if each.kw_only]
    parameters = ["self", *(_parameter(each) for each in fields if not each.kw_only)]
    if by_name:
        parameters += ["*", *map(_parameter, by_name)]
    steps = ["_set(self, '__class__', _open)", *_steps(cls)]
    if hasattr(cls, "__post_init__"):
        steps.append("self.__post_init__()")
    method = _function("__init__", parameters, steps, cls)
    method.__qualname__ = f"{cls.__qualname__}.__init__"
    method.__annotations__ = {each.name: each.type for each in (*fields,)} | {"return": None}
    return method


def _function(name: str, parameters: list[str], steps: list[str], cls: type) -> Any:
    """A function of the class's module that has these parameters and statements.

    A frozen object is set field by field through a function of `object`, which takes longer than all the rest. So
    the new object is one of a class with the same slots, which is not frozen, until it has its fields: `_open`.
    """
    names = {
        "_cls": cls,
        "_open": type(cls.__name__, (), {"__slots__": cls.__slots__}),  # type: ignore[attr-defined]
        "_set": object.__setattr__,
        "_new": object.__new__,
        "_made_anew": _MADE_ANEW,
        **{f"_default_{each.name}": _default(each) for each in dataclasses.fields(cls)},
    }
    lines = [f"def make_it({', '.join(names)}):", f" def {name}({', '.join(parameters)}):"]
    lines += [f"  {step}" for step in steps]
    found: dict[str, Any] = {}
    exec("\n".join([*lines, f" return {name}"]), vars(sys.modules[cls.__module__]), found)
    return found["make_it"](**names)


class _MadeAnew:
    """The sign for a default that is made anew for each object."""

    def __repr__(self) -> str:
        return "<factory>"


_MADE_ANEW = _MadeAnew()


def _default(field: dataclasses.Field[Any]) -> object:
    """The default of a field, or its factory."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory


def _parameter(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return f"{field.name}=_made_anew"
    return field.name if field.default is dataclasses.MISSING else f"{field.name}=_default_{field.name}"


def _steps(cls: type) -> list[str]:
    """The statements that set the fields of a new object, and then make it one of its class."""
    return [*(f"self.{each.name} = {_value(each)}" for each in dataclasses.fields(cls)), "self.__class__ = _cls"]


def _value(field: dataclasses.Field[Any]) -> str:
    default = f"_default_{field.name}"
    if field.default_factory is not dataclasses.MISSING:
        default += "()"
        return f"{default} if {field.name} is _made_anew else {field.name}" if field.init else default
    return field.name if field.init else default


# -- methods that are the same for all classes -----------------------------------------------------


def _no_set(self: object, name: str, value: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _no_delete(self: object, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[object]:
    """The values of the fields, for copies and pickles: an object with slots has no `__dict__`."""
    return [getattr(self, each.name) for each in dataclasses.fields(self)]


def _set_state(self: Any, state: list[object]) -> None:
    for each, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, each.name, value)
