"""The curves of a run as charts: SVG that any browser shows, with its numbers in tables beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from gadkit.pages.document import plain
from gadkit.pages.numbers import number_text
from gadkit.report.curves import Curve, Scale, decimated, grid, path, round_numbers, scales
from gadkit.report.log import Floats, Log, Series, Steps, costs
from gadkit.report.words import told
from gadkit.runs.folder import COSTS

#: The most charts of a page, and curves of a chart.
CHARTS = 40
_CURVES = 6
_MARKS = 200
#: Curves with what tells each from the others of its chart; nothing for one alone.
Labelled = list[tuple[str, Series]]
_NAMES = {"linear": "linear", "log": "logarithmic", "middle": "without outliers"}


@dataclass(frozen=True)
class Mark:
    """Something on the axis of time: its kind, its step, and what it was."""

    kind: str
    step: int
    text: str


@dataclass
class Axis:
    """The steps that all charts show, and what is marked there.

    Attributes:
        low: The first step.
        high: The last one, above it.
        marks: In any order.
        unit: What is counted there.
    """

    low: int
    high: int
    marks: list[Mark] = field(default_factory=list)
    unit: str = "step"

    def share(self, step: int) -> float:
        """Where a step stands, from 0 to 1."""
        return min(1.0, max(0.0, (step - self.low) / (self.high - self.low)))


def axis_of(log: Log, marks: Sequence[Mark]) -> Axis | None:
    """The axis of a log's values; `None` where there are none."""
    steps = [series.steps for series in log.series.values()]
    if not steps:
        return None
    low, high = min(int(each.min()) for each in steps), max(int(each.max()) for each in steps)
    low = 0 if low <= high / 2 else low
    return Axis(low, max(high, low + 1), list(marks))


def charts(log: Log, axis: Axis, together: int = _CURVES) -> str:
    """HTML of all of a log's values, those of evaluations first, then by the first part of their names.

    Args:
        log: The log.
        axis: What all of them are drawn over.
        together: The most curves of a chart.
    """
    values = {name: series for name, series in log.series.items() if name not in COSTS} | costs(log)
    pieces = [
        (title, curves[start : start + together])
        for title, curves in _grouped(values)
        for start in range(0, len(curves), together)
    ]
    figures = "".join(_chart(number, title, curves, axis) for number, (title, curves) in enumerate(pieces[:CHARTS]))
    left_out = sum(len(curves) for _, curves in pieces[CHARTS:])
    more = f'<p class="soft">and {left_out:,} more values that are not shown</p>' if left_out else ""
    odd = ", ".join(f"{told(name, 60)} ({count:,})" for name, count in list(log.unfinite.items())[:20])
    odd = f'<p class="soft">Left out because they are no finite numbers: {odd}.</p>' if odd else ""
    return f'<div class="charts">{figures}</div>{more}{odd}' if figures else odd


def _grouped(values: Mapping[str, Series]) -> Iterator[tuple[str, Labelled]]:
    """Titles of charts with their labelled curves: names that begin alike share one, each evaluation has its own."""
    heads: dict[str, list[str]] = {}
    for name in sorted(values, key=lambda name: "[" not in name):
        heads.setdefault(name if "[" in name else name.partition("/")[0], []).append(name)
    for head, names in heads.items():
        if len(names) == 1:
            yield names[0], [("", values[names[0]])]
        else:
            yield head, [(name.removeprefix(f"{head}/") or name, values[name]) for name in names]


def timeline(axis: Axis) -> str:
    """HTML of the axis with its marks, which says what they are."""
    kinds = [kind for kind in MARKS if any(mark.kind == kind for mark in axis.marks)]
    if not kinds:
        return ""
    shown = [mark for kind in kinds for mark in [m for m in axis.marks if m.kind == kind][-_MARKS:]]
    marks = "".join(
        f'<span class="mark {mark.kind}" style="left:{100 * axis.share(mark.step):.2f}%"'
        f' title="{told(f"step {mark.step:,}: {mark.text}", 200)}"></span>'
        for mark in shown
    )
    key = "".join(f'<span class="whole"><span class="mark {kind}"></span> {MARKS[kind]}</span>' for kind in kinds)
    words = ", ".join(f"{sum(m.kind == kind for m in axis.marks):,} × {MARKS[kind]}" for kind in kinds)
    return (
        f'<div class="timeline"><div class="track" role="img" aria-label="{plain(words)}">{marks}</div>'
        f'{_steps(axis)}</div><p class="key soft">{key}</p>'
    )


#: The kinds of marks, and what they are called.
MARKS = {
    "checkpoint": "checkpoint",
    "best": "best",
    "warning": "warning",
    "rollback": "went back",
    "event": "other event",
}


def _chart(number: int, name: str, series: Labelled, axis: Axis) -> str:
    curves = [decimated(each, axis.low, axis.high) for _, each in series]
    found = scales(np.concatenate([each.values for _, each in series]))
    title = told(name, 80)
    picks = ""
    if len(found) > 1:
        picks = "".join(
            f'<input type="radio" name="scale-{number}" id="scale-{number}-{place}" class="pick pick-{place}"'
            f"{' checked' if place == 0 else ''}>"
            for place in range(len(found))
        )
        labels = "".join(
            f'<label for="scale-{number}-{place}" class="to-{place}">{_NAMES[scale.name]}</label>'
            for place, scale in enumerate(found)
        )
        picks += f'<div class="scales">{labels}</div>'
    views = "".join(
        f'<div class="view view-{place}">{_view(scale, title, [label for label, _ in series], curves, axis)}</div>'
        for place, scale in enumerate(found)
    )
    rows = "".join(
        _row(index, told(label, 60) or f'<span class="unseen">{title}</span>', each, curve)
        for index, ((label, each), curve) in enumerate(zip(series, curves, strict=True))
    )
    head = (
        f'<tr><th>{"value" if len(series) > 1 else ""}</th><th class="at">last</th><th>lowest</th><th>highest</th></tr>'
    )
    return (
        f'<figure class="chart" data-low="{axis.low}" data-high="{axis.high}"><figcaption>{title}</figcaption>'
        f'{picks}{views}<table class="legend"><thead>{head}</thead><tbody>{rows}</tbody></table></figure>'
    )


def _view(scale: Scale, title: str, names: Sequence[str], curves: Sequence[Curve], axis: Axis) -> str:
    heights = scale.place(np.array([value for value, _ in scale.ticks]))
    labels = "".join(
        f'<span style="bottom:{100 * height:.1f}%">{plain(label)}</span>'
        for height, (_, label) in zip(heights.tolist(), scale.ticks, strict=True)
    )
    lines = "".join(
        f'<path class="{kind}" d="{drawn}"/>' for kind in ("warning", "rollback") if (drawn := _upright(axis, kind))
    )
    for index, curve in enumerate(curves):
        lines += _line(f"curve c{index}", curve.steps, scale.place(curve.values), curve.parts, axis, curve)
        if curve.middle is not None:
            steps, means, _, _, parts = curve.middle
            lines += _line(f"curve mean c{index}", steps, scale.place(means), parts, axis)
    about = (
        f"{title} by {plain(axis.unit)}, {_NAMES[scale.name]} scale{told(': ' * any(names) + ', '.join(names), 300)}"
    )
    return (
        f'<div class="levels" aria-hidden="true">{labels}</div>'
        f'<div class="plot" tabindex="0" role="group" aria-label="{title}, arrow keys go from step to step">'
        f'<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" role="img" aria-label="{about}">'
        f'<path class="grid" d="{grid(heights.tolist())}"/>{lines}</svg></div>{_steps(axis)}'
    )


def _line(kind: str, steps: Steps, heights: Floats, parts: Steps, axis: Axis, curve: Curve | None = None) -> str:
    """A curve; one with few points has dots on it, one whose columns have a mean is the pale band behind that."""
    drawn = path(steps, heights, parts, axis.low, axis.high)
    if curve is not None and curve.middle is not None:
        return f'<path class="{kind} band" d="{drawn}"/>'
    dots = path(steps, heights, np.arange(len(steps)), axis.low, axis.high) if len(steps) <= 30 else ""
    return f'<path class="{kind}" d="{drawn}"/>' + (f'<path class="{kind} dots" d="{dots}"/>' if dots else "")


def _upright(axis: Axis, kind: str) -> str:
    shares = {round(1000 * axis.share(mark.step)) for mark in axis.marks if mark.kind == kind}
    return "".join(f"M{share},0v1000" for share in sorted(shares)[:_MARKS])


def _steps(axis: Axis) -> str:
    ticks = [tick for tick in round_numbers(axis.low, axis.high, 4) if tick == math.floor(tick)]
    labels = "".join(
        f'<span style="left:{100 * axis.share(int(tick)):.2f}%">{_short(int(tick))}</span>' for tick in ticks
    )
    return f'<div class="steps" aria-hidden="true">{labels}</div>'


def _short(step: int) -> str:
    """A round number of steps: `"500"`, `"2k"`, `"1.5M"`."""
    for size, letter in ((10**6, "M"), (10**3, "k")):
        if step >= size:
            return number_text(step / size, 6) + letter
    return str(step)


def _row(index: int, label: str, series: Series, curve: Curve) -> str:
    """A row of the legend, `label` HTML; its curve's points stand in it for whoever reads the chart with a pointer."""
    values = series.values
    if curve.middle is None:
        points = f'data-x="{_numbers(curve.steps)}" data-y="{_numbers(curve.values)}"'
    else:
        steps, means, lows, highs, _ = curve.middle
        points = f'data-x="{_numbers(steps)}" data-y="{_numbers(means)}"'
        points += f' data-from="{_numbers(lows)}" data-to="{_numbers(highs)}"'
    numbers = "".join(
        f'<td class="number">{number_text(float(value))}</td>' for value in (values[-1], values.min(), values.max())
    )
    return f'<tr {points}><th scope="row"><span class="swatch c{index}"></span>{label}</th>{numbers}</tr>'


def _numbers(values: Steps | Floats) -> str:
    if values.dtype.kind == "i":
        return ",".join(map(str, values.tolist()))
    return ",".join(f"{value:.5g}" for value in values.tolist())
