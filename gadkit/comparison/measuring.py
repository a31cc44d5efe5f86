"""Measuring the runs of a comparison: each once, and kept."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gadkit.checkpoints.documents import LONGEST, parse
from gadkit.comparison.budget import standing
from gadkit.comparison.looks import Look, looks
from gadkit.comparison.plan import RESULTS, Job, Plan
from gadkit.errors import GadkitError
from gadkit.evaluation.evaluate import evaluate
from gadkit.evaluation.evaluation import Watcher
from gadkit.evaluation.results import Result, read_result
from gadkit.evaluation.scores import Score
from gadkit.pages.files import write_whole
from gadkit.registry import Registry
from gadkit.runs.folder import Run, step_of

#: The protocol of the curve, its metric, and the most clips of each side that a point of it takes.
CURVE, _METRIC, _POINT = "quick", "fvd", 256
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a look at a run found.

    Attributes:
        step: The step that was looked at.
        values: Score by name, such as `fvd[i3d]`.
        reasons: Why a metric could not be measured, by its name.
        manifest: What the values depend on.
        line: The same in one line.
        warnings: What is to be known before a number is quoted.
    """

    step: int
    values: Mapping[str, Score] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)
    line: str = ""
    warnings: Sequence[str] = ()


class Measurer:
    """Measures runs, and keeps what it finds beside the plan.

    Args:
        registry: The components.
        plan: The plan.
        out: The comparison's folder.
        device: Where it is measured.
        tell: Told what happens.
        watch: Told how far an evaluation is.
    """

    def __init__(
        self,
        registry: Registry,
        plan: Plan,
        out: Path,
        device: str = "auto",
        tell: Callable[[str], None] = lambda text: None,
        watch: Watcher | None = None,
    ) -> None:
        self.looks = looks(registry, plan.measuring)
        self._registry = registry
        self._plan = plan
        self._out = out
        self._device = device
        self._tell = tell
        self._watch = watch

    def measure(self, job: Job) -> None:
        """Makes every look at a run that was not made at its newest checkpoint, and the points of its curve."""
        step = standing(job.folder).step
        for look in self.looks:
            if self.seen(job, look) is None:
                self._tell(f"{job.name}: measuring against {look.title}")
                self._keep(job, look, self._look(job, look, step))
        for checkpoint in self._points(job):
            if self._point(job, checkpoint) is None:
                self._measure_point(job, checkpoint)

    def seen(self, job: Job, look: Look) -> Seen | None:
        """What a look at a run found, where it was made at its newest checkpoint."""
        try:
            with self._place(job, look.key).open("rb") as file:
                told = parse(file.read(LONGEST + 1))
            if told["format"] != _FORMAT or told["step"] != standing(job.folder).step:
                return None
            scores = {name: _score(each) for name, each in told["values"].items()}
            return Seen(**{**{key: told[key] for key in told if key != "format"}, "values": scores})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def curve(self, job: Job) -> list[tuple[int, float, float]]:
        """The distance over a training: step, seconds until then, and value at each point."""
        found = []
        clock = {line["step"]: line["seconds"] for line in _log(job) if isinstance(line.get("seconds"), int | float)}
        for checkpoint in self._points(job):
            result = self._point(job, checkpoint)
            value = math.nan if result is None else next(iter(result.values.values())).value
            if math.isfinite(value):
                step = step_of(checkpoint)
                before = [each for each in clock if each <= step]
                found.append((step, float(clock[max(before)]) if before else 0.0, value))
        return found

    def _place(self, job: Job, key: str) -> Path:
        return self._out / RESULTS / job.name / f"{key}.json"

    def _keep(self, job: Job, look: Look, seen: Seen) -> None:
        place = self._place(job, look.key)
        place.parent.mkdir(parents=True, exist_ok=True)
        told = {**vars(seen), "values": {name: score.to_dict() for name, score in seen.values.items()}}
        write_whole(place, (json.dumps({"format": _FORMAT, **told}, indent=1) + "\n").encode("ascii"))

    def _look(self, job: Job, look: Look, step: int) -> Seen:
        """All metrics at once, or, where one of them refuses, each by itself."""
        try:
            return _seen(step, [self._evaluate(job, look, look.metrics)], {})
        except GadkitError as error:
            if len(look.metrics) == 1:
                return Seen(step=step, reasons={look.metrics[0]: str(error)})
        results, reasons = [], {}
        for metric in look.metrics:
            try:
                results.append(self._evaluate(job, look, [metric]))
            except GadkitError as error:
                reasons[metric] = str(error)
        return _seen(step, results, reasons)

    def _evaluate(self, job: Job, look: Look, metrics: Sequence[str]) -> Result:
        measuring = self._plan.measuring
        return evaluate(
            job.folder,
            look.against,
            protocol=measuring.protocol,
            metrics=list(metrics),
            features=list(look.features) or None,
            device=self._device,
            registry=self._registry,
            watch=self._watch,
            **measuring.changes,
        )

    def _points(self, job: Job) -> list[Path]:
        """The checkpoints that the curve goes through, evenly chosen, the last among them."""
        there = [path for path in Run(job.folder).checkpoints() if step_of(path)]
        count = min(self._plan.measuring.curve, len(there))
        return [there[-1 - number * len(there) // count] for number in range(count - 1, -1, -1)]

    def _point(self, job: Job, checkpoint: Path) -> Result | None:
        try:
            return read_result(self._place(job, f"curve-{step_of(checkpoint)}"))
        except GadkitError:
            return None

    def _measure_point(self, job: Job, checkpoint: Path) -> None:
        measuring, step = self._plan.measuring, step_of(checkpoint)
        clips = min(_POINT, int(measuring.changes.get("clips", _POINT)))
        changes = {**measuring.changes, "clips": clips, "real_clips": clips, "split": "held-out"}
        try:
            result = evaluate(
                job.folder,
                protocol=CURVE,
                metrics=[_METRIC],
                checkpoint=step,
                device=self._device,
                registry=self._registry,
                watch=self._watch,
                **changes,
            )
        except GadkitError as error:
            self._tell(f"{job.name}: no point of the curve at step {step}: {error}")
            return
        result.write(self._place(job, f"curve-{step}"))


def _score(told: Mapping[str, Any]) -> Score:
    """A score as it was kept; what was not finite is no number."""
    return Score(
        **{**told, "value": math.nan if told["value"] is None else told["value"], "clips": tuple(told["clips"])}
    )


def _log(job: Job) -> list[dict[str, Any]]:
    try:
        return Run(job.folder).read_log()
    except GadkitError:
        return []


def _seen(step: int, results: Sequence[Result], reasons: Mapping[str, str]) -> Seen:
    """Results of one look as one; what they depend on is alike, but for the metrics."""
    if not results:
        return Seen(step=step, reasons=reasons)
    manifest = {**results[0].manifest, "metrics": {}}
    for result in results:
        manifest["metrics"] |= result.manifest["metrics"]
    return Seen(
        step=step,
        values={name: score for result in results for name, score in result.values.items()},
        reasons=reasons,
        manifest=manifest,
        line=results[0].line,
        warnings=list(dict.fromkeys(text for result in results for text in result.warnings)),
    )
