"""Blocks of a causal transformer: layers look back a fixed number of frames, and their keys and values are kept."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gadkit_plugins.assemblers.layers import linear

_BASE = 10_000.0  # of the angles' wavelengths (Su et al. 2021, section 3.2.2)

_ALIKE = 0.1  # the spread of scores at the beginning: all frames of the window count alike

#: Keys, not yet turned, and values of a layer, `(B, heads, m, width / heads)` each.
Kept = tuple[Tensor, Tensor]


class Turns:
    """Rotary positions (Su et al. 2021): cosines and sines for `count` consecutive frames.

    A score depends on the distance of two frames alone, so frames are counted from the first one that is kept, and
    angles are taken in float64: they are as exact at frame 100,000 as at frame 0.

    Args:
        count: Frames.
        size: Entries of a key, an even number.
        like: Of the type and on the device that is wanted.
    """

    def __init__(self, count: int, size: int, like: Tensor) -> None:
        device = torch.device("cpu") if like.device.type == "mps" else like.device  # mps has no float64
        places = torch.arange(count, device=device, dtype=torch.float64)
        speeds = _BASE ** (torch.arange(0, size, 2, device=device, dtype=torch.float64) / -size)
        angles = places.unsqueeze(1) * speeds
        self._cos, self._sin = (part.to(like.device, like.dtype) for part in (angles.cos(), angles.sin()))

    def __call__(self, x: Tensor) -> Tensor:
        """Turns the last n frames' keys or queries `(B, heads, n, size)`; pairs are entries i and i + size / 2."""
        cos, sin = self._cos[-x.shape[2] :], self._sin[-x.shape[2] :]
        one, other = x.chunk(2, dim=-1)
        return torch.cat((one * cos - other * sin, one * sin + other * cos), dim=-1)


def band(new: int, kept: int, window: int, device: torch.device) -> Tensor:
    """Which of `kept + new` frames each of the `new` ones may look at: itself and the `window - 1` before it, bool."""
    behind = (torch.arange(new, device=device) + kept).unsqueeze(1) - torch.arange(kept + new, device=device)
    return (behind >= 0) & (behind < window)


class Block(nn.Module):
    """Attention and a net for each frame, each after a layer norm and added to what comes in (Xiong et al. 2020).

    Attention is written as products and a softmax, which can be differentiated twice.

    Args:
        width: Entries of a frame's vector.
        heads: Heads, which divide the width into even numbers.
        look: What the attention's output is scaled by at the beginning.
        net: What the net's output is scaled by.
    """

    def __init__(self, width: int, heads: int, look: float, net: float) -> None:
        super().__init__()
        self._heads = heads
        self.before_attention, self.before_net = nn.LayerNorm(width), nn.LayerNorm(width)
        self.look = linear(width, 3 * width)
        self.look.weight.data[:width].mul_(_ALIKE)
        self.join = linear(width, width, look)
        self.wide = linear(width, 4 * width)
        self.narrow = linear(4 * width, width, net)

    def forward(self, x: Tensor, kept: Kept, turns: Turns, allowed: Tensor) -> tuple[Tensor, Kept]:
        """The frames' vectors after this layer, and the keys and values of all frames that it saw.

        Args:
            x: `(B, n, width)`, the new frames.
            kept: Keys and values of the m frames before them.
            turns: Of m + n frames.
            allowed: `band` of them, `(n, m + n)`.

        Returns:
            `(B, n, width)`, and keys and values `(B, heads, m + n, width / heads)`.
        """
        batch, new, width = x.shape
        parts = self.look(self.before_attention(x)).view(batch, new, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
        queries = parts[0]
        keys, values = (torch.cat((old, fresh), dim=2) for old, fresh in zip(kept, parts[1:], strict=True))
        scores = turns(queries) @ turns(keys).transpose(2, 3) / math.sqrt(queries.shape[3])
        weights = scores.masked_fill(~allowed, -math.inf).softmax(dim=3)
        seen = (weights @ values).transpose(1, 2).reshape(batch, new, width)
        x = x + self.join(seen)
        x = x + self.narrow(nn.functional.gelu(self.wide(self.before_net(x))))
        return x, (keys, values)
