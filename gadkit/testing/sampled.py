"""A refiner in sampling, and feature networks and metrics in an evaluation: do they work where they are used?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Literal
from unittest import SkipTest

import numpy as np
import torch
from torch import Tensor

from gadkit.errors import DataError
from gadkit.evaluation.evaluate import evaluate
from gadkit.interfaces.features import Features
from gadkit.interfaces.refiner import Refiner
from gadkit.interfaces.spec import VideoSpec
from gadkit.randomness import Key, Noise, seeded
from gadkit.runs.model import Model
from gadkit.testing.promises import promise
from gadkit.testing.small import FRAMES, LATENT, MOTION, SmallDiscriminator, SmallGenerator
from gadkit.testing.subjects import Trial
from gadkit.testing.training import apart

_SIDE = 16
_STEPS = 3
_LONG = 20
_CLIPS = 12
_DIM, _CLASSES = 8, 4


def check_sampling(trial: Trial) -> None:
    """Checks a refiner where it works: in sampling from a model.

    Refined videos are others than those that they began as; a seed means one refined video, sampled again, alone or
    beside another, and at the beginning of a longer one.

    Raises:
        AssertionError: A broken promise.
    """
    model = _model(trial)
    refiner: Refiner = trial.load()(**{"steps": _STEPS, **trial.settings})
    plain = model.sample(num=2, length=FRAMES, seed=3, refine=0)
    refined = model.sample(num=2, length=FRAMES, seed=3, refine=refiner)
    promise(
        refiner.steps == 0 or not torch.equal(plain, refined),
        f"{trial.name} moves what a model samples, in {refiner.steps} steps",
        "every pixel is as it was",
        "make `steps` steps along the score's gradient, large enough to be seen",
    )
    mend = "let what becomes of a latent depend on it, its own noise and the score alone"
    for promised, kept in (
        ("sampled once or twice", torch.equal(refined, model.sample(2, FRAMES, 3, refine=refiner))),
        ("alone or beside another", torch.equal(refined[1:], model.sample(1, FRAMES, 3, first=1, refine=refiner))),
        (
            "at the beginning of a longer one",
            torch.equal(refined, model.sample(2, _LONG, 3, refine=refiner)[:, :FRAMES]),
        ),
    ):
        promise(kept, f"with {trial.name}, a seed means one refined video, {promised}", "the videos differ", mend)


def _model(trial: Trial) -> Model:
    """An untrained model with the discriminator that would have been trained with it."""
    video = VideoSpec(height=_SIDE, width=_SIDE, frames=FRAMES, fps=10.0)
    with seeded(Key.of(0)):
        generator, judge = SmallGenerator(video), SmallDiscriminator(video)
        assembler = trial.registry.find("assembler", "walk").load()(video, LATENT, MOTION)
    return Model(generator, assembler, video, judge=lambda: judge, registry=trial.registry)


class _Pooled(Features):
    """Colours and motion in a coarse grid, through a fixed matrix; class scores through another."""

    labels = tuple("abcd")[:_CLASSES]

    def __init__(self) -> None:
        super().__init__()
        self.dim = _DIM
        draw = Noise(Key.of(5), torch.arange(24))
        self.register_buffer("map", draw.normal("map", _DIM))
        self.register_buffer("scores", Noise(Key.of(6), torch.arange(_DIM)).normal("scores", _CLASSES))

    def frames_of(self, video: Tensor) -> Tensor:
        """Vectors of frames, `(B, T, 8)`."""
        x = video.float().flatten(0, 1) / 255
        coarse = torch.nn.functional.adaptive_avg_pool2d(x, (2, 2)).flatten(1)
        moved = torch.cat((coarse, coarse.square()), 1)
        rows: Tensor = moved @ self.get_buffer("map")
        return rows.view(len(video), -1, self.dim)

    def logits(self, features: Tensor) -> Tensor:
        """See `gadkit.Features.logits`."""
        return features @ self.get_buffer("scores")


class _OfClips(_Pooled):
    """One vector a clip."""

    of: ClassVar[Literal["clip", "frame"]] = "clip"

    def forward(self, video: Tensor) -> Tensor:
        """See `gadkit.Features.forward`."""
        return self.frames_of(video).mean(dim=1)


class _OfFrames(_Pooled):
    """One vector a frame."""

    of: ClassVar[Literal["clip", "frame"]] = "frame"

    def forward(self, video: Tensor) -> Tensor:
        """See `gadkit.Features.forward`."""
        return self.frames_of(video)


def check_measuring(trial: Trial) -> None:
    """Checks a feature network or a metric where it works: in an evaluation of one set of videos against another.

    Its numbers are finite, and the same when it is made again.

    Raises:
        AssertionError: A broken promise.
        unittest.SkipTest: Its weights are not installed, or it asks for more clips.
    """
    cls = trial.load()
    own = cls if trial.entry.cls is not None else trial.entry.qualified
    choice: dict[str, Any] = {"metrics": "fvd", "features": [_OfClips, _OfFrames]}
    frames = 12
    if trial.kind == "features":
        fewest, most = cls.frames
        frames = fewest if most is not None else max(fewest, 4)
        choice = {"metrics": "fvd" if cls.of == "clip" else "fid", "features": own}
    else:
        choice["metrics"] = own
        name = trial.registry.adopt("metric", cls).qualified if trial.entry.cls is not None else own
        choice["settings"] = {str(name): dict(trial.settings)} if trial.settings else None
    count = max(_CLIPS, cls.fewest) if trial.kind == "metric" else _CLIPS
    found, again = (_measured(trial, choice, count, frames) for _ in range(2))
    bad = {key: score.value for key, score in found.items() if not math.isfinite(score.value)}
    promise(
        bool(found) and not bad,
        f"an evaluation with {trial.name} gives finite numbers",
        f"it gave {bad or 'none'}",
        "guard quotients, roots and logarithms, and name every value in `best`",
    )
    promise(
        {key: score.value for key, score in found.items()} == {key: score.value for key, score in again.items()},
        f"an evaluation with {trial.name}, made again, gives the same numbers",
        f"they were {_shown(found)} and {_shown(again)}",
        "draw nothing, or from gadkit.randomness with a fixed key",
    )


def _measured(trial: Trial, choice: Mapping[str, Any], count: int, frames: int) -> Mapping[str, Any]:
    """An evaluation of a few small videos against others, for which nothing is remembered."""
    with TemporaryDirectory(prefix="gadkit-check-") as text, apart(Path(text)):
        generated, real, training = (
            _written(Path(text, side), count, frames) for side in ("generated", "real", "training")
        )
        try:
            return evaluate(
                generated,
                real,
                training=training,
                protocol="quick",
                device="cpu",
                registry=trial.registry,
                frames=frames,
                clips=count,
                real_clips=count,
                **choice,
            ).values
        except DataError as error:
            raise SkipTest(f"{trial.name} cannot be tried on {count} clips of {frames} frames: {error}") from error


def _shown(scores: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {score.value:.9g}" for key, score in scores.items())


def _written(folder: Path, count: int, frames: int) -> Path:
    """Videos in an array: ramps of colours that move, another one for each number and folder."""
    folder.mkdir()
    draw = Noise(Key.of(0, folder.name), torch.arange(count))
    shade = draw.uniform("shade", 3).numpy()[:, None, None, None, :]
    speed = draw.uniform("speed", 1).numpy()[:, :, None, None, None]
    time = np.arange(frames)[None, :, None, None, None]
    rows, columns = (np.arange(32).reshape(shape) / 32 for shape in ((1, 1, 32, 1, 1), (1, 1, 1, 32, 1)))
    light = 0.5 + 0.5 * np.sin(6 * (rows * shade + columns + speed * time / 4))
    np.save(folder / "videos.npy", (light * (0.3 + 0.7 * shade) * 255).astype(np.uint8))
    return folder
