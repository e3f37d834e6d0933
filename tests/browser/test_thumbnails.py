"""Thumbnails, with Pillow: small, the same each time, kept, and none of bytes that are no image."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.gallery_art import art
from synapse_sync.demo.weights import png_bytes
from synapse_sync.engine import thumbnails as room
from synapse_sync.engine.thumbnails import can_make, thumbnails
from synapse_sync.store.preview_cache import PreviewCache


@pytest.fixture
def cache(tmp_path: Path) -> PreviewCache:
    return PreviewCache(tmp_path / "store")


def made(contents: list[bytes], cache: PreviewCache) -> list[bytes]:
    """The thumbnails of files with these contents."""
    paths = [Path(str(number)) for number in range(len(contents))]
    return thumbnails(paths, lambda path: contents[int(path.name)], cache)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=("WEBP",))


def test_a_thumbnail_is_small_and_keeps_the_shape(cache: PreviewCache) -> None:
    large = art("large", (1024, 1536))
    (small,) = made([large], cache)
    assert opened(small).size == (360, 540)
    assert len(small) < 40_000 < len(large)


def test_a_small_image_is_not_enlarged_and_transparency_stays(cache: PreviewCache) -> None:
    out = io.BytesIO()
    Image.new("RGBA", (40, 30), (255, 0, 0, 0)).save(out, "PNG")
    (small,) = made([out.getvalue()], cache)
    assert opened(small).size == (40, 30) and opened(small).mode == "RGBA"


@pytest.mark.parametrize(("count", "width"), [(400, 360), (401, 256), (1_001, 176), (3_001, 128)])
def test_the_more_the_narrower(count: int, width: int, cache: PreviewCache) -> None:
    content = art("one")
    found = thumbnails([Path("one")] * count, lambda path: content, cache)
    assert opened(found[0]).width == width and len(set(found)) == 1


def test_the_same_image_has_the_same_thumbnail_and_it_is_kept(cache: PreviewCache, tmp_path: Path) -> None:
    first = made([art("a"), art("b")], cache)
    again = made([art("a"), art("b")], PreviewCache(tmp_path / "other"))
    assert first == again and first[0] != first[1]
    assert len(list((tmp_path / "store/pictures").iterdir())) == 2


def _bomb() -> bytes:
    """A PNG whose header claims a thousand million pixels."""
    image = bytearray(png_bytes("bomb"))
    image[16:24] = (40_000).to_bytes(4, "big") * 2
    image[29:33] = zlib.crc32(image[12:29]).to_bytes(4, "big")
    return bytes(image)


def test_bytes_that_are_no_image_have_none(cache: PreviewCache) -> None:
    whole = art("whole")
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "TIFF")
    broken = [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        whole[:300],
        b"\xff\xd8\xff",
        _bomb(),
        out.getvalue(),
    ]
    assert made(broken, cache) == [b""] * len(broken)


def test_files_without_a_preview_have_none(cache: PreviewCache) -> None:
    content = art("x")
    found = thumbnails([None, Path("x"), None], lambda path: content, cache)
    assert [bool(each) for each in found] == [False, True, False]


def test_all_of_them_stay_below_the_bound(cache: PreviewCache, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [art(str(number)) for number in range(6)]
    sizes = [len(each) for each in made(contents, cache)]
    monkeypatch.setattr(room, "MOST_BYTES", sum(sizes[:4]))
    assert [bool(each) for each in made(contents, cache)] == [True] * 4 + [False] * 2


def test_a_store_that_cannot_be_written_is_no_reason_to_have_none(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where the directory should be")
    (small,) = made([art("x")], PreviewCache(tmp_path / "store"))
    assert opened(small).width == 360


def test_pillow_is_here() -> None:
    assert can_make()
