"""What a trainer hands over to be kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import nn


class Training(Protocol):
    """What a trainer hands to `Session.course`: everything that has to be kept for a run to go on exactly."""

    @property
    def nets(self) -> Mapping[str, nn.Module]:
        """Everything that is trained, by name: `generator`, `assembler`, `discriminator`, ...

        Their parameters and buffers are saved, restored, and watched for numbers that are not finite.
        """

    @property
    def models(self) -> Mapping[str, nn.Module]:
        """`generator` and `assembler` with the weights that samples are made with, such as their averages.

        They are saved as the model, and restored.
        """

    def state(self) -> dict[str, Any]:
        """What else the next step depends on: the optimisers' memory, values not logged yet.

        Nested dicts with text for keys, lists, tensors and plain values. Called by all processes together, between two
        steps.
        """

    def load(self, state: dict[str, Any]) -> None:
        """Takes back what `state` gave, after the nets and models. Learning rates are `Session.attempt.rate` times
        what the settings say.

        Raises:
            KeyError, RuntimeError, TypeError, ValueError: It does not fit.
        """

    def read(self) -> dict[str, float]:
        """The values to log: means over the steps since the last call. Called by all processes together."""
