"""Files that mean harm cost nothing but themselves."""

import re

import clips
import hostile
import numpy as np
import pytest
import torch

from gadkit.data.blueprint import Blueprint
from gadkit.data.pack import open_pack
from gadkit.data.packing import pack
from gadkit.data.workers import Workers
from gadkit.interfaces.dataset import Source
from gadkit.video.geometry import Geometry
from gadkit_plugins.data.videos import Videos

#: Of each of the 14 kinds of file.
MUTANTS = 156
PATIENCE = 5.0
#: What a process that decodes thumbnails may hold, in bytes; Python and the libraries take a quarter of it.
MEMORY = 600 << 20


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return hostile.good(tmp_path_factory.mktemp("good"))


def probe(folder, paths):
    """What a worker says of every file, by name."""
    blueprint = Blueprint(target="hostile:OneFile", path=folder)
    jobs = [(Source(name=path.name, files=(path,)), {}) for path in paths]
    with Workers(hostile.OneFile(folder), blueprint, 1, PATIENCE) as workers:
        return {outcome.source.name: outcome for outcome in workers.run("hostile:probe", jobs)}


def check_reason(name, reason):
    """One sentence that names the file and says why."""
    assert name in reason
    assert len(reason) > len(name) + 10
    assert "\n" not in reason
    assert "Traceback" not in reason


def test_mutations(files, tmp_path):
    inside = tmp_path / "data"
    inside.mkdir()
    paths = []
    for name, data in hostile.mutants(files, MUTANTS, seed=1):
        folder = inside / name if name.endswith(".png") else inside  # a folder of frames for each
        folder.mkdir(exist_ok=True)
        paths.append(folder / name)
        paths[-1].write_bytes(data)
        if len(paths) % 50 == 0:  # good files between them, which share a process with what went wrong
            paths.extend(files.values())
    assert len(paths) >= 1000
    before = hostile.snapshot(tmp_path)
    healthy = {name: outcome.value for name, outcome in probe(files[".mp4"].parent, files.values()).items()}
    outcomes = probe(inside, paths)
    assert hostile.snapshot(tmp_path) == before
    decoded = 0
    for name, outcome in outcomes.items():
        if name.startswith("good"):
            assert outcome.value["hashes"] == healthy[name]["hashes"]
            continue
        if outcome.value is None:
            check_reason(name, outcome.reason)
            continue
        decoded += bool(outcome.value["hashes"])
        assert outcome.value["seconds"] < 10
        assert outcome.value["peak"] < MEMORY
        for reason in outcome.value["reasons"].values():
            check_reason(name, reason)
        assert outcome.value["hashes"] or outcome.value["reasons"]
    refused = len(outcomes) - len(files) - decoded
    assert refused > len(outcomes) / 3  # most of what was done to them is seen


def test_headers_that_declare_900_million_pixels(files, tmp_path):
    for name, outcome in probe(tmp_path, hostile.huge(files, tmp_path)).items():
        reason = outcome.reason if outcome.value is None else outcome.value["reasons"][name]
        check_reason(name, reason)
        if name not in ("huge.y4m", "huge.npy"):  # these end before a frame of that size does
            assert re.search("pixels|size", reason)
        assert outcome.value is None or outcome.value["peak"] < MEMORY


def test_zip_bombs(tmp_path):
    bombs = [hostile.bomb(tmp_path / f"{honest}.zip", honest=honest) for honest in (True, False)]
    for name, outcome in probe(tmp_path, bombs).items():
        (reason,) = outcome.value["reasons"].values()
        check_reason(name, reason)
        assert outcome.value["peak"] < MEMORY


def test_members_that_climb_out(tmp_path):
    inside = tmp_path / "one" / "two"
    inside.mkdir(parents=True)
    archives = hostile.climbing(inside)
    before = hostile.snapshot(tmp_path)
    for outcome in probe(inside, archives).values():
        assert list(outcome.value["hashes"]) == ["a"]
    assert hostile.snapshot(tmp_path) == before


def test_packing_keeps_the_good_and_names_the_bad(files, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "secret").mkdir()
    outside = clips.encode(tmp_path / "secret" / "outside.mkv", hostile.pictures(9), **clips.LOSSLESS["ffv1"])
    (data / "link.mkv").symlink_to(outside)
    (data / "folder").symlink_to(tmp_path / "secret", target_is_directory=True)
    videos = {ending: path for ending, path in files.items() if ending not in (".png", ".zip", ".tar", ".npy", ".npz")}
    written = {}
    for name, content in hostile.mutants(videos, 13, seed=2):
        (data / name).write_bytes(content)
    for seed in range(5):  # spread over the order of names
        name = f"{'cfhpt'[seed]}{seed}.mkv"
        clips.encode(data / name, hostile.pictures(seed), **clips.LOSSLESS["ffv1"])
        written[name] = hostile.pictures(seed)
    dataset, geometry = Videos(data), Geometry(height=hostile.SIZE, width=hostile.SIZE)
    sources = dataset.sources()
    assert not [source.name for source in sources if "link" in source.name or "outside" in source.name]
    before = hostile.snapshot(data), hostile.snapshot(tmp_path / "secret")
    blueprint = Blueprint(target="gadkit_plugins.data.videos:Videos", path=data)
    (tmp_path / "packs").mkdir()
    folder = tmp_path / "packs" / "pack"
    pack(dataset, sources, folder, geometry, blueprint=blueprint, workers=1, patience=PATIENCE)
    assert (hostile.snapshot(data), hostile.snapshot(tmp_path / "secret")) == before
    assert {path.name for path in tmp_path.iterdir()} == {"data", "secret", "packs"}
    assert {path.name for path in folder.parent.iterdir()} <= {"pack", ".partial-pack.lock"}
    store = open_pack(folder)
    for skipped in store.skipped:
        check_reason(skipped.name, skipped.reason)
    assert {*store.names, *(skipped.name for skipped in store.skipped)} == {source.name for source in sources}
    for name, frames in written.items():
        times = torch.arange(hostile.FRAMES)[None]
        clip, _ = store.clips(torch.tensor([store.names.index(name)]), torch.tensor([0]), times, hostile.FRAMES)
        assert np.array_equal(clip[0], frames)
