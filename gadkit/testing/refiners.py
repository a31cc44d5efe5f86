"""The conformance kit for refiners: do they leave everything but the latents as it was?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gadkit.interfaces.refiner import Refiner
from gadkit.randomness import Key, Noise
from gadkit.testing.probes import close, has_setting, noise_of, tensor, untouched
from gadkit.testing.promises import ALONE, SAME, promise
from gadkit.testing.reads import HostReads
from gadkit.testing.surroundings import unshared

_LATENT = 5
_SAMPLES = 6
#: A sample alone and among others: the same sums, perhaps in another order.
_CLOSE = 1e-9


class _Score(nn.Module):
    """A smooth score: one layer of tanh for the generator, and a critic with curvature.

    Args:
        scale: Of the scores; a negative one turns them around.
        reads: Whose notes are paused while it works.
    """

    def __init__(self, *, scale: float = 1.0, reads: HostReads | None = None) -> None:
        super().__init__()
        draw = Noise(Key.of(13), torch.arange(_LATENT), dtype=torch.float64)
        self.making = nn.Parameter(draw.normal("making", 8) / _LATENT**0.5)
        self.target = nn.Parameter(draw.normal("target", 8)[0] / 2)
        self.scale, self.reads = scale, reads

    def forward(self, latents: Tensor) -> Tensor:
        if self.reads is not None:
            with self.reads.paused():
                return self.judge(latents)
        return self.judge(latents)

    def judge(self, latents: Tensor) -> Tensor:
        """Minus a squared distance of what latents make, in their type but at least float32."""
        dtype = torch.promote_types(latents.dtype, torch.float32)
        made = torch.tanh(latents.to(dtype) @ self.making.to(dtype))
        return (made - self.target.to(dtype)).square().sum(dim=1) * -self.scale


def check_refiner(cls: type[Refiner], **settings: Any) -> None:
    """Checks a refiner class, built with `settings`, against `gadkit.Refiner`.

    It has the setting `steps`, none of which leave latents as they are; refined latents keep shape and type, without a
    graph; they are a function of a latent and its own noise, whatever stands beside it; they follow the score's slope,
    and stay finite where that is steep; nothing is read on the host, and no gradient is left anywhere.

    Raises:
        AssertionError: A broken promise.
    """
    with unshared(cls):
        _check(cls, settings)


def _check(cls: type[Refiner], settings: dict[str, Any]) -> None:
    name = cls.__name__
    has_setting(cls, "steps", "gadkit sample --refine 10", "add one, an integer of at least 0")
    refiner, none = cls(**settings), cls(**{**settings, "steps": 0})
    promise(
        none.steps == 0 and isinstance(refiner.steps, int) and refiner.steps >= 0,
        f"{name}.steps is the setting `steps`, an integer of at least 0",
        f"it is {refiner.steps!r}, and {none.steps!r} where 0 is set",
        "keep the argument in self.steps",
    )
    if not refiner.steps:
        refiner = cls(**{**settings, "steps": 1})
    _check_latents(refiner, none, name)
    _check_samples(refiner, name)
    _check_surroundings(refiner, name)


def _start(dtype: torch.dtype = torch.float64, count: int = _SAMPLES) -> tuple[Tensor, Noise]:
    noise = noise_of(count)
    return noise.normal("latents", _LATENT).to(dtype), noise.fold("refinement")


def _check_latents(refiner: Refiner, none: Refiner, name: str) -> None:
    """Shape, type and range of what comes back."""
    for dtype, scale in ((torch.float64, 1.0), (torch.float32, 1.0), (torch.bfloat16, 1.0), (torch.float32, 1e4)):
        start, noise = _start(dtype)
        score = _Score(scale=scale)
        with untouched(name, start):
            refined = refiner.refine(score, start, noise)
        what = f"{name} of {str(dtype).removeprefix('torch.')} latents, with scores of size {scale:g},"
        tensor(refined, (_SAMPLES, _LATENT), what, dtype, layout="(B, L), as it came")
        promise(
            not refined.requires_grad,
            f"{name} gives latents without a graph",
            "they require a gradient",
            "detach them",
        )
        close(
            refiner.refine(score, start, noise),
            refined,
            0.0,
            f"{name} gives the same latents for the same noise",
            mend=SAME,
        )
        kept = none.refine(score, start, noise)
        promise(
            kept.dtype == dtype and torch.equal(kept, start),
            f"{name} with no steps leaves latents as they are",
            "they differ",
            "return what was handed over where `steps` is 0",
        )


def _check_samples(refiner: Refiner, name: str) -> None:
    """What becomes of a latent is its own affair, and the score's."""
    start, noise = _start()
    refined = refiner.refine(_Score(), start, noise)
    for row in range(_SAMPLES):
        rows = slice(row, row + 1)
        alone = refiner.refine(_Score(), start[rows], Noise(noise.key, noise.samples[rows]))
        promised = f"{name}: what becomes of a latent does not depend on those beside it"
        close(alone, refined[rows], _CLOSE, promised, mend=ALONE)
    start, noise = _start(count=64)
    latents = start.clone().requires_grad_()
    (slope,) = torch.autograd.grad(_Score()(latents).sum(), latents)
    up, down = (refiner.refine(_Score(scale=scale), start, noise) for scale in (1.0, -1.0))
    gain = float(((up - down) * slope).sum())
    promise(
        gain > 0,
        f"{name} moves latents along the gradient of the score",
        f"with a score and with its negative, the latents differ by {gain:.3g} along the gradient at the start",
        "climb: larger scores are more real; and sum the scores, whose gradient holds that of each sample",
    )


def _check_surroundings(refiner: Refiner, name: str) -> None:
    """What is not a latent stays as it was, and nothing waits for the device."""
    start, noise = _start()
    with HostReads() as reads:
        score = _Score(reads=reads)
        before = [parameter.detach().clone() for parameter in score.parameters()]
        outside = refiner.refine(score, start, noise)
    promise(
        not reads.found,
        f"{name} reads nothing on the host",
        f"it used {', '.join(sorted(set(reads.found)))}",
        "choose between samples with torch.where; use no .item(), no float(tensor), no `if` on one, no index by a mask",
    )
    promise(
        all(p.grad is None and p.requires_grad for p in score.parameters())
        and all(torch.equal(p, old) for p, old in zip(score.parameters(), before, strict=True)),
        f"{name} leaves the nets behind the score as they are, without gradients",
        "a parameter has a gradient, another value, or no longer requires one",
        "take torch.autograd.grad with respect to the latents alone, in place of backward()",
    )
    with torch.no_grad():
        try:
            inside = refiner.refine(score, start, noise)
        except RuntimeError as error:
            promise(False, f"{name} works inside torch.no_grad()", repr(error), "use `with torch.enable_grad():`")
            raise
        off = not torch.is_grad_enabled()
    close(inside, outside, 0.0, f"{name} does the same inside torch.no_grad()", mend="use `with torch.enable_grad():`")
    promise(
        off and torch.is_grad_enabled(),
        f"{name} leaves gradients switched on or off as it found them",
        "it did not",
        "use `with torch.enable_grad():` in place of torch.set_grad_enabled(True)",
    )
