"""What footage costs: time to pack it, bytes of the pack, memory.

    python benchmarks/footage.py SRC [--phone FOLDER] [--size 64 128] [--repeat 1]

The videos of SRC are packed by one worker, each as often as asked for, so that the start of the worker counts little.
The processor's time is measured, which other work on the machine changes little. Printed for each size are the seconds
of one core for an hour of footage, the bytes of a minute in the pack (measured, and 60 × frame rate × 3 × size²), the
memory that training takes with all frames resident, and the most memory that the worker took (where the system tells).

With `--phone`, clips as a phone writes them are first made of SRC and put into FOLDER, which is then measured in its
place: 1920×1080 with a matrix that turns them upright, H.264 of 17 Mbit/s and HEVC of 10, about 30 frames a second at
uneven times, a keyframe a second, and noise. They are enlarged from smaller pictures, so they show less detail than a
phone's.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
from PIL import Image

from gadkit import Dataset
from gadkit.data.blueprint import Blueprint
from gadkit.data.index import read_index
from gadkit.data.pack import open_pack
from gadkit.data.packing import pack
from gadkit.registry import get_registry
from gadkit.video.geometry import Geometry

WIDTH, HEIGHT = 1080, 1920
CODECS = {"libx264": 17_000_000, "libx265": 10_000_000}
OPTIONS = {"preset": "veryfast", "x265-params": "log-level=none"}
CLOCK = 90_000  # ticks a second


def phone_like(upright: Sequence[np.ndarray], path: Path, codec: str) -> None:
    """Writes portrait frames `(H, W, 3)` as a phone does: lying, turned by a matrix, noisy, at uneven times."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 3, (2 * WIDTH, 2 * HEIGHT, 1)).astype(np.float32)
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream(codec, rate=30, options=OPTIONS)
        stream.width, stream.height, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, CLOCK)
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 30, 0
        stream.bit_rate = CODECS[codec]
        stream.set_display_rotation(-90, False, False)
        tick = 0
        for picture in upright:
            large = np.asarray(Image.fromarray(picture).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS))
            y, x = rng.integers(0, (WIDTH, HEIGHT))
            lying = np.rot90(large) + noise[y : y + WIDTH, x : x + HEIGHT]
            frame = av.VideoFrame.from_ndarray(lying.clip(0, 255).astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, CLOCK)
            tick += CLOCK // 30 + int(rng.integers(-300, 301))
            output.mux(stream.encode(frame.reformat(format="yuv420p")))
        output.mux(stream.encode())


def make_phone_clips(dataset: Dataset, folder: Path) -> None:
    """Phone-like clips of the middle of every video, one a codec; those that are there stay."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in dataset.sources():
        upright: list[np.ndarray] = []
        for codec in CODECS:
            path = folder / f"{Path(source.name).stem}-{codec}.mp4"
            if path.exists():
                continue
            if not upright:
                for frame in dataset.open(source).frames:
                    side = frame.shape[0] * WIDTH // HEIGHT
                    left = (frame.shape[1] - side) // 2
                    upright.append(frame[:, left : left + side, :3])
            unfinished = path.with_suffix(".partial.mp4")
            phone_like(upright, unfinished, codec)
            unfinished.replace(path)


def cpu() -> float:
    """Seconds that this process and those that it waited for kept a core busy."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def measure(dataset: Dataset, plan: Blueprint, size: int, repeat: int) -> dict[str, float]:
    """Packs the videos of a dataset, each `repeat` times, at one size."""
    sources = [replace(source, name=f"{turn}/{source.name}") for turn in range(repeat) for source in dataset.sources()]
    peaks = [0]

    def watch(done: int, total: int, name: str) -> None:
        peaks.extend(map(peak_memory, psutil.Process().children()))

    with tempfile.TemporaryDirectory(prefix="gadkit-") as scratch:
        os.environ["GADKIT_CACHE"] = scratch  # nothing is remembered of the files
        place = Path(scratch) / "pack"
        busy, wall = cpu(), time.perf_counter()
        pack(dataset, sources, place, Geometry(height=size, width=size), blueprint=plan, workers=1, progress=watch)
        busy, wall = cpu() - busy, time.perf_counter() - wall
        index = read_index(place)
        assert len(index.videos) == len(sources), index.skipped
        footage = sum(video.length / video.fps for video in index.videos)
        nbytes = sum(path.stat().st_size for path in place.rglob("*"))
        store = open_pack(place)
        before = own_memory()
        resident = store.to("cpu")
        grown = own_memory() - before
        assert resident.nbytes == store.nbytes
    rate = index.frames / footage
    return {
        "size": size,
        "minutes": footage / 60,
        "frames": index.frames,
        "rate": rate,
        "core_seconds_an_hour": 3600 * busy / footage,
        "wall_seconds_an_hour": 3600 * wall / footage,
        "frames_a_core_second": index.frames / busy,
        "pack_bytes_a_minute": 60 * nbytes / footage,
        "arithmetic_bytes_a_minute": 60 * rate * 3 * size * size,
        "resident_bytes_a_minute": 60 * grown / footage,
        "worker_bytes": max(peaks),
    }


def own_memory() -> int:
    """Bytes that this process holds, without files that are mapped."""
    info = psutil.Process().memory_info()
    return int(info.rss) - int(info.shared)


def peak_memory(process: psutil.Process) -> int:
    """The most bytes that a process held so far; 0 where the system does not tell."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", type=Path, help="a folder of video files")
    parser.add_argument("--phone", type=Path, metavar="FOLDER", help="make phone-like clips there, and measure these")
    parser.add_argument(
        "--size", type=int, nargs="+", default=[64, 128], help="heights and widths of the pack's frames"
    )
    parser.add_argument("--repeat", type=int, default=1, help="how often each video is packed")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    kind = get_registry().find("dataset", "videos").load()
    folder = arguments.source
    if arguments.phone is not None:
        make_phone_clips(kind(folder), arguments.phone)
        folder = arguments.phone
    plan = Blueprint(target=f"{kind.__module__}:{kind.__qualname__}", path=folder.absolute())
    rows = [measure(kind(folder), plan, size, arguments.repeat) for size in arguments.size]
    if arguments.json:
        print(json.dumps(rows))
        return
    print("size  footage   fps  core s/h  frames/core s  pack MB/min  (sum)  resident MB/min  worker MB")
    for row in rows:
        print(
            f"{row['size']:4}  {row['minutes']:3.1f} min  {row['rate']:4.1f}  {row['core_seconds_an_hour']:8.0f}"
            f"  {row['frames_a_core_second']:13.0f}  {row['pack_bytes_a_minute'] / 1e6:11.1f}"
            f"  {row['arithmetic_bytes_a_minute'] / 1e6:5.1f}  {row['resident_bytes_a_minute'] / 1e6:15.1f}"
            f"  {row['worker_bytes'] / 1e6:9.0f}"
        )


if __name__ == "__main__":
    main()
