"""Does an assembler keep the promises of `gadkit.VideoAssembler`?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gadkit.interfaces.assembler import VideoAssembler
from gadkit.interfaces.spec import VideoSpec
from gadkit.randomness import Key, Noise, seeded
from gadkit.testing import probes
from gadkit.testing.inputs import CLASSES, FRAMES, labels_of
from gadkit.testing.probes import close, noise_of, promise, untouched
from gadkit.testing.scheduled import check_scheduled


def check_assembler(cls: type[VideoAssembler], **settings: Any) -> None:
    """Checks an assembler class, built with `settings`, against `gadkit.VideoAssembler`.

    Raises:
        AssertionError: A broken promise.
    """
    name = cls.__name__
    z = 6
    for moving, classes in ((0, 0), (2, 0), (2, CLASSES)):
        video = VideoSpec(height=8, width=8, frames=FRAMES, classes=classes)

        def build(seed: int = 0, video: VideoSpec = video, moving: int = moving) -> VideoAssembler:
            with seeded(Key.of(seed)):
                return cls(video, z, moving, **settings)

        net = build()
        probes.same_state(net, build(), name)
        noise, labels = noise_of(3), labels_of(video, 3)
        for times in (torch.arange(9), torch.arange(9) * 0.37 + 2, torch.tensor([[0.0, 3.5, 400.0]])):
            times = times.expand(3, times.shape[-1])
            with untouched(name, times):
                codes, _ = net.codes(noise, times, labels)
            probes.tensor(codes, (3, times.shape[1], z), f"{name}.codes")
            close(net.codes(noise, times, labels)[0], codes, 0.0, f"{name} gives the same codes for the same noise")
            if moving:
                fixed = codes[:, :, : z - moving]
                close(fixed, fixed[:, :1].expand_as(fixed), 0.0, f"{name} holds all but the last motion_dim entries")
            alone = Noise(noise.key, noise.samples[2:])
            one, _ = net.codes(alone, times[2:], None if labels is None else labels[2:])
            close(one, codes[2:], 1e-5, f"{name}'s codes of a video do not depend on the videos beside it")
        times = torch.arange(12, dtype=torch.float64).expand(3, -1)
        whole, _ = net.codes(noise, times, labels)
        first, state = net.codes(noise, times[:, :5], labels)
        second, _ = net.codes(noise, times[:, 5:], labels, state)
        close(torch.cat((first, second), 1), whole, 1e-5, f"{name} gives the same codes in one call and in two")
        probes.prefixes(net, noise, video, labels, z, moving, name)

        def draw(
            net: VideoAssembler, noise: Noise = noise, times: Tensor = times, labels: Tensor | None = labels
        ) -> Tensor:
            return net.codes(noise, times, labels)[0]

        probes.round_trip(net, build(seed=1), draw, name)
        check_scheduled(cls, settings, (video, z, moving), draw)
        recorded = probes.RecordedNoise(noise.key, noise.samples)
        probes.gradients(net, net.codes(recorded, times, labels)[0].square().sum(), name)
        promise(
            bool(recorded.draws) and any(draw.grad is not None and bool(draw.grad.any()) for draw in recorded.draws),
            f"{name}'s codes are differentiable in the noise that it draws from `noise`",
            "no draw of its noise has a gradient" if recorded.draws else "it drew no normals or uniforms from `noise`",
            "draw from the argument `noise`, and compute codes without detach or no_grad",
        )
