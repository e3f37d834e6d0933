"""`synapse add`: add models to the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from synapse_sync.cli.civitai_options import UnknownWord
from synapse_sync.cli.complete import group_names, target_names, type_names
from synapse_sync.cli.console import Console
from synapse_sync.cli.options import common, trusting
from synapse_sync.cli.render import signed_line
from synapse_sync.cli.texts import cell_text
from synapse_sync.core.nearest import suggestion
from synapse_sync.core.size_text import size_text

if TYPE_CHECKING:
    from synapse_sync.core.lockfile import LockedModel
    from synapse_sync.core.reference import Reference
    from synapse_sync.engine.lock import Locked
    from synapse_sync.errors import SynapseError
    from synapse_sync.workspace import Workspace

_FILE_KEYS = ("format", "precision", "size", "quant", "name", "type", "id")


@click.command("add")
@click.argument("references", nargs=-1, metavar="REF...")
@click.option(
    "--from-image",
    "images",
    multiple=True,
    metavar="ID|URL",
    help="The models that made this image of Civitai (repeatable).",
)
@click.option("--name", metavar="NAME", help="Its name in synapse.toml (default: made from its title).")
@click.option(
    "--type",
    "kind",
    metavar="TYPE",
    shell_complete=type_names,
    help="checkpoint, lora, vae, embedding, controlnet, upscaler …",
)
@click.option(
    "--group",
    "groups",
    multiple=True,
    metavar="G",
    shell_complete=group_names,
    help="Put it into this group (repeatable).",
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="T",
    shell_complete=target_names,
    help="Only for this target (repeatable).",
)
@click.option("--version-id", "versions", multiple=True, type=int, metavar="N", help="This version (repeatable).")
@click.option("--file", "file", multiple=True, metavar="WISH", help="A file id, a name pattern, or key=value.")
@click.option("--include", multiple=True, metavar="GLOB", help="Only these files of a repository (repeatable).")
@click.option("--extract", multiple=True, metavar="GLOB", help="Extract these files of an archive (repeatable).")
@click.option("--previews/--no-previews", default=None, help="Download its previews, or do not.")
@click.option("--cover", metavar="URL", help="The image to use as its preview.")
@click.option("--allow-pickle", is_flag=True, help="Accept a format that can run code when it is loaded.")
@click.option("--allow-code", is_flag=True, help="Accept scripts, programs and other files that run.")
@trusting
@common
@click.pass_obj
def command(
    console: Console,
    references: tuple[str, ...],
    images: tuple[str, ...],
    name: str | None,
    kind: str | None,
    groups: tuple[str, ...],
    targets: tuple[str, ...],
    versions: tuple[int, ...],
    file: tuple[str, ...],
    include: tuple[str, ...],
    extract: tuple[str, ...],
    previews: bool | None,
    cover: str | None,
    allow_pickle: bool,
    allow_code: bool,
    trust: bool,
) -> int:
    """Resolve references, write them into synapse.toml, and lock them.

    REF is `civitai:4384`, a page of civitai.com or huggingface.co, an AIR, `hf://owner/repo/file`, a hash, an https
    URL or a local path. --from-image adds the models that an image names instead, as `synapse images --resources`
    shows them.
    """
    from synapse_sync.cli.images import image_number
    from synapse_sync.core.reference import Reference
    from synapse_sync.engine.declare import Wishes
    from synapse_sync.errors import SynapseError
    from synapse_sync.workspace import Workspace

    wishes = Wishes(
        name=name, type=kind, groups=groups, targets=targets, versions=versions, file=_file(file),
        include=include, extract=extract, previews=previews, cover=cover, allow_pickle=allow_pickle,
        allow_code=allow_code,
    )  # fmt: skip
    if not references and not images:
        raise click.UsageError("Missing argument 'REF...'.")
    numbers = [image_number(text, "--from-image") for text in dict.fromkeys(images)]
    parsed = [Reference.parse_new(text) for text in dict.fromkeys(references)]
    with Workspace.find(
        console.directory, reporter=console.reporter(), trust=trust, ask=console.confirm
    ) as workspace:
        if numbers:
            parsed += _made_with(console, workspace, numbers)
        if not parsed:
            if console.as_json:
                console.document({"added": [], "warnings": []})
            console.say("nothing to add")
            return 0
        try:
            names, locked = workspace.add(parsed, wishes)
        except SynapseError as error:
            raise _in_options(error) from None
        step = next_step(workspace, names)
    if console.as_json:
        console.document({"added": added_value(names, locked), "warnings": list(locked.warnings)})
    tell_added(console, names, locked, step)
    return 0


def _made_with(console: Console, workspace: Workspace, numbers: Sequence[int]) -> list[Reference]:
    """Return the models that made some images, except those that the manifest has; print those that are unknown."""
    found = workspace.made_with(numbers)
    declared = {model.reference: model.name for model in workspace.manifest.models}
    for resource in found.unknown:
        name = cell_text(" ".join(word for word in (resource.kind, resource.name) if word))
        lack = "Civitai does not know its hash" if resource.hash else "only its name is known"
        lack = f"Civitai has no version {resource.version_id}" if resource.version_id else lack
        console.warn(
            f"the image was made with `{name or resource.hash or resource.version_id}`, too, but {lack}; not added"
        )
    for reference in found.references:
        if reference in declared:
            console.say(f"`{reference}` is in synapse.toml already, as `{declared[reference]}`")
    if not found.references and not found.unknown:
        console.warn("the image does not say which models made it")
    return [reference for reference in found.references if reference not in declared]


def _in_options(error: SynapseError) -> SynapseError:
    """Give an error the next step for this command line: no entry of the manifest was written yet.

    Returns the same error."""
    from synapse_sync.core.policy import ALLOW_CODE, ALLOW_PICKLE
    from synapse_sync.errors import AmbiguousFile, MissingType, RefusedFormat, Several

    for each in error.errors if isinstance(error, Several) else (error,):
        if isinstance(each, AmbiguousFile) and each.candidates:
            lines = "\n".join(each.candidates)
            each.hint = f"choose one with `--file ID`; in synapse.toml it is one of these:\n{lines}"
        elif isinstance(each, RefusedFormat) and each.permission == ALLOW_PICKLE:
            each.hint = "choose another (`--file format=safetensors`, `--include`), or add `--allow-pickle`"
        elif isinstance(each, RefusedFormat) and each.permission == ALLOW_CODE:
            each.hint = "choose another file, or add `--allow-code` if you trust its author"
        elif isinstance(each, MissingType) and each.archive:
            each.hint = 'place the files in it: `--extract "*.safetensors"`; or name its type: `--type lora`, vae …'
        elif isinstance(each, MissingType):
            each.hint = "name it: `--type lora`, checkpoint, vae, controlnet, upscaler …"
    return error


def added_value(names: Sequence[str], locked: Locked) -> list[dict[str, Any]]:
    """Return the added models for `--json`."""
    from synapse_sync.core.lock_facts import model_value

    return [model_value(model) for model in _added(names, locked)]


def next_step(workspace: Workspace, names: Sequence[str]) -> str:
    """Return the next step after an `add`: the files may be in the store or in their places already."""
    from synapse_sync.core.plan import Verb
    from synapse_sync.engine.scope import Scope

    it = "it" if len(names) == 1 else "them"
    plan = workspace.survey(Scope(only=tuple(names))).plan
    if plan.in_sync:
        return f"{'it is' if len(names) == 1 else 'they are'} in place already: nothing to download"
    return f"`synapse sync` {'downloads and places' if plan.of(Verb.FETCH) else 'places'} {it}"


def tell_added(console: Console, names: Sequence[str], locked: Locked, step: str) -> None:
    """Print the added models and the next step."""
    console.warnings(locked.warnings)
    if console.quiet:
        return
    for model in _added(names, locked):
        words = [model.card.title, model.card.version_name, model.card.type, model.card.base_model]
        said = cell_text(", ".join(word for word in words if word))
        console.answer(signed_line("+", "green", model.name, said))
        for artifact in model.artifacts:
            console.answer(f"      {artifact.filename}  {size_text(artifact.size)}  sha256 {artifact.sha256[:16]}…")
    console.say(step)


def _added(names: Sequence[str], locked: Locked) -> list[LockedModel]:
    return [model for model in locked.lockfile.models if model.model in names]


def _file(wishes: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Parse the values of `--file`: an id, a name pattern, or `key=value`; raises `BadParameter`."""
    found: list[tuple[str, str]] = []
    for wish in wishes:
        key, equals, value = wish.partition("=")
        if equals and key in _FILE_KEYS and value:
            found.append((key, value))
        elif wish.isdigit():
            found.append(("id", wish))
        elif equals:
            raise UnknownWord(key, suggestion(key, _FILE_KEYS) or "", option="--file")
        else:
            found.append(("name", wish))
    return tuple(found)
