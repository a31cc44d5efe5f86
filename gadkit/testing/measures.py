"""The conformance kit for feature networks and metrics: can what they say be measured again?"""

from __future__ import annotations

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
from gadkit.testing.probes import close, noise_of, promise, untouched
from gadkit.weights.state import digest

_CLOSE = 1e-4
_CLIPS = 24
_DIM = 6
_FRAMES = 12


def _clips(count: int, frames: int, height: int = 32, width: int = 32) -> Tensor:
    """Clips of moving noise, uint8 `(count, frames, 3, height, width)`."""
    size = frames * 3 * height * width
    return (noise_of(count).uniform("clips", size) * 256).to(torch.uint8).view(count, frames, 3, height, width)


def check_features(cls: type[Features], **settings: Any) -> None:
    """Checks a feature network, built with `settings`, against `gadkit.Features`.

    Its vectors have the promised shape and type at several sizes, are finite, the same every time and whatever clips
    lie beside, and differ between clips; two networks are built with the same tensors. One whose weights are not
    installed is built, and not run.

    Raises:
        AssertionError: A broken promise.
    """
    name = cls.__name__
    net = cls(**settings).eval().requires_grad_(False)
    fewest, most = net.frames
    promise(
        net.dim > 0 and fewest >= 1 and (most is None or most >= fewest) and net.of in ("clip", "frame"),
        f"{name} sets dim > 0, `frames` to (fewest, most or None), and `of` to clip or frame",
        f"they are {net.dim}, {net.frames} and {net.of!r}",
        "set them in __init__ or on the class",
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
            close(net(clips), rows, 0.0, f"{name} gives the same vectors for the same clips")
            alone = torch.cat([net(clip[None]) for clip in clips])
        scale = float(rows.abs().max()) or 1.0
        close(alone / scale, rows / scale, _CLOSE, f"{name} looks at each clip by itself")
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

    Its values are finite float64 scalars under the names of `best`, and depend on the clips alone: not on their order,
    on how they were cut into batches, or on which copies of the metric saw them; `reset` forgets, and too few clips are
    refused in a sentence.

    Raises:
        AssertionError: A broken promise.
    """
    name = cls.__name__
    count = max(_CLIPS, cls.fewest)

    def build() -> VideoMetric:
        return cls(**settings)

    sides = _sides(build(), count)
    expected = _measured(build(), sides, lambda rows: [rows])
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
    _measured(used, sides, lambda rows: [rows])
    used.reset()
    _same(_measured(used, sides, lambda rows: [rows]), expected, f"{name} forgets what it saw in reset()")
    copy = build()
    halves = [{role: rows[part::2] for role, rows in sides.items()} for part in range(2)]
    _update(copy, halves[1], lambda rows: [rows])
    whole = build()
    _update(whole, halves[0], lambda rows: [rows])
    whole.merge_state(copy)
    _same(dict(whole.compute()), expected, f"{name} can be put together from two that saw half of the clips each")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torchmetrics says the same
            build().compute()
    except (DataError, ValueError):
        return
    promise(False, f"{name} refuses to compute without clips", "it gave a value", "raise gadkit.DataError in compute")


def _sides(metric: VideoMetric, count: int) -> dict[tuple[bool, bool], Tensor]:
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


def _update(metric: VideoMetric, sides: dict[tuple[bool, bool], Tensor], cut: Callable[[Tensor], list[Tensor]]) -> None:
    for (real, training), rows in sides.items():
        for part in cut(rows):
            metric.update(part, real=real, training=training)


def _measured(
    metric: VideoMetric, sides: dict[tuple[bool, bool], Tensor], cut: Callable[[Tensor], list[Tensor]]
) -> dict[str, Tensor]:
    _update(metric, sides, cut)
    return dict(metric.compute())


def _same(found: dict[str, Tensor], expected: dict[str, Tensor], what: str) -> None:
    for key, value in expected.items():
        scale = max(1.0, float(value.abs()))
        close(found[key] / scale, value / scale, 1e-9, f"{what} ({key})")
