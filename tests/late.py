"""A library that takes seconds to load, of which few tests need one part: that is made at its first call."""

from __future__ import annotations

import functools
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any


def load_grammar_late(name: str = "rfc3987_syntax") -> None:
    """Have jsonschema load its grammar of IRIs when it checks the first one.

    The grammar, a module called `name`, builds 38 parsers when it is imported, which takes three seconds. Each
    worker did that at collection, since jsonschema imports it, and uses one of them. Bills of materials alone have
    IRIs.
    """

    @functools.cache
    def parser() -> Any:
        from lark import Lark

        found = PathFinder.find_spec(name)
        assert found is not None and found.origin is not None
        grammar = Path(found.origin).with_name("syntax_rfc3987.lark").read_text("utf-8")
        return Lark(grammar, start=["iri", "iri_reference", "absolute_iri"], parser="earley")

    def is_valid_syntax(term: str, value: str) -> bool:
        from lark.exceptions import LarkError

        try:
            parser().parse(value, start=term)
        except LarkError:
            return False
        return True

    stand_in: Any = ModuleType(name)
    stand_in.is_valid_syntax = is_valid_syntax
    sys.modules.setdefault(name, stand_in)
