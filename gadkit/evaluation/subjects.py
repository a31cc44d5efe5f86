"""What is measured: the videos of a model, or those of a file, folder or pack."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import Tensor

from gadkit.data.cache import Progress, prepare
from gadkit.data.index import read_index
from gadkit.data.store import ClipStore, Skipped, Store
from gadkit.data.stream import open_stream
from gadkit.errors import ConfigError, DataError
from gadkit.evaluation.clips import ClipList, choose_clips, first_frames, whole
from gadkit.evaluation.protocol import ProtocolSettings
from gadkit.evaluation.resizing import resize
from gadkit.interfaces.dataset import ENDLESS, Source
from gadkit.runs.model import Model, Refine
from gadkit.runs.opening import Opened
from gadkit.runs.stores import select_split
from gadkit.video.geometry import Geometry
from gadkit.weights.state import digest


class Subject(ABC):
    """Videos to be measured.

    Attributes:
        name: What they are called where they are shown.
        content: What tells them from others: a hash.
        kept: Whether `content` tells everything, so that what was found of these videos holds for all of that content.
    """

    name: str
    content: str
    kept: bool = True

    @property
    def called(self) -> str:
        """The name with the part of it that is meant."""
        return self.name

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """H and W in pixels of the clips that `read` gives, once `open` was called."""

    @abstractmethod
    def choose(self, settings: ProtocolSettings, generated: bool) -> ClipList:
        """The clips that a protocol takes."""

    @abstractmethod
    def read(self, clips: ClipList, settings: ProtocolSettings) -> Tensor:
        """Clips as uint8 `(B, T, 3, H, W)`."""

    @abstractmethod
    def listed(self, clips: ClipList, settings: ProtocolSettings) -> list[Any]:
        """The clips in plain values, so that others can take the same."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """What a manifest says of them."""


class ModelSubject(Subject):
    """What a model makes: video number n of the protocol's seed, from its first frame on.

    A model that is judged makes the videos from number 0 on, and one that others are judged against those that follow:
    two models, or a model and itself, are not compared by the same random numbers.

    Args:
        model: The model.
        name: Where it was found.
        step: The step of the training that it comes from.
        refine: How its latents are refined; see `gadkit.Model.stream`.
        truncation: What its normals are multiplied by; see `gadkit.runs.sampling.Variation`.
    """

    def __init__(
        self,
        model: Model,
        name: str,
        step: int | None = None,
        refine: Refine | None = None,
        truncation: float = 1.0,
    ) -> None:
        self.model = model
        self.name = name
        self.step = step
        self.refinement = model.refinement(refine)
        self.truncation = truncation
        model.videos(refine=self.refinement or 0, truncation=truncation)  # which fails before anything is measured
        self.kept = False  # its videos are measured once
        states = {"generator": model.generator.state_dict(), "assembler": model.assembler.state_dict()}
        if self.refinement is not None:
            states["discriminator"] = model.discriminator.state_dict()
        weights = digest({f"{part}.{key}": value for part, state in states.items() for key, value in state.items()})
        said = model.document and {key: model.document.get(key) for key in states}
        how: list[Any] = [] if self.refinement is None else [self.refinement.to_dict()]
        if truncation != 1:
            how.append({"truncation": truncation})
        told = json.dumps([weights, said, *how], sort_keys=True, default=str)
        self.content = hashlib.sha256(told.encode()).hexdigest()
        self._side: int | None = None

    def scale(self, settings: ProtocolSettings) -> None:
        """Brings the videos to the protocol's size, where it names one."""
        self._side = settings.resolution or None

    @property
    def size(self) -> tuple[int, int]:
        """See `Subject.size`."""
        return (self.model.video.height, self.model.video.width) if self._side is None else (self._side, self._side)

    def choose(self, settings: ProtocolSettings, generated: bool) -> ClipList:
        """See `Subject.choose`."""
        longest = self.model.longest
        if longest is not None and settings.span > longest:
            raise ConfigError(
                f"protocol.frames: found {settings.frames} with stride {settings.stride}, so {settings.span} frames "
                f"of a video, but the generator of {self.name} makes {longest}; lower --frames or --stride."
            )
        return whole(settings.clips) if generated else whole(settings.real_clips or settings.clips, settings.clips)

    def read(self, clips: ClipList, settings: ProtocolSettings) -> Tensor:
        """See `Subject.read`."""
        seed, stride = settings.seed, settings.stride
        how: Any = {"refine": self.refinement or 0, "truncation": self.truncation}
        made = [
            self.model.sample(1, settings.span, seed, first=number, **how)[:, ::stride]
            for number in clips.videos.tolist()
        ]
        video = torch.cat(made).cpu()
        video = video.expand(-1, -1, 3, -1, -1) if video.shape[2] == 1 else video
        return video if self._side is None else resize(video, self._side, settings)

    def listed(self, clips: ClipList, settings: ProtocolSettings) -> list[Any]:
        """See `Subject.listed`."""
        return [{"seed": settings.seed, "number": number} for number in clips.videos.tolist()]

    def to_dict(self) -> dict[str, Any]:
        """See `Subject.to_dict`."""
        told: dict[str, Any] = {"kind": "model", "name": self.name, "content": self.content, "step": self.step}
        if self.refinement is not None:
            told["refined"] = self.refinement.to_dict()
        if self.truncation != 1:
            told["truncation"] = self.truncation
        return told


@dataclass(frozen=True, kw_only=True)
class Split:
    """A part of a data set, as a run divides it.

    Attributes:
        part: `held-out` or `training`.
        group: What stays together.
        fraction: The share that is held out.
    """

    part: str
    group: str
    fraction: float


class DataSubject(Subject):
    """Videos of a data set. `open` is called before anything else.

    Args:
        opened: The data set.
        name: Where it lies.
        split: The part of it that is meant; `None` for all.
        geometry: Size, rate and fit, where they are a run's data.
        stride: Every how many frames a run takes one, beside what the protocol says.
    """

    def __init__(
        self,
        opened: Opened,
        name: str,
        *,
        split: Split | None = None,
        geometry: Geometry | None = None,
        stride: int = 1,
    ) -> None:
        if opened.dataset.access == "pipe":
            raise DataError(
                f"{name}: a pipe gives its videos once, in an order of its own, so a number could not be measured "
                "again; pack it first with `gadkit data pack`."
            )
        self.name = name
        self._opened = opened
        self._split = split
        self._geometry = geometry
        self._stride = stride
        self._store: Store | None = None
        self._decoded: Geometry | None = None
        self._side: int | None = None

    @property
    def called(self) -> str:
        """See `Subject.called`."""
        return self.name if self._split is None else f"the {self._split.part} videos of {self.name}"

    @property
    def store(self) -> Store:
        """The videos."""
        assert self._store is not None, "open it first"
        return self._store

    @property
    def rate(self) -> float:
        """Frames a second of the clips."""
        return self.store.fps / self._stride

    def native(self) -> tuple[int, int]:
        """H and W of the videos as they are, told by the first that can be read, or of the run's clips."""
        if self._geometry is not None:
            return self._geometry.height, self._geometry.width
        opened = self._opened
        if opened.dataset.pack is not None:
            geometry = read_index(opened.dataset.pack).geometry
            return geometry.height, geometry.width
        fault: Exception | None = None
        for source in opened.sources[:100]:
            try:
                frame = next(iter(opened.dataset.open(source).frames))
                return frame.shape[0], frame.shape[1]
            except (DataError, StopIteration) as error:
                fault = fault or error
        raise DataError(f"{self.name}: none of its first videos can be read ({fault}); see `gadkit data inspect`.")

    def open(self, settings: ProtocolSettings, height: int, width: int, progress: Progress | None = None) -> None:
        """Decodes the videos, where that was not done before.

        Args:
            settings: Of the protocol.
            height: H of the clips.
            width: W.
            progress: Told how far it is.

        Raises:
            DataError: Nothing can be used, or the sizes do not fit.
        """
        span = self.span(settings)
        later = settings.resize != "lanczos" and (height, width) != (native := self.native())
        if later:
            self._side = height
            height, width = native
        own = self._geometry or Geometry(height=height, width=width, fit=settings.fit)
        geometry = replace(own, height=height, width=width, fps=settings.fps or own.fps)
        dataset, sources = self._opened.dataset, self._opened.sources
        store: Store
        if dataset.access == "pack":
            packed = prepare(
                dataset, sources, geometry, min_frames=span, blueprint=self._opened.blueprint, progress=progress
            )
            packed.skipped = [*(Skipped(name, reason) for name, reason in dataset.faults()), *packed.skipped]
            if self._geometry is None and (later or not settings.resolution):
                self._check_sizes(packed, settings)
            if self._split is not None and self._split.fraction:
                training, held = packed.split(self._split.group, self._split.fraction)
                packed = held if self._split.part == "held-out" else training
            store = packed
        else:
            if self._split is not None and self._split.fraction:
                sources = select_split(sources, self._split.group, self._split.fraction, self._split.part)
            store = open_stream(dataset, sources, geometry, min_frames=span)
            store.content = self._told(sources)
            self.kept = self._opened.blueprint is not None and not isinstance(self._opened.blueprint.path, str)
        self._store, self._decoded = store, geometry
        # the names, because parts of a set have the content of the whole
        names = store.names if isinstance(store, ClipStore) else []
        identity = [store.content, names, geometry.to_dict(), self._stride]
        self.content = hashlib.sha256(json.dumps(identity).encode()).hexdigest()

    def _told(self, sources: Sequence[Source]) -> str:
        """What tells the videos of a stream from others, without reading them: a hash."""
        entry, files = self._opened.entry, []
        names = [source.name for source in sources] if len(sources) <= ENDLESS else []
        for file in dict.fromkeys(file for source in sources for file in source.files) if names else ():
            with contextlib.suppress(OSError):  # who opens the video says that it is gone
                files.append([file.name, file.stat().st_size, file.stat().st_mtime_ns])
        told = [entry.qualified, entry.version, entry.sha256, dict(self._opened.settings), names, files]
        return hashlib.sha256(json.dumps(told, default=str).encode()).hexdigest()

    def _check_sizes(self, store: ClipStore, settings: ProtocolSettings) -> None:
        """Frames "as they are" have one size."""
        sizes = sorted(set(store.sizes))
        if len(sizes) > 1:
            first, last = (f"{width}×{height}" for height, width in (sizes[0], sizes[-1]))
            raise DataError(
                f"{self.name}: its videos have {len(sizes)} sizes, from {first} to {last}, and this protocol takes "
                f"frames as they are{'' if settings.resize == 'lanczos' else ' before it resizes them'}; bring them to "
                "one size with --resolution SIDE --resize lanczos."
            )

    def span(self, settings: ProtocolSettings) -> int:
        """Frames of a video that a clip takes up."""
        return (settings.frames - 1) * settings.stride * self._stride + 1

    @property
    def size(self) -> tuple[int, int]:
        """See `Subject.size`."""
        side = self._side
        return (self.store.height, self.store.width) if side is None else (side, side)

    def choose(self, settings: ProtocolSettings, generated: bool) -> ClipList:
        """See `Subject.choose`."""
        return choose_clips(self.store, settings, span=self.span(settings), generated=generated)

    def read(self, clips: ClipList, settings: ProtocolSettings) -> Tensor:
        """See `Subject.read`."""
        times = torch.arange(settings.frames).expand(len(clips), -1) * (settings.stride * self._stride)
        frames, _ = self.store.clips(clips.videos, clips.places, times, self.span(settings))
        video = frames.permute(0, 1, 4, 2, 3)
        return video if self._side is None else resize(video, self._side, settings)

    def listed(self, clips: ClipList, settings: ProtocolSettings) -> list[Any]:
        """See `Subject.listed`."""
        store = self.store
        if not isinstance(store, ClipStore):
            return [
                {"number": number, "place": place}
                for number, place in zip(clips.videos.tolist(), clips.places.tolist(), strict=True)
            ]
        first = first_frames(clips.places, store.lengths[clips.videos], self.span(settings)).tolist()
        return [
            {"video": store.names[number], "first": frame}
            for number, frame in zip(clips.videos.tolist(), first, strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """See `Subject.to_dict`."""
        split = "all" if self._split is None else self._split.part
        told: dict[str, Any] = {"kind": "data", "name": self.name, "content": self.content, "split": split}
        if self._decoded is not None:
            told |= {name: value for name, value in self._decoded.to_dict().items() if value is not None}
        if self._stride != 1:
            told["stride"] = self._stride
        if len(self.store) <= ENDLESS:
            told |= {"videos": len(self.store), "left out": len(self.store.skipped)}
        return told


def batches(subject: Subject, clips: ClipList, settings: ProtocolSettings) -> Iterator[Tensor]:
    """All clips in order, a few at a time: as many as keep the pixels small beside the networks."""
    height, width = subject.size
    size = max(1, min(_BATCH, _BATCH_BYTES // (settings.frames * 3 * height * width)))
    for start in range(0, len(clips), size):
        part = ClipList(clips.videos[start : start + size], clips.places[start : start + size])
        yield subject.read(part, settings)


_BATCH = 16
_BATCH_BYTES = 64 << 20


def shown(path: str | Path) -> str:
    """A place as a manifest names it, so that it says nothing about the machine: the end of what somebody typed.

    Of a URL it is what stands before a query, without a user's name and password.
    """
    text = str(path)
    if "://" in text:
        place = urlsplit(text)
        return f"{place.scheme}://{place.netloc.rpartition('@')[2]}{place.path}"
    typed = Path(text)
    parts = [part for part in typed.parts if part != ".."]
    if typed.is_absolute() or not parts:
        return Path(os.path.abspath(typed)).name or "/"
    return "/".join(parts[-2:])
