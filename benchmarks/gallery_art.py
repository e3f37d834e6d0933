"""Invented images for galleries: soft shapes in a few colours, as large as the previews of a site."""

from __future__ import annotations

import colorsys
import io
import random
from typing import Any

#: Width and height of the kinds of previews that sites have most of.
SHAPES = ((450, 675), (450, 675), (450, 600), (450, 450), (450, 300), (450, 800))


def art(seed: str, shape: tuple[int, int] | None = None) -> bytes:
    """A JPEG that depends on the seed alone; `shape` is its width and height in pixels. Needs Pillow."""
    from PIL import Image, ImageChops, ImageFilter

    dice = random.Random(seed)
    width, height = shape or dice.choice(SHAPES)
    hue, spread = dice.random(), dice.uniform(0.05, 0.22)
    ground = _gradient(dice, width, height, hue, spread)
    for number in range(dice.randint(3, 5)):
        mask = _shape(dice, width, height).filter(ImageFilter.GaussianBlur(dice.choice((1, 2, 18, 40))))
        light = dice.uniform(0.45, 0.98) if number else 0.97
        color = _color(hue + dice.uniform(-spread, spread), dice.uniform(0.3, 0.8), light)
        layer = Image.new("RGB", (width, height), color)
        ground = Image.composite(Image.blend(ground, layer, dice.uniform(0.5, 0.9)), ground, mask)
    # A fixed grain: `effect_noise` draws from a generator that nobody can seed.
    grain = Image.frombytes("L", (width // 2, height // 2), dice.randbytes((width // 2) * (height // 2)))
    grain = grain.resize((width, height)).point(lambda value: 118 + value // 13)
    image = ImageChops.overlay(ground, Image.merge("RGB", (grain, grain, grain)))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=86)
    return out.getvalue()


def _color(hue: float, saturation: float, light: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, light)
    return round(red * 255), round(green * 255), round(blue * 255)


def _gradient(dice: random.Random, width: int, height: int, hue: float, spread: float) -> Any:
    from PIL import Image

    far = Image.new("RGB", (width, height), _color(hue + spread, 0.65, dice.uniform(0.12, 0.35)))
    near = Image.new("RGB", (width, height), _color(hue - spread / 2, 0.55, dice.uniform(0.5, 0.85)))
    slope = Image.linear_gradient("L").rotate(dice.choice((0, 30, 60, 150, 180, 210)), expand=False, fillcolor=128)
    return Image.composite(near, far, slope.resize((width, height)))


def _shape(dice: random.Random, width: int, height: int) -> Any:
    """A mask with a disc, a hill or a band."""
    from PIL import Image, ImageDraw

    mask = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(mask)
    kind = dice.choice(("disc", "disc", "hill", "band"))
    x, y = dice.uniform(0.1, 0.9) * width, dice.uniform(0.15, 0.85) * height
    if kind == "disc":
        radius = dice.uniform(0.1, 0.32) * width
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    elif kind == "hill":
        base = dice.uniform(0.55, 0.85) * height
        points = [(0.0, float(height)), (0.0, base)]
        points += [(width * step / 5, base + dice.uniform(-0.16, 0.1) * height) for step in range(1, 6)]
        draw.polygon([*points, (float(width), float(height))], fill=255)
    else:
        draw.line((0, y, width, y + dice.uniform(-0.5, 0.5) * height), fill=255, width=dice.randint(10, 90))
    return mask
