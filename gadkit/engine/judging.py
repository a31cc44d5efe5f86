"""What a discriminator says, in one form, whatever the discriminator."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from gadkit.errors import ConfigError
from gadkit.interfaces.discriminator import Discriminator, logit_count


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
    clips = len(video)
    heads = dict(logits) if isinstance(logits, Mapping) else {"": logits}
    if isinstance(discriminator.logits, Mapping) and heads.keys() != discriminator.logits.keys():
        raise ConfigError(
            f"discriminator: it gives logits of the heads {sorted(heads)}, expected {sorted(discriminator.logits)}, "
            "which its attribute `logits` names; mend the discriminator, or choose another one."
        )
    for head, value in heads.items():
        count = logit_count(discriminator, head)
        if not isinstance(value, Tensor) or value.shape != (clips, count):
            found = f"the shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"type {type(value).__name__}"
            raise ConfigError(
                f"discriminator: its logits{f' {head!r}' if head else ''} for {clips} clips have {found}, expected "
                f"({clips}, {count}), with as many logits a clip as its attribute `logits` says; mend the "
                "discriminator, or choose another one."
            )
    return {head: value if value.dtype == torch.float64 else value.float() for head, value in heads.items()}


def total(discriminator: Discriminator, heads: Mapping[str, Tensor]) -> Tensor:
    """One number a clip, `(B,)`: the sum of its logits, over the heads with their weights.

    Args:
        discriminator: Whose weights of heads are taken.
        heads: Logits `(B, K)` by head, as `judge` gives them.
    """
    weights = discriminator.head_weights
    return torch.stack([weights.get(head, 1.0) * logits.sum(dim=1) for head, logits in heads.items()]).sum(dim=0)


class BoundCritic:
    """The discriminator with labels and times bound; each tensor object is judged once (see `gadkit.Critic`).

    What changes clips on the way to the discriminator does so in here, so that a penalty's gradient is one with
    respect to the clips as they were.

    Args:
        discriminator: Judges.
        labels: int64 `(B,)`, or `None`.
        times: int64 `(B, N)`, or `None`; see `gadkit.Discriminator.forward`.
        augment: Changes clips before they are judged, as `Augmenter.bind` gives it; `None` leaves them as they are. It
            changes the clip at each place of a batch in one way, whichever tensor it stands in: a critic is one
            function, of which a penalty may take finite differences.
    """

    def __init__(
        self,
        discriminator: Discriminator,
        labels: Tensor | None = None,
        times: Tensor | None = None,
        augment: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self._discriminator = discriminator
        self._labels = labels
        self._times = times
        self._augment = augment
        self._known: list[tuple[Tensor, dict[str, Tensor]]] = []

    def anew(self) -> BoundCritic:
        """The same function, with nothing judged yet: for another precision."""
        return BoundCritic(self._discriminator, self._labels, self._times, self._augment)

    def heads(self, video: Tensor) -> dict[str, Tensor]:
        """The logits `(B, K)` of each head.

        Args:
            video: Clips `(B, N, C, H, W)` in [-1, 1].
        """
        for known, logits in self._known:
            if known is video:
                return logits
        seen = video if self._augment is None else self._augment(video)
        logits = judge(self._discriminator, seen, self._labels, self._times)
        self._known.append((video, logits))
        return logits

    def __call__(self, video: Tensor) -> Tensor:
        """One number a clip; see `gadkit.Critic`."""
        return total(self._discriminator, self.heads(video))
