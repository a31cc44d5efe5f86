"""Does a penalty keep the promises of `gadkit.Penalty`?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gadkit.interfaces.penalty import Penalty
from gadkit.interfaces.spec import VideoSpec
from gadkit.randomness import Key, Noise
from gadkit.testing import probes
from gadkit.testing.inputs import CLASSES, pixels_of
from gadkit.testing.probes import close, promise, untouched
from gadkit.testing.scheduled import check_scheduled


def check_penalty(cls: type[Penalty], **settings: Any) -> None:
    """Checks a penalty class, built with `settings`, against `gadkit.Penalty`.

    Raises:
        AssertionError: A broken promise.
    """
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
    close(value(), whole, 0.0, f"{name} is a function of the clips and the noise")
    halves = (value(slice(0, 2)) + value(slice(2, 4))) / 2
    close(halves, whole, 1e-6, f"{name} is a mean over samples, whose draws do not depend on the batch", relative=True)
    parameters = list(net.parameters())
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
    close(torch.tensor(slope), torch.tensor(measured), 1e-4, f"{name}'s gradient is that of its value", relative=True)
    net.float()
    with torch.autocast("cpu", torch.bfloat16):
        probes.tensor(value(dtype=torch.float32), (), f"{name} in bf16 autocast", torch.float32)
