"""The small games are what they say: closed forms, geometry, and the promises of `gadkit.Game` and `gadkit.Player`."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from gadkit import Direction, Game
from gadkit.registry import get_registry
from gadkit.testing.games import Mixture, MixtureGame, SmallGame, dirac, held_then_falling


def part(kind: str, name: str, **settings: Any) -> Any:
    return get_registry().find(kind, name).load()(**settings)


def small(seed: int = 0, **settings: Any) -> MixtureGame:
    """Relativistic pairing with both penalties on a ring, in float64."""
    settings = dict[str, Any](width=16, batch_size=8, dtype=torch.float64) | settings
    return MixtureGame(Mixture.ring(), part("loss", "rpgan"), part("penalty", "r1r2", gamma=0.3), seed=seed, **settings)


class Simultaneous(Direction):
    def step(self, game: Game) -> None:
        making, judging = game.generator.gradient(0), game.discriminator.gradient(0)
        game.generator.update(making)
        game.discriminator.update(judging)


def sigma(t: float) -> float:
    return 1 / (1 + math.exp(-t))


def standing(game: SmallGame) -> tuple[float, float]:
    (theta,), (psi,) = game.generator.parameters, game.discriminator.parameters
    return theta.item(), psi.item()


@pytest.mark.parametrize(("theta", "psi"), [(1.0, 1.0), (-2.5, 0.7), (0.3, -3.0)])
def test_gradients_of_the_dirac_gan_are_the_closed_forms(theta: float, psi: float) -> None:
    forms = {
        "minimax": (-psi * sigma(psi * theta), theta * sigma(psi * theta)),
        "nonsaturating": (-psi * sigma(-psi * theta), theta * sigma(psi * theta)),
        "rpgan": (-psi * sigma(-psi * theta), theta * sigma(psi * theta)),
        "wasserstein": (-psi, theta),
    }
    for name, (of_theta, of_psi) in forms.items():
        for penalty, slope in ((None, 0.0), ("r1", 0.3), ("r1r2", 0.6)):
            cost = None if penalty is None else part("penalty", penalty, gamma=0.3)
            game = dirac(part("loss", name), cost, start=(theta, psi))
            assert standing(game) == (theta, psi)
            assert math.isclose(float(game.generator.gradient(0)[0]), of_theta, rel_tol=1e-14)
            assert math.isclose(float(game.discriminator.gradient(0)[0]), of_psi + slope * psi, rel_tol=1e-14)


def test_the_dirac_gan_goes_where_the_recurrence_goes() -> None:
    theta, psi, h = 1.0, -1.0, 0.1  # (1, 1) in the paper's sign of psi
    trail = []
    game = dirac(part("loss", "minimax"), start=(theta, psi), step=h)
    game.play(Simultaneous(), 2000, watch=lambda step: trail.append(math.hypot(*standing(game))))
    for _ in range(2000):
        pull = h * sigma(psi * theta)
        theta, psi = theta + pull * psi, psi - pull * theta
    assert standing(game) == pytest.approx((theta, psi), rel=1e-12)
    assert [round(trail[step - 1], 2) for step in (100, 500, 2000)] == [1.55, 2.25, 3.10]


def test_modes_stand_where_the_mixtures_say() -> None:
    ring, grid = Mixture.ring(count=8, radius=2.0), Mixture.grid(side=5, spacing=2.0)
    assert ring.modes.shape == (8, 2)
    torch.testing.assert_close(ring.modes.norm(dim=1), torch.full((8,), 2.0))
    neighbours = (ring.modes - ring.modes.roll(1, dims=0)).norm(dim=1)
    torch.testing.assert_close(neighbours, torch.full((8,), 4 * math.sin(math.pi / 8)))
    assert sorted(map(tuple, grid.modes.tolist())) == [(x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4)]


def test_draws_are_of_the_mixture() -> None:
    mixture = Mixture.grid()
    points = mixture.draw(50_000, torch.Generator().manual_seed(0))
    nearest = (points[:, None] - mixture.modes).norm(dim=2).argmin(dim=1)
    assert nearest.bincount(minlength=25).sub(2000).abs().max() < 5 * math.sqrt(2000)
    off = points - mixture.modes[nearest]
    torch.testing.assert_close(off.std(dim=0), torch.full((2,), 0.1), rtol=0.02, atol=0)
    assert off.mean(dim=0).abs().max() < 0.003


def test_quality_counts_what_lies_within_three_standard_deviations() -> None:
    mixture = Mixture.grid(std=0.1)
    near, far = [0.2999, 0.0], [0.3001, 0.0]
    corner = [0.215, 0.215]  # 0.304 away, though no coordinate is
    points = torch.tensor([near, near, far, corner, [1.0, 1.0], [4.0, -4.0], [-4.0, -3.71], [-4.31, -4.0]])
    counts = mixture.counts(points)
    middle, right, left = ((mixture.modes == torch.tensor(at)).all(dim=1) for at in ([0, 0], [4, -4], [-4, -4]))
    assert [int(counts[mode]) for mode in (middle, right, left)] == [2, 1, 1]
    assert int(counts.sum()) == 4
    assert mixture.quality(points) == (3, 0.5)
    assert mixture.quality(points[2:5]) == (0, 0.0)
    assert mixture.quality(mixture.modes.double()) == (25, 1.0)


def test_batches_are_functions_of_seed_step_and_draw() -> None:
    def batch(seed: int, step: int, draw: int) -> Tensor:
        game = small()
        game.generator.loss(5)  # what was asked for before does not count
        real, latents = small(seed)._batch(step, draw)
        return torch.cat((real.flatten(), latents.flatten()))

    before = torch.get_rng_state()
    first = batch(0, 3, 1)
    assert torch.equal(batch(0, 3, 1), first)
    for other in ((1, 3, 1), (0, 4, 1), (0, 3, 2)):
        assert not torch.isclose(batch(*other), first).any()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(batch(0, 3, 1), first)


def test_equal_seeds_mean_equal_nets_and_latents() -> None:
    first, again, other = small(0), small(0), small(1)
    everything = [*first.generator.parameters, *first.discriminator.parameters]
    assert all(map(torch.equal, everything, [*again.generator.parameters, *again.discriminator.parameters]))
    assert not torch.equal(first.generator.parameters[0], other.generator.parameters[0])
    assert torch.equal(first.latents(5), again.latents(5))
    assert not torch.isclose(first.latents(5), first.latents(5, seed=1)).any()
    assert first.latents(5).dtype == torch.float64


def test_losses_on_one_graph_have_the_gradients_of_the_players() -> None:
    game = small()
    game.begin(7)
    making, judging = game.generator.parameters, game.discriminator.parameters
    for draw in (0, 1):
        of_generator, of_discriminator = game.losses(draw)
        for loss, parameters, own in (
            (of_generator, making, game.generator.gradient(draw)),
            (of_discriminator, judging, game.discriminator.gradient(draw)),
        ):
            found = torch.autograd.grad(loss, parameters, retain_graph=True)
            for one, other in zip(found, own, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)
        assert torch.autograd.grad(of_generator, judging, create_graph=True)[0].requires_grad  # mixed derivatives
        # The penalty is the discriminator's own: without it the generator would be moved in the same way.
        free = MixtureGame(game.mixture, part("loss", "rpgan"), width=16, batch_size=8, dtype=torch.float64)
        free.begin(7)
        for one, other in zip(
            torch.autograd.grad(of_discriminator, making),
            torch.autograd.grad(free.losses(draw)[1], free.generator.parameters),
            strict=True,
        ):
            torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


def test_gradients_are_those_of_the_losses_by_differences() -> None:
    game = small()
    for player in (game.generator, game.discriminator):
        gradient = player.gradient(0)
        way = [torch.randn(p.shape, generator=torch.Generator().manual_seed(1)).to(p) for p in player.parameters]
        values = []
        for step in (1e-5, -2e-5):
            player.move([step * part for part in way], gradient)
            values.append(player.loss(0).item())
        player.move([1e-5 * part for part in way], gradient)
        slope = sum(float((one * other).sum()) for one, other in zip(gradient, way, strict=True))
        assert math.isclose((values[0] - values[1]) / 2e-5, slope, rel_tol=1e-6)


def test_the_discriminator_judges_each_clip_once() -> None:
    game = small()
    seen = []
    game.judging.register_forward_hook(lambda net, inputs, output: seen.append(len(output)))
    game.discriminator.gradient(0)
    assert seen == [8, 8]


def test_a_player_moves_by_its_optimiser_and_nothing_else() -> None:
    game = small(optimiser=lambda parameters: torch.optim.SGD(parameters, lr=0.5))
    before = [parameter.detach().clone() for parameter in game.discriminator.parameters]
    still = [parameter.detach().clone() for parameter in game.generator.parameters]
    gradient = game.discriminator.gradient(0)
    assert all(map(torch.equal, before, game.discriminator.parameters))
    assert game.discriminator.update(gradient) is True
    for parameter, old, own in zip(game.discriminator.parameters, before, gradient, strict=True):
        torch.testing.assert_close(parameter.detach(), old - 0.5 * own)
        assert parameter.grad is None
    game.discriminator.move([0.5 * own for own in gradient], gradient)
    for parameter, old in zip(game.discriminator.parameters, before, strict=True):
        torch.testing.assert_close(parameter.detach(), old)
    assert all(map(torch.equal, still, game.generator.parameters))


def test_play_goes_through_the_steps_with_the_scheduled_rates() -> None:
    game = small()
    rates: list[float] = []
    batches: list[float] = []
    done: list[int] = []

    class Watching(Direction):
        def step(self, game: Game) -> None:
            rates.extend((game.generator.rate, game.discriminator.rate))
            batches.append(game.generator.gradient(0)[0].sum().item())

    game.play(Watching(), 4, schedule=held_then_falling, watch=done.append)
    assert done == [0, 1, 2, 3]
    assert rates == pytest.approx([2e-3] * 6 + [2e-3 * 0.51] * 2)
    assert len(set(batches)) == 4
    assert (game.generator.rate, game.discriminator.rate) == (2e-3, 2e-3)
    game.play(Watching(), 1)
    assert batches[-1] == batches[0]
    assert [held_then_falling(done) for done in (0, 0.5, 0.75, 1)] == pytest.approx([1, 1, 0.51, 0.02])


def test_a_score_is_the_logit_of_each_latent_alone() -> None:
    game = small()
    latents = game.latents(6)
    scores = game.score(latents)
    assert scores.shape == (6,)
    torch.testing.assert_close(scores, game.judging(game.points(latents)).flatten())
    torch.testing.assert_close(scores[2:3], game.score(latents[2:3]))
    assert game.make(latents).shape == (6, 1, 2, 1, 1)
    assert not game.points(latents).requires_grad


@pytest.mark.parametrize(("loss", "expected"), [("minimax", True), ("rpgan", False)])
def test_a_game_is_zero_sum_where_its_loss_is(loss: str, expected: bool) -> None:
    game = dirac(part("loss", loss), part("penalty", "r1"))
    assert game.zero_sum is expected
    making, judging = game.losses(0)
    (one,) = torch.autograd.grad(making, game.generator.parameters, retain_graph=True)
    (other,) = torch.autograd.grad(judging, game.generator.parameters)
    assert torch.isclose(one, -other) == expected
