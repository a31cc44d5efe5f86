"""A small checkpoint, and what tests do to it."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch

from gadkit.checkpoints.store import MANIFEST, read_document, read_tensors, write_folder
from gadkit.errors import DamagedError

WEIGHTS, STATE = "weights.safetensors", "state.json"
TENSORS = {WEIGHTS: {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3, dtype=torch.int64)}}
DOCUMENTS = {STATE: {"step": 3}}


def whole(folder):
    """Writes the small checkpoint."""
    write_folder(folder, TENSORS, DOCUMENTS, {"README.md": "hello"})
    return folder


def same(a, b):
    """Whether two trees are equal to the last bit of every tensor."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and a.shape == b.shape and bits(a) == bits(b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def bits(tensor):
    return tensor.resolve_conj().contiguous().reshape(-1).view(torch.uint8).tolist()


def forge(folder, name, content):
    """Puts a file into a folder as someone would who can also write the manifest."""
    (folder / name).write_bytes(content)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["sha256"][name] = hashlib.sha256(content).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))


def read(folder, name):
    return read_document(folder, name) if name.endswith("json") else read_tensors(folder, name)


def refused(folder, name, *expected, read=read):
    """A file is refused as damaged, in one sentence about it, which is returned."""
    with pytest.raises(DamagedError) as caught:
        read(folder, name)
    sentence = str(caught.value)
    assert sentence.startswith(str(folder))
    assert "\n" not in sentence
    assert [text for text in (name, *expected) if text not in sentence] == [], sentence
    return sentence


def needs_links(folder):
    """Skips a test where links may not be made."""
    try:
        (folder / "link").symlink_to("nowhere")
    except OSError:
        pytest.skip("links may not be made here")
    (folder / "link").unlink()
