"""Which previews and sidecars are wanted beside the weights, and under which names."""

from __future__ import annotations

from dataclasses import replace

import pytest

from synapse_sync.core.artifact import Artifact, ModelCard, Preview
from synapse_sync.core.companion import Companion, made_from, previewed
from synapse_sync.core.lockfile import LockedModel
from synapse_sync.core.manifest.values import Requirement, Target, WorkspaceOptions
from synapse_sync.core.names import SafePath
from synapse_sync.core.reference import Reference
from synapse_sync.layouts.arrange import arrange
from synapse_sync.layouts.companions import Accompaniment, arrange_companions
from synapse_sync.sources.register import preview_url as site_url

STILL = Preview(url=Reference.parse("https://images.example/1.png"), nsfw=1)
FILM = Preview(url=Reference.parse("https://images.example/2.mp4"), type="video", nsfw=1)
#: A film on a host that makes no stills.
PLAIN_FILM = Preview(url=Reference.parse("https://elsewhere.example/3.webm"), type="video", nsfw=1)


def preview_url(url: str, *, film: bool = False) -> str:
    """An image host that has a still of each film."""
    return url if film or "elsewhere" in url else url.replace(".mp4", ".jpeg")


def locked(filename: str, *previews: Preview, kind: str = "lora", role: str = "model") -> LockedModel:
    url = Reference.parse("civitai:@2+3")
    file = Artifact(filename=filename, size=1, sha256="a" * 64, url=url, format="safetensors", role=role)
    return LockedModel(
        name="m",
        requirement="civitai:1",
        reference=Reference.parse("civitai:1@2"),
        card=ModelCard(type=kind, nsfw=1, previews=previews),
        artifacts=(file,),
    )


def accompany(
    model: LockedModel,
    *,
    sidecars: bool | tuple[str, ...] = False,
    own: SafePath | None = None,
    layout: str = "comfyui",
    **words: object,
) -> Accompaniment:
    """The companions of one model that wants one preview, unless `words` say otherwise."""
    wish = {"previews": 1, **words}
    entry = Requirement(name="m", reference=Reference.parse("civitai:1"), **wish)  # type: ignore[arg-type]
    target = Target(name="ui", layout=layout)
    placements = arrange([entry], {"m": model}, [target]).placements
    return arrange_companions(
        [entry],
        {"m": model},
        placements,
        [target],
        WorkspaceOptions(sidecars=sidecars),
        preview_url=preview_url,
        own_preview=lambda placement: own,
    )


def names(found: Accompaniment) -> list[str]:
    return [companion.path.name for companion in found.companions]


def test_a_film_has_a_still_beside_it_and_the_reader_of_films_is_pointed_to_the_film() -> None:
    found = accompany(locked("m.safetensors", FILM), sidecars=("lora-manager",))
    assert names(found) == ["m.preview.mp4", "m.preview.jpeg", "m.metadata.json"]
    assert [companion.film for companion in found.companions] == [True, False, False]
    sidecar = found.companions[-1]
    assert sidecar.preview is not None and sidecar.preview.name == "m.preview.mp4"
    assert sidecar.shown == FILM


def test_where_nobody_plays_films_there_is_the_still_alone() -> None:
    assert names(accompany(locked("m.safetensors", FILM))) == ["m.preview.jpeg"]


def test_further_films_have_their_stills_too() -> None:
    found = accompany(locked("m.safetensors", STILL, FILM), sidecars=("lora-manager",), previews=2)
    assert names(found)[:3] == ["m.preview.png", "m.preview-2.mp4", "m.preview-2.jpeg"]


def test_a_film_without_any_still_is_reported_where_nobody_plays_it() -> None:
    model = locked("m.safetensors", PLAIN_FILM)
    assert names(accompany(model, sidecars=("lora-manager",))) == ["m.preview.webm", "m.metadata.json"]
    found = accompany(model)
    assert names(found) == [] and "film" in found.notes[0]


def test_a_cover_of_the_users_may_be_a_film() -> None:
    cover = Reference.verbatim("https://elsewhere.example/mine.mp4")
    found = accompany(locked("m.safetensors", STILL), cover=cover, sidecars=("lora-manager",))
    assert names(found) == ["m.preview.mp4", "m.metadata.json"]
    assert found.companions[0].film


@pytest.mark.parametrize("filename", ["x" * 168 + ".safetensors", "長" * 56 + ".safetensors"])
def test_companions_that_do_not_fit_are_reported_once(filename: str) -> None:
    """A lockfile of an earlier synapse, or of another site, may have such a name."""
    still = replace(STILL, url=Reference.parse("https://images.example/1.jpeg"))
    found = accompany(locked(filename, still), sidecars=("lora-manager", "civitai-info"))
    assert names(found) == []
    (note,) = found.notes
    assert "too long" in note and "`filename = " in note


def test_a_cover_that_is_not_downloaded_is_reported() -> None:
    found = accompany(locked("m.safetensors"), cover=Reference.verbatim("./mine.png"))
    assert names(found) == [] and "`./mine.png`" in found.notes[0]


def test_an_ending_that_its_ui_does_not_show_is_reported() -> None:
    cover = Reference.verbatim("https://elsewhere.example/mine.webp")
    (note,) = accompany(locked("m.safetensors"), cover=cover, layout="swarmui").notes
    assert "SwarmUI" in note and "`.webp`" in note
    assert accompany(locked("m.safetensors"), cover=cover, layout="comfyui").notes == ()


def test_a_sidecar_that_its_ui_would_take_for_a_model_is_not_placed() -> None:
    """SD.Next lists every `.json` below its folder of VAEs."""
    found = accompany(locked("m.safetensors", STILL, kind="vae"), sidecars=("stability-matrix",), layout="sdnext")
    assert names(found) == ["m.preview.png"] and "`.cm-info.json`" in found.notes[0]
    for kind, layout in (("lora", "sdnext"), ("vae", "a1111")):
        model = locked("m.safetensors", STILL, kind=kind)
        assert "m.cm-info.json" in names(accompany(model, sidecars=("stability-matrix",), layout=layout))


def test_a_model_that_asks_by_itself_and_has_several_files_is_reported() -> None:
    """Not one that only follows the workspace: a repository is no mistake."""
    model = locked("m.safetensors", STILL)
    second = replace(model.artifacts[0], filename="n.safetensors", sha256="b" * 64)
    several = replace(model, artifacts=(*model.artifacts, second))
    assert accompany(several, sidecars=True).notes == ()
    found = accompany(several, cover=STILL.url)
    assert names(found) == [] and "several" in found.notes[0]


def test_two_models_with_one_stem_share_no_companions() -> None:
    one, two = locked("m.safetensors", STILL), replace(locked("m.ckpt", replace(STILL, nsfw=2)), name="n")
    two = replace(two, artifacts=(replace(two.artifacts[0], sha256="b" * 64),))
    reference = Reference.parse("civitai:1")
    entries = [Requirement(name=name, reference=reference, previews=1, sidecars=("a1111",)) for name in "mn"]
    target = Target(name="ui", layout="comfyui")
    both = {"m": one, "n": two}
    placements = arrange(entries, both, [target]).placements
    found = arrange_companions(entries, both, placements, [target], WorkspaceOptions(), preview_url=preview_url)
    assert names(found) == ["m.preview.png", "m.json"]
    (note,) = found.notes
    assert "`n`" in note and "m.json" in note  # the image is the same, the words are not


def test_a_users_own_preview_is_what_sidecars_name() -> None:
    mine = SafePath("models/loras/m.webp")
    found = accompany(locked("m.safetensors", STILL, FILM), own=mine, sidecars=("lora-manager",), previews=2)
    assert names(found) == ["m.preview-2.mp4", "m.preview-2.jpeg", "m.metadata.json"]
    assert found.companions[-1].preview == mine
    assert found.companions[-1].shown is None


@pytest.mark.parametrize(
    ("filename", "rank"),
    [
        ("m.png", 0), ("m.preview.png", 1), ("m.jpg", 2), ("m.preview.jpeg", 5), ("m.preview.gif", 9),
        ("m.mp4", 10), ("m.avif", 14), ("M.PNG", 0), ("m.txt", None), ("m2.png", None), ("m.preview-2.png", None),
        ("m.safetensors", None), ("m.info.png", None), (".png", None), ("m", None),
    ],
)  # fmt: skip
def test_which_files_a_ui_shows_for_some_weights(filename: str, rank: int | None) -> None:
    assert dict(previewed(filename)).get("m") == rank


def test_a_preview_may_be_that_of_weights_that_are_named_like_one() -> None:
    assert dict(previewed("m.preview.png")) == {"m": 1, "m.preview": 0}


def test_a_name_with_dots_keeps_them() -> None:
    """Only a known ending is one: `Model_v3.2` and `Model_v3.1` must not share a sidecar."""
    model = locked("Model_v3.2.safetensors", STILL)
    assert names(accompany(model, sidecars=("a1111",), layout="a1111")) == [
        "Model_v3.2.preview.png",
        "Model_v3.2.json",
    ]
    bare = replace(model, artifacts=(replace(model.artifacts[0], filename="Model_v3.2", format="other"),))
    assert names(accompany(bare, sidecars=("a1111",), layout="a1111")) == [
        "Model_v3.2.preview.png",
        "Model_v3.2.json",
    ]


def test_a_file_of_its_own_kind_has_the_sidecar_of_that_kind() -> None:
    found = accompany(
        locked("m.safetensors", kind="checkpoint", role="diffusion_model"), sidecars=("lora-manager",)
    )
    assert [companion.type for companion in found.companions] == ["diffusion_model"]


CIVITAI = "https://image.civitai.com/key/42b875cf-c62b-41fa-a349-383b7f074351"


def on_civitai(model: LockedModel, **words: object) -> list[Companion]:
    """The companions of a model whose previews are on Civitai's image host."""
    entry = Requirement(name="m", reference=Reference.parse("civitai:1"), previews=1, **words)  # type: ignore[arg-type]
    target = Target(name="ui")
    placements = arrange([entry], {"m": model}, [target]).placements
    options = WorkspaceOptions(sidecars=("lora-manager",))
    found = arrange_companions([entry], {"m": model}, placements, [target], options, preview_url=site_url)
    return [companion for companion in found.companions if companion.kind == "preview"]


def test_previews_have_the_size_that_the_manifest_says() -> None:
    film = Preview(url=Reference.parse(f"{CIVITAI}/original=true/7.jpeg"), type="video", nsfw=1)
    model = locked("m.safetensors", film)
    plain = on_civitai(model)
    assert [companion.url for companion in plain] == [
        f"{CIVITAI}/anim=true,transcode=true,width=450/7.mp4",
        f"{CIVITAI}/anim=false,transcode=true,width=450/7.jpeg",
    ]
    sized = on_civitai(model, preview_width=320, preview_quality=80)
    assert [companion.url for companion in sized] == [
        f"{CIVITAI}/anim=true,transcode=true,width=320,quality=80/7.mp4",
        f"{CIVITAI}/anim=false,transcode=true,width=320,quality=80/7.jpeg",
    ]
    assert {each.made for each in plain}.isdisjoint(each.made for each in sized), "another size is another preview"


def test_a_film_that_an_earlier_version_placed_stays() -> None:
    """Films were asked for without `anim=true`, and the receipt has the digest of that address."""
    film = Preview(url=Reference.parse(f"{CIVITAI}/original=true/7.jpeg"), type="video", nsfw=1)
    first, second = on_civitai(locked("m.safetensors", film))
    assert first.made == made_from("preview", f"{CIVITAI}/transcode=true,width=450/7.mp4")
    assert second.made == made_from("preview", f"{CIVITAI}/anim=false,transcode=true,width=450/7.jpeg")
