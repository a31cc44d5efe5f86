"""The memory of optimisers, as a checkpoint keeps it."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor


def optimiser_state(optimiser: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """What an optimiser remembers of each parameter, in their order; for `Training.state`."""
    return [dict(optimiser.state.get(parameter, {})) for parameter in _parameters(optimiser)]


def load_optimiser_state(optimiser: torch.optim.Optimizer, state: list[dict[str, Any]]) -> None:
    """Takes back what `optimiser_state` gave; learning rates stay as they are.

    Fused optimisers walk what they are given by address, without a look at its size: so it is held against what the
    optimiser makes itself for a parameter.

    Args:
        optimiser: Takes it.
        state: As `optimiser_state` gave it.

    Raises:
        ValueError: The parameters are others in number or shape, or the memory is not such an optimiser's.
    """
    kinds: dict[tuple[torch.dtype, torch.device], dict[str, Any]] = {}
    for parameter, entry in zip(_parameters(optimiser), state, strict=True):
        if not isinstance(entry, dict):
            raise ValueError(f"the memory of a parameter is {entry!r:.80}, and must be a table")
        kind = parameter.dtype, parameter.device
        if kind not in kinds:
            kinds[kind] = _usual(optimiser, *kind)
        usual = kinds[kind]
        if entry and entry.keys() != usual.keys():
            raise ValueError(f"it remembers {', '.join(entry):.200} of a parameter, and not {', '.join(usual)}")
        for name, value in entry.items():
            shape = tuple(parameter.shape) if isinstance(usual[name], Tensor) and usual[name].dim() else ()
            found = tuple(value.shape) if isinstance(value, Tensor) else None
            if isinstance(usual[name], Tensor) and found != shape:
                raise ValueError(f"{name} has the shape {found}, and must have {shape}")
        optimiser.state[parameter] = {name: _like(parameter, usual[name], value) for name, value in entry.items()}


def laid_out_like(parameter: Tensor, value: Tensor) -> Tensor:
    """`value` with the parameter's strides: fused optimisers walk a parameter, its gradient and moments by address."""
    if value.stride() == parameter.stride():
        return value
    return torch.empty_like(parameter).copy_(value)


def _parameters(optimiser: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def _usual(optimiser: torch.optim.Optimizer, dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """What such an optimiser remembers, after a step, of a parameter of one number."""
    one = torch.zeros(1, dtype=dtype, device=device, requires_grad=True)
    one.grad = torch.zeros_like(one)
    takes = inspect.signature(type(optimiser)).parameters  # a derived one may have settled some of its base's
    other = type(optimiser)([one], **{name: value for name, value in optimiser.defaults.items() if name in takes})
    other.step()
    return dict(other.state[one])


def _like(parameter: Tensor, usual: Any, value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    value = value.to(usual.device, usual.dtype)
    return laid_out_like(parameter, value) if value.dim() else value.clone()
