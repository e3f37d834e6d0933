"""The errors that the hub's statuses mean, each with a next step."""

from __future__ import annotations

from synapse_sync.core.reference import Reference
from synapse_sync.errors import AccessDenied, NetworkError, NotFound, RegionRefused, SynapseError
from synapse_sync.sites import named

SITE = named("huggingface")
ENDPOINT = SITE.endpoints[0][1]
TOKEN_HINT = SITE.token_hint


def page_of(id_: str) -> str:
    """Return the address of a repository's page."""
    return f"{ENDPOINT}/{id_}"


def not_let_in(reference: Reference, gated: str | None, *, has_token: bool) -> AccessDenied:
    """Return the error for a gated repository to which the user has no access.

    `gated` is how it grants access (`auto`, `manual`), if that is known.
    """
    page = page_of(reference.id)
    step = f"ask its authors for access at {page}" if gated == "manual" else f"accept its conditions at {page}"
    if not has_token:
        return AccessDenied(f"`{reference}` is gated", hint=f"{step}, then {TOKEN_HINT}")
    return AccessDenied(
        f"`{reference}` is gated, and the account of your token has no access yet",
        hint=f"{step}, with the account that the token belongs to (`synapse whoami` names it)",
    )


def explain(
    reference: Reference, status: int, body: str, hint: str | None, *, has_token: bool, gated: str | None = None
) -> SynapseError:
    """Turn a status of the hub, and the text in its answer, into the error that it means."""
    what, said, page = str(reference), body.casefold(), page_of(reference.id)
    if "awaiting a review" in said:
        return AccessDenied(
            f"`{what}` is gated, and your request for access is pending: its authors have not decided yet",
            hint=f"see {page}, and sync again when they have decided",
        )
    if "has been rejected" in said:
        return AccessDenied(
            f"`{what}` is gated, and its authors have rejected your request for access",
            hint=f"see {page}, or choose another model",
        )
    if "gatedrepo" in said or "is restricted" in said or "gated" in said:
        return not_let_in(reference, gated, has_token=has_token)
    if "access to this resource is disabled" in said:
        return AccessDenied(f"`{what}` is disabled by Hugging Face", hint=f"see {page}")
    if "revisionnotfound" in said or "invalid rev id" in said:
        rewritten = "if its history was rewritten, `synapse lock --upgrade-model NAME` pins the newest revision; "
        return NotFound(
            f"`{what}`: the repository has no revision `{reference.revision}`",
            hint=f"{rewritten if reference.pinned else ''}see {page}/tree/main",
        )
    if "entrynotfound" in said or "entry not found" in said:
        return NotFound(f"`{what}`: the repository has no such file, or no longer", hint=f"see {page}/tree/main")
    if has_token and status == 401 and ("invalid credentials" in said or "invalid user" in said):
        return AccessDenied(
            f"Hugging Face does not accept the token for `{what}`",
            hint=f"it may have expired: {TOKEN_HINT}",
        )
    if status in (401, 404):
        is_model = not reference.id.startswith(("datasets/", "spaces/"))
        name = "check the name (datasets begin with `hf://datasets/`)" if is_model else "check the name"
        private = f"whether HF_TOKEN may read it: {page}" if has_token else f"if it is private, {TOKEN_HINT}"
        return NotFound(f"`{what}` does not exist or is private", hint=f"{name}, and {private}")
    if status == 403:
        hint = f"check what HF_TOKEN may read, and the conditions at {page}" if has_token else TOKEN_HINT
        return AccessDenied(f"Hugging Face refuses `{what}` (403)", hint=hint)
    if status == 451:
        return RegionRefused(f"`{what}` is not available from here for legal reasons (451)")
    if status == 410:
        return NotFound(f"`{what}` is gone (410)", hint=f"see {page}")
    if status == 429:
        wait = hint or ("wait some minutes" if has_token else f"wait some minutes, or {TOKEN_HINT}: it allows more")
        return NetworkError(f"Hugging Face is rate-limiting requests (429), at `{what}`", hint=wait)
    if status >= 500:
        return NetworkError(
            f"Hugging Face returned a server error ({status}), at `{what}`", hint="try again in a few minutes"
        )
    return NetworkError(f"Hugging Face answered {status} for `{what}`", hint=hint)
