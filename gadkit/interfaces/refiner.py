"""Refiners: latents moved along the discriminator's gradient, before a video is kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Protocol

from pydantic import Field
from torch import Tensor

from gadkit.randomness import Noise


class Score(Protocol):
    """What the discriminator says of the videos that latents make; differentiable in the latents."""

    def __call__(self, latents: Tensor) -> Tensor:
        """A number for each latent, a function of that latent alone.

        Args:
            latents: `(B, L)` in floating point.

        Returns:
            `(B,)`, at least float32, larger for more real.
        """


class Refiner(ABC):
    """Moves latents along the gradient of a score. Settings are the keyword-only arguments of `__init__`.

    Attributes:
        steps: Steps of a refinement, 0 for none; a setting that every refiner has.
    """

    steps: Annotated[int, Field(ge=0)]

    @abstractmethod
    def refine(self, score: Score, start: Tensor, noise: Noise) -> Tensor:
        """Refined latents.

        What becomes of a latent does not depend on those beside it, nothing is read on the host, and no gradient is
        left on parameters. Called inside or outside `torch.no_grad`.

        Args:
            score: Judges latents. A call costs a forward pass of generator and discriminator, its gradient another.
            start: z0, `(B, L)` in floating point: all that a model draws for a window of a video, content and motion.
            noise: Draws for the B samples.

        Returns:
            `(B, L)` in the type of `start`, without a graph.
        """
