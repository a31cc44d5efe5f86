"""Does a discriminator keep the promises of `gadkit.Discriminator`?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gadkit.interfaces.discriminator import Discriminator, logit_count
from gadkit.interfaces.spec import VideoSpec
from gadkit.randomness import Key, seeded
from gadkit.testing import probes
from gadkit.testing.inputs import labels_of, pixels_of, videos
from gadkit.testing.probes import close, promise, untouched
from gadkit.testing.scheduled import check_scheduled


def check_discriminator(cls: type[Discriminator], **settings: Any) -> None:
    """Checks a discriminator class, built with `settings`, against `gadkit.Discriminator`.

    Raises:
        AssertionError: A broken promise.
    """
    name = cls.__name__

    def build(video: VideoSpec, seed: int = 0) -> Discriminator:
        with seeded(Key.of(seed)):
            return cls(video, **settings)

    for video in videos(build, name):
        net = build(video)
        probes.same_state(net, build(video), name)
        net.eval()
        labels = labels_of(video, 3)
        times = probes.times(net, video, name)
        frames = video.frames if times is None else times.shape[1]
        clips = pixels_of(video, 3, frames)

        def judge(
            net: nn.Module, clips: Tensor = clips, labels: Tensor | None = labels, times: Tensor | None = times
        ) -> dict[str, Tensor]:
            logits = net(clips, labels, times)
            return dict(logits) if isinstance(logits, Mapping) else {"": logits}

        with untouched(name, clips):
            heads = judge(net)
        promise(
            set(net.head_weights) <= set(heads),
            f"{name}.head_weights names heads that forward returns",
            f"it names {sorted(net.head_weights)}, forward returns {sorted(heads)}",
            "give both the same names",
        )
        again, plain = judge(net), judge(net, clips.contiguous())
        for head, logits in heads.items():
            probes.tensor(logits, (3, logit_count(net, head)), f"{name}'s logits {head!r}")
            close(again[head], logits, 0.0, f"{name} gives the same logits for the same clips in eval mode")
            close(plain[head], logits, 1e-3, f"{name}'s logits do not depend on the clips' layout in memory")
        features = net.features(clips, labels, times)
        probes.tensor(features, (3, features.shape[-1]), f"{name}.features")

        def all_logits(net: nn.Module, judge: Callable[[nn.Module], dict[str, Tensor]] = judge) -> Tensor:
            return torch.cat([*judge(net).values()], 1)

        probes.round_trip(net, build(video, seed=1).eval(), all_logits, name)
        check_scheduled(cls, settings, (video,), all_logits)
        with torch.autocast("cpu", torch.bfloat16):
            for head, logits in judge(net).items():
                probes.tensor(logits, (3, logit_count(net, head)), f"{name}'s logits {head!r} in bf16 autocast")
        net.train()
        probes.gradients(net, all_logits(net).square().sum(), name)
        net.zero_grad()
        wanted = clips.clone().requires_grad_()
        total = torch.cat([*judge(net, wanted).values()], 1).sum()
        (slope,) = torch.autograd.grad(total, wanted, create_graph=True)
        promise(
            slope.requires_grad and bool(slope.any()),
            f"{name}'s gradient with respect to the clip can be differentiated again",
            "it is zero, or does not depend on the parameters",
            "use differentiable operations from the clip to the logits",
        )
        probes.gradients(net, slope.square().sum(), f"{name} (of the squared input gradient)", every=False)
