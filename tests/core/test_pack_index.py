"""A pack is data from somewhere: what its index says is checked before it is used."""

import json
import os
import struct

import pytest
import torch
from folder_set import GEOMETRY, Folder, contents, make
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gadkit.data import packing
from gadkit.data.pack import open_pack
from gadkit.data.packing import pack
from gadkit.errors import DataError
from gadkit.interfaces.dataset import Source


@pytest.fixture(scope="module")
def pack_folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("pack")
    videos = make(root / "videos")
    (videos / "bad.mp4").write_bytes(b"no video")
    dataset = Folder(videos)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "SHARD_BYTES", 20 * 24 * 32 * 3)
        pack(dataset, dataset.sources(), root / "pack", GEOMETRY)
    return root / "pack"


@pytest.fixture
def changed(pack_folder):
    """Changes the index for one test."""
    path = pack_folder / "index.json"
    before = path.read_text()

    def change(edit):
        index = json.loads(before)
        edit(index)
        path.write_text(json.dumps(index))

    yield change
    path.write_text(before)


def test_labels_and_columns_are_those_of_the_sources(pack_folder):
    plain = open_pack(pack_folder)
    assert plain.classes == ("a", "b")
    assert plain.labels.tolist() == [0, 0, 0, 1, 1]
    assert plain.columns == [{}] * 5
    sources = [
        Source(name=name, label=label, columns={"scene": name[0]})
        for name, label in [("b3.mp4", "y"), ("a0.mp4", "x"), ("bad.mp4", "y"), ("a2.mp4", "y")]
    ]
    store = open_pack(pack_folder, sources=sources)
    assert store.names == ["a0.mp4", "a2.mp4", "b3.mp4"]
    assert store.classes == ("x", "y")
    assert store.labels.tolist() == [0, 1, 1]
    assert [row["scene"] for row in store.columns] == ["a", "a", "b"]
    assert [skipped.name for skipped in store.skipped] == ["bad.mp4"]
    where = torch.tensor([2]), torch.tensor([[1, 2]])
    assert torch.equal(store.gather(*where), plain.gather(torch.tensor([4]), where[1]))


def test_one_video_without_a_label_means_no_classes(pack_folder):
    sources = [Source(name="a0.mp4", label="x"), Source(name="a2.mp4")]
    store = open_pack(pack_folder, sources=sources)
    assert (store.labels, store.classes) == (None, ())


def test_two_sources_of_one_name_are_refused(pack_folder):
    with pytest.raises(DataError, match=r"a0\.mp4 comes twice"):
        open_pack(pack_folder, sources=[Source(name="a0.mp4"), Source(name="a0.mp4")])


def test_short_videos_are_left_out_and_named(pack_folder):
    store = open_pack(pack_folder, min_frames=8)
    assert store.names == ["a0.mp4", "a2.mp4"]
    assert [skipped.name for skipped in store.skipped] == ["bad.mp4", "a4.mp4", "b1.mp4", "b3.mp4"]
    assert store.skipped[3].reason == "b3.mp4 has 3 frames, and 8 are needed."
    with pytest.raises(DataError, match=r"none of the 6 .*1 cannot be read and 5 are shorter than 40.*12; lower"):
        open_pack(pack_folder, min_frames=40)


EDITS = {
    "format": lambda index: index.update(format=1),
    "no key": lambda index: index.pop("key"),
    "key is no text": lambda index: index.update(key=["x"]),
    "no geometry": lambda index: index.update(geometry=None),
    "huge frame": lambda index: index["geometry"].update(height=1 << 40),
    "another height": lambda index: index["geometry"].update(height=25),
    "fit": lambda index: index["geometry"].update(fit="bend"),
    "unknown in geometry": lambda index: index["geometry"].update(depth=3),
    "negative fps": lambda index: index["geometry"].update(fps=-1),
    "colour": lambda index: index["geometry"].update(background="nice"),
    "videos is no list": lambda index: index.update(videos={"a": 1}),
    "a video is no table": lambda index: index["videos"].append(7),
    "one more frame": lambda index: index["shards"][0].update(frames=index["shards"][0]["frames"] + 1),
    "a lost shard": lambda index: index["shards"].append({"frames": 1, "bytes": 2560}),
    "negative start": lambda index: index["videos"][0].update(start=-1),
    "true is no number": lambda index: index["videos"][0].update(start=True),
    "far start": lambda index: index["videos"][0].update(start=1 << 70),
    "past the end": lambda index: index["videos"][-1].update(length=1000),
    "no frames": lambda index: index["videos"][0].update(length=0),
    "shard": lambda index: index["videos"][0].update(shard=99),
    "negative shard": lambda index: index["videos"][0].update(shard=-1),
    "fps nan": lambda index: index["videos"][0].update(fps=float("nan")),
    "fps text": lambda index: index["videos"][0].update(fps="25"),
    "hash": lambda index: index["videos"][0].update(sha256="../../etc/passwd"),
    "name": lambda index: index["videos"][0].update(name=None),
    "label": lambda index: index["videos"][0].update(label=3),
    "columns": lambda index: index["videos"][0].update(columns={"a": 1}),
    "twice": lambda index: index["videos"].append(index["videos"][0]),
    "skipped and not": lambda index: index["skipped"].append({"name": index["videos"][0]["name"], "reason": "x"}),
    "reason": lambda index: index["skipped"][0].pop("reason"),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_damaged_index_is_one_sentence(pack_folder, changed, edit):
    changed(edit)
    with pytest.raises(DataError, match=r"index\.json is (damaged|not of pack format 2).*make it anew\.$"):
        open_pack(pack_folder)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), cut=st.booleans())
def test_any_changed_byte_of_the_index_is_an_error_or_a_pack(pack_folder, changed, place, byte, cut):
    changed(lambda index: None)
    path = pack_folder / "index.json"
    text = bytearray(path.read_bytes())
    where = int(place * len(text))
    if cut:
        del text[where:]
    else:
        text[where] = byte
    path.write_bytes(text)
    try:
        store = open_pack(pack_folder)
    except DataError:
        return
    for video, length in enumerate(store.lengths.tolist()):
        store.gather(torch.tensor([video]), torch.tensor([[0, length - 1]]))


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "[" * 100_000, "\ud800"])
def test_what_is_no_index_is_one_sentence(pack_folder, changed, text):
    changed(lambda index: None)
    (pack_folder / "index.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(DataError, match=r"index\.json .*make it anew"):
        open_pack(pack_folder)


def with_header(path, header):
    """The shard with another header; its size stays."""
    body = path.read_bytes()[256:]
    path.write_bytes(struct.pack("<Q", 248) + json.dumps({"frames": header}).encode().ljust(248) + body)


@pytest.mark.parametrize("damage", ["cut", "longer", "lost", "other type", "other shape", "no header"])
def test_a_damaged_shard_is_one_sentence(pack_folder, damage):
    shard = pack_folder / "shard-00000.safetensors"
    before = contents(pack_folder)
    size = shard.stat().st_size - 256
    if damage == "cut":
        os.truncate(shard, 5000)
    elif damage == "longer":
        os.truncate(shard, size + 300)
    elif damage == "lost":
        shard.unlink()
    elif damage == "other type":
        with_header(shard, {"dtype": "I8", "shape": [size // 2304, 24, 32, 3], "data_offsets": [0, size]})
    elif damage == "other shape":
        with_header(shard, {"dtype": "U8", "shape": [size // 2304 * 24, 1, 32, 3], "data_offsets": [0, size]})
    else:
        with_header(shard, {"dtype": "U8", "shape": [1 << 40, 24, 32, 3], "data_offsets": [0, 1 << 60]})
    try:
        with pytest.raises(DataError, match="make it anew"):
            open_pack(pack_folder)
    finally:
        for name, content in before.items():
            (pack_folder / name).write_bytes(content)
