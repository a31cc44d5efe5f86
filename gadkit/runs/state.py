"""The state of a training in a checkpoint: its files, and how they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from gadkit.checkpoints.store import read_document, read_tensors, unflatten
from gadkit.errors import DamagedError
from gadkit.runs.model import WEIGHTS

#: The files of a checkpoint beside the model's: tensors, and plain values.
TENSORS = "training.safetensors"
STATE = "state.json"


def read_state(checkpoint: Path) -> dict[str, Any]:
    """The state that `gadkit.runs.writing.Writer.save` was given; tensors on the CPU.

    Raises:
        RunError: A file is damaged.
    """
    document = read_document(checkpoint, STATE)
    try:
        state = unflatten(document, read_tensors(checkpoint, TENSORS))
    except DamagedError as error:
        raise DamagedError(f"{checkpoint / STATE}: {error}") from error
    if not isinstance(state, dict):
        raise DamagedError(f"{checkpoint / STATE}: is no JSON object, expected the state of a training.")
    return state


def read_models(checkpoint: Path) -> dict[str, dict[str, torch.Tensor]]:
    """The weights of `generator` and `assembler` that samples are made with, by name."""
    found: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in read_tensors(checkpoint, WEIGHTS).items():
        name, _, own = key.partition(".")
        found.setdefault(name, {})[own] = value
    return found
