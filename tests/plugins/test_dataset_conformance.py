"""Every registered dataset keeps its interface's promises on real data. The planted faults: `tests/planted`."""

from pathlib import Path

import numpy as np
import pytest
from sources import KINDS

from gadkit.data.packing import pack
from gadkit.registry import get_registry
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
