"""The head of a run's page: what it is, whether it goes on, how far it is."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gadkit.pages.document import fact_cards
from gadkit.pages.numbers import number_text
from gadkit.report.log import Log, costs
from gadkit.report.reading import Files
from gadkit.report.words import scalar_text, told
from gadkit.runs.attempt import GIVEN_UP
from gadkit.runs.folder import BEST, LOG
from gadkit.runs.lock import OWNER
from gadkit.words import count_text, duration_text

#: A run that has been silent for so many seconds may have been killed.
_SILENT = 600.0


@dataclass(frozen=True)
class Standing:
    """How a run stands.

    Attributes:
        step: The last step that is known of.
        steps: The step at which it ends; `None` where its settings do not say.
        state: In a word or two.
        why: In a sentence, or nothing.
        seconds: How long it took; `None` where nothing was logged.
        best: The step of the best checkpoint and what it is best by.
    """

    step: int
    steps: int | None
    state: str
    why: str
    seconds: float | None
    best: tuple[int, str] | None


def standing(
    files: Files, config: Mapping[str, Any], log: Log, checkpoints: Sequence[int], ended: str | None, now: float
) -> Standing:
    """How a run stands, by its files: whether it goes on cannot be known for certain.

    Args:
        files: The run's.
        config: Its settings.
        log: Its log.
        checkpoints: The steps of its checkpoints.
        ended: How it has just ended, where that is known: `finished`, `stopped` or `failed`.
        now: The time, in seconds since the epoch.
    """
    step = max([log.last, *checkpoints, 0])
    steps = table(config, "run").get("steps")
    steps = steps if type(steps) is int and 0 < steps < 1 << 53 else None
    clock = log.series.get("seconds")
    state, why = _state(files, log, step, steps, ended, now)
    return Standing(
        step=step,
        steps=steps,
        state=state,
        why=why,
        seconds=None if clock is None else float(clock.values[-1]),
        best=_best(files),
    )


def head(name: str, config: Mapping[str, Any], environment: Mapping[str, Any], log: Log, how: Standing) -> str:
    """HTML of the head."""
    parts = [text(config.get("recipe")), _used(config, "generator"), _used(config, "loss"), _used(config, "penalty")]
    video = table(config, "video")
    shape = "×".join(text(video[key]) for key in ("width", "height") if key in video)
    shape += f", {text(video['frames'])} frames" if "frames" in video else ""
    about = " · ".join(each for each in [*parts, shape] if each)
    share = min(1.0, how.step / how.steps) if how.steps else 0.0
    bar = (
        f'<div class="progress" role="progressbar" aria-label="steps done" aria-valuemax="{how.steps}" aria-valuenow='
        f'"{min(how.step, how.steps)}"><span class="bar" style="width:{100 * share:.1f}%"></span></div>'
        if how.steps
        else ""
    )
    style = {"finished": "good", "running": "", "stopped": "warned"}.get(how.state, "bad")
    return (
        f"<h1>{told(name, 200)}</h1>"
        f'<p class="soft">{told(about, 500)}</p>'
        f'<p><span class="state {style}">{told(how.state)}</span> {told(how.why, 600)}</p>{bar}'
        + fact_cards(_facts(log, how))
        + _made_with(config, environment)
    )


def table(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A table in plain values; empty where there is something else."""
    found = values.get(name)
    return found if isinstance(found, dict) else {}


def text(value: Any, most: int = 100) -> str:
    """A plain value in words; nothing for nothing."""
    return "" if value is None or isinstance(value, dict) else scalar_text(value)[:most]


def _facts(log: Log, how: Standing) -> list[tuple[str, str]]:
    facts = [(f"{how.step:,}", f"of {count_text(how.steps, 'step')}" if how.steps else "steps")]
    if how.seconds is not None and how.seconds >= 0:
        facts.append((duration_text(how.seconds), "of training"))
    rate = costs(log).get("steps per second")
    if rate is not None:
        median = float(np.median(rate.values[-50:]))
        facts.append((number_text(median, 3), "steps a second"))
        if how.state == "running" and how.steps and how.steps > how.step and median > 0:
            facts.append((duration_text((how.steps - how.step) / median), "to go, at this rate"))
    if how.best is not None:
        facts.append((f"{how.best[0]:,}", f"the best step, {how.best[1]}"))
    return facts


def _made_with(config: Mapping[str, Any], environment: Mapping[str, Any]) -> str:
    """What the run was told before it began, where it keeps that, or else what can be said of it."""
    data, versions = table(config, "data"), table(environment, "libraries")
    facts = {
        "data": text(data.get("path"), 1000) or _used(config, "data"),
        "device": ", ".join(filter(None, (text(environment.get("device")), text(environment.get("precision"))))),
        **{name: text(value, 1000) for name, value in list(table(table(environment, "plan"), "facts").items())[:20]},
        "versions": ", ".join(f"{name} {text(versions[name])}" for name in ("gadkit", "torch") if name in versions),
    }
    items = "".join(f"<dt>{told(name, 60)}</dt><dd>{told(value, 1000)}</dd>" for name, value in facts.items() if value)
    return f"<dl>{items}</dl>" if items else ""


def _used(config: Mapping[str, Any], kind: str) -> str:
    return text(table(config, kind).get("use")).removeprefix("gadkit:")


def _best(files: Files) -> tuple[int, str] | None:
    best = files.json(files.folder / BEST)
    step, value = best.get("step"), best.get("value")
    if type(step) is not int or not 0 <= step < 1 << 53:
        return None
    number = number_text(value) if type(value) is float else text(value)
    return step, f"{text(best.get('metric'))} {number}"


def _state(files: Files, log: Log, step: int, steps: int | None, ended: str | None, now: float) -> tuple[str, str]:
    if log.final is not None and log.final.name == GIVEN_UP:
        return "given up", log.final.text
    if steps is not None and step >= steps:
        return "finished", ""
    if ended is not None:
        return ended, ""
    if files.size(files.folder / OWNER) is None:
        return "stopped", f"Go on with: gadkit train --resume {shlex.quote(str(files.folder))}"
    heard = files.changed(files.folder / LOG) or files.changed(files.folder / OWNER)
    silent = max(0.0, now - heard) if heard else 0.0
    if silent > _SILENT:
        return "silent", f"Nothing was logged for {duration_text(round(silent))}: a very slow step, or it was killed."
    return (
        "running",
        f"The last line was logged {duration_text(round(silent))} before this was written." if heard else "",
    )
