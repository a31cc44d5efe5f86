from typing import Annotated

from pydantic import Field
from torch import nn

from gadkit import Generator, Loss


class Sparkle(Generator):
    """One linear map a frame.

    Args:
        latent_dim: Entries of a code.
    """

    def __init__(self, video, *, latent_dim: Annotated[int, Field(gt=0)] = 8):
        super().__init__(video)
        self.latent_dim = latent_dim
        self.map = nn.Linear(latent_dim, video.channels * video.height * video.width)

    def forward(self, codes, labels=None):
        return self.map(codes).tanh().unflatten(-1, (self.video.channels, self.video.height, self.video.width))


class Logistic(Loss):
    def discriminator(self, real, fake):
        return nn.functional.softplus(-real).mean() + nn.functional.softplus(fake).mean()

    def generator(self, fake, real):
        return nn.functional.softplus(-fake).mean()
