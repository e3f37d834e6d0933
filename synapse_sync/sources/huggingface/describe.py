"""What a repository's files are, read from their names and places; a guess is better left to the user."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote

from synapse_sync.core.artifact import WEIGHT_FORMATS, Candidate, ModelCard, format_of
from synapse_sync.core.instant import instant_text
from synapse_sync.core.names import safe_filename, safe_path
from synapse_sync.core.repository_selection import precision_of, quant_of
from synapse_sync.sources.huggingface.client import RepoFile, Repository
from synapse_sync.sources.huggingface.statuses import ENDPOINT

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


def candidate_of(repository: Repository, file: RepoFile, *, whole_path: bool) -> Candidate:
    """A file as it is locked; raises `UnsafeName` for a path that must not come near a disk."""
    last = file.path.rpartition("/")[2]
    return Candidate(
        filename=safe_path(file.path).text if whole_path else safe_filename(last),
        url=f"{ENDPOINT}/{repository.id}/resolve/{repository.commit}/{quote(file.path)}",
        size=file.size,
        sha256=file.sha256,
        git_sha1=file.git_sha1,
        format=format_of(last),
        precision=precision_of(last),
        quant=quant_of(last),
    )


def card_of(repository: Repository, files: Sequence[RepoFile]) -> ModelCard:
    title = repository.id
    facts = (("license", repository.license),) if repository.license else ()
    modified = repository.modified
    return ModelCard(
        title=title,
        version_name=repository.commit[:12],
        type=_type(files),
        base_model=repository.base_model,
        published=instant_text(modified) if modified else None,
        license=facts,
    )


def _type(files: Sequence[RepoFile]) -> str | None:
    """What the files are, where their places tell and agree; a guess is better left to the user."""
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
