"""A run's log as curves and events: fast for many lines, and of hurt ones whatever can be read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gadkit.report.reading import Files, lines_of, objects_of
from gadkit.runs.attempt import ROLLBACK
from gadkit.runs.folder import LOG

#: Bytes of a log that are read, events that are kept, and the most names of a line and columns of blocks.
MOST_BYTES = 128 << 20
MOST_EVENTS = 2000
_NAMES = 1000
_COLUMNS = 100_000
#: A log that goes back more often than this is put in order by its steps.
_CUTS = 200
_LAST_STEP = 1 << 53
#: Beyond this, numbers are no measurements, and differences of two of them no numbers.
_LARGEST = 1e300

Floats = NDArray[np.float64]
Steps = NDArray[np.int64]


@dataclass(frozen=True)
class Series:
    """The values of one name, in the order of the log.

    Attributes:
        steps: `(n,)`.
        values: float64 `(n,)`, finite.
        parts: `(n,)`: the number of the stretch that each belongs to; with a new one the run went back.
    """

    steps: Steps
    values: Floats
    parts: Steps


@dataclass(frozen=True)
class Event:
    """Something that happened: the step that it stands at, its name, its text, and where the trouble was, if there."""

    step: int
    name: str
    text: str
    trouble: int | None = None


@dataclass
class Log:
    """What a log says.

    Attributes:
        series: Name to values; `seconds` and `waited` are among them.
        events: In order.
        unfinite: Name to how many of its values were no finite numbers.
        last: The last step that stands in it; -1 in an empty one.
        final: The event that is its last line, where one is.
        more_events: How many events there are beyond those.
    """

    series: dict[str, Series] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    unfinite: dict[str, int] = field(default_factory=dict)
    last: int = -1
    final: Event | None = None
    more_events: int = 0


def read_log(files: Files) -> Log:
    """Reads the log of a run; what is wrong with it stands in `files.troubles`."""
    path = files.folder / LOG
    reader = _Reader()
    for lines in lines_of(files, path, MOST_BYTES):
        reader.read(lines)
    if reader.damaged:
        many = "1 line is" if reader.damaged == 1 else f"{reader.damaged:,} lines are"
        where = "" if reader.damaged == 1 else ", the first of them"
        files.trouble(path, f"{many} no object with a step and left out{where} at line {reader.first_damaged:,}")
    if reader.refused:
        files.trouble(path, f"{reader.refused:,} lines are left out: they have too many names, or too different ones")
    if len(reader.cuts) > _CUTS:
        files.trouble(path, f"goes back {len(reader.cuts):,} times; the curves are in the order of the steps")
    return reader.log()


class _Reader:
    """Takes a log block by block, and each block by columns: most logs have one or two sets of names."""

    def __init__(self) -> None:
        self.cuts: list[int] = []  # the places from which on the run has gone back
        self.damaged = self.first_damaged = self.refused = 0
        self._log = Log()
        self._lines = self._columns = 0
        self._pieces: dict[str, list[tuple[Steps, Steps, Floats]]] = {}  # places, steps, values

    def read(self, lines: Sequence[bytes]) -> None:
        """Takes the next lines."""
        objects = objects_of(lines)
        groups: dict[tuple[str, ...], list[int]] = {}
        for index, each in enumerate(objects):
            groups.setdefault(tuple(each), []).append(index)
        steps = np.full(len(lines), -1, np.int64)
        events: dict[int, Event] = {}
        for names, indices in groups.items():
            if "step" not in names:
                continue
            taken = [objects[index] for index in indices]
            own = _steps([each["step"] for each in taken])
            steps[indices] = own
            if "event" in names:
                events |= {index: _event(each) for index, each in zip(indices, taken, strict=True) if steps[index] >= 0}
            elif len(names) > _NAMES or self._columns > _COLUMNS:
                self.refused += len(indices)
            else:
                self._take(names, taken, np.array(indices, np.int64)[own >= 0], own)
        self._note_damage(lines, steps)
        self._note_order(steps, events)
        self._lines += len(lines)

    def _take(self, names: Sequence[str], taken: Sequence[dict[str, Any]], indices: Steps, steps: Steps) -> None:
        self._columns += len(names)
        good = steps >= 0
        for name, column in zip(names, zip(*map(dict.values, taken), strict=True), strict=True):
            if name != "step":
                piece = self._lines + indices, steps[good], _numbers(column)[good]
                self._pieces.setdefault(name, []).append(piece)

    def _note_damage(self, lines: Sequence[bytes], steps: Steps) -> None:
        bad = [index for index in np.flatnonzero(steps < 0).tolist() if lines[index].strip()]
        if bad and not self.damaged:
            self.first_damaged = self._lines + bad[0] + 1
        self.damaged += len(bad)

    def _note_order(self, steps: Steps, events: Mapping[int, Event]) -> None:
        """Where the run goes back, which events there are, and what stands last."""
        log = self._log
        there = np.flatnonzero(steps >= 0)
        if not len(there):
            return
        back = there[np.diff(steps[there], prepend=log.last) < 0]
        back = np.union1d(back, [index for index, event in events.items() if event.name == ROLLBACK])
        self.cuts += (back + self._lines).astype(int).tolist()
        ordered = [events[index] for index in sorted(events)]
        room = max(0, MOST_EVENTS - len(log.events))
        log.events += ordered[:room]
        log.more_events += len(ordered[room:])
        log.last = int(steps[there[-1]])
        log.final = events.get(int(there[-1]))

    def log(self) -> Log:
        """All that was read."""
        for name, pieces in self._pieces.items():
            places, steps, values = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
            ordered = len(self.cuts) <= _CUTS
            order = np.argsort(places if ordered else steps, kind="stable")
            order = order[np.isfinite(values[order])]
            parts = np.searchsorted(self.cuts, places[order], side="right") * ordered
            if len(order):
                self._log.series[name] = Series(steps[order], values[order], parts)
            if len(order) < len(values):
                self._log.unfinite[name] = len(values) - len(order)
        return self._log


def _steps(column: Sequence[Any]) -> Steps:
    """A column of steps, -1 for what is none."""
    if set(map(type, column)) != {int} or not (min(column) >= 0 and max(column) < _LAST_STEP):
        column = [value if type(value) is int and 0 <= value < _LAST_STEP else -1 for value in column]
    return np.array(column, np.int64)


def _numbers(column: Sequence[Any]) -> Floats:
    """A column of whatever stood there as numbers, NaN for what is none or beyond all measure."""
    if set(map(type, column)) != {float}:
        column = [value if type(value) in (int, float) and abs(value) < _LARGEST else math.nan for value in column]
    found = np.array(column, np.float64)
    found[~(np.abs(found) < _LARGEST)] = math.nan
    return found


def _event(line: Mapping[str, Any]) -> Event:
    trouble, text = line.get("trouble"), line.get("text")
    return Event(
        line["step"],
        str(line["event"])[:100],
        text[:5000] if isinstance(text, str) else "",
        trouble if type(trouble) is int and 0 <= trouble < _LAST_STEP else None,
    )


def costs(log: Log) -> dict[str, Series]:
    """What a training took: steps a second and the share of the time that it waited for clips, between two lines of the
    log, and the most of a GPU's memory until each.
    """
    found = {}
    if (memory := log.series.get("memory")) is not None:
        found["most GPU memory, GB"] = Series(memory.steps, memory.values / 1e9, memory.parts)
    return found | _speeds(log)


def _speeds(log: Log) -> dict[str, Series]:
    clock, waited = log.series.get("seconds"), log.series.get("waited")
    if clock is None or len(clock.steps) < 2:
        return {}
    seconds, steps = np.diff(clock.values), np.diff(clock.steps)
    if (evaluated := log.series.get("evaluated")) is not None:  # after a line, and so before the next
        took = dict(zip(evaluated.steps.tolist(), evaluated.values.tolist(), strict=True))
        seconds -= np.array([took.get(step, 0.0) for step in clock.steps[:-1].tolist()])
    good = (np.diff(clock.parts) == 0) & (seconds > 0) & (steps > 0)
    found = {"steps per second": _between(clock, good, steps / np.where(good, seconds, 1.0))}
    if waited is not None and np.array_equal(waited.steps, clock.steps):
        more = np.diff(waited.values)
        good &= more >= 0  # it begins anew where a run goes on in another process
        shares = np.minimum(more / np.where(good, seconds, 1.0), 1.0)
        found["share of time spent waiting for clips"] = _between(clock, good, shares)
    return {name: series for name, series in found.items() if len(series.steps)}


def _between(clock: Series, good: NDArray[np.bool_], values: Floats) -> Series:
    """Values that are known from one line to the next, at the later of the two."""
    at = np.flatnonzero(good)
    return Series(clock.steps[at + 1], values[at], clock.parts[at + 1])
