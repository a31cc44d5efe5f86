"""Real clips to be seen beside generated ones."""

from __future__ import annotations

import torch
from torch import Tensor

from gadkit.config import RunConfig
from gadkit.evaluation.clips import ClipList
from gadkit.evaluation.protocol import ProtocolSettings
from gadkit.evaluation.taking import run_data
from gadkit.registry import Registry


def real_clips(
    registry: Registry, config: RunConfig, settings: ProtocolSettings, size: tuple[int, int], count: int
) -> tuple[Tensor, float]:
    """The first clips that a protocol takes of a run's data: of those held out, where there are some.

    Args:
        registry: The components.
        config: The run's.
        settings: Of the protocol.
        size: H and W in pixels.
        count: How many at the most.

    Returns:
        uint8 `(n, T, 3, H, W)`, and their frames a second.

    Raises:
        DataError: They cannot be opened.
    """
    subject, _ = run_data(registry, config, "held-out")
    subject.open(settings, *size)
    chosen = subject.choose(settings, generated=False)
    with torch.no_grad():
        return subject.read(ClipList(chosen.videos[:count], chosen.places[:count]), settings), subject.rate
