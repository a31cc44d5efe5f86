"""Checkpoints: safetensors and JSON in a folder that is whole or not there.

A checkpoint is written beside its place, synced, and renamed into it. `manifest.json` holds the SHA-256 of every other
file. Reading one executes nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from gadkit.errors import RunError

MANIFEST = "manifest.json"
_TENSOR = "$tensor"


def flatten(tree: Any, name: str = "") -> tuple[Any, dict[str, Tensor]]:
    """Splits nested dicts and lists into plain JSON and named tensors; `unflatten` joins them again.

    Args:
        tree: Dicts with string keys, lists, tensors, numbers, strings, booleans and `None`.
        name: The name of the tree itself, which the tensors' names begin with.
    """
    if isinstance(tree, Tensor):
        return {_TENSOR: name}, {name: tree}
    tensors: dict[str, Tensor] = {}
    if isinstance(tree, Mapping):
        document: Any = {}
        for key, value in tree.items():
            document[key], more = flatten(value, f"{name}.{key}" if name else str(key))
            tensors.update(more)
        return document, tensors
    if isinstance(tree, list | tuple):
        document = []
        for index, value in enumerate(tree):
            item, more = flatten(value, f"{name}.{index}" if name else str(index))
            document.append(item)
            tensors.update(more)
        return document, tensors
    return tree, tensors


def unflatten(document: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The tree that `flatten` split."""
    if isinstance(document, dict):
        if document.keys() == {_TENSOR}:
            return tensors[document[_TENSOR]]
        return {key: unflatten(value, tensors) for key, value in document.items()}
    if isinstance(document, list):
        return [unflatten(value, tensors) for value in document]
    return document


def snapshot(tree: Any) -> Any:
    """A copy of a tree whose tensors are contiguous, on the CPU and shared with nobody."""
    if isinstance(tree, Tensor):
        return tree.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
    if isinstance(tree, Mapping):
        return {key: snapshot(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [snapshot(value) for value in tree]
    return tree


def write_folder(
    folder: Path, tensors: Mapping[str, Mapping[str, Tensor]], documents: Mapping[str, Any], texts: Mapping[str, str]
) -> None:
    """Writes a folder of files with their manifest, atomically.

    Args:
        folder: Its place; what lies there is replaced once the new folder is whole.
        tensors: File name (`*.safetensors`) to named contiguous tensors.
        documents: File name (`*.json`) to what is written into it.
        texts: File name to text.

    Raises:
        RunError: The disk is full, the place is read-only, or the like. What was at `folder` stays.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, named in tensors.items():
            try:
                save_file({key: value.contiguous() for key, value in named.items()}, partial / name)
            except SafetensorError as error:  # which wraps the system's error as text
                raise OSError(str(error)) from error
        for name, document in documents.items():
            (partial / name).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        for name, text in texts.items():
            (partial / name).write_text(text, encoding="utf-8")
        manifest = {path.name: _sha256(path) for path in sorted(partial.iterdir())}
        (partial / MANIFEST).write_text(json.dumps({"sha256": manifest}, indent=1) + "\n", encoding="utf-8")
        for path in partial.iterdir():
            _sync(path)
        _sync(partial)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(partial, folder)
        _sync(folder.parent)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise RunError(
            f"{folder}: cannot be written ({error.strerror or error}); nothing that was there is lost: free some space "
            "or mend the rights, and try again."
        ) from error


def read_document(folder: Path, name: str) -> Any:
    """One JSON file of a folder, checked against its manifest."""
    try:
        return json.loads(_checked(folder, name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{folder / name}: cannot be read ({error}); use another checkpoint.") from error


def read_tensors(folder: Path, name: str) -> dict[str, Tensor]:
    """One safetensors file of a folder, checked against its manifest; tensors on the CPU."""
    try:
        return load_file(_checked(folder, name))
    except (OSError, SafetensorError) as error:
        raise RunError(f"{folder / name}: cannot be read ({error}); use another checkpoint.") from error


def _checked(folder: Path, name: str) -> Path:
    path = folder / name
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        expected = manifest["sha256"].get(name)
        found = _sha256(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{folder}: is no whole checkpoint or model ({error}); use another one.") from error
    if found != expected:
        raise RunError(
            f"{path}: its SHA-256 is {found[:12]}…, but {MANIFEST} says {str(expected)[:12]}…: "
            "the file was altered or damaged; use another checkpoint."
        )
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open a folder to sync it
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
