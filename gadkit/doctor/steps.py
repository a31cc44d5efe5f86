"""One real step with a gradient of a gradient, on every device and in every precision that training offers there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gadkit.doctor.check import Check, Status

if TYPE_CHECKING:
    import torch

#: How far the gradient may be from the same in float64, relative: TF32 and bf16 keep 11 and 8 bits of a product.
TOLERANCE = {"fp32": 1e-2, "bf16": 1e-1}


def gradient(device: str, precision: str) -> tuple[torch.Tensor, float]:
    """The gradient of a small video discriminator's loss with the R1 penalty, and the milliseconds of one step.

    L = E softplus(-D(x)) + E‖∇ₓD(x)‖² / 2, differentiated in D's parameters, so ∇ₓD is differentiated again. Weights
    and clips are the same numbers on every device.

    Args:
        device: A PyTorch device.
        precision: `fp32`, `bf16` (autocast) or `fp64`.

    Returns:
        All parameters' gradients, one float64 vector on the CPU; and the time of the second of two steps.
    """
    import torch
    from torch import nn
    from torch.nn.functional import softplus

    from gadkit.randomness import Key, normal, seeded

    key = Key.of(0, "doctor")
    with seeded(key):
        net = nn.Sequential(
            nn.Conv3d(3, 8, (3, 4, 4), (1, 2, 2), 1), nn.LeakyReLU(0.2), nn.Conv3d(8, 16, 4, 2, 1), nn.LeakyReLU(0.2)
        )
        head = nn.Linear(16 * 2 * 4 * 4, 1)
    dtype = torch.float64 if precision == "fp64" else torch.float32
    critic = nn.Sequential(net, nn.Flatten(), head).to(device=device, dtype=dtype)
    clips = normal(key, torch.arange(4), torch.zeros((), dtype=torch.int64), 3 * 4 * 16 * 16)
    clips = clips.view(4, 3, 4, 16, 16).to(device=device, dtype=dtype)
    parameters = list(critic.parameters())
    gradients: tuple[torch.Tensor, ...] = ()
    started = 0.0
    for _ in range(2):  # the first step pays for what is set up once
        started = time.perf_counter()
        real = clips.clone().requires_grad_()
        with torch.autocast(torch.device(device).type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            logits = critic(real).to(dtype)
        (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)
        loss = softplus(-logits).mean() + slope.to(dtype).square().sum(dim=(1, 2, 3, 4)).mean() / 2
        gradients = torch.autograd.grad(loss, parameters)
        flat = torch.cat([gradient.detach().flatten() for gradient in gradients]).cpu().double()
    return flat, 1e3 * (time.perf_counter() - started)


def available() -> list[str]:
    """The devices that this PyTorch can use."""
    import torch

    names = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    return [*names, "mps"] if torch.backends.mps.is_available() else names


def step(device: str, precision: str) -> Check:
    """One step on one device, judged against the same gradient in float64 on the CPU."""
    name = f"{device} {precision}"
    status: Status = "fail" if precision == "fp32" else "warn"
    remedy = "train with --precision fp32 on this device"
    if precision == "fp32":
        remedy = "python -m pip install --force-reinstall torch" + ("" if device == "cpu" else ", or use --device cpu")
    try:
        reference, _ = gradient("cpu", "fp64")
        found, milliseconds = gradient(device, precision)
    except Exception as error:  # drivers and kernels fail in classes of their own
        reason = (str(error).strip() or "no message").splitlines()[0]
        text = f"double backward failed: {type(error).__name__}: {reason}"
        return Check(group="steps", name=name, status=status, text=text, remedy=remedy)
    distance = float((found - reference).norm() / reference.norm())
    details = {"milliseconds": round(milliseconds, 3), "relative_error": distance}
    if not distance <= TOLERANCE[precision]:  # a NaN is an error too
        text = (
            f"double backward gave a wrong gradient, relative error {distance:.2g}; {TOLERANCE[precision]} is allowed"
        )
        return Check(group="steps", name=name, status=status, text=text, remedy=remedy, details=details)
    text = f"double backward works, {milliseconds:.1f} ms"
    return Check(group="steps", name=name, status="ok", text=text, details=details)


def steps() -> Iterator[Check]:
    """A step on every device, in fp32 and in bf16."""
    for device in available():
        for precision in ("fp32", "bf16"):
            yield step(device, precision)
