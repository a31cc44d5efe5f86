"""Does a loss keep the promises of `gadkit.Loss`?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gadkit.interfaces.loss import Loss
from gadkit.testing import probes
from gadkit.testing.probes import close, noise_of, untouched
from gadkit.testing.promises import promise, works
from gadkit.testing.scheduled import check_scheduled
from gadkit.testing.surroundings import unshared

_MEAN = "end with .mean() over the samples in place of .sum(), and compare samples with nothing beside them"
_FORGETS = "remember nothing between calls: a loss has no state that a checkpoint could keep"
_ZERO_SUM = "set zero_sum to False, or negate the discriminator's loss"


def check_loss(cls: type[Loss], **settings: Any) -> None:
    """Checks a loss class, built with `settings`, against `gadkit.Loss`.

    Both losses are scalars in the type of the logits, functions of them alone, means over samples, finite with finite
    gradients also at large logits, and of the right sign; and its flags are true.

    Raises:
        AssertionError: A broken promise.
    """
    with unshared(cls):
        loss = cls(**settings)
        for k in (loss.logits,) if loss.logits else (1, 3):
            _check_on(cls, settings, loss, k)


def _both(loss: Loss, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    name = type(loss).__name__
    k = real.shape[1]
    promised = f"{name}.logits says how many logits a clip it takes, {loss.logits or 'any number of them'}"
    mend = "take (B, K) for every K, or set `logits` to the number that it asks for"
    with works(promised, mend):
        judging = loss.discriminator(real, fake)
    with works(
        f"{name}.generator_needs_real says whether the generator's loss uses the real logits: it says "
        f"{loss.generator_needs_real}, so they are " + ("there" if loss.generator_needs_real else "None"),
        f"set it to True where they are used; and take {k} logits a clip",
    ):
        return judging, loss.generator(fake, real if loss.generator_needs_real else None)


def _check_on(cls: type[Loss], settings: dict[str, Any], loss: Loss, k: int) -> None:
    """The promises with so many logits a clip."""
    name = cls.__name__
    # here the discriminator is wrong: real clips lie below 0 and generated ones above
    base = noise_of(4).uniform("logits", 2 * k) * 0.8 + 0.1
    check_scheduled(cls, settings, (), lambda loss: torch.stack(_both(loss, base[:, k:], base[:, :k])))
    # zero logits, all the same, are those of a discriminator whose last layer begins with zeros
    single, double = torch.float32, torch.float64
    for dtype, scale in ((single, 1.0), (double, 1.0), (single, 1e4), (single, -1e4), (single, 0.0)):
        real = (-base[:, :k] * scale).to(dtype).requires_grad_()
        fake = (base[:, k:] * scale).to(dtype).requires_grad_()
        with untouched(name, real, fake):
            values = _both(loss, real, fake)
        for player, value in zip(("discriminator", "generator"), values, strict=True):
            probes.tensor(value, (), f"{name}.{player} at logits of size {abs(scale):g}", dtype)
        for again, value in zip(_both(loss, real, fake), values, strict=True):
            close(again, value, 0.0, f"{name} is a function of its logits and its settings", mend=_FORGETS)
        slopes = _slopes(values, real, fake, name, abs(scale))
        if scale == 1:
            _check_signs(*slopes, name)
        if loss.zero_sum:
            _check_zero_sum(*slopes, name)
        halves = [_both(loss, real[i : i + 2], fake[i : i + 2]) for i in (0, 2)]
        for index in range(2):
            mean = (halves[0][index] + halves[1][index]) / 2
            promised = f"{name} is a mean over samples"
            close(mean, values[index], 1e-4, promised, relative=True, mend=_MEAN)


Slopes = tuple[Tensor, Tensor, Tensor | None, Tensor]


def _slopes(values: tuple[Tensor, Tensor], real: Tensor, fake: Tensor, name: str, scale: float) -> Slopes:
    """The slopes of D's loss in D(real) and D(fake), and of G's."""
    promise(
        all(value.requires_grad for value in values),
        f"{name} is differentiable in the logits",
        "a loss has no graph",
        "compute it from the logits without detach, no_grad or item()",
    )
    (d_real, d_fake), (g_real, g_fake) = (torch.autograd.grad(each, (real, fake), allow_unused=True) for each in values)
    for slope, what in ((d_real, "D's loss in D(real)"), (d_fake, "D's in D(fake)"), (g_fake, "G's in D(fake)")):
        promise(
            slope is not None,
            f"{name} has a gradient in all logits that it is about",
            f"that of {what} is missing",
            "use them, without detach or no_grad",
        )
        promise(
            bool(slope.isfinite().all()),
            f"{name} has finite gradients for every finite logit",
            f"at logits of size {scale:g}, that of {what} is not finite",
            "write it with softplus or logsigmoid instead of log and exp, and divide by nothing that can be zero",
        )
    return d_real, d_fake, g_real, g_fake


def _check_signs(d_real: Tensor, d_fake: Tensor, g_real: Tensor | None, g_fake: Tensor, name: str) -> None:
    promise(
        bool(d_real.sum() < 0 < d_fake.sum() and g_fake.sum() < 0),
        f"{name}: larger logits are more real, so D's loss falls with D(real) and rises with D(fake), and "
        "G's falls with D(fake)",
        f"slopes are {float(d_real.sum()):.3g}, {float(d_fake.sum()):.3g} and {float(g_fake.sum()):.3g}",
        "turn the sign of the one that is wrong; both losses are minimised",
    )


def _check_zero_sum(d_real: Tensor, d_fake: Tensor, g_real: Tensor | None, g_fake: Tensor, name: str) -> None:
    promised = f"{name}.zero_sum: the generator's gradient is the discriminator's, negated"
    close(g_fake, -d_fake, 1e-6, promised, mend=_ZERO_SUM)
    if g_real is not None:
        close(g_real, -d_real, 1e-6, f"{name}.zero_sum: as for generated clips, so for real ones", mend=_ZERO_SUM)
