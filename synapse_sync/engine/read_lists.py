"""Read lists: other programs' files, from this machine, from an address, or an image of Civitai."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from synapse_sync.core.artifact import WEIGHT_FORMATS, format_of
from synapse_sync.core.civitai_forms import image_id
from synapse_sync.core.image_meta import ImageMeta
from synapse_sync.core.names import percent_decoded
from synapse_sync.core.reference_text import shown
from synapse_sync.errors import InputError, NotFound, StatusError
from synapse_sync.interop.readers import Reading, of_resource, read_file
from synapse_sync.interop.readers.document import LARGEST
from synapse_sync.interop.readers.listed import each_once, label
from synapse_sync.store.receipt_index import DIRECTORY
from synapse_sync.user.small_files import UnfitFile, read_small, refusal

if TYPE_CHECKING:
    from synapse_sync.net.api import Answer
    from synapse_sync.sources.civitai.client import Client

_SCHEMES = ("https://", "http://")
#: The endings of files that may have a workflow in them.
_ENDINGS = frozenset({".json", ".png", ".webp", ".jpg", ".jpeg"})
#: More files than any directory of workflows has.
_MOST = 100_000


def is_list(text: str, directory: Path) -> bool:
    """Whether an argument of `import` names a list: an address, or a file that is not itself one of weights."""
    if text.startswith(_SCHEMES):
        return True
    path = directory / text
    return path.is_file() and format_of(path.name) not in {*WEIGHT_FORMATS, "archive"}


def read_list(text: str, directory: Path, get: Callable[[str], Answer], image: Callable[[int], Reading]) -> Reading:
    """Read one list: a file below `directory`, an address, or the address of an image's page on Civitai.

    `get` asks for an address, `image` reads an image of Civitai by its number. Raises `InputError` for a file in no
    known format, `NotFound` for an address without one, and the errors of the network.
    """
    if not text.startswith(_SCHEMES):
        return read_path(directory / text)
    if (number := image_id(text)) is not None:
        return image(number)
    name = shown(text)
    answer = get(text)
    if answer.status in (404, 410):
        raise NotFound(f"`{name}`: the server has no such file", hint="open the address in a browser")
    if answer.status != 200:
        raise StatusError(f"`{name}`: the server answered {answer.status}", status=answer.status, url=name)
    return _read(label(percent_decoded(name.rpartition("/")[2])) or name, answer.body, name)


def read_path(path: Path) -> Reading:
    """Read a file of this machine; raises `InputError`."""
    try:
        data = read_small(path, LARGEST)
    except UnfitFile as error:
        raise refusal(error, hint="name a file: a workflow, an image, or a list of models") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", hint="name a file that exists") from error
    return _read(label(path.name) or "file", data, str(path))


def _read(name: str, data: bytes, where: str) -> Reading:
    try:
        return read_file(name, data)
    except InputError as error:
        hint = error.hint or "`synapse import --help` lists the formats; `synapse add REF` adds a single model"
        raise InputError(f"{where}: {error.message}", hint=hint) from error


def read_image(number: int, client: Client) -> Reading:
    """The models that made an image of Civitai, as its page lists them."""
    image = client.image(number)
    resources = (image.meta or ImageMeta({})).models(image.version_ids)
    models = each_once(of_resource(resource) for resource in resources)
    return Reading(
        file=f"civitai image {number}", format="civitai-image", title="an image of Civitai", models=models
    )


def workflows_below(directory: Path) -> tuple[list[Reading], list[tuple[Path, str]]]:
    """All files below a directory that list models, and the JSON files that could not be read, with reasons.

    Raises `InputError` for a directory that does not exist, or has more files than `_MOST`.
    """
    if not directory.is_dir():
        raise InputError(f"{directory} is not a directory", hint="name the directory that holds your workflows")
    readings: list[Reading] = []
    unread: list[tuple[Path, str]] = []
    for path in _files_below(directory):
        try:
            reading = read_path(path)
        except InputError as error:
            unread.append((path, error.message.removeprefix(f"{path}: ")))
            continue
        if reading.models:
            readings.append(reading)
    return readings, unread


def _files_below(directory: Path) -> Iterator[Path]:
    count = 0
    for folder, below, names in os.walk(directory):
        below[:] = sorted(name for name in below if name != DIRECTORY)
        for name in sorted(names):
            if Path(name).suffix.lower() not in _ENDINGS:
                continue
            count += 1
            if count > _MOST:
                raise InputError(
                    f"{directory} has more than {_MOST:,} files", hint="name the workflows' own directory"
                )
            yield Path(folder, name)
