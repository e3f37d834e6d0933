"""Civitai's REST API: one method an endpoint, typed answers, many at once wherever the site allows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar
from urllib.parse import quote

from synapse_sync.errors import NetworkError, NotFound, StatusError, SynapseError
from synapse_sync.net.api import Api
from synapse_sync.sources.civitai.schema import Fields, HashMatch, Me, Model, ModelVersion, decode_matches

ENDPOINT = "https://civitai.com"
BATCH = 100
HASH_BATCH = 10_000
_T = TypeVar("_T")


class Client:
    """The API below one endpoint. Statuses come up as `StatusError`; nothing is remembered between calls."""

    def __init__(self, api: Api, endpoint: str = ENDPOINT) -> None:
        self.api = api
        self.endpoint = endpoint.rstrip("/")

    def model(self, model_id: int) -> Model:
        """One model with all its published versions."""
        return Model.decode(self.api.get_json(self._url(f"models/{model_id}")))

    def model_version(self, version_id: int) -> ModelVersion:
        """One version: the only answer that knows `air` and `usage_control`."""
        return ModelVersion.decode(self.api.get_json(self._url(f"model-versions/{version_id}")))

    def models_by_ids(self, ids: Iterable[int]) -> dict[int, Model | SynapseError]:
        """Many models by id, 100 a request; what the list leaves out is asked for singly. Failures are values."""
        found: dict[int, Model | SynapseError] = {}
        for batch in _batches(sorted(set(ids)), BATCH):
            try:
                answered = {model.id: model for model in self._list("ids", batch)}
            except SynapseError as error:
                found.update(dict.fromkeys(batch, error))
                continue
            for model_id in batch:
                model = answered.get(model_id)
                found[model_id] = self._single(model_id) if model is None else model
        return found

    def models_by_version_ids(self, ids: Iterable[int]) -> dict[int, Model]:
        """The models that hold these versions, by version id, 100 a request; what is not found is left out."""
        found: dict[int, Model] = {}
        for batch in _batches(sorted(set(ids)), BATCH):
            for model in self._list("modelVersionIds", batch):
                found.update((version.id, model) for version in model.versions if version.id in batch)
        return found

    def by_hash(self, value: str) -> ModelVersion:
        """The version that holds a file with this hash, of any algorithm the site knows."""
        return ModelVersion.decode(self.api.get_json(self._url(f"model-versions/by-hash/{quote(value, safe='')}")))

    def by_hashes_ids(self, sha256s: Iterable[str]) -> dict[str, HashMatch]:
        """Which versions hold these SHA-256s, 10,000 a request; unknown ones are left out.

        Where several versions share a file the lowest id is taken: the one that was there first.
        """
        found: dict[str, HashMatch] = {}
        for batch in _batches(sorted({value.lower() for value in sha256s}), HASH_BATCH):
            body = [value.upper() for value in batch]
            for match in decode_matches(self.api.post_json(self._url("model-versions/by-hash/ids"), body)):
                known = found.get(match.sha256)
                if known is None or match.version_id < known.version_id:
                    found[match.sha256] = match
        return found

    def me(self) -> Me:
        """Whose token is sent; a missing or wrong one is a `StatusError` 401 here, and nowhere else."""
        fields = Fields(self.api.get_json(self._url("me")), "me")
        return Me(id=fields.integer("id"), username=fields.text("username"))

    def _url(self, path: str) -> str:
        return f"{self.endpoint}/api/v1/{path}"

    def _list(self, key: str, ids: Sequence[int]) -> Iterator[Model]:
        # Without nsfw=true the site leaves out, silently, every model that has no all-ages picture.
        params = [(key, ",".join(map(str, ids))), ("nsfw", "true"), ("limit", str(BATCH))]
        answer = Fields(self.api.get_json(self._url("models"), params), "models")
        yield from (Model.decode(item) for item in answer.objects("items"))

    def _single(self, model_id: int) -> Model | SynapseError:
        try:
            return self.model(model_id)
        except StatusError as error:
            if error.status == 404:
                return NotFound(
                    f"Civitai has no model {model_id}",
                    hint="it was deleted, unpublished or never there; a version of it may still be found by its id",
                )
            return error
        except NetworkError as error:
            return error


def _batches(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
