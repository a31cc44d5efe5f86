"""What a comparison found, as a table: for a terminal, in Markdown, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gadkit.comparison.looks import Look
from gadkit.comparison.plan import Plan
from gadkit.comparison.summary import Ranking, Row, Run, Spread, best_of, has_floor, names_of, reference
from gadkit.pages.numbers import number_text
from gadkit.words import count_text, duration_text, size_text

FORMAT = 1
#: What the last row of a table is called, which says what real clips reach, or what chance gives.
REAL = "real clips"
_BETTER = {"lowest": "↓", "highest": "↑"}


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of text under a head.

    Attributes:
        title: What it is about.
        head: The columns.
        rows: A cell for each column, the first the contender's name.
        best: The places `(row, column)` of the best means.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    best: frozenset[tuple[int, int]] = frozenset()


def ordered(rows: Sequence[Row], ranking: Ranking | None) -> list[Row]:
    """The rows, the best first, those that were not ranked last."""
    places = {name: place for place, name in enumerate(ranking.order)} if ranking else {}
    return sorted(rows, key=lambda row: places.get(row.name, len(places)))


def tables(rows: Sequence[Row], looks: Sequence[Look]) -> list[Table]:
    """One table for each look, and one of what the trainings took."""
    return [*(_quality(rows, look) for look in looks if names_of(rows, look)), _cost(rows)]


def _quality(rows: Sequence[Row], look: Look) -> Table:
    """The measured values of a look: mean ± standard deviation over seeds."""
    head: list[str] = ["name"]
    columns: list[list[Spread | None]] = []
    directions: list[str | None] = []
    references: list[Spread | None] = []
    for name in names_of(rows, look):
        better = best_of(rows, look, name)
        bare = name.partition("[")[0]
        head.append(f"{bare} {_BETTER.get(better or '', '')}".strip())
        columns.append([row.value(look, name) for row in rows])
        directions.append(better)
        references.append(reference(rows, look, name))
        if has_floor(rows, look, name):
            head.append(f"{bare} − floor {_BETTER.get(better or '', '')}".strip())
            columns.append([row.value(look, name, less_floor=True) for row in rows])
            directions.append(better)
            references.append(None)
    cells = [(row.name, *(_cell(column[number], row) for column in columns)) for number, row in enumerate(rows)]
    if any(references):
        cells.append((REAL, *("" if each is None else str(each) for each in references)))
    floors = [_floor(rows, look, name) for name in names_of(rows, look) if has_floor(rows, look, name)]
    title = look.title + "".join(f"; {floor}" for floor in floors)
    return Table(title=title, head=tuple(head), rows=tuple(cells), best=_best(columns, directions))


def _cell(value: Spread | None, row: Row) -> str:
    if value is None:
        return "failed" if len(_failed(row)) == len(row.runs) else "–"
    return str(value)


def _floor(rows: Sequence[Row], look: Look, name: str) -> str:
    """The distance between real clips, which is the same for all that were measured alike."""
    scores = [run.seen[look.key].values.get(name) for row in rows for run in row.runs if look.key in run.seen]
    found = [score for score in scores if score is not None and score.floor is not None]
    floors = Spread(tuple(dict.fromkeys(score.floor for score in found if score.floor is not None)))
    spread = f" ± {number_text(found[0].floor_std, 2)}" if len(floors.values) == 1 and found[0].floor_std else ""
    return f"{name} of real clips from real ones {number_text(floors.mean)}{spread}"


def _best(columns: Sequence[Sequence[Spread | None]], directions: Sequence[str | None]) -> frozenset[tuple[int, int]]:
    found = set()
    for number, (column, better) in enumerate(zip(columns, directions, strict=True)):
        means = {
            place: value.mean for place, value in enumerate(column) if value is not None and value.mean == value.mean
        }
        if better is not None and len(set(means.values())) > 1:
            pick = max if better == "highest" else min
            found |= {(place, number + 1) for place, mean in means.items() if mean == pick(means.values())}
    return frozenset(found)


def _cost(rows: Sequence[Row]) -> Table:
    """What the trainings took, means over seeds."""
    whole: Callable[[float], str] = lambda value: f"{round(value):,}"  # noqa: E731
    columns: tuple[tuple[str, str, Callable[[float], str]], ...] = (
        ("parameters", "parameters", whole),
        ("steps", "step", whole),
        ("samples seen", "samples", whole),
        ("time", "seconds", duration_text),
        ("steps/s", "steps_per_second", number_text),
        ("peak main memory", "peak_memory", size_text),
        ("peak GPU memory", "gpu_memory", size_text),
    )
    if not any(row.fact("gpu_memory") for row in rows):
        columns = columns[:-1]
    cells = []
    for row in rows:
        facts = [row.fact(key) for _, key, _ in columns]
        told = [show(found.mean) if found else "–" for found, (_, _, show) in zip(facts, columns, strict=True)]
        cells.append((row.name, *told, runs_text(row)))
    return Table(title="the trainings", head=("name", *(title for title, _, _ in columns), "runs"), rows=tuple(cells))


def runs_text(row: Row) -> str:
    """How many of a contender's runs there are, of how many, and how many failed."""
    if not row.failures:
        return str(len(row.runs))
    failed = f", {len(_failed(row))} failed" if _failed(row) else ""
    return f"{len(row.runs) - len(row.failures)} of {len(row.runs)}{failed}"


def _failed(row: Row) -> list[Run]:
    """Those of a contender's runs that somebody came to, in vain."""
    return [run for run in row.failures if not run.waiting]


def failures_of(rows: Sequence[Row]) -> list[str]:
    """The runs that cannot be shown in full, failed or missing, with their reasons."""
    return [
        f"{'missing' if run.waiting else 'failed'}: {run.job.name}: {run.failure}"
        for row in rows
        for run in row.failures
    ]


def about(plan: Plan) -> str:
    """What was compared, in one line."""
    parts = []
    if plan.budget is not None:
        parts.append(f"{plan.allotted} each, {count_text(len(plan.seeds), 'seed')}")
    parts.append(
        f"{plan.data}, {plan.video['width']}×{plan.video['height']}, {count_text(plan.video['frames'], 'frame')}"
    )
    versions = plan.versions
    parts.append(", ".join(f"{name} {versions[name]}" for name in ("gadkit", "torch") if name in versions))
    return " · ".join(parts)


def markdown(plan: Plan, rows: Sequence[Row], looks: Sequence[Look], sentences: Sequence[str]) -> str:
    """The tables in Markdown, with what may be said of them."""
    lines = [about(plan), ""]
    for table in tables(rows, looks):
        lines += [f"**{table.title}**", "", _line(table.head), _line(["---"] * len(table.head))]
        for number, row in enumerate(table.rows):
            lines.append(_line([f"**{cell}**" if (number, at) in table.best else cell for at, cell in enumerate(row)]))
        lines.append("")
    lines += [text + "\n" for text in sentences]
    lines += [f"- {text}" for text in failures_of(rows)]
    return "\n".join(lines).rstrip() + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def document(
    plan: Plan,
    rows: Sequence[Row],
    looks: Sequence[Look],
    rankings: Sequence[tuple[Look, Ranking]],
    warnings: Sequence[str],
) -> dict[str, Any]:
    """All of it in plain values."""
    return {
        "format": FORMAT,
        "plan": {key: value for key, value in plan.to_dict().items() if key not in ("format", "contenders")},
        "contenders": [_contender(row, looks) for row in rows],
        "rankings": [{**vars(ranking), "order": list(ranking.order), "look": look.title} for look, ranking in rankings],
        "warnings": list(warnings),
    }


def _contender(row: Row, looks: Sequence[Look]) -> dict[str, Any]:
    summary = {}
    for look in looks:
        values = {}
        for name in names_of([row], look, all_=True):
            found, excess = row.value(look, name), row.value(look, name, less_floor=True)
            values[name] = {} if found is None else found.to_dict()
            if excess is not None:
                values[name]["less_floor"] = excess.to_dict()
        summary[look.title] = {"values": values, "reasons": row.reasons(look)}
    return {
        "name": row.name,
        "asked": row.contender.text,
        "over_seeds": summary,
        "runs": [
            {
                "name": run.job.name,
                "failure": run.failure or None,
                **run.facts.to_dict(),
                "values": {
                    look.title: {name: score.to_dict() for name, score in run.seen[look.key].values.items()}
                    for look in looks
                    if look.key in run.seen
                },
                "lines": {look.title: run.seen[look.key].line for look in looks if look.key in run.seen},
                "curve": [{"step": step, "seconds": seconds, "value": value} for step, seconds, value in run.curve],
            }
            for run in row.runs
        ],
    }


def table_of_runs(rows: Sequence[Row], looks: Sequence[Look]) -> str:
    """One line for each run, as CSV: facts, values, and their floors."""
    names = [(look, name) for look in looks for name in names_of(rows, look, all_=True)]
    facts = ("seed", "step", "seconds", "samples", "steps_per_second", "peak_memory", "gpu_memory")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    values = [title for look, name in names for title in (f"{name} ({look.title})", f"floor of {name} ({look.title})")]
    writer.writerow(["contender", "run", "failure", *facts, "parameters", *values])
    for row in rows:
        for run in row.runs:
            known = [getattr(run.facts, name) for name in facts]
            size = None if run.facts.parameters is None else sum(run.facts.parameters.values())
            cells: list[Any] = []
            for look, name in names:
                score = run.seen[look.key].values.get(name) if look.key in run.seen else None
                cells += [None, None] if score is None else [score.value, score.floor]
            writer.writerow([row.name, run.job.name, run.failure, *known, size, *cells])
    return out.getvalue()
