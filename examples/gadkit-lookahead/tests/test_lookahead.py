"""The direction does what its paper says where the answer is known."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from gadkit import Direction, Loss
from gadkit.testing import check_direction
from gadkit.testing.games import dirac
from gadkit_lookahead.lookahead import Lookahead


class Bilinear(Loss):
    """L_D = D(y) - D(x) and L_G = -D(y): on the Dirac-GAN, where D(y) = psi theta, a bilinear game."""

    zero_sum = True

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return (fake - real).mean()

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return -fake.mean()


def played(direction: Direction, steps: int, *, rate: float) -> Tensor:
    """(theta, psi) after so many steps from (1, 1)."""
    game = dirac(Bilinear(), step=rate)
    game.play(direction, steps)
    return torch.stack([*game.generator.parameters, *game.discriminator.parameters]).detach()


def alternating(rate: float) -> Tensor:
    """The linear map of an alternating step: psi -= rate theta, and then theta += rate psi."""
    return torch.tensor([[1 - rate**2, rate], [-rate, 1]], dtype=torch.float64)


@pytest.mark.parametrize("settings", [{"k": 1}, {"k": 2, "alpha": 0.8}], ids=str)
def test_it_conforms_with_other_settings(settings: dict[str, Any]) -> None:
    check_direction(Lookahead, **settings)


@pytest.mark.parametrize(("k", "alpha"), [(1, 0.5), (5, 0.5), (5, 0.9), (7, 1.0)])
def test_rounds_are_powers_of_the_linear_map(k: int, alpha: float) -> None:
    inner = torch.linalg.matrix_power(alternating(0.3), k)
    whole = (1 - alpha) * torch.eye(2, dtype=torch.float64) + alpha * inner
    expected = torch.linalg.matrix_power(whole, 6) @ torch.ones(2, dtype=torch.float64)
    torch.testing.assert_close(played(Lookahead(k=k, alpha=alpha), 6 * k, rate=0.3), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("k", "alpha"), [(1, 0.5), (5, 0.5), (12, 0.2)])
def test_it_contracts_by_the_spectral_radius_where_alternating_steps_circle(k: int, alpha: float) -> None:
    rate, rounds = 0.3, 8
    turn = math.acos(1 - rate**2 / 2)  # the eigenvalues of an alternating step are e^(i turn) and e^(-i turn)
    radius = math.sqrt(1 - 2 * alpha * (1 - alpha) * (1 - math.cos(k * turn)))
    assert radius < 1
    # a quadratic form that the alternating step leaves as it is, and that k steps and the way back shrink by radius^2
    conserved = torch.tensor([[1, -rate / 2], [-rate / 2, 1]], dtype=torch.float64)

    def size(point: Tensor) -> float:
        return math.sqrt(point @ conserved @ point)

    start = size(torch.ones(2, dtype=torch.float64))
    assert size(played(Lookahead(k=k, alpha=1.0), rounds * k, rate=rate)) == pytest.approx(start, rel=1e-9)
    found = size(played(Lookahead(k=k, alpha=alpha), rounds * k, rate=rate))
    assert found == pytest.approx(start * radius**rounds, rel=1e-9)


@pytest.mark.parametrize("overflowed", ["generator", "discriminator"])
def test_players_go_back_together_after_a_step_that_was_made(overflowed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    game, direction = dirac(Bilinear(), step=0.3), Lookahead(k=2)
    position: list[Tensor] = [*game.generator.parameters, *game.discriminator.parameters]
    game.play(direction, 1)
    with monkeypatch.context() as patched:
        patched.setattr(getattr(game, overflowed), "update", lambda gradients: False)
        game.play(direction, 1)
    before = torch.stack(position).detach()
    assert not torch.equal(before, torch.ones(2, dtype=torch.float64))
    assert direction.slow
    game.play(direction, 1)
    expected = (1 + alternating(0.3) @ before) / 2
    torch.testing.assert_close(torch.stack(position).detach(), expected, rtol=0, atol=1e-12)
    assert not direction.slow


def test_another_directions_state_is_refused() -> None:
    with pytest.raises(KeyError):
        Lookahead().load_state_dict({"generator": {}, "discriminator": {}})
