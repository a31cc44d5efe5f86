"""Files of arrays that ask for more than arrays, or are broken, each with the reason for which it is refused."""

from __future__ import annotations

import collections
import io
import os
import pickle
import struct
import zipfile
from typing import Any

import numpy as np
import torch

MARK = "ran"


class Asks:
    """An object that is pickled as a call."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call


#: Objects whose pickles call something.
CALLS = {
    "os.system": Asks(os.system, (f"touch {MARK}",)),
    "builtins.eval": Asks(eval, (f"open({MARK!r}, 'w')",)),
    "builtins.exec": Asks(exec, (f"open({MARK!r}, 'w')",)),
    "builtins.getattr": Asks(getattr, (3, "real")),
    "builtins.open": Asks(open, (MARK, "w")),
    "builtins.__import__": Asks(__import__, ("antigravity",)),
    "numpy.load": Asks(np.load, (MARK,)),
    "torch.load": Asks(torch.load, (MARK,)),
    "io.BytesIO": Asks(io.BytesIO, (b"x",)),
    "a deque": collections.deque([1]),
    "a class of its own": Asks(Asks, ()),
    "a dictionary with items": Asks(collections.OrderedDict, ([("a", 1)],)),
    "an array of objects": np.array([print, []], dtype=object),
    "an array of records": np.zeros(2, dtype=[("a", "f4")]),
    "an array of texts": np.array(["a"]),
    "an array of dates": np.zeros(2, "M8[s]"),
    "an array of a subclass": np.zeros(2).view(np.recarray),
    "a masked array": np.ma.masked_array([1.0]),
}


# --- the instructions of pickles -------------------------------------------------------------------------------------


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def raw(value: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(value)) + value


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def number(value: int) -> bytes:
    return b"\x8a\x08" + struct.pack("<q", value)


def many(*parts: bytes) -> bytes:
    """A tuple."""
    return b"(" + b"".join(parts) + b"t"


def program(*parts: bytes) -> bytes:
    return b"\x80\x04" + b"".join(parts) + b"."


def entry(*parts: bytes) -> bytes:
    """The program of a dictionary with one value, which `parts` make."""
    return program(b"}", text("x"), *parts, b"s")


def dtype(code: str = "f4") -> bytes:
    return name("numpy", "dtype") + many(text(code), b"\x89", b"\x88") + b"R"


NONE = name("numpy.core.multiarray", "_reconstruct") + many(name("numpy", "ndarray"), many(number(0)), b"C\x01b") + b"R"


def array(shape: bytes, elements: bytes = raw(b"abcd"), kind: bytes = dtype()) -> bytes:
    return NONE + many(number(1), shape, kind, b"\x89", elements) + b"b"


def storage(
    kind: bytes = name("torch", "FloatStorage"), count: int = 1, key: str = "0", first: str = "storage"
) -> bytes:
    return many(text(first), kind, text(key), text("cpu"), number(count)) + b"Q"


def tensor(offset: int, shape: tuple[int, ...], strides: tuple[int, ...], of: bytes = storage()) -> bytes:
    sizes = many(*map(number, shape)), many(*map(number, strides))
    return name("torch._utils", "_rebuild_tensor_v2") + many(of, number(offset), *sizes, b"\x89", b"N") + b"R"


def torch_zip(pickled: bytes, elements: bytes = bytes(4), packing: int = zipfile.ZIP_STORED, **more: bytes) -> bytes:
    """An archive as `torch.save` writes it, around a pickle and the elements of one storage."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for member, content in {"data.pkl": pickled, "data/0": elements, **more}.items():
            archive.writestr(f"top/{member}", content)
    return buffer.getvalue()


def older(pickled: bytes, elements: bytes = struct.pack("<qf", 1, 0), keys: Any = ("0",), little: bool = True) -> bytes:
    """The older form of `torch.save`."""
    front = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": little}]
    return b"".join(pickle.dumps(each, 2) for each in front) + pickled + pickle.dumps(list(keys), 2) + elements


def with_two_entries(data: bytes) -> bytes:
    """An archive whose second pickle lies in another folder."""
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("other/data.pkl", b"")
    return buffer.getvalue()


def _often(value: bytes) -> list[bytes]:
    """A thousand entries of a dictionary."""
    return [text(f"{n}") + value + b"s" for n in range(1000)]


_ONE = entry(tensor(0, (1,), (1,)))
_HUGE = 2**62
#: Forty dictionaries, each of which holds the one before twice.
_DOUBLED = b"".join(
    text(f"{n}") + b"}" + text("a") + b"h" + bytes([n]) + b"s" + text("b") + b"h" + bytes([n]) + b"s\x94s"
    for n in range(40)
)
_UNKNOWN = "which no dictionary of arrays needs"
_PLAIN = "that is not made of plain numbers"


def overlapping(count: int = 100, size: int = 40_000) -> bytes:
    """An archive whose directory says of many storages that each is most of the archive."""
    entries = [text(f"{key}") + storage(count=size // 4, key=f"{key}") + b"s" for key in range(count)]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("top/data.pkl", program(b"}", *entries))
        for key in range(count):
            archive.writestr(f"top/data/{key}", b"")
        archive.writestr("top/filling", bytes(size))
        for info in archive.infolist():
            if info.file_size == 0:
                info.file_size = info.compress_size = size
    return buffer.getvalue()


#: File and reason by case.
BROKEN: dict[str, tuple[bytes, str]] = {
    # names and calls
    "a name with dots": (entry(name("numpy", "core.multiarray._reconstruct")), _UNKNOWN),
    "a name that is no text": (entry(b"]]\x93"), "a name that is no text"),
    "a name of nested lists": (program(b"]" * 50_000, b"a" * 49_000, b"]\x93"), "a name that is no text"),
    "a call of what is a name only": (entry(name("numpy", "ndarray"), b")R"), "calls what is not to be called"),
    "a call of a text": (entry(text("numpy dtype"), many(text("f4")), b"R"), "calls what is not to be called"),
    "a call with no arguments": (entry(name("numpy", "dtype"), b"}R"), "calls what is not to be called"),
    "a new object": (entry(name("numpy", "ndarray"), b")\x81"), "NEWOBJ"),
    "an instance": (entry(b"(ios\nsystem\n"), "INST"),
    "an object": (entry(b"(", name("numpy", "dtype"), text("f4"), b"o"), "OBJ"),
    "an extension": (entry(b"\x82\x01"), "EXT1"),
    "a state of a list": (entry(b"]}b"), "gives a state to what has none"),
    "a state of a name": (entry(name("numpy", "ndarray"), b"}b"), "gives a state to what has none"),
    "a state of a number": (entry(b"K\x01}b"), "gives a state to what has none"),
    "an encoding of another kind": (
        entry(name("_codecs", "encode"), many(text("x"), text("rot13")), b"R"),
        "bytes in an",
    ),
    "a persistent name in NumPy's": (entry(text("x"), b"Q"), "BINPERSID"),
    "a text of Python 2": (entry(b"U\x01a"), "SHORT_BINSTRING"),
    "a pickle of lines": (pickle.dumps({"x": 1}, 0), "neither a binary pickle"),
    # arrays
    "a dtype of objects": (entry(dtype("O")), _PLAIN),
    "a dtype of several": (entry(dtype("f4,O")), _PLAIN),
    "a dtype with fields": (
        entry(dtype(), many(number(3), text("<"), b"N", many(text("a")), b"}"), b"b"),
        "no plain number",
    ),
    "an array without elements": (entry(NONE), "without elements"),
    "an array of a list": (entry(array(many(number(1)), b"]")), _PLAIN),
    "a huge array": (entry(array(many(number(_HUGE)))), "impossible shape"),
    "a large array": (entry(array(many(number(10**10)))), "ask for 40000000000"),
    "a huge array beside a zero": (entry(array(many(number(_HUGE), number(0)), raw(b""))), "impossible shape"),
    "an array of too few bytes": (entry(array(many(number(2)))), "array of 4 bytes"),
    "an array of too many bytes": (entry(array(many(number(0)))), "array of 4 bytes"),
    "a negative size": (entry(array(many(number(-1)))), "impossible shape"),
    "a size that is a text": (entry(array(many(text("1")))), "impossible shape"),
    "a size that is a truth": (entry(array(many(b"\x88"))), "impossible shape"),
    "many dimensions": (entry(array(many(number(1) * 40))), "impossible shape"),
    "a shape that nests": (entry(array(number(1) + b"\x85" * 50_000)), "impossible shape"),
    "the same bytes in a thousand arrays": (
        program(b"}", text("x"), raw(bytes(400_000)), b"q\x00s", *_often(array(many(number(100_000)), b"h\x00"))),
        "larger than the file",
    ),
    "a text that is encoded a thousand times": (
        program(
            *(b"}", text("x"), text("x" * 400_000), b"q\x00s"),
            *_often(name("_codecs", "encode") + many(b"h\x00", text("latin1")) + b"R"),
        ),
        "larger than the file",
    ),
    # sizes and depths
    "a huge length of bytes": (entry(b"\x8e", struct.pack("<Q", 2**40)), "bytes8"),
    "a huge length of a text": (entry(b"\x8d", struct.pack("<Q", 2**40)), "unicodestring8"),
    "a huge length of a number": (entry(b"\x8b", struct.pack("<i", 2**31 - 1)), "long4"),
    "a huge frame": (b"\x80\x04\x95" + struct.pack("<Q", _HUGE), "exhausted"),
    "a huge place in the memo": (program(b"]r", struct.pack("<I", 2**32 - 1)), "no dictionary of arrays"),
    "an empty place of the memo": (entry(b"h\x07"), "what is not there"),
    "a million instructions": (program(b"}" * (1 << 20)), "more than 262144 instructions"),
    "lists in lists": (program(b"]" * 100_000, b"a" * 99_999), "no dictionary of arrays"),
    "tuples in tuples": (program(b")", b"\x85" * 100_000), "no dictionary of arrays"),
    "dictionaries in dictionaries": (program((b"}" + text("x")) * 30_000, b"}", b"s" * 30_000), "deeper than 100"),
    "a dictionary in itself": (program(b"}\x94", text("x"), b"h\x00s"), "hold each other"),
    "two of two of two": (program(b"}", text("0"), b"}\x94s", _DOUBLED), "hold each other"),
    # forms
    "a name that is a tuple": (program(b"})K\x01s"), "keys are not names"),
    "half an item": (program(b"}(", text("x"), b"u"), "keys are not names"),
    "items of a list": (program(b"]", text("x"), b"K\x01s"), "keys are not names"),
    "appending to a tuple": (program(b")K\x01a"), "appends to what is no list"),
    "a list": (program(b"]"), "no dictionary of arrays"),
    "no value": (program(), "what is not there"),
    "an open mark": (program(b"(}"), "leaves something over"),
    "nothing": (b"", "neither a binary pickle"),
    "a page": (b"<html></html>", "neither a binary pickle"),
    "safetensors of a huge header": (struct.pack("<Q", 2**60) + b"{}", "header"),
    # PyTorch
    "a tensor that leaves its storage": (torch_zip(entry(tensor(0, (2,), (1,)))), "leaves its storage"),
    "a tensor beyond its storage": (torch_zip(entry(tensor(1, (1,), (1,)))), "leaves its storage"),
    "a tensor before its storage": (torch_zip(entry(tensor(-1, (1,), (1,)))), "leaves its storage"),
    "a tensor that goes backwards": (torch_zip(entry(tensor(0, (1,), (-1,)))), "impossible strides"),
    "one number a billion times": (torch_zip(entry(tensor(0, (10**9,), (0,)))), "larger than the file"),
    "strides that overflow": (torch_zip(entry(tensor(0, (1,), (_HUGE,)))), "impossible strides"),
    "fewer strides than sizes": (torch_zip(entry(tensor(0, (1, 1), (1,)))), "impossible strides"),
    "a huge tensor": (torch_zip(entry(tensor(0, (_HUGE,), (0,)))), "impossible shape"),
    "a storage of another kind": (torch_zip(entry(tensor(0, (), (), storage(name("os", "system"))))), _UNKNOWN),
    "a storage by a text": (torch_zip(entry(tensor(0, (), (), storage(text("torch FloatStorage"))))), "unknown form"),
    "a module in a storage's place": (torch_zip(entry(storage(first="module"))), "unknown form"),
    "a storage of huge size": (torch_zip(entry(tensor(0, (), (), storage(count=_HUGE)))), "unknown form"),
    "a storage of large size": (torch_zip(entry(tensor(0, (), (), storage(count=2**50)))), "another size"),
    "a storage of two sizes": (torch_zip(entry(many(storage(), storage(count=2)))), "declares a storage in two ways"),
    "a storage that is not there": (torch_zip(entry(tensor(0, (), (), storage(key="1")))), "are not there"),
    "a storage in another folder": (torch_zip(entry(tensor(0, (), (), storage(key="../../x")))), "are not there"),
    "elements that are packed": (torch_zip(_ONE, packing=zipfile.ZIP_DEFLATED), "compressed parts"),
    "elements of another order": (torch_zip(_ONE, byteorder=b"big"), "little-endian"),
    "too few elements": (torch_zip(_ONE, b"ab"), "another size"),
    "storages that lie in each other": (overlapping(), "larger than the file"),
    "two pickles": (with_two_entries(torch_zip(_ONE)), "none of torch.save"),
    "a zip archive that is cut": (torch_zip(_ONE)[:-30], "broken zip archive"),
    "an older file of another order": (older(_ONE, little=False), "little-endian"),
    "an older file without elements": (older(_ONE, b""), "another size"),
    "an older file with half of them": (older(_ONE, struct.pack("<q", 1) + b"ab"), "another size"),
    "an older file of a large count": (
        older(entry(tensor(0, (), (), storage(count=2**50))), struct.pack("<q", 2**50)),
        "another size",
    ),
    "an older file that leaves a storage out": (older(_ONE, keys=()), "are not there"),
    "an older file with a storage too much": (older(_ONE, keys=("0", "1")), "that its tensors do not name"),
}
