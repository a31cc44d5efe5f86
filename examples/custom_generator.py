"""A generator of your own, trained without a package: pass the class.

    python examples/custom_generator.py

`Coordinates` paints each pixel by a small network of where it is and of the frame's code, so it makes any size. It is
checked against the interface's promises first, as `gadkit.testing` lets you do in your own tests.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

import gadkit
from gadkit.testing import check_generator


class Coordinates(gadkit.Generator):
    """A network of (x, y) and the code, the same for every pixel.

    Args:
        video: What to generate.
        latent_dim: Entries of a code.
        width: Channels of the hidden layers.
        waves: Sine waves in each direction that a position is given in; more of them draw finer detail.
    """

    def __init__(
        self,
        video: gadkit.VideoSpec,
        *,
        latent_dim: Annotated[int, Field(gt=0)] = 32,
        width: Annotated[int, Field(gt=0)] = 64,
        waves: Annotated[int, Field(gt=0)] = 6,
    ) -> None:
        super().__init__(video)
        self.latent_dim = latent_dim
        y = torch.linspace(-1, 1, video.height)[:, None].expand(video.height, video.width)
        x = torch.linspace(-1, 1, video.width)[None, :].expand(video.height, video.width)
        angles = torch.cat([torch.pi * n * torch.stack((x, y)) for n in range(1, waves + 1)])
        self.register_buffer("place", torch.cat((angles.sin(), angles.cos())), persistent=False)
        entries = latent_dim + 4 * waves + (video.classes or 0)
        self.layers = nn.Sequential(
            nn.Conv2d(entries, width, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, width, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, video.channels, 1),
            nn.Tanh(),
        )

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Codes `(B, T, Z)` to video `(B, T, C, H, W)`; see `gadkit.Generator.forward`."""
        if labels is not None:
            classes = nn.functional.one_hot(labels, self.video.classes).to(codes.dtype)
            codes = torch.cat((codes, classes[:, None].expand(-1, codes.shape[1], -1)), dim=2)
        height, width = self.video.height, self.video.width
        code = codes.flatten(0, 1)[:, :, None, None].expand(-1, -1, height, width)
        place = self.place.to(codes.dtype).expand(len(code), -1, -1, -1)
        frames: Tensor = self.layers(torch.cat((place, code), dim=1))
        return frames.unflatten(0, codes.shape[:2])


def main() -> None:
    check_generator(Coordinates, width=8)
    outcome = gadkit.train(
        recipe="demo",  # everything but the generator
        generator=Coordinates,
        set={"generator.width": 32},  # its settings are its keyword arguments, validated by their types
        steps=20,
        seed=0,
    )
    assert outcome.path is not None
    model = gadkit.load(outcome.path)  # in this process the class is known; a package is found in every process
    gadkit.write_video("coordinates.mp4", model.grid(num=4, length=32), fps=model.video.fps)
    print(f"{outcome.reason}: {outcome.path}, wrote coordinates.mp4")


if __name__ == "__main__":
    main()
