"""Resizing of decoded frames: against PIL and against the formulas of the filters."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gadkit.evaluation.protocol import ProtocolSettings
from gadkit.evaluation.resizing import resize
from gadkit.interfaces.dataset import Footage
from gadkit.video.geometry import Geometry

FILTERS = ["lanczos", "bilinear", "bilinear-antialias", "bicubic", "bicubic-antialias"]


def video(height, width, seed=0, frames=2):
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(frames, 3, 5, 5, generator=generator)
    smooth = torch.nn.functional.interpolate(small, (height, width), mode="bicubic").clamp(0, 1)
    return (smooth * 255).round().to(torch.uint8)[None]


def resized(clips, side, resize_by, **choices):
    return resize(clips, side, ProtocolSettings(resize=resize_by, **choices))


@pytest.mark.parametrize("resize_by", FILTERS)
@pytest.mark.parametrize("fit", ["crop", "stretch"])
def test_frames_of_the_size_stay_what_they_are(resize_by, fit):
    clips = video(12, 12)
    assert torch.equal(resized(clips, 12, resize_by, fit=fit), clips)


@pytest.mark.parametrize("resize_by", FILTERS)
@pytest.mark.parametrize("side", [5, 16, 40])
@pytest.mark.parametrize("size", [(16, 24), (24, 16), (24, 24)])
def test_a_plain_colour_stays_plain(resize_by, side, size):
    clips = torch.full((2, 3, 3, *size), 77, dtype=torch.uint8)
    found = resized(clips, side, resize_by)
    assert (found.shape, found.dtype) == ((2, 3, 3, side, side), torch.uint8)
    assert (found == 77).all()


@pytest.mark.parametrize("fit", ["crop", "stretch"])
@pytest.mark.parametrize("size", [(16, 16), (40, 24), (24, 41)])
@pytest.mark.parametrize(("resize_by", "how"), [("bilinear", "BILINEAR"), ("bicubic", "BICUBIC")])
def test_widened_filters_are_those_of_pil(resize_by, how, size, fit):
    """Pillow's filters of floats, which are always widened, on the whole picture, whose centre is then cut out.

    For bicubic Pillow takes a = -0.5, as PyTorch's widened filter does.
    """
    clips, side = video(*size), 12
    height, width = size
    scale = side / min(size)
    target = (side, side) if fit == "stretch" else (math.ceil(height * scale), math.ceil(width * scale))
    top, left = (target[0] - side) // 2, (target[1] - side) // 2
    found = resized(clips, side, f"{resize_by}-antialias", fit=fit)
    for channel, picture in zip(clips[0].flatten(0, 1), found[0].flatten(0, 1), strict=True):
        whole = Image.fromarray(channel.numpy().astype(np.float32))
        expected = np.asarray(whole.resize(target[::-1], getattr(Image.Resampling, how))).clip(0, 255)
        assert np.abs(expected[top : top + side, left : left + side] - picture.numpy()).max() < 0.502


def test_bilinear_that_is_not_widened_is_the_formula():
    """Half-pixel centres: output i is at (i + 1/2) / scale - 1/2, between its two neighbours."""
    clips, side = video(24, 24), 10
    at = ((torch.arange(side) + 0.5) * 24 / side - 0.5).clamp(0, 23)
    low = at.floor().long().clamp(max=22)
    weights = torch.zeros(side, 24, dtype=torch.float64)
    weights[torch.arange(side), low] = (1 - (at - low)).double()
    weights[torch.arange(side), low + 1] += (at - low).double()
    expected = torch.einsum("ih,btchw,jw->btcij", weights, clips.double(), weights)
    for rounding, rounded in (("nearest", expected.round()), ("down", (expected + 1e-3).floor())):
        found = resized(clips, side, "bilinear", rounding=rounding)
        unclear = ((expected + 0.5) % 1 if rounding == "nearest" else expected % 1).sub(0.5).abs() > 0.49
        assert torch.equal(found.double()[~unclear], rounded[~unclear])
        assert (found.double() - rounded).abs().max() <= 1


@given(st.integers(6, 40), st.integers(6, 40), st.integers(3, 40), st.sampled_from(FILTERS[1:]), st.integers(0, 9))
@settings(deadline=None, max_examples=60)
def test_rounding_down_gives_the_same_or_one_less(height, width, side, resize_by, seed):
    clips = video(height, width, seed, frames=1)
    nearest, down = (resized(clips, side, resize_by, rounding=each).int() for each in ("nearest", "down"))
    if (height, width) != (side, side):
        assert set((nearest - down).unique().tolist()) <= {0, 1}
    assert nearest.shape == (1, 1, 3, side, side)


@pytest.mark.parametrize("fit", ["crop", "stretch", "letterbox"])
@pytest.mark.parametrize("size", [(16, 16), (40, 24), (9, 30)])
def test_lanczos_is_what_the_decoder_does(fit, size):
    clips = video(*size, frames=3)
    found = resized(clips, 12, "lanczos", fit=fit)
    frames = clips[0].permute(0, 2, 3, 1).contiguous().numpy()
    expected = np.stack(list(Geometry(height=12, width=12, fit=fit).frames(Footage(fps=10, frames=iter(frames)))))
    assert np.array_equal(found[0].permute(0, 2, 3, 1).numpy(), expected)


def test_clips_of_a_batch_are_resized_each_on_its_own():
    clips = torch.cat([video(20, 30, seed) for seed in range(3)])
    for resize_by in FILTERS:
        together = resized(clips, 12, resize_by)
        assert all(torch.equal(together[n : n + 1], resized(clips[n : n + 1], 12, resize_by)) for n in range(3))
