"""A fixed random network: a 3D residual net whose weights are drawn, not trained.

Nets with random weights embed images well enough to compare sets of them: Naeem et al. 2020, arXiv:2002.09797
(section 4, random embeddings), and Lee, Kim & Lee 2022, arXiv:2208.09218. Averages of fixed random nonlinear functions
are random features in the sense of Rahimi & Recht 2007 ("Random features for large-scale kernel machines").
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

from gadkit import DataError, Features, Key
from gadkit.randomness import bits

#: H and W that frames are brought to.
SIZE = 64
#: Channels of the stem and of each residual block.
WIDTHS = (20, 16, 20, 24)
#: The stem's filters by what they see.
STEM = {"light": 4, "detail": 8, "motion": 8}
#: ReLU's outputs times this have variance 1 where its inputs are standard normal and weights have no mean
#: (Brock et al. 2021, arXiv:2101.08692, section 4.2).
GAIN = math.sqrt(2 / (1 - 1 / math.pi))
#: What a response has to exceed for its logarithm to be told from the response itself.
KNEE = 0.1
#: Bits of a drawn weight: few enough that sums of squares over a kernel are exact in 64 bits.
BITS = 12


class RandomR3D(Features):
    """A 3D residual net with fixed random weights: offline, quick, comparable with nothing published.

    Frames are brought to 64×64. A stem of 3×3×3 filters and three residual blocks of (2+1)D convolutions (the form of
    Tran et al. 2018, arXiv:1711.11248), each at half the size of what is before it, keep their variance by scaled
    weight standardisation (Brock et al. 2021, arXiv:2101.08692) instead of a normalisation that looks at the data. A
    quarter of the stem's filters sees colour and light, half of them detail (their weights sum to zero over space), a
    quarter motion (they sum to zero over time), as half of each block's temporal filters do.

    Of every channel at every depth, after its ReLU, three numbers describe the clip: the mean over space and time, the
    standard deviation over space of the mean over time, and the mean over space of the standard deviation over time,
    which is 0 where nothing moves. They are given as log(1 + 10x), so that strong responses count by their ratios and
    none of them makes up a distance by itself. D = 240: a few hundred clips give a covariance of full rank.

    Weights are integers of `gadkit.randomness`, standardised by exact sums and one correctly rounded square root: the
    same bits on every machine. What is finer than 1/64 of the frame is not seen.
    """

    frames = (2, None)
    preparation = {"size": SIZE, "resize": "bilinear, antialias, aspect ratio not kept", "range": [-2, 2]}

    def __init__(self) -> None:
        super().__init__()
        self.dim = 3 * sum(WIDTHS)
        for name, value in draw().items():
            self.register_buffer(name, value)

    def forward(self, video: Tensor) -> Tensor:
        """Vectors of clips.

        Args:
            video: uint8 `(B, T, 3, H, W)`, T at least 2.

        Returns:
            float32 `(B, 240)`, none negative.

        Raises:
            DataError: The clips are of another type or shape.
        """
        if video.dtype != torch.uint8 or video.ndim != 5 or video.shape[2] != 3 or video.shape[1] < self.frames[0]:
            raise DataError(
                f"random-r3d: found clips of {video.dtype} and shape {tuple(video.shape)}, expected torch.uint8 "
                f"(B, T, 3, H, W) with T at least {self.frames[0]}; give it pixels from 0 to 255, frame by frame."
            )
        # A clip at a time stays in a processor's cache, takes little memory, and cannot depend on those beside it.
        parts = video.split(1 if video.device.type == "cpu" else max(1, len(video)))
        return torch.cat([self._rows(part) for part in parts])

    def _rows(self, video: Tensor) -> Tensor:
        x = _over_time(_standard(video), self.get_buffer("stem"))
        rows = []
        for number in range(len(WIDTHS)):
            if number:
                x = self._block(number, x)
            x = functional.relu(x, inplace=True).mul_(GAIN)
            rows += _describe(x)
        return torch.log1p(torch.cat(rows, dim=1) / KNEE)

    def _block(self, number: int, x: Tensor) -> Tensor:
        """A residual block, from activations at one size to responses at half of it."""
        x = _halved(x, time=number > 1)
        kernels = {part: self.get_buffer(f"block{number}_{part}") for part in ("skip", "space", "time")}
        skipped = _convolved(x, kernels["skip"].squeeze(2))
        inner = functional.relu(skipped).mul_(GAIN)
        inner = _convolved(inner, kernels["space"].squeeze(2), padding=1)
        inner = functional.relu(inner, inplace=True).mul_(GAIN)
        return _over_time(inner, kernels["time"]).add_(skipped).mul_(math.sqrt(0.5))


def draw(seed: int = 0) -> dict[str, Tensor]:
    """The network's weights by name, float32 on the CPU: kernels `(out, in, time, height, width)` of norm 1.

    Args:
        seed: Another gives another network, as good; `RandomR3D` is that of 0.
    """
    key = Key.of(seed, "random-r3d")
    space, time, whole = (3, 4), (2,), (1, 2, 3, 4)
    shape = (3, 3, 3, 3)
    over: dict[str, tuple[int, ...]] = {"light": (), "detail": space, "motion": time}
    filters = [_kernels(key.fold("stem", kind), count, shape, over[kind]) for kind, count in STEM.items()]
    weights = {"stem": torch.cat(filters)}
    for number, (before, width) in enumerate(pairwise(WIDTHS), start=1):
        own = key.fold("block", number)
        half = width // 2
        weights[f"block{number}_skip"] = _kernels(own.fold("skip"), width, (before, 1, 1, 1), whole)
        weights[f"block{number}_space"] = _kernels(own.fold("space"), width, (width, 1, 3, 3), whole)
        order = [_kernels(own.fold("order"), half, (width, 3, 1, 1), time)]
        order.append(_kernels(own.fold("time"), width - half, (width, 3, 1, 1), whole))
        weights[f"block{number}_time"] = torch.cat(order)
    return weights


def _kernels(key: Key, count: int, shape: tuple[int, ...], centred: tuple[int, ...]) -> Tensor:
    """Uniform random kernels `(count, *shape)` of norm 1, whose mean over some dimensions is 0."""
    numbers, nowhere = torch.arange(count, device="cpu"), torch.zeros((), dtype=torch.int64, device="cpu")
    words = bits(key, numbers, nowhere, math.prod(shape)) >> (32 - BITS)
    whole: Tensor = 2 * words.view(count, *shape) - (2**BITS - 1)
    if centred:
        whole = math.prod(whole.shape[axis] for axis in centred) * whole - whole.sum(centred, keepdim=True)
    squares = whole.square().flatten(1).sum(1)
    norms: Tensor = squares.double().sqrt().view(-1, 1, 1, 1, 1)
    return (whole.double() / norms).float()


def _standard(video: Tensor) -> Tensor:
    """Pixels about 0, float32 `(B, T, 64, 64, 3)`, in units of 64 grey levels: about their deviation in footage."""
    frames = video.flatten(0, 1).float()
    if frames.shape[-2:] != (SIZE, SIZE):
        frames = functional.interpolate(frames, (SIZE, SIZE), mode="bilinear", antialias=True, align_corners=False)
    return _clips(frames, video.shape[1]).contiguous().sub_(127.5).div_(64)


def _frames(x: Tensor) -> Tensor:
    """`(B, T, H, W, C)` as images `(B T, C, H, W)` whose channels lie last: ten times as fast on processors."""
    return x.flatten(0, 1).permute(0, 3, 1, 2)


def _clips(images: Tensor, frames: int) -> Tensor:
    """Images `(B T, C, H, W)` as `(B, T, H, W, C)`."""
    last = images.permute(0, 2, 3, 1)
    return last.reshape(-1, frames, *last.shape[1:])


def _convolved(x: Tensor, kernels: Tensor, padding: int = 0) -> Tensor:
    """A convolution of every frame of `(B, T, H, W, C)` with kernels `(K, C, h, w)`."""
    return _clips(functional.conv2d(_frames(x), kernels, padding=padding), x.shape[1])


def _over_time(x: Tensor, kernels: Tensor) -> Tensor:
    """A 3D convolution of `(B, T, H, W, C)` with kernels `(K, C, 3, h, w)`; T stays, H and W lose h - 1 and w - 1.

    The first and the last frame count once more, so that an end of a clip is no motion.
    """
    x = torch.cat((x[:, :1], x, x[:, -1:]), dim=1)
    triples = torch.cat((x[:, :-2], x[:, 1:-1], x[:, 2:]), dim=-1)
    return _convolved(triples, kernels.transpose(1, 2).flatten(1, 2))


def _halved(x: Tensor, time: bool) -> Tensor:
    """Means of 2×2 pixels of `(B, T, H, W, C)` and, with `time`, of pairs of frames; what is over stays alone."""
    if time:
        count = x.shape[1] // 2 * 2
        pairs = (x[:, 0:count:2] + x[:, 1:count:2]) / 2
        x = torch.cat((pairs, x[:, count:]), dim=1)
    return _clips(functional.avg_pool2d(_frames(x), 2, ceil_mode=True), x.shape[1])


def _describe(x: Tensor) -> list[Tensor]:
    """Of activations `(B, T, H, W, C)`: their mean, their deviation over space, and that over time; each `(B, C)`."""
    still = x.mean(1)
    mean = still.mean((1, 2))
    spread = (still - mean[:, None, None]).square_().mean((1, 2)).sqrt_()
    moving = (x - still[:, None]).square_().mean(1).sqrt_().mean((1, 2))
    return [mean, spread, moving]
