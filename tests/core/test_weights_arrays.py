"""Files of arrays are read as data: what they hold is right, and nothing that they ask for is done."""

from __future__ import annotations

import collections
import contextlib
import io
import pickle
import random
import sys
import tracemalloc
from collections.abc import Iterator
from typing import Any

import hostile_pickles
import numpy as np
import pytest
import torch
from safetensors.torch import save as save_safetensors
from torch import nn

from gadkit.weights.arrays import read_arrays

#: Bytes that none of the hostile files, each of less than five megabytes, may take.
MEMORY = 160 << 20
NUMBERS = np.random.default_rng(5)
ARRAYS = {
    "plain": NUMBERS.normal(size=(2, 3, 4)).astype("f4"),
    "column order": np.asfortranarray(NUMBERS.normal(size=(3, 5))),
    "a view": NUMBERS.normal(size=(6, 7))[::2, ::-3],
    "other byte order": np.arange(5, dtype=">i4"),
    "half": np.arange(4, dtype="f2"),
    "whole": np.arange(-3, 3, dtype="i8"),
    "small": np.arange(3, dtype="u1"),
    "truth": np.array([True, False, True]),
    "complex": np.array([1 + 2j]),
    "one number": np.array(3.5),
    "nothing": np.zeros((0, 4), "f4"),
}


def equal(found: Any, expected: Any) -> None:
    """The same names, and arrays of the same numbers that are the reader's own."""
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for name, value in expected.items():
            equal(found[name], value)
        return
    assert found.dtype == expected.dtype.newbyteorder("=")
    assert found.flags.c_contiguous
    assert found.flags.writeable
    assert found.shape == expected.shape
    assert np.array_equal(found, expected)


# What is in a file is what is read.


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("numpy", ["numpy._core", "numpy.core"])
def test_pickles_of_arrays(protocol, numpy):
    tree = {"params": ARRAYS, "deeper": {"and": {"deeper": {"x": ARRAYS["plain"]}}}, "empty": {}}
    data = pickle.dumps(tree, protocol)
    core = b"numpy._core" if b"numpy._core" in data else b"numpy.core"
    for module in (b".multiarray", b".numeric"):  # texts are prefixed with their length, or end with a line
        for write in (lambda name: b"c" + name + b"\n", lambda name: b"\x8c" + bytes([len(name)]) + name):
            data = data.replace(write(core + module), write(numpy.encode() + module))
    assert numpy.encode() + b"." in data
    equal(read_arrays(data), tree)


def test_scalars_of_numpy_are_arrays():
    found = read_arrays(pickle.dumps({"x": np.float32(2.5), "n": np.int64(-7)}, 4))
    equal(found, {"x": np.array(2.5, "f4"), "n": np.array(-7, "i8")})


def test_what_is_no_array_is_left_out():
    tree = {"epoch": 3, "name": "x", "none": None, "list": [1, ARRAYS["plain"]], 5: ARRAYS["half"], "x": ARRAYS["half"]}
    equal(read_arrays(pickle.dumps(tree, 4)), {"x": ARRAYS["half"]})


@pytest.mark.parametrize("new", [False, True], ids=["the older form", "a zip archive"])
def test_files_of_torch_save(new):
    net = nn.Sequential(nn.Conv3d(3, 4, 2), nn.BatchNorm3d(4))
    base = torch.randn(6, 7)
    state = net.state_dict() | {
        "parameter": nn.Parameter(torch.randn(3)),
        "part": base[2:4, 1:],
        "turned": base.T,
        "tied": base,
        "half": base.half(),
        "double": base.double(),
        "whole": torch.arange(5, dtype=torch.int32),
        "small": torch.arange(5, dtype=torch.int8),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "truth": torch.tensor([True, False]),
        "one": torch.tensor(4),
        "nothing": torch.zeros(0, 3),
    }
    buffer = io.BytesIO()
    torch.save({"state_dict": state, "epoch": 3}, buffer, _use_new_zipfile_serialization=new)
    expected = {name: value.detach().numpy() for name, value in state.items()}
    equal(read_arrays(buffer.getvalue()), {"state_dict": expected})


def test_safetensors():
    values = {"a": torch.randn(2, 3), "b": torch.arange(3)}
    equal(read_arrays(save_safetensors(values)), {name: value.numpy() for name, value in values.items()})


@pytest.mark.parametrize("new", [False, True])
def test_a_dtype_that_numpy_lacks_is_told(new):
    buffer = io.BytesIO()
    torch.save({"x": torch.zeros(3, dtype=torch.bfloat16)}, buffer, _use_new_zipfile_serialization=new)
    with pytest.raises(ValueError, match="BFloat16Storage"):
        read_arrays(buffer.getvalue())
    with pytest.raises(ValueError, match="a dtype that NumPy lacks"):
        read_arrays(save_safetensors({"x": torch.zeros(3, dtype=torch.bfloat16)}))


# What a file asks for is not done.

#: What Python tells of before it is done; an import of what is imported already is told too.
DEEDS = ("pickle.find_class", "os.system", "subprocess.Popen", "exec", "compile", "import", "open", "ctypes.dlopen")
_watching: list[list[str]] = []


def _watch(event: str, arguments: Any) -> None:
    if _watching and event in DEEDS:
        _watching[-1].append(f"{event} {arguments}")


sys.addaudithook(_watch)  # for good: a hook cannot be taken away


@contextlib.contextmanager
def nothing_done() -> Iterator[None]:
    """A block that imports, opens, compiles and runs nothing, and takes little memory."""
    _watching.append([])
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        done = _watching.pop()
    assert done == []
    assert peak < MEMORY


def refusal(data: bytes) -> str:
    with nothing_done(), pytest.raises(ValueError, match=r".") as caught:
        read_arrays(data)
    assert len(str(caught.value)) < 500
    return str(caught.value)


@pytest.fixture(scope="module", autouse=True)
def _warm():
    """What is imported when it is used first is imported before anything is watched."""
    for data in (*WHOLE.values(), *(hostile_pickles.BROKEN["a zip archive that is cut"][0],)):
        with contextlib.suppress(ValueError):
            read_arrays(data)


def test_the_watch_sees_deeds():
    with pytest.raises(AssertionError, match="find_class"), nothing_done():
        pickle.loads(pickle.dumps(collections.deque()))  # noqa: S301
    with pytest.raises(AssertionError, match="<"), nothing_done():
        bytearray(2 * MEMORY)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("case", hostile_pickles.CALLS)
def test_a_call_is_refused(case, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickled = pickle.dumps({"x": hostile_pickles.CALLS[case]}, protocol)
    for data in (pickled, hostile_pickles.torch_zip(pickled), hostile_pickles.older(pickled)):
        assert "its pickle" in refusal(data)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("case", hostile_pickles.BROKEN)
def test_a_broken_file_is_refused(case):
    data, reason = hostile_pickles.BROKEN[case]
    assert reason in refusal(data)


# Files as they are written, to be spoiled.


def torch_file(new: bool) -> bytes:
    buffer = io.BytesIO()
    state = {"a": torch.randn(2, 3), "b": nn.Parameter(torch.randn(3)), "c": torch.tensor(3)}
    torch.save(state, buffer, _use_new_zipfile_serialization=new)
    return buffer.getvalue()


WHOLE = {
    "a pickle": pickle.dumps({"a": ARRAYS}, 4),
    "a pickle of protocol 2": pickle.dumps({"a": ARRAYS}, 2),
    "the older form": torch_file(False),
    "a zip archive": torch_file(True),
    "safetensors": save_safetensors({"a": torch.randn(3)}),
}


@pytest.mark.parametrize("form", WHOLE)
def test_a_cut_file_is_refused(form):
    data = WHOLE[form]
    for length in range(0, len(data), max(1, len(data) // 200)):
        refusal(data[:length])


@pytest.mark.filterwarnings("ignore:invalid escape sequence")  # of pickletools, at a spoiled text
@pytest.mark.parametrize("form", WHOLE)
def test_a_spoiled_file_is_refused_or_gives_arrays(form):
    dice = random.Random(form)
    outcomes = collections.Counter()
    for _ in range(250):
        data = bytearray(WHOLE[form])
        for _ in range(dice.choice((1, 1, 2, 8))):
            place = dice.randrange(len(data))
            if dice.random() < 0.8:
                data[place] = dice.choice((data[place] ^ 1 << dice.randrange(8), dice.randrange(256)))
            else:
                data[place : place + dice.randrange(9)] = dice.randbytes(dice.randrange(9))
        try:
            with nothing_done():
                found = read_arrays(bytes(data))
        except ValueError:
            outcomes["refused"] += 1
        else:
            only_arrays(found)
            outcomes["read"] += 1
    assert len(outcomes) == 2


def only_arrays(found: Any) -> None:
    if isinstance(found, dict):
        for name, value in found.items():
            assert type(name) is str
            only_arrays(value)
    else:
        assert type(found) is np.ndarray
        assert found.dtype.kind in "biufc"
