"""Peak memory of streaming a long video, beside that of a short one.

    python benchmarks/streaming_memory.py

Each length is rendered by the dcgan generator at 64×64 with fresh weights and written to MP4, in a process of its own
whose peak resident memory the system reports (`ru_maxrss`). The two are run alternately, and the smallest peak of each
counts. The promise is a difference of less than 50 MB between 20,000 frames and 200.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZE = 64


def render(length: int, width: int) -> None:
    """Writes one video and prints this process's peak memory in bytes."""
    import torch

    import gadkit
    from gadkit.registry import get_registry

    torch.set_num_threads(1)
    torch.manual_seed(0)
    video = gadkit.VideoSpec(height=SIZE, width=SIZE, frames=16)
    generator = get_registry().find("generator", "dcgan").load()(video, width=width, norm="none")
    walk = get_registry().find("assembler", "walk").load()(video, generator.latent_dim, generator.motion_dim)
    model = gadkit.Model(generator, walk, video)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        gadkit.write_video(path, model.grid(1, length), video.fps, length=length)
        assert path.stat().st_size > 0
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))


def peak(length: int, width: int) -> int:
    """The peak memory in bytes of a process that renders `length` frames."""
    command = [sys.executable, __file__, "--render", str(length), "--width", str(width)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--long", type=int, default=20_000, help="frames of the long video")
    parser.add_argument("--short", type=int, default=200, help="frames of the short one")
    parser.add_argument("--width", type=int, default=64, help="width of the generator")
    parser.add_argument("--runs", type=int, default=1, help="how often each is measured")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--render", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.render is not None:
        render(arguments.render, arguments.width)
        return
    lengths = (arguments.short, arguments.long)
    peaks: dict[int, list[int]] = {length: [] for length in lengths}
    seconds = {}
    for _ in range(arguments.runs):
        for length in lengths:
            began = time.monotonic()
            peaks[length].append(peak(length, arguments.width))
            seconds[length] = time.monotonic() - began
    short, long = (min(peaks[length]) / 1e6 for length in lengths)
    if arguments.json:
        print(json.dumps({"frames": lengths, "peaks_mb": [short, long], "difference_mb": long - short}))
        return
    for length, found in zip(lengths, (short, long), strict=True):
        print(f"{length:>6} frames at {SIZE}×{SIZE}: peak {found:.1f} MB ({seconds[length]:.0f} s)")
    print(f"difference: {long - short:.1f} MB")


if __name__ == "__main__":
    main()
