"""What the motion of a clip looks like: a few numbers a clip, and what they say.

Three views of a clip are taken. Its *block means*: the frames averaged over a grid of at most 16×16 blocks, in which
noise and compression count little, and from which follow the distances between all pairs of frames. Its *samples*:
the pixels of a lattice of at most 32×32, which are not averaged, for the spectrum. And all its pixels, for the amount
of motion. Every sum of pixels is exact, so that neither the batch nor the device changes more than the last digits.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gadkit import DataError

#: Columns of the rows.
STILL, FLICKER, ORDER, LOOP, MOTION, SPECTRUM = 0, 1, 2, 3, 4, 5
#: Frequencies of the spectrum, in cycles a frame: 0, 1/16, ... 1/2.
FREQUENCIES = tuple(number / 16 for number in range(9))
WIDTH = SPECTRUM + len(FREQUENCIES)
#: The fewest frames: in fewer, too many random orders are as smooth as the true one.
FEWEST_FRAMES = 8

KINDS = ("frozen", "flickering", "shuffled", "looping")
#: Thresholds, the same for all data. On one part of 732 animated emoji each lies where the balanced error is within
#: half a point of its smallest (`benchmarks/motion.py --split --thresholds`, which says what they achieve elsewhere).
FROZEN_BELOW = 2.5  # grey levels
FLICKERING_ABOVE = 4.0  # grey levels
SHUFFLED_ABOVE = -3.0  # standard deviations
LOOPING_BELOW = 1.1

_GRID, _LATTICE = 16, 32
_PIECE = 8  # clips worked on at once: they stay in the cache


def motion_rows(video: Tensor) -> Tensor:
    """The numbers of every clip, each a function of that clip alone.

    `STILL`: the standard deviation over time of the block that changes most, its colours averaged, in grey levels.
    `FLICKER`: how far the brightness of a frame stands out from those before and after it, both on the same side: the
    smaller of the two steps, in grey levels, of the frame and the colour channel where it is largest. Steps are taken
    as they are, and without the clip's mean step, and the smaller result counts: a cut, or a step within a fade, is no
    flicker.
    `ORDER`: `order_score`. `LOOP`: `loop_score`.
    `MOTION`: the mean absolute difference of consecutive frames, in grey levels.
    From `SPECTRUM` on: the mean power of the frame differences at `FREQUENCIES`, in squared grey levels; differences
    that are white noise of variance v have v at each.

    Args:
        video: uint8 `(B, T, 3, H, W)`, T at least 8.

    Returns:
        float64 `(B, 14)`, on the video's device where that has float64, otherwise on the CPU.

    Raises:
        DataError: T is smaller.
    """
    if video.shape[1] < FEWEST_FRAMES:
        raise DataError(
            f"motion: found clips of {video.shape[1]} frames, expected at least {FEWEST_FRAMES}: take longer clips."
        )
    if video.device.type == "mps":
        video = video.cpu()
    return torch.cat([_rows(piece) for piece in video.split(_PIECE)]) if len(video) else _rows(video)


def kinds(rows: Tensor) -> Tensor:
    """What clips are, a clip possibly of several kinds: bool `(B, 4)` in the order of `KINDS`.

    Flickering: brightness leaps back and forth by `FLICKERING_ABOVE`. Frozen: no block changes by `FROZEN_BELOW`, and
    nothing flickers. Clips in which more changes may be looping, `loop_score` below `LOOPING_BELOW`, and shuffled,
    frames in an order that is hardly smoother than a random one, `order_score` above `SHUFFLED_ABOVE`: those that
    repeat every few frames are often both.
    """
    moving = rows[:, STILL] >= FROZEN_BELOW
    flickering = rows[:, FLICKER] > FLICKERING_ABOVE
    shuffled = moving & (rows[:, ORDER] > SHUFFLED_ABOVE)
    looping = moving & (rows[:, LOOP] < LOOPING_BELOW)
    return torch.stack([~moving & ~flickering, flickering, shuffled, looping], dim=1)


def distances(points: Tensor) -> Tensor:
    """Mean squared differences between all frames of a clip: float64 `(B, T, N)` to `(B, T, T)`."""
    points = points - points.mean(1, keepdim=True)
    inner = points @ points.mT
    squares = inner.diagonal(dim1=1, dim2=2)
    return ((squares[:, :, None] + squares[:, None] - 2 * inner) / points.shape[2]).clamp(min=0)


def order_score(squared: Tensor) -> Tensor:
    """How much longer the way through the frames is, in their order, than in a random one.

    The way's length is the sum of the distances (RMS) between consecutive frames. Over all orders of the same frames
    its mean and variance have closed forms; the score is its deviation from that mean in standard deviations. Frames in
    random order have mean 0 and variance 1 whatever they show; in order, the way is short, and the score far below 0.

    Args:
        squared: Squared distances, float64 `(B, T, T)`, symmetric, 0 on the diagonal, T at least 4.

    Returns:
        float64 `(B,)`; 0 where all distances are equal, or all but vanish.
    """
    lengths = squared.sqrt()
    count = lengths.shape[1]
    pairs = count * (count - 1) / 2
    mean = lengths.sum((1, 2), keepdim=True) / (2 * pairs)
    # The deviations c of the pairs from their mean sum to 0. A way has T − 1 pairs; T − 2 times do two share a frame.
    c = (lengths - mean) * (1 - torch.eye(count, dtype=lengths.dtype, device=lengths.device))
    same = (c**2).sum((1, 2)) / 2  # Σ c² over pairs
    sharing = ((c.sum(2) ** 2).sum(1) - 2 * same) / 2  # Σ c c' over pairs of pairs with one frame in common
    apart = -same / 2 - sharing  # ... with none: all these sums make 0
    among = pairs * (count - 2)
    variance = (
        (count - 1) * same / pairs
        + 2 * (count - 2) * sharing / among
        + (count - 2) * (count - 3) * apart / (pairs * (pairs - 1) / 2 - among)
    )
    steps = c.diagonal(1, 1, 2).sum(1)
    scale = (count * mean.flatten() ** 2).clamp(min=1e-12)
    return torch.where(variance > 1e-12 * scale, steps / variance.clamp(min=1e-300).sqrt(), 0.0)


def loop_score(squared: Tensor) -> Tensor:
    """How well a clip repeats itself: about 1 or below where it does, 0 where it does so exactly.

    Of each period p of 2 to T/2 frames: the largest distance between frames p apart, in units of the mean one between
    neighbours (or half that between frames less than p apart, where this is more). The score is the smallest of these.
    A clip that moves on has frames p apart that are further from each other than neighbours are.

    Args:
        squared: Squared distances, float64 `(B, T, T)`, T at least 4.

    Returns:
        float64 `(B,)`, at most 1e6; that also for clips that do not move.
    """
    count = squared.shape[1]
    most = torch.stack([squared.diagonal(lag, 1, 2).amax(1) for lag in range(1, count // 2 + 1)], dim=1)
    mean = torch.stack([squared.diagonal(lag, 1, 2).mean(1) for lag in range(1, count // 2 + 1)], dim=1)
    unit = torch.maximum(mean[:, :1], mean.cummax(1).values[:, :-1] / 2)
    return torch.where(unit > 1e-9, most[:, 1:] / unit.clamp(min=1e-9), 1e6).amin(1).clamp(max=1e6)


def spectrum(frames: Tensor) -> Tensor:
    """The mean power of frame differences at `FREQUENCIES`: float64 `(B, T, N)` to `(B, 9)`.

    |Σ_t d_t exp(−2πi f t)|² / (T − 1), d_t = x_(t+1) − x_t, the mean over N.
    """
    steps = frames.diff(dim=1)
    inner = steps @ steps.mT
    lags = torch.arange(inner.shape[1], device=inner.device)
    apart = (lags[:, None] - lags).to(inner.dtype)
    waves = torch.stack([torch.cos(2 * math.pi * frequency * apart) for frequency in FREQUENCIES])
    power = torch.einsum("bst,fst->bf", inner, waves)
    return (power / (steps.shape[1] * steps.shape[2])).clamp(min=0)


def _rows(video: Tensor) -> Tensor:
    """`motion_rows` of a few clips."""
    height, width = video.shape[3:]
    sums, pixels = _block_sums(video)
    blocks = sums / pixels
    still = blocks.mean(2).std(1, correction=0).flatten(1).amax(1)
    step = (sums.sum((3, 4)) / (height * width)).diff(dim=1)
    leap = torch.minimum(_leaps(step), _leaps(step - step.mean(1, keepdim=True)))
    squared = distances(blocks.flatten(2))
    later, earlier = video[:, 1:], video[:, :-1]
    change = torch.maximum(later, earlier) - torch.minimum(later, earlier)
    motion = change.sum(4, dtype=torch.int32).flatten(1).sum(1).double() / (change.shape[1] * 3 * height * width)
    lattice = video[..., :: -(-height // _LATTICE), :: -(-width // _LATTICE)]
    numbers = [still, leap.flatten(1).amax(1), order_score(squared), loop_score(squared), motion]
    return torch.cat([torch.stack(numbers, dim=1), spectrum(lattice.flatten(2).double())], dim=1)


def _leaps(step: Tensor) -> Tensor:
    """Of each two consecutive steps, `(B, T - 1, 3)`, the smaller where they go in opposite directions, otherwise 0."""
    before, after = step[:, :-1], step[:, 1:]
    return torch.minimum(before.abs(), after.abs()) * (before * after < 0)


def _block_sums(video: Tensor) -> tuple[Tensor, Tensor]:
    """The sums over at most 16×16 blocks, float64 `(B, T, 3, h, w)`, and how many pixels these have, `(h, w)`."""
    down, across = (_membership(size, video.device) for size in video.shape[3:])
    sums = down @ (video.float() @ across.float().T).double()
    return sums, down.sum(1)[:, None] * across.sum(1)


def _membership(size: int, device: torch.device) -> Tensor:
    """Which of the at most 16 blocks each place lies in: 0 or 1, float64 `(blocks, size)`."""
    blocks = min(size, _GRID)
    place = torch.arange(size, device=device) * blocks // size
    return (place == torch.arange(blocks, device=device)[:, None]).double()
