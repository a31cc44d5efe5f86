"""Every registered dataset keeps its interface's promises on real data, and the kit catches those that do not."""

import itertools
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from sources import KINDS
from test_docs import ROOT, blocks

from gadkit import Dataset, Footage, Source
from gadkit.data.packing import pack
from gadkit.registry import Registry, get_registry
from gadkit.testing import check_dataset
from gadkit.video.geometry import Geometry
from gadkit_plugins.data.videos import Videos


def packed(folder: Path) -> Path:
    dataset = Videos(KINDS["video_tree"](folder))
    pack(dataset, dataset.sources(), folder / "pack", Geometry(height=16, width=16))
    return folder / "pack"


def mnist(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (3, 20, 64, 64, 1), dtype=np.uint8)
    np.savez(folder / "clips.npz", videos=clips, labels=np.array(["1 2", "3 4", "1 2"]))
    return folder


#: What each registered dataset is tried on.
DATA = {
    "videos": [KINDS["video_tree"], KINDS["video_file"], KINDS["animation_tree"]],
    "frames": [KINDS["frame_tree"]],
    "archive": [KINDS["frame_zip"], KINDS["frame_tar"], KINDS["frame_tgz"], KINDS["video_zip"]],
    "arrays": [KINDS["npy"], KINDS["npy_tree"], KINDS["npz"]],
    "packed": [packed],
    "webdataset": [KINDS["webdataset"]],
    "webdataset-pipe": [lambda folder: "-"],
    "embedded": [lambda folder: Path()],
    "moving-digits": [lambda folder: Path()],
    "bouncing-shapes": [lambda folder: Path()],
    "fluent-emoji": [KINDS["animation_tree"]],
    "bouncing-mnist": [mnist],
    "camera-clips": [KINDS["video_tree"]],
}


@pytest.mark.parametrize("entry", get_registry().entries("dataset"), ids=lambda entry: entry.qualified)
def test_registered_datasets_conform(entry, tmp_path):
    for number, write in enumerate(DATA[entry.name]):
        (tmp_path / str(number)).mkdir()
        check_dataset(entry.load(), write(tmp_path / str(number)))


def test_the_dataset_of_the_docs_is_one(tmp_path, monkeypatch):
    (code,) = (block for block in blocks(ROOT / "docs/plugins.md", "python") if "class Raw" in block)
    (tmp_path / "raw.py").write_text(code, encoding="utf-8")
    monkeypatch.setitem(sys.modules, "raw", ModuleType("raw"))  # so that whatever the plugin leaves there is taken back
    del sys.modules["raw"]
    (entry,) = Registry().load_file(tmp_path / "raw.py")
    for name in "ab":
        np.random.default_rng(ord(name)).integers(0, 256, (9, 64, 64), np.uint8).tofile(tmp_path / f"{name}.gray")
    assert entry.load().accepts(tmp_path)
    check_dataset(entry.load(), tmp_path)


class Good(Dataset):
    """Two videos that follow from their names."""

    def __init__(self, path, *, level: int = 9) -> None:
        self.path, self.level = path, level

    def sources(self):
        return [Source(name=name) for name in "ab"]

    def open(self, source):
        return Footage(
            fps=10.0, frames=(np.full((4, 5, 3), self.level + t + ord(source.name), np.uint8) for t in range(5))
        )


class Forgets(Good):
    def __init__(self, path, *, level: int = 9) -> None:
        self.path, self._level = path, level


class Disorder(Good):
    turns = itertools.count()

    def sources(self):
        return super().sources()[:: 1 if next(self.turns) % 2 else -1]


class Twice(Good):
    def sources(self):
        return [Source(name="a"), Source(name="a")]


class Empty(Good):
    def sources(self):
        return []


class Remembers(Good):
    calls = itertools.count()

    def open(self, source):
        shade = next(self.calls) % 200
        return Footage(fps=10.0, frames=(np.full((4, 5, 3), shade, np.uint8) for _ in range(3)))


class OfItsInstance(Good):
    def sources(self):
        self.shade = 7
        return super().sources()

    def open(self, source):
        shade = getattr(self, "shade", 0)
        return Footage(fps=10.0, frames=(np.full((4, 5, 3), shade, np.uint8) for _ in range(3)))


class Floats(Good):
    def open(self, source):
        return Footage(fps=10.0, frames=(np.zeros((4, 5, 3)) for _ in range(3)))


class ChannelsFirst(Good):
    def open(self, source):
        return Footage(fps=10.0, frames=(np.zeros((3, 4, 5), np.uint8) for _ in range(3)))


class Backwards(Good):
    def open(self, source):
        return Footage(fps=10.0, timed=((1.0 - t, np.zeros((4, 5, 3), np.uint8)) for t in range(3)))


class NoFrames(Good):
    def open(self, source):
        return Footage(fps=10.0, frames=iter(()))


class NoRate(Good):
    def open(self, source):
        return Footage(fps=0.0, frames=(np.zeros((4, 5, 3), np.uint8) for _ in range(3)))


def test_what_conforms_passes(tmp_path):
    check_dataset(Good, tmp_path, level=3)


@pytest.mark.parametrize(
    ("faulty", "message"),
    [
        (Forgets, "no attribute 'level'"),
        (Disorder, "in one order"),
        (Twice, "comes twice"),
        (Empty, "is empty"),
        (Remembers, "made anew"),
        (OfItsInstance, "made anew"),
        (Floats, "is float64"),
        (ChannelsFirst, r"uint8 \(3, 4, 5\)"),
        (Backwards, "times that never fall"),
        (NoFrames, "has frames in a"),
        (NoRate, "fps is 0.0"),
    ],
)
def test_a_broken_promise_is_named(faulty, message, tmp_path):
    with pytest.raises(AssertionError, match=message):
        check_dataset(faulty, tmp_path)
