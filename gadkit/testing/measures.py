"""The conformance kit for feature networks and metrics: can what they say be measured again?"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gadkit.errors import DataError
from gadkit.evaluation.networks import with_weights
from gadkit.interfaces.features import Features
from gadkit.interfaces.metric import VideoMetric
from gadkit.testing.probes import close, noise_of, untouched
from gadkit.testing.promises import ALONE, LAYOUT, SAME, promise, works
from gadkit.testing.surroundings import surroundings, unshared
from gadkit.weights.state import digest

_CLOSE = 1e-4
_CLIPS = 24
_DIM = 6
_FRAMES = 12
_STATES = (
    "keep sums and counts over clips, in states of add_state or add_summary, and let values follow from them alone"
)
#: How to mend what does not come together from parts.
_MERGES = "keep states that add up: sums and counts with add_state(..., dist_reduce_fx='sum'), or add_summary"

#: Rows by role: (real, training).
Sides = dict[tuple[bool, bool], Tensor]


def _clips(count: int, frames: int, height: int = 32, width: int = 32) -> Tensor:
    """Clips of moving noise, uint8 `(count, frames, 3, height, width)`."""
    size = frames * 3 * height * width
    return (noise_of(count).uniform("clips", size) * 256).to(torch.uint8).view(count, frames, 3, height, width)


def check_features(cls: type[Features], **settings: Any) -> None:
    """Checks a feature network, built with `settings`, against `gadkit.Features`.

    Its vectors have the promised shape and type at several sizes, are finite, the same every time and whatever clips
    lie beside, each frame's of that frame alone where it describes frames, and differ between clips; two networks are
    built with the same tensors; and what it says of its preparation can stand in a manifest. One whose weights are not
    installed is built, and not run.

    Raises:
        AssertionError: A broken promise.
    """
    with unshared(cls):
        _check_network(cls, settings)


def _check_network(cls: type[Features], settings: dict[str, Any]) -> None:
    name = cls.__name__
    with surroundings(name):
        net = cls(**settings).eval().requires_grad_(False)
    fewest, most = net.frames
    promise(
        net.dim > 0 and fewest >= 1 and (most is None or most >= fewest) and net.of in ("clip", "frame"),
        f"{name} sets dim > 0, `frames` to (fewest, most or None), and `of` to clip or frame",
        f"they are {net.dim}, {net.frames} and {net.of!r}",
        "set them in __init__ or on the class",
    )
    try:
        json.dumps(dict(net.preparation), allow_nan=False)
    except (TypeError, ValueError) as error:
        promise(
            False,
            f"{name}.preparation says in numbers and words what is done to the pixels, for a result's manifest",
            str(error),
            "keep text, numbers, lists and tables of them in it",
        )
    if cls.weights is not None:
        try:
            net = with_weights(net)
        except DataError:
            return
    else:
        promise(
            digest(net.state_dict()) == digest(cls(**settings).state_dict()),
            f"{name} is built with the same tensors every time",
            "two of them differ",
            "draw them with gadkit.randomness from a fixed key, not from the global generator",
        )
    frames = fewest if most is not None else max(fewest, 4)
    for height, width in ((32, 32), (48, 64)):
        clips = _clips(3, frames, height, width)
        with untouched(name, clips), torch.no_grad():
            rows = net(clips)
        expected = (3, net.dim) if net.of == "clip" else (3, frames, net.dim)
        promise(
            tuple(rows.shape) == expected and rows.dtype == torch.float32 and bool(rows.isfinite().all()),
            f"{name} gives finite float32 of shape {expected} for clips of {height}x{width}",
            f"{rows.dtype} of shape {tuple(rows.shape)} came",
            "return one vector for each clip, or frame, in float32",
        )
        with torch.no_grad():
            close(net(clips), rows, 0.0, f"{name} gives the same vectors for the same clips", mend=SAME)
            alone = torch.cat([net(clip[None]) for clip in clips])
            strewn = net(clips.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3))
        scale = float(rows.abs().max()) or 1.0
        close(alone / scale, rows / scale, _CLOSE, f"{name} looks at each clip by itself", mend=ALONE)
        promised = f"{name}'s vectors do not depend on the clips' layout in memory"
        close(strewn / scale, rows / scale, _CLOSE, promised, mend=LAYOUT)
        if net.of == "frame":
            order = torch.tensor([*range(1, frames), 0])
            with torch.no_grad():
                turned = net(clips[:, order])
            promised = f"{name} describes each frame by itself"
            close(
                turned / scale,
                rows[:, order] / scale,
                _CLOSE,
                promised,
                mend="look at no frame beside the one that is described, or set `of` to 'clip'",
            )
        promise(
            not torch.allclose(rows[0], rows[1]),
            f"{name} tells clips apart",
            "two clips of noise have one vector",
            "look at the pixels",
        )
    if net.labels:
        scores = net.logits(rows)
        promise(
            scores.shape[-1] == len(net.labels),
            f"{name} gives one score for each of its labels",
            f"{scores.shape[-1]} came for {len(net.labels)}",
            "return (..., K) from logits",
        )


def check_metric(cls: type[VideoMetric], **settings: Any) -> None:
    """Checks a metric, built with `settings`, against `gadkit.VideoMetric`.

    Its values are finite float64 scalars under the names of `best`, better for clips like the real ones than for others
    where it says what is better, and depend on the clips alone: not on their order, on how they were cut into batches,
    or on which copies of the metric saw them, some of them none; `reset` forgets, and too few clips are refused in a
    sentence.

    Raises:
        AssertionError: A broken promise.
    """
    with unshared(cls):
        _check_metric(cls, settings)


def _check_metric(cls: type[VideoMetric], settings: dict[str, Any]) -> None:
    name = cls.__name__
    count = max(_CLIPS, cls.fewest)

    def build() -> VideoMetric:
        return cls(**settings)

    sides = _sides(build(), count)
    with untouched(name, *sides.values()):
        metric = build()
        expected = _measured(metric, sides, _whole)
        _same(dict(metric.compute()), expected, f"{name} gives the same values when it is asked again")
    promise(
        expected.keys() == cls.best.keys(),
        f"{name} gives the values that `best` names",
        f"{sorted(expected)} came, and `best` names {sorted(cls.best)}",
        "name every value in `best`",
    )
    for value in expected.values():
        promise(
            value.dtype == torch.float64 and value.ndim == 0 and bool(value.isfinite()),
            f"{name} gives finite float64 scalars",
            f"{value!r} came",
            "compute in float64, and return tensors without dimensions",
        )
    ways: dict[str, Callable[[Tensor], list[Tensor]]] = {
        "the order of clips": lambda rows: [rows.flip(0)],
        "batches": lambda rows: list(rows.split(5)),
    }
    for way, cut in ways.items():
        _same(_measured(build(), sides, cut), expected, f"{name} does not depend on {way}")
    used = build()
    _measured(used, sides, _whole)
    used.reset()
    _same(_measured(used, sides, _whole), expected, f"{name} forgets what it saw in reset()")
    halves = [{role: rows[part::2] for role, rows in sides.items()} for part in range(2)]
    told = f"{name} can be put together from copies that saw a part of the clips each, or none, in any order"
    nothing: Sides = {}
    for parts in (halves, halves[::-1], [*halves, nothing], [nothing, *halves]):
        first, *others = [build() for _ in parts]
        for metric, seen in zip((first, *others), parts, strict=True):
            _update(metric, seen, _whole)
        with works(told, _MERGES), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of a metric that was not updated
            for each in others:
                first.merge_state(each)
            _same(dict(first.compute()), expected, told, mend=_MERGES)
    if cls.needs_real and not cls.needs_training:
        _check_best(build, sides, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torchmetrics says the same
            build().compute()
    except (DataError, ValueError):
        return
    promise(False, f"{name} refuses to compute without clips", "it gave a value", "raise gadkit.DataError in compute")


def _check_best(build: Callable[[], VideoMetric], sides: Sides, name: str) -> None:
    """Copies of the real clips are no worse than the same ones, moved far away."""
    real = sides[True, False]
    far = real + 4 if build().rows_from == "features" else real.flip(1)
    if build().rows_from == "pixels":  # rows may be of one number: other ones come of clips of less contrast
        far = build().rows(_clips(len(real), _FRAMES) // 2)
    like, unlike = (
        _measured(build(), {(True, False): real, (False, False): generated}, _whole) for generated in (real, far)
    )
    for key, better in build().best.items() if build().rows_from == "features" else ():
        gain = float(unlike[key] - like[key]) * {"lowest": 1, "highest": -1, None: 0}[better]
        promise(
            gain >= -1e-9,
            f"{name}'s {key} is better where it is {better}, as `best` says",
            f"it is {float(like[key]):.3g} for the real clips and {float(unlike[key]):.3g} for clips far away",
            "say in `best` what is better, or turn the value's sign",
        )
    promise(
        any(not torch.equal(like[key], unlike[key]) for key in like),
        f"{name} looks at the clips",
        "it is the same for copies of the real clips and for others",
        "compute it from what update was given",
    )


def _whole(rows: Tensor) -> list[Tensor]:
    return [rows]


def _sides(metric: VideoMetric, count: int) -> Sides:
    """Rows by role (real, training): of noise, the generated a little away from the real."""
    roles = [(False, False), (True, False)] if metric.needs_real else [(False, False)]
    roles += [(True, True)] if metric.needs_training else []
    sides = {}
    for number, role in enumerate(roles):
        if metric.rows_from == "pixels":
            rows = metric.rows(_clips(count, _FRAMES).roll(number, 0))
        else:
            shape = (count, _DIM) if metric.of != "frame" else (count, _FRAMES, _DIM)
            rows = noise_of(count, seed=number).normal("rows", math.prod(shape[1:])).view(shape) + 0.1 * number
        sides[role] = rows
    return sides


def _update(metric: VideoMetric, sides: Sides, cut: Callable[[Tensor], list[Tensor]]) -> None:
    for (real, training), rows in sides.items():
        for part in cut(rows):
            metric.update(part, real=real, training=training)


def _measured(metric: VideoMetric, sides: Sides, cut: Callable[[Tensor], list[Tensor]]) -> dict[str, Tensor]:
    _update(metric, sides, cut)
    return dict(metric.compute())


def _same(found: dict[str, Tensor], expected: dict[str, Tensor], what: str, *, mend: str = _STATES) -> None:
    for key, value in expected.items():
        scale = max(1.0, float(value.abs()))
        close(found[key] / scale, value / scale, 1e-9, f"{what} ({key})", mend=mend)
