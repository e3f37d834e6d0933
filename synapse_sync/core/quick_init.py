"""Quick init: frozen dataclasses that are made by the ten thousand, each in half of the time. Pure."""

from __future__ import annotations

import dataclasses
from functools import update_wrapper
from typing import Any, TypeVar

T = TypeVar("T")


def quick_init(cls: type[T]) -> type[T]:
    """Replace the `__init__` of a frozen dataclass with slots by one that does the same in half of the time.

    Use it above `@dataclass`. The class has no bases, no `__post_init__`, and no default that is made anew each
    time; raises `TypeError` for another one.
    """
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]  # `cls` is a dataclass
    made_anew = any(each.default_factory is not dataclasses.MISSING for each in fields)
    if cls.__bases__ != (object,) or hasattr(cls, "__post_init__") or made_anew:
        raise TypeError(f"{cls.__name__} needs the `__init__` that dataclasses make")
    # A frozen object is set field by field through a function of `object`, which takes longer than all the rest. So
    # the new object is one of a class with the same slots, which is not frozen, until it has its fields.
    names: dict[str, Any] = {
        "_cls": cls,
        "_open": type(cls.__name__, (), {"__slots__": cls.__slots__}),  # type: ignore[attr-defined]
        "_set": object.__setattr__,
        **{f"_default_{each.name}": each.default for each in fields},
    }
    lines = [f"def __init__({', '.join(_parameters(fields))}):", "_set(self, '__class__', _open)"]
    lines += [f"self.{each.name} = {each.name if each.init else f'_default_{each.name}'}" for each in fields]
    exec("\n ".join([*lines, "self.__class__ = _cls"]), names)
    setattr(cls, "__init__", update_wrapper(names["__init__"], cls.__init__))  # noqa: B010 - mypy refuses the other way
    return cls


def _parameters(fields: tuple[dataclasses.Field[Any], ...]) -> list[str]:
    """The parameters of an `__init__`; those with a default name it."""
    found = ["self"]
    for each in fields:
        if each.kw_only and each.init and "*" not in found:
            found.append("*")
        if each.init:
            default = "" if each.default is dataclasses.MISSING else f"=_default_{each.name}"
            found.append(each.name + default)
    return found
