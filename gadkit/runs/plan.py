"""What a training is about to do, checked and put into words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from gadkit.config import RunConfig
from gadkit.data.machine import main_memory
from gadkit.data.store import ClipStore, Store
from gadkit.engine.devices import Engine, describe_device
from gadkit.engine.weightless import weightless
from gadkit.errors import ConfigError, GadkitError
from gadkit.interfaces.dataset import ENDLESS, Source
from gadkit.interfaces.discriminator import Discriminator
from gadkit.interfaces.footprint import Footprint
from gadkit.interfaces.spec import VideoSpec
from gadkit.interfaces.trainer import Trainer
from gadkit.randomness import Key, seeded
from gadkit.runs.reporter import Plan
from gadkit.words import count_text, size_text

#: Frames stay in the device's memory where they take no more than this share of what is free.
RESIDENT_SHARE = 0.25


def check_fit(config: RunConfig, parts: Mapping[str, Any]) -> None:
    """Refuses parts whose declarations contradict each other, naming both; a direction's are `check_rules`'."""
    name = partial(_name, config)
    discriminator, loss = parts.get("discriminator"), parts.get("loss")
    heads = () if discriminator is None else _counts(discriminator)
    if loss is not None and loss.logits is not None and any(count != loss.logits for count in heads):
        raise ConfigError(
            f"{name('loss')} needs {loss.logits} logits a clip, but {name('discriminator')} gives "
            f"{' and '.join(map(str, heads))}; choose another --loss or --discriminator."
        )
    if "refiner" in config.parts and (discriminator is None or not parts["trainer"].judges):
        raise ConfigError(
            f"{name('refiner')} follows the gradient of a discriminator, and {name('trainer')} trains none; "
            "choose --refiner none, or another --trainer."
        )


def _counts(discriminator: Discriminator) -> tuple[int, ...]:
    logits = discriminator.logits
    return (logits,) if isinstance(logits, int) else tuple(dict.fromkeys(logits.values()))


def check_rules(config: RunConfig, precision: str) -> None:
    """Refuses a direction whose flags the loss, the cut or the precision cannot meet, before any data are opened.

    Args:
        config: The run's.
        precision: The engine's, never `auto`.
    """

    def build(kind: str) -> Any:
        with seeded(Key.of(config.seed, "rules")):  # what it draws to begin with is nobody's
            return config.parts[kind].entry.load()(**config.parts[kind].settings)

    trainer = build("trainer")
    used = {*trainer.needs, *trainer.takes} & config.parts.keys()
    if "direction" not in used:
        return
    direction, cut = build("direction"), trainer.accumulate
    name = partial(_name, config)
    if direction.needs_zero_sum and "loss" in used and not build("loss").zero_sum:
        raise ConfigError(
            f"{name('direction')} is only right for zero-sum losses, and {name('loss')} is none; "
            "choose --loss minimax or wasserstein, or another --direction."
        )
    if direction.needs_one_graph and cut > 1:
        raise ConfigError(
            f"trainer.accumulate: found {cut}, but {name('direction')} differentiates one graph of the whole batch, "
            "which cannot be cut; expected 1: use --accumulate 1 with a smaller --batch-size, or another --direction."
        )
    if not direction.scalable and precision == "fp16":
        raise ConfigError(
            f"precision: found 'fp16', but {name('direction')} cannot work with gradients that are scaled, as fp16 "
            "needs them; expected bf16, fp32 or fp64: choose one of these, or another --direction."
        )


def _name(config: RunConfig, kind: str) -> str:
    return f"{kind} {config.parts[kind].entry.component.name!r}"


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
        with weightless():
            for kind in ("generator", "discriminator"):
                if kind in used and kind in config.parts:
                    config.parts[kind].entry.load()(video, **config.parts[kind].settings)
    except GadkitError:
        raise
    except Exception:
        return


def make_plan(
    config: RunConfig,
    engine: Engine,
    store: Store,
    video: VideoSpec,
    parts: Mapping[str, Any],
    footprint: Footprint | None,
) -> Plan:
    """What a training chose; `footprint` is the trainer's estimate of a step."""
    plan = Plan()
    for kind, part in config.parts.items():
        if kind in parts:
            built = parts[kind]
            size = sum(p.numel() for p in built.parameters()) if isinstance(built, nn.Module) else None
            provider = f"{part.entry.distribution} {part.entry.version}".strip() or "this process"
            plan.parts.append((kind, part.entry.component.name, provider, size))
    trainer = parts["trainer"]
    unused = [f"{kind} {part.entry.component.name!r}" for kind, part in config.parts.items() if kind not in parts]
    if unused := [text for text in unused if not text.startswith("refiner ")]:  # which is the samples' own
        plan.warnings.append(f"{', '.join(unused)}: not used by {_name(config, 'trainer')}.")
    classes = f", {len(store.classes)} classes" if store.classes else ""
    shape, rate = f"{video.width}×{video.height}", f"{video.fps:g} Hz"
    processes = f"{engine.world} process{'es' * (engine.world > 1)}"
    plan.facts += [
        ("data", f"{_place(config)}: {_amount(store)}{classes}"),
        ("clips", f"{video.frames} frames of {shape} at {rate}, {_feeding(config, engine, store)}"),
        ("device", f"{describe_device(engine.device)}, {engine.precision}, {processes}"),
        (
            "training",
            f"recipe {config.recipe}, {config.run.steps} steps of {trainer.batch_size} clips, seed {config.seed}",
        ),
    ]
    if footprint is not None:
        clips = trainer.batch_size // (engine.world * trainer.accumulate)
        plan.facts.append(("memory", f"{size_text(footprint.at(clips))} for a step (estimate){_cut(trainer, clips)}"))
    shown = store.skipped[:5]
    plan.warnings += [f"{skipped.name}: left out, {skipped.reason}" for skipped in shown]
    if store.skipped:
        plan.warnings.append(f"{len(store.skipped)} of {len(store) + len(store.skipped)} videos were left out.")
    if isinstance(store, ClipStore) and len(store.rates) > 1:
        plan.warnings.append(
            f"the videos have {_several(store.rates)} Hz and are all taken as {store.fps:g} Hz; "
            f"--fps {store.fps:g} resamples them."
        )
    if not store.ordered:
        plan.warnings.append(
            "the data are a pipe, read once and in its own order: this run can be neither repeated nor resumed exactly."
        )
    return plan


def _cut(trainer: Trainer, clips: int) -> str:
    return f", in {trainer.accumulate} micro-batches of {count_text(clips, 'clip')}" if trainer.accumulate > 1 else ""


def _place(config: RunConfig) -> str:
    """Where the data lie, without what a URL may hold that nobody else should read."""
    path = config.data.path
    if path is None:
        return (config.data.use or "embedded").rpartition(":")[2]
    if "://" not in path:
        return path
    scheme, _, rest = path.partition("?")[0].partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _amount(store: Store) -> str:
    kept_back = f" ({store.held_out} held out)" if store.held_out else ""
    if isinstance(store, ClipStore):
        return f"{count_text(len(store), 'video')}{kept_back}, {count_text(int(store.lengths.sum()), 'frame')}"
    if not store.ordered:
        return "a pipe"
    return "endless" if len(store) > ENDLESS else f"{count_text(len(store), 'video')}{kept_back}, streamed"


def _feeding(config: RunConfig, engine: Engine, store: Store) -> str:
    """Where clips are read from, with the rule by which that was chosen and its numbers."""
    if not isinstance(store, ClipStore):
        return "decoded as they are needed"
    if config.clips.resident == "auto":
        sign = "≤" if store.resident else ">"
        free = free_memory(engine.device) + (store.nbytes if store.resident else 0)
        rule = f" ({sign} {RESIDENT_SHARE:.0%} of the free {size_text(free)})"
    else:
        rule = f" (clips.resident = {config.clips.resident})"
    return f"{size_text(store.nbytes)} {f'resident on {store.device}' if store.resident else 'memory-mapped'}{rule}"


def _several(rates: Sequence[float]) -> str:
    shown = [f"{rate:g}" for rate in rates[:5]] + (["..."] if len(rates) > 5 else [])
    return ", ".join(shown)


def free_memory(device: torch.device) -> float:
    """Bytes that are free on a device."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return float(main_memory().available)
