"""Civitai's images: addresses of stills and films, and which image is which."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse_sync.sources.civitai.image_urls import TRANSFORMS, ImageUrl, address, identity, numbered
from synapse_sync.sources.civitai.schema import ModelImage
from synapse_sync.sources.civitai.schema_lists import Image

KEY = "https://image.civitai.com/xG1nkqKTMzGDvpLrqFT7WA"
ONE, TWO = "42b875cf-c62b-41fa-a349-383b7f074351", "f3a1aa7c-0159-4dd8-884a-1e7ceb350f96"


@pytest.mark.parametrize(
    ("url", "still", "film"),
    [
        ("original=true/56547310.jpeg", "56547310.jpeg", "56547310.mp4"),
        ("width=450/00042-3.jpeg", "00042-3.jpeg", "00042-3.mp4"),
        ("width=1024,quality=90/clip.mp4", "clip.jpeg", "clip.mp4"),
        ("transcode=true,width=450,optimized=true/clip.webm", "clip.jpeg", "clip.mp4"),
        ("anim=false,transcode=true,width=450/x.jpeg", "x.jpeg", "x.mp4"),
        ("noending", "noending.jpeg", "noending.mp4"),
        ("original=true/a.b.c.png?token=1#part", "a.b.c.jpeg", "a.b.c.mp4"),
    ],
)
def test_f39_the_parameters_are_replaced(url: str, still: str, film: str) -> None:
    """F39: image.civitai.com/<key>/<uuid>/<k=v,…>/<name>.<ext>; the caller's `type` decides, not the ending."""
    whole = f"{KEY}/{ONE}/{url}"
    assert address(whole) == f"{KEY}/{ONE}/anim=false,transcode=true,width=450/{still}"
    assert address(whole, film=True) == f"{KEY}/{ONE}/anim=true,transcode=true,width=450/{film}"


@pytest.mark.parametrize(
    "url",
    ["https://e.com/x.png", "https://e.com/a=b/x.png", f"https://e.com/{ONE}", "https://e.com/", "not a url",
     f"https://e.com/{ONE}/folder/x.png", f"https://e.com/{ONE}x/x.png"],
)  # fmt: skip
def test_other_addresses_stay_as_they_are(url: str) -> None:
    assert address(url) == url
    assert address(url, film=True) == url


def test_an_address_of_an_address_is_the_same() -> None:
    url = f"{KEY}/{ONE}/original=true/1.jpeg"
    assert address(address(url, film=True)) == address(url)


def test_one_image_has_many_addresses() -> None:
    assert identity(f"{KEY}/{ONE}/original=true/1.jpeg") == identity(f"{KEY}/{ONE.upper()}/width=450/x.mp4") == ONE
    assert identity("https://e.com/x.png") == "https://e.com/x.png"


def test_previews_get_the_ids_of_the_images_that_they_are() -> None:
    previews = [
        ModelImage(url=f"{KEY}/{TWO}/original=true/2.jpeg"),
        ModelImage(url=f"{KEY}/{ONE}/width=450/1.jpeg"),
        ModelImage(url=f"{KEY}/{ONE}/original=true/1.jpeg"),
        ModelImage(url="https://e.com/other.png"),
        ModelImage(url="https://e.com/known.png", id=9),
    ]
    images = [
        Image(id=11, url=f"{KEY}/{ONE}/original=true/1.jpeg"),
        Image(id=22, url=f"{KEY}/{TWO}/width=8/x.jpeg"),
    ]
    assert [preview.id for preview in numbered(previews, images)] == [22, 11, None, 9]


NAMES = st.sampled_from([*TRANSFORMS, "unknown"])
FORMS = st.lists(st.tuples(NAMES, st.from_regex(r"[a-z0-9.]{1,6}", fullmatch=True)), unique_by=lambda pair: pair[0])
FILES = st.one_of(st.none(), st.sampled_from(["1.jpeg", "a b.png", f"{ONE}.jpeg", ONE, "x=y.png", "noending"]))


@given(FORMS, FILES)
def test_an_address_is_read_as_it_was_printed(forms: list[tuple[str, str]], name: str | None) -> None:
    url = ImageUrl(KEY, ONE, tuple(forms), name)
    again = ImageUrl.parse(str(url))
    assert again is not None and str(again) == str(url) and again.uuid == ONE
    if name is not None:
        assert again == url
    assert identity(str(url)) == ONE


@given(FORMS, st.integers(1, 4000), st.booleans())
def test_a_change_is_the_only_change(forms: list[tuple[str, str]], width: int, anim: bool) -> None:
    url = ImageUrl(KEY, ONE, tuple(forms), "1.jpeg")
    changed = url.change(width=width, anim=anim)
    assert (changed.width, changed.anim) == (width, anim)
    assert {**dict(url.transforms), "width": str(width), "anim": str(anim).lower()} == dict(changed.transforms)
    assert url.change() == url and changed.change(width=width) == changed
    with pytest.raises(TypeError, match="no transform"):
        url.change(colour="red")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("url", "name", "forms"),
    [
        (f"https://imagecache.civitai.com/k/{ONE}/width=1024/{ONE}.jpeg", f"{ONE}.jpeg", (("width", "1024"),)),
        (f"https://imagecache.civitai.com/k/{ONE}/width=450", None, (("width", "450"),)),
        (f"https://imagecache.civitai.com/k/{ONE}/width=450/", None, (("width", "450"),)),
        (f"{KEY}/{ONE}", None, ()),
        (f"https://image-b2.civitai.com/file/civitai-media-cache/{ONE}/original", "original", ()),
    ],
)
def test_addresses_of_all_years_are_read(url: str, name: str | None, forms: tuple[tuple[str, str], ...]) -> None:
    parsed = ImageUrl.parse(url)
    assert parsed is not None
    assert (parsed.name, parsed.transforms, identity(url)) == (name, forms, ONE)
