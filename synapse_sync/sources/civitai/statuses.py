"""Reasons why something on Civitai cannot be downloaded, each with its own sentence and next step."""

from __future__ import annotations

import json
import re
from datetime import datetime

from synapse_sync.core.instant import parse_instant
from synapse_sync.core.reference import Reference
from synapse_sync.errors import AccessDenied, NetworkError, NotFound, RegionRefused, StatusError, SynapseError
from synapse_sync.sites import named
from synapse_sync.sources.civitai.client import ENDPOINT
from synapse_sync.sources.civitai.schema import EarlyAccess, Model, ModelVersion

TOKEN_HINT = named("civitai").token_hint
_ELSEWHERE = "if you have the file, name its path as `source`; another location can be named in `mirrors`"


def no_version(number: int) -> NotFound:
    """Return the error for a version that does not exist."""
    return NotFound(
        f"Civitai has no version {number}",
        hint="it was deleted or unpublished, or never existed; check the number at the end of the page's address",
    )


def withdrawn(mode: str | None, what: str) -> SynapseError | None:
    """Return the error for a model that its author or the site has withdrawn (by its `mode`), or None."""
    word = (mode or "").casefold()
    if word == "archived":
        return NotFound(
            f"`{what}` is archived: its page remains; its files can no longer be downloaded", hint=_ELSEWHERE
        )
    if word == "takendown":
        return NotFound(f"`{what}` was taken down by Civitai", hint=_ELSEWHERE)
    return None


def unusable(version: ModelVersion, model: Model | None, now: datetime) -> SynapseError | None:
    """Return the reason why this version cannot be downloaded at the instant `now`, or None."""
    model_id = version.model_id or (model.id if model else None)
    what = f"civitai:{model_id or ''}@{version.id}"
    if (reason := withdrawn((model.mode if model else None) or version.model.mode, what)) is not None:
        return reason
    if version.status not in (None, "Published"):
        return NotFound(f"`{what}` is not published ({version.status})", hint="pin another version of the model")
    if version.usage_control not in (None, "Download"):
        return generation_only(what)
    if version.early_access is not None and version.early_access.holds(now):
        return _early(what, version.early_access, model_id)
    if not version.files:
        return NotFound(
            f"`{what}` has no file that Civitai offers for download", hint="pin another version of the model"
        )
    return None


def generation_only(what: str) -> AccessDenied:
    """Return the error for a version that may only be used on the site itself."""
    return AccessDenied(
        f"`{what}` can be used on Civitai only: its creator has disabled downloads",
        hint="an API key does not help; pin another version",
    )


def _early(what: str, early: EarlyAccess, model_id: int | None) -> AccessDenied:
    ends = parse_instant(early.ends_at)
    page = f"{ENDPOINT}/models/{model_id}" if model_id else ENDPOINT
    if early.permanent or ends is None:
        return AccessDenied(
            f"`{what}` is only for users who paid for it", hint=f"see {page}, or pin another version"
        )
    return AccessDenied(
        f"`{what}` is in early access until {ends:%Y-%m-%d %H:%M} UTC",
        hint=f"wait until then, or pin another version: {page}",
    )


def _said(words: str) -> str:
    return f": {words}" if words else " (451)"


def _words(body: str) -> tuple[str, dict[str, object]]:
    """Return the message in the body of an error, in any of its shapes, and the JSON object around it."""
    try:
        table = json.loads(body)
    except ValueError:
        return ("" if body.lstrip().startswith(("<", "{")) else body), {}
    if not isinstance(table, dict):
        return "", {}
    inner = table.get("error")
    details = inner if isinstance(inner, dict) else {}
    said = (table.get("message"), inner, details.get("message"), details.get("name"))
    return next((words for words in said if isinstance(words, str)), ""), table


def explain(reference: Reference, error: StatusError, *, has_token: bool) -> SynapseError:
    """Turn the status of a request for `reference` into the error that it means.

    `has_token` says whether an API key was sent.
    """
    what, status = str(reference), error.status
    words, table = _words(error.body)
    if "/api/" not in error.url and status in (400, 401, 403):
        return NetworkError(
            f"the storage behind Civitai refuses `{what}` ({status})",
            hint="its links expire within a day; run it again to get a new one",
        )
    if status in (401, 403):
        return _refused(what, status, error.body.casefold(), words, table, has_token)
    if status == 404:
        return NotFound(
            f"Civitai has no file for `{what}`, or no longer",
            hint="it was deleted, unpublished or replaced: `synapse lock --upgrade-model NAME` looks again; "
            "if its page still opens, this may be temporary",
        )
    if status == 410:
        return withdrawn("archived", what) or NotFound(what)
    if status == 451:
        return RegionRefused(f"Civitai refuses requests from the region of this machine{_said(words)}")
    return _busy(what, error, words)


def _refused(
    what: str, status: int, body: str, words: str, table: dict[str, object], has_token: bool
) -> SynapseError:
    if "disabled downloads" in body:
        return generation_only(what)
    if "early access" in body:
        deadline = table.get("deadline")
        found = re.search(r'"deadline":\s*"([^"]+)"', body)
        ends_at = deadline if isinstance(deadline, str) else found[1].upper() if found else None
        return _early(what, EarlyAccess(ends_at=ends_at), None)
    if status == 401 and has_token:
        return AccessDenied(f"Civitai refuses the API key for `{what}`: it is wrong or expired", hint=TOKEN_HINT)
    if status == 401:
        return AccessDenied(f"Civitai requires an API key for `{what}`", hint=TOKEN_HINT)
    hint = "check on its page whether your account may download it" if has_token else TOKEN_HINT
    return AccessDenied(f"Civitai refuses `{what}`" + (f": {words}" if words else " (403)"), hint=hint)


def _busy(what: str, error: StatusError, words: str) -> NetworkError:
    said = f": {words}" if words else ""
    if error.status == 429 and "downloading" in words:
        return NetworkError(
            f"Civitai allows this account no more downloads today, at `{what}`{said}",
            hint="it counts those of the last 24 hours: continue tomorrow; finished downloads are kept",
        )
    if error.status == 429:
        wait = error.hint or "wait before you try again; finished downloads are kept"
        return NetworkError(f"Civitai is rate-limiting requests (429), at `{what}`{said}", hint=wait)
    if error.status >= 500:
        return NetworkError(
            f"Civitai returned a server error ({error.status}), at `{what}`{said}",
            hint="try again in a few minutes",
        )
    return NetworkError(f"Civitai answered {error.status} for `{what}`{said}", hint=error.hint)
