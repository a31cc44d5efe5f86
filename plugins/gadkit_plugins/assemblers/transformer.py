"""Motion by a causal transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from gadkit import ConfigError, Noise, VideoAssembler, VideoSpec
from gadkit_plugins.assemblers.asked import Asked
from gadkit_plugins.assemblers.attention import Block, Kept, Turns, band
from gadkit_plugins.assemblers.layers import ClassVector, linear

_OWN = 0.3  # the spread of a frame's own noise beside the mean over the window, at the beginning
_PIECE = 128  # the most frames that are computed at once, which bounds the memory of a long jump


@dataclass(frozen=True)
class _Course:
    """How far frames are computed.

    Attributes:
        next: The frame that comes next.
        kept: Keys and values of at most window - 1 frames before it, layer by layer.
    """

    next: int
    kept: list[Kept]

    def cut(self, window: int, at: int) -> _Course:
        """The course as it was before frame `at`, with what a window needs."""
        until = self.kept[0][0].shape[2] - (self.next - at)
        since = max(0, until - (window - 1))
        return _Course(at, [(keys[:, :, since:until], values[:, :, since:until]) for keys, values in self.kept])


class Transformer(VideoAssembler):
    """Content that holds, and motion by a causal transformer over fresh noise, whose layers look back a few frames.

    A linear map of standard normal numbers, as many as entries move, drawn anew for every frame, goes through `layers`
    blocks of attention and a net for each frame (Vaswani et al. 2017, the norm before each). A layer sees a frame and
    the `window - 1` before it, so a code depends on the `layers * (window - 1)` frames before its own and on none
    further back. Positions are rotary (Su et al. 2021): distances alone count, and there is no longest video. With
    classes, a learned vector of the class is added to every frame. The content takes no part, so that the motion of one
    video can be given to another.

    Frame 0 looks back like any other, at noise of the frames before it, which are not shown. So every frame has the
    same law, and a clip at the beginning, which is what is trained, is like a clip anywhere.

    The motion is a linear map of the last layer norm with rows of length 1, so its entries begin with about unit
    variance. It begins smooth: the first block's attention, at first little else than a mean over the window, counts
    more than a frame's own noise.

    A time between two frames has the code of the frame before it. Going on from a state, each layer uses the keys and
    values that it kept of the last `window - 1` frames, and the frame where the call before ended is computed once
    more, for it may be asked for again. Without a state, and where frames are left out, it begins
    `layers * (window - 1)` frames before the next one: what lies further back changes nothing.

    Args:
        video: What is generated.
        latent_dim: Entries of a code.
        motion_dim: How many of them move.
        window: Frames that each layer sees, its own included.
        layers: Blocks.
        heads: Heads of each block's attention.
        width: Entries of a frame's vector, an even number for each head.
    """

    def __init__(
        self,
        video: VideoSpec,
        latent_dim: int,
        motion_dim: int,
        *,
        window: Annotated[int, Field(gt=0)] = 16,
        layers: Annotated[int, Field(gt=0)] = 4,
        heads: Annotated[int, Field(gt=0)] = 4,
        width: Annotated[int, Field(gt=0)] = 128,
    ) -> None:
        super().__init__(video, latent_dim, motion_dim)
        if width % (2 * heads):
            near = max(1, round(width / (2 * heads))) * 2 * heads
            raise ConfigError(
                f"assembler.width: found {width}, but each of the {heads} heads (assembler.heads) takes an even number "
                f"of its entries; use {near}."
            )
        self.window = window
        self.heads = heads
        self.enter = linear(self.moving, width, _OWN)
        self.label = ClassVector(video, width)
        share = (2 * layers) ** -0.5  # of every branch, so that their sum does not grow with the layers
        first = window**0.5  # brings the mean of as many independent vectors to unit variance
        self.blocks = nn.ModuleList(Block(width, heads, share if n else first, share) for n in range(layers))
        self.norm = nn.LayerNorm(width)
        self.out = linear(width, self.moving)

    @property
    def reach(self) -> int:
        """How many frames before its own a code depends on."""
        return len(self.blocks) * (self.window - 1)

    def codes(self, noise: Noise, times: Tensor, labels: Tensor | None = None, state: Any = None) -> tuple[Tensor, Any]:
        """Codes `(B, N, Z)` at `times` `(B, N)`, and the state to go on from; see `gadkit.VideoAssembler.codes`.

        Raises:
            ValueError: Times decrease, or lie before the state.
            ConfigError: There are classes, and no labels.
        """
        course: _Course | None = state
        asked = Asked.at(times, 0 if course is None else course.next)
        resume = int(asked.last.min())  # no later call asks for a frame before this one
        after = None
        frames = asked.frames
        found: list[Tensor] = []
        while len(found) < len(frames):
            if course is None or frames[len(found)] - course.next > self.reach:
                course = self._beginning(noise, frames[len(found)] - self.reach)
            start = course.next
            end = max((frame for frame in frames if frame < start + _PIECE), default=start - 1) + 1
            end = end if end > start else start + _PIECE  # none of these is asked for, but later ones look back at them
            motion, course = self._advance(noise, course, end - start, labels)
            if start <= resume < end:
                after = course.cut(self.window, resume)
            course = course.cut(self.window, end)
            while len(found) < len(frames) and frames[len(found)] < end:
                found.append(motion[:, frames[len(found)] - start])
        return self.with_content(noise, asked.pick(found).to(noise.dtype)), after

    def _beginning(self, noise: Noise, frame: int) -> _Course:
        """Before a frame, with nothing kept."""
        weight = self.enter.weight
        none = weight.new_zeros(len(noise), self.heads, 0, len(weight) // self.heads)
        return _Course(frame, [(none, none)] * len(self.blocks))

    def _advance(self, noise: Noise, course: _Course, count: int, labels: Tensor | None) -> tuple[Tensor, _Course]:
        """The motion `(B, count, moving)` of the next frames, and the course after them, with all keys and values."""
        drawn = noise.normal("motion", self.moving, torch.arange(course.next, course.next + count))
        x = self.enter(drawn.to(self.enter.weight.dtype))
        if self.label.size:
            x = x + self.label(labels, len(noise), x).unsqueeze(1)
        before = course.kept[0][0].shape[2]
        turns = Turns(before + count, x.shape[2] // self.heads, x)
        allowed = band(count, before, self.window, x.device)
        kept = []
        for block, old in zip(self.blocks, course.kept, strict=True):
            x, seen = block(x, old, turns, allowed)
            kept.append(seen)
        motion: Tensor = self.out(self.norm(x))
        return motion, _Course(course.next + count, kept)
