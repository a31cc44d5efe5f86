"""For plugin authors: checks that a component keeps the promises of its interface.

```python
from gadkit.testing import check_generator

def test_sparkle():
    check_generator(Sparkle, width=8)
```
"""

from gadkit.testing.assemblers import check_assembler
from gadkit.testing.augmentations import check_augmentation
from gadkit.testing.datasets import check_dataset
from gadkit.testing.directions import check_direction
from gadkit.testing.discriminators import check_discriminator
from gadkit.testing.generators import check_generator
from gadkit.testing.losses import check_loss
from gadkit.testing.measures import check_features, check_metric
from gadkit.testing.penalties import check_penalty
from gadkit.testing.refiners import check_refiner
from gadkit.testing.scheduled import check_scheduled

#: The check of each kind that has one, without those of data and measures.
CHECKS = {
    "generator": check_generator,
    "assembler": check_assembler,
    "discriminator": check_discriminator,
    "loss": check_loss,
    "penalty": check_penalty,
    "augmentation": check_augmentation,
    "direction": check_direction,
    "refiner": check_refiner,
}

__all__ = [
    "CHECKS",
    "check_assembler",
    "check_augmentation",
    "check_dataset",
    "check_direction",
    "check_discriminator",
    "check_features",
    "check_generator",
    "check_loss",
    "check_metric",
    "check_penalty",
    "check_refiner",
    "check_scheduled",
]
