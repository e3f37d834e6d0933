"""`synapse import`: declare existing files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synapse_sync.cli.complete import group_names, target_names, type_names
from synapse_sync.cli.console import Console
from synapse_sync.cli.import_lists import are_lists, import_lists
from synapse_sync.cli.options import common, spread, switch, trusting
from synapse_sync.cli.render import signed_line
from synapse_sync.cli.texts import cell_text, shown_paths
from synapse_sync.core.size_text import count_text, size_text

if TYPE_CHECKING:
    from synapse_sync.core.shard import Shard
    from synapse_sync.engine.adopt import Adoption, Ways
    from synapse_sync.engine.import_entries import Adopted

#: How many files that stay unmanaged are listed, and how many groups of copies.
_SHOWN = 20


@click.command("import")
@click.argument("names", nargs=-1, metavar="[DIR|FILE|URL]...", type=click.Path())
@click.option("--in-place", is_flag=True, help="Leave the files as they are (default).")
@click.option("--copy", is_flag=True, help="Copy the bytes into the store as well.")
@click.option("--move", is_flag=True, help="Move the bytes into the store, and link them back.")
@click.option("--dedupe", is_flag=True, help="Keep one copy of files that are there twice, and link the others.")
@click.option("--only-known", is_flag=True, help="Leave out files that no site knows.")
@switch("--offline", envvar="SYNAPSE_OFFLINE", help="Ask no site; --identify does so later.")
@click.option("--identify", is_flag=True, help="Ask the sites for the local files that are declared already.")
@click.option("--yes", is_flag=True, help="With --move: do not ask before bytes go to another volume.")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would be declared; write nothing.")
@click.option("--check", is_flag=True, help="Of a list: show which models are missing here; exit code 8.")
@click.option(
    "--group",
    "groups",
    multiple=True,
    metavar="G",
    shell_complete=group_names,
    help="Of a list: put its models into this group (repeatable).",
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="T",
    shell_complete=target_names,
    help="Of a list: only for this target (repeatable).",
)
@click.option(
    "--type",
    "kind",
    metavar="TYPE",
    shell_complete=type_names,
    help="Of a list: the type of models for which it has none.",
)
@click.option("--allow-pickle", is_flag=True, help="Of a list: accept formats that can run code when loaded.")
@spread("Hash")
@trusting
@common
@click.pass_obj
def command(
    console: Console,
    names: tuple[str, ...],
    in_place: bool,
    copy: bool,
    move: bool,
    dedupe: bool,
    only_known: bool,
    offline: bool,
    identify: bool,
    yes: bool,
    dry_run: bool,
    check: bool,
    groups: tuple[str, ...],
    targets: tuple[str, ...],
    kind: str | None,
    allow_pickle: bool,
    shard: Shard,
    dask: str | None,
    trust: bool,
) -> int:
    """Declare the models that are here already, where they are, or those that another program's file lists.

    DIR is the directory of a UI, a folder in it, a single file of weights, or any directory. Nothing is downloaded.
    Each file is hashed once; an import that was interrupted goes on where it stopped.

    synapse manages the files from then on: after `synapse remove NAME`, a sync removes the file of that model. Its
    bytes stay in the store.

    FILE and URL are lists, known by their content: a workflow of ComfyUI, an image with a workflow or with
    settings of A1111, the page of an image on Civitai, a list of ComfyUI-Manager, a file of comfyfetch, comfy-cli
    or kulai, a sidecar, an input of aria2, a list of addresses. Their models are declared and locked; names and
    folders stay. A model without a location is listed, and so is one that its site does not have or a rule refuses.
    The others are imported all the same; the exit code is then that of the refusal (4: not found).
    """
    from synapse_sync.engine.adopt import Ways
    from synapse_sync.engine.list_entries import ListWishes

    of_trees = {"in-place": in_place, "copy": copy, "move": move, "dedupe": dedupe, "only-known": only_known,
                "identify": identify, "yes": yes, "dask": dask, "shard": shard.count > 1}  # fmt: skip
    of_lists = {"check": check, "group": groups, "target": targets, "type": kind, "allow-pickle": allow_pickle}
    if are_lists(console.directory, names):
        _refuse(of_trees, "is about a directory, not about a list")
        wishes = ListWishes(type=kind, groups=groups, targets=targets, allow_pickle=allow_pickle, dry_run=dry_run)
        return import_lists(console, names, wishes, check=check, offline=offline, trust=trust)
    _refuse(of_lists, "is about a list: a workflow, an image, or another file that names models")
    if sum((in_place, copy, move)) > 1:
        raise click.UsageError("--in-place, --copy and --move exclude one another")
    paths = tuple(map(Path, names))
    if identify:
        return _identify(console, paths)
    if shard.count > 1:
        return _hash_part(console, paths, shard, dask)
    ways = Ways(
        copy=copy, move=move, dedupe=dedupe, only_known=only_known,
        dry_run=dry_run, ask_sites=not offline, across=yes,
    )  # fmt: skip
    return _import_trees(console, paths, ways, trust=trust, dask=dask)


def _import_trees(console: Console, paths: Sequence[Path], ways: Ways, *, trust: bool, dask: str | None) -> int:
    """Import directories, and print what became of their files."""
    if not paths:
        raise click.UsageError("name a directory: the UI's own, a folder in it, or any other one")
    found = take_in(console, [console.directory / path for path in paths], ways, trust=trust, dask=dask)
    if console.as_json:
        console.document(adopted_value(found, dry_run=ways.dry_run))
    show_adopted(console, found, ways=ways)
    return 0


def _refuse(options: Mapping[str, object], why: str) -> None:
    """Raise `UsageError` for the first of these options that was used."""
    used = next((name for name, value in options.items() if value), None)
    if used is not None:
        raise click.UsageError(f"--{used} {why}")


def _identify(console: Console, paths: tuple[Path, ...]) -> int:
    """Ask the sites for all declared local files, and print what became of them."""
    from synapse_sync.workspace import Workspace

    if paths:
        raise click.UsageError("--identify is about declared files: name no directory")
    with Workspace.find(console.directory, reporter=console.reporter()) as workspace:
        found = workspace.identify()
    if console.as_json:
        origins = {name: reference.text for name, reference in found.origins.items()}
        console.document({"identified": origins, "warnings": list(found.warnings)})
    console.warnings(found.warnings)
    if not console.quiet:
        sign = click.style("~", fg="green")
        console.answers(f"  {sign} {name}  {reference.text}" for name, reference in found.origins.items())
    console.say(f"identified {len(found.origins)} model{'' if len(found.origins) == 1 else 's'}")
    return 0


def take_in(
    console: Console, paths: Sequence[Path], ways: Ways, *, trust: bool, dask: str | None = None
) -> Adoption:
    """Import some directories into the project of the console's directory; without one, it becomes one."""
    from synapse_sync.workspace import Workspace

    with Workspace.find(
        console.directory,
        reporter=console.reporter(),
        offline=not ways.ask_sites,
        trust=trust,
        ask=console.confirm,
        new=True,
    ) as workspace:
        if dask is not None:
            ways = replace(ways, part=workspace.part(dask=dask))
        return workspace.adopt(paths, ways, console.confirm)


def _hash_part(console: Console, paths: Sequence[Path], shard: Shard, dask: str | None) -> int:
    """Hash one part of the files of directories, for an import when all parts are done."""
    from synapse_sync.workspace import Workspace

    if not paths:
        raise click.UsageError("name a directory: the UI's own, a folder in it, or any other one")
    with Workspace.find(console.directory, reporter=console.reporter(), new=True) as workspace:
        found = workspace.hash_part([console.directory / path for path in paths], shard, dask)
    if console.as_json:
        console.document({"part": str(shard), "files": found.files, "bytes": found.size})
    console.say(f"part {shard}: {count_text(found.files, 'file')}, {size_text(found.size)} hashed")
    console.say(
        "when all parts are done, `synapse import` without `--shard` declares the files, and hashes none anew"
    )
    return 0


def adopted_value(found: Adoption, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "targets": [target.name for target in found.targets],
        "models": [
            {
                "name": each.name,
                "target": each.file.target,
                "path": each.file.path.text,
                "size": each.file.size,
                "sha256": each.file.sha256,
                "type": each.type,
                "reference": None if each.origin is None else each.origin.text,
                "title": each.title,
            }
            for each in found.adopted
        ],
        "left": [{"path": str(left.place), "reason": left.why} for left in found.left],
        "known": found.known,
        "duplicates": [[str(file.place) for file in group] for group in found.duplicates],
        "spare_bytes": found.spare,
        "warnings": list(found.warnings),
    }


def show_adopted(console: Console, found: Adoption, *, ways: Ways) -> None:
    """Print the models, the files that stay unmanaged, the copies, and one line that sums it up."""
    console.warnings(found.warnings)
    if console.quiet:
        return
    console.answers(line for each in found.adopted for line in _adopted_lines(each))
    for left in found.left[:_SHOWN]:
        console.answer(signed_line("-", "yellow", f"{cell_text(str(left.place))}:", left.why, gap=" "))
    if len(found.left) > _SHOWN:
        console.answer(
            f"  … and {len(found.left) - _SHOWN} more files that stay unmanaged; `--json` lists them all"
        )
    _tell_copies(console, found, ways=ways)
    _tell_written(console, found)
    console.say(_summary(found, dry_run=ways.dry_run))
    if found.adopted and not ways.dry_run:
        console.say(
            "synapse manages these files from now on: after `synapse remove NAME`, a sync removes that model's "
            "file; its bytes stay in the store"
        )
        console.say("next: `synapse status`; `synapse outdated` lists newer versions")


def _adopted_lines(each: Adopted) -> Iterator[str]:
    """Return the lines of one declared model."""
    origin = "this file only" if each.origin is None else each.origin.text
    words = [each.type or "?", size_text(each.file.size), origin, each.title if each.origin else None]
    yield signed_line("+", "green", each.name, cell_text(each.file.path.text))
    yield f"      {cell_text(', '.join(word for word in words if word))}"


def _tell_written(console: Console, found: Adoption) -> None:
    """Print the new targets, the consents that are kept, and the manifest, where that is not in this directory."""
    for target in found.targets:
        verb = "new target" if found.manifest is None else "added target"
        console.say(f"{verb} `{target.name}`: layout {target.layout}, root {cell_text(target.root)}")
    if found.consents:
        more = f", and {len(found.consents) - 1} more" if len(found.consents) > 1 else ""
        console.say(f"your consent is kept: {cell_text(str(found.consents[0]))}{more}")
    if found.manifest is not None:
        here = found.manifest.parent.samefile(console.directory)
        console.say(f"wrote {found.manifest.name if here else cell_text(str(found.manifest))} and synapse.lock")


def _tell_copies(console: Console, found: Adoption, *, ways: Ways) -> None:
    for group in found.duplicates[:_SHOWN]:
        copies = found.copies_of(group)
        words = f"{copies} times" if copies != 1 else "once"
        names = f", under {len(group)} names" if copies != len(group) else ""
        console.answer(f"  = {size_text(group[0].size)} {words}{names}:")
        for file in group:
            console.answer(f"      {cell_text(str(file.place))}")
    if found.spare and not (ways.dedupe or ways.move):
        here, size = console.directory, size_text(found.spare)
        paths = [str(path.relative_to(here) if path.is_relative_to(here) else path) for path in found.given]
        console.say(f"`synapse import --dedupe {shown_paths(paths)}` keeps one copy of each, and frees {size}")


def _summary(found: Adoption, *, dry_run: bool) -> str:
    """One line: how many files, from where, and how many stay unmanaged."""
    origins = Counter(found.asked.value if each.origin is None else each.origin.source for each in found.adopted)
    size = sum(each.file.size for each in found.adopted)
    where = ", ".join(f"{number} {_WHERE.get(name, f'from {name}')}" for name, number in origins.most_common())
    verb = "would import" if dry_run else "imported"
    files = "1 file" if len(found.adopted) == 1 else f"{len(found.adopted)} files"
    parts = [f"{verb} {files}" + (f", {size_text(size)} ({where})" if where else "")]
    if found.brought:
        parts.append(f"{found.brought} brought into the store")
    if found.known:
        parts.append(f"{found.known} managed already")
    if found.left:
        parts.append(f"{len(found.left)} left as {'it is' if len(found.left) == 1 else 'they are'}")
    return "; ".join(parts)


_WHERE = {
    "civitai": "from Civitai",
    "huggingface": "from Hugging Face",
    # `Asked`, for files without an origin:
    "all": "known to no site",
    "some": "known to no site that was asked",
    "none": "not asked for at any site",
}
