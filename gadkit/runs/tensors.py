"""Tensors in a file, in the safetensors format: eight bytes of length, a JSON header, and the tensors' bytes.

A file is made and read in one pass from front to back, so that it can be hashed on the way and what was hashed is what
is used. Nothing is mapped: a file that is cut while it is read is an error and no signal that ends the process. The
format is that of https://huggingface.co/docs/safetensors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from gadkit.runs.documents import check_length, parse

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
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}
_METADATA = "__metadata__"
_LENGTH = 8
_DIMENSIONS = 64
_CHUNK = 1 << 20


class Entry(NamedTuple):
    """A tensor as the header declares it; its bytes are those from `begin` to `end` behind the header."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int
    end: int


class Source(Protocol):
    """A file that is read from front to back."""

    size: int

    def readinto(self, target: memoryview) -> None:
        """Fills `target`; `ValueError` where the file ends before it is full."""


def pieces(named: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    """The bytes of a file, in order; of the tensors no copy is made but of one that is not contiguous on the CPU.

    Raises:
        ValueError: A tensor's name or dtype is none that the format has.
    """
    for name, value in named.items():
        if name == _METADATA:
            raise ValueError(f"{name!r} is the name of no tensor in the safetensors format")
        if value.dtype not in _NAMES or value.layout != torch.strided:
            raise ValueError(f"tensor {name!r} is {value.dtype}, {value.layout}, which safetensors cannot hold")
    # Wide ones first: behind a header of whole eights every tensor lies at a multiple of its item's size.
    order = dict(sorted(named.items(), key=lambda item: (-item[1].itemsize, item[0])))
    header, begin = {}, 0
    for name, value in order.items():
        end = begin + value.numel() * value.itemsize
        header[name] = {"dtype": _NAMES[value.dtype], "shape": list(value.shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH)
    check_length(len(text))
    return _pieces(len(text).to_bytes(_LENGTH, "little") + text, order.values())


def _pieces(header: bytes, values: Iterable[Tensor]) -> Iterator[bytes | memoryview]:
    yield header
    for value in values:
        yield from _chunks(_bytes(value.detach().cpu().resolve_conj().resolve_neg().contiguous()))


def read_header(source: Source) -> dict[str, Entry]:
    """What a file declares, in the order of its bytes; together the entries take exactly the rest of the file.

    Raises:
        ValueError: The header is no such header, or declares another size than the file has.
    """
    if source.size < _LENGTH:
        raise ValueError(f"it has {source.size} bytes, fewer than a safetensors header")
    length = int.from_bytes(_read(source, _LENGTH), "little")
    if length > source.size - _LENGTH:
        raise ValueError(f"its header is to have {length} bytes, but the file has {source.size}")
    check_length(length)
    document = parse(_read(source, length))
    if not isinstance(document, dict):
        raise ValueError("its header is no JSON object")
    metadata = document.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError(f"its {_METADATA} is no table of texts")
    entries = {name: _entry(name, declared) for name, declared in document.items()}
    entries = dict(sorted(entries.items(), key=lambda item: item[1][2:]))
    place, last = 0, source.size - _LENGTH - length
    for name, entry in entries.items():
        if entry.begin != place:
            raise ValueError(f"tensor {name!r} begins at byte {entry.begin}, where the one before ends at {place}")
        place = entry.end
    if place != last:
        raise ValueError(f"its header declares {place} bytes of tensors, but the file has {last}")
    return entries


def read_entries(source: Source, entries: Mapping[str, Entry]) -> dict[str, Tensor]:
    """The tensors that `read_header` found, on the CPU, each with memory of its own.

    Raises:
        ValueError: The file ends before its tensors do.
    """
    tensors = {}
    for name, entry in entries.items():
        tensors[name] = torch.empty(entry.shape, dtype=entry.dtype)
        for chunk in _chunks(_bytes(tensors[name])):
            source.readinto(chunk)
    return tensors


def _entry(name: str, declared: Any) -> Entry:
    """One tensor of the header, once it says nothing impossible."""
    if not isinstance(declared, dict) or declared.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor {name!r} has not just dtype, shape and data_offsets")
    dtype = _DTYPES.get(declared["dtype"]) if isinstance(declared["dtype"], str) else None
    if dtype is None:
        raise ValueError(f"tensor {name!r} has the dtype {declared['dtype']!r}, which is unknown")
    shape, offsets = declared["shape"], declared["data_offsets"]
    if not _counts(shape) or len(shape) > _DIMENSIONS or not _counts(offsets) or len(offsets) != 2:
        raise ValueError(f"tensor {name!r} has an impossible shape or place")
    # Beside a zero, the other sizes still have to make strides.
    if math.prod(max(size, 1) for size in shape) * dtype.itemsize >= 2**63:
        raise ValueError(f"tensor {name!r} has the shape {shape}, more than any memory holds")
    begin, end = offsets
    if end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"tensor {name!r} takes {end - begin} bytes, which do not make {declared['dtype']} {shape}")
    return Entry(dtype, tuple(shape), begin, end)


def _counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)


def _read(source: Source, size: int) -> bytes:
    data = bytearray(size)
    source.readinto(memoryview(data))
    return bytes(data)


def _bytes(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor on the CPU."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def _chunks(view: memoryview) -> Iterable[memoryview]:
    return (view[start : start + _CHUNK] for start in range(0, len(view), _CHUNK))
