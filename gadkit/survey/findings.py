"""What a survey says about a training: counts, what would be dropped and why, warnings, and what a pack would take."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from gadkit.survey.measure import Measure, Survey
from gadkit.words import count_text, rate_text

#: Below that share of the largest class a class is called rare.
_RARE = 0.1
#: A video of which no frame differs from the first in more than this share does not move.
_STILL = 0.001
#: Cutting away more than this share of the frame is worth a warning.
_CUT = 0.3
_BINS = 12


def findings(found: Survey) -> dict[str, Any]:
    """A document of plain values, as `gadkit data inspect --json` prints it.

    Returns:
        `geometry`, `clip`, `videos` (counts), `frames`, `seconds`, `sizes`, `fps`, `lengths`, `labels`, `dropped` and
        `broken` (name and reason), `warnings` (kind, sentence and names) and `pack` (bytes, seconds, memory).
    """
    readable = [(video.source, video.measure) for video in found.videos if video.measure is not None]
    usable = [(source, measure) for source, measure in readable if measure.kept >= found.span]
    measures = [measure for _, measure in readable]
    broken = [{"name": video.source.name, "reason": video.reason} for video in found.videos if video.measure is None]
    return {
        "geometry": found.geometry.to_dict(),
        "clip": {
            "frames": found.frames,
            "stride": found.stride,
            "span": found.span,
            "seconds": _clip_seconds(found, measures),
        },
        "videos": {
            "found": found.total,
            "measured": len(found.videos),
            "usable": len(usable),
            "short": len(readable) - len(usable),
            "broken": len(broken),
        },
        "frames": sum(measure.frames for measure in measures),
        "seconds": sum(measure.seconds for measure in measures),
        "clips": {
            "disjoint": sum(measure.kept // found.span for _, measure in usable),
            "starts": sum(measure.kept - found.span + 1 for _, measure in usable),
        },
        "sizes": _sizes(measures),
        "fps": _rates(measures),
        "lengths": {
            "frames": _spread([measure.kept for measure in measures]),
            "seconds": _spread([measure.seconds for measure in measures]),
        },
        "labels": _labels([source.label for source, _ in usable]),
        "dropped": [
            {"name": source.name, "reason": _short(measure, found)}
            for source, measure in readable
            if measure.kept < found.span
        ],
        "broken": broken,
        "warnings": _warnings(found, {source.name: measure for source, measure in readable}),
        "pack": _pack(found, measures),
    }


def _clip_seconds(found: Survey, measures: Sequence[Measure]) -> float | None:
    """How long a clip plays, at the most common rate where there are several."""
    rates = Counter(measure.fps for measure in measures).most_common(1)
    rate = found.geometry.fps or (rates[0][0] if rates else None)
    return None if rate is None else found.frames * found.stride / rate


def _short(measure: Measure, found: Survey) -> str:
    """Why a video gives no clip."""
    rate = "" if found.geometry.fps is None else f" at {rate_text(found.geometry.fps)}"
    stride = "" if found.stride == 1 else f" ({found.frames} at stride {found.stride})"
    return f"it has {count_text(measure.kept, 'frame')}{rate}, and a clip takes {found.span}{stride}."


def _sizes(measures: Sequence[Measure]) -> dict[str, Any]:
    counts = Counter((measure.width, measure.height) for measure in measures)
    by_area = sorted((measure.width * measure.height, measure.width, measure.height) for measure in measures)
    aspects = Counter(_aspect(measure.width, measure.height) for measure in measures)
    named = {"min": 0, "median": (len(by_area) - 1) // 2, "max": len(by_area) - 1}
    return {
        **{name: list(by_area[place][1:]) if by_area else None for name, place in named.items()},
        "counts": [{"width": w, "height": h, "videos": count} for (w, h), count in counts.most_common()],
        "aspects": [{"aspect": aspect, "videos": count} for aspect, count in aspects.most_common()],
    }


def _aspect(width: int, height: int) -> str:
    """An aspect ratio in small numbers where it is one, such as 16:9; else to two digits, such as 1.85:1."""
    divisor = math.gcd(width, height)
    if max(width, height) // divisor <= 21:
        return f"{width // divisor}:{height // divisor}"
    return f"{width / height:.2f}:1" if width >= height else f"1:{height / width:.2f}"


def _rates(measures: Sequence[Measure]) -> dict[str, Any]:
    counts = Counter(round(measure.fps, 3) for measure in measures)
    return {
        "counts": [{"fps": fps, "videos": count} for fps, count in counts.most_common()],
        "variable": sum(measure.variable for measure in measures),
    }


def _spread(values: Sequence[float]) -> dict[str, Any] | None:
    """Least, median and most of some values, and their histogram in bins of equal width."""
    if not values:
        return None
    low, high = min(values), max(values)
    whole = all(isinstance(value, int) for value in values)
    bins = min(_BINS, int(high - low) + 1) if whole else _BINS
    bins = 1 if high == low else bins
    counts = Counter(min(int((value - low) / (high - low) * bins), bins - 1) if high > low else 0 for value in values)
    median = statistics.median_low(values) if whole else statistics.median(values)
    return {"min": low, "median": median, "max": high, "histogram": [counts[number] for number in range(bins)]}


def _labels(labels: Iterable[str | None]) -> dict[str, Any]:
    counts = Counter(label for label in labels if label is not None)
    largest = max(counts.values(), default=0)
    return {
        "classes": [{"name": name, "videos": counts[name]} for name in sorted(counts)],
        "imbalance": largest / min(counts.values()) if counts else None,
    }


def _pack(found: Survey, measures: Sequence[Measure]) -> dict[str, Any]:
    """What packing would take: of everything, where its number is known, told from what was measured."""
    scale = (found.total or len(found.videos)) / len(found.videos) if found.videos else 1.0
    frame = found.geometry.height * found.geometry.width * 3
    work = sum(measure.decode_seconds + measure.kept * measure.fit_seconds for measure in measures)
    return {
        "bytes": round(scale * frame * sum(measure.kept for measure in measures)),
        "seconds": scale * work / found.workers,
        "workers": found.workers,
        "memory": max((measure.memory for measure in measures), default=0),
    }


# --- warnings --------------------------------------------------------------------------------------------------------


def _warnings(found: Survey, measures: Mapping[str, Measure]) -> list[dict[str, Any]]:
    """What training would not refuse and its user might not want, each with the videos concerned."""
    rates = Counter(round(measure.fps, 3) for measure in measures.values())
    usual = rates.most_common(1)[0][0] if rates else 0.0
    varying = [name for name, measure in measures.items() if measure.variable]
    still = _names(measures, lambda each: each.frames > 1 and each.moving < _STILL and not each.plain)
    geometry = found.geometry
    warnings = [
        _duplicates(measures),
        _warning("plain", _names(measures, lambda each: each.plain), "{} one colour and nothing else", "shows", "show"),
        _warning("still", still, "{} not move: every frame equals the first, or nearly", "does", "do"),
        _warning(
            "repeated",
            _names(measures, lambda each: each.repeated >= max(1, each.frames // 2) and each.moving >= _STILL),
            "{} half of their frames or more as they were before; a lower --fps takes each once",
            "repeats",
            "repeat",
        ),
        _warning(
            "variable",
            varying if geometry.fps is None else [],
            "{} a variable frame rate, and every frame is taken; --fps takes them by their times",
            "has",
            "have",
        ),
        _warning(
            "rates",
            _names(measures, lambda each: geometry.fps is None and round(each.fps, 3) != usual),
            f"{{}} another frame rate than most, and every frame is taken, so that motion has several speeds; "
            f"--fps {usual:g} makes them one",
            "has",
            "have",
        ),
        _warning(
            "enlarged",
            _names(measures, lambda each: each.width < geometry.width or each.height < geometry.height),
            f"{{}} smaller than {geometry.width}×{geometry.height} and enlarged; a lower --resolution adds no blur",
            "is",
            "are",
        ),
        _warning(
            "cut",
            _names(measures, lambda each: geometry.fit == "crop" and _cut(each, found) > _CUT),
            f"{{}} more than {_CUT:.0%} of the frame when cropped; --fit letterbox keeps all of it",
            "loses",
            "lose",
        ),
        *_rare(found),
        _folders(found),
    ]
    return [warning for warning in warnings if warning is not None]


def _names(measures: Mapping[str, Measure], holds: Any) -> list[str]:
    return [name for name, measure in measures.items() if holds(measure)]


def _warning(kind: str, names: list[str], text: str, one: str, several: str) -> dict[str, Any] | None:
    """A warning about some videos; the braces take their number and the verb."""
    if not names:
        return None
    subject = f"{count_text(len(names), 'video')} {one if len(names) == 1 else several}"
    return {"kind": kind, "text": text.format(subject) + ".", "names": names}


def _duplicates(measures: Mapping[str, Measure]) -> dict[str, Any] | None:
    groups = defaultdict(list)
    for name, measure in measures.items():
        groups[measure.digest].append(name)
    same = [names for names in groups.values() if len(names) > 1]
    if not same:
        return None
    spare = sum(len(names) - 1 for names in same)
    text = f"{count_text(spare, 'video')} {'is a copy' if spare == 1 else 'are copies'} of another, frame for frame."
    return {"kind": "duplicates", "text": text, "names": [name for names in same for name in names], "groups": same}


def _cut(measure: Measure, found: Survey) -> float:
    """The share of a frame that cropping to the training's aspect ratio takes away."""
    ratio = measure.width * found.geometry.height / (measure.height * found.geometry.width)
    return 1 - min(ratio, 1 / ratio)


def _rare(found: Survey) -> list[dict[str, Any] | None]:
    """Classes without a usable video, and those with few."""
    all_counts: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for video in found.videos:
        if video.source.label is not None:
            all_counts[video.source.label] += 1
            counts[video.source.label] += video.measure is not None and video.measure.kept >= found.span
    largest = max(counts.values(), default=0)
    empty = [name for name in sorted(all_counts) if not counts[name]]
    rare = [name for name in sorted(counts) if 0 < counts[name] < _RARE * largest]
    warnings: list[dict[str, Any] | None] = []
    if empty:
        text = f"{count_text(len(empty), 'class', 'classes')} without a usable video: {', '.join(empty)}."
        warnings.append({"kind": "empty-classes", "text": text, "names": []})
    if rare:
        text = f"{count_text(len(rare), 'class', 'classes')} with less than a tenth of the largest: {', '.join(rare)}."
        warnings.append({"kind": "rare-classes", "text": text, "names": []})
    return warnings


def _folders(found: Survey) -> dict[str, Any] | None:
    """A hint where unlabelled videos lie in folders that could be classes."""
    parts = [PurePosixPath(video.source.name).parts for video in found.videos]
    if any(video.source.label is not None for video in found.videos) or any(len(each) < 2 for each in parts):
        return None
    folders = Counter(each[0] for each in parts)
    if not 2 <= len(folders) <= len(parts) // 2:
        return None
    shown = ", ".join(f"{name} ({count})" for name, count in sorted(folders.items())[:8])
    rest = f" and {len(folders) - 8} more" if len(folders) > 8 else ""
    text = f"the videos lie in the folders {shown}{rest}; --labels folders takes these as classes."
    return {"kind": "folders", "text": text, "names": []}
