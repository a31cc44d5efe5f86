"""A contact sheet: many videos on one picture, each with some of its frames and its name."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from gadkit.pages.files import write_whole
from gadkit.survey.measure import Survey
from gadkit.words import printable

#: The most videos of a sheet, and how many of them stand in a row.
VIDEOS = 48
_COLUMNS = 4
_SIDE = 96
_GAP = 12
_TEXT = 12
_PAPER, _INK = (255, 255, 255), (60, 60, 60)


def contact_sheet(found: Survey, videos: int = VIDEOS) -> Image.Image | None:
    """First, middle and last frame, at the training size, of up to `videos` videos; `None` without any.

    Args:
        found: A survey that was made with pictures.
        videos: The most videos.
    """
    shown = [
        (video.source.name, video.measure.stills) for video in found.videos if video.measure and video.measure.stills
    ]
    shown = shown[:videos]
    if not shown:
        return None
    scale = _SIDE / max(found.geometry.height, found.geometry.width)
    size = max(1, round(found.geometry.width * scale)), max(1, round(found.geometry.height * scale))
    frames = len(shown[0][1])
    columns = min(_COLUMNS, len(shown))
    cell = frames * size[0] + (frames - 1) * 2, size[1] + _TEXT + 6
    rows = math.ceil(len(shown) / columns)
    paper = Image.new("RGB", (columns * (cell[0] + _GAP) + _GAP, rows * (cell[1] + _GAP) + _GAP), _PAPER)
    draw = ImageDraw.Draw(paper)
    font = ImageFont.load_default(_TEXT)
    for number, (name, stills) in enumerate(shown):
        left = _GAP + number % columns * (cell[0] + _GAP)
        top = _GAP + number // columns * (cell[1] + _GAP)
        for place, still in enumerate(stills):
            paper.paste(_picture(still, size), (left + place * (size[0] + 2), top))
        draw.text((left, top + size[1] + 2), _caption(name, cell[0], draw, font), _INK, font)
    return paper


def write_sheet(path: Path, found: Survey) -> bool:
    """Writes the contact sheet as a PNG; false where there is nothing to show.

    Raises:
        RunError: It cannot be written.
    """
    paper = contact_sheet(found)
    if paper is None:
        return False
    buffer = io.BytesIO()
    paper.save(buffer, "PNG", optimize=True)
    write_whole(path, buffer.getvalue())
    return True


def _picture(still: str, size: tuple[int, int]) -> Image.Image:
    """A still at the sheet's size; pixels of small ones stay visible."""
    image = Image.open(io.BytesIO(base64.b64decode(still))).convert("RGB")
    larger = image.width < size[0]
    return image.resize(size, Image.Resampling.NEAREST if larger else Image.Resampling.LANCZOS)


def _caption(
    name: str, width: int, draw: ImageDraw.ImageDraw, font: ImageFont.ImageFont | ImageFont.FreeTypeFont
) -> str:
    """The end of a name, which tells it from its neighbours, as wide as there is room; in letters that the font has."""
    text = printable(name).encode("latin-1", "replace").decode("latin-1")
    if draw.textlength(text, font) <= width:
        return text
    kept: Sequence[str] = text
    while kept and draw.textlength("..." + "".join(kept), font) > width:
        kept = kept[1:]
    return "..." + "".join(kept)
