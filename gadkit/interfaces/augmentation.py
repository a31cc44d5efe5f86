"""Augmentations: what the discriminator sees of clips, real and generated ones changed alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated

from pydantic import Field
from torch import Tensor

from gadkit.randomness import Noise


class Augmentation(ABC):
    """Changes clips before the discriminator sees them. Settings are the keyword-only arguments of `__init__`.

    A discriminator that has seen every clip many times knows them by heart, and no longer tells the generator what is
    wrong with its own. Where it sees each of them changed in another way, real and generated ones by the same rule,
    it learns them later. No change may make one distribution of clips look like another: the generator would be
    free to learn either (Karras et al. 2020, arXiv:2006.06676, section 2.2, on augmentations that leak).

    Attributes:
        strength: How much, in [0, 1]; a setting that every augmentation has. A schedule may set it anew before each
            step. With `target`, the most that an adaptive strength reaches, which begins at 0.
        target: Where an adaptive strength drives E[sign(D(x) - D(y))], in (-1, 1); `None` for the strength that is set.
        ramp: Clips during which an adaptive strength goes from 0 to 1 at the fastest.
    """

    strength: Annotated[float, Field(ge=0, le=1)]
    target: float | None = None
    ramp: float = 20_000.0

    @abstractmethod
    def __call__(self, video: Tensor, noise: Noise, strength: Tensor) -> Tensor:
        """Clips as the discriminator sees them.

        Every frame of a clip is changed in the same way. What becomes of a clip is a function of it, its own noise and
        the strength, whatever stands beside it. With a strength of 0 it stays exactly as it is. The result is
        differentiable in the video, twice, and nothing is read on the host.

        Args:
            video: `(B, N, C, H, W)` in [-1, 1].
            noise: Draws for the B clips.
            strength: A scalar in [0, 1], in the type and on the device of the video; it may change from step to step.

        Returns:
            `(B, N, C, H, W)` in the type of the video, whose numbers may leave [-1, 1].
        """
