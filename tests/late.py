"""A library that takes seconds to load, and that few tests call: it is loaded at its first call."""

from __future__ import annotations

import functools
import importlib
import sys
from types import ModuleType
from typing import Any


def load_grammar_late(name: str = "rfc3987_syntax") -> None:
    """Have jsonschema load its grammar of IRIs when it checks the first one.

    The grammar, a module called `name`, builds 38 parsers when it is imported, which takes three seconds. Each
    worker did that at collection, since jsonschema imports it. Bills of materials alone have IRIs.
    """

    @functools.cache
    def loaded() -> Any:
        del sys.modules[name]
        return importlib.import_module(name)

    stand_in: Any = ModuleType(name)
    stand_in.is_valid_syntax = lambda term, value: loaded().is_valid_syntax(term, value)
    sys.modules.setdefault(name, stand_in)
