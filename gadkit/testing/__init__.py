"""For plugin authors: checks that a component keeps the promises of its interface.

```python
import pytest
from gadkit.testing import conformance

@pytest.mark.parametrize("check", conformance("gadkit-sparkle"), ids=str)
def test_conformance(check):
    check()
```

`conformance` lists everything that is promised of a package, a component or a class; `gadkit plugins check` does the
same on the command line. A single contract has a function of its own: `check_generator(Sparkle, width=8)`.

The names below load on first use: a list of checks is made without importing torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gadkit.testing.assemblers import check_assembler as check_assembler
    from gadkit.testing.augmentations import check_augmentation as check_augmentation
    from gadkit.testing.commands import check_command as check_command
    from gadkit.testing.contracts import CHECKS as CHECKS
    from gadkit.testing.datasets import check_dataset as check_dataset
    from gadkit.testing.directions import check_direction as check_direction
    from gadkit.testing.discriminators import check_discriminator as check_discriminator
    from gadkit.testing.generators import check_generator as check_generator
    from gadkit.testing.kit import Broken as Broken
    from gadkit.testing.kit import Check as Check
    from gadkit.testing.kit import conformance as conformance
    from gadkit.testing.losses import check_loss as check_loss
    from gadkit.testing.measures import check_features as check_features
    from gadkit.testing.measures import check_metric as check_metric
    from gadkit.testing.penalties import check_penalty as check_penalty
    from gadkit.testing.recipes import check_protocol as check_protocol
    from gadkit.testing.recipes import check_recipe as check_recipe
    from gadkit.testing.refiners import check_refiner as check_refiner
    from gadkit.testing.scheduled import check_scheduled as check_scheduled
    from gadkit.testing.trackers import check_tracker as check_tracker
    from gadkit.testing.trainers import check_trainer as check_trainer

_LAZY = {
    "Broken": "kit",
    "CHECKS": "contracts",
    "Check": "kit",
    "check_assembler": "assemblers",
    "check_augmentation": "augmentations",
    "check_command": "commands",
    "check_dataset": "datasets",
    "check_direction": "directions",
    "check_discriminator": "discriminators",
    "check_features": "measures",
    "check_generator": "generators",
    "check_loss": "losses",
    "check_metric": "measures",
    "check_penalty": "penalties",
    "check_protocol": "recipes",
    "check_recipe": "recipes",
    "check_refiner": "refiners",
    "check_scheduled": "scheduled",
    "check_tracker": "trackers",
    "check_trainer": "trainers",
    "conformance": "kit",
}

__all__ = [
    "CHECKS",
    "Broken",
    "Check",
    "check_assembler",
    "check_augmentation",
    "check_command",
    "check_dataset",
    "check_direction",
    "check_discriminator",
    "check_features",
    "check_generator",
    "check_loss",
    "check_metric",
    "check_penalty",
    "check_protocol",
    "check_recipe",
    "check_refiner",
    "check_scheduled",
    "check_tracker",
    "check_trainer",
    "conformance",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'gadkit.testing' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"gadkit.testing.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
