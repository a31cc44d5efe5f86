"""The page of a run: what it is, how it stands, and all that came of it."""

from __future__ import annotations

import datetime
import importlib.resources
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gadkit.pages.document import document, section
from gadkit.pages.files import write_whole
from gadkit.report.charts import Mark, axis_of, charts, timeline
from gadkit.report.evaluations import evaluations_html, read_evaluations
from gadkit.report.head import Standing, head, standing
from gadkit.report.log import Event, Log, read_log
from gadkit.report.reading import Files
from gadkit.report.samples import samples
from gadkit.report.words import folded, nested, told
from gadkit.runs.attempt import GIVEN_UP, ROLLBACK
from gadkit.runs.folder import CONFIG, ENVIRONMENT, REPORT, Run

_EVENTS = 400
_CHECKPOINT = re.compile(r"step-(\d{6,15})")


def write_report(run: Run, out: Path | None = None, *, ended: str | None = None) -> Path:
    """Writes the page of a run, whole or not at all.

    Whatever lies in the run's folder is told, shown or left out; damaged files do not make it fail.

    Args:
        run: The run, which may be under way.
        out: Where to; by default `report.html` in its folder.
        ended: How it has just ended, where the caller knows: `finished`, `stopped` or `failed`.

    Returns:
        Where it was written.

    Raises:
        RunError: It cannot be written.
    """
    path = run.path / REPORT if out is None else out
    write_whole(path, page(run.path, ended=ended).encode("utf-8"))
    return path


def page(folder: Path, *, ended: str | None = None) -> str:
    """The page's text, for the run in a folder; see `write_report`."""
    files, now = Files(folder), time.time()
    config, environment = files.toml(folder / CONFIG), files.json(folder / ENVIRONMENT)
    log = read_log(files)
    checkpoints = [int(match[1]) for _, match in files.matching("checkpoints", _CHECKPOINT)]
    how = standing(files, config, log, checkpoints, ended, now)
    videos = samples(files)
    measured = evaluations_html(read_evaluations(files))
    axis = axis_of(log, _marks(log, checkpoints, how))
    curves = "" if axis is None else timeline(axis) + charts(log, axis)
    title = folder.resolve().name
    written = datetime.datetime.fromtimestamp(now, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    body = [
        f"<header>{head(title, config, environment, log, how)}</header><main>",
        section("Could not be read", "".join(f'<p class="bad">{told(each, 500)}</p>' for each in files.told()), "bad"),
        _plan_warnings(environment),
        section("Samples", videos),
        section("Evaluations", measured),
        section("Curves", curves or '<p class="soft">Nothing was logged yet.</p>'),
        section("Warnings and events", _events(log)),
        section("Settings", _settings(config)),
        section("Made with", _settings(environment)),
        f'</main><footer class="soft">Written {written} by gadkit.</footer>',
    ]
    return document(
        f"{title} · gadkit", body, style=_part("report.css"), script=_part("report.js"), holds=("img", "media")
    )


def _part(name: str) -> str:
    return importlib.resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _marks(log: Log, checkpoints: list[int], how: Standing) -> list[Mark]:
    marks = [Mark("checkpoint", step, "checkpoint") for step in checkpoints]
    if how.best is not None:
        marks.append(Mark("best", how.best[0], how.best[1]))
    kinds = {"warning": "warning", ROLLBACK: "rollback", GIVEN_UP: "rollback"}
    for event in log.events:
        marks.append(Mark(kinds.get(event.name, "event"), event.step, f"{event.name}: {event.text}"))
    return marks


def _plan_warnings(environment: Mapping[str, Any]) -> str:
    """What was told before the training began, where the run keeps it."""
    plan = environment.get("plan")
    warnings = plan.get("warnings") if isinstance(plan, dict) else None
    kept = [each for each in warnings if isinstance(each, str)] if isinstance(warnings, list) else []
    return section("Before it began", "".join(f'<p class="warn">{told(each, 1000)}</p>' for each in kept[:50]))


def _events(log: Log) -> str:
    if not log.events:
        return ""
    shown = log.events if len(log.events) <= _EVENTS else log.events[: _EVENTS // 4] + log.events[-3 * _EVENTS // 4 :]
    hidden = len(log.events) - len(shown) + log.more_events
    rest = f'<p class="soft">and {hidden:,} more, which stand in the log</p>' if hidden else ""
    return f'<ol class="events">{"".join(map(_event, shown))}</ol>{rest}'


def _event(event: Event) -> str:
    kind = {"warning": "warn", ROLLBACK: "bad", GIVEN_UP: "bad"}.get(event.name, "soft")
    trouble = "" if event.trouble is None else f" (trouble at step {event.trouble:,})"
    return (
        f'<li><span class="whole">step {event.step:,}</span> <b class="{kind}">{told(event.name, 40)}</b>{trouble} '
        f"{told(event.text, 2000)}</li>"
    )


def _settings(values: Mapping[str, Any]) -> str:
    """Sections that open on demand; what is in none comes first."""
    bare = {name: value for name, value in values.items() if not isinstance(value, dict)}
    tables = [(name, value) for name, value in values.items() if isinstance(value, dict)]
    shown = "".join(folded(_summary(name, value), nested(value)) for name, value in tables[:60])
    rest = f'<p class="soft">and {len(tables) - 60:,} more</p>' if len(tables) > 60 else ""
    return nested(bare) + shown + rest


def _summary(name: str, table: Mapping[str, Any]) -> str:
    """A section's name, with the component that it is about."""
    use = table.get("use")
    return f"{name}: {use}" if isinstance(use, str) else name
