"""Making a pack: a data set decoded once, at the training size, into a folder that training maps into memory.

    index.json                 what the pack is made of (`gadkit.data.index`)
    shard-00000.safetensors    uint8 `frames` (F, H, W, C), about 1 GiB each; a video lies in one shard

A pack is made in a folder beside its place, `.partial-NAME`, synced, and renamed into it: whoever sees a pack sees a
whole one. Worker processes decode each a video into a file there; this process appends them, in order, to the shards,
and notes each in a journal. Broken off at any moment, it goes on after the last whole video when it is called again.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from filelock import FileLock, Timeout

from gadkit.data import index as indices
from gadkit.data import journal as journals
from gadkit.data.blueprint import Blueprint
from gadkit.data.digests import Progress, content_key
from gadkit.data.index import CHANNELS, FORMAT, Index, PackedVideo, read_index
from gadkit.data.journal import Journal
from gadkit.data.shards import ShardWriter, shard_name
from gadkit.data.workers import Workers
from gadkit.errors import DataError, RunError
from gadkit.interfaces.dataset import Dataset, Footage, Source
from gadkit.video.draft import source_size
from gadkit.video.geometry import Geometry

#: A shard is full at this size.
SHARD_BYTES = 1 << 30
PARTIAL = ".partial-"
SPOOL = "spool-"
_BUFFER = 1 << 20
#: A spool file of more bytes is emptied when its video is in the shard.
_KEPT = 64 << 20


def pack(
    dataset: Dataset,
    sources: Sequence[Source],
    folder: Path,
    geometry: Geometry,
    *,
    blueprint: Blueprint | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
    patience: float = 10.0,
    key: str | None = None,
) -> bool:
    """Decodes a dataset into a pack, or goes on with one that was broken off.

    Args:
        dataset: Where the videos come from.
        sources: Its videos.
        folder: Where the pack is to be; nothing is overwritten.
        geometry: Of the frames.
        blueprint: How other processes make the dataset anew; without it, threads of this process decode.
        progress: Called as `progress(done, total, name)` after each video.
        workers: How many videos are decoded at once; by default one a core. It changes no byte of the pack.
        patience: Seconds without a new frame after which a video is given up.
        key: `content_key` of these arguments, where it is known.

    Returns:
        Whether there was something to do: `False` where the folder holds this very pack already.

    Raises:
        DataError: No video can be read, or two have one name.
        RunError: The folder holds something else, or cannot be written.
    """
    try:
        indices.unique(source.name for source in sources)
    except ValueError as error:
        raise DataError(f"the dataset cannot be packed: {error}; rename one of the videos.") from error
    key = key or content_key(dataset, sources, geometry, progress=progress)
    folder = folder.absolute()
    if _is_there(folder, key):
        return False
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with lock(folder, waiting=lambda: progress and progress(0, len(sources), "waiting for who makes it already")):
            # Another process may have made it while this one waited.
            if _is_there(folder, key):
                return False
            partial = partial_of(folder)
            if not _is_finished(partial, key):
                _make(
                    dataset, sources, partial, geometry, key, Workers(dataset, blueprint, workers, patience), progress
                )
            publish(partial, folder)
    except OSError as error:
        raise RunError(
            f"the pack {folder} cannot be written: {error.strerror or error}; free some space or choose another disk, "
            "and run the same again: it goes on where it stopped (the cache is where GADKIT_CACHE says)."
        ) from error
    return True


def partial_of(folder: Path) -> Path:
    """Where the pack is made that is to stand at `folder`."""
    return folder.with_name(PARTIAL + folder.name)


def lock_of(folder: Path) -> Path:
    """The file whose lock is held by who makes the pack at `folder`."""
    return folder.with_name(f"{PARTIAL}{folder.name}.lock")


@contextlib.contextmanager
def lock(folder: Path, waiting: Callable[[], object] | None = None) -> Iterator[None]:
    """Holds the lock of the pack at `folder`.

    Args:
        folder: Where the pack is to stand.
        waiting: Called where another process holds it, before this one waits for it.

    Raises:
        filelock.Timeout: Another process holds it, and nobody wants to wait.
    """
    path = lock_of(folder)
    held = FileLock(path)
    try:
        held.acquire(timeout=0)
    except Timeout:
        if waiting is None:
            raise
        waiting()
        held.acquire()
    try:
        yield
    finally:
        # Who waits for a lock whose file is gone finds the pack, or begins anew.
        if not partial_of(folder).exists():
            with contextlib.suppress(OSError):
                path.unlink()
        held.release()


def _is_there(folder: Path, key: str) -> bool:
    """Whether the pack is made already; `RunError` where something else stands in its place."""
    if not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        found = read_index(folder)
    except DataError as error:
        raise RunError(f"{folder} exists and is no whole pack; choose another place, or remove it.") from error
    if found.key != key:
        raise RunError(f"{folder} holds a pack of other videos or another geometry; choose another place.")
    return True


def _is_finished(partial: Path, key: str) -> bool:
    """Whether nothing but the renaming was left to do: the index is written when all else is on the disk."""
    try:
        return read_index(partial).key == key
    except DataError:
        return False


def _make(
    dataset: Dataset,
    sources: Sequence[Source],
    partial: Path,
    geometry: Geometry,
    key: str,
    workers: Workers,
    progress: Progress | None,
) -> None:
    """Fills an unfinished pack, its index last."""
    if partial.is_symlink():
        raise RunError(f"{partial} is a link, where the pack is to be made; remove it.")
    partial.mkdir(exist_ok=True)
    _clear_spools(partial)
    # A name of its own: the last worker of a maker that was killed may still be writing.
    spool = Path(tempfile.mkdtemp(prefix=SPOOL, dir=partial))
    (partial / indices.NAME).unlink(missing_ok=True)
    plain = geometry.to_dict()
    head = {"format": FORMAT, "key": key, "geometry": plain, "videos": len(sources), "limit": SHARD_BYTES}
    frame = (geometry.height, geometry.width, CHANNELS)
    with (
        Journal(partial, head, [source.name for source in sources]) as journal,
        ShardWriter(partial, frame, SHARD_BYTES, journal.filled()) as writer,
        workers,
    ):
        done = len(journal.entries)
        spools = _Spools(spool)
        jobs = ((source, {"geometry": plain, "spool": str(spools.take())}) for source in sources[done:])
        for number, outcome in enumerate(workers.run(f"{__name__}:decode", jobs), done):
            value = outcome.value
            with spools.next() as file:
                if value is None:
                    journal.add((outcome.source.name, outcome.reason))
                else:
                    shard, start = writer.add(file, value["length"])
                    journal.add(PackedVideo(name=outcome.source.name, shard=shard, start=start, **value))
            if progress is not None:
                progress(number + 1, len(sources), outcome.source.name)
        videos = [entry for entry in journal.entries if isinstance(entry, PackedVideo)]
        skipped = [entry for entry in journal.entries if not isinstance(entry, PackedVideo)]
    if not videos:
        shutil.rmtree(partial, ignore_errors=True)
        first = skipped[0][1] if skipped else "the dataset is empty."
        raise DataError(f"none of the {len(sources)} videos can be read; the first one: {first}")
    # Labels and columns are what the dataset says of its videos now.
    said: dict[str, dict[str, Any]] = {
        source.name: {"label": source.label, "columns": dict(source.columns)} for source in sources
    }
    index = Index(
        key=key,
        geometry=geometry,
        shards=tuple(writer.frames),
        videos=tuple(replace(video, **said[video.name]) for video in videos),
        skipped=tuple(skipped),
    )
    finish(partial, index)


class _Spools:
    """The files into which workers decode, used again and again: making and removing one costs as much as a clip.

    They are read in the order in which they were taken.
    """

    def __init__(self, folder: Path) -> None:
        self._new = (folder / str(number) for number in itertools.count())
        self._taken: deque[Path] = deque()
        self._free: deque[Path] = deque()

    def take(self) -> Path:
        """A file for the next job."""
        path = self._free.popleft() if self._free else next(self._new)
        self._taken.append(path)
        return path

    @contextlib.contextmanager
    def next(self) -> Iterator[BinaryIO]:
        """The file of the job that is over; free for another one afterwards."""
        path = self._taken.popleft()
        with path.open("a+b") as file:
            file.seek(0)
            yield file
            if file.seek(0, os.SEEK_END) > _KEPT:
                file.truncate(0)
        self._free.append(path)


def decode(dataset: Dataset, source: Source, arguments: dict[str, Any], beat: Callable[[], None]) -> dict[str, Any]:
    """The job of a worker: decodes one video into a file.

    Args:
        dataset: Opens the video.
        source: The video.
        arguments: `geometry`, as plain values, and `spool`, the file to write.
        beat: Called after every frame.

    Returns:
        length, fps, the source's width and height, and the SHA-256 of the frames.

    Raises:
        DataError: The video cannot be read.
        RunError: The file cannot be written.
    """
    geometry = Geometry(**arguments["geometry"])
    footage = dataset.open(source)
    size: list[int] = []

    def watched() -> Iterator[tuple[float, np.ndarray]]:
        for time, frame in footage.timed:
            if not size:
                size.extend(source_size(frame))
            beat()
            yield time, frame

    digest, length = hashlib.sha256(), 0
    frames = geometry.frames(Footage(fps=footage.fps, timed=watched()))
    try:
        # What a job before left in the file is written over, and nobody reads beyond this video's frames.
        handle = os.open(arguments["spool"], os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        file = open(handle, "wb", buffering=_BUFFER)  # noqa: SIM115
    except OSError as error:
        raise _unwritable(arguments["spool"], error) from error
    with file:
        for frame in frames:
            digest.update(frame.data)
            length += 1
            try:
                file.write(frame.data)
            except OSError as error:
                raise _unwritable(arguments["spool"], error) from error
        try:
            file.flush()
        except OSError as error:
            raise _unwritable(arguments["spool"], error) from error
    if length == 0:
        raise DataError(f"{source.name} holds no frames.")
    rate = geometry.rate(footage)
    if not 0 < rate < 1e6:  # neither is what is not a number
        raise DataError(f"{source.name} tells a frame rate of {rate} Hz; repair or remove the file.")
    return {"length": length, "fps": rate, "height": size[0], "width": size[1], "sha256": digest.hexdigest()}


def _unwritable(path: str, error: OSError) -> RunError:
    return RunError(
        f"{path} cannot be written: {error.strerror or error}; free some space or choose another disk, and run the "
        "same again: it goes on where it stopped (the cache is where GADKIT_CACHE says)."
    )


def finish(partial: Path, index: Index) -> None:
    """Writes the index of what is whole and on the disk, then removes what only the making needed."""
    beginning = partial / f"{indices.NAME}.new"
    with beginning.open("w", encoding="utf-8") as file:
        file.write(index.to_json())
        file.flush()
        os.fsync(file.fileno())
    sync_folder(partial)
    beginning.replace(partial / indices.NAME)


def publish(partial: Path, folder: Path) -> None:
    """Renames a whole pack into its place."""
    _clear_spools(partial)
    (partial / journals.NAME).unlink(missing_ok=True)
    wanted = {indices.NAME, *(shard_name(number) for number in range(len(read_index(partial).shards)))}
    for entry in partial.iterdir():
        if entry.name not in wanted:
            entry.unlink()
    sync_folder(partial)
    if folder.is_dir():
        folder.rmdir()
    partial.rename(folder)
    sync_folder(folder.parent)


def _clear_spools(partial: Path) -> None:
    for spool in partial.glob(f"{SPOOL}*"):
        shutil.rmtree(spool, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Makes a folder's entries durable, where the system has that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
