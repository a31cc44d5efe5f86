"""The assemblers: the law of their codes, and the videos that they make."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.interpolate import BSpline
from scipy.stats import kstest
from torch import Tensor

from gadkit import ConfigError, Key, Noise, VideoAssembler, VideoSpec
from gadkit.testing import check_assembler
from gadkit.testing.probes import RecordedNoise, TinyGenerator
from gadkit_plugins.assemblers.independent import Independent
from gadkit_plugins.assemblers.walk import Walk

VIDEO = VideoSpec(height=4, width=4, frames=8)


def noise(batch: int, start: int = 0, dtype: torch.dtype = torch.float64) -> Noise:
    return Noise(Key.of(1), torch.arange(start, start + batch), dtype=dtype)


def codes(net: VideoAssembler, times: Tensor, batch: int = 2) -> Tensor:
    return net.codes(noise(batch), times.double().expand(batch, -1), None)[0]


def spline(t: float) -> float:
    """The cubic B-spline with the knots -2 ... 2, by scipy."""
    return float(np.nan_to_num(BSpline.basis_element([-2, -1, 0, 1, 2], extrapolate=False)(t)))


def covariance(s: float, t: float, spacing: float) -> float:
    """cov(z(s), z(t)) of the normalised spline path, from its definition."""
    anchors = range(math.floor(min(s, t) / spacing) - 3, math.ceil(max(s, t) / spacing) + 4)
    at_s, at_t = ([spline(time / spacing - k) for k in anchors] for time in (s, t))
    return float(np.dot(at_s, at_t) / math.sqrt(np.dot(at_s, at_s) * np.dot(at_t, at_t)))


@pytest.mark.parametrize("time", [0.0, 0.31, 3.0, 5.5, -7.25, 1000.125])
@pytest.mark.parametrize("net", [Walk(VIDEO, 4, 0, spacing=3.0), Walk(VIDEO, 4, 0, spacing=3.0, period=24.0)])
def test_walk_codes_are_standard_normal_at_every_time(net: Walk, time: float) -> None:
    drawn = codes(net, torch.tensor([time]), batch=5000).squeeze(1)
    assert kstest(drawn.flatten().numpy(), "norm").pvalue > 1e-3
    off_diagonal = torch.corrcoef(drawn.T) - torch.eye(4)
    assert float(off_diagonal.abs().max()) < 4.5 / 5000**0.5


def test_walk_covariance_is_the_splines() -> None:
    times = torch.tensor([0.0, 0.5, 2.0, 3.0, 4.6, 6.0, 9.0, 12.0])
    drawn = codes(Walk(VIDEO, 1, 0, spacing=3.0), times, batch=20000).squeeze(2)
    measured = drawn.T @ drawn / len(drawn)
    for i, s in enumerate(times.tolist()):
        for j, t in enumerate(times.tolist()):
            assert float(measured[i, j]) == pytest.approx(covariance(s, t, 3.0), abs=4.5 * (2 / 20000) ** 0.5)
    assert covariance(0, 3, 3.0) == pytest.approx(0.44, abs=0.06)  # about a half, as the docstring says
    assert covariance(0, 12, 3.0) == 0
    assert abs(float(measured[0, -1])) < 4.5 / 20000**0.5


def test_walk_is_twice_continuously_differentiable() -> None:
    """Second differences agree from both sides of an anchor; a kink or a jump would make them differ."""
    net, h = Walk(VIDEO, 3, 0, spacing=2.0), 1e-3
    for anchor in (4.0, 6.0):
        steps = torch.tensor([-3 * h, -2 * h, -h, 0, h, 2 * h, 3 * h], dtype=torch.float64)
        z = codes(net, steps + anchor)
        second = (z[:, 2:] - 2 * z[:, 1:-1] + z[:, :-2]) / h**2
        assert float((second[:, 0] - second[:, -1]).abs().max()) < 20 * h
        assert float(second.abs().max()) > 0.05
        first = (z[:, 1:] - z[:, :-1]) / h
        assert float((first[:, 0] - first[:, -1]).abs().max()) < 20 * h


def test_walk_moves_within_a_training_clip() -> None:
    """Over 16 frames at the default spacing a code forgets where it began, and neighbouring frames stay alike."""
    assert covariance(0, 15, 8.0) < 0.1
    assert covariance(0, 1, 8.0) > 0.98
    assert Walk(VIDEO, 4, 2).spacing == 8.0


def test_walk_does_not_repeat() -> None:
    z = codes(Walk(VIDEO, 8, 0, spacing=2.0), torch.arange(0, 600), batch=1)[0]
    distance = torch.cdist(z, z) + 10 * (torch.arange(600)[:, None] - torch.arange(600)).abs().lt(8)
    assert float(distance.min()) > 0.05


def test_walk_loops() -> None:
    net = Walk(VIDEO, 6, 2, spacing=2.5, period=10.0)
    times = torch.arange(0, 10) * 0.75
    torch.testing.assert_close(codes(net, times + 10), codes(net, times), rtol=0, atol=1e-12)
    torch.testing.assert_close(codes(net, times - 30), codes(net, times), rtol=0, atol=1e-12)
    assert not torch.allclose(codes(net, times + 5), codes(net, times), atol=0.1)


@pytest.mark.parametrize(("period", "hint"), [(41.0, "use 40"), (16.0, "use 32"), (3.0, "use 32")])
def test_walk_refuses_a_period_off_its_anchors(period: float, hint: str) -> None:
    with pytest.raises(ConfigError, match=rf"assembler\.period: found {period:g}.*{hint}"):
        Walk(VIDEO, 4, 2, spacing=8.0, period=period)


def test_walk_far_apart_times_equal_near_ones() -> None:
    """Anchors are drawn by place: it makes no difference which other times are asked for, near or far."""
    net = Walk(VIDEO, 4, 2)
    for dtype in (torch.float32, torch.float64):
        sparse = net.codes(noise(2, dtype=dtype), torch.tensor([0.0, 7.3, 5e5]).double().expand(2, 3))[0]
        for index, time in enumerate((0.0, 7.3, 5e5)):
            times = torch.tensor([time, time + 1, time + 2]).double().expand(2, 3)
            assert sparse.dtype == dtype
            assert torch.equal(net.codes(noise(2, dtype=dtype), times)[0][:, 0], sparse[:, index])


def test_walk_times_of_a_batch_are_its_own() -> None:
    net = Walk(VIDEO, 4, 2)
    times = torch.tensor([[0.0, 1.0, 2.0], [100.0, 120.0, 900.0]], dtype=torch.float64)
    together = net.codes(noise(2), times)[0]
    for row in range(2):
        assert torch.equal(net.codes(noise(1, row), times[row : row + 1])[0][0], together[row])


@pytest.mark.parametrize("net", [Walk(VIDEO, 6, 2), Independent(VIDEO, 6, 2)])
def test_content_holds_and_motion_moves(net: VideoAssembler) -> None:
    z = codes(net, torch.arange(0, 40), batch=3)
    assert torch.equal(z[:, :, :4], z[:, :1, :4].expand(-1, 40, -1))
    assert (z[:, 1:, 4:] != z[:, :-1, 4:]).all()
    assert len(set(z[:, 0, :4].flatten().tolist())) == 12  # every video has its own content


def test_independent_frames_are_independent_and_normal() -> None:
    net = Independent(VIDEO, 2, 0)
    z = codes(net, torch.arange(0, 50), batch=400)
    assert kstest(z.flatten().numpy(), "norm").pvalue > 1e-3
    neighbours = float((z[:, 1:] * z[:, :-1]).mean())
    assert abs(neighbours) < 4 / (400 * 49 * 2) ** 0.5
    torch.testing.assert_close(
        codes(net, torch.tensor([3.0, 3.9, 4.0]))[:, 0], codes(net, torch.tensor([3.0, 3.9]))[:, 1]
    )
    assert not torch.equal(codes(net, torch.tensor([3.9])), codes(net, torch.tensor([4.0])))


@pytest.mark.parametrize("context", [0, 2, "fixed"])
@pytest.mark.parametrize("cls", [Walk, Independent])
def test_longer_videos_begin_with_shorter_ones(cls: type[VideoAssembler], context: int | str) -> None:
    video = VideoSpec(height=4, width=4, frames=20)
    generator, net = TinyGenerator(video, 6, 2, context), cls(video, 6, 2)

    def render(length: int) -> Tensor:
        blocks = [*net.stream(generator, noise(2, dtype=torch.float32), length)]
        return ((torch.cat(blocks, dim=1) + 1) * 127.5).round().to(torch.uint8)

    longest = 20 if context == "fixed" else 50
    film = render(longest)
    assert film.shape == (2, longest, 3, 4, 4)
    assert film.float().std() > 20
    for length in (1, 7, 15, 16, 17, 19, 33):
        if length < longest:
            assert torch.equal(render(length), film[:, :length])


@pytest.mark.parametrize("cls", [Walk, Independent])
def test_chunks(cls: type[VideoAssembler]) -> None:
    net, times = cls(VIDEO, 6, 2), torch.arange(0, 23).double().expand(2, -1)
    whole, state = net.codes(noise(2), times)
    assert state is None
    for size in (1, 4, 9):
        parts = [net.codes(noise(2), part)[0] for part in times.split(size, dim=1)]
        assert torch.equal(torch.cat(parts, dim=1), whole)


def test_walk_is_differentiable_in_its_noise() -> None:
    """The code is linear in the anchors and the squared weights sum to one: so does the squared gradient."""
    recorded = RecordedNoise(Key.of(1), torch.arange(1))
    z = Walk(VIDEO, 3, 1).codes(recorded, torch.tensor([[5.7]]))[0]
    z[0, 0, 2].backward()
    total = sum(float(draw.grad.square().sum()) for draw in recorded.draws if draw.grad is not None)
    assert total == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(("cls", "settings"), [(Walk, {}), (Walk, {"spacing": 3.0, "period": 12.0}), (Independent, {})])
def test_conformance(cls: type[VideoAssembler], settings: dict[str, float]) -> None:
    check_assembler(cls, **settings)
