"""A model whose pixels are its codes, so that a video tells what it was made from."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gadkit import Generator, Model, VideoAssembler, VideoSpec
from gadkit.interfaces.assembler import BLOCK
from gadkit.registry import get_registry

STILL, MOVING = 3, 5
FRAMES = 8


class Shown(Generator):
    """Pixels that are codes: the first rows show the content, the others the motion, each frame its own.

    With a context each pixel is the mean over the frames around, so that a code in the wrong place is seen.
    """

    latent_dim, motion_dim = STILL + MOVING, MOVING

    def __init__(self, video, context=0, motion_dim=MOVING):
        super().__init__(video)
        self.context, self.motion_dim = context, motion_dim
        self.frames = 0

    def forward(self, codes, labels=None):
        self.frames += codes.shape[0] * codes.shape[1]
        if self.context == "fixed":
            assert codes.shape[1] == self.video.frames
            codes = codes + 0.1 * codes.mean(dim=1, keepdim=True)
        elif self.context:
            reach, count = self.context, codes.shape[1]
            padded = nn.functional.pad(codes, (0, 0, reach, reach))
            weights = torch.arange(1, 2 * reach + 2) / ((2 * reach + 1) * (reach + 1))
            codes = sum(weight * padded[:, place : place + count] for place, weight in enumerate(weights.tolist()))
        shown = codes / 5
        if labels is not None:
            shown = shown * (1 - 0.2 * labels.view(-1, 1, 1))
        return shown.clamp(-1, 1)[:, :, None, :, None].expand(-1, -1, 3, -1, 2)


class Recurrent(VideoAssembler):
    """Every motion depends on all before it."""

    def codes(self, noise, times, labels=None, state=None):
        drawn = noise.normal("steps", self.moving, times.to(torch.int64))
        state = noise.normal("begin", self.moving) if state is None else state
        made = []
        for step in drawn.unbind(1):
            state = torch.sin(1.7 * state + step)
            made.append(state)
        return self.with_content(noise, torch.stack(made, dim=1)), state


def spec(classes=0):
    return VideoSpec(height=STILL + MOVING, width=2, frames=FRAMES, fps=25.0, classes=classes)


def make(assembler="walk", context=0, motion_dim=MOVING, classes=0):
    video = spec(classes)
    generator = Shown(video, context, motion_dim)
    cls = get_registry().find("assembler", assembler).load() if isinstance(assembler, str) else assembler
    settings = {"spacing": 2.0} if assembler == "walk" else {}
    torch.manual_seed(3)
    joining = cls(video, generator.latent_dim, motion_dim, **settings)
    return Model(generator, joining, video, [f"class {number}" for number in range(classes)])


ASSEMBLERS = [*get_registry().names("assembler"), Recurrent]
every_assembler = pytest.mark.parametrize("assembler", ASSEMBLERS, ids=str)
every_context = pytest.mark.parametrize("context", [0, 2, BLOCK + 3])


def content(video):
    return video[..., :STILL, :]


def motion(video):
    return video[..., STILL:, :]
