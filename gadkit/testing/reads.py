"""Finding host reads: what makes Python wait for the device, and what no CUDA graph can hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

#: Operators that bring a number to the host, or whose result has a shape that depends on numbers.
_OPERATORS = frozenset(
    {
        "_local_scalar_dense",
        "_unique",
        "_unique2",
        "allclose",
        "equal",
        "masked_select",
        "nonzero",
        "nonzero_static",
        "unique_consecutive",
        "unique_dim",
    }
)
#: Those that are as bad where an index is a mask.
_INDEXING = frozenset({"index", "index_put", "index_put_", "_index_put_impl_"})
#: Methods that reach for the memory without an operator.
_METHODS = (Tensor.tolist, Tensor.numpy, Tensor.__array__)


class HostReads:
    """Notes what reads tensors on the host between `with HostReads() as reads:` and the end of the block.

    Attributes:
        found: The names of the operators and methods, in order.
    """

    def __init__(self) -> None:
        self.found: list[str] = []
        self._watching = True
        self._modes = ExitStack()

    def __enter__(self) -> HostReads:
        self._modes.enter_context(_Operators(self))
        self._modes.enter_context(_Methods(self))
        return self

    def __exit__(self, *error: Any) -> None:
        self._modes.close()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing is noted inside: what others do there is their own affair."""
        before, self._watching = self._watching, False
        try:
            yield
        finally:
            self._watching = before

    def note(self, name: str) -> None:
        """Writes a read down."""
        if self._watching:
            self.found.append(name)


class _Operators(TorchDispatchMode):
    def __init__(self, reads: HostReads) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._reads = reads

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in _OPERATORS or (name in _INDEXING and any(_is_mask(index) for index in args[1])):
            self._reads.note(name)
        return func(*args, **(kwargs or {}))


class _Methods(TorchFunctionMode):
    def __init__(self, reads: HostReads) -> None:
        super().__init__()
        self._reads = reads

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _METHODS:
            self._reads.note(func.__name__)
        return func(*args, **(kwargs or {}))


def _is_mask(index: Tensor | None) -> bool:
    return index is not None and index.dtype in (torch.bool, torch.uint8)
