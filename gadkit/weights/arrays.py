"""Arrays out of the files that networks are published in, read as data: nothing of a file is executed or imported.

Four forms are known: a pickle of nested dictionaries of NumPy arrays, the two forms of `torch.save` (a zip archive, and
the older row of pickles with the tensors' elements behind them), and safetensors.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from gadkit.checkpoints.tensors import parse_tensors
from gadkit.weights.pickles import Calls, Name, run

#: How deep dictionaries may lie in each other.
DEEPEST = 100
_DIMENSIONS = 32
#: Elements that no memory holds, whose bytes can still be counted in 64 bits.
_MOST = 1 << 59
_CODES = frozenset(["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"])
_NDARRAY = "numpy ndarray"
#: The dtypes of PyTorch's storages that NumPy has too.
_STORAGES = {
    "torch BoolStorage": "b1",
    "torch ByteStorage": "u1",
    "torch CharStorage": "i1",
    "torch ShortStorage": "i2",
    "torch IntStorage": "i4",
    "torch LongStorage": "i8",
    "torch HalfStorage": "f2",
    "torch FloatStorage": "f4",
    "torch DoubleStorage": "f8",
}
# The first object of a file in the older form.
_MAGIC = 0x1950A86A20F9469CFC6C
_COUNT = 8


def read_arrays(data: bytes) -> dict[str, Any]:
    """The arrays of a file.

    Args:
        data: Its content. The arrays take no more than twice its size.

    Returns:
        Nested dictionaries of name to `numpy.ndarray`, in C order, in the machine's byte order, with memory of their
        own. Numbers, texts and lists that lie beside them are left out, and so is what has a number for a name.

    Raises:
        ValueError: It is none of the forms that are known, asks for anything but arrays, or is cut.
    """
    budget = _Budget(2 * len(data))
    if data.startswith(b"PK\x03\x04"):
        tree = _read_zip(data, budget)
    elif data[8:9] == b"{":
        tree = _read_safetensors(data)
    elif data.startswith(b"\x80"):
        tree = _read_pickles(io.BytesIO(data), budget)
    else:
        raise ValueError("it is neither a binary pickle, nor of torch.save, nor safetensors")
    if type(tree) is not dict:
        raise ValueError("it holds no dictionary of arrays")
    return _plain(tree, set(), 0)


@dataclass
class _Budget:
    """Bytes that may be taken: what a few bytes of a file declare is bounded by the whole of it."""

    left: int

    def take(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise ValueError("its arrays are larger than the file that declares them")


# --- NumPy -----------------------------------------------------------------------------------------------------------


@dataclass
class _Dtype:
    """A dtype in a file; its byte order comes as a state."""

    code: str
    order: Literal["<", ">", "|", "="] = "<"

    def build(self, state: object) -> None:
        match state:
            case (3 | 4, ("<" | ">" | "|" | "=") as order, None, None, None, -1, -1, 0, *_):
                self.order = order
            case _:
                raise ValueError("its pickle has a dtype that is no plain number")

    @property
    def numpy(self) -> np.dtype[Any]:
        return np.dtype(self.code).newbyteorder(self.order)


@dataclass
class _Array:
    """An array in a file; its elements come as a state."""

    budget: _Budget
    value: np.ndarray[Any, Any] | None = None

    def build(self, state: object) -> None:
        match state:
            case (1, tuple() as shape, _Dtype() as dtype, bool() as fortran, (bytes() | bytearray()) as raw):
                self.fill(raw, dtype, shape, "F" if fortran else "C")
            case _:
                raise ValueError("its pickle has an array that is not made of plain numbers")

    def fill(self, raw: bytes | bytearray, dtype: _Dtype, shape: tuple[Any, ...], order: str) -> None:
        size = _count(shape) * dtype.numpy.itemsize
        if size != len(raw):
            raise ValueError(f"its pickle has an array of {len(raw)} bytes, but its shape and dtype ask for {size}")
        self.budget.take(size)
        layout: Any = order
        found = np.frombuffer(raw, dtype.numpy) if size else np.zeros(0, dtype.numpy)
        self.value = _own(found.reshape(shape, order=layout))


def _count(shape: tuple[Any, ...]) -> int:
    """How many elements a shape has; `ValueError` where it can be none."""
    if len(shape) > _DIMENSIONS or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError("its pickle has an array with an impossible shape")
    # Beside a zero, which makes the whole empty, the other sizes still have to make strides.
    if math.prod(max(size, 1) for size in shape) >= _MOST:
        raise ValueError("its pickle has an array with an impossible shape, more than any memory holds")
    return math.prod(shape)


def _own(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A copy with memory of its own, in C order and the machine's byte order."""
    return np.array(values, dtype=values.dtype.newbyteorder("="), order="C", copy=True)


def _numpy_calls(budget: _Budget, size: int) -> dict[str, Callable[[tuple[Any, ...]], object]]:
    """What pickles of NumPy arrays call, NumPy 1 and 2 by their names, protocols 2 to 5 by their ways."""
    texts = _Budget(size)

    def dtype(arguments: tuple[Any, ...]) -> _Dtype:
        match arguments:
            case (str() as code, bool(), bool()) if code in _CODES:
                return _Dtype(code)
        raise ValueError("its pickle has an array that is not made of plain numbers")

    def empty(arguments: tuple[Any, ...]) -> _Array:
        match arguments:
            case (Name(text), (0,), bytes()) if text == _NDARRAY:
                return _Array(budget)
        raise ValueError("its pickle makes an array in an unknown way")

    def whole(arguments: tuple[Any, ...]) -> _Array:
        match arguments:
            case ((bytes() | bytearray()) as raw, _Dtype() as kind, tuple() as shape, ("C" | "F") as order):
                array = _Array(budget)
                array.fill(raw, kind, shape, order)
                return array
        raise ValueError("its pickle makes an array in an unknown way")

    def scalar(arguments: tuple[Any, ...]) -> _Array:
        match arguments:
            case (_Dtype() as kind, bytes() as raw):
                return whole((raw, kind, (), "C"))
        raise ValueError("its pickle has a number of an unknown kind")

    def encoded(arguments: tuple[Any, ...]) -> bytes:
        match arguments:
            case (str() as text, "latin1"):
                texts.take(len(text))
                return text.encode("latin-1")
        raise ValueError("its pickle has bytes in an unknown way")

    def no_bytes(arguments: tuple[Any, ...]) -> bytes:
        if arguments:
            raise ValueError("its pickle has bytes in an unknown way")
        return b""

    calls: dict[str, Callable[[tuple[Any, ...]], object]] = {"numpy dtype": dtype}
    calls |= {"_codecs encode": encoded, "__builtin__ bytes": no_bytes}  # bytes in protocol 2, which has none
    for home in ("numpy.core", "numpy._core"):
        calls |= {
            f"{home}.multiarray _reconstruct": empty,
            f"{home}.multiarray scalar": scalar,
            f"{home}.numeric _frombuffer": whole,
        }
    return calls


# --- PyTorch ---------------------------------------------------------------------------------------------------------


@dataclass
class _Storage:
    """A row of numbers that tensors are views of."""

    dtype: np.dtype[Any]
    count: int
    values: np.ndarray[Any, Any] | None = None

    def fill(self, raw: bytes) -> None:
        if len(raw) != self.count * self.dtype.itemsize:
            raise ValueError("a storage has another size than its pickle declares, or is cut")
        self.values = np.frombuffer(raw, self.dtype)


@dataclass
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def view(self) -> np.ndarray[Any, Any]:
        if self.storage.values is None:
            raise ValueError("the elements of a tensor are not there")
        steps = [stride * self.storage.dtype.itemsize for stride in self.strides]
        return np.lib.stride_tricks.as_strided(self.storage.values[self.offset :], self.shape, steps, writeable=False)


@dataclass
class _TorchFile:
    """The tensors of a file of `torch.save`, and the storages that they are views of."""

    budget: _Budget
    storages: dict[str, _Storage] = field(default_factory=dict)

    def calls(self) -> Calls:
        return {
            "torch._utils _rebuild_tensor_v2": self.tensor,
            "torch._utils _rebuild_parameter": self.parameter,
            "collections OrderedDict": _ordered,
        }

    def storage(self, identity: object) -> _Storage:
        match identity:
            case ("storage", Name(kind), str() as key, str(), int() as count, *rest) if kind in _STORAGES:
                if not 0 <= count < _MOST or rest not in ([], [None]):
                    raise ValueError("its pickle has a storage of an unknown form")
                found = _Storage(np.dtype("<" + _STORAGES[kind]), count)
                known = self.storages.setdefault(key, found)
                if (known.dtype, known.count) != (found.dtype, found.count):
                    raise ValueError("its pickle declares a storage in two ways")
                return known
        raise ValueError("its pickle has a storage of an unknown form or dtype")

    def tensor(self, arguments: tuple[Any, ...]) -> _Tensor:
        match arguments:
            case (_Storage() as storage, int() as offset, tuple() as shape, tuple() as strides, bool(), _, *_):
                count = _count(shape)
                if len(strides) != len(shape) or not all(type(step) is int and 0 <= step < _MOST for step in strides):
                    raise ValueError("its pickle has a tensor with impossible strides")
                last = sum((size - 1) * step for size, step in zip(shape, strides, strict=True)) if count else -1
                if not 0 <= offset <= storage.count or offset + last >= storage.count:
                    raise ValueError("its pickle has a tensor that leaves its storage")
                self.budget.take(count * storage.dtype.itemsize)
                return _Tensor(storage, offset, shape, strides)
        raise ValueError("its pickle makes a tensor in an unknown way")

    def parameter(self, arguments: tuple[Any, ...]) -> _Tensor:
        match arguments:
            case (_Tensor() as value, bool(), dict()):
                return value
        raise ValueError("its pickle makes a parameter in an unknown way")


def _ordered(arguments: tuple[Any, ...]) -> dict[Any, Any]:
    if arguments:
        raise ValueError("its pickle makes a dictionary in an unknown way")
    return {}


def _read_pickles(file: io.BytesIO, budget: _Budget) -> Any:
    """The pickle of a dictionary, or the row of pickles of PyTorch's older form, told by the first."""
    torch = _TorchFile(budget)
    calls = {**_numpy_calls(budget, file.getbuffer().nbytes), "collections OrderedDict": _ordered}
    first = run(file, calls, frozenset({_NDARRAY}))
    if first != _MAGIC:
        return first
    run(file, {})  # the version of the form
    machine = run(file, {})
    if type(machine) is not dict or machine.get("little_endian") is not True:
        raise ValueError("its elements are not in little-endian order")
    tree = run(file, torch.calls(), frozenset(_STORAGES), torch.storage)
    keys = run(file, {})
    if type(keys) is not list or not all(type(key) is str and key in torch.storages for key in keys):
        raise ValueError("it has storages that its tensors do not name")
    for key in keys:
        storage = torch.storages[key]
        if int.from_bytes(file.read(_COUNT), "little") != storage.count:
            raise ValueError("a storage has another size than its pickle declares, or is cut")
        storage.fill(file.read(storage.count * storage.dtype.itemsize))
    return tree


def _read_zip(data: bytes, budget: _Budget) -> Any:
    torch, whole = _TorchFile(budget), _Budget(len(data))
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: info for info in archive.infolist()}
            pickles = [name for name in members if name.endswith("/data.pkl")]
            if len(pickles) != 1:
                raise ValueError("it is a zip archive, but none of torch.save")
            top = pickles[0].removesuffix("data.pkl")
            if (order := members.get(f"{top}byteorder")) and _stored(archive, order, data) != b"little":
                raise ValueError("its elements are not in little-endian order")
            content = _stored(archive, members[pickles[0]], data)
            tree = run(io.BytesIO(content), torch.calls(), frozenset(_STORAGES), torch.storage)
            places = {key: members.get(f"{top}data/{key}") for key in torch.storages}
            for info in places.values():
                whole.take(0 if info is None else info.file_size)  # files of an archive can lie in each other
            for key, info in places.items():
                if info is None:
                    raise ValueError("the elements of a tensor are not there")
                torch.storages[key].fill(_stored(archive, info, data))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ValueError(f"it is a broken zip archive: {error}") from error
    return tree


def _read_safetensors(data: bytes) -> dict[str, np.ndarray[Any, Any]]:
    tensors = parse_tensors(data)
    try:
        return {name: value.numpy() for name, value in tensors.items()}
    except TypeError as error:
        raise ValueError(f"it has a dtype that NumPy lacks: {error}") from error


def _stored(archive: zipfile.ZipFile, info: zipfile.ZipInfo, data: bytes) -> bytes:
    """A file of an archive of `torch.save`, none of which is compressed."""
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > len(data):
        raise ValueError("it has compressed parts, which torch.save does not write")
    return archive.read(info)


# --- all -------------------------------------------------------------------------------------------------------------


def _plain(tree: Mapping[Any, Any], seen: set[int], depth: int) -> dict[str, Any]:
    """Dictionaries of arrays and nothing else; none of them twice, which could make few bytes a large tree."""
    if id(tree) in seen or depth > DEEPEST:
        raise ValueError(f"its dictionaries hold each other, or lie deeper than {DEEPEST} in each other")
    seen.add(id(tree))
    plain: dict[str, Any] = {}
    for name, value in tree.items():
        if type(name) is not str:
            continue
        if isinstance(value, dict):
            plain[name] = _plain(value, seen, depth + 1)
        elif isinstance(value, _Tensor):
            plain[name] = _own(value.view())
        elif isinstance(value, _Array):
            if value.value is None:
                raise ValueError("its pickle has an array without elements")
            plain[name] = value.value
        elif isinstance(value, np.ndarray):
            plain[name] = value
    return plain
