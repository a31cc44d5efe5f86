"""Does a generator keep the promises of `gadkit.Generator`?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gadkit.interfaces.generator import Generator
from gadkit.interfaces.spec import VideoSpec
from gadkit.randomness import Key, seeded
from gadkit.testing import probes
from gadkit.testing.inputs import labels_of, videos
from gadkit.testing.probes import close, noise_of, promise, untouched
from gadkit.testing.scheduled import check_scheduled


def check_generator(cls: type[Generator], **settings: Any) -> None:
    """Checks a generator class, built with `settings`, against `gadkit.Generator`.

    Raises:
        AssertionError: A broken promise.
    """
    name = cls.__name__

    def build(video: VideoSpec, seed: int = 0) -> Generator:
        with seeded(Key.of(seed)):
            return cls(video, **settings)

    for video in videos(build, name):
        net = build(video)
        z, moving, context = net.latent_dim, net.motion_dim, net.context
        promise(
            z > 0 and 0 <= moving <= z and (context == "fixed" or (isinstance(context, int) and context >= 0)),
            f"{name} sets latent_dim > 0, motion_dim in [0, latent_dim] and context to a number or 'fixed'",
            f"latent_dim is {z}, motion_dim {moving}, context {context!r}",
            "set them in __init__ or on the class",
        )
        probes.same_state(net, build(video), name)
        net.eval()
        frames = video.frames
        for batch, length in ((2, frames),) if context == "fixed" else ((2, frames), (1, frames), (3, frames + 3)):
            codes, labels = noise_of(batch).normal("codes", z, torch.arange(length)), labels_of(video, batch)
            with untouched(name, codes):
                out = net(codes, labels)
            expected = (batch, length, video.channels, video.height, video.width)
            probes.pixels(out, expected, name)
            close(net(codes, labels), out, 0.0, f"{name} gives the same video for the same codes in eval mode")
        codes, labels = noise_of(2).normal("codes", z, torch.arange(frames)), labels_of(video, 2)
        if context != "fixed":
            _check_context(net, codes, labels, int(context), name)

        def render(net: Generator, codes: Tensor = codes, labels: Tensor | None = labels) -> Tensor:
            video: Tensor = net(codes, labels)
            return video

        probes.round_trip(net, build(video, seed=1).eval(), render, name)
        check_scheduled(cls, settings, (video,), render)
        with torch.autocast("cpu", torch.bfloat16):
            probes.pixels(net(codes, labels), (2, frames, *expected[2:]), f"{name} in bf16 autocast")
        net.train()
        codes.requires_grad_()
        probes.gradients(net, net(codes, labels).square().sum(), name)
        promise(
            codes.grad is not None and bool(codes.grad.isfinite().all()) and bool(codes.grad.any()),
            f"{name} is differentiable in the codes",
            "their gradient is missing, zero or not finite",
            "keep the codes on the graph: no detach, no rounding",
        )


def _check_context(net: Generator, codes: Tensor, labels: Tensor | None, context: int, name: str) -> None:
    """A frame depends on the codes within `context` of its own, and not on its position."""
    whole = net(codes, labels)
    middle = codes.shape[1] // 2
    changed = codes.detach().clone()
    changed[:, middle] += 1
    moved = (net(changed, labels) - whole).abs().amax(dim=(0, 2, 3, 4))
    far = (torch.arange(codes.shape[1]) - middle).abs() > context
    promise(
        bool((moved[far] <= 1e-5).all()),
        f"{name} declares context {context}: a frame depends on no code further away",
        f"a change of code {middle} moved the frames {torch.nonzero(far & (moved > 1e-5)).flatten().tolist()}",
        "declare the true context, or 'fixed'",
    )
    promise(
        bool(moved[middle] > 0),
        f"{name}'s frame depends on its own code",
        f"a change of code {middle} left frame {middle} as it was",
        "use the codes",
    )
    later = net(codes[:, 1:], labels)
    if later.shape[1] > context:
        promise_text = f"{name}'s frame depends on the codes around it, not on its number in the block"
        close(later[:, context:], whole[:, 1 + context :], 1e-4, promise_text)
