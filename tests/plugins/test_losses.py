"""The losses against their formulas, computed by other means."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from gadkit import Loss
from gadkit.testing import check_loss
from gadkit_plugins.minimax.losses import (
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    RelativisticPairing,
    Wasserstein,
)

REAL = [[0.7], [-1.3], [2.5]]
FAKE = [[-0.4], [1.1], [0.2]]
LOSSES = [Minimax, NonSaturating, Hinge, LeastSquares, Wasserstein, RelativisticPairing]


def sigma(t: float) -> float:
    return 1 / (1 + math.exp(-t))


def mean(terms: list[float]) -> float:
    return sum(terms) / len(terms)


def formulas(cls: type[Loss]) -> tuple[float, float]:
    """(L_D, L_G) on REAL and FAKE from the definitions in terms of log, max and squares."""
    x, y = [row[0] for row in REAL], [row[0] for row in FAKE]
    value = mean([math.log(sigma(t)) for t in x]) + mean([math.log(1 - sigma(t)) for t in y])
    return {
        Minimax: (-value, mean([math.log(1 - sigma(t)) for t in y])),
        NonSaturating: (-value, -mean([math.log(sigma(t)) for t in y])),
        Hinge: (mean([max(0, 1 - t) for t in x]) + mean([max(0, 1 + t) for t in y]), -mean(y)),
        LeastSquares: (
            mean([(t - 1) ** 2 / 2 for t in x]) + mean([t**2 / 2 for t in y]),
            mean([(t - 1) ** 2 / 2 for t in y]),
        ),
        Wasserstein: (mean(y) - mean(x), -mean(y)),
        RelativisticPairing: (
            -mean([math.log(sigma(a - b)) for a, b in zip(x, y, strict=True)]),
            -mean([math.log(sigma(b - a)) for a, b in zip(x, y, strict=True)]),
        ),
    }[cls]


def values(loss: Loss, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    return loss.discriminator(real, fake), loss.generator(fake, real if loss.generator_needs_real else None)


@pytest.mark.parametrize("cls", LOSSES)
def test_values(cls: type[Loss]) -> None:
    real, fake = (torch.tensor(rows, dtype=torch.float64) for rows in (REAL, FAKE))
    for found, expected in zip(values(cls(), real, fake), formulas(cls), strict=True):
        assert float(found) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("cls", LOSSES)
def test_gradients(cls: type[Loss]) -> None:
    """Finite differences in float64, away from the hinge's corners."""
    real, fake = (torch.tensor(rows, dtype=torch.float64).requires_grad_() for rows in (REAL, FAKE))
    for player in range(2):
        loss = cls()
        if player and not loss.generator_needs_real:
            assert torch.autograd.gradcheck(lambda y, loss=loss: loss.generator(y, None), (fake,))
        else:
            assert torch.autograd.gradcheck(lambda x, y, loss=loss, p=player: values(loss, x, y)[p], (real, fake))


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_large_logits(size: float) -> None:
    """float32 at |logit| = 1e4: the exact limits, not inf."""
    real, fake = torch.full((2, 1), size), torch.full((2, 1), -size)
    wrong = max(0.0, -size)  # softplus far out is max(0, t)
    assert [float(v) for v in values(Minimax(), real, fake)] == pytest.approx([2 * wrong, -wrong])
    assert [float(v) for v in values(NonSaturating(), real, fake)] == pytest.approx(
        [2 * wrong, wrong + max(0.0, size) - wrong]
    )
    assert [float(v) for v in values(RelativisticPairing(), real, fake)] == pytest.approx(
        [2 * wrong, 2 * max(0.0, size)]
    )


def test_minimax_is_the_value_function() -> None:
    """At D = 1/2 the value is -log 4; the players pull the fake logit in opposite directions with equal force."""
    zero = torch.zeros(3, 1, dtype=torch.float64)
    assert float(Minimax().discriminator(zero, zero)) == pytest.approx(math.log(4))
    fake = torch.tensor(FAKE, dtype=torch.float64).requires_grad_()
    down = torch.autograd.grad(Minimax().discriminator(fake.detach(), fake), fake)[0]
    up = torch.autograd.grad(Minimax().generator(fake, None), fake)[0]
    torch.testing.assert_close(down, -up)


def test_zero_sum_flags() -> None:
    assert {cls.__name__ for cls in LOSSES if cls.zero_sum} == {"Minimax", "Wasserstein"}
    assert {cls.__name__ for cls in LOSSES if cls.generator_needs_real} == {"RelativisticPairing"}
    with pytest.raises(TypeError, match="without real logits"):
        RelativisticPairing().generator(torch.zeros(1, 1), None)


def test_rpgan_pairs_samples() -> None:
    """Each generated clip meets its own real clip: shuffling one side changes the loss."""
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    loss = RelativisticPairing()
    assert float(loss.discriminator(real, fake)) != pytest.approx(
        float(loss.discriminator(real.flip(0), fake)), abs=1e-4
    )
    assert float(loss.discriminator(real.flip(0), fake.flip(0))) == pytest.approx(float(loss.discriminator(real, fake)))


@pytest.mark.parametrize("cls", LOSSES)
def test_conformance(cls: type[Loss]) -> None:
    check_loss(cls)
