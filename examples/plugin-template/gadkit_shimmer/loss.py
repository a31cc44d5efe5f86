"""The loss: logits to the two players' losses."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field
from torch import Tensor
from torch.nn.functional import softplus

from gadkit import Loss, Scheduled


class ShimmerLoss(Loss):
    """Real logits to `target` and generated ones to 0, by log cosh: least squares near them, linear far away.

    Mao et al. 2017, arXiv:1611.04076 (LSGAN), with a penalty that a few outliers do not rule.

    Args:
        target: Where the real logits are pulled to.
    """

    # A number of the type Scheduled may change during a run. Keep it as it is, and read it in every step.
    def __init__(self, *, target: Annotated[Scheduled, Field(gt=0)] = 1.0) -> None:
        self.target = target

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """E log cosh(D(x) - target) + E log cosh(D(y))."""
        return _log_cosh(real - self.target).mean() + _log_cosh(fake).mean()

    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """E log cosh(D(y) - target)."""
        return _log_cosh(fake - self.target).mean()


def _log_cosh(x: Tensor) -> Tensor:
    """log cosh x without overflow: |x| + log(1 + exp(-2|x|)) - log 2."""
    return x.abs() + softplus(-2 * x.abs()) - math.log(2)
