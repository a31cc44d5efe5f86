"""The chain is that of the paper, and its levels are drawn as it says."""

import math
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from gadkit import Key, Noise
from gadkit.testing import check_augmentation
from gadkit_diffusion.diffusion import Diffusion

Mixture = Literal["priority", "uniform"]
MANY = Noise(Key.of(0), torch.arange(20_000))


@pytest.mark.parametrize("settings", [{"mixture": "uniform", "target": 0.6}, {"steps": 1}], ids=str)
def test_it_conforms_with_other_settings(settings: dict[str, Any]) -> None:
    check_augmentation(Diffusion, **settings)


def test_levels_are_those_of_the_chain_taken_step_by_step() -> None:
    diffusion = Diffusion(steps=50, beta_first=0.001, beta_last=0.2, sigma=0.3)
    signal, level = diffusion.levels(torch.arange(51))
    assert (signal[0].item(), level[0].item()) == (1.0, 0.0)
    factor, variance = 1.0, 0.0
    for step in range(1, 51):  # x <- sqrt(1 - b) x + sqrt(b) sigma e: factors multiply, variances add
        beta = 0.001 + (0.2 - 0.001) * (step - 1) / 49
        factor, variance = math.sqrt(1 - beta) * factor, (1 - beta) * variance + beta * 0.3**2
        assert signal[step].item() == pytest.approx(factor, rel=1e-5)
        assert level[step].item() == pytest.approx(math.sqrt(variance), rel=1e-5)


@pytest.mark.parametrize("mixture", ["priority", "uniform"])
@pytest.mark.parametrize(("strength", "longest"), [(0.0, 0), (0.02, 1), (0.2, 10), (1.0, 50)])
def test_times_have_the_mixtures_probabilities(mixture: Mixture, strength: float, longest: int) -> None:
    times = Diffusion(steps=50, mixture=mixture, undisturbed=0.25).times(MANY, torch.tensor(strength))
    found = torch.bincount(times, minlength=longest + 1).double() / len(MANY)
    assert len(found) == longest + 1
    weights = torch.arange(1, longest + 1).double() if mixture == "priority" else torch.ones(longest).double()
    expected = torch.cat((torch.tensor([0.25]).double(), 0.75 * weights / weights.sum())) if longest else torch.ones(1)
    spread = (expected * (1 - expected) / len(MANY)).sqrt()
    assert ((found - expected).abs() <= 5 * spread + 1e-12).all()


def test_the_last_steps_are_reached_and_not_passed() -> None:
    nearly_one = torch.tensor([[0.9, 1 - 2.0**-24], [0.9, 0.0]])

    class Ends(Noise):
        def uniform(self, purpose: str, size: int, at: Tensor | None = None) -> Tensor:
            return nearly_one

    mixtures: tuple[Mixture, Mixture] = ("priority", "uniform")
    for steps in (1, 2, 999, 1000, 4097):
        for mixture in mixtures:
            times = Diffusion(steps=steps, mixture=mixture).times(Ends(Key.of(0), torch.arange(2)), torch.tensor(1.0))
            assert times.tolist() == [steps, 1]


def test_half_of_the_clips_stay_and_the_others_get_the_noise_of_their_level() -> None:
    diffusion, strength = Diffusion(strength=0.3, sigma=0.2), torch.tensor(0.3)
    noise = Noise(Key.of(1), torch.arange(400))
    video = torch.full((400, 2, 3, 8, 8), 0.5)
    seen, times = diffusion(video, noise, strength), diffusion.times(noise, strength)
    assert torch.equal(seen[times == 0], video[times == 0])
    assert 150 < int((times == 0).sum()) < 250
    signal, level = diffusion.levels(times)
    rest = (seen - signal.view(-1, 1, 1, 1, 1) * video)[times > 0, 0] / level[times > 0].view(-1, 1, 1, 1)
    assert abs(rest.mean().item()) < 5 / math.sqrt(rest.numel())
    assert abs(rest.square().mean().item() - 1) < 5 * math.sqrt(2 / rest.numel())
