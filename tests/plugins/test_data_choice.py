"""Each kind of source is accepted by one dataset; what a pack holds can be read again."""

import os

import numpy as np
import pytest
import sources
from PIL import Image

from gadkit import DataError
from gadkit.data.packing import pack
from gadkit.registry import get_registry
from gadkit.video.geometry import Geometry
from gadkit_plugins.data.frames import Frames
from gadkit_plugins.data.packed import Packed
from gadkit_plugins.data.videos import Videos

WANTED = {
    "video_file": "videos",
    "video_tree": "videos",
    "animation_tree": "videos",
    "frame_tree": "frames",
    "frame_zip": "archive",
    "frame_tar": "archive",
    "frame_tgz": "archive",
    "video_zip": "archive",
    "npy": "arrays",
    "npy_tree": "arrays",
    "npz": "arrays",
}
GEOMETRY = Geometry(height=sources.HEIGHT, width=sources.WIDTH)


def taking(path):
    return [entry.name for entry in get_registry().entries("dataset") if entry.load().accepts(path)]


@pytest.mark.parametrize("kind", WANTED)
def test_each_kind_of_source_has_one_dataset(tmp_path, kind):
    assert taking(sources.KINDS[kind](tmp_path)) == [WANTED[kind]]


def test_every_kind_of_this_plugin_is_tested():
    assert set(sources.KINDS) >= set(WANTED)
    assert set(sources.LABELLED) <= set(sources.KINDS)


def test_a_tar_of_videos_at_its_root_is_a_shard(tmp_path):
    sources.video_file(tmp_path)
    video = (tmp_path / "one.mp4").read_bytes()
    shard = sources.write_tar(tmp_path / "shard.tar", {"0.json": b"{}", "0.mp4": video})
    assert taking(shard) == ["webdataset"]
    assert taking(sources.write_tar(tmp_path / "frames.tar", {"dataset.json": b"{}", "v/0.png": b""})) == ["archive"]


def test_what_no_dataset_takes(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("words")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("words")
    Image.new("RGB", (4, 4)).save(tmp_path / "one.png")
    for name in ("empty", "notes.txt", "texts", "one.png", "none"):
        assert taking(tmp_path / name) == []


@pytest.mark.parametrize("ending", [".zip", ".tar", ".tar.gz", ".npy", ".npz"])
def test_what_only_looks_like_one_is_taken_and_named(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    path.write_text("words " * 200)
    (name,) = taking(path)
    entry = get_registry().find("dataset", name)
    with pytest.raises(DataError, match=path.name):
        entry.load()(path).sources()


def test_trees_of_several_kinds_go_by_their_videos(tmp_path):
    tree = sources.video_tree(tmp_path)
    Image.new("RGB", (4, 4)).save(tree / "cats" / "poster.jpg")
    np.save(tree / "cats" / "notes.npy", np.zeros(3))
    assert taking(tree) == ["videos"]


def test_a_look_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("gadkit_plugins.data.tree._GLIMPSE", 20)
    for index in range(30):
        (tmp_path / f"{index}.txt").write_text("")
        (tmp_path / f"d{index}").mkdir()
        np.save(tmp_path / f"d{index}" / "a.npy", np.zeros((2, 4, 4, 3), np.uint8))
    listed = []
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(path) or scan(path))
    assert taking(tmp_path) == []
    assert set(listed) == {tmp_path}


@pytest.fixture
def packed(tmp_path):
    tree = sources.video_tree(tmp_path / "tree")
    (tree / "cats" / "bad.mp4").write_bytes(b"no video")
    dataset = Videos(tree)
    pack(dataset, dataset.sources(), tmp_path / "pack", GEOMETRY, workers=1)
    return tmp_path / "pack"


@pytest.fixture(autouse=True)
def _tree_folder(tmp_path):
    (tmp_path / "tree").mkdir()


def test_a_pack_gives_its_frames_again(packed):
    assert taking(packed) == ["packed"]
    dataset = Packed(packed)
    assert dataset.pack == packed
    bad, *good = sorted(dataset.sources(), key=lambda source: source.name != "cats/bad.mp4")
    with pytest.raises(DataError, match=r"bad\.mp4"):
        dataset.open(bad)
    assert [source.name.partition(".")[0] for source in good] == list(sources.NAMES)
    for source in good:
        footage = dataset.open(source)
        assert footage.fps == pytest.approx(sources.FPS)
        assert np.array_equal(np.stack(list(footage.frames)), sources.videos()[source.name.partition(".")[0]])
        assert source.files[0].parent == packed


def test_a_damaged_pack_is_named(packed):
    shard = packed / "shard-00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"index\.json is damaged"):
        Packed(packed).sources()
    (packed / "index.json").write_text("{")
    with pytest.raises(DataError, match=r"index\.json cannot be read"):
        Packed(packed).sources()


def test_frames_and_packs_agree(tmp_path):
    dataset = Frames(sources.frame_tree(tmp_path / "tree"))
    pack(dataset, dataset.sources(), tmp_path / "pack", GEOMETRY, workers=1)
    for one, other in zip(dataset.sources(), Packed(tmp_path / "pack").sources(), strict=True):
        assert one.name == other.name
        frames = zip(dataset.open(one).frames, Packed(tmp_path / "pack").open(other).frames, strict=True)
        assert all(np.array_equal(left, right) for left, right in frames)
