"""The choice of a repository's files, and their types, for every site with repositories."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Protocol

from synapse_sync.core.artifact import WEIGHT_FORMATS, Candidate, format_of, has_ending
from synapse_sync.core.frozen import dataclass
from synapse_sync.core.nearest import alike
from synapse_sync.errors import NotFound, UnsafeName
from synapse_sync.sources.base import Ask

#: Folders by which repositories made for user interfaces sort their files.
_FOLDERS = {
    "diffusion_models": "diffusion_model", "unet": "diffusion_model", "vae": "vae", "text_encoders": "text_encoder",
    "text_encoder": "text_encoder", "clip": "text_encoder", "clip_vision": "clip_vision", "loras": "lora",
    "lora": "lora", "controlnet": "controlnet", "checkpoints": "checkpoint", "embeddings": "embedding",
    "upscale_models": "upscaler", "style_models": "style_model", "model_patches": "model_patch",
    "audio_encoders": "audio_encoder", "ipadapter": "ip_adapter", "vae_approx": "vae_approx",
    "latent_upscale_models": "latent_upscaler",
}  # fmt: skip
_WORDS = {"vae": "vae", "lora": "lora", "controlnet": "controlnet"}
#: Papers of a repository: they are about its files, and no program that loads those needs them.
_PAPERS = frozenset({"readme", "license", "licence", "notice", "copying", "changelog"})
_GITS_OWN = frozenset({".gitattributes", ".gitignore"})


@dataclass(frozen=True, slots=True)
class RepoFile:
    """One file of a repository: its SHA-256, or git's SHA-1 of it."""

    path: str
    size: int | None
    sha256: str | None
    git_sha1: str | None


class Repository(Protocol):
    """A repository at one commit; `label` is its reference, for messages."""

    @property
    def label(self) -> str: ...
    @property
    def commit(self) -> str: ...
    @property
    def files(self) -> tuple[RepoFile, ...]: ...


def named_safely(
    files: Sequence[RepoFile], make: Callable[[RepoFile], Candidate]
) -> tuple[tuple[Candidate, ...], tuple[str, ...]]:
    """Make the candidates of a repository's files; returns them, and warnings.

    `make` raises `UnsafeName` for a path that some file system does not accept. Such a file costs no other file: it
    is left out with a warning, unless it is weights or the only file. Then `UnsafeName` is raised again. Both name
    the pattern for `exclude`.
    """
    made: list[Candidate] = []
    warnings: list[str] = []
    for file in files:
        try:
            made.append(make(file))
        except UnsafeName as error:
            way_out = f"`exclude = [{json.dumps(_pattern(file.path), ensure_ascii=False)}]`"
            if len(files) == 1 or format_of(file.path) in WEIGHT_FORMATS:
                raise UnsafeName(error.message, hint=f"leave it out with {way_out}") from error
            warnings.append(f"{error.message}; left out ({way_out} says so in synapse.toml)")
    return tuple(made), tuple(warnings)


def _pattern(path: str) -> str:
    """Return a pattern that matches this path: special characters are escaped, odd ones match any character."""
    escaped = re.sub(r"[*?\[]", lambda match: f"[{match[0]}]", path)
    return "".join(char if char.isprintable() and char != "\\" else "?" for char in escaped)


def one_file(repository: Repository, ask: Ask) -> tuple[RepoFile, ...]:
    """Return the file that the reference names; empty if it names a folder or no file. Raises `NotFound`."""
    path = ask.reference.file
    if not path or path.endswith("/"):
        return ()
    found = tuple(file for file in repository.files if file.path == path)
    if found:
        return found
    names = [file.path for file in repository.files]
    near = alike(path, names) or [n for n in names if format_of(n) in WEIGHT_FORMATS][:8]
    raise NotFound(
        f"`{repository.label}` has no file `{path}` at commit {repository.commit[:12]}",
        hint="its files include:\n" + "\n".join(near) if near else "it has no weights",
    )


def several_files(repository: Repository, ask: Ask) -> tuple[RepoFile, ...]:
    """Return the files that pass `include` and `exclude`, by the pattern rules of Hugging Face's library.

    Papers (README.md, a licence) are not placed among weights, unless `include` matches them or nothing else is
    there.
    """
    folder = ask.reference.file or ""
    below = [file for file in repository.files if file.path.startswith(folder)]
    if not below:
        what = f"folder `{folder}`" if folder else "files"
        raise NotFound(f"`{repository.label}` has no {what} at commit {repository.commit[:12]}")
    if not ask.include:
        own = [file for file in below if file.path.rpartition("/")[2] not in _GITS_OWN]
        below = [file for file in own if not is_paper(file.path)] or own
    left = (
        file
        for file in below
        if (not ask.include or matches(file.path, ask.include)) and not matches(file.path, ask.exclude)
    )
    return tuple(sorted(left, key=lambda file: file.path))


def is_paper(path: str) -> bool:
    """Whether a file of a repository is only about the others: `README.md`, `LICENSE-2.0.txt`, `.gitattributes`."""
    name = path.rpartition("/")[2].casefold()
    stem, _, ending = name.partition(".")
    written = ending in ("", "md", "rst", "html", "pdf") or ending.endswith("txt")
    return name in _GITS_OWN or name.endswith(".md") or (written and re.split(r"[-_ ]", stem)[0] in _PAPERS)


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns matches, by the rules of Hugging Face's library.

    Case matters; `*` also matches `/`; a pattern that ends in `/` matches all files below; a backslash is a slash.
    """
    plain = [pattern.replace("\\", "/") for pattern in patterns]
    return any(fnmatchcase(path, f"{pattern}*" if pattern.endswith("/") else pattern) for pattern in plain)


def format_in(path: str, *, whole: bool) -> str:
    """The format of a file by its name; with `whole`, it is one of the files of a whole repository.

    There a file without an ending is a document beside the weights, as a licence is.
    """
    name = path.rpartition("/")[2]
    return "text" if whole and not has_ending(name) else format_of(name)


def type_of(files: Sequence[RepoFile]) -> str | None:
    """Return the type of the files, if their folders and names agree on one; else None, and the user says it."""
    if len(files) > 1 and any(file.path.rpartition("/")[2] == "model_index.json" for file in files):
        return "diffusers"
    guesses = {_guess(file.path) for file in files if format_of(file.path) in WEIGHT_FORMATS}
    return guesses.pop() if len(guesses) == 1 else None


def _guess(path: str) -> str | None:
    *folders, name = path.casefold().split("/")
    for folder in reversed(folders):
        if folder in _FOLDERS:
            return _FOLDERS[folder]
    words = set(re.split(r"[^a-z0-9]+", name))
    named = {_WORDS[word] for word in words & set(_WORDS)}
    return named.pop() if len(named) == 1 else None
