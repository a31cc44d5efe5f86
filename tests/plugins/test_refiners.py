"""Refiners against closed forms, in float64, and what they promise of every score."""

import itertools
import math

import pytest
import torch
from torch import nn

from gadkit import ConfigError, Key, Noise
from gadkit.signature import validate
from gadkit.testing.games import Mixture, MixtureGame
from gadkit.testing.reads import HostReads
from gadkit_plugins.gad.flow import Flow
from gadkit_plugins.gad.proximal import Proximal

DIM = 4


def noise_for(count, first=0):
    return Noise(Key.of(3, "refiners"), torch.arange(first, first + count), dtype=torch.float64)


def starts(count=16, dtype=torch.float64):
    return noise_for(count).normal("start", DIM).to(dtype)


SLOPE = torch.tensor([0.5, -2.0, 0.0, 3.0], dtype=torch.float64)


def linear(latents):
    return latents @ SLOPE


def smooth(seed=0, scale=1.0):
    """D(G(z)) of two random nets with tanh, float64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(DIM, 16), nn.Tanh(), nn.Linear(16, 2), nn.Linear(2, 16), nn.Tanh())
        net = net.append(nn.Linear(16, 1)).double()
    return net, lambda latents: scale * net(latents).squeeze(1)


class Counting:
    """A score that counts its calls, those of them with a graph, and what was differentiated."""

    def __init__(self, score):
        self.score, self.calls, self.graphs, self.backwards = score, 0, 0, 0

    def __call__(self, latents):
        self.calls += 1
        values = self.score(latents)
        if values.requires_grad:
            self.graphs += 1
            values.register_hook(lambda _: setattr(self, "backwards", self.backwards + 1))
        return values


def test_the_fixed_point_of_proximal_under_a_linear_score_is_the_start_plus_slope_over_weight():
    start = starts()
    for weight, rate in ((10.0, 0.01), (2.0, 0.3)):
        refined = Proximal(steps=300, weight=weight, rate=rate).refine(linear, start, noise_for(16))
        assert float((refined - (start + SLOPE / weight)).abs().max()) <= 1e-6


def test_the_way_of_proximal_to_it_is_geometric():
    start = starts()
    for steps in (1, 7):
        refined = Proximal(steps=steps, weight=10.0, rate=0.01).refine(linear, start, noise_for(16))
        expected = start + (1 - (1 - 0.01 * 10) ** steps) * SLOPE / 10
        assert torch.allclose(refined, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("rate", [0.01, 0.3, 50.0])
def test_the_objective_of_proximal_falls_in_no_step_of_no_sample(rate):
    for seed, scale in itertools.product(range(3), (1.0, 300.0)):
        _, score = smooth(seed, scale)
        start = starts()
        heights = []
        for steps in range(13):
            refined = Proximal(steps=steps, weight=10.0, rate=rate).refine(score, start, noise_for(16))
            heights.append((score(refined) - 5 * (refined - start).square().sum(1)).detach())
        rises = torch.stack(heights).diff(dim=0)
        assert bool((rises >= 0).all())
        halved = (rises == 0).any(0)
        assert bool(halved.any() or rate < 50)
        assert bool((rises.sum(0) > 0).all())


def test_a_failed_trial_halves_the_step_of_its_own_sample_alone():
    """J = -c z^2 / 2, started at 1: a step of r moves z to 1 - r c, which is lower where r c > 2."""
    curvature = torch.tensor([1.0, 7.0, 1000.0], dtype=torch.float64)
    start = torch.ones(3, 1, dtype=torch.float64)
    refiner = Proximal(steps=4, weight=0, rate=1.0)
    refined = refiner.refine(lambda z: -curvature * z.squeeze(1).square() / 2, start, noise_for(3))
    # four steps of 1; two halvings to 1/4, where |1 - 7/4| < 1, and two steps; nothing in four trials
    assert refined.flatten().tolist() == [0.0, (1 - 7 / 4) ** 2, 1.0]


def test_ten_steps_of_proximal_cost_21_passes():
    counting = Counting(smooth()[1])
    Proximal(steps=10).refine(counting, starts(), noise_for(16))
    assert (counting.calls, counting.graphs, counting.backwards) == (11, 10, 10)
    counting = Counting(smooth()[1])
    Proximal(steps=0).refine(counting, starts(), noise_for(16))
    assert counting.calls == 0


def test_25_steps_of_flow_cost_50_passes():
    counting = Counting(smooth()[1])
    Flow(steps=25).refine(counting, starts(), noise_for(16))
    assert (counting.calls, counting.backwards) == (25, 25)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_proximal_never_takes_a_step_to_a_score_that_is_not_finite(bad):
    start = torch.zeros(2, DIM, dtype=torch.float64)
    wall = torch.tensor([0.02, 100.0], dtype=torch.float64)

    def score(latents):
        return torch.where(latents[:, 3] < wall, linear(latents), bad)

    refined = Proximal(steps=30, weight=10.0, rate=0.01).refine(score, start, noise_for(2))
    assert 0.015 < float(refined[0, 3]) < 0.02  # up to the wall, in ever smaller steps
    assert torch.allclose(refined[1], (1 - 0.9**30) * SLOPE / 10)


@pytest.mark.parametrize("cls", [Proximal, Flow])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_sample_whose_slope_is_not_finite_in_one_entry_stays_whole_and_no_other_does(cls, bad):
    def score(latents):
        return latents @ SLOPE + latents[:, 1] * torch.tensor([bad, 1.0], dtype=torch.float64)

    start = starts(2)
    seen = []
    refined = cls().refine(lambda z: seen.append(z.detach()) or score(z), start, noise_for(2))
    assert torch.equal(refined[0], start[0])
    assert not torch.equal(refined[1], start[1])
    assert all(bool(latents.isfinite().all()) for latents in seen)


def test_flow_that_runs_away_stays_finite():
    refined = Flow(steps=600, noise=0.0).refine(lambda z: 1e3 * z.square().sum(1), starts(), noise_for(16))
    assert bool(refined.isfinite().all())


def test_flow_along_a_linear_score_is_exact():
    start = starts()
    flow = Flow(steps=8, rate=0.05, scale=2.0, noise=0.3)
    refined = flow.refine(linear, start, noise_for(16))
    drawn = sum(noise_for(16).normal(f"step {step}", DIM) for step in range(8))
    expected = start + 8 * 0.05 * 2 * SLOPE + math.sqrt(2 * 0.05 * 0.3) * drawn
    assert torch.allclose(refined, expected, rtol=0, atol=1e-12)


def test_flow_without_noise_shrinks_a_quadratic_score_geometrically():
    start = starts()
    flow = Flow(steps=9, rate=0.1, scale=1.5, noise=0.0)
    refined = flow.refine(lambda z: -z.square().sum(1) / 2, start, noise_for(16))
    assert torch.allclose(refined, start * (1 - 0.1 * 1.5) ** 9, rtol=1e-13, atol=0)


def test_flow_with_noise_has_the_variance_of_the_discretised_ornstein_uhlenbeck_process():
    """v <- (1 - eta s)^2 v + 2 eta gamma, whose rest is 2 gamma / (s (2 - eta s))."""
    count, rate, scale, gamma = 4000, 0.2, 1.5, 0.5
    flow = Flow(steps=40, rate=rate, scale=scale, noise=gamma)
    start = 3 * noise_for(count).normal("start", DIM)
    refined = flow.refine(lambda z: -z.square().sum(1) / 2, start, noise_for(count))
    expected = 2 * gamma / (scale * (2 - rate * scale))
    error = expected * math.sqrt(2 / (count * DIM))
    assert abs(float(refined.square().mean()) - expected) < 4 * error
    assert abs(float(refined.mean())) < 4 * math.sqrt(expected / (count * DIM))
    correlation = torch.corrcoef(refined.T) - torch.eye(DIM)
    assert float(correlation.abs().max()) < 4.5 / math.sqrt(count)  # of six pairs


def test_noise_moves_flow_and_not_proximal():
    _, score = smooth()
    for cls, moves in ((Flow, True), (Proximal, False)):
        one, other = (cls().refine(score, starts(), noise_for(16, first)) for first in (0, 100))
        assert torch.equal(one, other) is not moves


@pytest.mark.parametrize("cls", [Proximal, Flow])
class TestEvery:
    """What both promise."""

    def test_no_steps_give_a_copy_of_the_start(self, cls):
        start = starts()
        refined = cls(steps=0).refine(linear, start, noise_for(16))
        assert torch.equal(refined, start)
        assert refined.data_ptr() != start.data_ptr()

    def test_parts_of_a_batch_are_refined_alike(self, cls):
        _, score = smooth(scale=50.0)
        whole = cls().refine(score, starts(), noise_for(16))
        parts = [
            cls().refine(
                score,
                starts()[i : i + 5],
                Noise(Key.of(3, "refiners"), torch.arange(16)[i : i + 5], dtype=torch.float64),
            )
            for i in (0, 5, 10, 15)
        ]
        assert float((torch.cat(parts) - whole).abs().max()) <= 1e-9

    def test_switched_off_gradients_change_nothing(self, cls):
        net, score = smooth()
        expected = cls().refine(score, starts(), noise_for(16))
        for off in (torch.no_grad, torch.inference_mode):
            with off():
                refined = cls().refine(score, starts(), noise_for(16))
            assert torch.equal(refined, expected)
        assert not expected.requires_grad
        assert all(parameter.grad is None and parameter.requires_grad for parameter in net.parameters())

    def test_a_frozen_net_is_as_good(self, cls):
        net, score = smooth()
        expected = cls().refine(score, starts(), noise_for(16))
        net.requires_grad_(False)
        assert torch.equal(cls().refine(score, starts(), noise_for(16)), expected)

    def test_nothing_is_read_on_the_host(self, cls):
        _, score = smooth(scale=100.0)
        with HostReads() as reads:
            cls().refine(score, starts(), noise_for(16))
        assert reads.found == []

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
    def test_latents_keep_their_type_and_are_computed_at_least_in_float32(self, cls, dtype):
        """Steps too small for the type add up to one that it can hold."""
        start = torch.full((2, DIM), 1.0, dtype=dtype)
        seen = set()

        def score(latents):
            seen.add(latents.dtype)
            return latents.float() @ SLOPE.float()

        settings = {"steps": 200, "rate": 5e-4, **({"weight": 0.0} if cls is Proximal else {"noise": 0.0})}
        refined = cls(**settings).refine(score, start, noise_for(2))
        assert refined.dtype == dtype
        assert seen == {dtype}
        expected = 1 + 200 * 5e-4 * SLOPE.float()
        assert float((refined.float() - expected).abs().max()) < 2 * torch.finfo(dtype).eps + 1e-5

    def test_settings_are_checked(self, cls):
        assert validate(cls, {"steps": 0}, "refiner")["steps"] == 0
        for wrong in ({"steps": -1}, {"rate": 0}, {"rate": math.inf}, {"steps": 1.5}, {"step": 3}):
            with pytest.raises(ConfigError, match=next(iter(wrong))):
                validate(cls, wrong, "refiner")


def test_proximal_raises_the_score_of_a_trained_game_and_ties_to_the_start():
    from gadkit_plugins.gad.alternating import Alternating
    from gadkit_plugins.minimax.losses import RelativisticPairing
    from gadkit_plugins.minimax.penalties import R1R2

    game = MixtureGame(Mixture.ring(), RelativisticPairing(), R1R2(gamma=0.05), width=32, batch_size=32)
    direction = Alternating()
    for step in range(60):
        game.begin(step)
        direction.step(game)
    start = game.latents(200)
    free, tied = (
        Proximal(weight=weight, rate=0.01).refine(game.score, start, noise_for(200)) for weight in (0.0, 10.0)
    )
    before, after = game.score(start).detach(), game.score(tied).detach()
    assert bool((after >= before).all())
    assert float((after - before).mean()) > 0
    assert float((tied - start).norm(dim=1).mean()) < float((free - start).norm(dim=1).mean())
