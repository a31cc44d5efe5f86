"""Decoding with an `ffmpeg` program: another build of another version, told how to convert, as a judge of our own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np

_FLAGS = "bilinear+accurate_rnd+full_chroma_int+bitexact"


def run(*arguments: str | Path) -> bytes:
    """Standard output of `ffmpeg` with these arguments."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-v", "error", "-nostdin", "-y", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def pixels(
    path: Path,
    shape: tuple[int, ...],
    pix_fmt: str = "rgb24",
    matrix: str = "",
    decoder: str = "",
    rng: str = "",
    chroma: str = "center",
    interlaced: bool = False,
) -> np.ndarray:
    """Every frame, `(T, *shape)`; uint16 where `pix_fmt` has 16 bits.

    Args:
        path: The file.
        shape: `(H, W, C)` upright, or `(C, H, W)` for planes.
        pix_fmt: The layout of the result.
        matrix: The matrix that is taken for the source's, where the file names none.
        decoder: A decoder by name.
        rng: The range that is taken for the source's.
        chroma: Where samples of subsampled chroma lie: `left` or `center`.
        interlaced: Whether the chroma of the two fields is taken apart.
    """
    scale = f"scale=sws_flags={_FLAGS}:in_chroma_loc={chroma}"
    scale += f":interl={int(interlaced)}"
    scale += f":in_color_matrix={matrix}" if matrix else ""
    scale += f":in_range={rng}" if rng else ""
    scale += ":out_range=pc" if pix_fmt.startswith("rgb") else ""
    before = ["-c:v", decoder] if decoder else []
    data = run(
        *before, "-i", path, "-map", "0:v:0", "-vf", f"{scale},format={pix_fmt}", "-fps_mode", "passthrough",
        "-f", "rawvideo", "-pix_fmt", pix_fmt, "-"
    )  # fmt: skip
    return np.frombuffer(data, "<u2" if "16" in pix_fmt else np.uint8).reshape(-1, *shape)


def times(path: Path) -> list[float]:
    """The time in seconds of every frame, as the file has it."""
    text = run(
        "-i", path, "-map", "0:v:0", "-copyts", "-fps_mode", "passthrough", "-enc_time_base", "demux",
        "-c:v", "rawvideo", "-f", "framecrc", "-"
    )  # fmt: skip
    lines = text.decode().splitlines()
    base = next(line.split(":")[1].split("/") for line in lines if line.startswith("#tb 0"))
    return [int(line.split(",")[2]) * int(base[0]) / int(base[1]) for line in lines if not line.startswith("#")]
