"""Words about a plan: why files leave a former root, come to a new one, or stay although they seem unwanted."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from synapse_sync.core.manifest.values import Target
from synapse_sync.core.plan import Plan, Verb
from synapse_sync.store.ownership import Tree


def with_moved(plan: Plan, trees: Mapping[str, Tree]) -> Plan:
    """The plan with the reason why files leave the former root of a target that has another one now."""
    moved = {
        name
        for name, tree in trees.items()
        if (target := name.removesuffix(f" in {tree.target.root}")) != name and target in trees
    }
    if not moved:
        return plan
    actions = tuple(
        replace(action, reason="the root of its target moved")
        if action.verb is Verb.PRUNE and action.target in moved
        else action
        for action in plan.actions
    )
    return replace(plan, actions=actions)


def moved_roots(plan: Plan, trees: Mapping[str, Tree]) -> list[str]:
    """A line for each root without files of synapse so far that gets those of another one: a slip in `root`?"""
    coming: dict[str, set[str]] = {}
    for action in plan.of(Verb.PLACE):
        if not trees[action.target].receipt.entries:
            coming.setdefault(action.target, set()).add(action.sha256)
    found = []
    for name, files in sorted(coming.items()):
        left = {str(trees[action.target].root) for action in plan.of(Verb.PRUNE) if action.sha256 in files}
        if left := left - {str(trees[name].root)}:
            there = f"{trees[name].root} is a new root"
            found.append(f"target `{name}`: {there}; files move there from {', '.join(sorted(left))}")
    return found


def shared_roots(trees: Mapping[str, Tree], targets: Collection[Target]) -> Iterator[str]:
    """A line for each root that several targets of one layout have: both want each file at the same path."""
    found: dict[tuple[str, str], list[str]] = {}
    for target in targets:
        if target.name in trees:
            real = os.path.realpath(trees[target.name].root)
            found.setdefault((real, target.layout), []).append(target.name)
    for names in found.values():
        if len(names) > 1:
            listed = " and ".join(f"`{name}`" for name in names)
            root = trees[names[0]].target.root
            yield f"targets {listed} have the same root, {root}: give each its own `root`, or remove one"


def withheld_warning(count: int, *, empty: bool) -> list[str]:
    """Why files that seem unwanted stay; nothing if there are none."""
    if not count:
        return []
    if empty:
        return [
            "synapse.toml declares no model: nothing is pruned because of that. If you mean it, keep "
            "`[models]` in it, and run `synapse lock`, then `synapse sync --yes`"
        ]
    files = "1 file is" if count == 1 else f"{count} files are"
    return [f"{files} kept until all models are locked; `synapse sync` locks them first, and then decides"]
