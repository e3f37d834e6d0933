"""Document: the bytes of another program's file as what they are: an image, JSON, TOML, YAML or lines. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from synapse_sync.core.frozen import dataclass
from synapse_sync.core.toml import read_toml
from synapse_sync.core.toml_error import TomlError
from synapse_sync.errors import InputError
from synapse_sync.interop.readers.image_file import image_texts, is_image
from synapse_sync.interop.readers.lines import are_lines
from synapse_sync.interop.readers.yaml_text import read_yaml

#: The most bytes of such a file: the largest images are smaller, and so is every list.
LARGEST = 64 << 20
#: Text without its images: the largest workflow of ComfyUI's templates has 0.4 MB.
LARGEST_TEXT = 16 << 20
#: A line that only TOML has: the header of a table, alone on its line.
_TOML_HEADER = re.compile(r"^\s*\[{1,2}[A-Za-z_][\w.\- \"]*\]{1,2}\s*(#.*)?$", re.MULTILINE)
#: A line of a mapping in YAML.
_YAML_KEY = re.compile(r"^(---|[\w\"'.\- ]+:(\s|$)|- )", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One file: its name without directories, and its content in the form that it has.

    `value` is that of JSON, TOML and YAML; `texts` are those in an image, by their keys; `lines` those of a text.
    """

    name: str
    kind: str
    value: Any = None
    texts: Mapping[str, str] = field(default_factory=dict)
    lines: tuple[str, ...] = ()


def document(name: str, data: bytes) -> Document:
    """Look at a file and decode it; raises `InputError` for damaged content and for any other form."""
    if len(data) > LARGEST:
        raise InputError(f"it has more than {LARGEST >> 20} MB")
    if is_image(data):
        return Document(name=name, kind="image", texts=image_texts(data))
    if len(data) > LARGEST_TEXT:
        raise InputError(f"it has more than {LARGEST_TEXT >> 20} MB of text")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("it is neither text nor an image with texts in it") from None
    if not text.strip():
        raise InputError("it is empty")
    if text.lstrip()[0] in "{[" and _TOML_HEADER.match(text.lstrip()) is None:
        return Document(name=name, kind="json", value=read_json(text))
    if are_lines(text):
        return Document(name=name, kind="lines", lines=tuple(text.splitlines()))
    if _TOML_HEADER.search(text):
        return Document(name=name, kind="toml", value=_toml(text))
    if _YAML_KEY.search(text):
        return Document(name=name, kind="yaml", value=read_yaml(text))
    raise InputError("it is not a list of models in a form that synapse reads")


def read_json(text: str) -> Any:
    """Read JSON, also with the NaN that Python programs write; raises `InputError`."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"it is not valid JSON: line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError):  # an integer of thousands of digits, or thousands of levels
        raise InputError("its JSON has more digits or levels than any list of models") from None


def _toml(text: str) -> Any:
    try:
        return read_toml(text)
    except TomlError as error:
        raise InputError(f"it is not valid TOML: {error.what}") from None
