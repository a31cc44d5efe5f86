"""Tensors in a file, by the safetensors package (https://huggingface.co/docs/safetensors).

What the package does not promise is added here: files that are refused before the disk is touched, the system's own
error where a disk is full, headers of a bounded size, and tensors that keep nothing of their file.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Container, Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors import torch as safetensors
from torch import Tensor

from gadkit.checkpoints.documents import check_length, parse

_DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "U16": torch.uint16,
    "I32": torch.int32,
    "U32": torch.uint32,
    "I64": torch.int64,
    "U64": torch.uint64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "C64": torch.complex64,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
}
_METADATA = "__metadata__"
_LENGTH = 8
_PIECE = 1 << 20
_DIMENSIONS = 64
_LONGEST_REASON = 200
_SYSTEM = re.compile(r"([^:]+) \(os error (\d+)\)")


def check_tensors(named: Mapping[str, Tensor]) -> None:
    """Refuses what a file cannot hold.

    Raises:
        ValueError: A tensor's name or dtype is none that the format has.
    """
    for name, value in named.items():
        if name == _METADATA:
            raise ValueError(f"{name!r} is the name of no tensor in the safetensors format")
        if value.dtype not in _DTYPES.values() or value.layout != torch.strided:
            raise ValueError(
                f"tensor {name!r} is {value.dtype}, {value.layout}, which safetensors does not write and read"
            )


def save_tensors(path: Path, named: Mapping[str, Tensor]) -> str:
    """Writes a new file and syncs it; no copy is made but of tensors that are not contiguous on the CPU or share.

    Returns:
        Its SHA-256, read from the file once the sync has told that nothing was lost on the way.

    Raises:
        OSError: The system's own, as of any other file.
        ValueError: The names and shapes take a header longer than one that is read.
    """
    path.touch(exist_ok=False)
    mode = path.stat().st_mode
    try:
        safetensors.save_file(_apart(named), path)
    except SafetensorError as error:
        if system := _SYSTEM.search(str(error)):
            number = int(system[2])  # on Windows one of its own, of which OSError makes an errno
            raise OSError(number, system[1].strip(), str(path), number) from error
        raise ValueError(_reason(error)) from error
    if path.stat().st_mode != mode:  # the package's files may be read by their owner alone
        path.chmod(mode)
    with path.open("rb+") as file:  # on Windows, only what may be written is synced
        os.fsync(file.fileno())
        _check_header(file)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _apart(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors on the CPU, no two of which share memory, which the package refuses."""
    apart, taken = {}, set()
    for name, value in named.items():
        plain = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
        if (place := plain.untyped_storage().data_ptr()) in taken:
            plain = plain.clone()
        taken.add(place)
        apart[name] = plain
    return apart


def read_shapes_of(path: Path, file: BinaryIO) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    """Dtype and shape of every tensor, sorted by name, held against the file's size: nothing is allocated for them.

    Args:
        path: The file, whose header the package maps for a moment.
        file: The same one, opened; its header is read here first, so that a disk that fails is no signal.

    Raises:
        ValueError: It is no safetensors file, declares another size than it has, or what no tensor can be.
        OSError: It cannot be read.
    """
    _check_header(file)
    try:
        with safe_open(path, framework="numpy") as opened:
            declared = [(name, opened.get_slice(name)) for name in sorted(opened.keys())]
            found = [(name, part.get_dtype(), tuple(part.get_shape())) for name, part in declared]
    except SafetensorError as error:
        raise ValueError(_reason(error)) from error
    for name, kind, shape in found:
        if kind not in _DTYPES:
            raise ValueError(f"tensor {name[:80]!r} has the dtype {kind}, which is none of those that are written")
        # Beside a zero, which makes the whole empty, the other sizes still have to make strides.
        if len(shape) > _DIMENSIONS or math.prod(max(size, 1) for size in shape) * _DTYPES[kind].itemsize >= 2**63:
            raise ValueError(f"tensor {name[:80]!r} has an impossible shape, more than any memory holds")
    return {name: (_DTYPES[kind], shape) for name, kind, shape in found}


def pick_tensors(file: BinaryIO, names: Container[str], see: Callable[[bytes], object]) -> bytes:
    """The content of a file that had some of its tensors alone, for `parse_tensors`; only they are held in memory.

    Args:
        file: A file that `read_shapes_of` takes, at its beginning. All of it is read, once.
        names: The tensors.
        see: Is given all of the file's bytes in order, a piece at a time.

    Raises:
        ValueError: It is no such file.
    """

    def read(size: int) -> bytes:
        data = file.read(size)
        if len(data) < size:
            raise ValueError("its size has changed while it was read")
        see(data)
        return data

    length = int.from_bytes(read(_LENGTH), "little")
    check_length(length)
    try:
        header = {name: entry for name, entry in parse(read(length)).items() if name != _METADATA and name in names}
        places = sorted((*map(int, entry["data_offsets"]), name) for name, entry in header.items())
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("its header has changed while it was read") from error
    found: list[bytes] = []
    reached = held = 0
    for begin, end, name in places:
        if not reached <= begin <= end:
            raise ValueError("its header has changed while it was read")
        for start in range(reached, begin, _PIECE):
            read(min(_PIECE, begin - start))
        found.append(read(end - begin))
        header[name] = header[name] | {"data_offsets": [held, held + end - begin]}
        reached, held = end, held + end - begin
    while piece := file.read(_PIECE):
        see(piece)
    text = json.dumps(header).encode()
    return b"".join((len(text).to_bytes(_LENGTH, "little"), text, *found))


def parse_tensors(data: bytes) -> dict[str, Tensor]:
    """The tensors of a file's content, sorted by name, on the CPU.

    Each has memory of its own from PyTorch, aligned as its kernels want it: those that were never in a file and those
    that come back from one are then computed with in the same way.

    Raises:
        ValueError: It is no safetensors file.
        MemoryError: There is too little memory for it.
    """
    try:
        found = safetensors.load(data)
    except MemoryError:
        raise
    except Exception as error:  # whatever the package and PyTorch have to say about it
        raise ValueError(_reason(error)) from error
    del data
    return {name: found.pop(name).clone() for name in sorted(found)}


def _check_header(file: BinaryIO) -> None:
    """Reads a header, whose size is bounded, as that of any other document is."""
    length = int.from_bytes(file.read(_LENGTH), "little")
    check_length(length)
    file.read(length)
    file.seek(0)


def _reason(error: Exception) -> str:
    """What an error says, on one line of bounded length; it can quote the file, which could steer a terminal."""
    text = " ".join("".join(mark if mark.isprintable() else " " for mark in str(error)[:_LONGEST_REASON]).split())
    return text or type(error).__name__
