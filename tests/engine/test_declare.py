from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.core.artifact import Candidate, ModelCard
from synapse_sync.core.digest import Digest
from synapse_sync.core.manifest.edit import add_models
from synapse_sync.core.manifest.read import parse_manifest
from synapse_sync.core.names import slug
from synapse_sync.core.reference import Reference
from synapse_sync.engine.declare import Wishes, propose
from synapse_sync.errors import InputError, NotFound, Several, StatusError, SynapseError
from synapse_sync.sources.base import Ask, Location, Resolved


class Titles:
    """A source that knows titles only."""

    def __init__(self, titles: dict[str, str | None]) -> None:
        self.titles = titles
        self.asked: list[int] = []

    def resolve(self, asks: list[Ask]) -> dict[str, Resolved | SynapseError]:
        self.asked.append(len(asks))
        return {ask.key: self._answer(ask) for ask in asks}

    def _answer(self, ask: Ask) -> Resolved | SynapseError:
        if ask.reference.id not in self.titles:
            return NotFound(f"{ask.reference} is not there")
        candidate = Candidate(filename="folder/The File.v2.safetensors", url=ask.reference)
        card = ModelCard(title=self.titles[ask.reference.id])
        return Resolved(key=ask.key, reference=ask.reference, card=card, candidates=(candidate,))

    def locate(self, reference: Reference) -> Location:
        raise AssertionError(reference)

    def identify(self, digests: list[Digest]) -> dict[Digest, Reference]:
        raise AssertionError(digests)

    def explain(self, reference: Reference, error: StatusError) -> SynapseError:
        raise AssertionError(reference)

    def needs_token(self, reference: Reference) -> str | None:
        return None


ONE, TWO, THREE = (Reference.parse(f"civitai:{number}") for number in (1, 2, 3))
SITE = {"1": "DreamShaper XL", "2": "DreamShaper XL", "3": None}


NO_WISHES = Wishes()


def names(references: list[Reference], wishes: Wishes = NO_WISHES, taken: tuple[str, ...] = ()) -> list[str]:
    return [name for name, _ in propose(references, wishes, taken, {"civitai": Titles(SITE)})]


def test_names_come_from_titles_and_are_unique() -> None:
    assert names([ONE, TWO]) == ["dreamshaper-xl", "dreamshaper-xl-2"]
    assert names([ONE], taken=("DreamShaper-XL", "dreamshaper-xl-2")) == ["dreamshaper-xl-3"]


def test_without_a_title_the_file_names_the_model() -> None:
    assert names([THREE]) == ["the-file-v2"]


def test_a_reference_given_twice_is_one_entry() -> None:
    assert names([ONE, ONE]) == ["dreamshaper-xl"]
    assert names([ONE, ONE], Wishes(name="mine")) == ["mine"]


def test_the_site_is_asked_once_for_all() -> None:
    source = Titles(SITE)
    propose([ONE, TWO, THREE], Wishes(), (), {"civitai": source})
    assert source.asked == [3]


def test_a_name_of_the_users_is_not_asked_for() -> None:
    source = Titles({})
    assert propose([ONE], Wishes(name="mine"), (), {"civitai": source}) == [("mine", "civitai:1")]
    assert source.asked == []


@pytest.mark.parametrize("name", ["a@b", "a/b", "a b", "..", "", "con", "a\tb", "x."])
def test_a_name_that_cannot_be_a_path_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        names([ONE], Wishes(name=name))


def test_a_name_that_is_taken_is_refused_also_in_capitals() -> None:
    with pytest.raises(InputError, match="already"):
        names([ONE], Wishes(name="Mine"), taken=("mine",))


def test_one_name_for_two_references_is_refused() -> None:
    with pytest.raises(InputError, match="one reference"):
        names([ONE, TWO], Wishes(name="mine"))


def test_all_that_is_not_there_is_told_at_once() -> None:
    with pytest.raises(Several) as caught:
        names([Reference.parse("civitai:8"), Reference.parse("civitai:9")])
    assert len(caught.value.errors) == 2 and caught.value.exit_code == 4


def test_wishes_are_written_and_nothing_else() -> None:
    wishes = Wishes(
        name="mine", type="lora", groups=("g",), versions=(5,), file=(("id", "7"), ("format", "gguf")),
        previews=False, allow_pickle=True,
    )  # fmt: skip
    ((_, value),) = propose([ONE], wishes, (), {})
    assert value == {
        "source": "civitai:1", "versions": [5], "type": "lora", "file": {"id": 7, "format": "gguf"},
        "groups": ["g"], "previews": False, "allow-pickle": True,
    }  # fmt: skip


@given(st.text())
def test_a_slug_is_always_a_name(title: str) -> None:
    made = slug(title)
    assert made and len(made) <= 54 and len(made.encode()) <= 156
    assert not made.startswith("-") and not made.endswith("-")
    assert not set(made) & set("@/ .'\"") and made.isprintable()
    (model,) = parse_manifest(add_models("", [(made, "civitai:1")])).models
    assert model.name == made
