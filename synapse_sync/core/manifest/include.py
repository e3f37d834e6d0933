"""Include: further manifests whose models belong to a manifest, by a path in the project or a pinned address."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field

from synapse_sync.core.digest import is_sha256
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.names import SafePath, safe_path
from synapse_sync.core.reference import Reference
from synapse_sync.errors import InputError, InvalidReference, UnsafeName

_PIN = "@sha256:"
#: How deep included manifests may include others.
DEEPEST = 8
#: How many files a manifest may include in all.
MOST = 64


@dataclass(frozen=True, slots=True)
class Include:
    """One included manifest: a `path` below the project, or a `reference` with the `sha256` of its text."""

    text: str = field(compare=False)
    path: SafePath | None = None
    reference: Reference | None = None
    sha256: str = ""

    @property
    def is_foreign(self) -> bool:
        """Whether it comes from elsewhere, so that it is not the project's own word."""
        return self.path is None

    @property
    def shown(self) -> str:
        """Its name in messages."""
        return self.path.text if self.path is not None else self.text.partition(_PIN)[0]


#: Returns the text of an included manifest; raises `InputError`.
Load = Callable[[Include], str]


class MissingInclude(InputError):
    """An included manifest that has to be downloaded first."""

    def __init__(self, include: Include) -> None:
        super().__init__(
            f"the included manifest {include.shown} is not here yet", hint="`synapse lock` downloads and checks it"
        )
        self.include: Include = include


def no_includes(include: Include) -> str:
    """Load nothing: the text is no file of a project."""
    raise InputError(f"{include.shown} cannot be included here")


def parse_include(text: str) -> Include:
    """Read one line of `include`; raises `InputError`, whose message and hint name the mistake."""
    place, pin, sha256 = text.rpartition(_PIN)
    if pin:
        if not is_sha256(sha256.lower()):
            raise InputError(f"`{text}`: expected 64 hexadecimal digits after `{_PIN}`")
        try:
            reference = Reference.parse(place)
        except InvalidReference as error:
            raise InputError(error.message, hint=error.hint) from error
        if reference.source in ("path", "hash"):
            raise InputError(f"`{text}`: a file of the project needs no digest", hint="write its path alone")
        return Include(text, reference=reference, sha256=sha256.lower())
    if "://" in text:
        raise InputError(f"`{text}` is not pinned", hint=f"add `{_PIN}` and the SHA-256 of the file")
    try:
        return Include(text, path=safe_path(text.removeprefix("./")))
    except UnsafeName as error:
        hint = "name a file below the project's directory, like `./shared.toml`"
        raise InputError(error.message, hint=hint) from error
