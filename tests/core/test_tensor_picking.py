"""Some tensors of a file, without memory for the others, and with every promise that the whole file has."""

import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_memory import peak

from gadkit.checkpoints.store import flatten, read_tensors, tensor_names, write_folder
from gadkit.errors import DamagedError

FILE = "training.safetensors"
KINDS = (torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool)


def written(folder, tensors):
    write_folder(folder, {FILE: tensors}, {}, {})
    return folder


def drawn(seed, count):
    """Tensors of many kinds and shapes, also without a number in them."""
    random = torch.Generator().manual_seed(seed)
    found = {}
    for number in range(count):
        size = torch.randint(0, 5, (int(torch.randint(0, 4, (), generator=random)),), generator=random).tolist()
        value = torch.randint(0, 2, size, generator=random).to(KINDS[(seed + number) % len(KINDS)])
        found[f"{'ab'[number % 2]}.{number}"] = value
    return found


@given(st.integers(0, 10**6), st.integers(0, 12), st.sets(st.integers(0, 14)))
@settings(max_examples=60, deadline=None)
def test_what_is_picked_is_what_the_whole_file_holds(tmp_path_factory, seed, count, chosen):
    folder = written(tmp_path_factory.mktemp("picking") / "c", drawn(seed, count))
    whole = read_tensors(folder, FILE)
    names = {f"{'ab'[number % 2]}.{number}" for number in chosen}  # some of which are not there
    picked = read_tensors(folder, FILE, only=names)
    assert list(picked) == sorted(names & whole.keys())
    assert all(value.dtype == whole[name].dtype and value.equal(whole[name]) for name, value in picked.items())


@pytest.mark.parametrize("place", ["in it", "before", "behind", "header"])
def test_a_bit_that_was_flipped_is_noticed_wherever_it_lies(tmp_path, place):
    folder = written(tmp_path / "c", {name: torch.arange(300.0) for name in "abc"})
    assert read_tensors(folder, FILE, only={"b"})["b"].equal(torch.arange(300.0))
    path = folder / FILE
    content = bytearray(path.read_bytes())
    size = 1200
    content[{"in it": -size - 8, "before": -3 * size + 8, "behind": -8, "header": 20}[place]] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedError, match=r"training\.safetensors: "):
        read_tensors(folder, FILE, only={"b"})
    for cut in (1, size + 4, len(content) - 4):
        path.write_bytes(content[:-cut])
        with pytest.raises(DamagedError, match=r"training\.safetensors: "):
            read_tensors(folder, FILE, only={"b"})


@pytest.mark.skipif(sys.platform != "linux", reason="measures the process as Linux tells it")
def test_what_is_not_picked_takes_no_memory(tmp_path):
    size = 64 << 20
    folder = written(tmp_path / "c", {"large": torch.ones(size // 4), "wanted": torch.arange(5.0)})
    assert read_tensors(folder, FILE, only={"wanted"})["wanted"].equal(torch.arange(5.0))
    assert peak(read_tensors, folder, FILE, only={"wanted"}) < size // 4
    assert peak(read_tensors, folder, FILE) > size  # so that the measurement measures


def test_the_names_of_a_nets_tensors_are_told_by_what_describes_it():
    """Also where a name was taken already, or begins with a dollar sign."""
    state = {"x": {"a.b": torch.ones(1)}, "x.a": {"b": torch.zeros(1), "$c": torch.ones(2), "said": 5}}
    document, tensors = flatten(state)
    names = tensor_names(document["x.a"])
    assert {key: tensors[name].tolist() for key, name in names.items()} == {"b": [0.0], "$c": [1.0, 1.0]}
    assert names["b"] != tensor_names(document["x"])["a.b"]
    for other in ([], 3, {"a": {"$tensor": 3}}, {"a": {"$tensor": "x", "more": 1}}, {"a": []}):
        assert tensor_names(other) == {}
