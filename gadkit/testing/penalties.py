"""Does a penalty keep the promises of `gadkit.Penalty`?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gadkit.interfaces.penalty import Penalty
from gadkit.interfaces.spec import VideoSpec
from gadkit.randomness import Key, Noise
from gadkit.testing import probes
from gadkit.testing.inputs import CLASSES, pixels_of
from gadkit.testing.probes import close, untouched
from gadkit.testing.promises import IN_AUTOCAST, ON_GRAPH, SAME, promise, works
from gadkit.testing.scheduled import check_scheduled
from gadkit.testing.surroundings import unshared

#: How much larger logits are made, so that a slope beyond any that a penalty aims at comes of it.
_STEEPER = 1e3
_MEAN = "end with .mean() over the samples in place of .sum(), and draw from `noise` without the batch's size"


def check_penalty(cls: type[Penalty], **settings: Any) -> None:
    """Checks a penalty class, built with `settings`, against `gadkit.Penalty`.

    It is a scalar in the type of the critic's numbers, a mean over samples, a function of clips and noise, with the
    gradient of its value for the discriminator's parameters, where it leaves none behind; a discriminator that is
    steeper everywhere is penalised more; and `double_backward` is true.

    Raises:
        AssertionError: A broken promise.
    """
    with unshared(cls):
        _check(cls, settings)


def _check(cls: type[Penalty], settings: dict[str, Any]) -> None:
    name = cls.__name__
    penalty = cls(**settings)
    video = VideoSpec(height=6, width=5, frames=3, classes=CLASSES)
    twice = penalty.double_backward
    samples = torch.arange(4)
    real, fake = (pixels_of(video, 4, 3, seed).double() for seed in (1, 2))
    net = probes.SmoothCritic(video, once=not twice).double()

    def value(rows: slice = slice(None), dtype: torch.dtype = torch.float64, penalty: Penalty = penalty) -> Tensor:
        x, y = (clips[rows].detach().to(dtype).requires_grad_(twice) for clips in (real, fake))
        noise = Noise(Key.of(3), samples[rows], dtype=dtype)
        with untouched(name, x, y):
            return penalty(probes.Bound(net, samples[rows] % video.classes), x, y, noise)

    try:
        whole = value()
    except RuntimeError as error:
        promise(
            twice,
            f"{name} says in double_backward whether it differentiates the discriminator's gradient: it says that it "
            "does not, so clips require no gradient and the discriminator may be compiled",
            f"it failed with {error!r}",
            "set double_backward to True, or use no autograd.grad",
        )
        raise
    probes.tensor(whole, (), name, torch.float64)
    check_scheduled(cls, settings, (), lambda penalty: value(penalty=penalty))
    close(value(), whole, 0.0, f"{name} is a function of the clips and the noise", mend=SAME)
    halves = (value(slice(0, 2)) + value(slice(2, 4))) / 2
    close(
        halves,
        whole,
        1e-6,
        f"{name} is a mean over samples, whose draws do not depend on the batch",
        relative=True,
        mend=_MEAN,
    )
    parameters = list(net.parameters())
    promise(
        all(parameter.grad is None and parameter.requires_grad for parameter in parameters),
        f"{name} leaves the discriminator's parameters without gradients of their own",
        "one has `grad`, or no longer requires a gradient",
        "take torch.autograd.grad with respect to the clips, in place of backward()",
    )
    promise(
        whole.requires_grad,
        f"{name} is differentiable in the discriminator's parameters",
        "its value has no graph",
        "differentiate with create_graph=True, and detach nothing that depends on the discriminator",
    )
    slopes = torch.autograd.grad(whole, parameters, materialize_grads=True)
    promise(
        all(bool(slope.isfinite().all()) for slope in slopes) and any(bool(slope.any()) for slope in slopes),
        f"{name} has a finite gradient with respect to the discriminator's parameters",
        "it is zero or not finite",
        "differentiate with create_graph=True, and detach nothing that depends on the discriminator",
    )
    along = [torch.randn(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(1)) for p in parameters]
    slope = sum(float((g * v).sum()) for g, v in zip(slopes, along, strict=True))
    ends = []
    for step in (1e-5, -2e-5):
        with torch.no_grad():
            for parameter, direction in zip(parameters, along, strict=True):
                parameter.add_(direction, alpha=step)
        ends.append(float(value().detach()))
    measured = (ends[0] - ends[1]) / 2e-5
    close(
        torch.tensor(slope),
        torch.tensor(measured),
        1e-4,
        f"{name}'s gradient is that of its value",
        relative=True,
        mend=ON_GRAPH,
    )
    _check_sign(net, value, name)
    _check_flat(net, value, name)
    net.float()
    with torch.autocast("cpu", torch.bfloat16), works(f"{name} works in bf16 autocast", IN_AUTOCAST):
        in_autocast = value(dtype=torch.float32)
    probes.tensor(in_autocast, (), f"{name} in bf16 autocast", torch.float32)


def _check_flat(net: probes.SmoothCritic, value: Callable[[], Tensor], name: str) -> None:
    """A critic of zeros, as one is whose last layer begins with zeros, is penalised with a finite gradient."""
    before = [parameter.detach().clone() for parameter in net.parameters()]
    with torch.no_grad():
        net.out.zero_()
        net.embedding.zero_()
    flat = value()
    slopes = torch.autograd.grad(flat, [*net.parameters()], materialize_grads=True) if flat.requires_grad else ()
    promise(
        bool(flat.isfinite()) and all(bool(slope.isfinite().all()) for slope in slopes),
        f"{name} is finite, and so is its gradient, where the discriminator's slope is zero",
        f"it is {float(flat.detach()):.3g}, with nan or inf in its gradient",
        "guard the root of a norm: it has no slope at 0",
    )
    with torch.no_grad():
        for parameter, old in zip(net.parameters(), before, strict=True):
            parameter.copy_(old)


def _check_sign(net: probes.SmoothCritic, value: Callable[[], Tensor], name: str) -> None:
    """A critic that is far steeper than another one is penalised more."""
    before = float(value().detach())
    with torch.no_grad():
        net.out.mul_(_STEEPER)
        net.embedding.mul_(_STEEPER)
    after = float(value().detach())
    promise(
        after > before,
        f"{name} is added to a loss that is minimised, so it rises with the discriminator's slope",
        f"for logits {_STEEPER:g} times as large it goes from {before:.3g} to {after:.3g}",
        "turn its sign",
    )
