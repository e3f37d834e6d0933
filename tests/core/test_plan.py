"""The plan: every state × right or wrong bytes × force and prune, and what must hold for any tree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.artifact import Artifact
from synapse_sync.core.link_mode import LinkMode
from synapse_sync.core.names import SafePath
from synapse_sync.core.plan import Action, Key, Observed, Placement, Plan, State, Verb, make_plan
from synapse_sync.core.reference import Reference

RIGHT, WRONG = "a" * 64, "b" * 64
KEY = ("comfy", "models/loras/x.safetensors")


def placement(sha256: str = RIGHT, key: Key = KEY, mode: str = "auto", size: int = 10) -> Placement:
    artifact = Artifact(filename="x.safetensors", size=size, sha256=sha256, url=Reference.parse("civitai:@1"))
    return Placement(target=key[0], path=SafePath(key[1]), model="x", artifact=artifact, link_mode=LinkMode(mode))


def plan_of(found: Observed, *, wanted: bool = True, stored: bool = True, **options: bool) -> Plan:
    return make_plan([placement()] if wanted else [], {KEY: found}, {RIGHT, WRONG} if stored else set(), **options)


WANTED = [
    # state, content, verb, verb with force
    (State.ABSENT, None, Verb.PLACE, Verb.PLACE),
    (State.MISSING, RIGHT, Verb.PLACE, Verb.PLACE),
    (State.MISSING, WRONG, Verb.PLACE, Verb.PLACE),
    (State.PLACED, RIGHT, None, None),
    (State.PLACED, WRONG, Verb.REPLACE, Verb.REPLACE),
    (State.ALTERED, RIGHT, Verb.ADOPT, Verb.ADOPT),
    (State.ALTERED, WRONG, Verb.CONFLICT, Verb.REPLACE),
    (State.ALTERED, None, Verb.CONFLICT, Verb.REPLACE),
    (State.FOREIGN, RIGHT, Verb.ADOPT, Verb.ADOPT),
    (State.FOREIGN, WRONG, Verb.CONFLICT, Verb.REPLACE),
    (State.FOREIGN, None, Verb.CONFLICT, Verb.REPLACE),
    (State.OBSTRUCTED, None, Verb.CONFLICT, Verb.CONFLICT),
    (State.OBSTRUCTED, RIGHT, Verb.CONFLICT, Verb.CONFLICT),
]


@pytest.mark.parametrize("prune", [True, False])
@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize(("state", "content", "gentle", "forced"), WANTED)
def test_a_wanted_path(
    state: State, content: str | None, gentle: Verb | None, forced: Verb | None, force: bool, prune: bool
) -> None:
    plan = plan_of(Observed(state=state, sha256=content), force=force, prune=prune)
    verb = forced if force else gentle
    assert [action.verb for action in plan.actions] == ([verb] if verb else [])
    assert plan.unchanged == (verb is None)
    assert plan.in_sync == (verb is None)
    for action in plan.actions:
        assert (action.target, action.path, action.model, action.sha256) == (*KEY, "x", RIGHT)


EXTRANEOUS = [
    # state, shared with another project, verb
    (State.ABSENT, False, None),
    (State.MISSING, False, Verb.FORGET),
    (State.MISSING, True, Verb.FORGET),
    (State.PLACED, False, Verb.PRUNE),
    (State.PLACED, True, Verb.FORGET),
    (State.ALTERED, False, Verb.KEEP),
    (State.ALTERED, True, Verb.KEEP),
    (State.FOREIGN, False, None),
    (State.OBSTRUCTED, False, None),
]


@pytest.mark.parametrize("force", [True, False])
@pytest.mark.parametrize("content", [RIGHT, WRONG])
@pytest.mark.parametrize(("state", "shared", "verb"), EXTRANEOUS)
def test_a_path_that_nobody_wants(state: State, shared: bool, verb: Verb | None, content: str, force: bool) -> None:
    found = Observed(state=state, sha256=content, size=3, model="old", shared=shared)
    plan = plan_of(found, wanted=False, force=force)
    assert [action.verb for action in plan.actions] == ([verb] if verb else [])
    for action in plan.actions:
        assert (action.target, action.path, action.model, action.sha256) == (*KEY, "old", content)
    assert plan_of(found, wanted=False, force=force, prune=False).in_sync


def test_the_table_covers_every_state() -> None:
    assert {row[0] for row in WANTED} == {row[0] for row in EXTRANEOUS} == set(State)


@pytest.mark.parametrize(
    ("mode", "how", "verbs"),
    [
        ("auto", "copy", []),
        ("auto", None, []),
        ("copy", "copy", []),
        ("symlink", "adopted", []),
        ("symlink", "copy", [Verb.REPLACE]),
        ("copy", None, [Verb.REPLACE]),
    ],
)
def test_another_link_mode_places_anew_except_what_was_adopted(
    mode: str, how: str | None, verbs: list[Verb]
) -> None:
    found = Observed(state=State.PLACED, sha256=RIGHT, how=how)
    plan = make_plan([placement(mode=mode)], {KEY: found}, {RIGHT})
    assert [action.verb for action in plan.actions] == verbs
    assert all(action.link_mode == mode for action in plan.actions)


def test_an_adopted_file_of_the_user_is_enough_and_is_neither_replaced_nor_pruned() -> None:
    right, wrong = (Observed(state=State.PLACED, sha256=sha, how="adopted", theirs=True) for sha in (RIGHT, WRONG))
    assert plan_of(right).in_sync
    (action,) = plan_of(wrong).actions
    assert (action.verb, action.movable, action.takable) == (Verb.CONFLICT, True, True)
    (moved,) = plan_of(wrong, force=True).actions
    assert (moved.verb, moved.reason) == (Verb.REPLACE, "it was there before synapse, and is yours; moved aside")
    (kept,) = plan_of(wrong, wanted=False).actions
    assert (kept.verb, kept.reason) == (Verb.KEEP, "it was there before synapse, and is yours")


def test_an_adoption_says_that_the_file_stays_the_users() -> None:
    (action,) = plan_of(Observed(state=State.FOREIGN, sha256=RIGHT, theirs=True)).actions
    assert (action.verb, action.reason) == (Verb.ADOPT, "the same bytes are there already; the file stays yours")


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (Observed(state=State.FOREIGN, sha256=WRONG), "not placed by synapse"),
        (Observed(state=State.ALTERED, sha256=WRONG), "changed since synapse placed it"),
        (Observed(state=State.OBSTRUCTED), "not a regular file"),
        (Observed(state=State.OBSTRUCTED, detail="a directory is in the way"), "a directory is in the way"),
    ],
)
def test_a_conflict_says_why(found: Observed, reason: str) -> None:
    assert plan_of(found).actions[0].reason == reason


def test_force_says_that_the_file_is_moved_aside() -> None:
    (action,) = plan_of(Observed(state=State.FOREIGN, sha256=WRONG), force=True).actions
    assert action.reason == "not placed by synapse; moved aside"


# -- supply ----------------------------------------------------------------------------------------


def test_what_the_store_lacks_is_fetched_once_before_it_is_placed_the_largest_first() -> None:
    wanted = [
        placement(sha, (target, f"{name}.safetensors"), size=size)
        for target in ("one", "two")
        for name, sha, size in (("small", "c" * 64, 1), ("large", "d" * 64, 9), ("there", "e" * 64, 99))
    ]
    plan = make_plan(wanted, {p.key: Observed(state=State.ABSENT) for p in wanted}, {"e" * 64})
    fetches = [(action.verb, action.sha256[0]) for action in plan.actions[:2]]
    assert fetches == [(Verb.FETCH, "d"), (Verb.FETCH, "c")]
    assert [action.verb for action in plan.actions[2:]] == [Verb.PLACE] * 6
    assert plan.fetch_bytes == 10
    assert all(action.artifact is not None for action in plan.actions)


def test_bytes_that_lie_elsewhere_are_salvaged_and_not_downloaded() -> None:
    other = ("forge", "models/Lora/x.safetensors")
    observed = {KEY: Observed(state=State.ABSENT), other: Observed(state=State.PLACED, sha256=RIGHT)}
    plan = make_plan([placement(), placement(key=other)], observed, set())
    assert [action.verb for action in plan.actions] == [Verb.SALVAGE, Verb.PLACE]
    assert plan.fetch_bytes == 0


def test_a_renamed_file_is_salvaged_placed_and_only_then_pruned() -> None:
    old = ("comfy", "models/loras/old.safetensors")
    observed = {KEY: Observed(state=State.ABSENT), old: Observed(state=State.PLACED, sha256=RIGHT)}
    plan = make_plan([placement()], observed, set())
    assert [action.verb for action in plan.actions] == [Verb.SALVAGE, Verb.PLACE, Verb.PRUNE]


@pytest.mark.parametrize(
    ("state", "verb"),
    [
        (State.PLACED, Verb.SALVAGE),
        (State.ALTERED, Verb.SALVAGE),  # somebody else's doing, but the bytes were looked at
        (State.FOREIGN, Verb.SALVAGE),
        (State.MISSING, Verb.FETCH),  # what we remember is not what is there
        (State.ABSENT, Verb.FETCH),
        (State.OBSTRUCTED, Verb.FETCH),
    ],
)
def test_only_bytes_that_are_there_are_salvaged(state: State, verb: Verb) -> None:
    other = ("forge", "y.safetensors")
    observed = {KEY: Observed(state=State.ABSENT), other: Observed(state=state, sha256=RIGHT)}
    assert make_plan([placement()], observed, set()).actions[0].verb is verb


def test_conflicts_and_adoptions_download_nothing() -> None:
    for content in (RIGHT, WRONG):
        plan = plan_of(Observed(state=State.FOREIGN, sha256=content), stored=False)
        assert not plan.of(Verb.FETCH, Verb.SALVAGE)


# -- for any tree ----------------------------------------------------------------------------------

KEYS = [(target, f"{folder}/{name}") for target in ("one", "two") for folder in ("a", "b") for name in ("x", "y")]
DIGESTS = [letter * 64 for letter in "cdef"]
sightings = st.builds(
    Observed,
    state=st.sampled_from(State),
    sha256=st.sampled_from(DIGESTS),
    how=st.sampled_from(["copy", "symlink", "adopted"]),
    shared=st.booleans(),
    theirs=st.booleans(),
)
wishes = st.lists(
    st.builds(
        placement,
        sha256=st.sampled_from(DIGESTS),
        key=st.sampled_from(KEYS),
        mode=st.sampled_from(["auto", "copy", "symlink"]),
    ),
    unique_by=lambda placement: placement.key,
)
trees = st.fixed_dictionaries(dict.fromkeys(KEYS, sightings))
ON_DISK = {State.PLACED, State.ALTERED, State.FOREIGN}
stores = st.sets(st.sampled_from(DIGESTS))


def carry_out(plan: Plan, tree: dict[Key, Observed], store: set[str]) -> dict[Key, Observed]:
    """The tree after the plan; fails if an action needs bytes that are not in the store by then."""
    after, store = dict(tree), set(store)
    for action in plan.actions:
        key = (action.target, action.path)
        match action.verb:
            case Verb.SALVAGE:
                assert any(o.state in ON_DISK and o.sha256 == action.sha256 for o in after.values())
                store.add(action.sha256)
            case Verb.FETCH:
                store.add(action.sha256)
            case Verb.PLACE | Verb.REPLACE:
                assert action.sha256 in store
                how = "copy" if action.link_mode == "auto" else action.link_mode
                after[key] = Observed(state=State.PLACED, sha256=action.sha256, how=how)
            case Verb.ADOPT:
                assert after[key].sha256 == action.sha256
                after[key] = Observed(state=State.PLACED, sha256=action.sha256, how="adopted")
            case Verb.PRUNE:
                assert after[key].state is State.PLACED
                after[key] = Observed(state=State.ABSENT)
            case Verb.FORGET | Verb.KEEP:
                after[key] = Observed(
                    state=State.FOREIGN if after[key].state is not State.MISSING else State.ABSENT
                )
            case Verb.CONFLICT:
                pass
    return after


@given(wishes, trees, stores, st.booleans(), st.booleans())
def test_after_the_plan_only_conflicts_are_left(
    wanted: list[Placement], tree: dict[Key, Observed], store: set[str], prune: bool, force: bool
) -> None:
    plan = make_plan(wanted, tree, store, prune=prune, force=force)
    after = carry_out(plan, tree, store)
    again = make_plan(wanted, after, {*store, *DIGESTS}, prune=prune, force=force)
    assert again.actions == plan.of(Verb.CONFLICT)
    assert again.unchanged == len(wanted) - len(again.actions)
    if not plan.of(Verb.CONFLICT):
        assert again.in_sync


@given(wishes, trees, stores, st.booleans(), st.booleans())
def test_nothing_that_is_not_ours_is_touched_and_every_conflict_is_told(
    wanted: list[Placement], tree: dict[Key, Observed], store: set[str], prune: bool, force: bool
) -> None:
    plan = make_plan(wanted, tree, store, prune=prune, force=force)
    keys = {p.key for p in wanted}
    for action in plan.of(Verb.PRUNE):
        found = tree[action.target, action.path]
        assert found.state is State.PLACED
        assert not found.shared and not found.theirs
        assert prune
        assert (action.target, action.path) not in keys
    for p in wanted:
        found = tree[p.key]
        wrong = found.sha256 != p.artifact.sha256
        ours = found.state not in (State.ALTERED, State.FOREIGN) and not (
            found.state is State.PLACED and found.theirs
        )
        blocked = found.state is State.OBSTRUCTED or (wrong and not ours)
        verbs = [action.verb for action in plan.actions if (action.target, action.path) == p.key]
        if blocked:
            moved = force and found.state is not State.OBSTRUCTED
            assert verbs == [Verb.REPLACE if moved else Verb.CONFLICT]
        else:
            assert Verb.CONFLICT not in verbs


@given(wishes, trees, stores)
def test_one_action_a_path_one_supply_a_blob_and_the_order_of_wishes_does_not_matter(
    wanted: list[Placement], tree: dict[Key, Observed], store: set[str]
) -> None:
    plan = make_plan(wanted, tree, store)
    supply = plan.of(Verb.FETCH, Verb.SALVAGE)
    rest: list[Action] = [action for action in plan.actions if action not in supply]
    assert plan.actions[: len(supply)] == supply
    assert len({(action.target, action.path) for action in rest}) == len(rest)
    assert len({action.sha256 for action in supply}) == len(supply)
    assert not {action.sha256 for action in supply} & store
    assert make_plan(wanted[::-1], dict(reversed(tree.items())), store) == plan
