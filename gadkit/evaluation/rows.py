"""Rows: what metrics are made of, vectors of clips and frames, taken once and kept by content and protocol."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from gadkit.data.cache import FEATURES, cache_folder
from gadkit.errors import PluginError
from gadkit.evaluation.clips import ClipList
from gadkit.evaluation.protocol import ProtocolSettings
from gadkit.evaluation.subjects import Subject, batches

#: What the cache of rows may take of the disk, in bytes.
MOST_CACHED = 1 << 30
_FORMAT = 1


@dataclass(frozen=True)
class Extractor:
    """What makes rows of clips.

    Attributes:
        name: What is called by its name where its rows are no rows.
        key: Everything that its rows depend on beside the clips, in words; `None` where that cannot be told, and rows
            are not kept.
        rows: From uint8 `(B, T, 3, H, W)` to `(B, D)` or `(B, T, D)`.
        device: Where it wants them.
        of: What a row describes: a `clip`, each `frame`, or `any` of the two.
    """

    name: str
    key: str | None
    rows: Callable[[Tensor], Tensor]
    device: torch.device
    of: str


def extract(
    subject: Subject,
    clips: ClipList,
    settings: ProtocolSettings,
    extractors: Mapping[str, Extractor],
    *,
    cached: bool,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Tensor]:
    """The rows of clips by extractor, on the CPU, in the order of the clips; videos are read at most once.

    Args:
        subject: The videos.
        clips: Which clips of them.
        settings: Of the protocol.
        extractors: What makes rows, by name.
        cached: Whether rows are looked for in the cache, and kept there.
        progress: Called as `progress(done, total)` with numbers of clips.
    """
    places = {
        name: _place(subject, clips, settings, each.key)
        for name, each in extractors.items()
        if cached and each.key is not None
    }
    found = {name: rows for name, place in places.items() if (rows := _load(place, len(clips))) is not None}
    missing = {name: each for name, each in extractors.items() if name not in found}
    parts: dict[str, list[Tensor]] = {name: [] for name in missing}
    done = 0
    for video in batches(subject, clips, settings) if missing else ():
        for name, extractor in missing.items():
            with torch.inference_mode():
                rows = check_rows(extractor, extractor.rows(video.to(extractor.device)), *video.shape[:2])
            parts[name].append(rows.cpu().clone())
            if parts[name][0].shape[1:] != rows.shape[1:]:
                raise _no_rows(extractor, f"{_shape(parts[name][0])} and then {_shape(rows)}", *video.shape[:2])
        done += len(video)
        if progress is not None:
            progress(done, len(clips))
    for name, pieces in parts.items():
        found[name] = torch.cat(pieces)
        if name in places:
            _keep(places[name], found[name])
    return {name: found[name] for name in extractors}


def check_rows(extractor: Extractor, rows: object, clips: int, frames: int) -> Tensor:
    """Rows as they are; `PluginError` where a network or metric gave what is no set of finite vectors."""
    if not isinstance(rows, Tensor):
        raise _no_rows(extractor, f"a {type(rows).__name__}", clips, frames)
    shapes = {"clip": ((clips,),), "frame": ((clips, frames),)}.get(extractor.of, ((clips,), (clips, frames)))
    if not rows.is_floating_point() or tuple(rows.shape[:-1]) not in shapes or not rows.shape[-1]:
        raise _no_rows(extractor, _shape(rows), clips, frames)
    if not bool(rows.isfinite().all()):
        raise _no_rows(extractor, "numbers that are not finite", clips, frames)
    return rows


def _no_rows(extractor: Extractor, found: str, clips: int, frames: int) -> PluginError:
    expected = {"clip": f"({clips}, D)", "frame": f"({clips}, {frames}, D)"}.get(
        extractor.of, f"({clips}, D) or ({clips}, {frames}, D)"
    )
    return PluginError(
        f"{extractor.name}: found {found} for {clips} clips of {frames} frames, expected finite vectors {expected}; "
        "choose another with --features or --metric, or mend it."
    )


def _shape(rows: Tensor) -> str:
    return f"{str(rows.dtype).removeprefix('torch.')} of shape {tuple(rows.shape)}"


def _place(subject: Subject, clips: ClipList, settings: ProtocolSettings, extractor: str) -> Path:
    """Where rows are kept: under a hash of all that they depend on."""
    chosen = hashlib.sha256(clips.videos.numpy().tobytes() + clips.places.numpy().tobytes()).hexdigest()
    told = {
        "format": _FORMAT,
        "content": subject.content,
        "clips": chosen,
        "size": subject.size,
        **{name: getattr(settings, name) for name in ("frames", "stride", "resize", "rounding", "fit")},
        "extractor": extractor,
        "torch": torch.__version__,
    }
    key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]
    return cache_folder() / FEATURES / f"{key}.safetensors"


def _load(place: Path, count: int) -> Tensor | None:
    """Rows that are kept; a file that is damaged or not there counts as nothing."""
    try:
        rows = load_file(place)["rows"]
    except (OSError, SafetensorError, KeyError):
        return None
    with contextlib.suppress(OSError):  # a cache may be another's, to be read only
        os.utime(place)
    whole = rows.ndim in (2, 3) and rows.is_floating_point() and len(rows) == count and bool(rows.isfinite().all())
    return rows if whole else None


def _keep(place: Path, rows: Tensor) -> None:
    """Keeps rows, and lets go of those that were used longest ago; a full disk is no reason to fail."""
    partial = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        save_file({"rows": rows.contiguous()}, partial)
        os.replace(partial, place)
        _prune(place.parent)
    except (OSError, SafetensorError):
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _prune(folder: Path) -> None:
    files = sorted(folder.glob("*.safetensors"), key=lambda path: path.stat().st_mtime, reverse=True)
    total = 0
    for path in files:
        total += path.stat().st_size
        if total > MOST_CACHED:
            path.unlink(missing_ok=True)
