"""Nets without memory: of any size, at no cost, to see whether settings fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_FILLS = {
    Tensor.normal_,
    Tensor.uniform_,
    Tensor.random_,
    Tensor.bernoulli_,
    Tensor.exponential_,
    Tensor.log_normal_,
    Tensor.cauchy_,
    Tensor.geometric_,
}


class _Unfilled(TorchFunctionMode):
    """Leaves tensors unfilled: to draw numbers that nobody sees, PyTorch would import its compiler."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if func in _FILLS or getattr(func, "__module__", None) == nn.init.__name__:
            return args[0] if args else named["tensor"]
        return func(*args, **named)


@contextmanager
def weightless() -> Iterator[None]:
    """A block in which nets are built on PyTorch's device `meta`, where tensors have a shape and no bytes."""
    with torch.device("meta"), _Unfilled():
        yield
