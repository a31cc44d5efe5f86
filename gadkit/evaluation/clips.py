"""Which clips are measured: a function of the protocol's seed and of the videos' names and lengths."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gadkit import randomness
from gadkit.data.store import ClipStore, Store
from gadkit.errors import ConfigError
from gadkit.evaluation.protocol import ProtocolSettings
from gadkit.interfaces.dataset import ENDLESS
from gadkit.randomness import Key


@dataclass(frozen=True)
class ClipList:
    """Clips of numbered videos.

    Attributes:
        videos: int64 `(N,)`: the video of each clip.
        places: int64 `(N,)` in [0, 2^32): where a clip begins in its video, as for `gadkit.data.store.Store.clips`.
    """

    videos: Tensor
    places: Tensor

    def __len__(self) -> int:
        """N."""
        return len(self.videos)


def whole(count: int, first: int = 0) -> ClipList:
    """The beginnings of `count` videos, from number `first` on."""
    return ClipList(torch.arange(first, first + count), torch.zeros(count, dtype=torch.int64))


def choose_clips(store: Store, settings: ProtocolSettings, *, span: int, generated: bool) -> ClipList:
    """The clips of a set of videos that a protocol takes.

    Args:
        store: The videos, each of at least `span` frames.
        settings: Of the protocol.
        span: Frames of a video that a clip takes up.
        generated: Whether these are the videos that are judged.

    Raises:
        ConfigError: A clip of every video is asked of a set that has no end.
    """
    key = Key.of(settings.seed, "evaluation", "generated" if generated else "real")
    count = len(store)
    most = settings.clips if generated else settings.real_clips
    if not most and count > ENDLESS:
        raise ConfigError(
            "protocol.real_clips: found 0, which is a clip of every video, but these videos have no end; say how many "
            "with --clips."
        )
    most = most or count
    order = torch.arange(min(count, most) if count > ENDLESS else count)
    if settings.choice == "random" and count <= ENDLESS:
        order = randomness.permutation(key.fold("videos"), count)
    offset = settings.generated_offset if generated else settings.offset
    per_video = settings.clips_per_video
    if per_video == 1 or len(order) >= most or not isinstance(store, ClipStore):
        videos = order[:most]
        if offset == "start":
            return ClipList(videos, torch.zeros_like(videos))
        return ClipList(videos, randomness.bits(key.fold("offset"), videos, torch.zeros_like(videos), 1).squeeze(-1))
    return _side_by_side(store, order, key, most, span, per_video, offset)


def _side_by_side(
    store: ClipStore, order: Tensor, key: Key, most: int, span: int, per_video: int, offset: str
) -> ClipList:
    """Several clips of each video that do not overlap: first one of every video, then a second one, and so on."""
    lengths = store.lengths[order]
    counts = lengths // span
    if per_video:
        counts = counts.clamp(max=per_video)
    rounds = torch.arange(int(counts.max()))
    there = rounds[:, None] < counts  # (rounds, videos)
    number, row = there.nonzero(as_tuple=True)
    number, row = number[:most], row[:most]
    videos = order[row]
    spare = lengths[row] - counts[row] * span
    shift = torch.zeros_like(spare)
    if offset == "random":  # all clips of a video are moved by the same part of what they leave over
        shift = randomness.bits(key.fold("offset"), videos, torch.zeros_like(videos), 1).squeeze(-1)
        shift = (shift * (spare + 1)) >> 32
    return ClipList(videos, places_of(number * span + shift, lengths[row], span))


def places_of(first: Tensor, lengths: Tensor, span: int) -> Tensor:
    """The places (`Store.clips`) at which clips begin with the frames `first`, in videos of `lengths` frames."""
    starts = lengths - span + 1
    return ((first << 32) + starts - 1) // starts


def first_frames(places: Tensor, lengths: Tensor, span: int) -> Tensor:
    """The first frames of clips that begin at `places`."""
    return (places * (lengths - span + 1)) >> 32
