"""`synapse info`: show everything that a site says about a model."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from synapse_sync.cli.card import about_text, file_lines, version_words
from synapse_sync.cli.civitai_options import short_count
from synapse_sync.cli.console import Console
from synapse_sync.cli.local_files import local_file, show_files
from synapse_sync.cli.options import common
from synapse_sync.cli.render import table_lines, word_lines
from synapse_sync.cli.texts import cell_text, count_text, cut_text, plain_text, terminal_width
from synapse_sync.cli.web import open_page, web
from synapse_sync.core.licenses import licence_words
from synapse_sync.core.page import page_of
from synapse_sync.core.size_text import size_text

if TYPE_CHECKING:
    from synapse_sync.core.artifact import Candidate
    from synapse_sync.sources.base import Description, Edition

#: Longer lists of files become a table.
_FEW = 6
#: The lines of a description that are shown without -v.
_LINES = 8
#: The counts of a model that are shown, with their nouns; the others are in --json.
_COUNTS = {
    "download_count": "downloads", "thumbs_up_count": "thumbs up", "thumbs_down_count": "thumbs down",
    "comment_count": "comments", "rating_count": "ratings",
}  # fmt: skip


@click.command("info")
@click.argument("refs", nargs=-1, required=True, metavar="REF|FILE...")
@web
@common
@click.pass_obj
def command(console: Console, refs: tuple[str, ...], web: bool) -> int:
    """Show what the site offers: versions, files, sizes, hashes, trained words, permissions, scans, access.

    REF is any reference (`civitai:4384`, a page, an AIR, `hf://owner/repo`, a hash …) or a name of synapse.toml.
    FILE is a local file of weights, `./model.safetensors`: its header says its kind, family and precision. Several
    files may be named. Nothing is downloaded, and no project is needed.
    """
    several = len(refs) > 1  # one word may be a name of synapse.toml
    files = [local_file(ref, console.directory if several or "." in ref else None) for ref in refs]
    if web and (len(refs) > 1 or files != [None]):
        raise click.UsageError("--web needs one reference, and no local file")
    if (known := [file for file in files if file is not None]) == files:
        return show_files(console, known)
    if len(refs) > 1:
        other = refs[files.index(None)]
        raise click.UsageError(
            f"several arguments must all be local files, and `{plain_text(other)}` names no file here"
        )
    return _show_reference(console, refs[0], web=web)


def _show_reference(console: Console, ref: str, *, web: bool) -> int:
    from synapse_sync.workspace import Workspace

    with Workspace.anywhere(console.directory) as workspace:
        found, locked = workspace.describe(ref)
        token = None
        if found.editions and (chosen := found.editions[found.chosen]).refusal is None:
            token = workspace.needs_token(chosen.reference)
    if console.as_json:
        console.document(_value(found, locked, token))
    if web:
        chosen_page = page_of(found.editions[found.chosen].reference) if found.editions else None
        open_page(console, chosen_page or found.page, ref)
    if console.as_json or web:
        return 0
    _tell_model(console, found)
    if len(found.editions) > 1:
        _tell_versions(console, found, locked)
    if found.editions:
        _tell_version(console, found.editions[found.chosen], found.air, token)
    console.warnings(found.notes)
    return 0


def _tell_model(console: Console, found: Description) -> None:
    console.answer(click.style(cell_text(found.title or "without a name"), bold=True))
    card = found.editions[found.chosen].card if found.editions else None
    words = {
        "type": card.type if card is not None else None,
        "creator": found.creator,
        "page": found.page,
        "tags": ", ".join(found.tags),
        "license": licence_words(card.license) if card is not None else None,
        "counts": _counts(found.details.get("stats")),
        "content": _content(found.details),
    }
    _lines(console, words, "  ")
    _tell_description(console, found.details.get("description"))


def _counts(stats: object) -> str:
    """Return the counts of a model in words; zeros are left out."""
    known = stats if isinstance(stats, Mapping) else {}
    words = [f"{short_count(known[name])} {noun}" for name, noun in _COUNTS.items() if known.get(name)]
    if known.get("rating"):
        words.append(f"rated {known['rating']:g}")
    return ", ".join(words)


def _content(details: Mapping[str, Any]) -> str:
    """Return in words whether a model shows a real person, or is not for all ages."""
    words = {"nsfw": "not for all ages", "poi": "shows a real person", "minor": "shows minors"}
    return ", ".join(text for name, text in words.items() if details.get(name))


def _tell_description(console: Console, html: object) -> None:
    """Print a description as text: its beginning or, with -v, all of it."""
    from synapse_sync.core.html_text import html_lines

    lines = [cell_text(line) for line in html_lines(html)] if isinstance(html, str) else []
    lines = lines if console.verbose else list(filter(None, lines))
    width = terminal_width() - 4
    folded = [part for line in lines for part in textwrap.wrap(line, width) or [""]]
    shown = folded if console.verbose or len(folded) <= _LINES + 1 else folded[:_LINES]
    if shown:
        console.answer()
    for line in shown:
        console.answer(f"  | {line}".rstrip())
    if len(shown) < len(folded):
        console.answer(f"  | … {count_text(len(folded) - len(shown), 'more line')}, with -v")


def _tell_versions(console: Console, found: Description, locked: frozenset[str]) -> None:
    console.answer()
    rows = []
    for place, edition in enumerate(found.editions):
        marks = ("*" if place == found.chosen else "") + ("L" if str(edition.reference) in locked else "")
        sizes = [file.size or 0 for file in edition.files if file.primary] or [
            file.size or 0 for file in edition.files
        ]
        size = max(sizes, default=0)
        rows.append(
            (
                marks,
                edition.reference.revision or "",
                cut_text(edition.card.version_name or "", 18),
                cut_text(edition.card.base_model or "", 12),
                (edition.card.published or "")[:10],
                size_text(size) if size else "",
                re.sub(r"^in (early access.*) \d\d:\d\d UTC$", r"\1", _access(edition)),
            )
        )
    header = ("", "version", "name", "base model", "published", "size", "access")
    console.answers(table_lines(rows, header, shrink=6))
    if locked:
        console.say("* shown below, L = locked")


def _access(edition: Edition) -> str:
    """Return why a version cannot be downloaded, without the words that name the version."""
    if edition.refusal is None:
        return ""
    return re.sub(r"^`[^`]*` (is )?", "", edition.refusal.message)


def _tell_version(console: Console, edition: Edition, air: str | None, token: str | None) -> None:
    card = edition.card
    console.answer()
    number, name = edition.reference.revision or "", card.version_name or ""
    title = f"{edition.reference}" if number.startswith(name) else f"{edition.reference}  {name}"
    console.answer(click.style(cell_text(title), bold=True))
    words = {
        **version_words(card),
        "air": air,
        "access": _access(edition) or "can be downloaded",
        "hint": edition.refusal.hint if edition.refusal is not None else token,
    }
    _lines(console, words, "  ")
    _tell_description(console, edition.details.get("description"))
    if len(edition.files) > _FEW:
        rows = [
            (file.filename, "?" if file.size is None else size_text(file.size), (file.sha256 or "")[:16])
            for file in edition.files
        ]
        console.answers(table_lines(rows, ("file", "size", "sha256"), shrink=0))
        return
    details = edition.file_details or ({},) * len(edition.files)
    for file, hashes, more in zip(edition.files, edition.hashes, details, strict=True):
        remark = "primary" if file.primary and len(edition.files) > 1 else ""
        facts = {"about": about_text(_about(file)), "scanned": _scanned(more), **dict(hashes)}
        console.answers(file_lines(file.filename, file.size, remark, facts))


def _scanned(details: Mapping[str, Any]) -> str:
    """Return when a file was scanned, and what the scans say."""
    words = ((details.get("scanned") or "")[:10], details.get("pickle_message"), details.get("virus_message"))
    return ", ".join(word for word in words if word)


def _about(file: Candidate) -> dict[str, str | None]:
    return {
        "kind": file.kind if file.kind != "model" else None,
        "format": file.format,
        "precision": file.precision,
        "size": file.size_class,
        "quant": file.quant,
        "id": file.file_id,
        "scan": file.scan,
    }


def _lines(console: Console, words: dict[str, str | None], indent: str) -> None:
    """Print aligned `name  value` lines."""
    for line in word_lines(words, indent):
        console.answer(line)


def _value(found: Description, locked: frozenset[str], token: str | None) -> dict[str, Any]:
    """Return the whole description for `--json`."""
    return dict(found.details) | {
        "title": found.title,
        "page": found.page,
        "creator": found.creator,
        "tags": list(found.tags),
        "chosen": str(found.editions[found.chosen].reference) if found.editions else None,
        "air": found.air,
        "needs_token": token is not None,
        "notes": list(found.notes),
        "versions": [_edition_value(edition, locked) for edition in found.editions],
    }


def _edition_value(edition: Edition, locked: frozenset[str]) -> dict[str, Any]:
    card = edition.card
    details = edition.file_details or ({},) * len(edition.files)
    return dict(edition.details) | {
        "reference": str(edition.reference),
        "name": card.version_name,
        "type": card.type,
        "base_model": card.base_model,
        "published": card.published,
        "trained_words": list(card.trained_words),
        "license": dict(card.license),
        "nsfw": card.nsfw,
        "locked": str(edition.reference) in locked,
        "available": edition.refusal is None,
        "refusal": edition.refusal.message if edition.refusal is not None else None,
        "hint": edition.refusal.hint if edition.refusal is not None else None,
        "previews": [
            dict(edition.preview_details.get(preview.url.text, {}))
            | {
                "id": preview.id,
                "type": preview.type,
                "nsfw": preview.nsfw,
                "width": preview.width,
                "height": preview.height,
                "url": preview.url.text,
            }
            for preview in card.previews
        ],
        "files": [
            dict(more)
            | {
                "filename": file.filename,
                "size": file.size,
                "hashes": dict(hashes),
                "kind": file.kind,
                "format": file.format,
                "precision": file.precision,
                "size_class": file.size_class,
                "quant": file.quant,
                "primary": file.primary,
                "id": file.file_id,
                "scan": file.scan,
                "url": file.url.text,
            }
            for file, hashes, more in zip(edition.files, edition.hashes, details, strict=True)
        ],
    }
