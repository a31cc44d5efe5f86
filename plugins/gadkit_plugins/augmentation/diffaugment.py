"""DiffAugment for video: colour, translation and cutout, the same for every frame of a clip."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from gadkit import Augmentation, Noise, Scheduled

#: What is chosen for a clip, one by one: brightness, saturation, contrast, translation and cutout, drawn in this order.
_TRANSFORMATIONS = 5
#: Uniforms of a clip: one for each transformation, which chooses it, then one for each number that they take.
_DRAWS = _TRANSFORMATIONS + 7
_CLIP_DIMS = (1, 2, 3, 4)


class DiffAugment(Augmentation):
    """Colour, translation and cutout, the same for every frame of a clip (Zhao et al. 2020, arXiv:2006.10738).

    - `colour`: brightness x + b, b uniform in [-1/2, 1/2); saturation m + s (x - m) about the mean m of a pixel's
      channels, s in [0, 2); contrast M + c (x - M) about the mean M of the clip, c in [1/2, 3/2).
    - `translation`: by whole pixels, up to an eighth of the height and of the width each way.
    - `cutout`: a rectangle of half the height and half the width, whose centre lies anywhere in the frame.

    What a translation uncovers, and what is cut out, is 0, a grey that brightness does not touch. Both players' clips
    get it, so it says nothing about which of them is real; and it shows what was done. White, or a reflection, would
    make of a clip on a white ground another plausible clip: the discriminator could not tell a shifted one from one
    that was so from the start, and the generator would learn to make shifted ones (Karras et al. 2020, section 2.2, on
    such leaks). Pixels may leave [-1, 1]. Clips are not mirrored or run backwards, for motion has a direction.

    The paper does all of it to all clips: a strength of 1. Here each transformation (brightness, saturation, contrast,
    translation, cutout) meets a clip with the probability `strength`, as in Karras et al. 2020, and with 0 none does.

    Args:
        policy: Which of them: `colour`, `translation`, `cutout`.
        strength: Probability of each transformation; with `target`, the most that it reaches.
        target: Where an adaptive strength, which begins at 0, drives E[sign(D(x) - D(y))] over pairs of a real and a
            generated clip: twice the logged `accuracy`, less 1. By default the strength is not adaptive.
        ramp: Clips during which an adaptive strength goes from 0 to 1 at the fastest.
    """

    def __init__(
        self,
        *,
        policy: Annotated[tuple[Literal["colour", "translation", "cutout"], ...], Field(min_length=1)] = (
            "colour",
            "translation",
            "cutout",
        ),
        strength: Annotated[Scheduled, Field(ge=0, le=1)] = 1.0,
        target: Annotated[float, Field(gt=-1, lt=1)] | None = None,
        ramp: Annotated[float, Field(gt=0)] = 20_000.0,
    ) -> None:
        self.policy = policy
        self.strength = strength
        self.target = target
        self.ramp = ramp

    def __call__(self, video: Tensor, noise: Noise, strength: Tensor) -> Tensor:
        """See `gadkit.Augmentation.__call__`; every transformation is affine in the video.

        Colour is a gain and an offset at each pixel, and what is uncovered or cut out is 0, for which one mask is
        enough, laid over the clip before it is moved: three passes over the clips do it all.
        """
        draws = noise.uniform("diffaugment", _DRAWS)
        chosen, amounts = draws[:, :_TRANSFORMATIONS] < strength, draws[:, _TRANSFORMATIONS:]
        moved = cut = None
        if "translation" in self.policy:
            moved = [_shift(size, chosen[:, 3], amounts[:, 3 + axis]) for axis, size in enumerate(video.shape[-2:])]
        if "cutout" in self.policy:
            cut = [_hole(size, amounts[:, 5 + axis]) for axis, size in enumerate(video.shape[-2:])]
        mask = _mask(video, moved, cut, chosen[:, 4:])
        video = video.contiguous()  # passes over planes are several times as fast as over interleaved channels
        if "colour" in self.policy:
            gain, offset = _colour(video, chosen[:, :3], amounts[:, :3])
            video = torch.addcmul(offset * mask, video, gain * mask)
        else:
            video = video * mask
        return video if moved is None else _translate(video, moved)


def _colour(video: Tensor, chosen: Tensor, amounts: Tensor) -> tuple[Tensor, Tensor]:
    """Brightness b, saturation s and contrast c as a gain and an offset.

    After the first two the mean of the clip is M + b, so that all three give M + b + c (m + s (x - m) + b - (M + b)),
    which is c s x + c (1 - s) m + (1 - c) M + b. With none of them chosen that is 1 x + 0 m + 0: x, to the last bit.

    Args:
        video: `(B, N, C, H, W)`; where its pixels stand does not matter.
        chosen: Boolean `(B, 3)`.
        amounts: In [0, 1), `(B, 3)`.

    Returns:
        The gain c s, `(B, 1, 1, 1, 1)`, and the rest, `(B, N, 1, H, W)`.
    """

    def drawn(column: int, low: float, high: float, neutral: float) -> Tensor:
        amount = low + (high - low) * amounts[:, column]
        return torch.where(chosen[:, column], amount, neutral).to(video.dtype).view(-1, 1, 1, 1, 1)

    brightness, saturation, contrast = drawn(0, -0.5, 0.5, 0.0), drawn(1, 0.0, 2.0, 1.0), drawn(2, 0.5, 1.5, 1.0)
    grey = video.mean(dim=2, keepdim=True)
    rest = (1 - contrast) * grey.mean(dim=_CLIP_DIMS, keepdim=True) + brightness
    return contrast * saturation, torch.addcmul(rest, grey, contrast * (1 - saturation))


def _shift(size: int, chosen: Tensor, amount: Tensor) -> Tensor:
    """By how many pixels clips move along a side, int64 `(B,)`: up to an eighth of it each way."""
    most = (size + 4) // 8
    return (torch.floor(amount * (2 * most + 1)).long() - most) * chosen


def _hole(size: int, amount: Tensor) -> tuple[Tensor, int]:
    """Where what is cut out begins along a side, int64 `(B,)`, and how long it is: half of it, its middle anywhere."""
    length = (size + 1) // 2
    return torch.floor(amount * (size + 1 - length % 2)).long() - length // 2, length


def _mask(video: Tensor, moved: list[Tensor] | None, cut: list[tuple[Tensor, int]] | None, chosen: Tensor) -> Tensor:
    """1 where a pixel stays in the frame when it is moved, and does not get into the hole; 0 elsewhere.

    Args:
        video: `(B, N, C, H, W)`.
        moved: By how many pixels, for the rows and the columns, int64 `(B,)` each.
        cut: Where the hole begins and how long it is, for the rows and the columns.
        chosen: Whether a clip has a hole, Boolean `(B, 1)`.

    Returns:
        `(B, 1, 1, H, W)` in the type of the video.
    """
    inside, hit = [], []
    for axis, size in enumerate(video.shape[-2:]):
        lands = torch.arange(size, device=video.device) + (0 if moved is None else moved[axis].unsqueeze(1))
        inside.append((lands >= 0) & (lands < size))
        if cut is not None:
            first, length = cut[axis][0].unsqueeze(1), cut[axis][1]
            hit.append((lands >= first) & (lands < first + length) & chosen)
    kept = inside[0].unsqueeze(-1) & inside[1].unsqueeze(-2)
    if hit:
        kept = kept & ~(hit[0].unsqueeze(2) & hit[1].unsqueeze(1))
    return kept.to(video.dtype).view(-1, 1, 1, *video.shape[-2:])


def _translate(video: Tensor, moved: list[Tensor]) -> Tensor:
    """Moves clips down and to the right by whole pixels; what leaves them at one edge comes in at the other."""
    ways: list[list[Tensor]] = [[], []]
    for size, by in zip(video.shape[-2:], moved, strict=True):
        places = torch.arange(size, device=video.device)
        ways[0].append((places - by.unsqueeze(1)) % size)
        ways[1].append((places + by.unsqueeze(1)) % size)
    there, back = (rows.unsqueeze(2) * video.shape[-1] + columns.unsqueeze(1) for rows, columns in ways)
    rolled: Tensor = _Roll.apply(video, there, back)  # type: ignore[no-untyped-call]
    return rolled


class _Roll(torch.autograd.Function):
    """Clips with their pixels in another order; the gradient is put back into the first order, as often as asked."""

    @staticmethod
    def forward(ctx: Any, video: Tensor, there: Tensor, back: Tensor) -> Tensor:
        """Pixel p of a frame becomes pixel `there[b, p]` of it.

        Args:
            ctx: Of autograd.
            video: `(B, N, C, H, W)`.
            there: int64 `(B, H, W)`: a permutation for each clip.
            back: Its inverse.
        """
        ctx.save_for_backward(there, back)
        frames = video.flatten(3)
        return frames.gather(3, there.flatten(1)[:, None, None].expand_as(frames)).view(video.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """The inverse permutation of the gradient, which can be differentiated again."""
        there, back = ctx.saved_tensors
        return _Roll.apply(gradient, back, there), None, None  # type: ignore[no-untyped-call]
