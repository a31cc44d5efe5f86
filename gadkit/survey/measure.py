"""A survey of footage: every video decoded once and measured, before anything is trained on it."""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from gadkit.data.blueprint import Blueprint
from gadkit.data.workers import Outcome, Workers
from gadkit.errors import DataError
from gadkit.interfaces.dataset import ENDLESS, Dataset, Footage, Source
from gadkit.video.draft import drawn, source_size
from gadkit.video.encode import write_video
from gadkit.video.geometry import Geometry
from gadkit.video.resample import resample
from gadkit.video.transforms import fit

Progress = Callable[[int, int, str], None]

#: The most pixels a side, and frames, of a picture of a clip.
PICTURE_SIDE = 160
PICTURE_FRAMES = 64
#: Still pictures of a video: its first, middle and last frame.
STILLS = 3

_GRID = 64  # frames are compared on about that many points a side
_LEVELS = 8  # what differs less is noise of the codec
_RESERVOIR = 8


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What one video is.

    Attributes:
        frames: Its frames as they are decoded.
        kept: Its frames at the rate that was asked for.
        fps: Frame rate in Hz; the mean one where it varies.
        seconds: How long it plays.
        variable: Whether some frame appears more than half a frame's time away from where a constant rate has it.
        height: Height of its first frame in pixels.
        width: Width of its first frame in pixels.
        alpha: Whether its frames have transparency.
        moving: The largest share, in [0, 1], of a frame that differs from the first frame.
        plain: Whether no frame shows more than one colour.
        repeated: How many frames equal the one before them.
        digest: SHA-256 of all its frames, in hexadecimal; equal for videos whose pixels are equal.
        decode_seconds: Time that decoding it took.
        fit_seconds: Time that bringing one frame to the training size took.
        memory: Bytes of memory that the decoding process had in use.
        stills: First, middle and last frame at the training size, PNG in base64, where pictures were asked for.
        clip: The first clip at the training size, animated WebP in base64, likewise.
    """

    frames: int
    kept: int
    fps: float
    seconds: float
    variable: bool
    height: int
    width: int
    alpha: bool
    moving: float
    plain: bool
    repeated: int
    digest: str
    decode_seconds: float
    fit_seconds: float
    memory: int
    stills: Sequence[str] = ()
    clip: str = ""


@dataclass(frozen=True)
class Surveyed:
    """A video with what was found.

    Attributes:
        source: The video.
        measure: What it is; `None` where it cannot be read.
        reason: Why it cannot be read.
    """

    source: Source
    measure: Measure | None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Every video of a dataset, or of a sample of it, measured.

    Attributes:
        videos: What was found, in the order of the dataset.
        total: How many videos the dataset has; `None` where it is endless, or where only reading all of it could tell.
        geometry: The geometry of the training frames.
        frames: Frames of a training clip.
        stride: Every how many frames of the footage one is taken.
        workers: How many videos were decoded at once.
    """

    videos: Sequence[Surveyed] = field(default_factory=list)
    total: int | None
    geometry: Geometry
    frames: int
    stride: int
    workers: int

    @property
    def span(self) -> int:
        """How many frames of its video a clip takes up."""
        return (self.frames - 1) * self.stride + 1


def survey(
    dataset: Dataset,
    sources: Sequence[Source],
    geometry: Geometry,
    *,
    frames: int,
    stride: int = 1,
    blueprint: Blueprint | None = None,
    limit: int | None = None,
    pictures: int = 0,
    labels: bool = True,
    workers: int | None = None,
    patience: float = 10.0,
    progress: Progress | None = None,
) -> Survey:
    """Decodes videos and measures them.

    Args:
        dataset: Where they come from.
        sources: Its videos; unused for what is read as it comes.
        geometry: The training frames.
        frames: Frames of a training clip.
        stride: Every how many frames one is taken.
        blueprint: What worker processes make the dataset from; without it, threads of this process decode.
        limit: Measure at most so many videos: evenly chosen, or the first ones of what is read as it comes.
        pictures: Of how many usable videos pictures are made; evenly chosen.
        labels: Whether the labels of the videos count; otherwise they are left out.
        workers: How many videos are decoded at once; by default one a core.
        patience: Seconds without a frame after which a video is given up.
        progress: Called as `progress(done, total, name)` after each video.
    """
    arguments = {"geometry": geometry.to_dict(), "frames": frames, "stride": stride}
    videos: list[Surveyed]
    total: int | None
    if dataset.access == "pipe":
        if limit is None:
            raise ValueError("what is read as it comes needs a limit")
        videos = list(_as_they_come(dataset, arguments, limit, pictures, progress))
        total, count = (len(videos) if len(videos) < limit else None), 1
    else:
        chosen = [sources[place] for place in spread(len(sources), limit)]
        total = len(sources) if len(sources) <= ENDLESS else None
        with Workers(dataset, blueprint, workers, patience) as pool:
            videos = _measured(pool, chosen, arguments, pictures, progress)
            videos = _with_pictures(pool, videos, arguments, pictures)
            count = pool.count
    if not labels:
        videos = [replace(video, source=replace(video.source, label=None)) for video in videos]
    return Survey(videos=videos, total=total, geometry=geometry, frames=frames, stride=stride, workers=count)


def spread(total: int, limit: int | None) -> Sequence[int]:
    """At most `limit` of the numbers in [0, total), evenly apart, each once."""
    if limit is None or limit >= total:
        return range(total)
    return [place * total // limit for place in range(limit)]


def _measured(
    pool: Workers, sources: Sequence[Source], arguments: dict[str, Any], pictures: int, progress: Progress | None
) -> list[Surveyed]:
    pictured = set(spread(len(sources), pictures))
    jobs = ((source, {**arguments, "pictures": place in pictured}) for place, source in enumerate(sources))
    found = []
    for outcome in pool.run("gadkit.survey.measure:measure", jobs):
        found.append(_surveyed(outcome))
        if progress is not None:
            progress(len(found), len(sources), outcome.source.name)
    return found


def _with_pictures(pool: Workers, videos: list[Surveyed], arguments: dict[str, Any], pictures: int) -> list[Surveyed]:
    """Pictures of other videos, where those that were chosen cannot be read."""
    readable = [place for place, video in enumerate(videos) if video.measure is not None]
    bare = [place for place in readable if not _picture(videos[place])]
    missing = min(pictures, len(readable)) - (len(readable) - len(bare))
    places = [bare[number] for number in spread(len(bare), max(missing, 0))]
    jobs = ((videos[place].source, {**arguments, "pictures": True}) for place in places)
    for place, outcome in zip(places, pool.run("gadkit.survey.measure:measure", jobs), strict=True):
        if outcome.value is not None:
            videos[place] = _surveyed(outcome)
    return videos


def _picture(video: Surveyed) -> str:
    return video.measure.clip if video.measure is not None else ""


def _surveyed(outcome: Outcome) -> Surveyed:
    measured = None if outcome.value is None else Measure(**outcome.value)
    return Surveyed(outcome.source, measured, outcome.reason)


def _as_they_come(
    dataset: Dataset, arguments: dict[str, Any], limit: int, pictures: int, progress: Progress | None
) -> Iterator[Surveyed]:
    for place, (source, footage) in enumerate(itertools.islice(dataset.read(), limit)):
        try:
            value = _measure(footage, {**arguments, "pictures": place < pictures}, lambda: None)
            yield Surveyed(source, Measure(**value))
        except DataError as error:
            yield Surveyed(source, None, str(error))
        if progress is not None:
            progress(place + 1, limit, source.name)


# --- one video -------------------------------------------------------------------------------------------------------


def measure(dataset: Dataset, source: Source, arguments: dict[str, Any], beat: Callable[[], None]) -> dict[str, Any]:
    """The job of `Workers`: the attributes of `Measure` for one video.

    Args:
        dataset: Opens it.
        source: The video.
        arguments: `geometry`, `frames`, `stride`, and whether `pictures` are wanted.
        beat: Called after every frame.

    Raises:
        DataError: It cannot be read.
    """
    return _measure(dataset.open(source), arguments, beat)


def _measure(footage: Footage, arguments: dict[str, Any], beat: Callable[[], None]) -> dict[str, Any]:
    geometry = Geometry(**arguments["geometry"])
    frames, stride = arguments["frames"], arguments["stride"]
    wanted = range(0, stride * min(frames, PICTURE_FRAMES), stride) if arguments["pictures"] else range(0)
    watched = _Watched(footage, beat)
    seen = Footage(fps=footage.fps, timed=iter(watched))
    kept, step = 0, 1
    clip: list[np.ndarray] = []
    reservoir: dict[int, np.ndarray] = {}  # evenly through the video, however long it is
    frame = None
    fitting, fitted = 0.0, 0
    coming = seen.frames if geometry.fps is None else resample(seen, geometry.fps)
    for frame in drawn(coming, geometry.shrink):
        if kept in wanted or kept % step == 0:
            begun = time.perf_counter()
            picture = _fitted(geometry, frame)
            fitting, fitted = fitting + time.perf_counter() - begun, fitted + 1
            if kept in wanted:
                clip.append(picture)
            if kept % step == 0:
                reservoir[kept] = picture
            if len(reservoir) > 2 * _RESERVOIR:
                step *= 2
                reservoir = {place: each for place, each in reservoir.items() if place % step == 0}
        kept += 1
    if frame is None:
        raise DataError("the video has no frames; remove it.")
    value = watched.result() | {"kept": kept, "fit_seconds": fitting / max(fitted, 1)}
    if arguments["pictures"]:
        reservoir[kept - 1] = _fitted(geometry, frame)
        value |= _pictures(clip, reservoir, (geometry.fps or footage.fps) / stride)
    return value


def _fitted(geometry: Geometry, frame: np.ndarray) -> np.ndarray:
    return fit(frame, geometry.height, geometry.width, geometry.background, geometry.fit)


class _Watched:
    """Footage that is measured while somebody else reads it."""

    def __init__(self, footage: Footage, beat: Callable[[], None]) -> None:
        self._footage = footage
        self._beat = beat
        self._times: list[float] = []
        self._digest = hashlib.sha256()
        self._before = b""
        self._first: np.ndarray | None = None
        self._decoding = 0.0
        self._size = (0, 0)
        self._alpha, self._plain, self._repeated, self._moving = False, True, 0, 0.0

    def __iter__(self) -> Iterator[tuple[float, np.ndarray]]:
        begun = time.perf_counter()
        for moment, frame in self._footage.timed:
            self._decoding += time.perf_counter() - begun
            self._watch(moment, frame)
            self._beat()
            yield moment, frame
            begun = time.perf_counter()
        self._decoding += time.perf_counter() - begun

    def _watch(self, moment: float, frame: np.ndarray) -> None:
        height, width = frame.shape[:2]  # smaller than in the file, where the decoder shrank it
        digest = hashlib.sha256(repr(frame.shape).encode())
        digest.update(np.ascontiguousarray(frame).data)
        self._digest.update(digest.digest())
        # Alpha counts as a fourth colour.
        points = frame[:: max(1, height // _GRID), :: max(1, width // _GRID)].astype(np.int16)
        if self._first is None:
            self._first, self._size = points, source_size(frame)
        self._alpha |= frame.shape[2] == 4
        self._plain &= int((points.max((0, 1)) - points.min((0, 1))).max()) <= _LEVELS
        if points.shape != self._first.shape:
            self._moving = 1.0
        else:
            moved = (np.abs(points - self._first) > _LEVELS).any(axis=2).mean()
            self._moving = max(self._moving, float(moved))
        self._repeated += digest.digest() == self._before
        self._before = digest.digest()
        self._times.append(moment)

    def result(self) -> dict[str, Any]:
        """All attributes of `Measure` that do not depend on the geometry."""
        return {
            "frames": len(self._times),
            "fps": self._footage.fps,
            "seconds": self._times[-1] - self._times[0] + 1 / self._footage.fps,
            "variable": _varies(self._times),
            "height": self._size[0],
            "width": self._size[1],
            "alpha": self._alpha,
            "moving": self._moving,
            "plain": self._plain,
            "repeated": self._repeated,
            "digest": self._digest.hexdigest(),
            "decode_seconds": self._decoding,
            "memory": psutil.Process().memory_info().rss,
        }


def _varies(times: Sequence[float]) -> bool:
    """Whether some time lies more than half an interval away from the constant rate through the first and the last."""
    if len(times) < 3:
        return False
    moments = np.array(times) - times[0]
    interval = moments[-1] / (len(times) - 1)
    return bool(np.abs(moments - interval * np.arange(len(times))).max() > 0.5 * interval)


# --- pictures --------------------------------------------------------------------------------------------------------


def _pictures(clip: Sequence[np.ndarray], frames: dict[int, np.ndarray], fps: float) -> dict[str, Any]:
    last = max(frames)
    stills = [_png(frames[_nearest(frames, last * number / (STILLS - 1))]) for number in range(STILLS)]
    return {"stills": stills, "clip": _webp([_small(frame) for frame in clip], fps)}


def _nearest(places: Iterable[int], target: float) -> int:
    return min(places, key=lambda place: abs(place - target))


def _small(frame: np.ndarray) -> np.ndarray:
    """A frame that is no larger than a picture may be."""
    height, width = frame.shape[:2]
    scale = PICTURE_SIDE / max(height, width, PICTURE_SIDE)
    if scale == 1:
        return frame
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS))


def _png(frame: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(_small(frame)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _webp(frames: Iterable[np.ndarray], fps: float) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.webp"
        write_video(path, np.stack(list(frames)), min(max(fps, 0.1), 60.0))
        return base64.b64encode(path.read_bytes()).decode("ascii")
