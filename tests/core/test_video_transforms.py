"""Frames reach the training size without a colour of their own making."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gadkit.errors import ConfigError
from gadkit.video.transforms import fit, parse_colour


@pytest.mark.parametrize(
    ("text", "colour"),
    [("white", (255, 255, 255)), ("Black", (0, 0, 0)), ("gray", (128, 128, 128)), ("#0a80FF", (10, 128, 255))],
)
def test_colours(text, colour):
    assert parse_colour(text) == colour


@pytest.mark.parametrize("text", ["", "#12345", "#12345g", "0a80ff", "whit", "#1234567", "# 12345", "#+12345"])
def test_what_is_no_colour_is_named(text):
    with pytest.raises(ConfigError, match="background") as error:
        parse_colour(text)
    assert repr(text) in str(error.value)


def test_a_frame_of_the_right_size_keeps_its_pixels():
    frame = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    assert np.array_equal(fit(frame, 7, 9), frame)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 24), st.integers(1, 24))
def test_any_size_fits_and_a_plain_colour_stays(h, w, height, width):
    result = fit(np.full((h, w, 3), (200, 30, 90), np.uint8), height, width)
    assert result.shape == (height, width, 3)
    assert result.dtype == np.uint8
    assert (result == (200, 30, 90)).all()


def test_alpha_is_composited_exactly():
    levels = np.arange(256)
    colour, alpha = np.meshgrid(levels, levels, indexing="ij")
    frame = np.stack([colour, colour, colour, alpha], axis=2).astype(np.uint8)
    expected = (alpha * colour + (255 - alpha) * np.array(51)) / 255
    assert np.abs(fit(frame, 256, 256, "#333333")[:, :, 1] - expected).max() <= 0.5


def test_compositing_comes_before_resizing():
    # Transparent pixels are green underneath. Blended after resizing, the green would show at the edge.
    frame = np.zeros((64, 64, 4), np.uint8)
    frame[:, :, 1] = 255
    frame[:, 20:44] = (255, 0, 0, 255)
    result = fit(frame, 16, 16, "black").astype(int)
    assert result[:, :, 1].max() == 0
    assert result[:, :, 0].max() == 255


@pytest.mark.parametrize(("shape", "rows", "columns"), [((32, 80), (0, 32), (24, 56)), ((80, 32), (24, 56), (0, 32))])
def test_the_crop_is_the_centre(shape, rows, columns):
    frame = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    centre = frame[slice(*rows), slice(*columns)]
    assert np.array_equal(fit(frame, 32, 32), centre)
    # Near the crop's edges the filter sees the pixels beyond them, and inside it must be the resized centre.
    resized = np.asarray(Image.fromarray(centre).resize((16, 16), Image.Resampling.LANCZOS))
    assert np.abs(fit(frame, 16, 16)[3:-3, 3:-3].astype(int) - resized[3:-3, 3:-3]).max() <= 1


def test_resizing_does_not_alias():
    # A checkerboard of single pixels is grey when seen from afar; picking pixels would give black or white.
    board = (255 * (np.indices((128, 128)).sum(0) % 2)).astype(np.uint8)
    result = fit(np.repeat(board[:, :, None], 3, axis=2), 24, 24).astype(int)
    assert np.abs(result - 127.5).max() < 3
