"""The ladder of damage: does the distance of a feature network grow as clips get worse?

    python benchmarks/ladder.py DATA --features random-r3d [--clips 366] [--resolution 64] [--json ladder.json]

The clips of DATA, one a video at a seeded place, are parted into two halves, so that no video has clips in both. The
first half is the reference. The second is measured against it as it is, which is the floor that a finite number of
clips leaves, and once with each damage of `benchmarks/damages.py`. Every number is the mean over resamplings, seeded
subsets of the videos of each half, the same for all rungs, and its standard deviation.

With `--pieces`, for footage of few videos, each video is cut into pieces of `--frames` frames, and each piece into
squares: as large as the frame allows, and half as large. Halves and resamplings then take whole pieces; as pieces of
one shot resemble each other, and pieces of another do not, the floor is higher there.

Vectors are kept beside the JSON as `.npz`, rung by rung: a ladder that was broken off goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import statistics
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from damages import DAMAGES, damaged
from torch import Tensor

from gadkit import GadkitError, Key
from gadkit.data.blueprint import Blueprint
from gadkit.data.cache import prepare
from gadkit.evaluation.networks import Network, open_network
from gadkit.randomness import bits, permutation
from gadkit.registry import get_registry
from gadkit.video.geometry import Geometry
from gadkit.video.transforms import fit

#: The rung without damage.
FLOOR = "real"
#: What has to grow.
ORDER = (FLOOR, "blur ½", "blur ¼", "noise σ32", "random")
#: What has to stand clear of the floor.
ABOVE = ("frozen", "shuffled")
METRICS = ("fvd", "kvd")


@dataclass(frozen=True)
class Half:
    """Clips of one half.

    Attributes:
        clips: uint8 `(N, T, 3, H, W)`.
        units: int64 `(N,)`: the video, or the piece, of each clip.
    """

    clips: Tensor
    units: Tensor

    def subset(self, key: Key, share: float) -> Tensor:
        """Which clips a resampling takes, int64: those of a share of the units."""
        names = self.units.unique()
        chosen = names[permutation(key, len(names))[: max(1, round(share * len(names)))]]
        return torch.isin(self.units, chosen).nonzero()[:, 0]


def one_a_video(folder: Path, size: int, frames: int, seed: int) -> tuple[Tensor, Tensor]:
    """A clip of every video that is long enough, and the videos' numbers."""
    kind = get_registry().find("dataset", "videos").load()
    dataset = kind(folder)
    plan = Blueprint(target=f"{kind.__module__}:{kind.__qualname__}", path=folder)
    shape = Geometry(height=size, width=size)
    store = prepare(dataset, dataset.sources(), shape, min_frames=frames, blueprint=plan)
    videos = torch.arange(len(store))
    places = bits(Key.of(seed, "ladder", "places"), videos, torch.zeros_like(videos), 1)[:, 0]
    clips, _ = store.clips(videos, places, torch.arange(frames).expand(len(videos), frames), frames)
    return clips.permute(0, 1, 4, 2, 3).contiguous(), videos


def squares_of_pieces(folder: Path, size: int, frames: int) -> tuple[Tensor, Tensor]:
    """The squares of all pieces of all videos, and the pieces' numbers."""
    dataset = get_registry().find("dataset", "videos").load()(folder)
    clips, units = [], []
    pieces = itertools.count()
    for source in dataset.sources():
        video = np.stack(list(dataset.open(source).frames))
        height, width = video.shape[1:3]
        for start in range(0, len(video) - frames + 1, frames):
            unit = next(pieces)
            for side in (min(height, width), min(height, width) // 2):
                for top in range(0, height - side + 1, side):
                    for left in range(0, width - side + 1, side):
                        cut = video[start : start + frames, top : top + side, left : left + side]
                        clips.append(np.stack([fit(frame, size, size, (255, 255, 255)) for frame in cut]))
                        units.append(unit)
    return torch.from_numpy(np.stack(clips)).permute(0, 1, 4, 2, 3).contiguous(), torch.tensor(units)


def halves(clips: Tensor, units: Tensor, most: int | None, seed: int) -> tuple[Half, Half]:
    """Two halves without a common unit, of as many units and clips each, at most `most` clips."""
    names = units.unique()
    order = names[permutation(Key.of(seed, "ladder", "halves"), len(names))]
    count = len(names) // 2
    sides = [torch.isin(units, chosen).nonzero()[:, 0] for chosen in (order[:count], order[count : 2 * count])]
    most = min(len(sides[0]), len(sides[1]), most or len(clips))
    kept = [at[permutation(Key.of(seed, "ladder", "clips"), len(at))[:most]].sort().values for at in sides]
    return Half(clips[kept[0]], units[kept[0]]), Half(clips[kept[1]], units[kept[1]])


class Vectors:
    """Vectors of a network, kept in a file as they are made.

    Args:
        network: Makes them.
        file: Where they are kept; `None` for nowhere.
        origin: What they are of. A file of something else is written anew.
        batch: Clips at a time.
    """

    def __init__(self, network: Network, file: Path | None, origin: str, batch: int) -> None:
        self._net = network.net
        self._file = file
        self._batch = batch
        self._kept: dict[str, Any] = {"origin": np.array(origin)}
        if file is not None and file.exists():
            try:
                with np.load(file) as found:
                    if str(found["origin"]) == origin:
                        self._kept = {name: found[name] for name in found.files}
            except (OSError, ValueError, KeyError, zipfile.BadZipFile):
                print(f"{file}: cannot be read, and is written anew", file=sys.stderr)

    def of(self, name: str, half: Half, damage: str | None, seed: int) -> Tensor:
        """The vectors `(N, D)` of a half, with a damage or as it is."""
        if name not in self._kept:
            parts = []
            for at in torch.arange(len(half.clips)).split(self._batch):
                clips = half.clips[at] if damage is None else damaged(damage, half.clips[at], at, seed)
                with torch.no_grad():
                    parts.append(self._net(clips.to(_device(self._net))).cpu())
                print(f"\r{name}: {int(at[-1]) + 1}/{len(half.clips)}", end="", file=sys.stderr, flush=True)
            print(file=sys.stderr)
            self._kept[name] = torch.cat(parts).numpy()
            self._keep()
        return torch.from_numpy(self._kept[name])

    def _keep(self) -> None:
        if self._file is not None:
            unfinished = self._file.with_suffix(".partial.npz")
            np.savez(unfinished, **self._kept)
            os.replace(unfinished, self._file)


def _device(net: torch.nn.Module) -> torch.device:
    return next(itertools.chain(net.parameters(), net.buffers()), torch.empty(0)).device


def distances(reference: Tensor, other: Tensor) -> dict[str, float]:
    """Every metric of `METRICS` between two sets of vectors."""
    found = {}
    for name in METRICS:
        metric = get_registry().find("metric", name).load()()
        metric.update(reference, real=True)
        metric.update(other, real=False)
        found[name] = float(metric.compute()[name])
    return found


def climb(vectors: Vectors, parts: tuple[Half, Half], resamplings: int, share: float, seed: int) -> dict[str, Any]:
    """Every rung's metrics: their mean, their deviation, and how far above the floor."""
    reference = vectors.of("reference", parts[0], None, seed)
    rungs = {FLOOR: vectors.of(FLOOR, parts[1], None, seed)}
    rungs |= {name: vectors.of(name, parts[1], name, seed) for name in DAMAGES}
    drawn: dict[str, dict[str, list[float]]] = {name: {metric: [] for metric in METRICS} for name in rungs}
    for number in range(resamplings):
        key = Key.of(seed, "ladder", "resampling", number)
        ours, theirs = (half.subset(key.fold(side), share) for half, side in zip(parts, ("a", "b"), strict=True))
        for name, rows in rungs.items():
            for metric, value in distances(reference[ours], rows[theirs]).items():
                drawn[name][metric].append(value)
    table: dict[str, Any] = {}
    for name, values in drawn.items():
        table[name] = {}
        for metric, found in values.items():
            rises = [value - floor for value, floor in zip(found, drawn[FLOOR][metric], strict=True)]
            noise = max(statistics.stdev(rises), statistics.stdev(drawn[FLOOR][metric]))
            table[name][metric] = {
                "mean": statistics.fmean(found),
                "std": statistics.stdev(found),
                "rise": statistics.fmean(rises) / noise,  # in standard deviations, of the larger kind
                "values": found,
            }
    return table


def verdict(table: dict[str, Any]) -> dict[str, bool]:
    """Whether the distance does what it has to: in the mean, and in every resampling."""
    fvd = {name: row["fvd"] for name, row in table.items()}
    means = [fvd[name]["mean"] for name in ORDER]
    each = list(zip(*(fvd[name]["values"] for name in ORDER), strict=True))
    return {
        "in order": means == sorted(means),
        "in order in every resampling": all(list(row) == sorted(row) for row in each),
        "motion told": all(fvd[name]["rise"] > 3 for name in ABOVE),
    }


def markdown(report: dict[str, Any]) -> str:
    """The table."""
    counts = " + ".join(f"{count} clips of {units}" for count, units in report["counts"])
    said = report["literature"] or "comparable with nothing published"
    lines = [
        f"`{report['features']}` ({said}); {counts} {report['unit']}; {report['frames']} frames at "
        f"{report['resolution']}²; {report['resamplings']} resamplings of {report['share']:.0%}, seed {report['seed']}",
        "",
        f"| clips | fvd[{report['features']}] | of the floor | above it, in std | kvd[{report['features']}] |",
        "|---|---|---|---|---|",
    ]
    for name, row in sorted(report["rungs"].items(), key=lambda item: item[1]["fvd"]["mean"]):
        fvd, kvd = row["fvd"], row["kvd"]
        ratio = fvd["mean"] / report["rungs"][FLOOR]["fvd"]["mean"]
        rise = "–" if name == FLOOR else f"{fvd['rise']:.1f}"
        lines.append(
            f"| {name} | {fvd['mean']:.4g} ± {fvd['std']:.2g} | {ratio:.2f} | {rise} "
            f"| {kvd['mean']:.3g} ± {kvd['std']:.2g} |"
        )
    return "\n".join([*lines, "", *(f"{what}: {'yes' if held else 'NO'}" for what, held in report["verdict"].items())])


def _origin(network: Network, parts: tuple[Half, Half], seed: int) -> str:
    """A hash of what vectors depend on: the clips, the damages, and the network, by its tensors and by what it does."""
    told = hashlib.sha256(f"{network.digest} {network.entry.qualified} {seed}".encode())
    told.update(Path(__file__).with_name("damages.py").read_bytes())
    with torch.no_grad():
        first = network.net(parts[0].clips[:1].to(_device(network.net)))
    told.update(" ".join(f"{value:.3g}" for value in first.flatten().tolist()).encode())
    for half in parts:
        told.update(half.clips.numpy().data)
    return told.hexdigest()


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures, prints, writes; returns what it wrote."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, help="a folder of video files")
    parser.add_argument("--features", default="random-r3d")
    parser.add_argument("--clips", type=int, help="of each half, at most; by default all")
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--resamplings", type=int, default=10)
    parser.add_argument("--share", type=float, default=0.8, help="of the videos, or pieces, in a resampling")
    parser.add_argument("--pieces", action="store_true", help="cut videos into pieces, where there are few")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, help="write the numbers there, and the vectors beside it")
    options = parser.parse_args(arguments)
    if options.resamplings < 2 or not 0 < options.share < 1:
        parser.error("a spread takes at least 2 --resamplings, and a --share between 0 and 1")
    network = open_network(get_registry(), options.features, device=options.device)
    fewest, most = network.net.frames
    if network.net.of != "clip" or not fewest <= options.frames <= (most or options.frames):
        parser.error(f"{options.features} describes a {network.net.of} of {fewest} to {most or 'any number of'} frames")
    if options.pieces:
        clips, units = squares_of_pieces(options.data, options.resolution, options.frames)
    else:
        clips, units = one_a_video(options.data, options.resolution, options.frames, options.seed)
    parts = halves(clips, units, options.clips, options.seed)
    origin = _origin(network, parts, options.seed)
    file = options.json.with_suffix(".npz") if options.json else None
    vectors = Vectors(network, file, origin, options.batch)
    rungs = climb(vectors, parts, options.resamplings, options.share, options.seed)
    report = {
        "features": options.features,
        "network": network.to_dict(),
        "literature": network.net.literature,
        "unit": "pieces" if options.pieces else "videos",
        "counts": [[len(half.clips), len(half.units.unique())] for half in parts],
        "resolution": options.resolution,
        "frames": options.frames,
        "resamplings": options.resamplings,
        "share": options.share,
        "seed": options.seed,
        "rungs": rungs,
        "verdict": verdict(rungs),
    }
    if options.json:
        options.json.write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
    print(markdown(report))
    return report


if __name__ == "__main__":
    try:
        main()
    except GadkitError as error:
        sys.exit(f"ladder: {error}")
