"""The page of a comparison: who is first and by how much, videos side by side, tables, curves, settings."""

from __future__ import annotations

import importlib.resources
import math
from collections.abc import Sequence
from pathlib import Path

from gadkit.comparison.curves import TOGETHER, curves_html
from gadkit.comparison.gallery import gallery
from gadkit.comparison.looks import Look
from gadkit.comparison.plan import Plan
from gadkit.comparison.report import REAL, Table, about, failures_of, ordered, tables
from gadkit.comparison.summary import Ranking, Row, spread_text
from gadkit.pages.document import document, fact_cards, plain, section
from gadkit.pages.numbers import number_text
from gadkit.report.words import folded, nested, told
from gadkit.tables import flattened, parse_toml
from gadkit.words import count_text, duration_text

#: What every training has in its own way, or what the head tells.
_UNTOLD = ("format", "recipe", "run.checkpoint_every", "run.keep")
_REAL = ' class="real"'
_BEST = ' class="best"'


def page(
    plan: Plan,
    out: Path,
    rows: Sequence[Row],
    looks: Sequence[Look],
    rankings: Sequence[tuple[Look, Ranking]],
    warnings: Sequence[str],
) -> str:
    """The page's text, whole and alone; arguments as `gadkit.comparison.compare` finds them."""
    first = rankings[0] if rankings else None
    rows = ordered(rows, first[1] if first else None)
    sentences = "".join(
        f'<p class="verdict{" apart" if ranking.apart else ""}">{told(ranking.sentence, 2000)}'
        f' <span class="soft">({told(look.title)})</span></p>'
        for look, ranking in rankings
    )
    absent = "".join(f'<p class="bad">{told(text, 1000)}</p>' for text in failures_of(rows))
    found = tables(rows, looks)
    body = [
        f'<header><h1>{told(", ".join(row.name for row in rows), 300)}</h1><p class="soft">{told(about(plan), 500)}</p>'
        f"{sentences}{_facts(plan, rows)}</header><main>",
        section("Failed or missing", absent, "bad"),
        section("Side by side", gallery(plan, out, rows)),
        section("Distance", _ladder(rows, *first) if first else ""),
        section("Measured", "".join(_table(table) for table in found[:-1]) + _notes(rows, looks)),
        section("What it took", _table(found[-1], titled=False)),
        section("Curves", curves_html(plan, list(rows))),
        section("Worth knowing", "".join(f'<p class="warn">{told(text, 1000)}</p>' for text in warnings)),
        section("What is different", _settings(rows)),
        section("All settings", _all(plan, rows)),
        "</main>",
    ]
    return document(
        f"{', '.join(row.name for row in rows)} · gadkit compare",
        body,
        style=_part("gadkit.report", "report.css") + _part(__package__, "comparison.css"),
        script=_part("gadkit.report", "report.js") + _part(__package__, "comparison.js"),
        holds=("img", "media"),
    )


def _part(package: str, name: str) -> str:
    return importlib.resources.files(package).joinpath(name).read_text(encoding="utf-8")


def _facts(plan: Plan, rows: Sequence[Row]) -> str:
    runs = sum(len(row.runs) for row in rows)
    facts = [(str(len(rows)), "compared"), (str(runs), "runs" if runs != 1 else "run")]
    if plan.budget is not None:
        facts.append((plan.allotted.removesuffix(" of training"), "for each training"))
    seconds = sum(run.facts.seconds or 0.0 for row in rows for run in row.runs)
    if seconds:
        facts.append((duration_text(seconds), "of training in all"))
    return fact_cards(facts)


def _table(table: Table, titled: bool = True) -> str:
    """HTML of a table, the best means marked."""
    head = "".join(f'<th scope="col">{told(title, 80)}</th>' for title in table.head)
    rows = "".join(
        f"<tr{_REAL if row[0] == REAL else ''}>"
        + "".join(
            f'<th scope="row">{told(cell, 80)}</th>'
            if at == 0
            else f"<td{_BEST if (number, at) in table.best else ''}>{_cell(cell)}</td>"
            for at, cell in enumerate(row)
        )
        + "</tr>"
        for number, row in enumerate(table.rows)
    )
    title = f"<h3>{told(table.title, 300)}</h3>" if titled else ""
    return (
        f'{title}<div class="scroll"><table class="scores side"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody>'
        "</table></div>"
    )


def _cell(cell: str) -> str:
    """A mean with its spread, the latter softer."""
    mean, sign, spread = cell.partition(" ± ")
    return plain(mean) + (f' <span class="soft">± {plain(spread)}</span>' if sign else "")


def _notes(rows: Sequence[Row], looks: Sequence[Look]) -> str:
    """What the numbers are, and the manifest of each look."""
    several = any(len(row.runs) > 1 for row in rows)
    spread = "Means ± standard deviations over seeds. " if several else ""
    about_floor = (
        "The floor is the distance between real clips, of as many; ↓ lower is better, ↑ higher is better. Bold: the "
        "best mean, however little it leads. The last row: what the same is of real clips, or by chance. nearer: the "
        "probability that a clip lies nearer to those of the training than an unseen real one; .5 where nothing was "
        "copied, 1 where all was, far below .5 where clips are like no real ones."
    )
    lines = ""
    for look in looks:
        seen = (run.seen[look.key] for row in rows for run in row.runs if look.key in run.seen)
        found = next((each for each in seen if each.line), None)
        if found is not None:
            lines += f'<p class="line">{told(found.line, 2000)}</p>'
            lines += folded(f"the whole manifest ({look.title})", nested(dict(found.manifest)))
    return f'<p class="soft">{spread}{about_floor}</p>{lines}'


def _ladder(rows: Sequence[Row], look: Look, ranking: Ranking) -> str:
    """HTML of one value of all contenders on one scale: a point for each seed, mean and spread, and the floor."""
    found = [(row, row.value(look, ranking.value)) for row in rows if row.name in ranking.order]
    values = [value for _, spread in found if spread is not None for value in spread.values]
    floors = [
        (score.floor, score.floor_std or 0.0)
        for row, _ in found
        for run in row.runs
        if look.key in run.seen
        if (score := run.seen[look.key].values.get(ranking.value)) is not None and score.floor is not None
    ]
    high = 1.05 * max([*values, *(floor + std for floor, std in floors)])
    low = min(0.0, *values)
    if not math.isfinite(high - low) or high <= low:
        return ""

    def at(value: float) -> float:
        return 100 * min(1.0, max(0.0, (value - low) / (high - low)))

    mark = ""
    if floors:
        floor, std = floors[0]
        mark = (
            f'<span class="floor" style="left:{at(floor - std):.2f}%;width:{at(floor + std) - at(floor - std):.2f}%"'
            f' title="real against real: {plain(spread_text(floor, std))}"></span>'
        )
    lines = ""
    for place, (row, spread) in enumerate(found):
        assert spread is not None
        std = spread.std or 0.0
        points = "".join(
            f'<span class="seed c{place % TOGETHER}" style="left:{at(value):.2f}%" title="{plain(number_text(value))}">'
            "</span>"
            for value in spread.values
        )
        lines += (
            f'<div class="rung"><span class="who">{told(row.name, 60)}</span><span class="rail">{mark}'
            f'<span class="reach c{place % TOGETHER}" style="left:{at(spread.mean - std):.2f}%;'
            f'width:{max(0.2, at(spread.mean + std) - at(spread.mean - std)):.2f}%"></span>{points}</span>'
            f'<span class="much">{plain(str(spread))}</span></div>'
        )
    key = "The grey band: real clips against real ones." if floors else ""
    return (
        f'<p class="soft">{told(ranking.value)}, {told(look.title)}; a point for each seed, a bar of mean ± standard '
        f'deviation. {key}</p><div class="ladder" role="img" aria-label="{told(ranking.sentence, 1000)}">{lines}</div>'
    )


def _settings(rows: Sequence[Row]) -> str:
    """HTML of the settings that are not the same for all that were trained here."""
    tables = {
        row.name: dict(flattened(parse_toml(row.contender.config.encode()))) for row in rows if row.contender.config
    }
    if len(tables) < 2:
        return ""
    keys = dict.fromkeys(key for table in tables.values() for key in table if key not in _UNTOLD)
    different = [key for key in keys if len({repr(table.get(key)) for table in tables.values()}) > 1]
    if not different:
        return '<p class="soft">Nothing: all settings are the same.</p>'
    head = "".join(f'<th scope="col">{told(name, 80)}</th>' for name in tables)
    lines = "".join(
        f'<tr><td class="name">{told(key)}</td>'
        + "".join(f"<td>{_setting(table, key)}</td>" for table in tables.values())
        + "</tr>"
        for key in different
    )
    return (
        f'<p class="soft">{count_text(len(different), "setting")}; – where a part has no such setting.</p>'
        f'<div class="scroll"><table class="values apart"><thead><tr><th></th>{head}</tr></thead><tbody>{lines}</tbody>'
        "</table></div>"
    )


def _setting(table: dict[str, object], key: str) -> str:
    if key not in table:
        return '<span class="soft">–</span>'
    value = table[key]
    return told(value.removeprefix("gadkit:") if isinstance(value, str) and key.endswith(".use") else value, 100)


def _all(plan: Plan, rows: Sequence[Row]) -> str:
    shown = "".join(
        folded(f"{row.name}: {row.contender.text}", nested(parse_toml(row.contender.config.encode())))
        for row in rows
        if row.contender.config
    )
    asked = {key: value for key, value in plan.to_dict().items() if key not in ("contenders", "format")}
    runs = [[run.job.name, str(run.job.folder)] for row in rows for run in row.runs]
    return shown + folded("the plan", nested(asked)) + folded("the runs' folders", nested(dict(runs)))
