"""Does a discriminator keep the promises of `gadkit.Discriminator`?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gadkit.interfaces.discriminator import Discriminator, logit_count
from gadkit.interfaces.spec import VideoSpec
from gadkit.testing import nets, probes
from gadkit.testing.inputs import labels_of, pixels_of
from gadkit.testing.probes import close, untouched
from gadkit.testing.promises import IN_AUTOCAST, LAYOUT, SAME, promise, works
from gadkit.testing.scheduled import check_scheduled

_LOGITS = "(B, K), with as many logits a clip as the attribute `logits` says"


def check_discriminator(cls: type[Discriminator], **settings: Any) -> None:
    """Checks a discriminator class, built with `settings`, against `gadkit.Discriminator`.

    At two sizes, without classes and with them: heads and logits as its attributes count and name them, unbounded, in
    float32, float64 and bf16 autocast, whatever the clips' layout in memory; times that are a function of a clip's own
    noise; first parameters that the seed alone decides, and a state that holds all that training changes; gradients for
    every parameter, and gradients of the gradient in the clip.

    Raises:
        AssertionError: A broken promise.
    """
    nets.on_videos(cls, settings, partial(_check_on, cls, settings))


def _check_on(
    cls: type[Discriminator],
    settings: Mapping[str, Any],
    build: Callable[[int], Discriminator],
    video: VideoSpec,
    name: str,
) -> None:
    """The promises on clips of one shape."""
    net, same, other = nets.initialised(build, name)
    net.eval()
    labels = labels_of(video, 3)
    times = probes.times(net, video, name)
    clips = pixels_of(video, 3, video.frames if times is None else times.shape[1])

    def judge(
        net: nn.Module, clips: Tensor = clips, labels: Tensor | None = labels, times: Tensor | None = times
    ) -> dict[str, Tensor]:
        logits = net(clips, labels, times)
        return dict(logits) if isinstance(logits, Mapping) else {"": logits}

    def all_logits(net: nn.Module, **others: Any) -> Tensor:
        return torch.cat([*judge(net, **others).values()], 1)

    with untouched(name, clips, labels, times):
        heads = judge(net)
    _check_heads(net, heads, name)
    again, plain = judge(net), judge(net, clips.contiguous())
    for head, logits in heads.items():
        probes.tensor(logits, (3, logit_count(net, head)), f"{name}'s logits {head!r}", clips.dtype, layout=_LOGITS)
        close(again[head], logits, 0.0, f"{name} gives the same logits for the same clips in eval mode", mend=SAME)
        close(plain[head], logits, 1e-3, f"{name}'s logits do not depend on the clips' layout in memory", mend=LAYOUT)
        nets.unbounded(net, lambda net: judge(net)[head], f"{name}'s logits {head!r}")  # noqa: B023
    if times is None:
        counted = torch.arange(video.frames).expand(3, -1)
        promised = f"{name} takes no times for 0, 1, ... {video.frames - 1}"
        close(all_logits(net, times=counted), all_logits(net), 1e-5, promised, mend="count from 0 where times is None")
    with torch.no_grad():
        if labels is not None:
            nets.uses_labels(net, lambda net, labels: all_logits(net, labels=labels), 3, video.classes, name)
        else:
            nets.keeps_type(net, lambda net, dtype: all_logits(net, clips=clips.to(dtype)), name)
        nets.remembers_nothing(net, lambda: judge(net), name)
    nets.points_uphill(lambda clips: all_logits(net, clips=clips), clips, name, "clip")
    _check_plain(lambda clips: all_logits(net, clips=clips), clips, name)
    probes.round_trip(net, other.eval(), all_logits, name)
    check_scheduled(cls, settings, (video,), all_logits)
    with torch.autocast("cpu", torch.bfloat16), works(f"{name} works in bf16 autocast", IN_AUTOCAST):
        in_autocast = judge(net)
    for head, logits in in_autocast.items():
        probes.tensor(logits, (3, logit_count(net, head)), f"{name}'s logits {head!r} in bf16 autocast", layout=_LOGITS)
    net.train()
    with untouched(name, clips, labels, times, drawing=True):
        features = net.features(clips, labels, times)
    probes.tensor(features, (3, features.shape[-1]), f"{name}.features", layout="(B, F), one vector a clip")
    promise(
        features.requires_grad or not [*net.parameters()],
        f"{name}.features are differentiable, for trainers and losses that compare them",
        "no gradient leads from them to the parameters",
        "compute them without detach or no_grad",
    )
    probes.gradients(net, all_logits(net).square().sum(), name)
    net.zero_grad()
    _check_twice(net, clips, all_logits, name)
    nets.still_saved(net, same, all_logits, name)


def _check_plain(judge: Callable[[Tensor], Tensor], like: Tensor, name: str) -> None:
    """A clip of one colour has logits and a gradient."""
    black = torch.full_like(like, -1.0).requires_grad_()
    logits = judge(black)
    (slope,) = torch.autograd.grad(logits.sum(), black, materialize_grads=True)
    promise(
        bool(logits.isfinite().all() and slope.isfinite().all()),
        f"{name} judges a black clip, with a finite gradient",
        "there is nan or inf in its logits or its gradient",
        "look for a quotient by a spread or a norm that can be zero, and add a small number below",
    )


def _check_heads(net: Discriminator, heads: Mapping[str, Tensor], name: str) -> None:
    """What the attributes say of the heads is what forward returns."""
    promise(
        set(net.head_weights) <= set(heads),
        f"{name}.head_weights names heads that forward returns",
        f"it names {sorted(net.head_weights)}, forward returns {sorted(heads)}",
        "give both the same names",
    )
    if isinstance(net.logits, Mapping):
        promise(
            set(net.logits) == set(heads),
            f"{name}.logits, which counts the logits of each head, names the heads that forward returns",
            f"it names {sorted(net.logits)}, forward returns {sorted(heads)}",
            "give both the same names, or set `logits` to one number where all heads have as many",
        )


def _check_twice(net: Discriminator, clips: Tensor, all_logits: Callable[..., Tensor], name: str) -> None:
    """The gradient with respect to the clip, which penalties differentiate."""
    wanted = clips.clone().requires_grad_()
    promised = f"{name}'s gradient with respect to the clip can be differentiated again"
    mend = "use differentiable operations from the clip to the logits, without detach and once_differentiable"
    with works(promised, mend):
        total = all_logits(net, clips=wanted).sum()
        (slope,) = torch.autograd.grad(total, wanted, create_graph=True, materialize_grads=True)
        promise(
            slope.requires_grad and bool(slope.any()),
            promised,
            "it is zero, or does not depend on the parameters",
            mend,
        )
        probes.gradients(net, slope.square().sum(), f"{name} (of the squared input gradient)", every=False)
