"""From what a user chose, by flags or keywords, to a configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gadkit.config import RunConfig
from gadkit.interfaces.dataset import locate
from gadkit.registry import Registry

#: The choices of `train` and of the command line, and the settings that they stand for.
CHOICES: dict[str, str] = {
    "generator": "generator.use",
    "assembler": "assembler.use",
    "discriminator": "discriminator.use",
    "loss": "loss.use",
    "penalty": "penalty.use",
    "augmentation": "augmentation.use",
    "direction": "direction.use",
    "refiner": "refiner.use",
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
    "steps": "run.steps",
    "batch_size": "trainer.batch_size",
    "accumulate": "trainer.accumulate",
    "max_time": "run.max_time",
    "generator_lr": "trainer.generator_lr",
    "discriminator_lr": "trainer.discriminator_lr",
    "generator_betas": "trainer.generator_betas",
    "discriminator_betas": "trainer.discriminator_betas",
    "discriminator_steps": "direction.discriminator_steps",
    "ema": "trainer.ema",
    "log_every": "run.log_every",
    "sample_every": "run.sample_every",
    "checkpoint_every": "run.checkpoint_every",
    "keep": "run.keep",
    "keep_every": "run.keep_every",
    "init_from": "run.init_from",
    "tracker": "tracker.use",
    "eval_every": "evaluation.every",
    "eval_protocol": "evaluation.protocol",
    "eval_metric": "evaluation.metrics",
    "eval_features": "evaluation.features",
}


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
        if name == "tracker":
            several = value if isinstance(value, list | tuple) else [value]
            value = [registry.adopt(name, each) if isinstance(each, type) else each for each in several]
        elif key.endswith(".use") and isinstance(value, type):
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
