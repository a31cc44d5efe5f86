"""What can be wrong with clips: damages of known kinds and strengths, for trying out metrics.

Each is a pure function of the clip, its number and a seed, whatever clips lie beside it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from gadkit import Key, Noise

#: From clips uint8 `(B, T, 3, H, W)` and the noise of their numbers to clips of the same shape.
Damage = Callable[[Tensor, Noise], Tensor]


def blur(factor: int) -> Damage:
    """Means of squares of `factor` pixels, brought back to the size by bilinear interpolation."""

    def apply(clips: Tensor, noise: Noise) -> Tensor:
        frames = clips.flatten(0, 1).float()
        height, width = frames.shape[-2:]
        small = interpolate(frames, (height // factor, width // factor), mode="area")
        return _pixels(interpolate(small, (height, width), mode="bilinear", align_corners=False)).view_as(clips)

    return apply


def grain(deviation: float) -> Damage:
    """Independent Gaussian noise on every value, its standard deviation in grey levels."""

    def apply(clips: Tensor, noise: Noise) -> Tensor:
        drawn = noise.normal("grain", clips[0].numel()).view(clips.shape)
        return _pixels(clips + deviation * drawn)

    return apply


def random_pixels(clips: Tensor, noise: Noise) -> Tensor:
    """Nothing but uniform values from 0 to 255."""
    return (noise.uniform("pixels", clips[0].numel()) * 256).to(torch.uint8).view(clips.shape)


def frozen(clips: Tensor, noise: Noise) -> Tensor:
    """The first frame, held."""
    return clips[:, :1].expand_as(clips).contiguous()


def shuffled(clips: Tensor, noise: Noise) -> Tensor:
    """The frames in a random order, another for every clip."""
    order = noise.uniform("order", clips.shape[1]).argsort(dim=1, stable=True)
    return clips[torch.arange(len(clips))[:, None], order]


def flickering(clips: Tensor, noise: Noise) -> Tensor:
    """Every second frame dimmed by 15 %."""
    light = 1 - 0.15 * (torch.arange(clips.shape[1]) % 2)
    return _pixels(clips * light.view(-1, 1, 1, 1))


def slowed(clips: Tensor, noise: Noise) -> Tensor:
    """The first half of the frames, each shown twice."""
    return clips[:, torch.arange(clips.shape[1]) // 2]


def looped(clips: Tensor, noise: Noise) -> Tensor:
    """The first quarter of the frames, again and again."""
    frames = clips.shape[1]
    return clips[:, torch.arange(frames) % max(1, frames // 4)]


#: By name, in the order of a table.
DAMAGES: dict[str, Damage] = {
    "noise σ8": grain(8),
    "blur ½": blur(2),
    "blur ¼": blur(4),
    "noise σ32": grain(32),
    "random": random_pixels,
    "frozen": frozen,
    "shuffled": shuffled,
    "flicker": flickering,
    "half speed": slowed,
    "looped": looped,
}


def damaged(name: str, clips: Tensor, numbers: Tensor, seed: int) -> Tensor:
    """Clips with a damage.

    Args:
        name: Of `DAMAGES`.
        clips: uint8 `(B, T, 3, H, W)`.
        numbers: int64 `(B,)`: what tells a clip from the others.
        seed: Another gives other noise and other orders.

    Returns:
        uint8 `(B, T, 3, H, W)`.
    """
    return DAMAGES[name](clips, Noise(Key.of(seed, "damage", name), numbers))


def _pixels(values: Tensor) -> Tensor:
    return values.round_().clamp_(0, 255).to(torch.uint8)
