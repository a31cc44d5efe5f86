"""What a training is about to do, checked and put into words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from gadkit.config import RunConfig
from gadkit.engine.devices import Engine, describe_device
from gadkit.errors import ConfigError, GadkitError
from gadkit.interfaces.dataset import Source
from gadkit.interfaces.spec import VideoSpec
from gadkit.runs.reporter import Plan
from gadkit.video.pack import ClipStore


def check_fit(config: RunConfig, parts: Mapping[str, Any]) -> None:
    """Refuses parts whose declarations contradict each other, naming both."""

    def name(kind: str) -> str:
        return f"{kind} {config.parts[kind].entry.component.name!r}"

    discriminator, loss, direction = parts.get("discriminator"), parts.get("loss"), parts.get("direction")
    if loss is not None and discriminator is not None and loss.logits not in (None, discriminator.logits):
        raise ConfigError(
            f"{name('loss')} needs {loss.logits} logits a clip, but {name('discriminator')} gives "
            f"{discriminator.logits}; choose another --loss or --discriminator."
        )
    if direction is not None and loss is not None and direction.needs_zero_sum and not loss.zero_sum:
        raise ConfigError(
            f"{name('direction')} is only right for zero-sum losses, and {name('loss')} is none; "
            f"choose --loss minimax or wasserstein, or another --direction."
        )


def check_nets(config: RunConfig, sources: Sequence[Source]) -> None:
    """Lets the nets refuse the shape of the clips before an hour of decoding.

    They are built without memory here, and once more when the data are known; a net that cannot be built so is left
    to that time.
    """
    labels = {source.label for source in sources}
    video = VideoSpec(
        height=config.video.height,
        width=config.video.width,
        frames=config.video.frames,
        classes=0 if None in labels else len(labels),
    )
    trainer = config.parts["trainer"].entry.load()
    used = {*trainer.needs, *trainer.takes}
    try:
        with torch.device("meta"):
            for kind in ("generator", "discriminator"):
                if kind in used and kind in config.parts:
                    config.parts[kind].entry.load()(video, **config.parts[kind].settings)
    except GadkitError:
        raise
    except Exception:
        return


def make_plan(
    config: RunConfig, engine: Engine, store: ClipStore, video: VideoSpec, parts: Mapping[str, Any], memory: float
) -> Plan:
    """What a training chose; `memory` is the trainer's estimate for a step, in bytes."""
    plan = Plan()
    for kind, part in config.parts.items():
        if kind in parts:
            built = parts[kind]
            size = sum(p.numel() for p in built.parameters()) if isinstance(built, nn.Module) else None
            provider = f"{part.entry.distribution} {part.entry.version}".strip() or "this process"
            plan.parts.append((kind, part.entry.component.name, provider, size))
    trainer = parts["trainer"]
    classes = f", {len(store.classes)} classes" if store.classes else ""
    frames = int(store.lengths.sum())
    where = f"resident on {store.device}" if store.resident else "memory-mapped"
    shape, rate = f"{video.width}×{video.height}", f"{video.fps:g} Hz"
    processes = f"{engine.world} process{'es' * (engine.world > 1)}"
    plan.facts += [
        ("data", f"{config.data.path or 'embedded clips'}: {len(store)} videos, {frames} frames{classes}"),
        ("clips", f"{video.frames} frames of {shape} at {rate}, {_bytes(store.nbytes)} {where}"),
        ("device", f"{describe_device(engine.device)}, {engine.precision}, {processes}"),
        (
            "training",
            f"recipe {config.recipe}, {trainer.steps} steps of {trainer.batch_size} clips, seed {config.seed}",
        ),
        ("memory", f"{_bytes(memory)} for a step (estimate)"),
    ]
    shown = store.skipped[:5]
    plan.warnings += [f"{skipped.name}: left out, {skipped.reason}" for skipped in shown]
    if store.skipped:
        plan.warnings.append(f"{len(store.skipped)} of {len(store) + len(store.skipped)} videos were left out.")
    return plan


def _bytes(count: float) -> str:
    if count <= 0:
        return "0 B"
    power = min(int(math.log(count, 1024)), 4)
    return f"{count / 1024**power:.3g} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"
