"""I3D's published arrays as the state of `I3D`: other names, kernels with the channels first, nothing else changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .i3d import WIDTHS

_BRANCHES = {
    "branch_0": "Branch_0/Conv3d_0a_1x1",
    "branch_1a": "Branch_1/Conv3d_0a_1x1",
    "branch_1b": "Branch_1/Conv3d_0b_3x3",
    "branch_2a": "Branch_2/Conv3d_0a_1x1",
    "branch_2b": "Branch_2/Conv3d_0b_3x3",
    "branch_3": "Branch_3/Conv3d_0b_1x1",
}


def convert(arrays: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state of `I3D`.

    Args:
        arrays: `params` and `batch_stats`, nested by block, branch and layer: kernels `(T, H, W, in, out)`, the rest
            `(out,)`, with or without axes of one before.

    Returns:
        Name to float32 tensor.

    Raises:
        KeyError: An array is missing.
    """
    state: dict[str, Tensor] = {}
    params, statistics = arrays["params"], arrays["batch_stats"]
    for name, path in _units():
        layers, moments = params, statistics
        for key in path:
            layers, moments = layers[key], moments[key]
        state[f"{name}.weight"] = _kernel(layers["Conv_0"]["kernel"])
        state[f"{name}.bias"] = _vector(layers["BatchNorm_0"]["bias"])
        state[f"{name}.mean"] = _vector(moments["BatchNorm_0"]["mean"])
        state[f"{name}.variance"] = _vector(moments["BatchNorm_0"]["var"])
    head = params["Logits/Conv3d_0c_1x1"]["Conv_0"]
    state["head.weight"] = _kernel(head["kernel"]).flatten(1)
    state["head.bias"] = _vector(head["bias"])
    return state


def _units() -> Iterator[tuple[str, list[str]]]:
    """Every unit's name here, and its path there."""
    for name, key in {"1a": "Conv3d_1a_7x7", "2b": "Conv3d_2b_1x1", "2c": "Conv3d_2c_3x3"}.items():
        yield f"conv_{name}", [key]
    for block in WIDTHS:
        for name, key in _BRANCHES.items():
            yield f"mixed.{block}.{name}", [f"Mixed_{block}", key]


def _kernel(array: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, (-1, -2), (0, 1)), dtype=np.float32))


def _vector(array: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=np.float32).reshape(-1))
