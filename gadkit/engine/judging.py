"""What a discriminator says, in one form, whatever the discriminator."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gadkit.errors import ConfigError
from gadkit.interfaces.discriminator import Discriminator


def judge(
    discriminator: Discriminator, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None
) -> dict[str, Tensor]:
    """The logits of each head, `(B, K)` in float32 (float64 of a float64 net); one head without a name is `""`.

    Args:
        discriminator: Judges.
        video: `(B, N, C, H, W)` in [-1, 1].
        labels: int64 `(B,)`, or `None`.
        times: int64 `(B, N)`, or `None`; see `gadkit.Discriminator.forward`.

    Raises:
        ConfigError: The logits are none of the shape that the discriminator promises.
    """
    logits = discriminator(video, labels, times)
    clips, count = len(video), discriminator.logits
    heads = dict(logits) if isinstance(logits, Mapping) else {"": logits}
    for head, value in heads.items():
        if not isinstance(value, Tensor) or value.shape != (clips, count):
            found = f"the shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"type {type(value).__name__}"
            raise ConfigError(
                f"discriminator: its logits{f' {head!r}' if head else ''} for {clips} clips have {found}, expected "
                f"({clips}, {count}), with as many logits a clip as its attribute `logits` says; mend the "
                "discriminator, or choose another one."
            )
    return {head: value if value.dtype == torch.float64 else value.float() for head, value in heads.items()}


def total(discriminator: Discriminator, heads: Mapping[str, Tensor]) -> Tensor:
    """One number a clip, `(B,)`: the sum of its logits, over the heads with their weights."""
    weights = discriminator.head_weights
    return torch.stack([weights.get(head, 1.0) * logits.sum(dim=1) for head, logits in heads.items()]).sum(dim=0)
