"""Long videos of trained runs: what they take of memory, and whether they stay as good as they begin.

    python benchmarks/long_videos.py RUN... [--lengths 100 10000] [--windows 0 100 1000 9984] [--num 64]
        [--features i3d] [--device auto] [--json long.json]

Memory: each length is rendered by the run's latest model and thrown away, in a process of its own, whose peak resident
memory the system reports; on CUDA the peak of the device's memory stands behind it. The promise is a difference of less
than 50 MB between 10,000 frames and 100.

Drift: the distance of frames w to w + 15 of `num` videos to the real clips of the run's data, held-out ones where the
run has any, for every window w, as `gadkit evaluate` measures it with the protocol `gadkit`: the mean and the standard
deviation over resamplings of halves, the same halves for every window. The floor is the distance between disjoint
halves of as many real clips. Latents are not refined. A window is made by `gadkit.Model.sample` with its `start`: the
codes of all frames before it are stepped through, in the pieces in which a video streams, and the frames that are
looked at are rendered alone. They are those of the streamed video, bit for bit, at a small part of its cost; an
assembler whose codes need none of those before them jumps.

`--features` is `i3d` where its weights are installed, and otherwise `random-r3d`, whose numbers are comparable with
nothing but each other.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import gadkit
from gadkit import DataError, GadkitError, load_features
from gadkit.evaluation.clips import ClipList
from gadkit.evaluation.evaluate import prepared
from gadkit.evaluation.protocol import ProtocolSettings, open_protocol
from gadkit.evaluation.scores import Score
from gadkit.evaluation.subjects import ModelSubject
from gadkit.evaluation.taking import take
from gadkit.registry import get_registry

_METRIC = "fvd"


class WindowSubject(ModelSubject):
    """What a model makes from a frame on.

    Args:
        whole: The model, as it is measured from frame 0 on.
        start: The number of the first frame.
    """

    def __init__(self, whole: ModelSubject, start: int) -> None:
        super().__init__(whole.model, whole.name, whole.step, refine=0)
        self._start = start

    def read(self, clips: ClipList, settings: ProtocolSettings) -> Tensor:
        """See `gadkit.evaluation.subjects.Subject.read`."""
        made = [
            self.model.sample(1, settings.frames, settings.seed, first=number, refine=0, start=self._start)
            for number in clips.videos.tolist()
        ]
        video = torch.cat(made).cpu()
        return video.expand(-1, -1, 3, -1, -1) if video.shape[2] == 1 else video


def render(run: Path, length: int, device: str) -> None:
    """Renders one video and prints this process's peak memory, and the device's, in bytes."""
    model = gadkit.load(run, device=device)
    if model.device.type == "cpu":
        torch.set_num_threads(1)
    frames = sum(piece.shape[1] for piece in model.stream(length, refine=0))
    assert frames == length
    print(json.dumps([peak(), torch.cuda.max_memory_allocated() if model.device.type == "cuda" else 0]))


def peak() -> int:
    """This process's peak resident memory in bytes.

    On Linux `ru_maxrss` counts what the process that started this one had, which is more than this one takes.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def peaks(run: Path, length: int, device: str) -> list[float]:
    """The peaks in MB of a process that renders `length` frames: its own, and on CUDA the device's."""
    command = [sys.executable, __file__, str(run), "--render", str(length), "--device", device]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise GadkitError(f"{run}: a process that was to render {length} frames ended with code {done.returncode}.")
    return [size / 1e6 for size in json.loads(done.stdout.splitlines()[-1]) if size]


def network(device: str) -> str:
    """The network that clips are measured in, where nobody names one."""
    try:
        load_features("i3d", device=device)
    except DataError:
        return "random-r3d"
    return "i3d"


def drift(run: Path, windows: Sequence[int], options: argparse.Namespace) -> dict[str, Any]:
    """Every window's score, and what was noticed."""
    registry = get_registry()
    changes = {
        "features": options.features,
        "metrics": [_METRIC],
        "frames": options.frames,
        "clips": options.num,
        "real_clips": options.num,
        "resamplings": options.resamplings,
        "seed": options.seed,
    }
    protocol = open_protocol(registry, "gadkit", changes)
    taken = take(registry, run, "latest", options.device)
    evaluation, whole = prepared(registry, protocol, taken, None, refine=0, device=options.device)
    assert isinstance(whole, ModelSubject)
    scores: dict[int, Score] = {}
    notes: list[str] = []
    for start in windows:
        print(f"{run}: frames from {start:,} on", file=sys.stderr, flush=True)
        result = evaluation.run(WindowSubject(whole, start))
        (scores[start],) = (value for name, value in result.values.items() if name.startswith(f"{_METRIC}["))
        notes = list(result.warnings)
    return {"scores": scores, "notes": notes, "line": protocol.title}


def measure(run: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Everything about one run, in plain values."""
    model = gadkit.load(run, device="cpu")
    assembler = (model.document or {})["assembler"]["use"].removeprefix("gadkit:")
    longest = model.longest or max(*options.lengths, *(start + options.frames for start in options.windows))
    found = drift(run, [start for start in options.windows if start + options.frames <= longest], options)
    lengths = [length for length in options.lengths if length <= longest]
    return {
        "run": run.name,
        "assembler": assembler,
        "protocol": found["line"],
        "drift": {str(start): score.to_dict() for start, score in found["scores"].items()},
        "peaks_mb": {str(length): peaks(run, length, options.device) for length in lengths},
        "notes": found["notes"],
    }


def _spread(value: float | None, std: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if std is None else f"{value:.4g} ± {std:.2g}"


def markdown(rows: Sequence[dict[str, Any]], options: argparse.Namespace) -> str:
    """The two tables, and what is to be known about them."""
    windows = [f"{start:,}–{start + options.frames - 1:,}" for start in options.windows]
    lines = [
        f"`{_METRIC}[{options.features}]` of {options.num} videos to {options.num} real clips, frame by frame number",
        "",
        f"| run | assembler | floor | {' | '.join(windows)} |",
        f"|---|---|{'---|' * (1 + len(windows))}",
    ]
    for row in rows:
        scores = [row["drift"].get(str(start), {}) for start in options.windows]
        floor = next((_spread(score["floor"], score["floor_std"]) for score in scores if score), "–")
        cells = [_spread(score.get("value"), score.get("std")) for score in scores]
        lines.append(f"| {row['run']} | {row['assembler']} | {floor} | {' | '.join(cells)} |")
    heads = [f"{length:,} frames" for length in options.lengths]
    lines += ["", f"| peak memory, MB | {' | '.join(heads)} | more |", f"|---|{'---|' * (1 + len(heads))}"]
    for row in rows:
        found = [row["peaks_mb"].get(str(length)) for length in options.lengths]
        cells = ["–" if each is None else " + ".join(f"{size:.1f}" for size in each) for each in found]
        there = [each for each in found if each is not None]
        more = " + ".join(f"{b - a:.1f}" for a, b in zip(there[0], there[-1], strict=True)) if len(there) > 1 else "–"
        lines.append(f"| {row['run']} | {' | '.join(cells)} | {more} |")
    notes = dict.fromkeys(note for row in rows for note in row["notes"])
    protocols = dict.fromkeys(row["protocol"] for row in rows)
    return "\n".join([*lines, "", *(f"protocol {title}" for title in protocols), *notes])


def main(arguments: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Measures, prints, writes; returns what it wrote."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's folder")
    parser.add_argument("--lengths", nargs="+", type=int, default=[100, 10_000], help="frames whose memory is measured")
    parser.add_argument("--windows", nargs="+", type=int, default=[0, 100, 1000, 9984], help="their first frames")
    parser.add_argument("--frames", type=int, default=16, help="frames of a window")
    parser.add_argument("--num", type=int, default=64, help="videos, and real clips")
    parser.add_argument("--resamplings", type=int, default=10)
    parser.add_argument("--features", help="the network that clips are measured in")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, help="write the numbers there")
    parser.add_argument("--render", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.render is not None:
        render(options.runs[0], options.render, options.device)
        return []
    if min(*options.lengths, options.frames, options.num) < 1 or min(options.windows) < 0:
        parser.error("lengths, --frames and --num are at least 1, and windows begin at 0 or later")
    options.features = options.features or network(options.device)
    rows = [measure(run, options) for run in options.runs]
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8")
    print(markdown(rows, options))
    return rows


if __name__ == "__main__":
    try:
        main()
    except GadkitError as error:
        sys.exit(f"long_videos: {error}")
