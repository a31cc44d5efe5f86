"""The motion codes against the formula, number by number."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from long_assemblers import LABELLED, MOVING, VIDEO, Altered, check_second_derivatives, make, motion, noise
from scipy.stats import norm

from gadkit import ConfigError
from gadkit_plugins.assemblers.motion_codes import MotionCodes

SPACING = 5.0
#: Integer and fractional times, anchors among them, and late ones.
TIMES = (0.0, 1.0, 2.5, 4.999, 5.0, 7.25, 63.0, 100_000.0, 100_000.375)


def shift(video: int) -> float:
    """Where between two anchors a video's frame 0 lies."""
    return float(norm.cdf(noise().normal("shift", 1)[video, 0].item()))


def convolved(weight: np.ndarray, bias: np.ndarray, rows: Callable[[int], np.ndarray], at: int) -> np.ndarray:
    """One place of a convolution without padding, around the place."""
    half = weight.shape[2] // 2
    total = bias.copy()
    for out in range(weight.shape[0]):
        for tap in range(weight.shape[2]):
            for entry, value in enumerate(rows(at + tap - half)):
                total[out] += weight[out, entry, tap] * value
    return total


def by_hand(net: MotionCodes, video: int, time: float, label: int | None = None) -> np.ndarray:
    """The motion of a video at a time, from the formulas in the class's docstring."""
    w = {name: value.detach().numpy() for name, value in net.named_parameters()}

    @functools.cache
    def z(anchor: int) -> np.ndarray:
        drawn = noise().normal("motion", MOVING, torch.tensor([anchor]))[video, 0].numpy()
        return drawn if label is None else np.concatenate((drawn, w["label.embedding.weight"][label]))

    @functools.cache
    def between(anchor: int) -> np.ndarray:
        x = convolved(w["along.0.weight"], w["along.0.bias"], z, anchor)
        return np.where(x > 0, x, 0.2 * x)

    @functools.cache
    def u(anchor: int) -> np.ndarray:
        return convolved(w["along.2.weight"], w["along.2.bias"], between, anchor)

    t = time + shift(video) * SPACING
    left = math.floor(t / SPACING)
    a = (t % SPACING) / SPACING
    speeds = [2 * math.pi / 16, 2 * math.pi / 128, 2 * math.pi / 1024]  # 16 to 1024 frames, evenly in the logarithm

    def e(since: float) -> np.ndarray:
        speed, phase = w["speed.weight"] @ u(left), w["phase.weight"] @ u(left)
        angles = [speeds[k] * (math.tanh(speed[k]) + 1) * since + phase[k] for k in range(3)]
        return np.array([*map(math.sin, angles), *map(math.cos, angles)])

    align = w["align.weight"]
    v = e(a * SPACING) - ((1 - a) * e(0) + a * e(SPACING)) + (1 - a) * align @ u(left) + a * align @ u(left + 1)
    return w["out.weight"] @ v + w["out.bias"]


@pytest.mark.parametrize("label", [None, 2])
def test_codes_are_those_of_the_formula(label: int | None) -> None:
    net = make("motion-codes", VIDEO if label is None else LABELLED).double()
    labels = None if label is None else torch.tensor([0, label])
    found = motion(net, TIMES, labels=labels).detach()
    assert found.std().item() > 0.3
    for video in (1,) if label is not None else (0, 1):
        for index, time in enumerate(TIMES):
            expected = torch.from_numpy(by_hand(net, video, time, label))
            torch.testing.assert_close(found[video, index], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.float64, 1e-9)])
def test_any_time_is_had_alone(dtype: torch.dtype, tolerance: float) -> None:
    """Frame 100,000 by a jump, in a block of its own time, and among times far apart."""
    net, draws = make("motion-codes").to(dtype), noise(dtype=dtype)
    block = motion(net, torch.arange(99_990, 100_006), draws)
    alone = motion(net, [100_000.0], draws)
    torch.testing.assert_close(alone[:, 0], block[:, 10], rtol=0, atol=tolerance)
    far = motion(net, [0.0, 3.5, 400.0, 100_000.0], draws)
    torch.testing.assert_close(far[:, 3], block[:, 10], rtol=0, atol=tolerance)
    torch.testing.assert_close(far[:, 1], motion(net, [3.5], draws)[:, 0], rtol=0, atol=tolerance)
    assert net.codes(draws, torch.zeros(2, 1))[1] is None
    assert net.continuous
    rows = torch.tensor([[0.0, 8.0, 9.0], [100_000.0, 100_000.25, 200_000.0]])
    for row in range(2):
        torch.testing.assert_close(
            motion(net, rows, draws)[row], motion(net, rows[row], draws)[row], rtol=0, atol=tolerance
        )


def test_the_path_is_continuous_at_anchors_and_smooth_between_them() -> None:
    """Steps are as small as their times, everywhere; at anchors the slope changes, and nowhere else."""
    net, h = make("motion-codes").double(), 1e-6
    for video in (0, 1):
        anchor = (1 - shift(video)) * SPACING
        for offset, smooth in ((0.0, False), (SPACING, False), (1.7, True), (SPACING + 3.1, True)):
            times = torch.tensor([-2, -1, 0, 1, 2], dtype=torch.float64) * h + anchor + offset
            path = motion(net, times)[video].detach()
            steps = path.diff(dim=0) / h
            assert steps.abs().max().item() < 10
            kink = (steps[-1] - steps[0]).abs().max().item()
            assert kink < 1e-3 if smooth else kink > 1e-2


def test_a_code_depends_on_the_noise_of_anchors_around_it() -> None:
    """Two convolutions of 3 anchors see 2 on each side of the one before a time and of the one after it."""
    net = make("motion-codes").double()
    left = math.floor(37 / SPACING + shift(0))
    for anchor in range(left - 5, left + 7):
        moved = (motion(net, [37.0], Altered(anchor)) - motion(net, [37.0]))[0].abs().max().item()
        assert (moved > 1e-9) == (left - 2 <= anchor <= left + 3), anchor


def test_second_derivatives() -> None:
    check_second_derivatives(make("motion-codes").double(), [0.0, 1.3, 2.0, 30.0])


@pytest.mark.parametrize("spacing", [4.0, 16.0])
def test_every_time_has_one_law_of_about_unit_variance(spacing: float) -> None:
    """Mean and covariances of 8 frames are the same wherever these lie in an interval, as the shift is uniform."""
    torch.manual_seed(0)
    net = MotionCodes(VIDEO, 8, 0, spacing=spacing)
    drawn = motion(net, range(24), noise(3000, dtype=torch.float32)).detach()
    assert drawn.square().mean().item() == pytest.approx(1, abs=0.3)
    first, later = drawn[:, :8].flatten(1), drawn[:, 7:15].flatten(1)
    assert (first.mean(0) - later.mean(0)).abs().max().item() < 6 / 3000**0.5
    difference = first.T @ first / len(first) - later.T @ later / len(later)
    assert difference.abs().max().item() < 6 * (2 * 2 / 3000) ** 0.5
    near, far = (drawn[:, :-lag].mul(drawn[:, lag:]).mean().item() for lag in (1, 20))
    assert near > 0.9 * drawn.square().mean().item()
    assert far < 0.5 * near


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"longest": 8.0}, r"assembler\.longest: found 8, less than the shortest period, 16 frames"),
        ({"kernel": 4}, r"assembler\.kernel: found 4, expected an odd number.*use 5"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MotionCodes(VIDEO, 4, 2, **settings)
