"""The penalties against closed forms, finite differences and each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gadkit import ConfigError, Critic, Key, Noise, Penalty, VideoSpec
from gadkit.testing import check_penalty
from gadkit.testing.probes import Bound, SmoothCritic
from gadkit_plugins.minimax.penalties import R1, R1R2, ApproximateR1R2, WassersteinGradient

SHAPE = (2, 3, 4, 5)  # N, C, H, W
PENALTIES = [R1, R1R2, ApproximateR1R2, WassersteinGradient]


def clips(batch: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(batch, *SHAPE, generator=generator, dtype=torch.float64) * 2 - 1).to(dtype).requires_grad_()


def noise(batch: int, start: int = 0) -> Noise:
    return Noise(Key.of(4), torch.arange(start, start + batch), dtype=torch.float64)


def linear(slope: Tensor) -> Critic:
    return lambda video: (video * slope).flatten(1).sum(1)


def quadratic(video: Tensor) -> Tensor:
    """|x|^2 / 2, whose gradient is x."""
    return video.square().flatten(1).sum(1) / 2


def test_linear_critic() -> None:
    """D(x) = <a, x>: the gradient is a everywhere, its squared norm a sum over every number of the clip."""
    a = clips(1, 0)[0].detach()
    squared = float(sum(v**2 for v in a.flatten().tolist()))
    args = linear(a), clips(4, 1), clips(4, 2), noise(4)
    assert float(R1(gamma=3.0)(*args)) == pytest.approx(1.5 * squared)
    assert float(R1R2(gamma=3.0)(*args)) == pytest.approx(3.0 * squared)
    assert float(WassersteinGradient(weight=7.0)(*args)) == pytest.approx(7 * (squared**0.5 - 1) ** 2)


def test_quadratic_critic() -> None:
    """D(x) = |x|^2 / 2: the gradient at x is x, so the penalties are second moments of the clips."""
    real, fake = clips(4, 1), clips(4, 2)
    at_real, at_fake = (float(c.detach().square().sum()) / 4 for c in (real, fake))
    assert float(R1(gamma=0.5)(quadratic, real, fake, noise(4)).detach()) == pytest.approx(0.25 * at_real)
    assert float(R1R2(gamma=0.5)(quadratic, real, fake, noise(4)).detach()) == pytest.approx(0.25 * (at_real + at_fake))


def test_gradient_penalty_between_the_clips() -> None:
    """With D = |x|^2 / 2 the gradient at the mixture is the mixture: it must lie on the segment, anew for each pair."""
    real, fake = clips(4, 1), clips(4, 2)
    seen: list[Tensor] = []

    def critic(video: Tensor) -> Tensor:
        seen.append(video.detach())
        return quadratic(video)

    value = WassersteinGradient(weight=2.0)(critic, real, fake, noise(4))
    (mixed,) = seen
    share = ((mixed - real) / (fake - real)).detach().flatten(1)
    torch.testing.assert_close(share, share[:, :1].expand_as(share))
    assert len(set(share[:, 0].tolist())) == 4
    assert ((share >= 0) & (share < 1)).all()
    norms = mixed.flatten(1).norm(dim=1)
    assert float(value) == pytest.approx(float(2 * (norms - 1).square().mean()))


def test_gradient_penalty_of_a_flat_critic_has_a_finite_gradient() -> None:
    weight = torch.zeros(SHAPE, dtype=torch.float64, requires_grad=True)
    value = WassersteinGradient()(linear(weight), clips(2, 1), clips(2, 2), noise(2))
    assert float(value) == pytest.approx(10.0)
    assert torch.autograd.grad(value, weight)[0].isfinite().all()


@pytest.mark.parametrize("sigma", [1e-3, 0.1])
def test_approximation_of_a_linear_critic(sigma: float) -> None:
    """D linear: (D(x) - D(x + s e))^2 / s^2 = <a, e>^2, with the mean |a|^2 for every s."""
    a = clips(1, 0)[0].detach()
    batch = 4000
    video = torch.zeros(batch, *SHAPE, dtype=torch.float64)
    value = float(ApproximateR1R2(gamma=3.0, sigma=sigma)(linear(a), video, video, noise(batch)))
    expected = 3.0 * float(a.square().sum())
    # 8000 draws of a chi-squared variable: the mean is within 4 standard errors, sqrt(2 / 8000) each
    assert value == pytest.approx(expected, rel=4 * (2 / 8000) ** 0.5)
    assert value != pytest.approx(expected, rel=1e-9)


def test_approximation_tends_to_r1r2() -> None:
    critic = SmoothCritic(VideoSpec(height=4, width=5, frames=2, classes=3), once=False).double()
    copies = 3000
    real, fake = (clips(1, seed).detach().expand(copies, *SHAPE).clone().requires_grad_() for seed in (1, 2))
    bound = Bound(critic, torch.zeros(copies, dtype=torch.int64))
    exact = float(R1R2(gamma=2.0)(bound, real, fake, noise(copies)))
    approximate = float(ApproximateR1R2(gamma=2.0, sigma=1e-3)(bound, real, fake, noise(copies)))
    assert approximate == pytest.approx(exact, rel=4 * (2 / copies) ** 0.5)


def test_approximation_noise() -> None:
    """Standard normal, independent for real and fake and between samples, unaffected by the batch's split."""
    seen: list[Tensor] = []

    def critic(video: Tensor) -> Tensor:
        seen.append(video.detach())
        return quadratic(video)

    zeros = [torch.zeros(64, *SHAPE, dtype=torch.float64) for _ in range(2)]
    penalty = ApproximateR1R2(sigma=0.5)
    penalty(critic, zeros[0], zeros[1], noise(64))
    draws = [video / 0.5 for video in seen if video.any()]
    assert len(draws) == 2
    everything = torch.stack(draws).flatten()
    count = len(everything)
    assert abs(float(everything.mean())) < 4 / count**0.5
    assert float(everything.var()) == pytest.approx(1, abs=4 * (2 / count) ** 0.5)
    assert len(set(everything.tolist())) == count  # no number is used twice
    seen.clear()
    penalty(critic, zeros[0][:3], zeros[1][:3], noise(3, start=7))
    again = [video / 0.5 for video in seen if video.any()]
    for whole, part in zip(draws, again, strict=True):
        assert torch.equal(whole[7:10], part)


def test_approximation_refuses_a_sigma_below_bf16() -> None:
    video = clips(2, 1, torch.float32)
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(ConfigError, match=r"penalty\.sigma: found 0\.01"):
        ApproximateR1R2(sigma=0.01)(quadratic, video, video, noise(2))
    assert ApproximateR1R2(sigma=0.01)(quadratic, video, video, noise(2)).isfinite()


def test_approximation_does_not_differentiate_twice() -> None:
    """It works with clips that require no gradient, and its value's graph holds the critic's parameters alone."""
    weight = torch.ones(SHAPE, dtype=torch.float64, requires_grad=True)
    real, fake = clips(2, 1).detach(), clips(2, 2).detach()
    value = ApproximateR1R2()(linear(weight), real, fake, noise(2))
    assert torch.autograd.grad(value, weight)[0].any()
    assert not ApproximateR1R2.double_backward
    assert R1.double_backward
    assert R1R2.double_backward
    assert WassersteinGradient.double_backward


@pytest.mark.parametrize("cls", [R1, R1R2])
def test_known_logits_are_used_again(cls: type[Penalty]) -> None:
    """One forward pass for each batch, the one that the loss has paid for."""
    video = VideoSpec(height=4, width=5, frames=2, classes=3)
    net = SmoothCritic(video, once=False).double()
    real, fake = clips(3, 1), clips(3, 2)
    bound = Bound(net, torch.arange(3))
    bound(real), bound(fake)
    known = len(bound.known)
    cls()(bound, real, fake, noise(3))
    assert len(bound.known) == known


@pytest.mark.parametrize("cls", PENALTIES)
def test_parameter_gradients(cls: type[Penalty]) -> None:
    """Double backward against finite differences, every parameter of a critic with labels, in float64."""
    net = SmoothCritic(VideoSpec(height=4, width=5, frames=2, classes=3), once=False).double()
    labels = torch.tensor([2, 0, 1])
    real, fake = clips(3, 1), clips(3, 2)
    names, tensors = zip(*net.named_parameters(), strict=True)
    penalty = cls()

    def value(*parameters: Tensor) -> Tensor:
        def critic(video: Tensor) -> Tensor:
            return torch.func.functional_call(net, dict(zip(names, parameters, strict=True)), (video, labels))

        return penalty(critic, real, fake, noise(3))

    assert torch.autograd.gradcheck(value, tensors, eps=1e-5, atol=1e-6)


@pytest.mark.parametrize("cls", PENALTIES)
def test_micro_batches(cls: type[Penalty]) -> None:
    """The mean over micro-batches is the value of the whole batch, with each sample's own draws and label."""
    net = SmoothCritic(VideoSpec(height=4, width=5, frames=2, classes=3), once=False).double()
    real, fake, labels = clips(6, 1), clips(6, 2), torch.tensor([0, 1, 2, 2, 1, 0])

    def value(rows: slice) -> float:
        x, y = (c[rows].detach().requires_grad_() for c in (real, fake))
        draws = Noise(Key.of(4), torch.arange(6)[rows], dtype=torch.float64)
        return float(cls()(Bound(net, labels[rows]), x, y, draws))

    pieces = [value(slice(start, start + 2)) for start in (0, 2, 4)]
    assert sum(pieces) / 3 == pytest.approx(value(slice(None)), rel=1e-12)


@pytest.mark.parametrize("cls", [R1, R1R2])
def test_half_precision_norms(cls: type[Penalty]) -> None:
    """A norm over a whole clip is summed in float32 although the gradient is bf16."""
    video = torch.full((1, 16, 3, 32, 32), 0.01, dtype=torch.bfloat16).requires_grad_()
    critic: Callable[[Tensor], Tensor] = quadratic
    value = cls(gamma=2.0)(critic, video, video.detach().clone().requires_grad_(), noise(1))
    assert value.dtype == torch.float32
    pixel = float(video.detach().flatten()[0]) ** 2
    assert float(value) == pytest.approx(16 * 3 * 32 * 32 * pixel * (2 if cls is R1R2 else 1), rel=1e-3)


@pytest.mark.parametrize("cls", PENALTIES)
def test_conformance(cls: type[Penalty]) -> None:
    check_penalty(cls)
