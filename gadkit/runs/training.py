"""Starting and continuing a run: from a configuration to a trainer at work."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gadkit.config import RunConfig
from gadkit.data.store import ClipStore, Store
from gadkit.engine.clips import Clips
from gadkit.engine.devices import Engine
from gadkit.errors import ConfigError, DataError, DeviceError
from gadkit.interfaces.dataset import ENDLESS, locate
from gadkit.interfaces.spec import VideoSpec
from gadkit.interfaces.trainer import Trainer
from gadkit.randomness import Key, seeded
from gadkit.registry import Registry, get_registry
from gadkit.runs.environment import environment
from gadkit.runs.folder import CONFIG, ENVIRONMENT, Run, check_new, step_of
from gadkit.runs.opening import choose
from gadkit.runs.plan import RESIDENT_SHARE, check_fit, check_nets, free_memory, make_plan
from gadkit.runs.reporter import Reporter
from gadkit.runs.resuming import check_classes, check_resumable
from gadkit.runs.session import Session
from gadkit.runs.stores import open_store

#: The choices of `train` and of the command line, and the settings that they stand for.
CHOICES: dict[str, str] = {
    "generator": "generator.use",
    "assembler": "assembler.use",
    "discriminator": "discriminator.use",
    "loss": "loss.use",
    "penalty": "penalty.use",
    "direction": "direction.use",
    "trainer": "trainer.use",
    "dataset": "data.use",
    "data": "data.path",
    "labels": "data.labels",
    "frames": "video.frames",
    "stride": "video.stride",
    "fps": "video.fps",
    "fit": "video.fit",
    "offset": "clips.offset",
    "clips_per_video": "clips.per_video",
    "flip": "clips.flip",
    "held_out": "clips.held_out",
    "group": "clips.group",
    "background": "video.background",
    "seed": "seed",
    "device": "device",
    "precision": "precision",
    "steps": "trainer.steps",
    "batch_size": "trainer.batch_size",
    "accumulate": "trainer.accumulate",
    "max_time": "trainer.max_time",
    "generator_lr": "trainer.generator_lr",
    "discriminator_lr": "trainer.discriminator_lr",
    "generator_betas": "trainer.generator_betas",
    "discriminator_betas": "trainer.discriminator_betas",
    "discriminator_steps": "direction.discriminator_steps",
    "ema": "trainer.ema",
    "log_every": "trainer.log_every",
    "sample_every": "trainer.sample_every",
    "checkpoint_every": "trainer.checkpoint_every",
}


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
    dry_run: bool = False,
    reporter: Reporter | None = None,
    stop: threading.Event | None = None,
    **choices: Any,
) -> Outcome:
    """Trains a video generator.

    Args:
        out: The run's folder, new or empty; by default the next number under `runs/`.
        resume: A run's folder to go on with, from its newest checkpoint and with its own configuration. Choices may
            change all of it but the nets and the shape of the clips.
        recipe: A named choice of every part.
        config: A TOML file, such as another run's `config.toml`.
        set: Settings by dotted key, `{"generator.width": 32}` or `["generator.width=32"]`.
        plugins: Python files that are loaded as plugins.
        resolution: Size of the training clips in pixels: a side, or (width, height).
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
    run = Run.open(Path(resume)) if resume is not None else None
    if run is not None and (out is not None or config is not None or recipe is not None):
        raise ConfigError(
            "resume: a run goes on in its own folder with its own configuration; leave out, config and recipe away."
        )
    if out is not None:
        check_new(Path(out))
    resolved = resolve_config(registry, run.path / CONFIG if run else config, recipe, choices, set, plugins, resolution)
    checkpoint = run.find_checkpoint() if run is not None and run.checkpoints() else None
    if run is not None and checkpoint is not None:
        check_resumable(run, resolved)
    engine = Engine(resolved.device, resolved.precision)
    resolved, store = open_data(registry, resolved, engine, reporter)
    if run is not None and checkpoint is not None:
        check_classes(run, store.classes)
    session = build(registry, resolved, engine, store)
    session.reporter, session.checkpoint = reporter, checkpoint
    if stop is not None:
        session.stop = stop
    trainer = session.parts["trainer"]
    assert isinstance(trainer, Trainer)
    if engine.main:
        # The estimate draws clips, which a pipe gives only once.
        memory = trainer.memory(session) if store.ordered else None
        reporter.plan(make_plan(resolved, engine, store, session.video, session.parts, memory))
    if dry_run:
        trainer.steps = 1 if checkpoint is None else step_of(checkpoint) + 1
        with session.background:
            return Outcome(path=None, reason=trainer.fit(session))
    if engine.main:
        session.run = run or Run.create(
            None if out is None else Path(out), resolved.parts["generator"].entry.component.name
        )
        session.run.write_text(CONFIG, resolved.to_toml())
        session.run.write_text(ENVIRONMENT, json.dumps(environment(resolved, engine, registry), indent=1) + "\n")
    return _fit(session, trainer)


def _fit(session: Session, trainer: Trainer) -> Outcome:
    run, registry = session.run, session.registry
    step = 0 if session.checkpoint is None else step_of(session.checkpoint)
    if run is not None:
        run.rewind_log(step)
        registry.notify("gadkit_run_started", folder=run.path, config=session.config.to_dict(), step=step)
    reason = "failed"
    try:
        with session.background:
            reason = trainer.fit(session)
    except KeyboardInterrupt:
        reason = "stopped"
        raise
    except torch.OutOfMemoryError as error:
        raise DeviceError(
            f"trainer.batch_size: a step of {trainer.batch_size} clips does not fit the memory of "
            f"{session.engine.device}; lower it with --batch-size, or cut it into pieces with --accumulate."
        ) from error
    finally:
        session.clips.close()
        if run is not None:
            there = run.checkpoints()
            last = step_of(there[-1]) if there else 0
            registry.notify("gadkit_run_ended", folder=run.path, step=last, reason=reason)
            session.reporter.ended(run.path, last, reason)
    return Outcome(path=run.path if run else None, reason=reason)


def resolve_config(
    registry: Registry,
    file: str | Path | None,
    recipe: str | None,
    choices: Mapping[str, Any],
    sets: Sequence[str] | Mapping[str, Any],
    plugins: Sequence[str | Path],
    resolution: int | tuple[int, int] | None,
) -> RunConfig:
    """The configuration that choices stand for; classes among them are adopted as components."""
    for path in plugins:
        registry.load_file(Path(path))
    flags: dict[str, Any] = {}
    for name, value in choices.items():
        if name not in CHOICES:
            raise TypeError(f"train() got an unexpected keyword argument {name!r}; settings go into set={{...}}")
        if value is None:
            continue
        key = CHOICES[name]
        if key.endswith(".use") and isinstance(value, type):
            value = registry.adopt(name, value)
        elif isinstance(value, Path):
            value = str(value)
        flags[key] = value
    if resolution is not None:
        width, height = (resolution, resolution) if isinstance(resolution, int) else resolution
        flags |= {"video.width": width, "video.height": height}
    if isinstance(sets, Mapping):
        flags |= sets
        sets = ()
    if recipe is None and file is None:
        recipe = "dcgan" if "data.path" in flags else "demo"
    file = None if file is None else Path(file)
    config = RunConfig.resolve(registry, recipe=recipe, file=file, flags=flags, sets=sets)
    return config if config.data.path is None else config.with_path(locate(config.data.path))


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
    trainer = _make(config, "trainer", key)
    parts: dict[str, Any] = {"trainer": trainer}
    for kind in (*trainer.needs, *trainer.takes):
        if kind not in config.parts:  # what the trainer needs was checked with the configuration
            continue
        if kind == "assembler":
            arguments: tuple[Any, ...] = (video, parts["generator"].latent_dim, parts["generator"].motion_dim)
        else:
            arguments = (video,) if kind in {"generator", "discriminator"} else ()
        parts[kind] = _make(config, kind, key, *arguments)
    check_fit(config, parts)
    clips = Clips(store, key.fold("clips"), config.video.frames, stride=config.video.stride, settings=config.clips)
    return Session(config=config, registry=registry, engine=engine, video=video, key=key, clips=clips, parts=parts)


def _make(config: RunConfig, kind: str, key: Key, *arguments: Any) -> Any:
    part = config.parts[kind]
    with seeded(key.fold("init", kind)):
        return part.entry.load()(*arguments, **part.settings)
