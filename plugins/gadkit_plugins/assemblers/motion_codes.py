"""Motion in continuous time."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from gadkit import ConfigError, Noise, VideoAssembler, VideoSpec
from gadkit_plugins.assemblers.layers import ClassVector, linear, scaled_rows

_SLOPE = 0.2
_GAIN = 1.1  # between anchors stands the mean of two independent vectors, which is shorter than either
_NEAR = 3  # anchors that a time may need: the one before it, the one after it, and one more for the video's shift


class MotionCodes(VideoAssembler):
    """StyleGAN-V's continuous motion (Skorokhodov et al. 2022, section 3.1): any time, without those before it.

    Standard normal noise z_l stands at anchors every d frames. Two convolutions along the anchors, without padding and
    with a leaky ReLU between them, make u_l of z_{l-r}, ..., z_{l+r}, r = kernel - 1. Between the anchor before t and
    the one after it, t_l and t_r = t_l + d, with a = (t - t_l) / d:

        e(s) = [sin, cos](w (tanh(P u_l) + 1) (s - t_l) + Q u_l)
        v(t) = e(t) - [(1 - a) e(t_l) + a e(t_r)] + [(1 - a) A u_l + a A u_r]

    P, Q and A are learned matrices, and w are angular speeds, spaced evenly in their logarithm. The motion is a learned
    linear map of v(t), which begins with about unit variance.

    What the paper leaves to the reader is read here as follows. Within an interval all three e, that at t_r too, are
    made of the left anchor's u_l; with e(t_r) of u_r the waves would not cancel at t_r, and v would jump there. So
    v(t_l) = A u_l from both sides: v is continuous at anchors, and smooth between them. Waves count time from the
    anchor on and not from the video's beginning: the phase is learned anyway, no precision is lost however late t is,
    and one interval is like any other. For the same reason a video's frame 0 lies at a random place between two
    anchors, drawn once a video, uniform: t is the frame's number plus that. A clip at the beginning, which is what is
    trained, then has the law of a clip anywhere, and videos do not drift.

    With classes, a learned vector of the class joins the noise at every anchor.

    Args:
        video: What is generated.
        latent_dim: Entries of a code.
        motion_dim: How many of them move.
        spacing: d, frames from one anchor to the next.
        width: Entries of u.
        waves: Angular speeds, each of which makes a sine and a cosine.
        shortest: Frames of the shortest period, at a factor tanh(P u) + 1 of 1; the factor goes up to 2.
        longest: Frames of the longest period.
        kernel: Anchors that a convolution sees, an odd number.
        label_dim: Size of the vector of a class.
    """

    continuous = True

    def __init__(
        self,
        video: VideoSpec,
        latent_dim: int,
        motion_dim: int,
        *,
        spacing: Annotated[float, Field(gt=0)] = 16.0,
        width: Annotated[int, Field(gt=0)] = 128,
        waves: Annotated[int, Field(gt=0)] = 64,
        shortest: Annotated[float, Field(gt=0)] = 16.0,
        longest: Annotated[float, Field(gt=0)] = 1024.0,
        kernel: Annotated[int, Field(gt=0)] = 11,
        label_dim: Annotated[int, Field(gt=0)] = 16,
    ) -> None:
        super().__init__(video, latent_dim, motion_dim)
        if longest < shortest:
            raise ConfigError(
                f"assembler.longest: found {longest:g}, less than the shortest period, {shortest:g} frames "
                "(assembler.shortest); use at least that."
            )
        if kernel % 2 == 0:
            raise ConfigError(
                f"assembler.kernel: found {kernel}, expected an odd number, so that as many anchors lie before one as "
                f"after it; use {kernel + 1}."
            )
        self.spacing = spacing
        self.waves = waves
        self.shortest = shortest
        self.longest = longest
        self._reach = kernel - 1
        self.label = ClassVector(video, label_dim)
        first = nn.Conv1d(self.moving + self.label.size, width, kernel)
        second = nn.Conv1d(width, width, kernel)
        for layer, scale in ((first, math.sqrt(2 / (1 + _SLOPE**2))), (second, 1.0)):
            scaled_rows(layer.weight, scale)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.along = nn.Sequential(first, nn.LeakyReLU(_SLOPE), second)
        self.speed = linear(width, waves, bias=False)
        self.phase = linear(width, waves, math.pi, bias=False)  # a spread of pi: phases all around
        self.align = linear(width, 2 * waves, bias=False)
        self.out = linear(2 * waves, self.moving, _GAIN)

    def codes(self, noise: Noise, times: Tensor, labels: Tensor | None = None, state: Any = None) -> tuple[Tensor, Any]:
        """Codes `(B, N, Z)` at `times` `(B, N)`, and no state; see `gadkit.VideoAssembler.codes`.

        Raises:
            ConfigError: There are classes, and no labels.
        """
        # The CPU, which draws, tells which anchors may be needed. The shift, drawn by it and held where the noise is
        # wanted, decides there, without a way back, on which side of the second of them a time lies.
        scaled = times.to("cpu", torch.float64) / self.spacing
        before = scaled.floor()
        weight = self.out.weight
        rest = (scaled - before).to(weight.device, weight.dtype)
        u, index = self._anchors(noise, before.to(torch.int64), labels)
        place = rest + self._shift(noise).to(weight.dtype)
        over = place >= 1
        motion: Tensor = self.out(self._waves(u, index.to(u.device) + over, place - over.to(place.dtype)))
        return self.with_content(noise, motion.to(noise.dtype)), None

    def _shift(self, noise: Noise) -> Tensor:
        """Where between two anchors each video begins, `(B, 1)` in [0, 1].

        The distribution function of a normal, so that it goes over smoothly where one video's noise goes over into
        another's.
        """
        return (1 + torch.erf(noise.normal("shift", 1) / math.sqrt(2))) / 2

    def _anchors(self, noise: Noise, first: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """What stands at the anchors `first`, `first + 1`, ... of every time, `_NEAR` of them.

        Returns:
            u of anchors, `(B, S, width)`, and int64 `(B, N)` on the CPU: where in S each time's `first` is.
        """
        batch, count = first.shape
        around = _NEAR + 2 * self._reach
        lowest = first.amin(dim=1, keepdim=True)
        span = int((first - lowest).max()) + around
        if span <= count * around:  # times lie close together and share anchors: each is made once
            places, index = lowest + torch.arange(span), first - lowest
        else:
            places, index = first.reshape(-1, 1) + torch.arange(around), torch.arange(0, _NEAR * count, _NEAR)
        drawn = noise.normal("motion", self.moving, (places - self._reach).view(batch, -1)).to(self.out.weight.dtype)
        label = self.label(labels, batch, drawn).unsqueeze(1).expand(-1, drawn.shape[1], -1)
        joined = torch.cat((drawn, label), dim=2)
        made: Tensor = self.along(joined.view(*places.shape, -1).transpose(1, 2)).transpose(1, 2)
        return made.reshape(batch, -1, made.shape[2]), index.expand(batch, count)

    def _waves(self, u: Tensor, left: Tensor, a: Tensor) -> Tensor:
        """v, `(B, N, 2 * waves)`.

        Args:
            u: What stands at anchors, `(B, S, width)`.
            left: int64 `(B, N)`: where in S the anchor before each time is; the one after it follows.
            a: `(B, N)` in [0, 1]: how far the time is from it towards the next.
        """
        rows = torch.arange(len(u), device=u.device).unsqueeze(1)
        ratio = torch.arange(self.waves, device=u.device, dtype=u.dtype) / max(1, self.waves - 1)
        speeds = 2 * math.pi * self.spacing / self.shortest * (self.shortest / self.longest) ** ratio  # by interval
        turn = (speeds * (torch.tanh(self.speed(u)) + 1))[rows, left]
        phase = self.phase(u)[rows, left]
        aligned = self.align(u)
        a = a.unsqueeze(2)

        def e(way: Tensor | float) -> Tensor:
            angle = turn * way + phase
            return torch.cat((angle.sin(), angle.cos()), dim=2)

        return e(a) - torch.lerp(e(0.0), e(1.0), a) + torch.lerp(aligned[rows, left], aligned[rows, left + 1], a)
