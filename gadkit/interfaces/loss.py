"""Losses: logits to the two players' losses."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor


class Loss(ABC):
    """The two players' objectives, each to be minimised.

    Logits are `(B, K)` float32 (float64 in a float64 run), real and fake in the same order of samples. For a
    discriminator with several heads the loss is taken for each and summed with the heads' weights. A loss is a function
    of them that remembers nothing. Settings are the keyword-only arguments of `__init__`.

    Attributes:
        zero_sum: Whether the generator's loss is the negated discriminator's loss, up to terms without gradient.
        generator_needs_real: Whether `generator` uses the real logits; where not, they are not computed for it.
        logits: K that the loss asks for, or `None` for any.
    """

    zero_sum: bool = False
    generator_needs_real: bool = False
    logits: int | None = None

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss, a scalar: a mean over samples, so that equal parts of a batch average to it.

        Args:
            real: Logits of real clips, `(B, K)`.
            fake: Logits of generated clips, `(B, K)`, of the same samples.
        """

    @abstractmethod
    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        """The generator's loss, a scalar mean over samples; `real` is `None` unless `generator_needs_real`.

        Args:
            fake: Logits of generated clips, `(B, K)`.
            real: Logits of real clips, `(B, K)`, of the same samples, or `None`.
        """
