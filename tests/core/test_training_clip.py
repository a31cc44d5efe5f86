"""What a trainer renders: `VideoAssembler.clip` gives the frames that sampling gives, and makes no others."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gadkit import Generator, Key, Noise, VideoAssembler, VideoSpec
from gadkit_plugins.assemblers.walk import Walk

VIDEO = VideoSpec(height=4, width=4, frames=7)


class Blend(Generator):
    """Frames that mix the codes within `context` of theirs, zeros beyond the ends of what they are given."""

    def __init__(self, context: int | str) -> None:
        super().__init__(VIDEO)
        self.latent_dim = 6
        self.motion_dim = 2
        self.context = context  # type: ignore[assignment]
        reach = context if isinstance(context, int) else 2
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.mix = nn.Conv1d(6, 3 * 16, 2 * reach + 1, padding=reach)
        self.rendered = 0

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        self.rendered += codes.shape[1]
        frames: Tensor = self.mix(codes.transpose(1, 2)).transpose(1, 2).tanh().unflatten(2, (3, 4, 4))
        return frames


def noise() -> Noise:
    return Noise(Key.of(3, "clip"), torch.arange(4, 7))


def streamed(assembler: VideoAssembler, generator: Generator) -> Tensor:
    with torch.no_grad():
        return torch.cat(list(assembler.stream(generator, noise(), VIDEO.frames)), dim=1)


@pytest.mark.parametrize("context", [0, 1, 3, "fixed"])
def test_a_training_clip_is_what_sampling_gives(context: int | str) -> None:
    generator, assembler = Blend(context), Walk(VIDEO, 6, 2)
    torch.testing.assert_close(assembler.clip(generator, noise()), streamed(assembler, generator))


@pytest.mark.parametrize("context", [0, 2, "fixed"])
def test_single_frames_of_a_clip_are_those_of_the_whole(context: int | str) -> None:
    generator, assembler = Blend(context), Walk(VIDEO, 6, 2)
    times = torch.tensor([[0, 3, 6], [1, 2, 5], [0, 1, 2]])
    picked = assembler.clip(generator, noise(), times)
    whole = streamed(assembler, generator)
    for row, numbers in enumerate(times):
        torch.testing.assert_close(picked[row], whole[row, numbers])


def test_frames_that_nobody_wants_are_not_made() -> None:
    generator, assembler = Blend(0), Walk(VIDEO, 6, 2)
    assembler.clip(generator, noise(), torch.tensor([[0, 3]]).expand(3, -1))
    assert generator.rendered == 2


def test_codes_are_drawn_outside_the_context_of_the_forward_pass() -> None:
    seen: list[torch.dtype] = []

    class Watched(Walk):
        def codes(self, *arguments: object, **named: object) -> tuple[Tensor, None]:
            assert not torch.is_autocast_enabled("cpu")
            codes, state = super().codes(*arguments, **named)  # type: ignore[arg-type]
            return codes, state

    class Seeing(Blend):
        def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
            video = super().forward(codes, labels)
            seen.append(self.mix(codes.transpose(1, 2)).dtype)
            return video

    Watched(VIDEO, 6, 2).clip(Seeing(1), noise(), forward=lambda: torch.autocast("cpu", torch.bfloat16))
    assert seen == [torch.bfloat16]
