"""A network's tensors: their identity, a hash that is the same wherever they lie, and how they are made from arrays."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gadkit.checkpoints.tensors import check_tensors
from gadkit.errors import DataError, PluginError
from gadkit.interfaces.weights import Weights

_SHOWN = 300


def digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of named tensors, in hexadecimal digits.

    Of every tensor, in the order of the names, it takes the name, the dtype, the shape, and the elements in their order
    as bytes; where a tensor lies, how its memory is laid out and whether it takes gradients is no part of it.

    Args:
        state: Name to tensor, as `torch.nn.Module.state_dict` gives it.
    """
    whole = hashlib.sha256()
    for name in sorted(state):
        value = state[name].detach().cpu().resolve_conj().resolve_neg().contiguous()
        head = [name, str(value.dtype).removeprefix("torch."), list(value.shape)]
        whole.update(json.dumps(head).encode() + b"\n")
        whole.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return whole.hexdigest()


def convert(weights: Weights, arrays: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state that the plugin makes of the arrays of its weights' file, held against the digest of the record.

    Args:
        weights: Names the function.
        arrays: Nested mappings of name to `numpy.ndarray`.

    Raises:
        PluginError: The function cannot be imported, fails, or gives no tensors by name.
        DataError: It gives other tensors than the record names.
    """
    module, _, attribute = weights.convert.partition(":")
    told = f"the weights {weights.name!r}: {weights.convert!r}, which makes their tensors,"
    try:
        made = getattr(importlib.import_module(module), attribute)(arrays)
        state = dict(made)
        if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()):
            raise TypeError("expected tensors by name")
        check_tensors(state)
    except Exception as error:  # a plugin may raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:_SHOWN].rstrip(".")
        raise PluginError(f"{told} fails: {reason}; mend or upgrade the plugin that names them.") from error
    if (found := digest(state)) != weights.digest:
        raise DataError(
            f"{told} gives tensors with the digest {found}, expected {weights.digest}; mend or upgrade the plugin that "
            "names them."
        )
    return state
