"""The cache of packs: a data set that was decoded once is found again by its content and the geometry.

Packs lie in the folder `packs` of the cache, each under its key, so a pack is never stale, only not looked for. Beside
each lies a note, `KEY.json`, which says where the data lay; its time of change is when the pack was last used. What
datasets remember of data that are streamed lies in the folder `indexes`, a file a shard, touched when it is used; what
was measured of data, in the folder `features`, likewise.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import Timeout

from gadkit.data import index as indices
from gadkit.data import journal as journals
from gadkit.data.blueprint import Blueprint
from gadkit.data.digests import DATABASE, Progress, cache_folder, content_key
from gadkit.data.index import PackedVideo, read_index
from gadkit.data.packing import PARTIAL, lock, pack, partial_of
from gadkit.errors import DataError, RunError
from gadkit.interfaces.dataset import Dataset, Source
from gadkit.video.geometry import Geometry

if TYPE_CHECKING:
    from gadkit.data.store import ClipStore

__all__ = ["CachedPack", "Progress", "cache_folder", "clear", "packs", "prepare"]

#: Unfinished packs are kept this long for the run that goes on with them.
STALE_SECONDS = 7 * 86400.0
INDEXES = "indexes"
FEATURES = "features"


@dataclass(frozen=True, kw_only=True)
class CachedPack:
    """A pack of the cache.

    Attributes:
        key: Its name there.
        folder: Where it lies.
        bytes: What it takes of the disk.
        videos: How many videos it holds.
        frames: How many frames.
        geometry: Of the frames; `None` where it is damaged.
        made: When it was made, in seconds since 1970.
        used: When it was last used.
        origin: Where the data lay.
        finished: Whether it is whole; otherwise the run that was to make it was broken off, or is at it.
    """

    key: str
    folder: Path
    bytes: int
    videos: int
    frames: int
    geometry: Geometry | None
    made: float
    used: float
    origin: str
    finished: bool


def prepare(
    dataset: Dataset,
    sources: Sequence[Source],
    geometry: Geometry,
    *,
    min_frames: int,
    blueprint: Blueprint | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> ClipStore:
    """The videos of a dataset at the training size, decoded now or taken from the pack of an earlier call.

    Args:
        dataset: Where the videos come from.
        sources: Its videos, with the labels and columns that the store is to have.
        geometry: Of the frames.
        min_frames: Videos with fewer frames are left out and named in `skipped`. They stay in the pack, which does not
            depend on this number.
        blueprint: How other processes make the dataset anew; without it, threads of this process decode.
        cache: The cache's root; by default `cache_folder()`.
        progress: Called as `progress(done, total, name)` after each file that was looked at and each video that was
            decoded.
        workers: How many videos are decoded at once; by default one a core. It changes no byte of the pack.

    Raises:
        DataError: No video can be used.
        RunError: The pack cannot be written.
    """
    from gadkit.data.pack import open_pack  # imports torch, which listing does not need

    if dataset.pack is not None and _fits(dataset.pack, geometry):
        return open_pack(dataset.pack, min_frames, sources)
    cache = cache or cache_folder()
    key = content_key(dataset, sources, geometry, cache=cache, progress=progress)
    place = cache / "packs" / key
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _sweep(place)
        _remove_damaged(place)
        note = _note(place)
        if not note.is_file():
            note.write_text(json.dumps({"origin": _origin(dataset, blueprint)}), encoding="utf-8")
        os.utime(note)
    except OSError as error:
        raise RunError(
            f"the cache {cache} cannot be written: {error.strerror or error}; free some space, or set GADKIT_CACHE to "
            "a folder on another disk."
        ) from error
    pack(dataset, sources, place, geometry, blueprint=blueprint, progress=progress, workers=workers, key=key)
    return open_pack(place, min_frames, sources)


def packs(cache: Path | None = None) -> list[CachedPack]:
    """The packs of a cache, unfinished ones too; those last used first."""
    root = (cache or cache_folder()) / "packs"
    try:
        folders = [entry for entry in root.iterdir() if entry.is_dir() and not entry.is_symlink()]
    except OSError:
        return []
    found = [_describe(folder) for folder in folders]
    return sorted(found, key=lambda cached: (-cached.used, cached.key))


def clear(
    keys: Iterable[str] = (),
    *,
    older_than: float | None = None,
    everything: bool = False,
    cache: Path | None = None,
) -> list[CachedPack]:
    """Removes packs from a cache, never one that is being made.

    Args:
        keys: Those of these keys, or of the only key that begins so.
        older_than: Those last used longer than this many seconds ago, and such indexes of streams and features.
        everything: All of them, all indexes and features, and what is remembered of files.
        cache: The cache's root; by default `cache_folder()`.

    Returns:
        What was removed.

    Raises:
        DataError: There is no such key, or several begin so.
    """
    root = cache or cache_folder()
    present = packs(root)
    chosen: list[CachedPack] = []
    for key in keys:
        matching = {cached.key for cached in present if cached.key.startswith(key)}
        if len(matching) != 1:
            state = f"{len(matching)} packs begin so" if matching else "the cache holds no such pack"
            raise DataError(f"{key!r} names no pack: {state}; `gadkit data cache` lists them.")
        chosen += [cached for cached in present if cached.key in matching]
    before = None if older_than is None else time.time() - older_than
    chosen += [cached for cached in present if everything or (before is not None and cached.used < before)]
    chosen = list({cached.folder: cached for cached in chosen}.values())
    removed = [cached for cached in chosen if _remove(cached.folder.with_name(cached.key), cached.folder)]
    for path in itertools.chain((root / INDEXES).glob("*"), (root / FEATURES).glob("*")):
        if everything or (before is not None and _changed(path) < before):
            with contextlib.suppress(OSError):
                path.unlink()
    if everything:
        with contextlib.suppress(OSError):
            (root / DATABASE).unlink()
    return removed


def _fits(folder: Path, geometry: Geometry) -> bool:
    """Whether a pack that a dataset brings has the frames that are asked for."""
    own = read_index(folder).geometry
    return (own.height, own.width) == (geometry.height, geometry.width) and geometry.fps in (None, own.fps)


def _describe(folder: Path) -> CachedPack:
    finished = not folder.name.startswith(PARTIAL)
    place = folder.with_name(folder.name.removeprefix(PARTIAL))
    videos = frames = 0
    geometry: Geometry | None = None
    if finished:
        with contextlib.suppress(DataError):
            index = read_index(folder)
            videos, frames, geometry = len(index.videos), index.frames, index.geometry
    else:
        head, entries, _ = journals.read_journal(folder / journals.NAME)
        packed = [entry for entry in entries if isinstance(entry, PackedVideo)]
        videos, frames = len(packed), sum(video.length for video in packed)
        geometry = None if head is None else indices.parse_geometry(head["geometry"])
    made = max(map(_changed, (folder / indices.NAME, folder / journals.NAME)))
    origin = ""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        origin = str(json.loads(_note(place).read_text(encoding="utf-8"))["origin"])
    return CachedPack(
        key=place.name,
        folder=folder,
        bytes=sum(size for size, _ in _files(folder)),
        videos=videos,
        frames=frames,
        geometry=geometry,
        made=made or _changed(folder),
        used=max(_changed(_note(place)), made),
        origin=origin,
        finished=finished,
    )


def _note(place: Path) -> Path:
    return place.with_name(f"{place.name}.json")


def _origin(dataset: Dataset, blueprint: Blueprint | None) -> str:
    """Where the data lie, for people."""
    place = blueprint.path if blueprint is not None else getattr(dataset, "path", None)
    return type(dataset).__name__ if place is None else str(place)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _files(folder: Path) -> list[tuple[int, float]]:
    """Size and time of change of each file below a folder; files that are just going are left out."""
    found = []
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            status = path.lstat()
            found.append((status.st_size, status.st_mtime))
    return found


def _remove_damaged(place: Path) -> None:
    """Removes a pack that is not whole."""
    if place.is_dir():
        try:
            read_index(place)
        except DataError:
            _remove(place, place)


def _remove(place: Path, folder: Path) -> bool:
    """Removes the pack at `place`, or the beginnings of it; `False` where somebody is at it."""
    try:
        with lock(place):
            shutil.rmtree(folder, ignore_errors=True)
            if not place.exists() and not partial_of(place).exists():
                _note(place).unlink(missing_ok=True)
    except (Timeout, OSError):
        return False
    return not folder.exists()


def _sweep(place: Path) -> None:
    """Removes what other makers left long ago."""
    for folder in place.parent.glob(f"{PARTIAL}*"):
        owner = folder.with_name(folder.name.removeprefix(PARTIAL).removesuffix(".lock"))
        if owner == place:
            continue
        times = [_changed(folder), *(changed for _, changed in _files(folder))]
        if time.time() - max(times) > STALE_SECONDS:
            _remove(owner, partial_of(owner))
