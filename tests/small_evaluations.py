"""What the tests of evaluations share: a small network, a metric that anybody can compute, and videos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clips import encode, moving
from small_runs import small
from torch import Tensor

import gadkit
from gadkit.data.store import ClipStore
from gadkit.evaluation import subjects
from gadkit.evaluation.results import Result

#: What makes an evaluation small; `gadkit.evaluate` takes it as it is.
SMALL: dict[str, Any] = {"frames": 4, "clips": 32, "real_clips": 32, "resamplings": 0, "floor": False, "device": "cpu"}

#: A plugin file with a network, a metric, a protocol and some that break their promises.
PLUGIN = '''
import torch
from gadkit import Component, Features, VideoMetric, hookimpl


class Pooled(Features):
    """Colours of the four quarters, on average over the frames."""

    preparation = {"grid": 2}

    def __init__(self):
        super().__init__()
        self.dim = 12

    def forward(self, video):
        return torch.nn.functional.adaptive_avg_pool2d(video.float().mean(1) / 255, 2).flatten(1)


class Nan(Pooled):
    def forward(self, video):
        return super().forward(video) * float("nan")


class Flat(Pooled):
    def forward(self, video):
        return super().forward(video).flatten()


class Listed(Pooled):
    def forward(self, video):
        return super().forward(video).tolist()


class Whole(Pooled):
    def forward(self, video):
        return super().forward(video).long()


class Uneven(Pooled):
    calls = 0

    def forward(self, video):
        type(self).calls += 1
        return super().forward(video)[:, : 12 - self.calls]


class Ten(Pooled):
    frames = (10, None)


class Frames(Pooled):
    of = "frame"

    def forward(self, video):
        return torch.nn.functional.adaptive_avg_pool2d(video.float() / 255, 2).flatten(2)


class Odd(Pooled):
    of = "video"


NETS = {cls.__name__.lower(): cls for cls in (Pooled, Nan, Flat, Listed, Whole, Uneven, Ten, Frames, Odd)}


@hookimpl
def gadkit_features():
    return [Component(name=name, summary=name, target=f"nets:{cls.__name__}") for name, cls in NETS.items()]


@hookimpl
def gadkit_protocols():
    names = ("small", "misspelt", "broken", "missing")
    return [Component(name=name, summary=name, target=f"nets:{name}.toml") for name in names]
'''

PROTOCOLS = {
    "small": 'features = "pooled"\nmetrics = ["fvd"]\nframes = 4\nclips = 16\nreal_clips = 16\n',
    "misspelt": 'features = "pooled"\nframse = 4\n',
    "broken": "frames = = 4\n",
}


class Pooled(gadkit.Features):
    """Colours of the four quarters, on average over the frames.

    Attributes:
        seen: How many clips any of them was given.
    """

    seen = 0
    preparation = {"grid": 2}

    def __init__(self) -> None:
        super().__init__()
        self.dim = 12

    def forward(self, video: Tensor) -> Tensor:
        """See `gadkit.Features.forward`."""
        Pooled.seen += len(video)
        return torch.nn.functional.adaptive_avg_pool2d(video.float().mean(1) / 255, 2).flatten(1)


class Gap(gadkit.VideoMetric):
    """The distance between the means of both sides in the first entry, and how many clips it was taken of."""

    best = {"gap": "lowest", "count": "highest"}

    def __init__(self, *, scale: float = 1.0, **more: Any) -> None:
        super().__init__(**more)
        self.scale = scale
        self.sides: dict[bool, list[Tensor]] = {True: [], False: []}

    def update(self, x: Tensor, real: bool, training: bool = False) -> None:
        """See `gadkit.VideoMetric.update`."""
        self.sides[real].append(x[:, 0].double())

    def compute(self) -> dict[str, Tensor]:
        """`gap` and `count`."""
        real, generated = (torch.cat(self.sides[side]) for side in (True, False))
        return {"gap": self.scale * (real.mean() - generated.mean()).abs(), "count": torch.tensor(float(len(real)))}


def plugin_file(folder: Path) -> Path:
    """`nets.py` with its protocols beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in PROTOCOLS.items():
        (folder / f"{name}.toml").write_text(text)
    (folder / "nets.py").write_text(PLUGIN)
    return folder / "nets.py"


def footage(seed: int, length: int = 9, side: int = 16) -> np.ndarray:
    """Frames of one video, `(T, H, W, 3)`: smooth colours, darker from seed 20 on."""
    return (moving(length, side, side, seed=seed) * (1.0 if seed < 20 else 0.7)).astype(np.uint8)


def write_videos(folder: Path, seeds: range, length: int = 9, side: int = 16) -> Path:
    """A folder of videos without loss, `v00.mp4`, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        encode(folder / f"v{seed:02d}.mp4", footage(seed, length, side), rate=10)
    return folder


def make_subjects(root: Path) -> Path:
    """`real` and `made`, ten videos of 9 frames each; a run on `real`, with some held out, and its model."""
    real, _ = write_videos(root / "real", range(10)), write_videos(root / "made", range(20, 30))
    small(root / "run", dataset=None, data=str(real), frames=4, held_out=0.3, ema=10.0)
    gadkit.load(root / "run", device="cpu").export(root / "model")
    return root


def own_run(folder: Path, data: Path, **choices: Any) -> Path:
    """A run of one step on a folder of videos."""
    small(folder, **({"dataset": None, "data": str(data), "frames": 4, "steps": 1} | choices))
    return folder


def store_of(lengths: list[int], side: int = 1) -> ClipStore:
    """Videos whose every pixel says the number of its frame, modulo 256."""
    frames = torch.cat([torch.arange(length) % 256 for length in lengths]).to(torch.uint8)
    starts = torch.tensor([0, *lengths[:-1]]).cumsum(0)
    block = frames[:, None, None, None].expand(-1, side, side, 3).contiguous()
    names = [f"{number:03d}" for number in range(len(lengths))]
    return ClipStore([block], starts, torch.tensor(lengths), names=names, fps=10.0)


def decode_here(patch: pytest.MonkeyPatch) -> None:
    """Videos are decoded in threads of this process: other processes take a second to start."""
    prepare = subjects.prepare
    patch.setattr(subjects, "prepare", lambda *given, **more: prepare(*given, **(more | {"blueprint": None})))


def measured(generated: Any, against: Any = None, **changes: Any) -> Result:
    """A small evaluation in `Pooled`."""
    return gadkit.evaluate(generated, against, **({"features": [Pooled], **SMALL} | changes))


def numbers(result: Result) -> dict[str, Any]:
    """Its values, plain."""
    return {name: score.to_dict() for name, score in result.values.items()}


def document(result: Result) -> dict[str, Any]:
    """What its file says."""
    return json.loads(json.dumps(result.to_dict()))


@pytest.fixture(scope="module", autouse=True)
def quick(tmp_path_factory):
    """A cache of their own for the tests of a module, and decoding without other processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GADKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        decode_here(patch)
        yield
