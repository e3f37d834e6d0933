"""An edited sidecar is found by its model and its weights, as if each file were compared with each other one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.artifact import stem_of
from synapse_sync.core.edited_sidecars import EditedSidecars

Key = tuple[str, str]
keys = st.tuples(
    st.sampled_from(["one", "two"]),
    st.sampled_from(["a.bin", "a.json", "a.info.json", "b.bin", "b.json", "c/a.json", "a"]),
)


def slowly(unwanted: list[Key], edited: dict[Key, str | None], target: str, model: str, suffix: str) -> str | None:
    for (there, path), owner in edited.items():
        if there == target and owner == model and path.endswith(suffix):
            weights = path.removesuffix(suffix)
            if any(key[0] == target and stem_of(key[1]) == weights for key in unwanted if key[1] != path):
                return path
    return None


@given(
    st.lists(keys, unique=True),
    st.dictionaries(keys, st.sampled_from(["m", "n", None])),
    st.sampled_from([".json", ".info.json", ""]),
)
def test_it_is_the_one_that_every_comparison_finds(
    unwanted: list[Key], edited: dict[Key, str | None], suffix: str
) -> None:
    unwanted = list(dict.fromkeys([*unwanted, *edited]))
    for target in ("one", "two"):
        for model in ("m", "n"):
            found = EditedSidecars(unwanted, edited).of(target, model, suffix)
            assert found == slowly(unwanted, edited, target, model, suffix)
