"""Fitting a step into the memory of the devices: the estimate, the search for the cut, and the error where it fails."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from gadkit.data.store import ClipStore
from gadkit.errors import ConfigError, DeviceError
from gadkit.interfaces.footprint import Footprint
from gadkit.interfaces.trainer import Trainer
from gadkit.runs.memory import Load, auto_accumulate, explain, is_out_of_memory, probe, room

if TYPE_CHECKING:
    from gadkit.runs.session import Session


def load_of(session: Session, trainer: Trainer, footprint: Footprint | None) -> Load:
    """What a step asks of this process's device."""
    store = session.clips.store
    resident = isinstance(store, ClipStore) and store.resident and store.device == session.engine.device
    return Load(
        batch_size=trainer.batch_size,
        world=session.engine.world,
        accumulate=trainer.accumulate,
        group=1 if trainer.regroups and session.checkpoint is None else trainer.group,
        footprint=footprint,
        resident=store.nbytes if isinstance(store, ClipStore) and resident else 0,
        precision=session.engine.precision,
    )


def auto_batch(session: Session, trainer: Trainer, footprint: Footprint | None) -> dict[str, Any]:
    """Cuts the batch into the fewest micro-batches that fit, in all processes alike, and notes it in the configuration.

    Returns:
        The trainer's settings that were chosen.

    Raises:
        ConfigError: The trainer cannot cut its batch, or says nothing of its memory.
        DeviceError: Not even the finest cut fits.
    """
    part = session.config.parts["trainer"]
    if "accumulate" not in part.settings or footprint is None:
        raise ConfigError(
            f"--auto-batch: trainer {part.entry.component.name!r} cannot cut its batch into pieces; choose a smaller "
            "batch by hand."
        )
    engine, load = session.engine, load_of(session, trainer, footprint)
    fits = probe(load, engine.device, lambda pieces: trainer.rehearse(session, pieces))
    pieces = auto_accumulate(
        load.batch_size, fits, world=load.world, group=load.group, anywhere=lambda flag: engine.any(flag)[0]
    )
    if pieces is None:
        finest = max(load.cuts(), default=1)
        raise explain(MemoryError(), engine.device, dataclasses.replace(load, accumulate=finest), room(engine.device))
    chosen = trainer.cut(session, pieces)
    part = dataclasses.replace(part, settings={**part.settings, **chosen})
    session.config = dataclasses.replace(session.config, parts={**session.config.parts, "trainer": part})
    return chosen


def out_of_memory(
    error: BaseException, session: Session, trainer: Trainer, footprint: Footprint | None
) -> DeviceError | None:
    """The error to show in place of one that says that memory could not be had; `None` for any other."""
    if not is_out_of_memory(error):
        return None
    device = session.engine.device
    return explain(error, device, load_of(session, trainer, footprint), room(device))
