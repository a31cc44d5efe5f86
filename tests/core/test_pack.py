"""A data set is decoded once, into a pack that is whole or not there."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import encode, moving
from safetensors.numpy import load_file

from gadkit.errors import ConfigError, DataError, RunError
from gadkit.interfaces.dataset import Dataset, Footage, Source
from gadkit.video import pack
from gadkit.video.decode import open_video
from gadkit.video.pack import open_pack, prepare

SIZE = {"height": 24, "width": 32, "min_frames": 4}


class Folder(Dataset):
    """The MP4 files of a folder; counts how many were opened."""

    def __init__(self, path: Path, *, shade: int = 0, labels: bool = False) -> None:
        self.path, self.shade, self.labels, self.opened = path, shade, labels, 0

    def sources(self) -> list[Source]:
        files = sorted(self.path.glob("*.mp4"))
        return [Source(name=file.name, label=file.name[0] if self.labels else None, files=(file,)) for file in files]

    def open(self, source: Source) -> Footage:
        self.opened += 1
        return open_video(source.files[0])


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    for index, length in enumerate((9, 5, 12, 3, 7)):
        encode(folder / f"{'ab'[index % 2]}{index}.mp4", moving(length, 24, 32, seed=index), rate=(25, 30)[index == 2])
    return folder


def packs(cache):
    return sorted((cache / "packs").iterdir())


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_store_holds_every_frame(videos, tmp_path):
    seen = []
    store = prepare(Folder(videos), **SIZE, cache=tmp_path, progress=lambda *call: seen.append(call))
    assert store.names == ["a0.mp4", "a2.mp4", "a4.mp4", "b1.mp4"]
    assert store.lengths.tolist() == [9, 12, 7, 5]
    assert (store.height, store.width, store.channels, store.fps, len(store)) == (24, 32, 3, 25.0, 4)
    assert store.nbytes == 33 * 24 * 32 * 3
    assert (store.labels, store.classes) == (None, ())
    for video, (seed, length) in enumerate([(0, 9), (2, 12), (4, 7), (1, 5)]):
        frames = store.gather(torch.tensor([video]), torch.arange(length)[None])
        assert np.array_equal(frames[0].numpy(), moving(length, 24, 32, seed=seed))
    assert [(skipped.name, "3 frames" in skipped.reason) for skipped in store.skipped] == [("b3.mp4", True)]
    assert seen == [(n, 5, name) for n, name in enumerate(["a0.mp4", "a2.mp4", "a4.mp4", "b1.mp4", "b3.mp4"], 1)]


def test_a_second_call_decodes_nothing(videos, tmp_path):
    prepare(Folder(videos), **SIZE, cache=tmp_path)
    again = Folder(videos)
    store = prepare(again, **SIZE, cache=tmp_path, progress=lambda *call: pytest.fail("nothing is to be done"))
    assert again.opened == 0
    assert len(store) == 4


def test_the_pack_does_not_depend_on_the_number_of_frames(videos, tmp_path):
    prepare(Folder(videos), **SIZE, cache=tmp_path)
    again = Folder(videos)
    store = prepare(again, **{**SIZE, "min_frames": 8}, cache=tmp_path)
    assert again.opened == 0
    assert store.names == ["a0.mp4", "a2.mp4"]
    assert [skipped.name for skipped in store.skipped] == ["a4.mp4", "b1.mp4", "b3.mp4"]


def touch(videos):
    os.utime(videos / "a0.mp4", ns=(10**18, 10**18 + 1))


@pytest.mark.parametrize(
    "change",
    [
        {"height": 16},
        {"width": 16},
        {"stride": 2},
        {"background": "black"},
        {"shade": 1},
        {"labels": True},
        {"file": touch},
        {"file": lambda videos: (videos / "b3.mp4").unlink()},
        {"file": lambda videos: (videos / "b3.mp4").rename(videos / "b5.mp4")},
    ],
    ids=str,
)
def test_what_changes_the_frames_makes_another_pack(videos, tmp_path, change):
    prepare(Folder(videos), **SIZE, cache=tmp_path)
    settings = {name: change[name] for name in ("shade", "labels") if name in change}
    numbers = {name: change[name] for name in ("height", "width", "stride", "background") if name in change}
    change.get("file", lambda videos: None)(videos)
    again = Folder(videos, **settings)
    prepare(again, **{**SIZE, **numbers}, cache=tmp_path)
    assert again.opened >= 4
    assert len(packs(tmp_path)) == 2


def test_a_dataset_that_hides_its_settings_is_told_apart(tmp_path):
    class Hidden(Dataset):
        def __init__(self, *, shade: int) -> None:
            self._value = shade

        def sources(self):
            return [Source(name="a")]

        def open(self, source):
            return Footage(fps=10, frames=iter([np.full((24, 32, 3), self._value, np.uint8)] * 4))

    for shade in (10, 20, 10):
        store = prepare(Hidden(shade=shade), **SIZE, cache=tmp_path)
        assert int(store.gather(torch.tensor([0]), torch.tensor([[3]])).max()) == shade
    assert len(packs(tmp_path)) == 2


def test_stride_keeps_every_nth_frame_and_divides_the_rate(videos, tmp_path):
    store = prepare(Folder(videos), **SIZE, stride=2, cache=tmp_path)
    assert store.fps == 12.5
    assert store.lengths.tolist() == [5, 6, 4]
    frames = store.gather(torch.tensor([1]), torch.arange(6)[None])
    assert np.array_equal(frames[0].numpy(), moving(12, 24, 32, seed=2)[::2])


def test_labels(videos, tmp_path):
    store = prepare(Folder(videos, labels=True), **SIZE, cache=tmp_path)
    assert store.classes == ("a", "b")
    assert store.labels.tolist() == [0, 0, 0, 1]


def test_shards_read_back_with_the_library(videos, tmp_path):
    prepare(Folder(videos), **SIZE, cache=tmp_path)
    (folder,) = packs(tmp_path)
    assert sorted(contents(folder)) == ["index.json", "shard-00000.safetensors"]
    frames = load_file(folder / "shard-00000.safetensors")["frames"]
    assert frames.shape == (36, 24, 32, 3)
    index = json.loads((folder / "index.json").read_text())
    assert index["key"] == folder.name
    for video in index["videos"]:
        expected = moving(video["length"], 24, 32, seed=int(video["name"][1]))
        assert np.array_equal(frames[video["start"] : video["start"] + video["length"]], expected)


def test_workers_change_no_byte(videos, tmp_path, monkeypatch):
    monkeypatch.setattr(pack, "SHARD_BYTES", 10 * 24 * 32 * 3)
    monkeypatch.setattr(pack, "_SPOOL_BYTES", 8 * 24 * 32 * 3)  # some videos go through a file
    results = []
    for workers in (1, 2, 7):
        prepare(Folder(videos), **SIZE, cache=tmp_path / str(workers), workers=workers)
        (folder,) = packs(tmp_path / str(workers))
        results.append((folder.name, contents(folder)))
    assert len(results[0][1]) > 2  # several shards
    assert results[0] == results[1] == results[2]


def test_videos_that_cannot_be_read_are_left_out_and_named(videos, tmp_path):
    (videos / "a1_bad.mp4").write_bytes(b"no video")
    whole = encode(videos / "a1_cut.mp4", moving(30), container={"movflags": "+faststart"})
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    store = prepare(Folder(videos), **SIZE, cache=tmp_path)
    assert store.names == ["a0.mp4", "a2.mp4", "a4.mp4", "b1.mp4"]
    assert [skipped.name for skipped in store.skipped] == ["a1_bad.mp4", "a1_cut.mp4", "b3.mp4"]
    assert all(skipped.name in skipped.reason for skipped in store.skipped)
    frames = store.gather(torch.tensor([1]), torch.arange(12)[None])
    assert np.array_equal(frames[0].numpy(), moving(12, 24, 32, seed=2))


def test_nothing_usable_says_what_to_do(videos, tmp_path):
    (videos / "bad.mp4").write_bytes(b"no video")
    with pytest.raises(
        DataError, match=r"6 videos.* 1 cannot be read and 5 are shorter than 40.*12; lower --frames to 12"
    ):
        prepare(Folder(videos), **{**SIZE, "min_frames": 40}, cache=tmp_path)
    for file in videos.iterdir():
        file.write_bytes(b"no video")
    with pytest.raises(DataError, match=r"none of the 6 videos can be read.*a0\.mp4"):
        prepare(Folder(videos), **SIZE, cache=tmp_path)
    assert len(packs(tmp_path)) == 1  # of unreadable videos no pack is kept


@pytest.mark.parametrize("name", ["height", "width", "min_frames", "stride"])
def test_sizes_are_checked(videos, tmp_path, name):
    with pytest.raises(ConfigError, match="at least 1"):
        prepare(Folder(videos), **{**SIZE, name: 0}, cache=tmp_path)


def test_the_cache_is_where_the_environment_says(videos, tmp_path, monkeypatch):
    monkeypatch.setenv("GADKIT_CACHE", str(tmp_path / "elsewhere"))
    prepare(Folder(videos), **SIZE)
    assert len(packs(tmp_path / "elsewhere")) == 1


def spoil_index(folder):
    (folder / "index.json").write_text("{")


def old_format(folder):
    (folder / "index.json").write_text(json.dumps({"format": 0}))


def cut_shard(folder):
    os.truncate(folder / "shard-00000.safetensors", 5000)


def lose_shard(folder):
    (folder / "shard-00000.safetensors").unlink()


@pytest.mark.parametrize("damage", [spoil_index, old_format, cut_shard, lose_shard])
def test_a_damaged_pack_is_refused_and_made_anew(videos, tmp_path, damage):
    prepare(Folder(videos), **SIZE, cache=tmp_path)
    (folder,) = packs(tmp_path)
    before = contents(folder)
    damage(folder)
    with pytest.raises(DataError, match="pack"):
        open_pack(folder)
    prepare(Folder(videos), **SIZE, cache=tmp_path)
    assert contents(folder) == before


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from test_pack import SIZE, Folder, prepare
def progress(done, total, name):
    if done == 3:
        os.kill(os.getpid(), signal.SIGKILL)
prepare(Folder(Path(sys.argv[1])), **SIZE, cache=Path(sys.argv[2]), progress=progress)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_maker_leaves_no_pack_and_its_remains_are_swept(videos, tmp_path):
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    done = subprocess.run([sys.executable, "-c", KILLED, str(videos), str(tmp_path), *paths], capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert [path.name.startswith(".partial-") for path in packs(tmp_path)] == [True]
    store = prepare(Folder(videos), **SIZE, cache=tmp_path)
    assert len(store) == 4
    (folder,) = packs(tmp_path)
    assert not folder.name.startswith(".")


def test_an_error_leaves_nothing(videos, tmp_path):
    def progress(done, total, name):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(Folder(videos), **SIZE, cache=tmp_path, progress=progress)
    assert packs(tmp_path) == []


def test_the_maker_that_comes_second_takes_the_first_ones_pack(videos, tmp_path):
    # The other process, at the worst moment: it publishes after this one has decoded everything.
    inner = []

    def progress(done, total, name):
        if done == total:
            inner.append(prepare(Folder(videos), **SIZE, cache=tmp_path))

    outer = prepare(Folder(videos), **SIZE, cache=tmp_path, progress=progress)
    assert len(packs(tmp_path)) == 1
    where = torch.arange(4), torch.arange(5)[None].expand(4, 5)
    assert torch.equal(outer.gather(*where), inner[0].gather(*where))


def test_a_pack_appears_whole(videos, tmp_path, monkeypatch):
    rename = Path.rename
    renamed = []

    def spy(self, target):
        assert not Path(target).exists()
        renamed.append(contents(self))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", spy)
    prepare(Folder(videos), **SIZE, cache=tmp_path)
    (folder,) = packs(tmp_path)
    assert renamed == [contents(folder)]


def _prepare_in_process(videos, cache, barrier, results):
    barrier.wait()
    results.put(prepare(Folder(videos), **SIZE, cache=cache).lengths.tolist())


def test_processes_at_once(videos, tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    makers = [context.Process(target=_prepare_in_process, args=(videos, tmp_path, barrier, results)) for _ in range(2)]
    for maker in makers:
        maker.start()
    assert [results.get(timeout=60) for _ in makers] == [[9, 12, 7, 5]] * 2
    for maker in makers:
        maker.join()
    assert len(packs(tmp_path)) == 1


FULL = """
import resource, sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from test_pack import SIZE, Folder, prepare
from gadkit.errors import RunError
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
try:
    prepare(Folder(Path(sys.argv[1])), **SIZE, cache=Path(sys.argv[2]))
except RunError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
def test_a_full_disk_is_one_sentence_and_no_skipped_video(videos, tmp_path):
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    command = [sys.executable, "-c", FULL, str(videos), str(tmp_path), *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cannot be written" in done.stdout
    assert "GADKIT_CACHE" in done.stdout
    assert packs(tmp_path) == []


def test_a_cache_that_is_no_folder_is_named(videos, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        prepare(Folder(videos), **SIZE, cache=tmp_path / "file")
