"""Nested state comes back from JSON and named tensors as it was."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from small_checkpoints import STATE, WEIGHTS, same

from gadkit.checkpoints.store import (
    read_document,
    read_tensors,
    write_folder,
)
from gadkit.checkpoints.trees import flatten, snapshot, unflatten
from gadkit.errors import DamagedError

keys = st.text(max_size=4) | st.sampled_from(["a", "b", "a.b", "$tensor", "$$tensor", "0", "__metadata__"])
leaves = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5) | st.floats(allow_nan=False)
tensors = st.lists(st.floats(width=32, allow_nan=False), max_size=4).map(torch.tensor)
trees = st.recursive(
    leaves | tensors,
    lambda t: st.lists(t, max_size=3) | st.dictionaries(keys, t, max_size=3),
    max_leaves=8,
)


@given(trees)
def test_a_tree_comes_back_from_json_and_tensors(tree):
    document, named = flatten({"root": tree})
    assert same(unflatten(json.loads(json.dumps(document)), named), {"root": tree})


def test_no_two_tensors_share_a_name():
    one, two, three = (torch.tensor(value) for value in (1, 2, 3))
    tree = {"a.b": one, "a": {"b": two}, "a.b~2": three}
    document, named = flatten(tree)
    assert len(named) == 3
    assert same(unflatten(document, named), tree)
    assert flatten(tree["a"], "x")[1].keys() == {"x.b"}


def test_names_are_those_that_a_safetensors_file_can_hold(tmp_path):
    tree = {"__metadata__": torch.tensor(1), "\ud800": torch.tensor(2), "": torch.tensor(3), "é\n": torch.tensor(4)}
    document, named = flatten(tree)
    write_folder(tmp_path / "c", {WEIGHTS: named}, {STATE: document}, {})
    assert same(unflatten(read_document(tmp_path / "c", STATE), read_tensors(tmp_path / "c", WEIGHTS)), tree)
    assert load_file(tmp_path / "c" / WEIGHTS).keys() == named.keys()


@pytest.mark.parametrize("tree", [{"$tensor": "a"}, {"$tensor": "a", "b": 1}, {"$$tensor": {"$x": 1}}, {"$": 2}])
def test_what_looks_like_a_tensor_is_none(tree):
    document, named = flatten({"a": torch.tensor(1), "tree": tree})
    assert unflatten(document, named)["tree"] == tree


def test_a_key_that_is_no_string_is_refused():
    with pytest.raises(TypeError, match=r"a\.7: found a key that is int"):
        flatten({"a": {7: torch.tensor(1)}})


@pytest.mark.parametrize("name", ["no", 3, None, [], {}])
def test_a_tensor_that_is_not_there_is_missed(name):
    with pytest.raises(DamagedError, match="the state names the tensor"):
        unflatten({"a": [{"$tensor": name}]}, {"yes": torch.tensor(1)})


def test_a_snapshot_shares_nothing_and_is_contiguous():
    live = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    copy = snapshot({"a": [live]})["a"][0]
    assert copy.is_contiguous()
    assert torch.equal(copy, live)
    live.zero_()
    assert copy.abs().sum() > 0
