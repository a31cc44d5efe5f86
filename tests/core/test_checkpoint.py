"""Checkpoints are whole or not there, and say when they were altered."""

import errno
import json
import os

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gadkit.errors import RunError
from gadkit.runs import checkpoint
from gadkit.runs.checkpoint import flatten, read_document, read_tensors, snapshot, unflatten, write_folder

TENSORS = {"weights.safetensors": {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3, dtype=torch.int64)}}
DOCUMENTS = {"state.json": {"step": 3}}

leaves = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5) | st.floats(allow_nan=False)
tensors = st.lists(st.floats(width=32, allow_nan=False), max_size=4).map(torch.tensor)
trees = st.recursive(
    leaves | tensors,
    lambda t: st.lists(t, max_size=3) | st.dictionaries(st.text(max_size=4), t, max_size=3),
    max_leaves=8,
)


def same(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@given(trees)
def test_a_tree_comes_back_from_json_and_tensors(tree):
    document, named = flatten({"root": tree})
    assert same(unflatten(json.loads(json.dumps(document)), named), {"root": tree})


def test_a_snapshot_shares_nothing_and_is_contiguous():
    live = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    copy = snapshot({"a": [live]})["a"][0]
    assert copy.is_contiguous()
    assert torch.equal(copy, live)
    live.zero_()
    assert copy.abs().sum() > 0


def test_what_was_written_is_read(tmp_path):
    write_folder(tmp_path / "c", TENSORS, DOCUMENTS, {"README.md": "hello"})
    assert read_document(tmp_path / "c", "state.json") == {"step": 3}
    assert same(read_tensors(tmp_path / "c", "weights.safetensors"), TENSORS["weights.safetensors"])
    assert (tmp_path / "c" / "README.md").read_text() == "hello"


@pytest.mark.parametrize("name", ["weights.safetensors", "state.json"])
def test_an_altered_file_is_refused_by_name(tmp_path, name):
    write_folder(tmp_path / "c", TENSORS, DOCUMENTS, {})
    data = bytearray((tmp_path / "c" / name).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "c" / name).write_bytes(data)
    with pytest.raises(RunError, match=name):
        read_document(tmp_path / "c", name) if name.endswith("json") else read_tensors(tmp_path / "c", name)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_keeps_what_was_there(tmp_path, monkeypatch, call):
    write_folder(tmp_path / "c", TENSORS, DOCUMENTS, {})

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint.os, call, full)
    with pytest.raises(RunError, match="No space left on device"):
        write_folder(tmp_path / "d", TENSORS, {"state.json": {"step": 4}}, {})
    assert read_document(tmp_path / "c", "state.json") == {"step": 3}
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_half_a_checkpoint_is_no_checkpoint(tmp_path):
    write_folder(tmp_path / "c", TENSORS, DOCUMENTS, {})
    (tmp_path / "c" / "manifest.json").unlink()
    with pytest.raises(RunError, match="no whole checkpoint"):
        read_document(tmp_path / "c", "state.json")
