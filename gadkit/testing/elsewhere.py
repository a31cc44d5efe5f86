"""A device without an accelerator: tensors that have a place and no numbers show what is pinned to the CPU."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import SkipTest
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from gadkit.testing.promises import promise

#: Operators that may be given tensors of several devices: copies, and indices, which may lie on the CPU.
_CROSSING = frozenset(
    {"_to_copy", "copy_", "copy", "index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "to"}
)
#: What PyTorch says where a tensor is to leave its device.
_MOVES = ("Cannot copy out of meta tensor", "convert meta device type tensor to numpy")
_PINNED = "make it with device=x.device or x.new_zeros(...), or keep it as a buffer, which moves with the module"


class _Strays(Exception):
    """An operator was given tensors of two devices."""


class _Watch(TorchDispatchMode):
    """Raises `_Strays` at the first operator that another device could not compute."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name not in _CROSSING:
            given = [*_tensors(args), *_tensors(kwargs or {})]
            if any(each.device.type == "meta" for each in given):
                stray = next((each for each in given if each.device.type != "meta" and each.dim() > 0), None)
                if stray is not None:
                    raise _Strays(f"`{name}` was given a tensor of the shape {tuple(stray.shape)} that lies on the CPU")
        return func(*args, **(kwargs or {}))


def _tensors(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, dict):
        for value in tree.values():
            yield from _tensors(value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from _tensors(value)


@contextmanager
def elsewhere(name: str) -> Iterator[torch.device]:
    """A block in which a component computes on a device that is not the CPU; gives the device.

    It is PyTorch's `meta`, whose tensors have shapes and no numbers, watched for operators that are given tensors of
    two devices. What a component reads on the host it cannot be given here.

    Args:
        name: Of the component.

    Raises:
        AssertionError: It has tensors that stay on the CPU.
        unittest.SkipTest: It reads numbers, so what it does elsewhere is not to be seen here.
    """
    promised = f"{name} computes where its inputs and its parameters lie, whatever the device"
    try:
        with _autocast_elsewhere(), _Watch():  # type: ignore[no-untyped-call]
            yield torch.device("meta")
    except _Strays as error:
        promise(False, promised, f"{error} ({_place(error)})", _PINNED)
    except (RuntimeError, TypeError, NotImplementedError) as error:
        text = str(error)
        promise(
            not any(each in text for each in _MOVES),
            promised,
            f"it moves a tensor to the CPU ({_place(error)})",
            "compute with torch where the tensor lies, without .cpu(), .numpy(), .tolist() or .to('cpu')",
        )
        promise("same device" not in text, promised, f"tensors of two devices met ({_place(error)})", _PINNED)
        if re.search(r"\bmeta\b|register_meta", text, re.IGNORECASE):
            raise SkipTest(
                f"{name} reads numbers on the host ({_place(error)}), so without an accelerator it cannot be followed"
            ) from error
        raise


@contextmanager
def _autocast_elsewhere() -> Iterator[None]:
    """Autocast of `meta`, of which PyTorch knows none, is the CPU's, which leaves what lies on `meta` as it is."""

    def as_cpu(function: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*args: Any, **kwargs: Any) -> Any:
            args = tuple("cpu" if each == "meta" else each for each in args)
            return function(*args, **{key: "cpu" if value == "meta" else value for key, value in kwargs.items()})

        return asked

    with ExitStack() as undo:
        undo.enter_context(patch.object(torch.autocast, "__init__", as_cpu(torch.autocast.__init__)))
        for name in ("is_autocast_enabled", "get_autocast_dtype"):
            undo.enter_context(patch.object(torch, name, as_cpu(getattr(torch, name))))
        yield


def _place(error: BaseException) -> str:
    """The last line outside PyTorch that led to an error."""
    own = Path(torch.__file__).parent
    frames = [each for each in traceback.extract_tb(error.__traceback__) if own not in Path(each.filename).parents]
    lines = [each for each in frames if Path(each.filename) != Path(__file__)] or frames
    return f"{Path(lines[-1].filename).name}, line {lines[-1].lineno}"


def stays(found: Any, device: torch.device, what: str) -> None:
    """Every tensor of a result lies on a device."""
    for each in _tensors(found):
        where = "the device of the inputs" if device.type == "meta" else str(device.type)
        promise(each.device.type == device.type, f"{what} lies on {where}", f"it lies on {each.device.type}", _PINNED)


def accelerators() -> list[torch.device]:
    """The devices of this machine beside the CPU."""
    found = []
    if torch.cuda.is_available():
        found.append(torch.device("cuda"))
    if torch.backends.mps.is_available():
        found.append(torch.device("mps"))
    return found
