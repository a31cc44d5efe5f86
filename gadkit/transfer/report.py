"""What became of the weights of an old model in new nets, as a table and as a document."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from gadkit.words import count_text, printable

#: Lines about single tensors, over all nets, and the width that no line of the table exceeds.
MOST = 10
WIDTH = 80

_COLUMNS = ("loaded", "parameters", "resized", "left", "unused")
_WIDTHS = (6, 28, 7, 5, 6)
_LABEL = 14
_NAME = 16  # what a tensor's name has at least

Shape = tuple[int, ...]
What = Literal["resized", "left", "unused"]
_WHATS: tuple[What, ...] = ("resized", "left", "unused")


@dataclass(frozen=True, kw_only=True)
class Item:
    """A tensor that was not simply loaded.

    Attributes:
        name: Its name in the net.
        what: `resized`, a part of it comes from the source; `left`, it keeps its fresh numbers; `unused`, only the
            source has it.
        old: Its shape in the source; `None` where it is not there.
        new: Its shape in the new net; `None` where it is not there.
        why: The reason, in a few words; empty where the shapes say it.
    """

    name: str
    what: What
    old: Shape | None
    new: Shape | None
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class NetTransfer:
    """What became of one net.

    Attributes:
        net: Its kind.
        found: Whether the source has it at all.
        loaded: Names of the tensors that are the source's as a whole.
        parameters: How many trained numbers come from the source.
        total: How many the net has.
        items: The other tensors: the resized ones, those that were left, those that are unused.
    """

    net: str
    found: bool
    loaded: tuple[str, ...]
    parameters: int
    total: int
    items: tuple[Item, ...]

    def count(self, what: What) -> int:
        """How many tensors were `resized`, `left` or `unused`."""
        return sum(item.what == what for item in self.items)


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """What a new run took from an old model.

    Attributes:
        source: The run or model, as it was asked for.
        place: What was read: of a run the checkpoint's folder, else the source.
        step: The step at which its weights were saved.
        files: SHA-256 of each of its files, by name.
        nets: What became of each net.
        warnings: Sentences about checkpoints that were passed over.
    """

    source: str
    place: str
    step: int
    files: dict[str, str]
    nets: tuple[NetTransfer, ...]
    warnings: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON has it, with every tensor."""
        return {
            "source": self.source,
            "place": self.place,
            "step": self.step,
            "sha256": self.files,
            "nets": {net.net: _document(net) for net in self.nets},
            "warnings": list(self.warnings),
        }

    def lines(self) -> list[str]:
        """The table, in lines of at most `WIDTH` characters: each net, and the first of its tensors that differ."""
        lines = [
            f"{'begins with':<{_LABEL}} " + _clip(f"{printable(self.source)}, step {self.step}", WIDTH - _LABEL - 1),
            _row("", _COLUMNS),
        ]
        lines += [_row(net.net, _cells(net)) for net in self.nets]
        some = [net for net in self.nets if _listed(net)]
        for net in some:
            lines += _details(net, MOST // len(some))
        return lines


def _document(net: NetTransfer) -> dict[str, Any]:
    kept: dict[str, Any] = {"loaded": list(net.loaded), "parameters": net.parameters, "of": net.total}
    for what in _WHATS:
        kept[what] = [
            {"name": item.name, "old": _listing(item.old), "new": _listing(item.new), "why": item.why}
            for item in net.items
            if item.what == what
        ]
    return kept


def _listing(shape: Shape | None) -> list[int] | None:
    return None if shape is None else list(shape)


def _cells(net: NetTransfer) -> list[str]:
    share = f"{net.parameters:,} of {net.total:,}"
    return [str(len(net.loaded)), share, *(str(net.count(what)) for what in _WHATS)]


def _row(label: str, cells: Iterable[str]) -> str:
    return f"{_clip(label, _LABEL):<{_LABEL}} " + " ".join(
        f"{cell:>{width}}" for cell, width in zip(cells, _WIDTHS, strict=True)
    )


def _listed(net: NetTransfer) -> Sequence[Item]:
    """The tensors worth a line: none of a net that the source does not have."""
    return net.items if net.found else net.items[:1]


def _details(net: NetTransfer, most: int) -> list[str]:
    if not net.found:
        return [f"  left    {net.net}: new, the source has none"]
    items = _listed(net)
    lines = [_detail(net.net, item) for item in items[:most]]
    if len(items) > most:
        lines.append(f"          and {count_text(len(items) - most, 'tensor')} more of the {net.net}")
    return lines


def _detail(net: str, item: Item) -> str:
    shapes = " → ".join(shape_text(shape) for shape in (item.old, item.new) if shape is not None)
    head = f"  {item.what:<7} "
    said = f"  {shapes}" + (f", {item.why}" if item.why else "")
    said = said if len(said) <= WIDTH - len(head) - _NAME else said[: WIDTH - len(head) - _NAME - 1] + "…"
    return head + _clip(f"{net}.{printable(item.name)}", WIDTH - len(head) - len(said)) + said


def shape_text(shape: Shape) -> str:
    """A shape as people write it: `128×64×4×4`."""
    return "×".join(map(str, shape)) or "a number"


def in_order(name: str) -> list[str]:
    """A key that sorts tensors' names as people count: `layers.9` before `layers.10`."""
    return [part.zfill(9) if part.isdigit() else part for part in name.split(".")]


def _clip(text: str, width: int) -> str:
    """The end of a text that is too long, which tells names apart."""
    return text if len(text) <= width else "…" + text[1 - width :]
