"""Files that mean harm, or were hurt: seeded mutations of small good files of every kind, and what probes them."""

from __future__ import annotations

import hashlib
import io
import json
import random
import struct
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from clips import LOSSLESS, encode, moving
from PIL import Image

from gadkit.errors import DataError
from gadkit.interfaces.dataset import Dataset, Source
from gadkit_plugins.data.archives.archive import ArchiveOfVideos
from gadkit_plugins.data.arrays import Arrays
from gadkit_plugins.data.frames import Frames
from gadkit_plugins.data.videos import Videos

FRAMES, SIZE = 6, 24
#: A frame of this many pixels a side has 900 million of them.
HUGE = 30_000


def pictures(seed: int = 0) -> np.ndarray:
    """uint8 `(T, H, W, 3)`."""
    return moving(FRAMES, SIZE, SIZE, seed=seed)


def good(folder: Path) -> dict[str, Path]:
    """A small file of every kind, by its ending; each decodes to `pictures()`, or nearly where the format loses."""
    frames = pictures()
    quick = {"crf": "20", "b": "0", "cpu-used": "8", "deadline": "realtime"}
    encode(folder / "good.mp4", frames, codec="libx264", pix_fmt="yuv420p", options={"qp": "20", "bf": "2"})
    encode(folder / "good.mov", frames, codec="png", pix_fmt="rgb24", options={})
    encode(folder / "good.mkv", frames, **LOSSLESS["ffv1"], options={})
    encode(folder / "good.webm", frames, codec="libvpx-vp9", pix_fmt="yuv420p", options=quick)
    encode(folder / "good.avi", frames, codec="mpeg4", pix_fmt="yuv420p", options={"qscale": "3"})
    encode(folder / "good.ts", frames, codec="mpeg2video", pix_fmt="yuv420p", options={})
    images = [Image.fromarray(frame) for frame in frames]
    for name, options in (("good.gif", {}), ("good.webp", {"lossless": True}), ("good.apng", {"format": "png"})):
        images[0].save(folder / name, save_all=True, append_images=images[1:], duration=40, **options)
    images[0].save(folder / "good.png")
    members = {f"a/{number}.png": _png(image) for number, image in enumerate(images)}
    with zipfile.ZipFile(folder / "good.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with tarfile.open(folder / "good.tar", "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    np.save(folder / "good.npy", frames[None])
    np.savez(folder / "good.npz", video=frames[None])
    return {path.suffix: path for path in sorted(folder.iterdir())}


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()


def mutants(files: dict[str, Path], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """`count` hurt copies of each file: a name, which begins with what was done to it, and the bytes."""
    contents = {ending: path.read_bytes() for ending, path in files.items()}
    for ending, data in contents.items():
        for number in range(count):
            draw = random.Random(f"{seed} {ending} {number}")
            what, hurt = list(MUTATIONS.items())[number % len(MUTATIONS)]
            other = contents[draw.choice(sorted(contents.keys() - {ending}))]
            yield f"{what}-{number}{ending}", hurt(data, draw, other)


def _truncate(data: bytes, draw: random.Random, other: bytes) -> bytes:
    return data[: draw.randrange(len(data))]


def _flip(data: bytes, draw: random.Random, other: bytes) -> bytes:
    hurt = bytearray(data)
    for _ in range(draw.choice([1, 2, 8, 64])):
        hurt[draw.randrange(len(hurt))] ^= 1 << draw.randrange(8)
    return bytes(hurt)


def _flip_head(data: bytes, draw: random.Random, other: bytes) -> bytes:
    return _flip(data[:200], draw, other) + data[200:]


def _zero(data: bytes, draw: random.Random, other: bytes) -> bytes:
    start = draw.randrange(len(data))
    end = min(len(data), start + draw.choice([1, 16, 256, 4096]))
    return data[:start] + bytes(end - start) + data[end:]


def _ones(data: bytes, draw: random.Random, other: bytes) -> bytes:
    start = draw.randrange(len(data))
    return data[:start] + b"\xff" * min(8, len(data) - start) + data[start + 8 :]


def _swap_head(data: bytes, draw: random.Random, other: bytes) -> bytes:
    length = draw.choice([4, 12, 32, 128])
    return other[:length] + data[length:]


def _splice(data: bytes, draw: random.Random, other: bytes) -> bytes:
    return data[: draw.randrange(len(data))] + other[draw.randrange(len(other)) :]


def _repeat(data: bytes, draw: random.Random, other: bytes) -> bytes:
    start = draw.randrange(len(data))
    return data[:start] + data[start : start + draw.randrange(1, 500)] * 5 + data[start:]


def _drop(data: bytes, draw: random.Random, other: bytes) -> bytes:
    start = draw.randrange(len(data))
    return data[:start] + data[start + draw.randrange(1, 200) :]


def _noise(data: bytes, draw: random.Random, other: bytes) -> bytes:
    return data[:64] + draw.randbytes(len(data) - 64)


def _disguise(data: bytes, draw: random.Random, other: bytes) -> bytes:
    return other


def _empty(data: bytes, draw: random.Random, other: bytes) -> bytes:
    return bytes(draw.choice([0, 1, 64, 5000]))


def _text(data: bytes, draw: random.Random, other: bytes) -> bytes:
    lines = ["not a video", "#EXTM3U\n#EXTINF:1,\n/etc/passwd", "ffconcat version 1.0\nfile /etc/passwd", "<?xml?>"]
    return (draw.choice(lines) + "\n").encode() * draw.choice([1, 100])


MUTATIONS: dict[str, Callable[[bytes, random.Random, bytes], bytes]] = {
    "truncated": _truncate, "flipped": _flip, "head": _flip_head, "zeroed": _zero, "ones": _ones, "swapped": _swap_head,
    "spliced": _splice, "repeated": _repeat, "dropped": _drop, "noise": _noise, "disguised": _disguise, "empty": _empty,
    "text": _text,
}  # fmt: skip


def huge(files: dict[str, Path], folder: Path) -> list[Path]:
    """Writes files whose header declares 30,000×30,000 pixels, or the 16,383×16,383 that VP8 has room for."""
    size = struct.pack(">HH", HUGE, HUGE)
    png, apng, gif, webp = (bytearray(files[ending].read_bytes()) for ending in (".png", ".apng", ".gif", ".webp"))
    for data in (png, apng):
        data[16:24] = struct.pack(">II", HUGE, HUGE)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    gif[6:10] = struct.pack("<HH", HUGE, HUGE)
    webp[24:30] = (HUGE - 1).to_bytes(3, "little") * 2
    plain = [np.full((320, 320, 3), 90, np.uint8)] * 4
    old = struct.pack(">HH", 320, 320)
    mp4 = encode(folder / "huge.mp4", plain, codec="mjpeg", pix_fmt="yuvj420p", options={}).read_bytes()
    mp4 = mp4.replace(b"\x08" + old + b"\x03", b"\x08" + size + b"\x03").replace(old + b"\0\x48", size + b"\0\x48")
    mkv = encode(folder / "huge.mkv", plain, codec="ffv1", pix_fmt="yuv420p", options={}).read_bytes()
    webm = encode(folder / "huge.webm", plain, codec="libvpx", pix_fmt="yuv420p", options={"b": "100k"}).read_bytes()
    webm = webm.replace(
        struct.pack("<3sHH", b"\x9d\x01\x2a", 320, 320), struct.pack("<3sHH", b"\x9d\x01\x2a", *[16383] * 2)
    )
    for tag in (b"\xb0\x82", b"\xba\x82"):  # PixelWidth and PixelHeight
        assert tag + old[:2] in mkv
        mkv = mkv.replace(tag + old[:2], tag + size[:2])
        webm = webm.replace(tag + old[:2], tag + struct.pack(">H", 16383))
    y4m = f"YUV4MPEG2 W{HUGE} H{HUGE} F25:1 C444\n".encode() + b"FRAME\n" * 40
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': (1, 8, {HUGE}, {HUGE}, 3), }}".encode().ljust(117)
    npy = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header + b"\n" + bytes(1000)
    made = {
        "png": png, "apng": apng, "gif": gif, "webp": webp, "mp4": mp4, "mkv": mkv, "webm": webm, "y4m": y4m, "npy": npy
    }  # fmt: skip
    for ending, data in made.items():
        (folder / f"huge.{ending}").write_bytes(data)
    return [folder / f"huge.{ending}" for ending in made]


def bomb(path: Path, *, honest: bool, pieces: int = 4096) -> Path:
    """A zip whose one member, 4 MB long, unpacks to 4 GiB of zeros; it declares that size, or 100 bytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    data = piece * pieces + packer.flush()
    name = b"a/0.png"
    sizes = struct.pack("<IIIHH", 0, len(data), min(pieces << 20, 0xFFFFFFFE) if honest else 100, len(name), 0)
    local = b"PK\x03\x04" + struct.pack("<HHHHH", 20, 0, 8, 0, 33) + sizes + name + data
    entry = b"PK\x01\x02" + struct.pack("<HHHHHH", 20, 20, 0, 8, 0, 33) + sizes + struct.pack("<HHHII", 0, 0, 0, 0, 0)
    entry += name
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(entry), len(local), 0)
    path.write_bytes(local + entry + end)
    return path


def climbing(folder: Path) -> list[Path]:
    """Archives with members that lead out of the folder, by name and by link, around a good video."""
    image = _png(Image.fromarray(pictures()[0]))
    names = ["../evil/0.png", "/tmp/evil/1.png", "a/../../evil/2.png", "..\\evil\\3.png", "C:\\evil\\4.png"]
    with zipfile.ZipFile(folder / "climbing.zip", "w") as archive:
        for name in [*names, "a/0.png", "a/1.png"]:
            archive.writestr(name, image)
    with tarfile.open(folder / "climbing.tar", "w") as tar:
        for name in [*names, "a/0.png", "a/1.png"]:
            info = tarfile.TarInfo(name)
            info.size = len(image)
            tar.addfile(info, io.BytesIO(image))
        for name, kind in (
            ("b/link.png", tarfile.SYMTYPE),
            ("b/hard.png", tarfile.LNKTYPE),
            ("b/pipe", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "../../../etc/passwd"
            tar.addfile(info)
    return [folder / "climbing.zip", folder / "climbing.tar"]


class OneFile(Dataset):
    """A folder in which every file is a data set of its own; `probe` opens them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def sources(self) -> list[Source]:
        """The files."""
        return [Source(name=path.name, files=(path,)) for path in sorted(self.path.iterdir())]

    def open(self, source: Source) -> Any:
        """Never called: `probe` chooses the class by the ending."""
        raise NotImplementedError


def dataset(path: Path) -> Dataset:
    """The data set that a user's file is taken for."""
    if path.suffix in (".zip", ".tar"):
        return ArchiveOfVideos(path)
    if path.suffix in (".npy", ".npz"):
        return Arrays(path)
    return Frames(path.parent) if path.suffix == ".png" else Videos(path)


def probe(_: Dataset, source: Source, arguments: dict[str, Any], beat: Callable[[], None]) -> dict[str, Any]:
    """A worker's job: decodes all that a file holds.

    Returns:
        By video, `hashes` of those that decode and `reasons` of those that do not; the `seconds` that it took, and the
        most memory in bytes that the process has held, `peak`.
    """
    start = time.monotonic()
    path = source.files[0]
    hashes: dict[str, str] = {}
    reasons: dict[str, str] = {}
    found = dataset(path)
    for video in [Source(name=path.name, files=(path,))] if path.suffix == ".png" else found.sources():
        digest = hashlib.sha256()
        try:
            for _time, frame in found.open(video).timed:
                digest.update(f"{frame.shape}".encode() + frame.tobytes())
                beat()
            hashes[video.name] = digest.hexdigest()
        except DataError as error:
            reasons[video.name] = str(error)
    return {"hashes": hashes, "reasons": reasons, "seconds": time.monotonic() - start, "peak": _peak()}


def _peak() -> int:
    """The most memory in bytes that this process has held; 0 where the system does not tell.

    What `getrusage` tells begins with the size of the process that started this one.
    """
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="ascii").splitlines() if status.exists() else []
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:")), 0)


def snapshot(folder: Path) -> str:
    """All that lies in a folder: names, kinds, sizes and contents."""
    seen = []
    for path in sorted(folder.rglob("*")):
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else ""
        seen.append([path.relative_to(folder).as_posix(), path.is_symlink(), path.is_dir(), content])
    return json.dumps(seen)
