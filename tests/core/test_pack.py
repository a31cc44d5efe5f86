"""A data set is decoded once, into a pack that is whole or not there."""

import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import encode, moving
from folder_set import GEOMETRY, Folder, blueprint, contents, make
from safetensors.numpy import load_file

from gadkit.data import packing
from gadkit.data.pack import open_pack
from gadkit.data.packing import pack
from gadkit.errors import DataError, RunError
from gadkit.interfaces.dataset import Dataset, Footage, Source
from gadkit.video.geometry import Geometry


@pytest.fixture
def videos(tmp_path):
    return make(tmp_path / "videos")


def packed(videos, folder, *, geometry=GEOMETRY, processes=False, **more):
    dataset = Folder(videos)
    pack(dataset, dataset.sources(), folder, geometry, blueprint=blueprint(videos) if processes else None, **more)
    return open_pack(folder)


def all_frames(store, video):
    return store.gather(torch.tensor([video]), torch.arange(int(store.lengths[video]))[None])[0].numpy()


@pytest.mark.parametrize("processes", [False, True])
def test_the_pack_holds_every_frame(videos, tmp_path, processes):
    seen = []
    store = packed(videos, tmp_path / "pack", processes=processes, progress=lambda *call: seen.append(call))
    names = ["a0.mp4", "a2.mp4", "a4.mp4", "b1.mp4", "b3.mp4"]
    assert store.names == names
    assert store.lengths.tolist() == [9, 12, 7, 5, 3]
    assert (store.height, store.width, store.channels, store.fps, store.rates) == (24, 32, 3, 25.0, (25.0, 30.0))
    for video, (seed, length) in enumerate([(0, 9), (2, 12), (4, 7), (1, 5), (3, 3)]):
        assert np.array_equal(all_frames(store, video), moving(length, 24, 32, seed=seed))
    assert seen[:5] == [(number, 5, f"checking {name}") for number, name in enumerate(names, 1)]
    assert seen[5:] == [(number, 5, name) for number, name in enumerate(names, 1)]


def test_a_shard_reads_back_with_the_library_and_the_index_tells_the_truth(videos, tmp_path):
    packed(videos, tmp_path / "pack")
    assert sorted(contents(tmp_path / "pack")) == ["index.json", "shard-00000.safetensors"]
    frames = load_file(tmp_path / "pack" / "shard-00000.safetensors")["frames"]
    assert frames.shape == (36, 24, 32, 3)
    index = json.loads((tmp_path / "pack" / "index.json").read_text())
    assert Geometry(**index["geometry"]) == GEOMETRY
    assert index["shards"] == [{"frames": 36, "bytes": (tmp_path / "pack" / "shard-00000.safetensors").stat().st_size}]
    for video in index["videos"]:
        expected = moving(video["length"], 24, 32, seed=int(video["name"][1]))
        assert np.array_equal(frames[video["start"] : video["start"] + video["length"]], expected)
        assert video["sha256"] == hashlib.sha256(expected.tobytes()).hexdigest()
        assert (video["width"], video["height"], video["label"]) == (32, 24, video["name"][0])


def test_the_index_tells_the_size_of_the_source(videos, tmp_path):
    packed(videos, tmp_path / "pack", geometry=Geometry(height=8, width=8))
    index = json.loads((tmp_path / "pack" / "index.json").read_text())
    assert {(video["width"], video["height"]) for video in index["videos"]} == {(32, 24)}


def test_footage_is_resampled_by_its_times(videos, tmp_path):
    store = packed(videos, tmp_path / "pack", geometry=Geometry(height=24, width=32, fps=12.5))
    assert (store.fps, store.rates) == (12.5, (12.5,))
    assert np.array_equal(all_frames(store, 0), moving(9, 24, 32, seed=0)[::2])


def test_workers_change_no_byte(videos, tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "SHARD_BYTES", 10 * 24 * 32 * 3)
    results = []
    for number, (workers, processes) in enumerate([(1, False), (7, False), (1, True), (3, True)]):
        packed(videos, tmp_path / str(number), workers=workers, processes=processes)
        results.append(contents(tmp_path / str(number)))
    assert len(results[0]) > 2  # several shards
    assert all(result == results[0] for result in results)
    store = open_pack(tmp_path / "0")
    assert np.array_equal(all_frames(store, 4), moving(3, 24, 32, seed=3))


def test_videos_that_cannot_be_read_are_left_out_and_named(videos, tmp_path):
    (videos / "a1_bad.mp4").write_bytes(b"no video")
    whole = encode(videos / "a1_cut.mp4", moving(30), container={"movflags": "+faststart"})
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    store = packed(videos, tmp_path / "pack", processes=True)
    assert store.names == ["a0.mp4", "a2.mp4", "a4.mp4", "b1.mp4", "b3.mp4"]
    assert [skipped.name for skipped in store.skipped] == ["a1_bad.mp4", "a1_cut.mp4"]
    assert all(skipped.name in skipped.reason for skipped in store.skipped)
    assert np.array_equal(all_frames(store, 1), moving(12, 24, 32, seed=2))


def test_nothing_readable_says_so_and_leaves_nothing(videos, tmp_path):
    for file in videos.iterdir():
        file.write_bytes(b"no video")
    with pytest.raises(DataError, match=r"none of the 5 videos can be read.*a0\.mp4"):
        packed(videos, tmp_path / "new" / "pack")
    assert list((tmp_path / "new").iterdir()) == []


class Synthetic(Dataset):
    """Made of nothing but its names."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def sources(self) -> list[Source]:
        return [Source(name=name) for name in self.names]

    def open(self, source: Source) -> Footage:
        count = 0 if source.name == "empty" else 2
        return Footage(fps=10, frames=iter([np.zeros((24, 32, 3), np.uint8)] * count))


def test_two_videos_of_one_name_are_refused(tmp_path):
    dataset = Synthetic("a", "b", "a")
    with pytest.raises(DataError, match="the name a comes twice"):
        pack(dataset, dataset.sources(), tmp_path / "pack", GEOMETRY)
    assert list(tmp_path.iterdir()) == []


def test_a_video_without_frames_is_named(tmp_path):
    dataset = Synthetic("a", "empty")
    pack(dataset, dataset.sources(), tmp_path / "pack", GEOMETRY)
    assert [skipped.reason for skipped in open_pack(tmp_path / "pack").skipped] == ["empty holds no frames."]


def test_the_same_pack_is_not_made_twice(videos, tmp_path):
    dataset = Folder(videos)
    assert pack(dataset, dataset.sources(), tmp_path / "pack", GEOMETRY)
    opened, before = dataset.opened, contents(tmp_path / "pack")
    assert not pack(dataset, dataset.sources(), tmp_path / "pack", GEOMETRY)
    assert dataset.opened == opened
    assert contents(tmp_path / "pack") == before


def other_pack(place, videos):
    packed(videos, place, geometry=Geometry(height=8, width=8))


def other_folder(place, videos):
    place.mkdir()
    (place / "precious.txt").write_text("mine")


def file(place, videos):
    place.write_text("mine")


def broken_pack(place, videos):
    packed(videos, place)
    os.truncate(place / "shard-00000.safetensors", 5000)


def link(place, videos):
    place.symlink_to(videos / "nowhere")


@pytest.mark.parametrize("standing", [other_pack, other_folder, file, broken_pack, link])
def test_nothing_that_exists_is_overwritten(videos, tmp_path, standing):
    place = tmp_path / "place"
    standing(place, videos)
    before = contents(place) if place.is_dir() else os.lstat(place)
    with pytest.raises(RunError, match=r"place .*choose another place"):
        packed(videos, place)
    assert (contents(place) if place.is_dir() else os.lstat(place)) == before


def test_an_empty_folder_is_filled(videos, tmp_path):
    (tmp_path / "pack").mkdir()
    assert len(packed(videos, tmp_path / "pack")) == 5


def test_a_pack_appears_whole(videos, tmp_path, monkeypatch):
    rename = Path.rename
    renamed = []

    def spy(self, target):
        assert not Path(target).exists()
        renamed.append(contents(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", spy)
    packed(videos, tmp_path / "out" / "pack")
    assert renamed == [contents(tmp_path / "out" / "pack")]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["pack"]  # neither lock nor remains


LIMITED = """
import resource, sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from folder_set import GEOMETRY, Folder, blueprint
from gadkit.errors import RunError
from gadkit.data.packing import pack
resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000))
videos = Path(sys.argv[1])
dataset = Folder(videos)
for plan in (blueprint(videos), None):
    try:
        pack(dataset, dataset.sources(), Path(sys.argv[2]), GEOMETRY, blueprint=plan)
    except RunError as error:
        print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
def test_a_full_disk_is_one_sentence_and_keeps_what_is_done(videos, tmp_path):
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    command = [sys.executable, "-c", LIMITED, str(videos), str(tmp_path / "pack"), *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all("cannot be written" in line and os.strerror(errno.EFBIG) in line for line in lines)
    assert not (tmp_path / "pack").exists()
    assert (tmp_path / ".partial-pack" / "shard-00000.safetensors").stat().st_size > 9 * 24 * 32 * 3
    seen = []
    packed(videos, tmp_path / "pack", progress=lambda *call: seen.append(call))
    packed(videos, tmp_path / "unbroken")
    assert contents(tmp_path / "pack") == contents(tmp_path / "unbroken")
    assert (1, 5, "a0.mp4") not in seen
    assert (5, 5, "b3.mp4") in seen
