"""Which check holds a component of each kind to its interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from unittest import SkipTest

from gadkit.interfaces.dataset import locate
from gadkit.testing.assemblers import check_assembler
from gadkit.testing.augmentations import check_augmentation
from gadkit.testing.commands import check_command
from gadkit.testing.datasets import check_dataset
from gadkit.testing.directions import check_direction
from gadkit.testing.discriminators import check_discriminator
from gadkit.testing.generators import check_generator
from gadkit.testing.losses import check_loss
from gadkit.testing.measures import check_features, check_metric
from gadkit.testing.penalties import check_penalty
from gadkit.testing.recipes import check_protocol, check_recipe
from gadkit.testing.refiners import check_refiner
from gadkit.testing.subjects import Trial
from gadkit.testing.trackers import check_tracker
from gadkit.testing.trainers import check_trainer
from gadkit.testing.training import needs_no_data

#: The check of each kind whose targets are classes that are built with settings alone: called with class and settings.
CHECKS: Mapping[str, Callable[..., None]] = {
    "generator": check_generator,
    "assembler": check_assembler,
    "discriminator": check_discriminator,
    "loss": check_loss,
    "penalty": check_penalty,
    "augmentation": check_augmentation,
    "direction": check_direction,
    "refiner": check_refiner,
    "trainer": check_trainer,
    "features": check_features,
    "metric": check_metric,
    "tracker": check_tracker,
}


def check_contract(trial: Trial) -> None:
    """Checks a component against the interface of its kind.

    Raises:
        AssertionError: A broken promise.
        unittest.SkipTest: It is a dataset that has to be given data.
    """
    if trial.kind in CHECKS:
        CHECKS[trial.kind](trial.load(), **trial.settings)
    elif trial.kind == "dataset":
        _check_dataset(trial)
    elif trial.kind == "recipe":
        check_recipe(trial.entry, trial.registry, **trial.settings)
    elif trial.kind == "protocol":
        check_protocol(trial.entry, trial.registry, **trial.settings)
    else:
        check_command(trial.entry)


def _check_dataset(trial: Trial) -> None:
    cls = trial.load()
    if trial.data is not None:
        check_dataset(cls, locate(trial.data), **trial.settings)
        return
    if not needs_no_data(cls, trial.settings):
        raise SkipTest(f"{trial.name} needs data to be tried on: conformance(..., data=...), --data")
    check_dataset(cls, **trial.settings)
