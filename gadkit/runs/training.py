"""Starting and continuing a run: from a configuration to a trainer at work."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gadkit.checkpoints.store import settle
from gadkit.config import RunConfig
from gadkit.data.store import ClipStore, Store
from gadkit.engine.clips import Clips
from gadkit.engine.devices import Engine
from gadkit.errors import ConfigError, DataError
from gadkit.interfaces.dataset import ENDLESS, locate
from gadkit.interfaces.footprint import Footprint
from gadkit.interfaces.spec import VideoSpec
from gadkit.interfaces.trainer import Trainer
from gadkit.randomness import Key
from gadkit.registry import Registry, get_registry
from gadkit.report.live import LiveReport
from gadkit.runs.attempt import Attempt, rewound
from gadkit.runs.choices import resolve_config
from gadkit.runs.environment import algorithms, environment
from gadkit.runs.fitting import auto_batch as find_cut
from gadkit.runs.fitting import out_of_memory
from gadkit.runs.folder import CONFIG, ENVIRONMENT, Run, check_new, step_of
from gadkit.runs.inside import check_inside
from gadkit.runs.loading import read_description
from gadkit.runs.lock import locked
from gadkit.runs.opening import choose
from gadkit.runs.parts import build_part
from gadkit.runs.plan import RESIDENT_SHARE, check_fit, check_nets, check_rules, free_memory, make_plan
from gadkit.runs.reporter import Reporter
from gadkit.runs.resuming import GoingOn, changes, check_changes, choose_checkpoint
from gadkit.runs.session import Session
from gadkit.runs.sketches import check_resumed
from gadkit.runs.stores import open_store
from gadkit.runs.telling import Telling, build_trackers
from gadkit.transfer.initial import begin_together, begun_with, check_source


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a training ended.

    Attributes:
        path: The run's folder; `None` after a dry run and in processes that do not write.
        reason: `finished` or `stopped`.
    """

    path: Path | None
    reason: str


def train(
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    recipe: str | None = None,
    config: str | Path | None = None,
    set: Sequence[str] | Mapping[str, Any] = (),
    plugins: Sequence[str | Path] = (),
    resolution: int | tuple[int, int] | None = None,
    allow_changes: bool = False,
    auto_batch: bool = False,
    dry_run: bool = False,
    reporter: Reporter | None = None,
    stop: threading.Event | None = None,
    **choices: Any,
) -> Outcome:
    """Trains a video generator.

    Args:
        out: The run's folder, new or empty; by default the next number under `runs/`.
        resume: A run's folder to go on with, from its newest whole checkpoint and with its own configuration; or
            `"auto"`: go on with the run at `out`, where there is one, else start it.
        recipe: A named choice of every part.
        config: A TOML file, such as another run's `config.toml`.
        set: Settings by dotted key, `{"generator.width": 32}` or `["generator.width=32"]`.
        plugins: Python files that are loaded as plugins.
        resolution: Size of the training clips in pixels: a side, or (width, height).
        allow_changes: Whether a run that goes on may do so with settings or data that make another run of it.
        auto_batch: Find the largest micro-batch that fits the memory, and make up the batch by accumulation.
        dry_run: Check everything, make one step, and write nothing.
        reporter: Told what happens.
        stop: Ends the training after the step under way, with a checkpoint, once it is set.
        **choices: Any key of `CHOICES`: `generator="dcgan"` or a class of your own, `data="clips/"`, `steps=1000`, ...

    Returns:
        Where the run is, and how it ended.

    Raises:
        GadkitError: A setting, a component, the data, the device or the folder cannot be used; the sentence says why.
    """
    reporter = reporter or Reporter()
    registry = get_registry()
    run = _run_to_resume(out, resume, config, recipe)
    if run is None and out is not None:
        check_new(Path(out))
    file = run.path / CONFIG if run is not None and resume != "auto" else config
    resolved = resolve_config(registry, file, recipe, choices, set, plugins, resolution)
    engine = Engine(resolved.device, resolved.precision)
    check_rules(resolved, engine.precision)
    with ExitStack() as held:
        if engine.main:  # before an hour of decoding, because one may be refused
            for name, tracker in build_trackers(resolved.trackers).items():
                held.enter_context(registry.attached(name, tracker))
        if run is not None:
            check_inside(run.path)
        if run is not None and engine.main and not dry_run:
            held.enter_context(locked(run.path))
            settle(run.path / "checkpoints")
        going_on = None if run is None else _going_on(registry, run, resolved, engine, allow_changes)
        source = resolved.run.init_from if going_on is None or going_on.checkpoint is None else None
        if source is not None:
            check_source(source)  # before an hour of decoding
        resolved, store = open_data(registry, resolved, engine, reporter)
        if going_on is not None:
            going_on.opened(registry, resolved, store)
        session = build(registry, resolved, engine, store)
        session.reporter = reporter
        if stop is not None:
            session.stop = stop
        if going_on is not None and going_on.checkpoint is not None:
            session.checkpoint, session.attempt = going_on.checkpoint, going_on.attempt
        trainer = session.parts["trainer"]
        assert isinstance(trainer, Trainer)
        described = environment(resolved, engine, registry) | ({} if run is None else begun_with(run))
        transfer = None
        if source is not None:
            transfer = begin_together(source, session)
            described["init_from"] = transfer.to_dict()
        # The estimate draws clips, which a pipe gives only once.
        footprint = trainer.footprint(session) if store.ordered else None
        cut = find_cut(session, trainer, footprint) if auto_batch else {}
        if engine.main:
            plan = make_plan(session.config, engine, store, session.video, session.parts, footprint)
            plan.facts += session.scheduling.facts()
            if resolved.trackers:
                plan.facts.append(("trackers", ", ".join(resolved.trackers)))
            plan.facts += [("auto batch", f"trainer.{name} = {value}") for name, value in cut.items()]
            if transfer is not None:
                plan.transfer = transfer
                plan.warnings += transfer.warnings
            if going_on is not None:
                going_on.tell(plan, described)
            reporter.plan(plan)
            described["plan"] = {"facts": dict(plan.facts), "warnings": plan.warnings}
        if session.config.evaluation.every is not None:  # before there is a folder, for much of it can be refused
            from gadkit.evaluation.watching import Evaluator  # imports torchmetrics, which takes seconds

            session.evaluator = Evaluator(session)
        if dry_run:
            session.steps = session.step + 1
        elif engine.main:
            if run is None:
                name = resolved.parts["generator"].entry.component.name
                run = Run.create(None if out is None else Path(out), name)
                held.enter_context(locked(run.path))
            _begin(run, session, described, going_on)
        return _fit(session, trainer, footprint)


def _begin(run: Run, session: Session, described: dict[str, Any], going_on: GoingOn | None) -> None:
    """Puts a run's folder into the state in which its course begins."""
    session.run = run
    session.page = LiveReport(run, lambda text: session.reporter.warned(session.step, text))
    if going_on is not None:  # before the configuration is another: who is cut off between the two notes it again
        run.write_log(rewound(run.read_log(), session.step, session.attempt))
        going_on.record(run)
    run.write_text(CONFIG, session.config.to_toml())
    run.write_text(ENVIRONMENT, json.dumps(described, indent=1) + "\n")


def _run_to_resume(
    out: str | Path | None, resume: str | Path | None, config: str | Path | None, recipe: str | None
) -> Run | None:
    """The run to go on with, where there is one."""
    if resume is None:
        return None
    if resume == "auto":
        if out is None:
            raise ConfigError("resume: found 'auto', which goes on with the run at --out; say which with --out FOLDER.")
        return Run.open(Path(out)) if (Path(out) / CONFIG).is_file() else None
    if out is not None or config is not None or recipe is not None:
        raise ConfigError(
            "resume: a run goes on in its own folder with its own configuration; leave out, config and recipe away."
        )
    return Run.open(Path(resume))


def _going_on(registry: Registry, run: Run, config: RunConfig, engine: Engine, allowed: bool) -> GoingOn:
    """From where and with what changes a run goes on, the same in every process."""
    damaged: list[str] = []
    chosen = choose_checkpoint(run, damaged.append) if engine.main else None
    told = engine.share(None if chosen is None else [str(chosen[0]), chosen[1].to_dict()])
    found = GoingOn(run=run, allowed=allowed, damaged=damaged)
    if told is not None:
        found.checkpoint, found.attempt = Path(told[0]), Attempt(**told[1])
        found.changes = changes(registry, run, config, data=False)
        check_changes(run, found.changes, allowed=allowed)
        check_resumed(config, found.checkpoint, read_description(found.checkpoint)[1])
    return found


def _fit(session: Session, trainer: Trainer, footprint: Footprint | None) -> Outcome:
    run = session.run
    if run is not None:
        session.telling = Telling(session.registry, run.path)
        session.tell("gadkit_run_started", config=session.config.to_dict(), step=session.step)
    reason = "failed"
    try:
        with session.background, algorithms(session.config.run.deterministic, session.engine.device):
            reason = trainer.fit(session)
    except KeyboardInterrupt:
        reason = "stopped"
        raise
    except (RuntimeError, MemoryError, OSError) as error:
        if short := out_of_memory(error, session, trainer, footprint):
            raise short from error
        raise
    finally:
        session.clips.close()
        if run is not None:
            there = run.checkpoints()
            last = step_of(there[-1]) if there else 0
            if session.page is not None:
                session.page.refresh(reason)
            session.tell("gadkit_run_ended", step=last, reason=reason)
            if session.telling is not None:
                session.telling.end()
            session.reporter.ended(run.path, last, reason)
    return Outcome(path=run.path if run else None, reason=reason)


def open_data(registry: Registry, config: RunConfig, engine: Engine, reporter: Reporter) -> tuple[RunConfig, Store]:
    """Opens the data, and decodes them into the cache where they are not there; the configuration says which it was."""
    location = None if config.data.path is None else locate(config.data.path)
    opened = choose(registry, config.data.use, location, config.data.settings, config.data.labels)
    config = config.with_data(opened.entry, opened.settings)
    if opened.dataset.access == "pipe" and engine.world > 1:
        raise DataError(
            f"data.path: a pipe is read by one process, and there are {engine.world}; write its shards to files or "
            "to a server."
        )
    if len(opened.sources) <= ENDLESS:
        check_nets(config, opened.sources)
    with engine.main_first():
        store = open_store(config, opened, reporter.preparing if engine.main else None)
    if isinstance(store, ClipStore) and _fits(store, config.clips.resident, engine.device):
        store = store.to(engine.device)
    return config, store


def _fits(store: ClipStore, resident: str, device: torch.device) -> bool:
    return resident == "always" or (resident == "auto" and store.nbytes <= RESIDENT_SHARE * free_memory(device))


def build(registry: Registry, config: RunConfig, engine: Engine, store: Store) -> Session:
    """Builds every part, deterministically in the seed, and checks that they fit each other."""
    key = Key.of(config.seed, "train")
    video = VideoSpec(
        channels=store.channels,
        height=store.height,
        width=store.width,
        frames=config.video.frames,
        fps=store.fps / config.video.stride,
        classes=len(store.classes),
    )
    trainer = build_part(config, "trainer", key, video, {})
    parts: dict[str, Any] = {"trainer": trainer}
    for kind in (*trainer.needs, *trainer.takes):
        if kind not in config.parts:  # what the trainer needs was checked with the configuration
            continue
        parts[kind] = build_part(config, kind, key, video, parts)
    check_fit(config, parts)
    clips = Clips(store, key.fold("clips"), config.video.frames, stride=config.video.stride, settings=config.clips)
    return Session(
        config=config,
        registry=registry,
        engine=engine,
        video=video,
        root=key,
        clips=clips,
        parts=parts,
        steps=config.run.steps,
    )
