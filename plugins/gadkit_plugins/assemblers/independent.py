"""Fresh noise for every frame."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gadkit import Noise, VideoAssembler


class Independent(VideoAssembler):
    """Every frame has a fresh, independent code, as in the GAD article.

    Only the last `motion_dim` entries are fresh (all where that is 0); the others are drawn once a video. Codes are
    standard normal. A time between two frames has the code of the frame before it.
    """

    def codes(self, noise: Noise, times: Tensor, labels: Tensor | None = None, state: Any = None) -> tuple[Tensor, Any]:
        """Codes `(B, N, Z)` at `times` `(B, N)`, and no state; see `gadkit.VideoAssembler.codes`."""
        at = times.floor().to(torch.int64) if times.is_floating_point() else times
        return self.with_content(noise, noise.normal("motion", self.moving, at)), None
