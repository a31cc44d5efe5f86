"""The encoder: a discriminator's trunk, and a linear map to the posterior of an assembler's draws."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gadkit import ConfigError, Discriminator, Noise
from gadkit.engine import Engine
from gadkit_plugins.vae.posterior import Group, Latent, Posterior, for_clips

#: Log variances lie within (-this, this).
_WIDEST = 16.0


class Encoder(nn.Module):
    """q(draws | clip): independent normals, whose means and log variances are linear in the trunk's features.

    Log variances are bounded smoothly, by 16 tanh(x / 16), and begin at 0, so that a new encoder's posterior has the
    prior's width.

    Args:
        trunk: Looks at clips; of its layers all but the last.
        groups: The draws to infer.
    """

    def __init__(self, trunk: Discriminator, groups: Sequence[Group]) -> None:
        super().__init__()
        self.trunk = trunk
        self.groups = tuple(groups)
        self._sizes = [group.numbers for group in groups]
        features = _features(trunk)
        self.mean = nn.Linear(features, sum(self._sizes))
        self.log_variance = nn.Linear(features, sum(self._sizes))
        nn.init.normal_(self.mean.weight, 0.0, features**-0.5)
        nn.init.zeros_(self.mean.bias)
        nn.init.zeros_(self.log_variance.weight)
        nn.init.zeros_(self.log_variance.bias)

    def forward(self, video: Tensor, labels: Tensor | None, times: Tensor | None, engine: Engine) -> Posterior:
        """The posterior of clips.

        Args:
            video: `(B, N, C, H, W)` in [-1, 1].
            labels: int64 `(B,)`, or `None`.
            times: int64 `(B, N)`, or `None`; see `gadkit.Discriminator.forward`.
            engine: Whose precision the trunk computes in; the linear maps are in the run's own type.
        """
        with engine.autocast():
            features = self.trunk.features(video, labels, times)
        features = features.to(engine.dtype)
        means = self.mean(features)
        log_variances = _WIDEST * torch.tanh(self.log_variance(features) / _WIDEST)
        return Posterior(
            [
                Latent(group, *(each.view(len(video), -1, group.size) for each in (mean, log_variance)))
                for group, mean, log_variance in zip(
                    self.groups, means.split(self._sizes, 1), log_variances.split(self._sizes, 1), strict=True
                )
            ]
        )


def _features(trunk: Discriminator) -> int:
    """F, how many features a trunk gives of a clip; found by showing it one."""
    video = trunk.video
    noise, labels = for_clips(trunk, video, 1)
    times = trunk.times(Noise(noise.key, noise.samples))  # on the CPU, as in training
    frames = video.frames if times is None else times.shape[1]
    clip = torch.zeros(1, frames, video.channels, video.height, video.width, dtype=noise.dtype, device=noise.device)
    training = trunk.training
    with torch.no_grad():
        features = trunk.eval().features(clip, labels, None if times is None else times.to(noise.device))
    trunk.train(training)
    if features.dim() != 2 or len(features) != 1:
        raise ConfigError(
            f"discriminator: its features of one clip have the shape {tuple(features.shape)}, expected (1, F), from "
            "which trainer 'vae' infers the draws; mend the discriminator, or choose another one."
        )
    return features.shape[1]
