"""Packing beside bare decoding of the same files with PyAV.

    python benchmarks/packing.py SRC

Five things are run alternately over the video files of SRC, each with the same number of processes, which start within
the time that is taken:

- `decode`: `for frame in container.decode(video=0): pass`, and nothing is done with the frames;
- `arrays`: the same with `frame.to_ndarray(format="rgb24", threads=1)`, which is what a frame takes to be looked at;
- `plain`: `frame.to_ndarray(format="rgb24")`, as one writes it, with PyAV's own choice of threads for everything;
- `resized`: arrays, each resized by Pillow's Lanczos filter to the size of the pack;
- `pack`: `gadkit.data.packing.pack`, from the hashes of the files to the pack on the disk.

Printed are the times and, for each of the four, the ratio of the pack's time to it, in the median with the smallest and
the largest of the rounds.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from pathlib import Path

ENDINGS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm")


def decode(job: tuple[str, str, int]) -> int:
    """Decodes one file with PyAV; returns the number of frames."""
    import av

    path, what, size = job
    if what == "resized":
        from PIL import Image
    count = 0
    with av.open(path) as container:
        if what != "plain":
            container.streams.video[0].thread_count = 1  # files are decoded side by side
        for frame in container.decode(video=0):
            count += 1
            if what == "decode":
                continue
            array = frame.to_ndarray(format="rgb24", threads=0 if what == "plain" else 1)
            if what == "resized":
                Image.fromarray(array).resize((size, size), Image.Resampling.LANCZOS).tobytes()
    return count


def bare(files: list[Path], what: str, size: int, workers: int) -> int:
    """Decodes all files; returns the number of frames."""
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        return sum(pool.imap_unordered(decode, [(str(file), what, size) for file in files]))


def packed(folder: Path, files: list[Path], size: int, workers: int, scratch: Path) -> int:
    """Packs the files into a new folder of `scratch`; returns the number of frames."""
    from gadkit.data.blueprint import Blueprint
    from gadkit.data.index import read_index
    from gadkit.data.packing import pack
    from gadkit.registry import get_registry
    from gadkit.video.geometry import Geometry

    kind = get_registry().find("dataset", "videos").load()
    dataset = kind(folder)
    plan = Blueprint(target=f"{kind.__module__}:{kind.__qualname__}", path=folder)
    os.environ["GADKIT_CACHE"] = str(scratch)  # nothing is remembered of the files
    pack(
        dataset, dataset.sources(), scratch / "pack", Geometry(height=size, width=size), blueprint=plan, workers=workers
    )
    index = read_index(scratch / "pack")
    assert len(index.videos) == len(files), index.skipped
    return index.frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", type=Path, help="a folder of video files")
    parser.add_argument("--size", type=int, default=64, help="height and width of the pack's frames")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    files = sorted(path for path in arguments.source.rglob("*") if path.suffix.lower() in ENDINGS)
    seconds: dict[str, list[float]] = {"decode": [], "arrays": [], "plain": [], "resized": [], "pack": []}
    for _ in range(arguments.rounds):
        frames = set()
        for what, times in seconds.items():
            with tempfile.TemporaryDirectory(prefix="gadkit-") as scratch:
                began = time.perf_counter()
                if what == "pack":
                    frames.add(packed(arguments.source, files, arguments.size, arguments.workers, Path(scratch)))
                else:
                    frames.add(bare(files, what, arguments.size, arguments.workers))
                times.append(time.perf_counter() - began)
        assert len(frames) == 1, f"frames differ: {frames}"
    report = {
        "files": len(files),
        "frames": frames.pop(),
        "workers": arguments.workers,
        "size": arguments.size,
        "seconds": seconds,
        "ratios": {
            what: [ours / theirs for ours, theirs in zip(seconds["pack"], times, strict=True)]
            for what, times in seconds.items()
            if what != "pack"
        },
    }
    if arguments.json:
        print(json.dumps(report))
        return
    print(f"{report['files']} files, {report['frames']} frames, {report['workers']} processes")
    for what, times in seconds.items():
        print(f"{what:8} {statistics.median(times):7.2f} s")
    for what, ratios in report["ratios"].items():
        print(f"pack / {what:8} {statistics.median(ratios):5.2f}  ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
