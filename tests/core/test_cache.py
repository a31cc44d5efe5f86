"""A data set that was packed once is found again by what it is, wherever it lies."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import encode, moving
from filelock import FileLock
from folder_set import GEOMETRY, LENGTHS, Folder, blueprint, contents, make

from gadkit.data import cache as caches
from gadkit.data import digests
from gadkit.data.cache import clear, packs, prepare
from gadkit.data.packing import lock_of, pack
from gadkit.errors import DataError, RunError
from gadkit.interfaces.dataset import Dataset, Footage, Source
from gadkit.video.geometry import Geometry


@pytest.fixture
def videos(tmp_path):
    folder = make(tmp_path / "videos")
    for path in folder.iterdir():
        os.utime(path, (10**9, 10**9))  # long ago
    return folder


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def prepared(dataset, cache, geometry=GEOMETRY, *, min_frames=4, **more):
    return prepare(dataset, dataset.sources(), geometry, min_frames=min_frames, cache=cache, **more)


def count(cache):
    return len(packs(cache))


def nothing(*call):
    pytest.fail(f"nothing is to be done, but {call} came")


def test_a_second_call_reads_no_video_and_no_file_again(videos, cache):
    prepared(Folder(videos), cache)
    again = Folder(videos)
    store = prepared(again, cache, progress=nothing)
    assert again.opened == 0
    assert store.names == ["a0.mp4", "a2.mp4", "a4.mp4", "b1.mp4"]
    longer = prepared(again, cache, min_frames=8, progress=nothing)
    assert longer.names == ["a0.mp4", "a2.mp4"]


def test_with_a_blueprint_other_processes_decode(videos, cache):
    dataset = Folder(videos)
    store = prepared(dataset, cache, blueprint=blueprint(videos))
    assert dataset.opened == 0
    assert np.array_equal(store.gather(torch.tensor([3]), torch.arange(5)[None])[0], moving(5, 24, 32, seed=1))


def moved(videos):
    return videos.rename(videos.with_name("elsewhere"))


def copied(videos):
    return Path(shutil.copytree(videos, videos.with_name("copy"), copy_function=shutil.copyfile))


def touched(videos):
    for path in videos.iterdir():
        os.utime(path)
    return videos


@pytest.mark.parametrize("change", [moved, copied, touched])
def test_data_that_were_moved_copied_or_touched_find_their_pack(videos, cache, change):
    prepared(Folder(videos), cache)
    again = Folder(change(videos))
    prepared(again, cache)
    assert again.opened == 0
    assert count(cache) == 1


def test_changed_content_of_equal_size_is_seen(videos, cache):
    prepared(Folder(videos), cache)
    path = videos / "a0.mp4"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    assert path.stat().st_size == size
    prepared(Folder(videos), cache)
    assert count(cache) == 2


def test_a_file_that_changes_as_soon_as_it_was_read_is_seen(tmp_path, cache):
    # Within the resolution of a file system's clock the time of change stays as it is.
    path = tmp_path / "file"
    path.write_bytes(b"one")
    now = time.time_ns()
    os.utime(path, ns=(now, now))
    first = digests.digests([path], cache)
    path.write_bytes(b"two")
    os.utime(path, ns=(now, now))
    assert digests.digests([path], cache) != first


@pytest.mark.parametrize(
    "change",
    [
        {"geometry": Geometry(height=16, width=32)},
        {"geometry": Geometry(height=24, width=32, fps=10)},
        {"geometry": Geometry(height=24, width=32, fit="stretch")},
        {"geometry": Geometry(height=24, width=32, background="black")},
        {"shade": 1},
        {"file": lambda videos: (videos / "b3.mp4").unlink()},
        {"file": lambda videos: (videos / "b3.mp4").rename(videos / "b5.mp4")},
        {"file": lambda videos: shutil.copy(videos / "b3.mp4", videos / "b1.mp4")},
    ],
    ids=["size", "rate", "fit", "background", "shade", "one less", "another name", "one more"],
)
def test_what_changes_the_frames_makes_another_pack(videos, cache, change):
    prepared(Folder(videos), cache)
    change.get("file", lambda videos: None)(videos)
    again = Folder(videos, shade=change.get("shade", 0))
    prepared(again, cache, change.get("geometry", GEOMETRY))
    assert again.opened >= 4
    assert count(cache) == 2


def test_labels_and_columns_make_no_other_pack(videos, cache):
    dataset = Folder(videos)
    prepared(dataset, cache)
    sources = [
        Source(name=source.name, label=source.name[1], files=source.files, columns={"n": source.name})
        for source in dataset.sources()
    ]
    store = prepare(dataset, sources, GEOMETRY, min_frames=1, cache=cache, progress=nothing)
    assert store.classes == ("0", "1", "2", "3", "4")
    assert store.columns[0] == {"n": "a0.mp4"}
    assert count(cache) == 1


class Hidden(Dataset):
    """Frames that only an attribute tells."""

    def __init__(self, frames: np.ndarray) -> None:
        self._frames = frames

    def sources(self) -> list[Source]:
        return [Source(name="a")]

    def open(self, source: Source) -> Footage:
        return Footage(fps=10, frames=iter(self._frames))


def test_data_in_memory_are_told_apart_by_all_of_their_content(cache):
    for shade in (10, 20, 10):
        frames = np.zeros((4, 24, 32, 3), np.uint8)
        frames[3, 12, 16] = shade  # far from what is shown when an array is printed
        store = prepared(Hidden(frames), cache)
        assert int(store.gather(torch.tensor([0]), torch.tensor([[3]])).max()) == shade
    assert count(cache) == 2


@pytest.mark.parametrize("fps", [None, 12.5])
def test_a_dataset_that_brings_a_pack_is_opened_there(videos, cache, tmp_path, fps):
    own = Geometry(height=24, width=32, fps=fps)
    dataset = Folder(videos)
    pack(dataset, dataset.sources(), tmp_path / "own", own)
    dataset = Folder(videos)
    dataset.pack = tmp_path / "own"
    store = prepared(dataset, cache, Geometry(height=24, width=32, background="black"), min_frames=2)
    assert (dataset.opened, count(cache), len(store)) == (0, 0, 5)
    prepared(dataset, cache, Geometry(height=24, width=32, fps=5), min_frames=1)
    assert dataset.opened == 5
    assert count(cache) == 1


@pytest.mark.parametrize("damage", ["index", "shard", "format"])
def test_a_damaged_pack_is_made_anew(videos, cache, damage):
    prepared(Folder(videos), cache)
    (cached,) = packs(cache)
    before = contents(cached.folder)
    if damage == "index":
        (cached.folder / "index.json").write_text("{")
    elif damage == "format":
        (cached.folder / "index.json").write_text(json.dumps({"format": 1}))
    else:
        os.truncate(cached.folder / "shard-00000.safetensors", 5000)
    prepared(Folder(videos), cache)
    assert contents(cached.folder) == before


def test_the_list_tells_what_there_is(videos, cache):
    began = time.time() - 1
    assert packs(cache) == []
    prepared(Folder(videos), cache)
    (cached,) = packs(cache)
    assert (cached.videos, cached.frames, cached.geometry, cached.finished) == (5, sum(LENGTHS), GEOMETRY, True)
    assert cached.origin == str(videos)
    assert cached.bytes == sum(map(len, contents(cached.folder).values()))
    assert began <= cached.made <= cached.used <= time.time() + 1
    os.utime(caches._note(cached.folder), (1e9, 1e9))
    os.utime(cached.folder / "index.json", (1e9 - 5, 1e9 - 5))
    (aged,) = packs(cache)
    assert (aged.made, aged.used) == (1e9 - 5, 1e9)
    prepared(Folder(videos), cache)
    assert packs(cache)[0].used > began


def broken(videos, cache):
    def progress(done, total, name):
        if done == 2 and not name.startswith("checking"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepared(Folder(videos), cache, progress=progress)


def test_unfinished_packs_are_listed_and_gone_on_with(videos, cache):
    broken(videos, cache)
    (cached,) = packs(cache)
    assert (cached.videos, cached.frames, cached.geometry, cached.finished) == (2, 21, GEOMETRY, False)
    seen = []
    prepared(Folder(videos), cache, progress=lambda *call: seen.append(call))
    assert seen[0] == (3, 5, "a4.mp4")
    assert [cached.finished for cached in packs(cache)] == [True]


def three(videos, cache):
    for size in (8, 16, 24):
        prepared(Folder(videos), cache, Geometry(height=size, width=size))
    return {cached.geometry.height: cached for cached in packs(cache)}


def heights(cache):
    return sorted(cached.geometry.height for cached in packs(cache))


def test_clearing_by_key(videos, cache):
    found = three(videos, cache)
    assert clear([found[8].key], cache=cache) == [found[8]]
    assert clear([found[16].key[:9]], cache=cache) == [found[16]]
    assert heights(cache) == [24]
    with pytest.raises(DataError, match=r"'xyz' names no pack.*gadkit data cache"):
        clear(["xyz"], cache=cache)
    prepared(Folder(videos), cache, Geometry(height=8, width=8))
    with pytest.raises(DataError, match="'' names no pack: 2 packs begin so"):
        clear([""], cache=cache)
    assert heights(cache) == [8, 24]


def test_clearing_what_is_old_and_everything(videos, cache):
    found = three(videos, cache)
    for path in (caches._note(found[8].folder), found[8].folder / "index.json"):
        os.utime(path, (time.time() - 5000, time.time() - 5000))
    assert [cached.key for cached in clear(older_than=3600, cache=cache)] == [found[8].key]
    broken(videos, cache)
    assert len(clear(everything=True, cache=cache)) == 3
    assert list((cache / "packs").iterdir()) == []
    assert not (cache / digests.DATABASE).exists()


def test_what_is_being_made_is_not_cleared(videos, cache):
    broken(videos, cache)
    (cached,) = packs(cache)
    place = cached.folder.with_name(cached.key)
    code = (
        "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire(); "
        "print(1, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(lock_of(place))], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as maker:
        maker.stdout.readline()
        assert clear(everything=True, cache=cache) == []
        assert count(cache) == 1
        maker.communicate(b"\n")
    assert len(clear(everything=True, cache=cache)) == 1


def test_old_remains_are_swept_young_ones_stay(videos, cache):
    broken(videos, cache)
    other = Geometry(height=8, width=8)
    prepared(Folder(videos), cache, other)
    assert sorted(cached.finished for cached in packs(cache)) == [False, True]
    (partial,) = [cached.folder for cached in packs(cache) if not cached.finished]
    old = time.time() - caches.STALE_SECONDS - 60
    for path in [*partial.rglob("*"), partial]:
        os.utime(path, (old, old))
    with FileLock(lock_of(partial.with_name(partial.name.removeprefix(".partial-")))):
        prepared(Folder(videos), cache, other)
        assert partial.exists()
    prepared(Folder(videos), cache, other)
    assert not partial.exists()


def spoil(path):
    path.write_bytes(b"this is no database" * 300)


def cut(path):
    os.truncate(path, 5000)


def other_table(path):
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE digests (a TEXT)")


def locked(path):
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    return database


def unwritable(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [spoil, cut, other_table, locked, unwritable])
def test_a_spoilt_memory_of_digests_changes_nothing(videos, cache, monkeypatch, damage):
    monkeypatch.setattr(digests, "_TIMEOUT", 0.05)
    prepared(Folder(videos), cache)
    held = damage(cache / digests.DATABASE)
    again = Folder(videos)
    prepared(again, cache)
    assert again.opened == 0
    if held is not None:
        held.close()


def test_a_spoilt_memory_is_begun_anew(videos, cache):
    for damage in (spoil, other_table):
        prepared(Folder(videos), cache)
        damage(cache / digests.DATABASE)
        prepared(Folder(videos), cache)
        prepared(Folder(videos), cache, progress=nothing)


def test_processes_share_the_memory(tmp_path, cache):
    files = [tmp_path / f"file {number}" for number in range(60)]
    for number, path in enumerate(files):
        path.write_bytes(b"%d" % number)
        os.utime(path, (1e9, 1e9))
    code = (
        "import sys; from pathlib import Path; from gadkit.data.digests import digests; "
        "print(len(set(digests(map(Path, sys.argv[2:]), Path(sys.argv[1])).values())))"
    )
    commands = [sys.executable, "-c", code, str(cache), *map(str, files)]
    makers = [subprocess.Popen(commands, stdout=subprocess.PIPE) for _ in range(3)]
    assert [int(maker.communicate(timeout=60)[0]) for maker in makers] == [60] * 3
    digests.digests(files, cache, progress=nothing)


def test_the_cache_is_where_the_environment_says(videos, tmp_path, monkeypatch):
    monkeypatch.setenv("GADKIT_CACHE", str(tmp_path / "elsewhere"))
    dataset = Folder(videos)
    prepare(dataset, dataset.sources(), GEOMETRY, min_frames=1)
    assert count(tmp_path / "elsewhere") == count(None) == 1


def test_a_cache_that_is_no_folder_is_named(videos, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot be written.*GADKIT_CACHE"):
        prepared(Folder(videos), tmp_path / "file")


def test_a_file_that_cannot_be_read_is_the_decoders_business(videos, cache):
    (videos / "gone.mp4").symlink_to(videos / "nowhere")
    store = prepared(Folder(videos), cache)
    assert [skipped.name for skipped in store.skipped] == ["gone.mp4", "b3.mp4"]


def test_listing_and_packing_import_no_torch():
    code = "import sys, gadkit.data.cache, gadkit.data.packing; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_new_video_frame_changes_the_digest_of_its_file_alone(videos, cache):
    before = digests.digests(sorted(videos.iterdir()), cache)
    encode(videos / "a0.mp4", moving(10, 24, 32, seed=0))
    after = digests.digests(sorted(videos.iterdir()), cache)
    assert [path.name for path in before if before[path] != after[path]] == ["a0.mp4"]
