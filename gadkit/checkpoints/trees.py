"""Nested state, such as a trainer keeps, as plain JSON beside named tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gadkit.errors import DamagedError

_TENSOR = "$tensor"
_RESERVED = "__metadata__"  # which in a safetensors file names no tensor


def flatten(tree: Any, name: str = "") -> tuple[Any, dict[str, Tensor]]:
    """Splits nested dicts and lists into plain JSON and named tensors; `unflatten` joins them again.

    A tensor is named after the keys that lead to it, `optimiser.0.step`, with a number behind where another has that
    name already. A key of the tree that begins with a dollar sign gets a second one in the document.

    Args:
        tree: Dicts with string keys, lists, tensors, numbers, strings, booleans and `None`; a tuple becomes a list.
        name: The name of the tree itself, which the tensors' names begin with.

    Raises:
        TypeError: A dict has a key that is no string, which JSON would turn into one.
    """
    tensors: dict[str, Tensor] = {}
    return _split(tree, name, tensors), tensors


def _split(tree: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(tree, Tensor):
        stem = free = name.encode("utf-8", "backslashreplace").decode()  # half a surrogate pair has no UTF-8
        count = 1
        while free in tensors or free == _RESERVED:
            count += 1
            free = f"{stem}~{count}"
        tensors[free] = tree
        return {_TENSOR: free}
    prefix = f"{name}." if name else ""
    if isinstance(tree, Mapping):
        document = {}
        for key, value in tree.items():
            if not isinstance(key, str):
                raise TypeError(f"{prefix}{key!r}: found a key that is {type(key).__name__}, expected strings.")
            document[f"${key}" if key.startswith("$") else key] = _split(value, prefix + key, tensors)
        return document
    if isinstance(tree, list | tuple):
        return [_split(value, f"{prefix}{index}", tensors) for index, value in enumerate(tree)]
    return tree


def unflatten(document: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The tree that `flatten` split.

    Raises:
        DamagedError: The document names a tensor that is not there.
    """
    if isinstance(document, dict):
        if document.keys() == {_TENSOR}:
            name = document[_TENSOR]
            if not isinstance(name, str) or name not in tensors:
                raise DamagedError(
                    f"the state names the tensor {str(name)[:80]!r}, which its file lacks: the checkpoint was altered; "
                    "use another one."
                )
            return tensors[name]
        return {key[1:] if key.startswith("$$") else key: unflatten(value, tensors) for key, value in document.items()}
    if isinstance(document, list):
        return [unflatten(value, tensors) for value in document]
    return document


def tensor_names(document: Any) -> dict[str, str]:
    """The keys of a mapping that `flatten` split whose values are tensors, with the names of these in the file."""
    if not isinstance(document, Mapping):
        return {}
    return {
        key[1:] if key.startswith("$$") else key: value[_TENSOR]
        for key, value in document.items()
        if isinstance(value, Mapping) and value.keys() == {_TENSOR} and isinstance(value[_TENSOR], str)
    }


def snapshot(tree: Any) -> Any:
    """A copy of a tree whose tensors are contiguous, on the CPU and shared with nobody."""
    if isinstance(tree, Tensor):
        return tree.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
    if isinstance(tree, Mapping):
        return {key: snapshot(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [snapshot(value) for value in tree]
    return tree
