"""For plugin authors: checks that a component keeps the promises of its interface.

```python
from gadkit.testing import check_generator

def test_sparkle():
    check_generator(Sparkle, width=8)
```
"""

from gadkit.testing.augmentations import check_augmentation
from gadkit.testing.conformance import (
    CHECKS,
    check_assembler,
    check_discriminator,
    check_generator,
    check_loss,
    check_penalty,
)
from gadkit.testing.datasets import check_dataset
from gadkit.testing.directions import check_direction
from gadkit.testing.measures import check_features, check_metric
from gadkit.testing.refiners import check_refiner
from gadkit.testing.scheduled import check_scheduled

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
