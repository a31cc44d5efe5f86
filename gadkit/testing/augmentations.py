"""The conformance kit for augmentations: is a clip changed as a whole, by its own draws, and by what can be undone?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gadkit.interfaces.augmentation import Augmentation
from gadkit.testing.probes import close, has_setting, noise_of, tensor, untouched
from gadkit.testing.promises import ALONE, LAYOUT, ON_GRAPH, SAME, promise
from gadkit.testing.reads import HostReads
from gadkit.testing.scheduled import check_scheduled
from gadkit.testing.surroundings import unshared

_CLIPS = 12
#: Frames, height and width of the clips tried: square, wide, and of odd sides with a single frame.
_SHAPES = ((3, 8, 8), (4, 6, 12), (1, 9, 7))
#: A clip alone and among others, frames in another order: the same sums, perhaps in another order.
_CLOSE = 1e-9
_ALIKE = "draw once for a clip, without `at`, and look at no frame beside the one that is changed"
_STRENGTHS = (0.0, 0.5, 1.0)


def check_augmentation(cls: type[Augmentation], **settings: Any) -> None:
    """Checks an augmentation class, built with `settings`, against `gadkit.Augmentation`.

    It has the setting `strength`; clips keep their shape and type, whatever their layout in memory; a strength of 0
    leaves them exactly as they are, and one of 1 does not; what becomes of a clip is a function of it and its own
    noise; all frames are changed alike, whichever their order; gradients, and gradients of gradients, are those of the
    values; nothing is read on the host.

    Raises:
        AssertionError: A broken promise.
    """
    with unshared(cls):
        _check(cls, settings)


def _check(cls: type[Augmentation], settings: dict[str, Any]) -> None:
    name = cls.__name__
    mend = "add one, a number from 0 to 1, of the type `Annotated[gadkit.Scheduled, Field(ge=0, le=1)]`"
    has_setting(cls, "strength", "--set augmentation.strength=0.5", mend)
    set_to = cls(**{**settings, "strength": 0.25}).strength
    promise(
        set_to == 0.25,
        f"{name}.strength is the setting `strength`",
        f"it is {set_to!r} where 0.25 is set",
        "keep the argument in self.strength",
    )
    augmentation = cls(**settings)
    target, ramp = augmentation.target, augmentation.ramp
    promise(
        (target is None or -1 < target < 1) and ramp > 0,
        f"{name} has a target between -1 and 1, or None, and a ramp above 0",
        f"they are {target!r} and {ramp!r}",
        "set them in __init__ or leave them to the base class",
    )
    clips, noise = _clips(*_SHAPES[0]), noise_of(_CLIPS)
    check_scheduled(cls, settings, (), lambda built: built(clips, noise, _strength(built.strength, clips)))
    for frames, height, width in _SHAPES:
        _check_clips(augmentation, _clips(frames, height, width), name)
    _check_gradients(augmentation, name)


def _clips(frames: int, height: int, width: int) -> Tensor:
    """Random clips in [-1, 1), float64, channels last in memory as the trainer hands them over."""
    flat = noise_of(_CLIPS).uniform("pixels", frames * height * width * 3) * 2 - 1
    return flat.double().view(_CLIPS, frames, height, width, 3).permute(0, 1, 4, 2, 3)


def _strength(value: float, like: Tensor) -> Tensor:
    return torch.tensor(value, dtype=like.dtype)


def _check_clips(augmentation: Augmentation, clips: Tensor, name: str) -> None:
    """What comes back: shape, type, and what it depends on."""
    noise = noise_of(_CLIPS).fold("augmentation")
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        for strength in _STRENGTHS:
            video = clips.to(dtype)
            with untouched(name, video):
                seen = augmentation(video, noise, _strength(strength, video))
            what = f"{name} of {str(dtype).removeprefix('torch.')} clips, with a strength of {strength:g},"
            tensor(seen, tuple(video.shape), what, dtype, layout="(B, N, C, H, W), of the size that came")
            if strength == 0:
                promise(
                    torch.equal(seen, video),
                    f"{what} leaves them exactly as they are",
                    f"they differ by up to {float((seen - video).abs().max()):.3g}",
                    "write changes so that they vanish: x + 0 * d and 1 * x are x; m + 1 * (x - m) is not, by rounding",
                )
    full, half = _strength(1.0, clips), _strength(0.5, clips)
    seen = augmentation(clips, noise, full)
    promise(
        not torch.equal(seen, clips),
        f"{name} changes clips at a strength of 1",
        f"it left all {_CLIPS} as they were",
        "use the strength that is handed over",
    )
    close(augmentation(clips, noise, full), seen, 0.0, f"{name} gives the same clips for the same noise", mend=SAME)
    promised = f"{name} of a clip does not depend on its layout in memory"
    close(augmentation(clips.contiguous(), noise, full), seen, _CLOSE, promised, mend=LAYOUT)
    seen = augmentation(clips, noise, half)
    for row in range(_CLIPS):
        alone = type(noise)(noise.key, noise.samples[row : row + 1])
        promised = f"{name}: what becomes of a clip is a function of it and its own noise"
        close(augmentation(clips[row : row + 1], alone, half), seen[row : row + 1], _CLOSE, promised, mend=ALONE)
    order = torch.tensor([*range(1, clips.shape[1]), 0])
    promised = f"{name} changes every frame of a clip in the same way, in whichever place it stands"
    close(augmentation(clips[:, order], noise, half), seen[:, order], _CLOSE, promised, mend=_ALIKE)


def _check_gradients(augmentation: Augmentation, name: str) -> None:
    """First and second derivatives, and that nothing waits for the device."""
    clips, noise = _clips(2, 6, 6), noise_of(_CLIPS).fold("augmentation")
    draws = noise_of(_CLIPS, seed=1)
    weights, along = (draws.normal(purpose, clips[0].numel()).double().view_as(clips) for purpose in ("w", "along"))
    full = _strength(1.0, clips)

    def judged(video: Tensor) -> Tensor:
        return (torch.tanh(augmentation(video, noise, full)) * weights).sum()

    def steepness(video: Tensor, *, twice: bool = False) -> Tensor:
        leaf = video if twice else video.detach().requires_grad_()
        (slope,) = torch.autograd.grad(judged(leaf), leaf, create_graph=twice)
        squared: Tensor = slope.square().sum()
        return squared

    leaf = clips.clone().requires_grad_()
    with HostReads() as reads:
        value = judged(leaf)
        slope = torch.autograd.grad(value, leaf)[0] if value.requires_grad else torch.zeros_like(leaf)
    promise(
        not reads.found,
        f"{name} reads nothing on the host",
        f"it used {', '.join(sorted(set(reads.found)))}",
        "choose with torch.where; use no .item(), no float(tensor), no `if` on one, no index by a mask",
    )
    step = 1e-6

    def rise(function: Callable[[Tensor], Tensor]) -> Tensor:
        return (function(clips + step * along) - function(clips - step * along)).detach() / (2 * step)

    promised = f"{name}'s gradient in the video is that of its value"
    close((slope * along).sum(), rise(judged), 1e-5, promised, relative=True, mend=ON_GRAPH)
    try:
        (second,) = torch.autograd.grad(steepness(leaf, twice=True), leaf)
    except RuntimeError as error:
        promise(
            False,
            f"{name} can be differentiated twice, as the penalties r1 and r1r2 do it",
            repr(error),
            "use operations whose gradients have gradients, such as sums, products and gathers",
        )
        raise
    promised = f"the gradient of {name}'s gradient is that of its value"
    close((second * along).sum(), rise(steepness), 1e-4, promised, relative=True, mend=ON_GRAPH)
