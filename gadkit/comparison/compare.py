"""`gadkit.compare`: recipes and runs side by side, under one budget and one protocol."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gadkit.comparison.asking import Request, check_unasked, make_plan
from gadkit.comparison.budget import standing
from gadkit.comparison.facts import facts_of
from gadkit.comparison.looks import Look
from gadkit.comparison.measuring import Measurer
from gadkit.comparison.page import page
from gadkit.comparison.plan import Job, Plan, grown, read_plan, write_plan
from gadkit.comparison.report import document, markdown, ordered, table_of_runs
from gadkit.comparison.summary import Ranking, Row, Run, rank, warnings_of
from gadkit.comparison.training import Tell, Trainings, read_turns
from gadkit.comparison.videos import write_real, write_samples
from gadkit.errors import ConfigError, RunError
from gadkit.evaluation.evaluation import Watcher
from gadkit.pages.files import write_whole
from gadkit.registry import Registry, get_registry

#: The folder of comparisons that nobody named, and the files of one.
FOLDER = "compare"
TABLE, JSON, CSV, PAGE = "table.md", "results.json", "results.csv", "comparison.html"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a comparison found.

    Attributes:
        path: Its folder.
        plan: What was asked.
        rows: The contenders with their runs, the best first.
        looks: The evaluations that each run had.
        rankings: Who is first, by each look.
        warnings: What is to be known before a number is quoted.
        results: All of it in plain values, as `results.json` has it.
    """

    path: Path
    plan: Plan
    rows: Sequence[Row]
    looks: Sequence[Look]
    rankings: Sequence[tuple[Look, Ranking]]
    warnings: Sequence[str]
    results: Mapping[str, Any]

    @property
    def failures(self) -> list[Run]:
        """The runs that were not trained to their end, or not measured."""
        return [run for row in self.rows for run in row.failures]


def compare(
    *entries: str,
    out: str | Path | None = None,
    data: str | Path | None = None,
    seeds: int | Sequence[int] = 3,
    minutes: float | None = None,
    steps: int | None = None,
    samples: int | None = None,
    resolution: int | tuple[int, int] | None = None,
    frames: int | None = None,
    set: Sequence[str] = (),
    held_out: float = 0.2,
    against: Sequence[str | Path] = (),
    protocol: str | None = None,
    metrics: Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    clips: int | None = None,
    curve: int = 5,
    videos: int = 9,
    jobs: int = 1,
    device: str = "auto",
    precision: str | None = None,
    plugins: Sequence[str | Path] = (),
    only: str | None = None,
    collect: bool = False,
    tell: Tell | None = None,
    watch: Watcher | None = None,
    progress: Watcher | None = None,
) -> Comparison:
    """Trains recipes under one budget, measures them by one protocol, and puts them side by side.

    Each run is trained by `gadkit train` in a process of its own. Whatever was done already is not done again: the same
    call goes on with what is left, and one with further entries or seeds adds these to what is there.

    Args:
        *entries: `"gad"`, a recipe; `"my.toml"`, a file of settings; `"hinge=gad,loss=hinge"`, a variant of one of
            them; `"runs/mine"`, a run, which is measured and shown as it is. None: those of the plan in `out`.
        out: The comparison's folder; by default the newest one under `compare/` of the same plan, or a new one there.
        data: What is trained on, as for `gadkit.train`.
        seeds: How many trainings of each recipe, or their seeds.
        minutes: What each training gets: this long, or
        steps: so many updates of the generator, or
        samples: so many clips, steps times batch size. One of the three.
        resolution: Size of the clips in pixels, for all: a side, or (width, height).
        frames: Frames of the clips, for all.
        set: Settings for all, `"key=value"`, or for one, `"NAME:key=value"`.
        held_out: The share of the videos that no run is trained on and all are measured against.
        against: Videos that they are measured against beside those.
        protocol: How it is measured; by default `gadkit`.
        metrics: What is measured.
        features: The networks that it is measured in, the first of which ranks.
        clips: The most clips of each side.
        curve: Points of the curve of the distance over the training.
        videos: How many videos of each run are shown.
        jobs: How many trainings run beside each other.
        device: As for `gadkit.train`.
        precision: The same.
        plugins: Python files that are loaded as plugins.
        only: The one run that is trained and measured, by its name; nothing is written about the whole.
        collect: Train and measure nothing more, and write what is there.
        tell: Told in sentences what happens.
        watch: Told how far an evaluation is.
        progress: Told how far the trainings are, every other second.

    Returns:
        What was found. Its folder has it as `comparison.html`, `table.md`, `results.json` and `results.csv`.

    Raises:
        GadkitError: Something cannot be used; before anything is trained, where that can be known.
    """
    registry = get_registry()
    tell = tell or (lambda text: None)
    asked = Request.of(
        entries,
        data=data,
        seeds=seeds,
        minutes=minutes,
        steps=steps,
        samples=samples,
        resolution=resolution,
        frames=frames,
        set=set,
        held_out=held_out,
        against=against,
        protocol=protocol,
        metrics=metrics,
        features=features,
        clips=clips,
        curve=curve,
        videos=videos,
        device=device,
        precision=precision,
        plugins=plugins,
    )
    if jobs < 1:
        raise ConfigError(f"--jobs: found {jobs}, expected 1 or more.")
    place, plan = planned(registry, out, asked)
    chosen = _chosen(plan, place, only)
    trainings = Trainings(plan, place, tell, progress)
    measurer = Measurer(registry, plan, place, device, tell, watch)
    if not collect:
        trainings.train(chosen, jobs)
        for job in chosen:
            if trainings.done(job):
                measurer.measure(job)
                write_samples(registry, plan, place, job, device, tell)
    found = _gather(registry, plan, place, trainings, measurer)
    if only is None:
        write_real(registry, plan, place, tell)
        _write(found)
    return found


def planned(registry: Registry, out: str | Path | None, asked: Request) -> tuple[Path, Plan]:
    """The folder of a comparison and its plan, written there; one that is there grows, and another is refused."""
    if not asked.entries:
        if out is None:
            raise ConfigError(
                "found nothing to compare, expected recipes or runs (`gadkit recipes list` tells the recipes), or "
                "--out with a comparison to go on with."
            )
        there = read_plan(Path(out))
        if there is None:
            raise RunError(f"{out}: has no comparison to go on with; name what is to be compared.")
        check_unasked(asked)
        for file in there.plugins:
            registry.load_file(Path(file["path"]))
        return Path(out), there
    plan = make_plan(registry, asked)
    place = _newest(plan) if out is None else Path(out)
    if place is None:
        place = _numbered(Path(FOLDER))
    elif (there := read_plan(place)) is not None:
        plan = grown(place, there, plan)
    elif place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise RunError(f"{place}: exists and is no comparison; choose another --out.")
    write_plan(place, plan)
    return place, plan


def _newest(plan: Plan) -> Path | None:
    """The newest numbered folder of the same plan."""
    for _, path in sorted(_numbers(Path(FOLDER)), reverse=True):
        try:
            there = read_plan(path)
            if there is not None and grown(path, there, plan).to_dict() == there.to_dict():
                return path
        except RunError:
            continue
    return None


def _numbers(folder: Path) -> list[tuple[int, Path]]:
    if not folder.is_dir():
        return []
    return [(int(path.name), path) for path in folder.iterdir() if re.fullmatch(r"\d{5}", path.name)]


def _numbered(folder: Path) -> Path:
    return folder / f"{max((number for number, _ in _numbers(folder)), default=0) + 1:05d}"


def _chosen(plan: Plan, out: Path, only: str | None) -> list[Job]:
    jobs = plan.jobs(out)
    found = [job for job in jobs if only in (None, job.name)]
    if not found:
        raise ConfigError(f"--only: found {only!r}, expected one of {', '.join(job.name for job in jobs)}.")
    return found


def _gather(registry: Registry, plan: Plan, out: Path, trainings: Trainings, measurer: Measurer) -> Comparison:
    """What the folder says by now."""
    runs: dict[str, list[Run]] = {each.name: [] for each in plan.contenders}
    for job in plan.jobs(out):
        failure = trainings.failure(job)
        kept = {look.key: measurer.seen(job, look) for look in measurer.looks} if not failure else {}
        seen = {key: each for key, each in kept.items() if each is not None}
        waiting = bool(failure) and not read_turns(out, job)
        if not failure and len(seen) < len(measurer.looks):
            failure, waiting = "not measured yet", True
        curve = measurer.curve(job) if standing(job.folder).checkpoint is not None else []
        facts = facts_of(registry, out, job)
        run = Run(job=job, facts=facts, failure=failure, waiting=waiting, seen=seen, curve=curve)
        runs[job.contender.name].append(run)
    rows = [Row(contender=each, runs=runs[each.name]) for each in plan.contenders]
    rankings = [(look, found) for look in measurer.looks if (found := rank(rows, look)) is not None]
    rows = ordered(rows, rankings[0][1] if rankings else None)
    warnings = warnings_of(rows, measurer.looks)
    return Comparison(
        path=out,
        plan=plan,
        rows=rows,
        looks=measurer.looks,
        rankings=rankings,
        warnings=warnings,
        results=document(plan, rows, measurer.looks, rankings, warnings),
    )


def _write(found: Comparison) -> None:
    """Writes the files of a comparison."""
    plan, rows, looks = found.plan, found.rows, found.looks
    sentences = [ranking.sentence for _, ranking in found.rankings]
    texts = {
        TABLE: markdown(plan, rows, looks, sentences),
        JSON: json.dumps(found.results, indent=1) + "\n",
        CSV: table_of_runs(rows, looks),
        PAGE: page(plan, found.path, rows, looks, found.rankings, found.warnings),
    }
    for name, text in texts.items():
        write_whole(found.path / name, text.encode("utf-8"))


def commands(*entries: str, out: str | Path | None = None, more: Sequence[str] = (), **asked: Any) -> list[str]:
    """The shell lines of a comparison: one for each run, in any order and anywhere, and one that collects.

    Args:
        *entries: As for `compare`.
        out: The same.
        more: Further words of the lines that train and measure, such as `--device`.
        **asked: What else is asked, as for `compare`.
    """
    place, plan = planned(get_registry(), out, Request.of(entries, **asked))
    base = ["gadkit", "compare", "--out", str(place)]
    lines = [shlex.join([*base, "--only", job.name, *more]) for job in plan.jobs(place)]
    return [*lines, shlex.join([*base, "--collect"])]
