"""Which weights of an old net fit a new one: by name, and by what the sizes of a layer count.

A tensor of the same name and shape is taken as it is. Of one with other sizes, what both have in common is taken where
the sizes count channels, so that the new net begins with the old one's first channels; the rest is drawn anew. Where a
name does not mean the same layer in both nets, or a size may count something else, the new net keeps its own numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from gadkit.interfaces.spec import VideoSpec
from gadkit.transfer.report import Item, NetTransfer, Shape, What, in_order

_DENSE = (nn.Linear, nn.LayerNorm, nn.Embedding)
_RESIZABLE = (_ConvNd, _NormBase, nn.GroupNorm, *_DENSE)
_PLACE = re.compile(r"\d{1,9}", re.ASCII)


@dataclass(frozen=True)
class Setting:
    """What a net was made for.

    Attributes:
        video: The shape of the clips.
        classes: Names of the classes, in the order of their numbers.
    """

    video: VideoSpec
    classes: Sequence[str]


class NotFinite(ValueError):
    """A tensor of the source holds NaN or infinity; the message is its name."""


@dataclass(frozen=True)
class Matching:
    """What `match` found.

    Attributes:
        report: What became of every tensor.
        state: The new net's state, which it has not been given yet.
    """

    report: NetTransfer
    state: dict[str, Tensor]


def match(kind: str, module: nn.Module, found: Mapping[str, Tensor] | None, before: Setting, now: Setting) -> Matching:
    """Matches the tensors of an old net with those of a new one, which is not changed.

    Args:
        kind: What the net is called.
        module: The new net, on the CPU.
        found: The old net's tensors by name; `None` where the source has no such net.
        before: What the old net was made for.
        now: What the new net is made for.

    Raises:
        NotFinite: A tensor that fits holds NaN or infinity where the new net's own does not.
    """
    state = module.state_dict()
    fresh = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    old = dict(found or {})
    layers = dict(module.named_modules(remove_duplicate=False))
    sizes = {name: value.numel() for name, value in module.named_parameters()}
    moved = displaced(old, fresh)
    loaded, resized, left = [], [], []
    taken = 0
    for name, value in fresh.items():
        if name not in old:
            left.append(_item(name, "left", None, value, "not in the source"))
            continue
        pair = _Pair(name, layers.get(name.rpartition(".")[0]), old, fresh, before, now)
        why = "another place" if name in moved else pair.refusal()
        if why:
            left.append(_item(name, "left", old[name], value, why))
            continue
        state[name], count = pair.merge()
        taken += count if name in sizes else 0
        if pair.whole:
            loaded.append(name)
        else:
            resized.append(_item(name, "resized", old[name], value, "by class" if pair.classes else ""))
    unused = [
        _item(name, "unused", value, None) for name, value in sorted(old.items(), key=_by_name) if name not in fresh
    ]
    report = NetTransfer(
        net=kind,
        found=found is not None,
        loaded=tuple(loaded),
        parameters=taken,
        total=sum(sizes.values()),
        items=(*resized, *left, *unused),
    )
    return Matching(report, state)


def _item(name: str, what: What, old: Tensor | None, new: Tensor | None, why: str = "") -> Item:
    return Item(name=name, what=what, old=_shape(old), new=_shape(new), why=why)


def _shape(value: Tensor | None) -> Shape | None:
    return None if value is None else tuple(value.shape)


class _Pair:
    """A tensor of the new net and that of its name in the old one.

    Args:
        name: The name.
        layer: The module that has it in the new net.
        old: The old net's tensors.
        fresh: The new net's.
        before: What the old net was made for.
        now: What the new net is made for.
    """

    def __init__(
        self,
        name: str,
        layer: nn.Module | None,
        old: Mapping[str, Tensor],
        fresh: Mapping[str, Tensor],
        before: Setting,
        now: Setting,
    ) -> None:
        self._name, self._layer, self._before, self._now = name, layer, before, now
        self._old, self._fresh = old[name], fresh[name]
        stem = name.rpartition(".")[0]
        weight = f"{stem}.weight" if stem else "weight"
        # What a layer's sizes count shows in its weight: a bias follows it.
        self._weights = (old[weight].shape, fresh[weight].shape) if weight in old and weight in fresh else None
        self.classes = self._by_class()
        self.whole = self._old.shape == self._fresh.shape and not self.classes

    def refusal(self) -> str:
        """Why nothing can be taken, in a few words; empty where something can."""
        if self._old.dim() != self._fresh.dim():
            return "other dimensions"
        if self._old.dtype != self._fresh.dtype and not (
            self._old.is_floating_point() and self._fresh.is_floating_point()
        ):
            return f"{_type(self._old)} for {_type(self._fresh)}"
        if self.whole:
            return ""
        if self.classes and not self._rows():
            return "no class of that name"
        old, new = self._old.shape, self._fresh.shape
        if self.classes and old[1:] == new[1:]:
            return ""
        if not isinstance(self._layer, _RESIZABLE):
            return "no list of channels"
        if old[2:] != new[2:]:
            return "another kernel"
        return self._obstacle(*(self._weights or (old, new)))

    def merge(self) -> tuple[Tensor, int]:
        """The new net's tensor, and how many of its numbers are the old one's.

        Raises:
            NotFinite: The old one has numbers that are not finite.
        """
        cast = self._old.to(self._fresh.dtype)
        if not _finite(cast) and not (self.whole and _same(cast, self._fresh)):
            raise NotFinite(self._name)
        if self.whole:
            return cast.clone(), cast.numel()
        merged = self._fresh.clone()
        if self.classes:
            rows, width = self._rows(), min(self._old.shape[1], merged.shape[1])
            merged[list(rows), :width] = cast[list(rows.values()), :width]
            return merged, len(rows) * width
        block = tuple(slice(min(sizes)) for sizes in zip(self._old.shape, merged.shape, strict=True))
        merged[block] = cast[block]
        return merged, math.prod(cut.stop for cut in block)

    def _by_class(self) -> bool:
        """Whether it has a row for each class, and the classes are others."""
        if not isinstance(self._layer, nn.Embedding) or self._old.dim() != 2 or self._fresh.dim() != 2:
            return False
        rows = (len(self._old), len(self._fresh)) == (len(self._before.classes), len(self._now.classes))
        return rows and list(self._before.classes) != list(self._now.classes)

    def _rows(self) -> dict[int, int]:
        """The rows of the classes that both have: those of the new tensor, with those of the old one."""
        numbers = {name: number for number, name in enumerate(self._before.classes)}
        return {row: numbers[name] for row, name in enumerate(self._now.classes) if name in numbers}

    def _obstacle(self, old: Shape, new: Shape) -> str:
        """Why the sizes of a layer's weight may count something else than channels."""
        if old[2:] != new[2:]:
            return "another kernel"
        if isinstance(self._layer, _DENSE):
            return "may count pixels" if self._pixels() else ""
        if isinstance(self._layer, _ConvNd):
            if self._layer.groups > 1 and (old[1], new[1]) != (1, 1):
                return "grouped"
            colours = self._before.video.channels, self._now.video.channels
            for pair in zip(old[:2], new[:2], strict=True):
                if pair[0] != pair[1] and (pair[0] == colours[0]) != (pair[1] == colours[1]):
                    return "a pixel layer in one"
        return ""

    def _pixels(self) -> bool:
        """Whether the clips differ in size."""
        sizes = ((video.frames, video.height, video.width) for video in (self._before.video, self._now.video))
        return next(sizes) != next(sizes)


def displaced(old: Mapping[str, Tensor], new: Mapping[str, Tensor]) -> set[str]:
    """The names in both nets whose numbers count other layers.

    In `nn.Sequential` and `nn.ModuleList` a name is a place, `layers.6.weight`, and a layer that one net has more moves
    all that follow. So places are compared from the first on, and from the first at which the nets have layers of
    different kinds, names mean nothing. Two layers are of a kind where they share a tensor's name and number of
    dimensions, but for biases, which many kinds have; behind the shorter list there is nothing to compare.
    """
    deepest = max((name.count(".") for name in new), default=0)
    lists: dict[str, tuple[dict[int, set[tuple[str, int]]], ...]] = {}
    for side, tensors in enumerate((old, new)):
        for name, value in tensors.items():
            for head, place, rest in _places(name) if name.count(".") <= deepest else ():
                kinds = lists.setdefault(head, ({}, {}))[side].setdefault(place, set())
                if rest.rpartition(".")[2] != "bias":
                    kinds.add((rest, value.dim()))
    ends = {}
    for head, (one, other) in lists.items():
        apart = [place for place in one.keys() | other.keys() if not _alike(one.get(place), other.get(place))]
        ends[head] = min(apart, default=math.inf)
    return {name for name in old.keys() & new.keys() if any(place >= ends[head] for head, place, _ in _places(name))}


def _alike(one: set[tuple[str, int]] | None, other: set[tuple[str, int]] | None) -> bool:
    return one == other or bool((one or set()) & (other or set()))


def _places(name: str) -> list[tuple[str, int, str]]:
    """Where in a name a number stands: what comes before, the number, and what comes behind."""
    parts = name.split(".")
    return [
        (".".join(parts[:index]), int(part), ".".join(parts[index + 1 :]))
        for index, part in enumerate(parts[:-1])
        if _PLACE.fullmatch(part)
    ]


def _finite(value: Tensor) -> bool:
    return bool(_wide(value).isfinite().all())


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether what is not finite is so in both alike, as in a mask of infinities."""
    odd = ~_wide(one).isfinite()
    return bool((_wide(one)[odd] == _wide(other)[odd]).all())


def _wide(value: Tensor) -> Tensor:
    """Numbers of eight bits, for which PyTorch computes little, as float32."""
    return value.float() if value.itemsize == 1 else value


def _by_name(item: tuple[str, Tensor]) -> list[str]:
    return in_order(item[0])


def _type(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")
