"""Costs are in proportion to a project, counted in the steps of Python's bytecode: no load changes them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from world import Project

import synapse_sync
from synapse_sync.cli.texts import left_text

PACKAGE = Path(synapse_sync.__file__).parent
#: Where models are compared with each other. The other files read or write each model for itself.
WATCHED = tuple(
    str(PACKAGE / name) for name in ("cli", "engine", "layouts", "store", "core/freshness", "core/plan")
)
#: The project grows by 12 models and then by 24, which takes twice as many steps if they are in proportion.
SIZES = (12, 24, 48)
#: A look at every model for each model takes 3,456 steps too many, or a multiple of that. The number of directories
#: does not grow evenly either, which takes this much.
ALLOWED = 2_400
HEAD = '[targets.one]\nroot = "one"\n[targets.two]\nroot = "two"\nlayout = "forge"\n\n[models]\n'


def fill(project: Project, count: int) -> None:
    """A project with local files, locked and placed in two targets."""
    files = project.path / "files"
    files.mkdir(exist_ok=True)
    for number in range(count):
        header = json.dumps({"__metadata__": {"n": str(number)}}).encode().ljust(64)
        (files / f"weights-{number}.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    project.manifest(HEAD + "".join(line(number) for number in range(count)))
    project("sync", "--trust")


def line(number: int, name: str = "model") -> str:
    return f'{name}-{number:05} = {{ source = "./files/weights-{number}.safetensors", type = "lora" }}\n'


def steps(do: Callable[[], object]) -> int:
    """The number of instructions of the watched files that a call runs in this thread."""
    count = 0

    def watch(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        if not frame.f_code.co_filename.startswith(WATCHED):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return watch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        do()
    finally:
        sys.settrace(before)
    return count


#: In this order: the later ones change the project.
COMMANDS = {
    "list": ("list",),
    "list as JSON": ("list", "--json"),
    "show": ("show", "model-00003"),
    "lock --check": ("lock", "--check"),
    "lock": ("lock",),
    "status of one target": ("status", "--target", "two"),
    "outdated": ("outdated",),
    "verify": ("verify", "--store"),
    "store gc": ("store", "gc", "--dry-run"),
    "add": ("add", "./files/weights-1.safetensors", "--name", "new", "--type", "vae"),
    "remove": ("remove", "new"),
}


def measured(project: Project, count: int) -> dict[str, int]:
    """The steps of every command in a project with that many models."""
    fill(project, count)
    found = {name: steps(partial(project, *words)) for name, words in COMMANDS.items()}
    project.manifest(HEAD + "".join(line(number, "renamed") for number in reversed(range(count))))
    found["lock of renamed models"] = steps(partial(project, "lock", "--trust"))
    project.manifest(HEAD + "".join(line(number, "renamed") for number in range(count // 2)))
    found["sync that removes half"] = steps(partial(project, "sync", "--yes"))
    return found


def excess(costs: Sequence[int]) -> int:
    """The steps that the second growth took beyond twice those of the first one, except a fiftieth of all."""
    return (costs[2] - costs[1]) - 2 * (costs[1] - costs[0]) - costs[2] // 50


def test_steps_are_in_proportion_to_the_project(project: Project) -> None:
    measured(project, 4)  # the first time, some things are made that stay
    found = [measured(project, size) for size in SIZES]
    costs = {name: [each[name] for each in found] for name in found[0]}
    assert {name: each for name, each in costs.items() if excess(each) > ALLOWED} == {}


def test_a_look_at_all_models_for_each_model_is_noticed() -> None:
    def look(size: int) -> None:
        for _ in range(size * size):
            left_text(90)

    assert excess([steps(partial(look, size)) for size in SIZES]) > ALLOWED
