"""Twice and half the resolution, in space and in time, with the filter [1, 2, 1].

Each is a small matrix for a side: a product of matrices, whose gradients of any order are products again. On CPUs that
is 2 to 6 times faster than sums of slices, and does not depend on the type, as depthwise convolutions do.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gadkit_plugins.residual.convolution import Convolution


def halving(size: int, device: torch.device | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
    """Half of a side: y[i] = (x[2i - 1] + 2 x[2i] + x[2i + 1]) / 4, what lies outside repeating the side's end.

    Returns:
        `(ceil(size / 2), size)`, rows of sum 1.
    """
    x = torch.eye(size, device=device, dtype=dtype)
    even, odd = x[0::2], x[1::2]
    after = torch.cat((odd, x[-1:])) if size % 2 else odd
    before = torch.cat((x[:1], odd))[: len(even)]
    return even / 2 + (before + after) / 4


def doubling(size: int) -> Tensor:
    """Twice a side: y[2i] = x[i], y[2i + 1] = (x[i] + x[i + 1]) / 2, the last one repeated.

    That is zeros between the pixels, convolved with [1, 2, 1] / 2. Returns `(2 size, size)`.
    """
    x = torch.eye(size)
    after = torch.cat((x[1:], x[-1:]))
    return torch.stack((x, (x + after) / 2), dim=1).flatten(0, 1)


class Resample(nn.Module):
    """Another resolution, and a 1x1 convolution where the width changes.

    Args:
        before: Channels of the input.
        after: Channels of the output.
        height: The matrix for the height, `(H', H)`.
        width: The matrix for the width, `(W', W)`.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, before: int, after: int, height: Tensor, width: Tensor) -> None:
        super().__init__()
        self.register_buffer("rows", height, persistent=False)
        self.register_buffer("columns", width, persistent=False)
        self.change = Convolution(before, after, 1, bias=False) if before != after else None

    def forward(self, x: Tensor) -> Tensor:
        """`(N, before, H, W)` to `(N, after, H', W')`."""
        # both orders give the same: the 1x1 convolution goes where there are fewer pixels
        if self.change is None:
            return self._resample(x)
        if len(self.rows) > x.shape[2]:
            return self._resample(self.change(x))
        out: Tensor = self.change(self._resample(x))
        return out

    def _resample(self, x: Tensor) -> Tensor:
        n, channels, height, width = x.shape
        high, wide = len(self.rows), len(self.columns)
        # channels last in memory, as they are here, every change of shape is a view
        y = _product(self.rows, x.permute(0, 2, 3, 1).reshape(n, height, width * channels))
        y = _product(self.columns, y.reshape(n * high, width, channels))
        return y.reshape(n, high, wide, channels).permute(0, 3, 1, 2)


def halved_in_time(x: Tensor, frames: int) -> Tensor:
    """Half the frames, rounded up: `(B * T, C, H, W)` to `(B * ceil(T / 2), C, H, W)`; `frames` is T."""
    channels, height, width = x.shape[1:]
    rows = x.permute(0, 2, 3, 1).reshape(-1, frames, height * width * channels)
    y = _product(halving(frames, x.device, x.dtype), rows)
    return y.reshape(-1, height, width, channels).permute(0, 3, 1, 2)


def _product(matrix: Tensor, x: Tensor) -> Tensor:
    """The same matrix times every matrix of a batch."""
    out: Tensor = torch.matmul(matrix.to(x.dtype).expand(len(x), -1, -1), x)
    return out
