"""The pack: a data set decoded once, at the training size, in a folder that training maps into memory.

    index.json                 what the pack is made of (see `_publish`)
    shard-00000.safetensors    uint8 `frames` (F, H, W, C), about 1 GiB each; a video lies in one shard

A pack is made in a temporary folder beside its place, synced, and renamed into it: whoever sees a pack sees a whole
one. Its name is a hash of everything that its frames depend on, so a pack is never stale, only not looked for.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import json
import os
import shutil
import socket
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import platformdirs
import torch

from gadkit.errors import ConfigError, DataError, RunError
from gadkit.interfaces.dataset import Dataset, Source
from gadkit.video.shards import ShardWriter, map_shard, shard_name
from gadkit.video.store import ClipStore, Skipped
from gadkit.video.transforms import fit, parse_colour

__all__ = ["ClipStore", "Skipped", "cache_folder", "open_pack", "prepare"]

#: Grows by one when packs of the same key would get other bytes.
FORMAT = 1
#: A shard is full at this size.
SHARD_BYTES = 1 << 30
_CHANNELS = 3
_SPOOL_BYTES = 32 << 20
_STALE_SECONDS = 86400.0
_PARTIAL = ".partial-"

Progress = Callable[[int, int, str], None]


def cache_folder() -> Path:
    """Where gadkit keeps what it can make again: `$GADKIT_CACHE`, or the user's cache folder."""
    return Path(os.environ.get("GADKIT_CACHE") or platformdirs.user_cache_dir("gadkit"))


def prepare(
    dataset: Dataset,
    *,
    height: int,
    width: int,
    min_frames: int,
    stride: int = 1,
    background: str = "white",
    cache: Path | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> ClipStore:
    """The clips of a dataset at the training size, decoded now or taken from the pack of an earlier call.

    A pack's key is a hash of the dataset's class and settings (a dataset keeps each setting in an attribute of the
    same name), of the names, sizes and times of change of its files, and of `height`, `width`, `stride` and
    `background`.

    Args:
        dataset: Where the videos come from.
        height: H in pixels.
        width: W in pixels.
        min_frames: Videos with fewer frames, counted after `stride`, are left out and named in `skipped`. They stay
            in the pack, which does not depend on this number.
        stride: Every `stride`-th frame of a video is kept, from its first.
        background: What transparent pixels show (`gadkit.video.transforms.parse_colour`).
        cache: The cache's root; packs lie in its folder `packs`. By default `cache_folder()`.
        progress: Called as `progress(done, total, name)` after each video that was decoded; not where a pack is reused.
        workers: How many videos are decoded at once; by default one a core. It changes no byte of the pack.

    Raises:
        DataError: No video can be used.
        ConfigError: A size or the colour is wrong.
        RunError: The pack cannot be written.
    """
    for name, value in (("height", height), ("width", width), ("stride", stride), ("frames", min_frames)):
        if value < 1:
            raise ConfigError(f"{name} is {value}; it must be at least 1.")
    colour = parse_colour(background)
    sources = dataset.sources()
    key = _content_key(dataset, sources, (height, width, stride, *colour))
    root = (cache or cache_folder()) / "packs"
    place = root / key
    store = _reuse(place, min_frames)
    if store is None:
        try:
            root.mkdir(parents=True, exist_ok=True)
            _sweep(root)
            _make(dataset, sources, place, (height, width), stride, colour, progress, workers or os.cpu_count() or 1)
        except OSError as error:
            raise RunError(
                f"the pack {place} cannot be written: {error.strerror or error}; free some space, or set "
                "GADKIT_CACHE to a folder on another disk."
            ) from error
        store = open_pack(place, min_frames)
    return store


def open_pack(folder: Path, min_frames: int = 1) -> ClipStore:
    """Opens a pack, mapped: no frame is read.

    Args:
        folder: The pack's folder.
        min_frames: Videos with fewer frames are left out.

    Raises:
        DataError: The folder holds no whole pack, or no video is long enough.
    """
    index = _read_index(folder)
    usable = [video for video in index["videos"] if video["length"] >= min_frames]
    short = [
        Skipped(video["name"], f"{video['name']} has {video['length']} frames, and {min_frames} are needed.")
        for video in index["videos"]
        if video["length"] < min_frames
    ]
    corrupt = [Skipped(video["name"], video["reason"]) for video in index["skipped"]]
    if not usable:
        longest = max((video["length"] for video in index["videos"]), default=0)
        raise DataError(
            f"none of the {len(short) + len(corrupt)} videos can be used: {len(corrupt)} cannot be read and "
            f"{len(short)} are shorter than {min_frames} frames, the longest having {longest}; lower --frames to "
            f"{longest} or less, or add longer videos."
        )
    frame = (index["height"], index["width"], _CHANNELS)
    blocks = [map_shard(folder / shard_name(number), frame) for number in range(index["shards"])]
    firsts = [0]
    for block in blocks:
        firsts.append(firsts[-1] + len(block))
    for video in usable:
        if video["start"] + video["length"] > len(blocks[video["shard"]]):
            raise DataError(f"{folder} is damaged: {video['name']} passes the end of its shard; delete the pack.")
    classes = tuple(index["classes"])
    number_of = {name: number for number, name in enumerate(classes)}
    return ClipStore(
        blocks,
        torch.tensor([firsts[video["shard"]] + video["start"] for video in usable], dtype=torch.int64),
        torch.tensor([video["length"] for video in usable], dtype=torch.int64),
        names=[video["name"] for video in usable],
        fps=_common_fps([video["fps"] for video in usable]) / index["stride"],
        labels=torch.tensor([number_of[video["label"]] for video in usable], dtype=torch.int64) if classes else None,
        classes=classes,
        skipped=corrupt + short,
    )


def _common_fps(rates: list[float]) -> float:
    """The most common frame rate, told apart to a thousandth; the lowest of several that are as common."""
    counts = Counter(round(rate, 3) for rate in rates)
    return min(counts, key=lambda rate: (-counts[rate], rate))


def _reuse(place: Path, min_frames: int) -> ClipStore | None:
    """The store over an existing pack; `None` where there is none, or a damaged one, which is removed."""
    if not place.is_dir():
        return None
    try:
        index = _read_index(place)
        for number in range(index["shards"]):
            map_shard(place / shard_name(number), (index["height"], index["width"], _CHANNELS))
    except DataError:
        shutil.rmtree(place, ignore_errors=True)
        return None
    return open_pack(place, min_frames)


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / "index.json"
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}; delete the pack, and it is made anew.") from error
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise DataError(f"{path} is not of pack format {FORMAT}; delete the pack, and it is made anew.")
    return index


# --- the key ---------------------------------------------------------------------------------------------------------


def _content_key(dataset: Dataset, sources: Sequence[Source], numbers: tuple[int, ...]) -> str:
    """A hash of everything that the frames of a pack depend on, 32 hexadecimal digits."""
    kind = type(dataset)
    missing = object()
    names = [
        parameter.name
        for parameter in inspect.signature(kind.__init__).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    settings = {name: getattr(dataset, name, missing) for name in names}
    identity: list[Any] = [FORMAT, f"{kind.__module__}:{kind.__qualname__}", numbers]
    if missing in settings.values() or not all(source.files for source in sources):
        # What cannot be told from settings and files may hide in any attribute.
        settings = vars(dataset)
    identity.append(sorted((name, repr(value)) for name, value in settings.items()))
    digest = hashlib.sha256(json.dumps(identity).encode())
    for source in sources:
        files = []
        for file in source.files:
            try:
                status = file.stat()
                files.append([file.name, status.st_size, status.st_mtime_ns])
            except OSError:
                files.append([file.name, -1, -1])
        digest.update(json.dumps([source.name, source.label, files]).encode() + b"\n")
    return digest.hexdigest()[:32]


# --- making ----------------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class _Decoded:
    """A video's frames in a spooled file, or the reason why there are none."""

    frames: BinaryIO | None = None
    length: int = 0
    fps: float = 0.0
    reason: str = ""


def _make(
    dataset: Dataset,
    sources: Sequence[Source],
    place: Path,
    size: tuple[int, int],
    stride: int,
    colour: tuple[int, int, int],
    progress: Progress | None,
    workers: int,
) -> None:
    """Decodes a dataset into a pack at `place`."""
    name = f"{_PARTIAL}{place.name}-{socket.gethostname()}-{os.getpid()}-"
    partial = Path(tempfile.mkdtemp(prefix=name, dir=place.parent))
    videos: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    shards = 0
    try:
        with ShardWriter(partial, *size, _CHANNELS, SHARD_BYTES) as writer:
            jobs = _in_order(lambda source: _decode(dataset, source, size, stride, colour, partial), sources, workers)
            for done, (source, decoded) in enumerate(zip(sources, jobs, strict=True), 1):
                if decoded.frames is None:
                    skipped.append({"name": source.name, "reason": decoded.reason})
                else:
                    with decoded.frames as frames:
                        shard, start = writer.add(frames, decoded.length)
                    shards = shard + 1
                    videos.append(
                        {
                            "name": source.name,
                            "label": source.label,
                            "shard": shard,
                            "start": start,
                            "length": decoded.length,
                            "fps": decoded.fps,
                        }
                    )
                if progress is not None:
                    progress(done, len(sources), source.name)
        if not videos:
            first = skipped[0]["reason"] if skipped else "the dataset is empty."
            raise DataError(f"none of the {len(sources)} videos can be read; the first one: {first}")
        labels = {video["label"] for video in videos}
        index = {
            "format": FORMAT,
            "key": place.name,
            "height": size[0],
            "width": size[1],
            "stride": stride,
            "background": list(colour),
            "classes": sorted(labels) if None not in labels else [],
            "shards": shards,
            "fps": _common_fps([video["fps"] for video in videos]) / stride,
            "videos": videos,
            "skipped": skipped,
        }
        _publish(partial, place, index)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _publish(partial: Path, place: Path, index: dict[str, Any]) -> None:
    """Writes the index, syncs, and renames; where another process was first, its pack stays."""
    with (partial / "index.json").open("w", encoding="utf-8") as file:
        json.dump(index, file, ensure_ascii=False, indent=1)
        file.flush()
        os.fsync(file.fileno())
    partial.chmod(0o755)
    _sync_folder(partial)
    try:
        partial.rename(place)
    except OSError:
        if not place.is_dir():
            raise
    _sync_folder(place.parent)


def _sync_folder(folder: Path) -> None:
    """Makes a folder's entries durable, where the system has that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _in_order(job: Callable[[Source], _Decoded], sources: Sequence[Source], workers: int) -> Iterator[_Decoded]:
    """Runs jobs on threads and yields their results in the order of `sources`, a bounded number ahead.

    Threads, because libav and Pillow release the interpreter's lock while they work, and datasets need not be pickled.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="gadkit-decode")
    waiting: deque[Future[_Decoded]] = deque()
    try:
        for source in sources:
            waiting.append(pool.submit(job, source))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for future in waiting:
            if not future.cancelled() and future.exception() is None and (frames := future.result().frames) is not None:
                frames.close()


def _decode(
    dataset: Dataset, source: Source, size: tuple[int, int], stride: int, colour: tuple[int, int, int], folder: Path
) -> _Decoded:
    """One video's frames, fitted; kept in memory while they are few, in `folder` where they are many."""
    spool = cast(BinaryIO, tempfile.SpooledTemporaryFile(_SPOOL_BYTES, dir=str(folder)))  # noqa: SIM115
    length = 0
    try:
        footage = dataset.open(source)
        for number, frame in enumerate(footage.frames):
            if number % stride == 0:
                spool.write(fit(frame, *size, colour).data)
                length += 1
    except DataError as error:
        spool.close()
        return _Decoded(reason=str(error))
    except BaseException:
        spool.close()
        raise
    if length == 0:
        spool.close()
        return _Decoded(reason=f"{source.name} holds no frames.")
    spool.seek(0)
    return _Decoded(frames=spool, length=length, fps=footage.fps)


def _sweep(root: Path) -> None:
    """Removes what killed makers left: that of dead processes of this machine, and what is a day old."""
    host = socket.gethostname()
    for remains in root.glob(f"{_PARTIAL}*"):
        owner, _, process = remains.name.rpartition("-")[0].rpartition("-")
        try:
            old = time.time() - max(entry.stat().st_mtime for entry in (remains, *remains.iterdir())) > _STALE_SECONDS
        except OSError:
            continue
        if old or (owner.endswith(f"-{host}") and not _alive(process)):
            shutil.rmtree(remains, ignore_errors=True)


def _alive(process: str) -> bool:
    """Whether a process of this machine lives; `True` where that cannot be told without harm."""
    if os.name != "posix":
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError):
        return True
    return True
