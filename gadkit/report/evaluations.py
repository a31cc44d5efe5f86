"""A run's evaluations: values that were measured alike stand in one table, with what they depend on."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gadkit.evaluation.manifest import differences
from gadkit.pages.numbers import number_text
from gadkit.report.reading import Files
from gadkit.report.words import folded, nested, told

#: The most files that are read, tables of a page, rows of one, values of one and differences that are named.
FILES = 200
_GROUPS = 20
_ROWS = 30
_VALUES = 12
_NAMED = 12
_NAME = re.compile(r"[^.].*\.json", re.DOTALL)


@dataclass(frozen=True)
class Evaluation:
    """One file.

    Attributes:
        name: The file's name.
        step: The step of the model that was judged, where one was.
        made: When, as it stands there.
        values: Name to what is known of the value.
        manifest: What the values depend on.
        line: The same in one line.
        warnings: Sentences.
    """

    name: str
    step: int | None
    made: str
    values: Mapping[str, Mapping[str, Any]]
    manifest: Mapping[str, Any]
    line: str
    warnings: Sequence[str]


@dataclass
class Group:
    """Evaluations whose manifests differ in nothing but what was judged, and how they differ from the first's."""

    members: list[Evaluation] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)


def read_evaluations(files: Files) -> list[Evaluation]:
    """A run's evaluations, by when they were made; what is none is told."""
    there = files.matching("evaluations", _NAME)
    if len(there) > FILES:
        files.trouble(files.folder / "evaluations", f"has {len(there):,} files; {FILES} of them are shown")
    found = []
    for path, _ in there[-FILES:]:
        document = files.json(path)
        values, manifest = document.get("values"), document.get("manifest")
        if not (isinstance(values, dict) and isinstance(manifest, dict)):
            if document:
                files.trouble(path, "is no result of an evaluation")
            continue
        step, made, line = (document.get(name) for name in ("step", "made", "line"))
        warnings = document.get("warnings")
        found.append(
            Evaluation(
                name=path.name,
                step=step if type(step) is int and 0 <= step < 1 << 53 else None,
                made=made if isinstance(made, str) else "",
                values={name: value for name, value in values.items() if isinstance(value, dict)},
                manifest=manifest,
                line=line if isinstance(line, str) else "",
                warnings=[each for each in warnings if isinstance(each, str)] if isinstance(warnings, list) else [],
            )
        )
    return sorted(found, key=lambda each: (each.made, each.name))


def grouped(evaluations: Sequence[Evaluation]) -> list[Group]:
    """Evaluations by what they depend on, in order of the first of each group."""
    groups: list[Group] = []
    for each in evaluations:
        for group in groups:
            if not differences(group.members[0].manifest, each.manifest):
                group.members.append(each)
                break
        else:
            apart = differences(groups[0].members[0].manifest, each.manifest) if groups else []
            if len(groups) < _GROUPS:
                groups.append(Group([each], apart))
    return groups


def evaluations_html(evaluations: Sequence[Evaluation]) -> str:
    """HTML of evaluations, one table for those that were measured alike."""
    groups = grouped(evaluations)
    left_out = len(evaluations) - sum(len(group.members) for group in groups)
    rest = f'<p class="soft">and {left_out:,} more, measured in other ways</p>' if left_out else ""
    return "".join(_group(group) for group in groups) + rest


def _group(group: Group) -> str:
    members = sorted(group.members, key=lambda each: (-1 if each.step is None else each.step, each.made))
    names = list(dict.fromkeys(name for each in members for name in each.values))
    newest = max(group.members, key=lambda each: each.made)
    shown = members[-_ROWS:]
    head = "".join(_head(name, members) for name in names[:_VALUES])
    rows = "".join(
        f'<tr><th scope="row">{_step(each)}<br><span class="soft">{told(_when(each.made), 40)}</span></th>'
        + "".join(_cell(each.values.get(name)) for name in names[:_VALUES])
        + "</tr>"
        for each in shown
    )
    notes = []
    if len(shown) < len(members):
        notes.append(f"and {len(members) - len(shown):,} earlier ones")
    if len(names) > _VALUES:
        notes.append(f"and {len(names) - _VALUES:,} more values")
    about = f'<p class="soft">{told("; ".join(notes))}</p>' if notes else ""
    warnings = dict.fromkeys(warning for each in reversed(shown) for warning in each.warnings)
    listed = "".join(f'<li class="warn">{told(warning, 1000)}</li>' for warning in list(warnings)[:20])
    return (
        f'<div class="evaluation">{_difference(group.differs)}'
        f'<div class="scroll"><table class="scores"><thead><tr><th>model</th>{head}</tr></thead><tbody>{rows}</tbody>'
        f"</table></div>{about}"
        f'<p class="line">{told(newest.line, 2000)}</p>'
        + (f"<ul>{listed}</ul>" if listed else "")
        + folded(f"the whole manifest ({newest.name})", nested(newest.manifest))
        + "</div>"
    )


def _difference(differs: Sequence[str]) -> str:
    if not differs:
        return ""
    items = "".join(f"<li>{told(each, 200)}</li>" for each in differs[:_NAMED])
    more = f"<li>and {len(differs) - _NAMED:,} more</li>" if len(differs) > _NAMED else ""
    return (
        '<p class="warn"><b>Measured otherwise than the first, so these numbers do not stand beside those.</b> '
        f"It differs in:</p><ul>{items}{more}</ul>"
    )


def _head(name: str, members: Sequence[Evaluation]) -> str:
    """The head of a column, which says what the value may be compared with."""
    values = [value for each in members if (value := each.values.get(name)) is not None]
    best, literature = values[-1].get("best"), values[-1].get("literature")
    arrow = {"lowest": "lower is better", "highest": "higher is better"}.get(best if isinstance(best, str) else "", "")
    published = isinstance(literature, str) and literature.strip()
    against = told(literature, 100) if published else "comparable with nothing published"
    mark = "" if published else ' class="none"'
    return (
        f'<th scope="col">{told(name, 80)}<br><span class="soft">{arrow}{"; " if arrow else ""}'
        f"<span{mark}>{against}</span></span></th>"
    )


def _cell(value: Mapping[str, Any] | None) -> str:
    if value is None:
        return "<td></td>"
    floor = value.get("floor")
    below = ""
    if floor is not None:
        below = f'<br><span class="soft">real against real {_number(floor)}{_spread(value.get("floor_std"))}</span>'
    return f"<td><b>{_number(value.get('value'))}</b>{_spread(value.get('std'))}{below}</td>"


def _number(value: Any) -> str:
    if type(value) is float or (type(value) is int and value.bit_length() < 64):
        return number_text(float(value))
    return '<span class="bad">no number</span>'


def _spread(value: Any) -> str:
    known = type(value) in (int, float) and -1e300 < value < 1e300 and math.isfinite(value)
    return f" ± {number_text(float(value), 2)}" if known else ""


def _when(made: str) -> str:
    """`2026-01-31T09:30:15+00:00` as people write it; anything else as it is."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\d\d(?:\.\d+)?(?:\+00:00|Z)", made)
    return f"{found[1]} {found[2]} UTC" if found else made


def _step(each: Evaluation) -> str:
    return told(each.name, 80) if each.step is None else f"step {each.step:,}"
