"""From runs to rows: every number of a contender over its seeds, and what may be said of who is first."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gadkit.comparison.facts import Facts
from gadkit.comparison.looks import Look
from gadkit.comparison.measuring import Seen
from gadkit.comparison.plan import Contender, Job
from gadkit.evaluation.manifest import differences
from gadkit.pages.numbers import number_text
from gadkit.words import count_text

#: Values that a table leaves to the files: what others beside them tell, and what only helps to read them.
_MINOR = {
    "disorder",
    "precision",
    "density",
    "z_u",
    "nearest_ratio",
    "copies",
    "flickering",
    "shuffled",
    "looping",
    "kid_std",
    "is_std",
}
#: Values that are best neither low nor high: `nearer` is .5 where clips lie as near to those of the training as unseen
#: ones do.
_BETWEEN = {"nearer"}
#: The values that are distances with a bias, which the same distance between real clips has too.
_BIASED = ("fvd", "fid")


@dataclass(frozen=True)
class Spread:
    """A number over seeds.

    Attributes:
        values: Of each seed.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean."""
        return statistics.fmean(self.values) if all(map(math.isfinite, self.values)) else math.nan

    @property
    def std(self) -> float | None:
        """The standard deviation of one seed, by N − 1; `None` of one alone."""
        if len(self.values) < 2:
            return None
        return statistics.stdev(self.values) if all(map(math.isfinite, self.values)) else math.nan

    def to_dict(self) -> dict[str, Any]:
        """Plain values; what is not finite is `None`."""
        std = self.std
        return {
            "mean": self.mean if math.isfinite(self.mean) else None,
            "std": std if std is not None and math.isfinite(std) else None,
            "seeds": len(self.values),
        }

    def __str__(self) -> str:
        return spread_text(self.mean, self.std)


def spread_text(mean: float, std: float | None) -> str:
    """A number with its spread, both to the places of the spread's two digits, of four at most: `"12.34 ± 0.56"`."""
    if std is None or not (math.isfinite(mean) and math.isfinite(std)):
        return number_text(mean)
    size = max(abs(mean), std)
    places = 3 - math.floor(math.log10(size)) if size > 0 else 0
    places = min(places, 1 - math.floor(math.log10(std))) if std > 0 else places
    places = min(8, max(0, places))
    return f"{mean:,.{places}f} ± {std:,.{places}f}".replace("-", "−")


@dataclass(kw_only=True)
class Run:
    """A run of a comparison with all that is known of it.

    Attributes:
        job: Which.
        facts: Of its training.
        failure: Why it cannot be shown in full; empty where it can.
        waiting: Whether that is only because nobody came to it yet.
        seen: What each look found, by its key.
        curve: Step, seconds and distance at each point.
    """

    job: Job
    facts: Facts
    failure: str = ""
    waiting: bool = False
    seen: Mapping[str, Seen] = field(default_factory=dict)
    curve: Sequence[tuple[int, float, float]] = ()

    @property
    def whole(self) -> bool:
        """Whether it was trained to its end and measured."""
        return not self.failure


@dataclass(kw_only=True)
class Row:
    """A contender with its runs.

    Attributes:
        contender: Which.
        runs: Its runs, in the order of their seeds.
    """

    contender: Contender
    runs: list[Run]

    @property
    def name(self) -> str:
        """What it is called."""
        return self.contender.name

    @property
    def failures(self) -> list[Run]:
        """The runs that cannot be shown in full."""
        return [run for run in self.runs if not run.whole]

    def value(self, look: Look, name: str, less_floor: bool = False) -> Spread | None:
        """A measured value over the seeds; `None` where no run has it.

        Args:
            look: Of which look.
            name: Such as `fvd[i3d]`.
            less_floor: Whether each run's floor is taken away from it.
        """
        found = []
        for run in self.runs:
            score = run.seen[look.key].values.get(name) if look.key in run.seen else None
            if score is None or (less_floor and score.floor is None):
                continue
            found.append(score.value - (score.floor or 0.0) if less_floor else score.value)
        return Spread(tuple(found)) if found else None

    def fact(self, name: str) -> Spread | None:
        """A fact of the trainings over the seeds; `parameters` are those of all nets."""
        known = [getattr(run.facts, name) for run in self.runs if run.whole]
        numbers = [float(sum(each.values()) if isinstance(each, dict) else each) for each in known if each is not None]
        return Spread(tuple(numbers)) if numbers else None

    def reasons(self, look: Look) -> dict[str, str]:
        """Why metrics could not be measured, by their names."""
        seen = (run.seen[look.key] for run in self.runs if look.key in run.seen)
        return {metric: reason for each in seen for metric, reason in each.reasons.items()}


def names_of(rows: Iterable[Row], look: Look, *, all_: bool = False) -> list[str]:
    """The values of a look that a table shows, in their order; all of them for a file."""
    names: dict[str, None] = {}
    for row in rows:
        for run in row.runs:
            for name, score in (run.seen[look.key].values if look.key in run.seen else {}).items():
                bare = name.partition("[")[0]
                if all_ or (bare not in _MINOR and score.best is not None):
                    names[name] = None
    return list(names)


def has_floor(rows: Iterable[Row], look: Look, name: str) -> bool:
    """Whether a value is a biased distance whose floor was measured."""
    return name.partition("[")[0] in _BIASED and any(row.value(look, name, less_floor=True) for row in rows)


def reference(rows: Iterable[Row], look: Look, name: str) -> Spread | None:
    """What a value is of real clips, or by chance, as far as it was measured: the floor, or a value beside it.

    It is that of the first run that has it: all that were measured alike have the same.
    """
    bare, bracket, network = name.partition("[")
    for row in rows:
        for run in row.runs:
            values = run.seen[look.key].values if look.key in run.seen else {}
            if name in values and values[name].floor is not None:
                return Spread((values[name].floor or 0.0,))
            for word in ("real", "by_chance"):
                if (other := values.get(f"{bare}_{word}{bracket}{network}")) is not None:
                    return Spread((other.value,))
    return None


def best_of(rows: Iterable[Row], look: Look, name: str) -> str | None:
    """Whether the `lowest` or the `highest` is best."""
    if name.partition("[")[0] in _BETWEEN:
        return None
    for row in rows:
        for run in row.runs:
            if look.key in run.seen and name in run.seen[look.key].values:
                return run.seen[look.key].values[name].best
    return None


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Who is first by one value.

    Attributes:
        value: Its name, `fvd[i3d]`.
        less_floor: Whether the floor is taken away.
        order: The contenders that can be ranked, best first.
        apart: Whether the first's interval of mean ± std over seeds lies apart from that of every other.
        sentence: What may be said.
    """

    value: str
    less_floor: bool
    order: tuple[str, ...]
    apart: bool
    sentence: str


def rank(rows: Sequence[Row], look: Look) -> Ranking | None:
    """Who is first by the first value of a look; `None` where nothing was measured.

    "By more than the spread" is said where the intervals of mean ± standard deviation over seeds of the first and of
    every other do not touch, and only of contenders with two seeds or more each.
    """
    names = [name for name in names_of(rows, look) if best_of(rows, look, name) is not None]
    if not names:
        return None
    name = names[0]
    floor, highest = has_floor(rows, look, name), best_of(rows, look, name) == "highest"
    sign = -1.0 if highest else 1.0
    odd = {row.name for row in rows if measured_otherwise(rows, row, look)}
    found = {row.name: row.value(look, name, less_floor=floor) for row in rows if row.name not in odd}
    there = {each: spread for each, spread in found.items() if spread is not None and math.isfinite(spread.mean)}
    order = sorted(there, key=lambda each: sign * there[each].mean)
    if not order:
        return None
    title = f"{name} less its floor" if floor else name
    if len(order) == 1:
        sentence = f"Only {order[0]} has a {title}, {there[order[0]]}: there is nothing to compare it with."
        return Ranking(value=name, less_floor=floor, order=tuple(order), apart=False, sentence=sentence)
    first, *others = order
    mine = there[first]
    second = there[others[0]]
    counts = {len(there[each].values) for each in order}
    told = f"{first} has the {'highest' if highest else 'lowest'} {title}, {mine}, before {others[0]} with {second}"
    if min(counts) < 2:
        sentence = f"{told}; with one seed of some of them, nothing is known of the spread over seeds."
        return Ranking(value=name, less_floor=floor, order=tuple(order), apart=False, sentence=sentence)
    apart = all(_apart(mine, there[each], sign) for each in others)
    seeds = count_text(min(counts), "seed") if len(counts) == 1 else f"{min(counts)} to {max(counts)} seeds"
    if apart:
        sentence = f"{told}: first by more than the spread over {seeds} ({_lead(mine, second)})."
    else:
        near = [each for each in others if not _apart(mine, there[each], sign)]
        leads = " and ".join(f"{each} ({_lead(mine, there[each])})" for each in near)
        sentence = f"{told}; the spread over {seeds} does not tell {first} apart from {leads}."
    return Ranking(value=name, less_floor=floor, order=tuple(order), apart=apart, sentence=sentence)


def _apart(one: Spread, other: Spread, sign: float) -> bool:
    """Whether `one` ends before `other` begins."""
    spreads = (one.std or 0.0) + (other.std or 0.0)
    return sign * (other.mean - one.mean) > spreads


def _lead(one: Spread, other: Spread) -> str:
    """How far one lies before another, and how far both spread."""
    lead = spread_text(abs(other.mean - one.mean), None)
    both = spread_text((one.std or 0.0) + (other.std or 0.0), None)
    return f"a lead of {lead}, both standard deviations together {both}"


def measured_otherwise(rows: Sequence[Row], row: Row, look: Look) -> list[str]:
    """In what a contender's measurements differ from those of the first that was measured."""
    manifests = [run.seen[look.key].manifest for each in rows for run in each.runs if look.key in run.seen]
    own = [run.seen[look.key].manifest for run in row.runs if look.key in run.seen]
    found = [text for manifest in own if manifest and manifests[0] for text in differences(manifests[0], manifest)]
    # Metrics that could not be measured are told with their reasons.
    return [text for text in dict.fromkeys(found) if not text.startswith("metrics.")]


def warnings_of(rows: Sequence[Row], looks: Sequence[Look]) -> list[str]:
    """What is to be known before a number is quoted, a sentence each."""
    found: dict[str, None] = {}
    for look in looks:
        for row in rows:
            for text in measured_otherwise(rows, row, look)[:3]:
                found[f"{row.name} was measured otherwise than the others, and is not ranked: {text}."] = None
            for metric, reason in row.reasons(look).items():
                found[f"{row.name}: {metric} ({look.title}) could not be measured: {reason}"] = None
            for run in row.runs:
                for text in run.seen[look.key].warnings if look.key in run.seen else ():
                    found[text[:1].upper() + text[1:]] = None
    beside = max((run.facts.at_once for row in rows for run in row.runs), default=1)
    if beside > 1:
        found[
            f"Up to {beside} trainings ran beside each other, so the clock of each counts time that it shared; speeds "
            "are those of a part of this machine."
        ] = None
    return list(found)
