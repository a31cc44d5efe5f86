"""Opening a pack (`gadkit.data.packing`): its shards are mapped into memory, and no frame is read."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from gadkit.data.index import CHANNELS, Index, read_index, unique
from gadkit.data.reach import is_shared
from gadkit.data.shards import map_shard, shard_name
from gadkit.data.store import ClipStore, Skipped
from gadkit.errors import DataError
from gadkit.interfaces.dataset import Source

#: Shards of which a descriptor is kept: macOS gives a process 256.
_MOST_OPEN = 100


def open_pack(folder: Path, min_frames: int = 1, sources: Sequence[Source] | None = None) -> ClipStore:
    """Opens a pack.

    Args:
        folder: The pack's folder.
        min_frames: Videos with fewer frames are left out, and named in the store's `skipped`.
        sources: The videos that are wanted, by name, with their labels and columns; `None` for all of them, with those
            that the pack was made with. The order is the pack's.

    Raises:
        DataError: The folder holds no whole pack, two sources have one name, or no video can be used.
    """
    index = read_index(folder)
    described = _described(index, sources)
    usable = [video for video in index.videos if video.name in described and video.length >= min_frames]
    broken = [Skipped(name, reason) for name, reason in index.skipped if name in described]
    short = [
        Skipped(video.name, f"{video.name} has {_frames(video.length)}, and {min_frames} are needed.")
        for video in index.videos
        if video.name in described and video.length < min_frames
    ]
    if not usable:
        raise _nothing(index, described, len(broken), len(short), min_frames)
    frame = (index.geometry.height, index.geometry.width, CHANNELS)
    mapped = not is_shared(folder)
    blocks = [
        map_shard(folder / shard_name(number), frame, keep=number < _MOST_OPEN, mapped=mapped)
        for number in range(len(index.shards))
    ]
    firsts = [0]
    for number, (block, frames) in enumerate(zip(blocks, index.shards, strict=True)):
        if len(block) != frames:
            raise DataError(
                f"{folder / shard_name(number)} holds {len(block)} frames, and the index says {frames}; delete the "
                "pack, and make it anew."
            )
        firsts.append(firsts[-1] + frames)
    labels = [described[video.name].label for video in index.videos if video.name in described]
    classes = () if None in labels else tuple(sorted({label for label in labels if label is not None}))
    number_of: dict[str | None, int] = {name: number for number, name in enumerate(classes)}
    rates = [round(video.fps, 3) for video in usable]
    store = ClipStore(
        blocks,
        torch.tensor([firsts[video.shard] + video.start for video in usable], dtype=torch.int64),
        torch.tensor([video.length for video in usable], dtype=torch.int64),
        names=[video.name for video in usable],
        fps=_common(rates),
        labels=torch.tensor([number_of[described[video.name].label] for video in usable]) if classes else None,
        classes=classes,
        rates=tuple(sorted(set(rates))),
        columns=[dict(described[video.name].columns) for video in usable],
        skipped=broken + short,
    )
    store.sizes = [(video.height, video.width) for video in usable]
    told = json.dumps([[video.name, video.sha256] for video in usable])
    store.content = hashlib.sha256(told.encode()).hexdigest()
    return store


def _described(index: Index, sources: Sequence[Source] | None) -> dict[str, Source]:
    """The videos that are wanted, by name."""
    if sources is None:
        known = [Source(name=video.name, label=video.label, columns=video.columns) for video in index.videos]
        return {source.name: source for source in [*known, *(Source(name=name) for name, _ in index.skipped)]}
    try:
        unique(source.name for source in sources)
    except ValueError as error:
        raise DataError(f"the videos of the dataset cannot be told apart: {error}; rename one of them.") from error
    return {source.name: source for source in sources}


def _nothing(index: Index, described: dict[str, Source], broken: int, short: int, min_frames: int) -> DataError:
    """The error of a pack that has nothing for the training."""
    longest = max((video.length for video in index.videos if video.name in described), default=0)
    if longest == 0:
        return DataError(
            f"none of the {len(described)} videos can be used: {broken} cannot be read, and the pack holds no other "
            "of them; look at them with `gadkit data inspect`."
        )
    return DataError(
        f"none of the {short + broken} videos can be used: {broken} cannot be read and {short} are shorter than "
        f"{min_frames} frames, the longest having {longest}; lower --frames to {longest} or less, or add longer videos."
    )


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"


def _common(rates: Sequence[float]) -> float:
    """The most common frame rate; the lowest of several that are as common."""
    counts = Counter(rates)
    return min(counts, key=lambda rate: (-counts[rate], rate))
