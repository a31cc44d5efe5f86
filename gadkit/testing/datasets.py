"""The conformance kit for datasets: does a collection of videos keep the promises of its interface?"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from gadkit.config import plain
from gadkit.data.blueprint import Blueprint
from gadkit.data.worker import pack_source, unpack_source
from gadkit.interfaces.dataset import ENDLESS, Dataset, Location, Source
from gadkit.testing.promises import promise, works
from gadkit.testing.surroundings import surroundings, unshared

_VIDEOS = 3
_FRAMES = 40

Frames = list[tuple[float, np.ndarray]]


def check_dataset(cls: type[Dataset], path: Location = Path(), **settings: Any) -> None:
    """Checks a dataset on some data.

    Its videos have unique names and come in one order, their files are there and their classes known; each opens to
    frames of the promised type and of one size, which stay as they are, with times that never fall; opening again,
    beside another video, from another thread, or from a dataset made anew as a worker process makes it, gives the same
    frames; and every setting is kept under its own name.

    Args:
        cls: The dataset.
        path: Where the data lie; at least one video of them can be read.
        **settings: Its settings.

    Raises:
        AssertionError: What was promised, what happened, how to mend it.
    """
    with unshared(cls), surroundings(cls.__name__):
        _check(cls, path, settings)


def _check(cls: type[Dataset], path: Location, settings: dict[str, Any]) -> None:
    name = cls.__name__
    dataset = cls(path, **settings)
    for setting, parameter in inspect.signature(cls.__init__).parameters.items():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
            promise(
                hasattr(dataset, setting),
                f"{name} keeps each setting under its own name",
                f"it has no attribute {setting!r}",
                f"set self.{setting} in __init__",
            )
    if cls.access == "pipe":
        return
    sources = _some(dataset.sources())
    promise(bool(sources), f"{name} has videos", f"sources() of {path} is empty", "give data that it can read")
    again = _some(cls(path, **settings).sources())
    promise(
        again == sources,
        f"{name} lists its videos in one order",
        f"a second dataset at the same place begins with {[source.name for source in again[:3]]} in place of "
        f"{[source.name for source in sources[:3]]}",
        "sort them by their names",
    )
    names = [source.name for source in sources]
    twice = [each for each in names if names.count(each) > 1]
    promise(
        not twice,
        f"{name} gives every video a name of its own",
        f"{twice[:1]} comes twice",
        "name videos by their paths below the root",
    )
    _check_sources(dataset, sources, name)
    plan = Blueprint(target="module:Class", path=path, settings=plain(settings, "settings"))
    remade = Blueprint.from_json(plan.to_json())
    other = cls(remade.path, **remade.settings)
    with ThreadPoolExecutor(2) as pool:
        for source in sources[:_VIDEOS]:
            read = _read(dataset, source, name)
            sent = unpack_source(pack_source(source))
            promise(
                _same(read, _read(other, sent, name)),
                f"{name} opens {source.name} to the same frames when it is made anew and told the same source",
                "other frames came",
                "let `open` depend on the location, the settings and the source alone",
            )
            beside = sources[-1] if source is not sources[-1] else sources[0]
            promise(
                _same(read, _read_beside(dataset, source, beside)),
                f"{name} can have two videos open at once",
                f"{source.name}, read in turn with {beside.name}, had other frames",
                "share no file position and no buffer between calls of `open`",
            )
            both = list(pool.map(lambda each: _read(dataset, each, name), [source, source]))
            promise(
                all(_same(read, found) for found in both),
                f"{name} can be read from several threads",
                f"two threads that read {source.name} at once got other frames",
                "share no file position and no buffer between calls of `open`",
            )


def _check_sources(dataset: Dataset, sources: Sequence[Source], name: str) -> None:
    """What is said of the videos is true."""
    gone = [file for source in sources for file in source.files if not file.exists()]
    promise(
        not gone,
        f"{name} names the files that a video's frames come from, whose content tells whether a pack is stale",
        f"{[str(file) for file in gone[:1]]} is not there",
        "give existing paths, or none where the frames come from no file",
    )
    odd = [source.name for source in sources if source.name.startswith("/") or {"\\", ".."} & set(_parts(source.name))]
    promise(
        not odd,
        f"{name} gives videos names that are the same on every machine",
        f"{odd[:1]} is no path below the root of the data",
        "name videos by their paths below the root, with / between the parts",
    )
    with works(
        f"{type(dataset).__name__}.accepts says yes or no of any path",
        "return False where there is nothing, and nothing to be read",
    ):
        nowhere = type(dataset).accepts(Path("there", "is", "nothing"))
    promise(
        not nowhere, f"{name} accepts data that there are", "it accepts a path that is not there", "look at the path"
    )
    labels = {source.label for source in sources}
    if len(dataset.sources()) >= ENDLESS or None in labels:
        return
    unknown = sorted(labels - set(dataset.classes()))  # type: ignore[type-var]
    promise(
        not unknown,
        f"{name}.classes names the class of every video",
        f"{unknown[:3]} is not among {list(dataset.classes())[:6]}",
        "leave `classes` to the base class, or name all labels of the sources",
    )


def _parts(name: str) -> list[str]:
    """The parts of a name, and a backslash where it has one."""
    return [*name.split("/"), *("\\" for letter in name if letter == "\\")]


def _read_beside(dataset: Dataset, source: Source, beside: Source) -> Frames:
    """The first frames of a video, each read before the frame of that number of another video."""
    one, other = (dataset.open(each).timed for each in (source, beside))
    pairs = itertools.zip_longest(itertools.islice(one, _FRAMES), itertools.islice(other, _FRAMES))
    return [(pair[0][0], pair[0][1].copy()) for pair in pairs if pair[0] is not None]


def _some(sources: Sequence[Source]) -> list[Source]:
    return [sources[place] for place in range(min(len(sources), 100))]


def _read(dataset: Dataset, source: Source, name: str) -> Frames:
    """The first frames of a video, each checked."""
    footage = dataset.open(source)
    promise(
        0 < footage.fps < 1e6,
        f"{name} tells the frame rate of {source.name} in Hz",
        f"fps is {footage.fps}",
        "give the mean rate, 25 where the data tell none",
    )
    frames: Frames = []
    before: np.ndarray | None = None
    for time, frame in itertools.islice(footage.timed, _FRAMES):
        fits = (
            isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] in (3, 4)
        )
        promise(
            fits,
            f"{name} gives frames as uint8 (H, W, 3), or (H, W, 4) with alpha",
            f"a frame of {source.name} is {getattr(frame, 'dtype', type(frame).__name__)} {np.shape(frame)}",
            "convert frames before they are given",
        )
        promise(
            not frames or time >= frames[-1][0],
            f"{name} gives times that never fall",
            f"frame {len(frames)} of {source.name} has the time {time} after {frames[-1][0] if frames else 0}",
            "give frames in the order of their presentation",
        )
        promise(
            not frames or frame.shape == frames[0][1].shape,
            f"{name} gives the frames of a video in one size",
            f"frame {len(frames)} of {source.name} is {frame.shape} after {frames[0][1].shape if frames else ()}",
            "bring them to the size of the first, or raise gadkit.DataError",
        )
        promise(
            before is None or np.array_equal(before, frames[-1][1]),
            f"{name} leaves a frame as it is once it was given: the one before is held while the next is read",
            f"frame {len(frames) - 1} of {source.name} changed when the next one was read",
            "give an array of its own for every frame, or a copy",
        )
        before = frame
        frames.append((time, frame.copy()))
    promise(bool(frames), f"{name} has frames in {source.name}", "there is none", "raise gadkit.DataError instead")
    return frames


def _same(one: Frames, other: Frames) -> bool:
    return len(one) == len(other) and all(
        time == moment and np.array_equal(frame, picture)
        for (time, frame), (moment, picture) in zip(one, other, strict=True)
    )
