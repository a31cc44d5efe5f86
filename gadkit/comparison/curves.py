"""The curves of a comparison: what every contender logged, on average over its seeds, in one chart for each value."""

from __future__ import annotations

import numpy as np

from gadkit.comparison.plan import Plan
from gadkit.comparison.summary import Row
from gadkit.report.charts import Axis, charts
from gadkit.report.log import Floats, Log, Series, Steps, read_log
from gadkit.report.reading import Files
from gadkit.runs.folder import COSTS

#: Points of a mean over seeds, and the most curves of a chart.
_POINTS = 300
TOGETHER = 12
#: A value over a training: where, and how much.
_Line = tuple[Floats, Floats]


def curves_html(plan: Plan, rows: list[Row]) -> str:
    """HTML of the charts; the axis is the budget's: seconds of training where that is the clock, steps otherwise."""
    by_clock = plan.budget is not None and plan.budget.minutes is not None
    found: dict[str, list[list[_Line]]] = {}
    for place, row in enumerate(rows):
        for name, lines in _lines(row, by_clock).items():
            found.setdefault(name, [[] for _ in rows])[place] = lines
    series: dict[str, Series] = {}
    for name, of_rows in found.items():
        for row, lines in zip(rows, of_rows, strict=True):
            if (mean := _mean(lines)) is not None:
                series[f"{name}/{row.name}"] = mean
    if not series:
        return ""
    high = max(int(each.steps.max()) for each in series.values())
    unit = "seconds of training" if by_clock else "step"
    axis = Axis(0, max(1, high), unit=unit)
    seeds = ", the mean over seeds as far as all of them go" if any(len(row.runs) > 1 for row in rows) else ""
    head = f'<p class="soft">By {unit if by_clock else "steps"}{seeds}.</p>'
    return head + charts(Log(series=series), axis, together=TOGETHER)


def _lines(row: Row, by_clock: bool) -> dict[str, list[_Line]]:
    """What a contender's runs say, by the name of the value: a line for each run."""
    found: dict[str, list[_Line]] = {}
    for run in row.runs:
        if run.curve:
            points = np.array([(seconds if by_clock else step, value) for step, seconds, value in run.curve])
            found.setdefault("quick look at the distance to held-out clips", []).append((points[:, 0], points[:, 1]))
    for run in row.runs:
        log = read_log(Files(run.job.folder))
        clock = log.series.get("seconds")
        if clock is None:
            continue
        for name, series in log.series.items():
            if name in COSTS or "[" in name:
                continue
            at = series.steps.astype(float)
            if by_clock:
                order = np.argsort(clock.steps, kind="stable")
                at = np.interp(at, clock.steps[order], clock.values[order])
            found.setdefault(name.replace("/", " · "), []).append((at, series.values))
    return found


def _mean(lines: list[_Line]) -> Series | None:
    """The mean of lines where all of them are known."""
    lines = [(at, values) for at, values in lines if len(at) and np.isfinite(values).all()]
    if not lines:
        return None
    if len(lines) == 1:
        at, values = _ordered(*lines[0])
    else:
        ready = [_ordered(*line) for line in lines]
        low, high = max(at[0] for at, _ in ready), min(at[-1] for at, _ in ready)
        if high < low:
            return None
        own = np.unique(np.concatenate([at[(at >= low) & (at <= high)] for at, _ in ready]))
        at = own if len(own) <= _POINTS else np.linspace(low, high, _POINTS)
        values = np.mean([np.interp(at, *line) for line in ready], axis=0)
    steps: Steps = np.round(at).astype(np.int64)
    last = np.flatnonzero(np.diff(steps, append=steps[-1] + 1))
    return Series(steps[last], values[last], np.zeros(len(last), np.int64))


def _ordered(at: Floats, values: Floats) -> _Line:
    """A line from left to right; where a run went back, what it did then takes the place of what it had done."""
    at, last = np.unique(at[::-1], return_index=True)
    return at, values[::-1][last]
