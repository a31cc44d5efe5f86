"""What the loss promises beyond its interface."""

from __future__ import annotations

import math

import torch

from gadkit_shimmer.loss import ShimmerLoss


def test_it_is_log_cosh() -> None:
    loss = ShimmerLoss(target=1.5)
    real, fake = torch.tensor([[3.0]], dtype=torch.float64), torch.tensor([[0.5]], dtype=torch.float64)
    expected = math.log(math.cosh(3.0 - 1.5)) + math.log(math.cosh(0.5))
    assert math.isclose(loss.discriminator(real, fake).item(), expected, rel_tol=1e-12)
    assert math.isclose(loss.generator(fake, None).item(), math.log(math.cosh(0.5 - 1.5)), rel_tol=1e-12)
