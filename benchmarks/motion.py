"""How well motion statistics tell frozen, flickering, shuffled and looping clips from real ones.

    python benchmarks/motion.py DATA... [--split] [--frames 16] [--size 64] [--clips 400] [--thresholds]

DATA are folders of videos, or names of data sets that need no path, such as `embedded`. Clips are spread evenly over
the videos and damaged in known ways; clips and damaged clips are tried as they are, with camera noise added (normal,
σ 8 grey levels, new in every frame and pixel), and after H.264 (x264, crf 23, each clip a file of its own). Printed is
a Markdown table: the share of the damaged clips that the detector of this damage misses, the share of real clips that
it finds wrongly, both with 95 % intervals (Wilson), and the balanced error, their mean (interval: Newcombe's). A
detector that looks at nothing, whatever it says, has a balanced error of 50 %. Of what is missed, the share that is
found frozen instead is given too: a loop of a piece in which next to nothing moves stands still.

With `--split`, two parts of each set are measured apart; emoji that are variants of one another, whose names begin
with the same code point, stay together. With `--thresholds`, the first part's table is followed by the range of each
threshold within which the balanced error, averaged over damages and conditions, is within half a point of its smallest.
"""

from __future__ import annotations

import argparse
import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor

from gadkit import Key
from gadkit.registry import get_registry
from gadkit.video.geometry import Geometry
from gadkit_plugins.metrics import motion_rows as motion

Damage = Callable[[Tensor, Key], Tensor]

#: Columns and signs of the numbers that are held against a threshold: what is above it, times the sign, is found.
DECIDES = {
    "frozen": (motion.STILL, -1),
    "flickering": (motion.FLICKER, 1),
    "shuffled": (motion.ORDER, 1),
    "looping": (motion.LOOP, -1),
}


def times(clips: Tensor) -> Tensor:
    """The numbers of the frames of clips."""
    return torch.arange(clips.shape[1])


def frozen(clips: Tensor, key: Key) -> Tensor:
    """One frame throughout."""
    return clips[:, :1].expand_as(clips)


def flickering(depth: float) -> Damage:
    """Every other frame brighter by a part, those between darker by it."""

    def damage(clips: Tensor, key: Key) -> Tensor:
        gain = 1 + depth * (1 - 2 * (times(clips) % 2))
        return (clips * gain[:, None, None, None]).round().clamp(0, 255).byte()

    return damage


def flash(levels: int) -> Damage:
    """One frame, neither the first nor the last, brighter or darker by some grey levels."""

    def damage(clips: Tensor, key: Key) -> Tensor:
        place = 1 + torch.randint(clips.shape[1] - 2, (len(clips), 1), generator=torch_generator(key))
        raised = levels * (times(clips) == place)
        return (clips.int() + raised[..., None, None, None]).clamp(0, 255).byte()

    return damage


def shuffled(clips: Tensor, key: Key) -> Tensor:
    """The frames in random order."""
    order = torch.rand(clips.shape[:2], generator=torch_generator(key)).argsort(1)
    return torch.stack([clip[frames] for clip, frames in zip(clips, order, strict=True)])


def looping(period: int) -> Damage:
    """The first frames over and over."""
    return lambda clips, key: clips[:, times(clips) % period]


def forth_and_back(frames: int) -> Damage:
    """The first frames forth and back, over and over."""
    return lambda clips, key: clips[:, frames - 1 - (times(clips) % (2 * frames - 2) - frames + 1).abs()]


def damages(frames: int) -> dict[str, tuple[str, Damage]]:
    """What is done to clips, with the kind that they are then."""
    return {
        "frozen": ("frozen", frozen),
        "brightness ±3 %": ("flickering", flickering(0.03)),
        "brightness ±6 %": ("flickering", flickering(0.06)),
        "a flash of 40 levels": ("flickering", flash(40)),
        "a dark frame, 40 levels": ("flickering", flash(-40)),
        "shuffled": ("shuffled", shuffled),
        **{f"{period} frames repeated": ("looping", looping(period)) for period in (3, frames // 3, frames // 2)},
        f"{frames // 4 + 1} frames forth and back": ("looping", forth_and_back(frames // 4 + 1)),
    }


def noise(clips: Tensor, key: Key) -> Tensor:
    """Camera noise."""
    random = torch_generator(key)
    parts = [part + 8 * torch.randn(part.shape, generator=random) for part in clips.split(32)]
    return torch.cat([part.round().clamp(0, 255).byte() for part in parts])


def h264(clips: Tensor, key: Key) -> Tensor:
    """Compressed and decoded."""
    found = []
    for clip in clips:
        file = io.BytesIO()
        with av.open(file, "w", format="mp4") as output:
            stream: Any = output.add_stream("libx264", rate=25, options={"crf": "23", "preset": "veryfast"})
            stream.height, stream.width, stream.pix_fmt = clip.shape[2], clip.shape[3], "yuv420p"
            for frame in clip.permute(0, 2, 3, 1).contiguous().numpy():
                output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            output.mux(stream.encode())
        file.seek(0)
        with av.open(file, "r") as source:
            frames = [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]
        found.append(torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2))
    return torch.stack(found)


CONDITIONS: dict[str, Damage] = {"as it is": lambda clips, key: clips, "noise": noise, "H.264": h264}


def torch_generator(key: Key) -> torch.Generator:
    """Torch's generator, seeded by a key."""
    return torch.Generator().manual_seed(key.seed)


def parts(data: str, arguments: argparse.Namespace) -> Iterator[tuple[str, Tensor]]:
    """The clips of a set, or of its two parts, each with a name."""
    registry = get_registry()
    folder = Path(data).is_dir()
    dataset = registry.find("dataset", "videos" if folder else data).load()(*([Path(data)] if folder else []))
    name = Path(data).name
    sources = list(dataset.sources()[: arguments.clips]) if not folder else list(dataset.sources())
    geometry = Geometry(height=arguments.size, width=arguments.size)
    groups: dict[str, list[Any]] = {name: sources}
    if arguments.split:
        halves: tuple[list[Any], list[Any]] = ([], [])
        for source in sources:
            halves[Key.of(0, source.name.split(".")[0].split("-")[0]).value % 2].append(source)
        groups = {f"{name}, first half": halves[0], f"{name}, second half": halves[1]}
    for group, chosen in groups.items():
        each = math.ceil(arguments.clips / len(chosen))
        clips = []
        for source in chosen:
            frames = np.stack(list(geometry.frames(dataset.open(source))))
            room = len(frames) - arguments.frames
            if room < 0:
                continue
            starts = np.unique(np.linspace(0, room, each + 2)[1:-1].round().astype(int))
            clips += [torch.from_numpy(frames[start : start + arguments.frames]) for start in starts]
        yield group, torch.stack(clips).permute(0, 1, 4, 2, 3)


def wilson(found: int, count: int) -> tuple[float, float, float]:
    """A share with its 95 % interval."""
    z, p = 1.959964, found / count
    middle, width = p + z * z / (2 * count), z * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count))
    return p, max((middle - width) / (1 + z * z / count), 0), min((middle + width) / (1 + z * z / count), 1)


def balanced(one: tuple[float, float, float], other: tuple[float, float, float]) -> tuple[float, float, float]:
    """The mean of two independent shares with its interval."""
    mean = (one[0] + other[0]) / 2
    low, high = (math.hypot(one[0] - one[side], other[0] - other[side]) / 2 for side in (1, 2))
    return mean, max(mean - low, 0), min(mean + high, 1)


def cell(share: tuple[float, float, float]) -> str:
    """A share with its interval, in per cent."""
    return "{:.1f} [{:.1f}, {:.1f}]".format(*(100 * part for part in share))


def thresholds(
    real: dict[str, Tensor], damaged: dict[tuple[str, str], Tensor], kind: str
) -> tuple[float, float, float]:
    """The best threshold of a kind, and the range in which it is within half a point of the best.

    Args:
        real: Rows of the real clips by condition.
        damaged: Rows of the clips that are of this kind, by damage and condition.
        kind: The kind.
    """
    column, sign = DECIDES[kind]
    tried = torch.linspace(-10, 10, 8001, dtype=torch.float64)
    if kind != "frozen":  # what stands still is found as that
        real = {name: rows[rows[:, motion.STILL] >= motion.FROZEN_BELOW] for name, rows in real.items()}
        damaged = {name: rows[rows[:, motion.STILL] >= motion.FROZEN_BELOW] for name, rows in damaged.items()}
    error = torch.zeros_like(tried)
    for (_, condition), rows in damaged.items():
        missed, wrong = ((sign * each[:, column]).sort().values for each in (rows, real[condition]))
        error += torch.searchsorted(missed, sign * tried) / len(missed)
        error += 1 - torch.searchsorted(wrong, sign * tried) / len(wrong)
    error /= 2 * len(damaged)
    near = tried[error <= error.min() + 0.005]
    return float(tried[error.argmin()]), float(near.min()), float(near.max())


def measure(name: str, clips: Tensor, arguments: argparse.Namespace) -> None:
    """Prints the rows of the table for some clips."""
    key = Key.of(0, "motion", name)
    real = {condition: motion.motion_rows(treat(clips, key.fold(condition))) for condition, treat in CONDITIONS.items()}
    damaged: dict[str, dict[tuple[str, str], Tensor]] = {kind: {} for kind in motion.KINDS}
    for damage, (kind, make) in damages(arguments.frames).items():
        made = make(clips, key.fold(damage))
        number = motion.KINDS.index(kind)
        cells = []
        for condition, treat in CONDITIONS.items():
            rows = motion.motion_rows(treat(made, key.fold(damage, condition)))
            damaged[kind][damage, condition] = rows
            missed = wilson(int((~motion.kinds(rows)[:, number]).sum()), len(rows))
            wrong = wilson(int(motion.kinds(real[condition])[:, number].sum()), len(clips))
            if condition == "as it is":
                still = 100 * float(motion.kinds(rows)[:, 0].double().mean()) if number else 0.0
                cells += [cell(missed) + (f", {still:.1f} frozen" if still else ""), cell(wrong)]
            cells.append(cell(balanced(missed, wrong)))
        print(f"| {name} | {len(clips)} | {damage} | {' | '.join(cells)} |", flush=True)
    if arguments.thresholds and "second" not in name:
        print()
        for kind in motion.KINDS:
            best, low, high = thresholds(real, damaged[kind], kind)
            print(f"{name}: {kind}: best {best:.2f}, about as good {low:.2f} to {high:.2f}")
        print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="+", help="folders of videos, or names of data sets that need no path")
    parser.add_argument("--split", action="store_true", help="measure two parts of each set apart")
    parser.add_argument("--frames", type=int, default=16, help="frames of a clip")
    parser.add_argument("--size", type=int, default=64, help="height and width of the clips")
    parser.add_argument("--clips", type=int, default=400, help="about how many clips of a part")
    parser.add_argument("--thresholds", action="store_true", help="print which thresholds are best")
    arguments = parser.parse_args()
    print("| data | clips | damage | missed, % | real found, % | balanced error, % | with noise | after H.264 |")
    print("|---|---|---|---|---|---|---|---|")
    for data in arguments.data:
        for name, clips in parts(data, arguments):
            measure(name, clips, arguments)


if __name__ == "__main__":
    main()
