"""The same four small videos, in two classes, as every kind of source that a user may have; written without gadkit.

`KINDS` maps the name of a kind to a function `write(folder) -> path`: it writes into `folder`, which exists, and
returns what a user would give as `--data`. `videos()` is what lies in it, and `LABELLED` holds the kinds whose videos
lie in class folders; arrays know no folders.
"""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from clips import encode, moving
from PIL import Image

#: Frames, height and width of every video, and its rate in Hz.
FRAMES, HEIGHT, WIDTH, FPS = 20, 32, 40, 25

NAMES = ("cats/a", "cats/b", "dogs/c", "dogs/d")


def videos() -> dict[str, np.ndarray]:
    """uint8 `(T, H, W, 3)` by name, no two alike."""
    return {name: moving(FRAMES, HEIGHT, WIDTH, seed=seed) for seed, name in enumerate(NAMES)}


def png(frame: np.ndarray) -> bytes:
    """One frame as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "png")
    return buffer.getvalue()


def animation(path: Path, frames: np.ndarray, **options: object) -> Path:
    """Frames as an animation, whose format the ending tells; 40 ms each."""
    images = [Image.fromarray(frame) for frame in frames]
    images[0].save(path, save_all=True, append_images=images[1:], **{"duration": 1000 // FPS, **options})
    return path


def frame_files() -> dict[str, bytes]:
    """StyleGAN-V's layout: a folder of numbered PNG files for each video, and labels in `dataset.json`."""
    files = {
        f"{name}/{index:06d}.png": png(frame) for name, video in videos().items() for index, frame in enumerate(video)
    }
    labels = [[name, int(name.startswith("dogs"))] for name in files]
    return {**files, "dataset.json": json.dumps({"labels": labels}).encode()}


def _below(folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def video_file(folder: Path) -> Path:
    """One MP4 file of all videos, one after the other."""
    return encode(folder / "one.mp4", np.concatenate(list(videos().values())))


def video_tree(folder: Path) -> Path:
    """Class folders of video files in several containers."""
    for (name, video), ending in zip(videos().items(), (".mp4", ".mkv", ".mov", ".avi"), strict=True):
        path = _below(folder, name + ending)
        if ending == ".avi":
            encode(path, video, codec="ffv1", pix_fmt="bgr0", options={})
        else:
            encode(path, video)
    return folder


def animation_tree(folder: Path) -> Path:
    """Class folders of a GIF, a WebP and two PNG animations, one of which ends in `.png`."""
    endings = {".gif": {}, ".webp": {"lossless": True}, ".apng": {"format": "png"}, ".png": {}}
    for (name, video), (ending, options) in zip(videos().items(), endings.items(), strict=True):
        animation(_below(folder, name + ending), video, **options)
    return folder


def frame_tree(folder: Path) -> Path:
    """StyleGAN-V's layout in folders."""
    for name, data in frame_files().items():
        _below(folder, name).write_bytes(data)
    return folder


def write_zip(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    """A zip archive of files."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    """A tar archive of files."""
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def frame_zip(folder: Path) -> Path:
    """StyleGAN-V's layout in a zip."""
    return write_zip(folder / "frames.zip", frame_files())


def frame_tar(folder: Path) -> Path:
    """StyleGAN-V's layout in a tar."""
    return write_tar(folder / "frames.tar", frame_files())


def frame_tgz(folder: Path) -> Path:
    """StyleGAN-V's layout in a compressed tar."""
    return write_tar(folder / "frames.tar.gz", frame_files(), "w:gz")


def video_zip(folder: Path) -> Path:
    """Class folders of video files in a zip."""
    (folder / "unpacked").mkdir()
    video_tree(folder / "unpacked")
    files = sorted(path for path in (folder / "unpacked").rglob("*") if path.is_file())
    return write_zip(
        folder / "videos.zip", {path.relative_to(folder / "unpacked").as_posix(): path.read_bytes() for path in files}
    )


def npy(folder: Path) -> Path:
    """One array `(N, T, H, W, 3)`."""
    np.save(folder / "videos.npy", np.stack(list(videos().values())))
    return folder / "videos.npy"


def npy_tree(folder: Path) -> Path:
    """Class folders of arrays `(T, H, W, 3)`."""
    for name, video in videos().items():
        np.save(_below(folder, name + ".npy"), video)
    return folder


def npz(folder: Path) -> Path:
    """One array `(N, T, H, W, 3)` and the labels, `(N,)`."""
    labels = np.array([name.split("/")[0] for name in NAMES])
    np.savez(folder / "videos.npz", videos=np.stack(list(videos().values())), labels=labels)
    return folder / "videos.npz"


def samples() -> dict[str, bytes]:
    """WebDataset's layout: each video with its class in `.cls`, and a caption and a number in `.json`."""
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        for index, (name, video) in enumerate(videos().items()):
            files[f"{name}.mp4"] = encode(Path(folder, "video.mp4"), video).read_bytes()
            files[f"{name}.cls"] = name.split("/")[0].encode()
            files[f"{name}.json"] = json.dumps({"caption": f"number {index}", "index": index}).encode()
    return files


def webdataset(folder: Path) -> Path:
    """Two WebDataset shards."""
    files = list(samples().items())
    write_tar(folder / "shard-000.tar", dict(files[:6]))
    write_tar(folder / "shard-001.tar", dict(files[6:]))
    return folder


KINDS: dict[str, Callable[[Path], Path]] = {
    write.__name__: write
    for write in (
        video_file,
        video_tree,
        animation_tree,
        frame_tree,
        frame_zip,
        frame_tar,
        frame_tgz,
        video_zip,
        npy,
        npy_tree,
        npz,
        webdataset,
    )
}

#: Kinds whose videos lie in the folders `cats` and `dogs`.
LABELLED = (
    "video_tree",
    "animation_tree",
    "frame_tree",
    "frame_zip",
    "frame_tar",
    "frame_tgz",
    "video_zip",
    "npy_tree",
    "webdataset",
)
