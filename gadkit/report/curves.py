"""Curves made small enough to draw, and the scales that they are drawn in."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gadkit.pages.numbers import number_text
from gadkit.report.log import Floats, Series, Steps

#: Columns that the steps are divided into where a curve has more points than two for each.
COLUMNS = 400


@dataclass(frozen=True)
class Curve:
    """What is drawn of a series.

    Attributes:
        steps: `(n,)`, the points in order.
        values: float64 `(n,)`.
        parts: `(n,)`, with a new number begins a new line.
        middle: Where columns were formed, the mean of each: its last step, its mean, its lowest and highest value and
            its part, each `(columns,)`; else `None`.
    """

    steps: Steps
    values: Floats
    parts: Steps
    middle: tuple[Steps, Floats, Floats, Floats, Steps] | None = None


def decimated(series: Series, low: int, high: int, columns: int = COLUMNS) -> Curve:
    """The curve of a series whose steps lie from `low` to `high`: of each column its first lowest and highest value.

    Where there are no more than two points for a column, it is all of them.
    """
    steps, values, parts = series.steps, series.values, series.parts
    if len(steps) <= 2 * columns:
        return Curve(steps, values, parts)
    column = np.minimum((steps - low) * columns // max(1, high - low), columns - 1)
    starts = np.flatnonzero(np.diff(column, prepend=-1) | np.diff(parts, prepend=-1))
    sizes = np.diff(starts, append=len(steps))
    lowest, highest = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    group = np.repeat(np.arange(len(starts)), sizes)
    kept = np.union1d(*(_first(group, values == np.repeat(extreme, sizes)) for extreme in (lowest, highest)))
    means = np.clip(np.add.reduceat(values / np.repeat(sizes, sizes), starts), lowest, highest)
    middle = (steps[starts + sizes - 1], means, lowest, highest, parts[starts])
    return Curve(steps[kept], values[kept], parts[kept], middle)


def _first(group: Steps, wanted: np.ndarray) -> Steps:
    """The first index of each group at which something is wanted; groups are in order."""
    there = np.flatnonzero(wanted)
    return there[np.diff(group[there], prepend=-1) > 0]


@dataclass(frozen=True)
class Scale:
    """An axis.

    Attributes:
        name: `linear`, `log`, or `middle`: linear over most values, with the rest beyond the edge.
        low: The value at the bottom.
        high: That at the top, above `low`.
        ticks: Values with their labels, from low to high.
    """

    name: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    def place(self, values: Floats) -> Floats:
        """Where values stand, 0 at the bottom and 1 at the top; those outside at the edges."""
        turn: Callable[[Floats], Floats] = np.log10 if self.name == "log" else np.asarray
        low, high = (float(turn(np.array(edge))) for edge in (self.low, self.high))
        half = turn(values) / 2  # the difference of two large numbers may be none
        return np.clip((half - low / 2) / (high / 2 - low / 2), 0.0, 1.0)


def scales(values: Floats) -> list[Scale]:
    """The scales that suit values, `(n,)` and finite, the best first.

    A logarithmic one where all are positive and the largest is 20 times the least, and first where it is 100 times;
    one of the middle where single values are far outside of the range of the others.
    """
    low, high = float(values.min()), float(values.max())
    found = [_linear("linear", low, high)]
    if low > 0 and high / 20 > low:
        found.insert(0 if high / 100 > low else 1, _logarithmic(low, high))
    if len(values) >= 50:
        inner_low, inner_high = (float(edge) for edge in np.quantile(values, (0.01, 0.99)))
        inner = inner_high - inner_low
        if inner > 0 and (high / 4 - inner_high / 4 > inner or inner_low / 4 - low / 4 > inner):
            margin = 0.2 * inner
            found.append(_linear("middle", max(low, inner_low - margin), min(high, inner_high + margin)))
    return found


def _linear(name: str, low: float, high: float) -> Scale:
    size = max(abs(low), abs(high))
    if high / 4 - low / 4 <= max(2.5e-7 * size, 1e-290):  # one value, but for noise
        pad = max(size / 10, 1e-280) if size else 1.0
        low, high = low - pad, high + pad
    else:
        pad = (high / 20) - (low / 20)
        low, high = (low if low == 0 else low - pad), high + pad
    values = round_numbers(low, high, 4)
    size, step = max(map(abs, values)), values[1] - values[0] if len(values) > 1 else 0.0
    digits = max(4, min(15, 1 + math.ceil(math.log10(size / step)))) if step > 0 and size / step < 1e15 else 4
    return Scale(name, low, high, tuple((value, number_text(value, digits)) for value in values))


def _logarithmic(low: float, high: float) -> Scale:
    low, high = low / 1.15, high * 1.15
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    values: list[float]
    if last - first >= 2:
        every = math.ceil((last - first + 1) / 6)
        values = [float(f"1e{power}") for power in range(first, last + 1, every)]
    else:
        values = [digit * 10.0**power for power in range(first - 1, last + 1) for digit in (1, 2, 5)]
    inside = [value for value in values if low <= value <= high]
    return Scale("log", low, high, tuple((value, number_text(value, 3)) for value in inside))


def round_numbers(low: float, high: float, about: int) -> list[float]:
    """Round numbers, about so many, at equal distances from `low` to `high`; the ends where none can be told apart."""
    raw = (high / about) - (low / about)
    if not raw > 0 or math.isinf(raw):
        return [low]
    power = 10.0 ** math.floor(math.log10(raw))
    step = next((digit * power for digit in (1, 2, 5, 10) if digit * power >= raw * 0.6), raw)
    if not step > 0 or low + step == low or high - step == high:
        return [low, high]
    first, last = math.ceil(low / step), math.floor(high / step)
    found = [number * step for number in range(first, min(last, first + 20) + 1)]
    return [value for value in found if low <= value <= high] or [low, high]


def path(steps: Steps, heights: Floats, parts: Steps, low: int, high: int) -> str:
    """An SVG path in a field of 1000 by 1000 whose y goes down; a new part begins a new line.

    A part of one point is a dot, where lines have round ends.
    """
    across = np.rint((steps - low) * (1000 / max(1, high - low))).astype(int).tolist()
    down = np.rint(1000 - 1000 * heights).astype(int).tolist()
    begins = (np.diff(parts, prepend=-1) != 0).tolist()
    pieces: list[str] = []
    for index, (x, y, new) in enumerate(zip(across, down, begins, strict=True)):
        pieces.append(f"{'M' if new else 'L'}{x},{y}")
        if new and (index + 1 == len(begins) or begins[index + 1]):
            pieces.append("h0")
    return "".join(pieces)


def grid(ticks: Sequence[float]) -> str:
    """An SVG path of level lines at heights from 0 to 1."""
    return "".join(f"M0,{round(1000 - 1000 * tick)}h1000" for tick in ticks)
