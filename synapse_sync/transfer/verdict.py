"""The verdict on received bytes: are they the wanted ones, and what follows if they are not."""

from __future__ import annotations

from pathlib import Path

from synapse_sync.core.content import DOCUMENTS, kind_of
from synapse_sync.errors import IntegrityError, StorageError, SynapseError, WrongContent
from synapse_sync.net.credentials import display_url
from synapse_sync.transfer.hashing import Digests, digest_file
from synapse_sync.transfer.want import Want

#: How much of a page (bytes) its site needs to see, to say in its own words what it is.
PAGE_BYTES = 64 << 10
CHANGED_HINT = "if the new file is wanted, lock it: `synapse lock --upgrade-model NAME`; else add `mirrors`"


def mismatch(want: Want, digests: Digests, path: Path | None = None) -> str | None:
    """Say in half a sentence why bytes are not the wanted ones; None if they are.

    The SHA-256 decides alone where it is known, else the BLAKE3, else git's hash and the size together. `path` is
    the file, in case git's hash has to be computed anew. Raises `StorageError`.
    """
    another_size = want.size is not None and digests.size != want.size
    if want.sha256 is not None:
        if digests.sha256 == want.sha256:
            return None
        having = f"{digests.size} bytes came instead of {want.size}, with" if another_size else "the bytes have"
        return f"{having} sha256 {digests.sha256[:12]}… instead of {want.sha256[:12]}…"
    if want.blake3 is not None:
        if digests.blake3 != want.blake3:
            return f"the bytes have blake3 {str(digests.blake3)[:12]}… instead of {want.blake3[:12]}…"
    elif another_size:
        return f"{digests.size} bytes came instead of {want.size}"
    if want.git_sha1 is not None:
        git = digests.git_sha1
        if git is None and path is not None:  # the size was unknown when hashing began, and git hashes it first
            git = digest_file(path, git=True).git_sha1
        if git != want.git_sha1:
            return f"the bytes have git-sha1 {str(git)[:12]}… instead of {want.git_sha1[:12]}…"
    return None


def is_final(error: SynapseError, *, bytes_right: bool) -> bool:
    """Whether no other location can help after an error.

    That is so where this machine's disk refuses, and where the right bytes themselves were refused (`bytes_right`).
    """
    return bytes_right or isinstance(error, StorageError)


def refusal(
    want: Want, problem: str, place: str, *, digests: Digests, head: bytes, doubt: WrongContent | None
) -> IntegrityError | None:
    """The error for bytes that are not the wanted ones, where their cause can be said; None where it cannot.

    `problem` is the answer of `mismatch`, `place` the location's text, `head` the first bytes, `doubt` what the
    headers said against them.
    """
    encoded = doubt is not None and not doubt.url  # only a document in place of the file has a `url`
    if doubt is not None and (encoded or kind_of(head) in DOCUMENTS):
        doubt.body = head.decode("utf-8", "replace")
        return doubt
    if want.size not in (None, digests.size):
        return IntegrityError(
            f"`{want.subject}`: upstream changed: {problem} (from {display_url(place)})", hint=CHANGED_HINT
        )
    return None


def size_remark(want: Want, size: int) -> str | None:
    """A warning about a file of `size` bytes whose digest is right, and whose size was said to be another."""
    if want.size in (None, size):
        return None
    return (
        f"`{want.subject}`: it has {size} bytes, not {want.size} as was locked; "
        "its digest is right, so it is used (`synapse lock` corrects the size)"
    )


def head_of(path: Path) -> bytes:
    """The first bytes of a file; none if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(PAGE_BYTES)
    except OSError:
        return b""
