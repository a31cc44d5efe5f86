"""Datasets: where clips come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

#: Where data lie: a `Path`, or text where it is a URL, a pattern of several files such as `shard-{000..099}.tar`, or
#: `-` for standard input.
Location = Path | str

#: `"pack"`: decoded once into a pack, from which training reads. `"stream"`: opened again at every visit, for what fits
#: on no machine, or what is made on the fly. `"pipe"`: read once, in its own order.
Access = Literal["pack", "stream", "pipe"]

#: A dataset of more videos than this is taken as endless: nobody walks through its sources.
ENDLESS = 1 << 24


def locate(text: str | Path) -> Location:
    """What a user typed as the place of the data: text for a URL, a pattern or `-`, else an absolute path."""
    if isinstance(text, Path):
        return text.absolute()
    if text == "-" or "://" in text:
        return text
    if "{" in text and not Path(text).exists():
        return str(Path(text).absolute())
    return Path(text).absolute()


@dataclass(frozen=True, kw_only=True)
class Source:
    """One video of a dataset.

    Attributes:
        name: Unique within the dataset, stable between machines: a path relative to the dataset's root.
        label: The name of its class where the dataset itself knows it, or `None`.
        files: The files that its frames come from; their content tells whether a pack is stale.
        locator: Where in those files the video lies, in the dataset's own words, for its `open`: a member of an
            archive, a row of an array. Empty where the files are the video.
        columns: What a table says of it beside its label, by column.
    """

    name: str
    label: str | None = None
    files: tuple[Path, ...] = ()
    locator: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)


class Footage:
    """The frames of one video.

    Frames come in order of presentation as uint8 `(H, W, 3)` in sRGB, or `(H, W, 4)` with straight alpha; upright, at
    the source's own size, the same for all. One that was given stays as it is while later ones are read. Reading them
    may raise `gadkit.DataError` at any frame.

    Args:
        fps: Frame rate in Hz; the mean one where it varies.
        frames: The frames, `1 / fps` apart.
        timed: In place of `frames`: each frame with the time in seconds at which it appears; never falling.
    """

    def __init__(
        self,
        *,
        fps: float,
        frames: Iterator[np.ndarray] | None = None,
        timed: Iterator[tuple[float, np.ndarray]] | None = None,
    ) -> None:
        if (frames is None) == (timed is None):
            raise TypeError("Footage takes either frames or timed")
        self.fps = fps
        self._frames = frames
        self._timed = timed

    @property
    def frames(self) -> Iterator[np.ndarray]:
        """The frames alone. The two views share what they read."""
        if self._frames is not None:
            return self._frames
        assert self._timed is not None
        return (frame for _, frame in self._timed)

    @property
    def timed(self) -> Iterator[tuple[float, np.ndarray]]:
        """Each frame with its time in seconds."""
        if self._timed is not None:
            return self._timed
        assert self._frames is not None
        return ((number / self.fps, frame) for number, frame in enumerate(self._frames))


class Dataset(ABC):
    """A collection of videos. Settings are the keyword-only arguments of `__init__`, each kept under its own name.

    Videos may be decoded in other processes, which make the dataset anew from its location and settings and hand
    `open` an equal `Source`. So `open` depends on nothing else, and is safe to call from several threads.

    Attributes:
        access: How training reads it.
        remote: Whether it takes locations that are text; `accepts` is asked about them only then.
        licence: The licence of the data, where the dataset brings some: a name from the SPDX list, or a sentence.
        homepage: Where the data come from.
        pack: The folder of a pack that holds these videos already, where there is one: it is used as it stands when
            its geometry is the one that is asked for.
    """

    access: ClassVar[Access] = "pack"
    remote: ClassVar[bool] = False
    licence: ClassVar[str] = ""
    homepage: ClassVar[str] = ""
    pack: Path | None = None

    @classmethod
    def accepts(cls, path: Location) -> bool:
        """Whether this dataset is the right one for `path`, told by a look at it that stays cheap for large trees.

        Never for a path at which there is nothing.
        """
        return False

    @classmethod
    def get(cls, folder: Path, progress: Callable[[int, int, str], None] | None = None) -> None:
        """Fetches the data into `folder`, which is new, for `gadkit data get`; what it fetches is checked by hash.

        Args:
            folder: Exists and is empty; what stands in it afterwards is data that some dataset accepts, and a file
                `LICENSE` or `NOTICE`.
            progress: Called as `progress(done, total, what)`.

        Raises:
            gadkit.DataError: It cannot be fetched, or is not what was expected.
        """
        raise NotImplementedError

    @abstractmethod
    def __init__(self, path: Location) -> None:
        """Opens the dataset at `path`; raises `gadkit.DataError` where there is none."""

    @abstractmethod
    def sources(self) -> Sequence[Source]:
        """The videos, in an order that depends on their names alone. Raises `gadkit.DataError` where there is none.

        A dataset that is streamed may return a sequence that makes its items when they are asked for, of any length.
        """

    @abstractmethod
    def open(self, source: Source) -> Footage:
        """Opens one video; raises `gadkit.DataError` with the reason where it cannot be read.

        Args:
            source: One of `sources()`, or an equal one in another process.

        Returns:
            Its frames, which may be read later.

        Raises:
            gadkit.DataError: It cannot be read; with the reason.
        """

    def document(self, name: str) -> str | None:
        """The text of a file that lies at the root of the data, such as `dataset.json`; `None` where there is none.

        Args:
            name: The file's name there.
        """
        path = getattr(self, "path", None)
        if not isinstance(path, Path) or not (path / name).is_file():
            return None
        return (path / name).read_text(encoding="utf-8")

    def faults(self) -> Sequence[tuple[str, str]]:
        """What is damaged before any video is opened, such as a cut archive: names, each with the reason."""
        return ()

    def classes(self) -> Sequence[str]:
        """The names of the classes that the dataset itself knows, in order; by default those of its sources."""
        labels = {source.label for source in self.sources()}
        return [] if None in labels else sorted(label for label in labels if label is not None)

    def read(self) -> Iterator[tuple[Source, Footage]]:
        """For `access = "pipe"`: the videos as they come."""
        raise NotImplementedError
