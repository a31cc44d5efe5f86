"""Metrics: numbers about sets of videos."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, ClassVar, Literal, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.utilities.distributed import gather_all_tensors

from gadkit.errors import DataError


class Summary(Protocol):
    """What a metric remembers of the rows of one side, in memory that does not grow with their number.

    A frozen dataclass whose fields are tensors; an empty one has the same dtypes and numbers of dimensions as any
    other, so that processes can exchange them. Adding and merging give new ones.

    Attributes:
        keyed: Whether `add` reads its keys; they are not worked out otherwise.
    """

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]
    keyed: ClassVar[bool]

    @property
    def count(self) -> Tensor:
        """Rows that were added, an int64 scalar."""

    def add(self, rows: Tensor, keys: Tensor) -> Self:
        """With more rows.

        Args:
            rows: float64 `(N, D)`, finite.
            keys: int64 `(N,)` where `keyed` is set, otherwise `(0,)`: a hash of what each row was made from.
        """

    def merge(self, other: Self) -> Self:
        """As if the other's rows had been added too."""


S = TypeVar("S", bound=Summary)


class VideoMetric(Metric, ABC):
    """A `torchmetrics.Metric` over real and generated videos. Settings are the keyword-only arguments of `__init__`.

    What it accumulates are rows: vectors of clips or of their frames, by default those of a feature network. A
    metric tells in its `__init__`, by `add_summary`, what it remembers of each side, and makes its values of that
    in `compute`; one that accumulates otherwise may override `update`, and use `add_state` as in any other metric.

    States are float64, whatever the metric is converted to, and stay on the CPU where the device has no float64.
    They merge by `Summary.merge`, in `merge_state`, in `forward` and between processes, of which any may have seen
    no clip at all.

    Attributes:
        of: What a row describes: a `clip`, each `frame`, or `any` of the two.
        rows_from: What rows are made of: a feature network's vectors (`features`), its class scores (`logits`), or
            the metric's own `rows` (`pixels`).
        needs_training: Whether it compares with the training clips too, beside the real ones, which then are held out.
        needs_real: Whether it compares with real clips at all.
        fewest: The fewest clips of each side.
        wants_full_rank: Whether fewer clips than dimensions make its value far too high.
        best: Its values by name, each with what is better; `None` for what only helps to read the others.
    """

    of: ClassVar[Literal["clip", "frame", "any"]] = "clip"
    rows_from: ClassVar[Literal["features", "logits", "pixels"]] = "features"
    needs_training: ClassVar[bool] = False
    needs_real: ClassVar[bool] = True
    fewest: ClassVar[int] = 2
    wants_full_rank: ClassVar[bool] = False
    best: ClassVar[Mapping[str, Literal["lowest", "highest"] | None]] = {}

    full_state_update = False
    is_differentiable = False

    def __init__(self, features: nn.Module | None = None, **kwargs: Any) -> None:
        """An empty metric.

        Args:
            features: A `gadkit.Features`, or any module from uint8 video to vectors; `None` where `update` is given
                vectors.
            **kwargs: As for `torchmetrics.Metric`; results are not cached by default, since a process that saw no clip
                since the last result would return that one, while the others wait for it.
        """
        super().__init__(**{"compute_with_cache": False} | kwargs)
        self.features = features
        self._empty: dict[str, Summary] = {}

    def add_summary(self, side: Literal["real", "generated", "training"], empty: Summary) -> None:
        """Remembers a side; clips of sides without a summary are passed over by `update`.

        Args:
            side: Which clips.
            empty: What is remembered of no clip.
        """
        self._empty[side] = empty
        for name, tensor in _tensors(empty).items():
            state = f"{side}_{name}"
            self.add_state(state, tensor.to(self._place))
            del self._reductions[state]  # merged here, together with the others of its summary

    def summary(self, side: str, kind: type[S]) -> S:
        """What is remembered of a side.

        Args:
            side: As `add_summary` was told.
            kind: Its class.
        """
        empty = self._empty[side]
        assert isinstance(empty, kind)
        return _with(empty, {name: getattr(self, f"{side}_{name}") for name in _tensors(empty)})

    def enough(self, fewest: int | None = None) -> None:
        """Refuses to compute from too few rows.

        Args:
            fewest: The fewest of each side; by default the class's.

        Raises:
            DataError: A side has fewer.
        """
        fewest = self.fewest if fewest is None else fewest
        counts = {side: int(self.summary(side, type(empty)).count) for side, empty in self._empty.items()}
        if any(count < fewest for count in counts.values()):
            found = ", ".join(f"{count} {side}" for side, count in counts.items())
            unit = {"clip": "clips", "frame": "frames", "any": "clips or frames"}[self.of]
            raise DataError(
                f"{type(self).__name__}: found {unit}: {found}; expected at least {fewest} of each: add more of them."
            )

    def rows(self, video: Tensor) -> Tensor:
        """What the metric accumulates of videos.

        Args:
            video: uint8 `(B, T, 3, H, W)`.

        Returns:
            `(B, D)`, or `(B, T, D)` for the frames.

        Raises:
            ValueError: The metric was made without a network.
        """
        if self.features is None:
            raise ValueError(f"{type(self).__name__} was made without features: give it vectors, or a network")
        held = next(chain(self.features.parameters(), self.features.buffers()), video)
        with torch.no_grad():
            rows: Tensor = self.features(video.to(held.device))
            return rows if self.rows_from == "features" else self.features.logits(rows)  # type: ignore[operator]

    def update(self, x: Tensor, real: bool, training: bool = False) -> None:
        """Adds clips.

        Args:
            x: uint8 `(B, T, 3, H, W)`, or their rows, floating, `(B, D)` or `(B, T, D)`; for metrics of frames `(N, D)`
                are N frames.
            real: Whether they are real or generated; real ones are passed over where `needs_real` is false.
            training: Whether the real ones are those that the generator was trained on; they are passed over where
                `needs_training` is false.

        Raises:
            ValueError: `x` is of another shape or dtype, or of another D than before.
            DataError: Rows hold NaN or infinity.
        """
        if training and not real:
            raise ValueError("training clips are real ones: give real=True with training=True")
        side = "training" if training else "real" if real else "generated"
        if side in self._empty:
            kind = type(self._empty[side])
            rows, keys = self._prepare(x, kind.keyed)
            self._remember(side, self.summary(side, kind).add(rows, keys))

    @abstractmethod
    def compute(self) -> dict[str, Tensor]:
        """The values by name, float64 scalars; the keys are those of `best`."""

    def set_dtype(self, dst_type: str | torch.dtype) -> Self:
        """Changes nothing: states are float64.

        Args:
            dst_type: Ignored.

        Returns:
            The metric itself.
        """
        return self

    def _prepare(self, x: Tensor, keyed: bool) -> tuple[Tensor, Tensor]:
        """Rows `(N, D)`, float64 where the states lie, and their keys `(N,)`."""
        name = type(self).__name__
        if x.ndim == 5:
            if x.dtype != torch.uint8 or x.shape[2] != 3:
                raise ValueError(f"{name} takes uint8 video (B, T, 3, H, W), found {x.dtype} {tuple(x.shape)}")
            rows = self.rows(x)
        elif x.ndim in (2, 3) and x.is_floating_point():
            rows = x
        else:
            raise ValueError(
                f"{name} takes uint8 video (B, T, 3, H, W) or floating vectors (B, D) or (B, T, D), "
                f"found {x.dtype} {tuple(x.shape)}"
            )
        if self.of == "clip" and rows.ndim != 2:
            raise ValueError(f"{name} takes a vector a clip, (B, D), found {tuple(rows.shape)}")
        content = (x.flatten(0, 1) if rows.ndim == 3 else x) if x.ndim == 5 else None
        rows = rows.detach().reshape(-1, rows.shape[-1]).to(self._place).double()
        if bad := int((~rows.isfinite()).any(1).sum()):
            raise DataError(
                f"{name}: found NaN or infinity in {bad} of {len(rows)} vectors, expected finite numbers: "
                "look at the clips, or at the network that they come from."
            )
        keys = content_keys(rows if content is None else content) if keyed else torch.empty(0, dtype=torch.int64)
        return rows, keys.to(self._place)

    @property
    def _place(self) -> torch.device:
        """Where the states lie."""
        return self._device if has_float64(self._device.type) else torch.device("cpu")

    def _remember(self, side: str, summary: Summary) -> None:
        for name, tensor in _tensors(summary).items():
            setattr(self, f"{side}_{name}", tensor)

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> Self:
        kept = self._computed, self._forward_cache  # results, which stay as they are
        self._computed = self._forward_cache = None
        super()._apply(fn, exclude_state=tuple(self._defaults))
        self._computed, self._forward_cache = kept
        for name, default in self._defaults.items():
            self._defaults[name] = _moved(default, self._place)
            setattr(self, name, _moved(getattr(self, name), self._place))
        return self

    def _reduce_states(self, incoming_state: dict[str, Any]) -> None:
        merged = {}
        for side, empty in self._empty.items():
            theirs = {name: incoming_state[f"{side}_{name}"].to(self._place) for name in _tensors(empty)}
            merged[side] = _with(empty, theirs).merge(self.summary(side, type(empty)))
        defaults = self._defaults
        self._defaults = {name: default for name, default in defaults.items() if name in self._reductions}
        try:
            super()._reduce_states(incoming_state)
        finally:
            self._defaults = defaults
        for side, summary in merged.items():
            self._remember(side, summary)
        self._computed, self._update_count = None, max(1, self._update_count)

    def _sync_dist(
        self, dist_sync_fn: Callable[..., list[Tensor]] = gather_all_tensors, process_group: Any | None = None
    ) -> None:
        super()._sync_dist(dist_sync_fn, process_group)
        group = process_group or self.process_group
        for side, empty in self._empty.items():
            gathered = {name: dist_sync_fn(getattr(self, f"{side}_{name}"), group=group) for name in _tensors(empty)}
            parts = (dict(zip(gathered, tensors, strict=True)) for tensors in zip(*gathered.values(), strict=True))
            whole = functools.reduce(lambda one, other: one.merge(other), (_with(empty, part) for part in parts))
            self._remember(side, whole)


def content_keys(content: Tensor) -> Tensor:
    """A hash of each entry's bytes, the same on every machine: equal entries have equal keys.

    Args:
        content: `(N, ...)`, uint8 or float64.

    Returns:
        int64 `(N,)`: the first 8 bytes, little-endian, of BLAKE2b.
    """
    array = content.detach().cpu().contiguous().numpy()
    if content.is_floating_point():
        array = (array + 0.0).astype("<f8")  # -0.0 is 0.0
    digests = b"".join(hashlib.blake2b(entry, digest_size=8).digest() for entry in array)
    return torch.from_numpy(np.frombuffer(digests, "<i8").astype(np.int64))


@functools.cache
def has_float64(device_type: str) -> bool:
    """Whether devices of a type, such as `"mps"`, compute in float64."""
    try:
        torch.zeros(1, dtype=torch.float64, device=device_type)
    except (RuntimeError, TypeError):
        return False
    return True


def _tensors(summary: Summary) -> dict[str, Tensor]:
    return {field.name: getattr(summary, field.name) for field in dataclasses.fields(summary)}


def _with(empty: S, tensors: Mapping[str, Tensor]) -> S:
    return dataclasses.replace(empty, **tensors)


def _moved(state: Tensor | list[Tensor], device: torch.device) -> Tensor | list[Tensor]:
    return state.to(device) if isinstance(state, Tensor) else [entry.to(device) for entry in state]
