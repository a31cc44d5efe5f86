"""What refiners share: the slope of a score, and steps that keep latents finite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from gadkit import Score


@contextmanager
def differentiable() -> Iterator[None]:
    """Gradients are taken inside, whatever the caller has switched off."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def beginning(start: Tensor) -> Tensor:
    """A copy of the latents to compute with, at least float32."""
    return start.detach().to(torch.promote_types(start.dtype, torch.float32), copy=True)


def value_and_slope(score: Score, latents: Tensor) -> tuple[Tensor, Tensor]:
    """The scores `(B,)` of latents `(B, L)` and their gradients `(B, L)`, without a graph.

    Samples do not depend on each other, so the gradient of the sum holds that of each.
    """
    latents = latents.detach().requires_grad_()
    values = score(latents)
    (slope,) = torch.autograd.grad(values.sum(), latents)
    return values.detach(), slope


def moved(latents: Tensor, step: Tensor) -> Tensor:
    """`latents + step`, both `(B, L)`; a sample for which that is not finite stays where it is."""
    there = latents + step
    return torch.where(there.isfinite().all(dim=1, keepdim=True), there, latents)
