"""Components that stay on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gadkit import Critic, Game, Logits, Noise, VideoSpec
from gadkit.testing.small import SmallDiscriminator, SmallGenerator
from gadkit_plugins.assemblers.walk import Walk
from gadkit_plugins.gad.proximal import Proximal
from gadkit_plugins.minimax.losses import Hinge
from gadkit_plugins.minimax.penalties import R1
from planted.faulty_augmentations import Dim
from planted.faulty_directions import Heavy
from planted.faulty_measures import Small
from planted.table import planter

PROMISED = "computes where its inputs and its parameters lie"
PINNED, MOVED = "make it with device=x.device", "without .cpu()"


@planter("generator")("device pinned: constants of the CPU", PROMISED, PINNED, aspect="devices")
class PinsGenerator(SmallGenerator):
    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes * torch.linspace(0.5, 1, codes.shape[2]), labels)


@planter("generator")("device pinned: a tensor that is no buffer", PROMISED, "keep it as a buffer", aspect="devices")
class NoBuffer(SmallGenerator):
    def __init__(self, video: VideoSpec) -> None:
        super().__init__(video)
        self.scale = torch.linspace(0.5, 1, self.latent_dim)

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(codes * self.scale.to(codes.dtype), labels)


@planter("discriminator")("device pinned: computes on the CPU", PROMISED, MOVED, aspect="devices")
class ComputesOnTheCpu(SmallDiscriminator):
    def forward(self, video: Tensor, labels: Tensor | None = None, times: Tensor | None = None) -> Logits:
        return super().forward(video, labels, times).cpu()


@planter("assembler")("device pinned: codes of the CPU", PROMISED, MOVED, aspect="devices")
class CodesOfTheCpu(Walk):
    def codes(self, noise: Noise, times: Tensor, labels: Tensor | None = None, state: Any = None) -> tuple[Tensor, Any]:
        codes, state = super().codes(noise, times, labels, state)
        return codes.to("cpu"), state


@planter("loss")("device pinned: constants of the CPU", PROMISED, PINNED, aspect="devices")
class PinsLoss(Hinge):
    def generator(self, fake: Tensor, real: Tensor | None) -> Tensor:
        return super().generator(fake + torch.zeros(fake.shape), real)


@planter("penalty")("device pinned: weights of the CPU", PROMISED, PINNED, aspect="devices")
class PinsPenalty(R1):
    def __call__(self, critic: Critic, real: Tensor, fake: Tensor, noise: Noise) -> Tensor:
        return (super().__call__(critic, real, fake, noise) * torch.ones(1)).sum()


@planter("augmentation")("device pinned: a change made by NumPy", PROMISED, MOVED, aspect="devices")
class ChangesByNumPy(Dim):
    def change(self, video: Tensor, noise: Noise) -> Tensor:
        return super().change(video, noise) * torch.from_numpy(np.cos(video.detach().cpu().numpy()))


@planter("direction")("device pinned: a memory of the CPU", PROMISED, PINNED, aspect="devices")
class RemembersOnTheCpu(Heavy):
    def step(self, game: Game) -> None:
        for player, name in ((game.discriminator, "discriminator"), (game.generator, "generator")):
            self.along(player, name, [gradient * torch.ones(gradient.shape) for gradient in player.gradient(0)])


@planter("refiner")("device pinned: steps of the CPU", PROMISED, PINNED, aspect="devices")
class StepsOfTheCpu(Proximal):
    def refine(self, score: Any, start: Tensor, noise: Noise) -> Tensor:
        return super().refine(score, start, noise) + torch.zeros(start.shape[1])


@planter("features")("device pinned: a tensor that is no buffer", PROMISED, "keep it as a buffer", aspect="devices")
class ScalesOnTheCpu(Small):
    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Identity()
        self.shift = torch.linspace(0, 1, 48)

    def forward(self, video: Tensor) -> Tensor:
        return super().forward(video) + self.shift
