"""DiffAugment against a loop over pixels in NumPy, its draws, and its derivatives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gadkit import ConfigError, Key, Noise
from gadkit.signature import validate
from gadkit.testing import check_augmentation
from gadkit_plugins.augmentation.diffaugment import DiffAugment

POLICIES: list[tuple[Any, ...]] = [
    ("colour",),
    ("translation",),
    ("cutout",),
    ("colour", "cutout"),
    ("translation", "cutout"),
    ("cutout", "translation", "colour"),
]


def clips(batch: int, frames: int = 2, height: int = 6, width: int = 10, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(batch)
    flat = torch.rand(batch, frames, height, width, channels, generator=generator, dtype=torch.float64)
    return (2 * flat - 1).permute(0, 1, 4, 2, 3)


def noise(batch: int, dtype: torch.dtype = torch.float64) -> Noise:
    return Noise(Key.of(2), torch.arange(7, 7 + batch), dtype=dtype)


def strength(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def reference(clip: np.ndarray, draws: list[float], policy: tuple[str, ...], p: float) -> np.ndarray:
    """One clip `(N, C, H, W)`, each transformation by itself and pixel by pixel."""
    on = [draw < p for draw in draws[:5]]
    brightness, saturation, contrast, down, right, top, left = draws[5:]
    clip = clip.copy()
    frames, channels, height, width = clip.shape
    if "colour" in policy:
        if on[0]:
            clip = clip + (brightness - 0.5)
        if on[1]:
            for n, h, w in np.ndindex(frames, height, width):
                mean = sum(clip[n, :, h, w]) / channels
                clip[n, :, h, w] = mean + 2 * saturation * (clip[n, :, h, w] - mean)
        if on[2]:
            mean = math.fsum(clip.ravel()) / clip.size
            clip = mean + (0.5 + contrast) * (clip - mean)
    if "translation" in policy and on[3]:
        most_down, most_right = int(height / 8 + 0.5), int(width / 8 + 0.5)
        down, right = int(down * (2 * most_down + 1)) - most_down, int(right * (2 * most_right + 1)) - most_right
        moved = np.zeros_like(clip)
        for n, c, h, w in np.ndindex(clip.shape):
            if 0 <= h - down < height and 0 <= w - right < width:
                moved[n, c, h, w] = clip[n, c, h - down, w - right]
        clip = moved
    if "cutout" in policy and on[4]:
        tall, broad = int(height / 2 + 0.5), int(width / 2 + 0.5)
        first_row = int(top * (height + 1 - tall % 2)) - tall // 2
        first_column = int(left * (width + 1 - broad % 2)) - broad // 2
        for h in range(max(first_row, 0), min(first_row + tall, height)):
            for w in range(max(first_column, 0), min(first_column + broad, width)):
                clip[:, :, h, w] = 0
    return clip


@pytest.mark.parametrize("policy", POLICIES, ids="+".join)
@pytest.mark.parametrize("shape", [(2, 6, 10), (1, 9, 7), (3, 17, 20)], ids=str)
def test_it_is_what_a_loop_over_pixels_gives(policy: tuple[Any, ...], shape: tuple[int, int, int]) -> None:
    for p in (0.3, 1.0):
        video, noises = clips(8, *shape), noise(8)
        seen = DiffAugment(policy=policy)(video, noises, strength(p))
        draws = noises.uniform("diffaugment", 12).tolist()
        for row in range(8):
            expected = reference(video[row].numpy(), draws[row], policy, p)
            np.testing.assert_allclose(seen[row].numpy(), expected, rtol=0, atol=1e-12)


def test_a_single_channel_has_no_saturation() -> None:
    video, noises = clips(4, channels=1), noise(4)
    draws = noises.uniform("diffaugment", 12).tolist()
    seen = DiffAugment(policy=("colour",))(video, noises, strength(1.0))
    for row in range(4):
        np.testing.assert_allclose(seen[row], reference(video[row].numpy(), draws[row], ("colour",), 1.0), atol=1e-12)


@pytest.mark.parametrize("policy", POLICIES, ids="+".join)
def test_every_policy_conforms(policy: tuple[Any, ...]) -> None:
    check_augmentation(DiffAugment, policy=policy)


def test_both_derivatives_are_exact() -> None:
    """By finite differences in each pixel: the kit looks along one direction alone."""
    video, noises = clips(2, 2, 4, 4).requires_grad_(), noise(2)

    def seen(pixels: Tensor) -> Tensor:
        return DiffAugment()(pixels, noises, strength(1.0))

    assert torch.autograd.gradcheck(seen, (video,))
    assert torch.autograd.gradgradcheck(lambda pixels: seen(pixels).square(), (video,))


def _shifts(seen: Tensor, dim: int) -> Tensor:
    """By how much clips of ones were moved: uncovered lines at the beginning less those at the end."""
    lines = seen[:, 0, 0].amax(dim=3 - dim)
    return torch.argmax(lines, dim=1) - torch.argmax(lines.flip(1), dim=1)


def test_shifts_are_equally_likely_up_to_an_eighth() -> None:
    count, height, width = 4000, 16, 24
    ones = torch.ones(count, 1, 1, height, width, dtype=torch.float64)
    seen = DiffAugment(policy=("translation",))(ones, noise(count), strength(1.0))
    for dim, most in ((1, 2), (2, 3)):
        found = torch.bincount(_shifts(seen, dim) + most)
        share = count / (2 * most + 1)
        assert len(found) == 2 * most + 1
        assert (found - share).abs().max() < 5 * share**0.5


def test_the_hole_is_of_half_the_sides_and_its_middle_anywhere() -> None:
    count, height, width = 4000, 8, 6
    ones = torch.ones(count, 1, 1, height, width, dtype=torch.float64)
    hole = DiffAugment(policy=("cutout",))(ones, noise(count), strength(1.0))[:, 0, 0] == 0
    rows, columns = hole.any(2).sum(1), hole.any(1).sum(1)
    assert torch.equal(hole.sum((1, 2)), rows * columns)  # a rectangle
    assert (int(rows.min()), int(rows.max())) == (2, 4)
    assert (int(columns.min()), int(columns.max())) == (2, 3)
    covered = hole.double().mean(0)
    assert covered[0, 0] > 0.05  # corners too
    torch.testing.assert_close(covered, covered.flip(0), rtol=0, atol=0.05)
    torch.testing.assert_close(covered, covered.flip(1), rtol=0, atol=0.05)


def test_strength_is_the_probability_of_each_transformation() -> None:
    count, p = 4000, 0.3
    video = clips(1, 1, 8, 8).expand(count, 1, 3, 8, 8)
    for policy, unchanged in (("cutout", 0.7), ("translation", 0.7 + 0.3 / 9), ("colour", 0.7**3)):
        augmentation = DiffAugment(policy=(policy,))  # type: ignore[arg-type]
        seen, more = (augmentation(video, noise(count), strength(value)) for value in (p, 2 * p))
        same = (seen == video).flatten(1).all(1)
        assert abs(float(same.double().mean()) - unchanged) < 4 * (unchanged * (1 - unchanged) / count) ** 0.5
        # A greater strength changes more clips, and no transformation is taken back.
        assert not bool((~same & (more == video).flatten(1).all(1)).any())


def test_transformations_are_chosen_one_by_one() -> None:
    """All five of them, or none, would be a strength of .3 as well, and no augmentation that one can learn under."""
    chosen = noise(4000).uniform("diffaugment", 12)[:, :5] < 0.3
    assert abs(float(chosen.all(1).double().mean()) - 0.3**5) < 0.005
    correlation = torch.corrcoef(noise(4000).uniform("diffaugment", 12).T)
    assert float((correlation - torch.eye(12)).abs().max()) < 0.07


def test_colour_is_right_on_average() -> None:
    """The mean over draws of a changed clip is the clip, so that generated clips are not pulled to another colour."""
    count = 20_000
    clip = clips(1, 1, 2, 2)
    seen = DiffAugment(policy=("colour",))(clip.expand(count, 1, 3, 2, 2), noise(count), strength(0.8))
    error = seen.std(0) / count**0.5
    assert bool(((seen.mean(0) - clip[0]).abs() < 4.5 * error).all())


def test_what_is_uncovered_is_grey_whatever_the_colours() -> None:
    ones = torch.ones(64, 1, 3, 16, 16, dtype=torch.float64)
    seen = DiffAugment(policy=("colour", "translation"))(ones, noise(64), strength(1.0))
    values = [set(clip.flatten().tolist()) for clip in seen]
    assert all(len(each - {0.0}) == 1 for each in values)
    assert sum(0.0 in each for each in values) > 50


def test_settings_are_checked() -> None:
    for bad, key in (
        ({"policy": ["color"]}, r"augmentation\.policy"),
        ({"policy": []}, r"augmentation\.policy"),
        ({"strength": 1.5}, r"augmentation\.strength"),
        ({"target": 1.0}, r"augmentation\.target"),
        ({"ramp": 0}, r"augmentation\.ramp"),
    ):
        with pytest.raises(ConfigError, match=key):
            validate(DiffAugment, bad, "augmentation")
