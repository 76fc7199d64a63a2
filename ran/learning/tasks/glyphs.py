"""Rendered font digits, distorted to look hand-drawn: what the glyph ViT is pre-trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont

FONTS = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmr10", "cmb10", "cmss10", "cmtt10"),
)
"""Faces that matplotlib ships and that have upright ASCII digits."""

CANVAS = 48
"""Width and height of the drawing canvas, pixels."""


@dataclass(frozen=True)
class Distortion:
    """How far a glyph is bent, as standard deviations or ranges of the random draws."""

    rotation_rad: float = 0.15
    slant: float = 0.25
    stretch: float = 0.25
    bend: float = 0.11
    """Displacement of the smooth elastic field, in half canvases."""
    blur: float = 0.5
    noise: float = 0.03


def render_glyphs() -> torch.Tensor:
    """Return every digit in every face, ink 1 on paper 0, float32 [num_fonts, 10, CANVAS, CANVAS]."""
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    faces = [ImageFont.truetype(str(folder / f"{name}.ttf"), size=40) for name in FONTS]
    return torch.stack([torch.stack([_render(str(digit), face) for digit in range(10)]) for face in faces])


def _render(character: str, face: ImageFont.FreeTypeFont) -> torch.Tensor:
    image = Image.new("L", (CANVAS, CANVAS))
    ImageDraw.Draw(image).text((CANVAS / 2, CANVAS / 2), character, fill=255, font=face, anchor="mm")
    return torch.tensor(list(image.tobytes()), dtype=torch.float32).reshape(CANVAS, CANVAS) / 255.0


def draw_digits(
    glyphs: torch.Tensor, count: int, generator: torch.Generator, how: Distortion = Distortion()
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ``count`` distorted digits in 0..1, float32 [count, 1, 8, 8], and their labels, int64 [count].

    As the UCI digits were made (Alpaydin & Kaynak 1998): a 32 x 32 bitmap filled by the digit's bounding box,
    of which each pixel counts a block of 4 x 4.
    """
    labels = torch.randint(10, (count,), generator=generator)
    fonts = torch.randint(len(glyphs), (count,), generator=generator)
    ink = glyphs[fonts, labels].unsqueeze(1)  # [count, 1, CANVAS, CANVAS]
    ink = F.grid_sample(ink, _bent_grid(count, generator, how), align_corners=False)
    ink = _with_pen(ink, generator)
    bitmap = _fill_box(ink, generator)
    images = F.avg_pool2d(bitmap, 4)  # [count, 1, 8, 8]
    return _photograph(images, generator, how), labels


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)


def _bent_grid(count: int, generator: torch.Generator, how: Distortion) -> torch.Tensor:
    """Return sampling positions: rotation, slant and stretch, plus a smooth field, [count, CANVAS, CANVAS, 2]."""
    angle = how.rotation_rad * torch.randn(count, generator=generator)
    slant = how.slant * torch.randn(count, generator=generator)
    width = torch.exp(how.stretch * torch.randn(count, generator=generator))
    zero = torch.zeros(count)
    rotate = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=-1).reshape(count, 2, 2)
    shear = torch.stack([width, slant, zero, zero + 1.0], dim=-1).reshape(count, 2, 2)
    affine = torch.cat([1.2 * rotate @ shear, torch.zeros(count, 2, 1)], dim=-1)
    grid = F.affine_grid(affine, [count, 1, CANVAS, CANVAS], align_corners=False)
    field = how.bend * torch.randn(count, 2, 5, 5, generator=generator)
    field = F.interpolate(field, size=(CANVAS, CANVAS), mode="bicubic", align_corners=True)
    return grid + field.permute(0, 2, 3, 1)


def _with_pen(ink: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return the glyphs drawn with a thin, a medium or a broad pen."""
    thin = -F.max_pool2d(-ink, 3, stride=1, padding=1)
    broad = F.max_pool2d(ink, 3, stride=1, padding=1)
    # A thin face would vanish under the thin pen: keep what it had.
    thin = torch.where(thin.sum(dim=(2, 3), keepdim=True) > 0.35 * ink.sum(dim=(2, 3), keepdim=True), thin, ink)
    pen = torch.randint(3, (len(ink), 1, 1, 1), generator=generator)
    return torch.where(pen == 0, thin, torch.where(pen == 1, ink, broad))


def _fill_box(ink: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return 32 x 32 bitmaps in which each digit's bounding box spans the height, centred. [count, 1, 32, 32]."""
    dark = ink.squeeze(1) > 0.5
    top, bottom = _extent(dark.any(dim=2))
    left, right = _extent(dark.any(dim=1))
    half_height = (bottom - top) / CANVAS
    half_width = (right - left) / CANVAS
    margin = _uniform(len(ink), 1.0, 1.1, generator)
    zero = torch.zeros(len(ink))
    affine = torch.stack(
        [
            torch.stack([margin * torch.maximum(half_width, half_height), zero, (left + right) / CANVAS - 1], dim=-1),
            torch.stack([zero, margin * half_height, (top + bottom) / CANVAS - 1], dim=-1),
        ],
        dim=1,
    )  # [count, 2, 3]
    grid = F.affine_grid(affine, [len(ink), 1, 32, 32], align_corners=False)
    return (F.grid_sample(ink, grid, align_corners=False) > 0.5).float()


def _extent(occupied: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first occupied index and one past the last, float32 [count]; the whole range if there is none."""
    size = occupied.shape[1]
    first = occupied.int().argmax(dim=1)
    last = size - occupied.flip(1).int().argmax(dim=1)
    return first.float(), last.float()


def _photograph(images: torch.Tensor, generator: torch.Generator, how: Distortion) -> torch.Tensor:
    """Return the images with random blur, contrast and noise, in 0..1."""
    count = len(images)
    width = how.blur * torch.rand(count, 1, generator=generator) + 1e-3
    offsets = torch.tensor([[-1.0, 0.0, 1.0]])
    taps = torch.exp(-0.5 * (offsets / width) ** 2)
    taps = taps / taps.sum(dim=1, keepdim=True)  # [count, 3]
    kernel = taps.unsqueeze(2) * taps.unsqueeze(1)  # [count, 3, 3]
    blurred = F.conv2d(images.transpose(0, 1), kernel.unsqueeze(1), padding=1, groups=count).transpose(0, 1)
    contrast = _uniform(count, 0.8, 1.2, generator).reshape(-1, 1, 1, 1)
    noise = how.noise * torch.randn(images.shape, generator=generator)
    return (contrast * blurred + noise).clamp(0.0, 1.0)


def sheet(images: torch.Tensor, columns: int) -> torch.Tensor:
    """Return images tiled row by row into one picture, [rows * 8, columns * 8]."""
    rows = math.ceil(len(images) / columns)
    padded = torch.zeros(rows * columns, 8, 8)
    padded[: len(images)] = images.squeeze(1)
    return padded.reshape(rows, columns, 8, 8).permute(0, 2, 1, 3).reshape(rows * 8, columns * 8)
