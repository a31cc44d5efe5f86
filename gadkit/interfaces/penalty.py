"""Penalties: what regularises the discriminator's gradient."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from torch import Tensor

from gadkit.randomness import Noise


class Critic(Protocol):
    """The discriminator as a penalty sees it: a function of the video alone.

    Labels and times are bound. The same tensor object is judged once: the critic remembers the
    logits of the real and of the fake batch, so a penalty on them costs no second forward pass.
    """

    def __call__(self, video: Tensor) -> Tensor:
        """One number a clip, `(B,)` float32: the sum of its logits, over the heads with their weights.

        Args:
            video: Clips `(B, N, C, H, W)` in [-1, 1].
        """


class Penalty(ABC):
    """A term added to the discriminator's loss. Settings are the keyword-only arguments of `__init__`.

    Attributes:
        double_backward: Whether the discriminator's gradient with respect to its input is itself differentiated.
            Such a penalty finds `real` and `fake` requiring gradients, and the discriminator is not compiled.
    """

    double_backward: bool = True

    @abstractmethod
    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
        """The penalty, a scalar: a mean over samples, its weight included.

        Args:
            critic: The discriminator with labels and times bound.
            real: `(B, N, C, H, W)` in [-1, 1].
            fake: The same shape; no graph leads from it to the generator.
            noise: Draws for the B pairs.
        """
