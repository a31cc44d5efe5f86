"""What the generator promises beyond its interface."""

from __future__ import annotations

import pytest
import torch

from gadkit import ConfigError, VideoSpec
from gadkit_shimmer.generator import ShimmerGenerator


def test_sizes_that_it_cannot_make_are_refused_in_a_sentence() -> None:
    with pytest.raises(ConfigError, match="30x32, expected multiples of 8"):
        ShimmerGenerator(VideoSpec(height=30, width=32, frames=8))


def test_classes_look_different() -> None:
    video = VideoSpec(height=8, width=16, frames=4, classes=2)
    generator = ShimmerGenerator(video, latent_dim=6, width=4)
    one, other = generator(torch.zeros(2, 4, 6), torch.tensor([0, 1]))
    assert not torch.allclose(one, other)
