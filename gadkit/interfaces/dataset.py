"""Datasets: where clips come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Source:
    """One video of a dataset.

    Attributes:
        name: Unique within the dataset, stable between machines: a path relative to the dataset's root.
        label: The name of its class, or `None`.
        files: The files that its frames come from; their size and time of change tell whether a cache is stale.
    """

    name: str
    label: str | None = None
    files: tuple[Path, ...] = ()


@dataclass(kw_only=True)
class Footage:
    """The frames of one video.

    Attributes:
        fps: Frame rate in Hz.
        frames: Frames in order of presentation, uint8 `(H, W, 3)` in sRGB, or `(H, W, 4)` with straight alpha. Upright,
            at the source's own size. Reading may raise `gadkit.DataError` at any frame.
    """

    fps: float
    frames: Iterator[np.ndarray]


class Dataset(ABC):
    """A collection of videos. Settings are the keyword-only arguments of `__init__`."""

    @classmethod
    def accepts(cls, path: Path) -> bool:
        """Whether this dataset is the right one for `path`, told by a look at it that stays cheap for large trees."""
        return False

    @abstractmethod
    def __init__(self, path: Path) -> None:
        """Opens the dataset at `path`; raises `gadkit.DataError` where there is none."""

    @abstractmethod
    def sources(self) -> Sequence[Source]:
        """The videos, in an order that depends on their names alone. Raises `gadkit.DataError` where there is none."""

    @abstractmethod
    def open(self, source: Source) -> Footage:
        """Opens one video; raises `gadkit.DataError` with the reason where it cannot be read."""
