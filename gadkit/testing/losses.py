"""Does a loss keep the promises of `gadkit.Loss`?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gadkit.interfaces.loss import Loss
from gadkit.testing import probes
from gadkit.testing.probes import close, noise_of, promise, untouched
from gadkit.testing.scheduled import check_scheduled


def check_loss(cls: type[Loss], **settings: Any) -> None:
    """Checks a loss class, built with `settings`, against `gadkit.Loss`.

    Raises:
        AssertionError: A broken promise.
    """
    name = cls.__name__
    loss = cls(**settings)

    def both(real: Tensor, fake: Tensor, loss: Loss = loss) -> tuple[Tensor, Tensor]:
        return loss.discriminator(real, fake), loss.generator(fake, real if loss.generator_needs_real else None)

    for k in (loss.logits,) if loss.logits else (1, 3):
        # here the discriminator is wrong: real clips lie below 0 and generated ones above
        base = noise_of(4).uniform("logits", 2 * k) * 0.8 + 0.1
        check_scheduled(cls, settings, (), lambda loss: torch.stack(both(base[:, k:], base[:, :k], loss)))  # noqa: B023
        for dtype, scale in ((torch.float32, 1.0), (torch.float64, 1.0), (torch.float32, 1e4), (torch.float32, -1e4)):
            real = (-base[:, :k] * scale).to(dtype).requires_grad_()
            fake = (base[:, k:] * scale).to(dtype).requires_grad_()
            with untouched(name, real, fake):
                values = both(real, fake)
            for player, value in zip(("discriminator", "generator"), values, strict=True):
                probes.tensor(value, (), f"{name}.{player} at logits of size {abs(scale):g}", dtype)
            slopes = [torch.autograd.grad(value, (real, fake), allow_unused=True) for value in values]
            (d_real, d_fake), (g_real, g_fake) = slopes
            for slope in (d_real, d_fake, g_fake):
                promise(
                    slope is not None and bool(slope.isfinite().all()),
                    f"{name} has finite gradients for every finite logit",
                    f"at logits of size {abs(scale):g} one is missing or not finite",
                    "write it with softplus or logsigmoid instead of log and exp",
                )
            if scale == 1:
                promise(
                    bool(d_real.sum() < 0 < d_fake.sum() and g_fake.sum() < 0),
                    f"{name}: larger logits are more real, so D's loss falls with D(real) and rises with D(fake), and "
                    "G's falls with D(fake)",
                    f"slopes are {float(d_real.sum()):.3g}, {float(d_fake.sum()):.3g} and {float(g_fake.sum()):.3g}",
                    "turn the sign of the one that is wrong; both losses are minimised",
                )
            if loss.zero_sum:
                close(
                    g_fake, -d_fake, 1e-6, f"{name}.zero_sum: the generator's gradient is the discriminator's, negated"
                )
                if g_real is not None:
                    close(g_real, -d_real, 1e-6, f"{name}.zero_sum: as for generated clips, so for real ones")
            halves = [both(real[i : i + 2], fake[i : i + 2]) for i in (0, 2)]
            for index in range(2):
                mean = (halves[0][index] + halves[1][index]) / 2
                close(mean, values[index], 1e-4, f"{name} is a mean over samples", relative=True)
