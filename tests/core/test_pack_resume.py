"""A pack that was broken off, at any moment and however often, ends with the bytes of an unbroken one."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clips import encode, moving
from folder_set import GEOMETRY, Folder, contents, make

from gadkit.data import packing
from gadkit.data.packing import pack

posix = pytest.mark.skipif(os.name != "posix", reason="needs signals")
PATHS = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
SHARD_BYTES = 20 * 24 * 32 * 3

PACKING = f"""
import sys
from pathlib import Path
sys.path[:0] = {PATHS!r}
from folder_set import GEOMETRY, Slow, blueprint
from gadkit.data import packing
packing.SHARD_BYTES = {SHARD_BYTES}
videos = Path(sys.argv[1])
dataset = Slow(videos)
def run():
    packing.pack(dataset, dataset.sources(), Path(sys.argv[2]), GEOMETRY, blueprint=blueprint(videos, Slow), workers=2)
"""


@pytest.fixture
def videos(tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "SHARD_BYTES", SHARD_BYTES)
    return make(tmp_path / "videos")


def packed(videos, folder, **more):
    dataset = Folder(videos)
    pack(dataset, dataset.sources(), folder, GEOMETRY, **more)
    return contents(folder)


def broken(videos, folder, after):
    """A pack broken off after some videos; where it is being made."""

    def progress(done, total, name):
        if done == after and not name.startswith("checking"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        packed(videos, folder, progress=progress, workers=1)
    return folder.with_name(f".partial-{folder.name}")


def resumed(videos, folder):
    """The pack's files, and the names of the videos that were decoded for it."""
    seen = []
    result = packed(videos, folder, progress=lambda done, total, name: seen.append(name))
    return result, [name for name in seen if not name.startswith("checking")]


def test_what_was_done_is_not_done_again(videos, tmp_path):
    (videos / "a1_bad.mp4").write_bytes(b"no video")
    expected = packed(videos, tmp_path / "whole")
    for after in range(1, 6):
        broken(videos, tmp_path / str(after), after)
        result, names = resumed(videos, tmp_path / str(after))
        assert names == ["a0.mp4", "a1_bad.mp4", "a2.mp4", "a4.mp4", "b1.mp4", "b3.mp4"][after:]
        assert result == expected


def cut_journal(partial):
    path = partial / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-7])


def flip_journal(partial):
    path = partial / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[-1] = lines[-1].replace(b'"length": 12', b'"length": 13')
    path.write_bytes(b"".join(lines))


def zero_journal(partial):
    path = partial / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:-1], bytes(len(lines[-1]))]))


def lose_frames(partial):
    os.truncate(partial / "shard-00000.safetensors", 256 + 12 * 24 * 32 * 3)


def flip_frame(partial):
    with (partial / "shard-00000.safetensors").open("r+b") as file:
        file.seek(256 + 11 * 24 * 32 * 3)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("damage", [cut_journal, flip_journal, zero_journal, lose_frames, flip_frame])
def test_what_a_power_loss_leaves_is_not_trusted(videos, tmp_path, damage):
    expected = packed(videos, tmp_path / "whole")
    damage(broken(videos, tmp_path / "pack", 2))
    result, names = resumed(videos, tmp_path / "pack")
    assert names == ["a2.mp4", "a4.mp4", "b1.mp4", "b3.mp4"]
    assert result == expected


@pytest.mark.parametrize("damage", ["shard", "journal"])
def test_where_nothing_can_be_trusted_all_is_made_anew(videos, tmp_path, damage):
    expected = packed(videos, tmp_path / "whole")
    partial = broken(videos, tmp_path / "pack", 4)
    if damage == "shard":
        (partial / "shard-00000.safetensors").unlink()
    else:
        (partial / "journal.jsonl").write_bytes(b"\xff\n" * 9)
    result, names = resumed(videos, tmp_path / "pack")
    assert len(names) == 5
    assert result == expected


def test_the_remains_of_other_content_are_not_mixed_in(videos, tmp_path):
    broken(videos, tmp_path / "pack", 3)
    encode(videos / "a0.mp4", moving(9, 24, 32, seed=77))
    result, names = resumed(videos, tmp_path / "pack")
    assert len(names) == 5
    assert result == packed(videos, tmp_path / "whole")


def test_labels_are_those_of_the_day_that_it_was_finished(videos, tmp_path):
    class Relabelled(Folder):
        def sources(self):
            return [type(source)(name=source.name, label="new", files=source.files) for source in super().sources()]

    broken(videos, tmp_path / "pack", 3)
    dataset = Relabelled(videos)
    key = packing.content_key(Folder(videos), dataset.sources(), GEOMETRY)
    pack(dataset, dataset.sources(), tmp_path / "pack", GEOMETRY, key=key)
    assert {video.label for video in packing.read_index(tmp_path / "pack").videos} == {"new"}


@posix
@pytest.mark.parametrize("moment", ["publish", "_clear_spools", "finish"])
def test_killed_while_it_is_published(videos, tmp_path, moment):
    expected = packed(videos, tmp_path / "whole")
    code = f"""
import os, signal
calls = []
original = packing.{moment}
def killed(*arguments):
    calls.append(1)
    if len(calls) == (2 if "{moment}" == "_clear_spools" else 1):  # the first clears at the start
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments)
packing.{moment} = killed
run()
"""
    done = subprocess.run([sys.executable, "-c", PACKING + code, str(videos), str(tmp_path / "pack")])
    assert done.returncode == -signal.SIGKILL
    result, names = resumed_slow(videos, tmp_path / "pack")
    assert result == expected
    assert names == []


def resumed_slow(videos, folder):
    """As `resumed`, of the dataset that the other process packs: the key tells the class."""
    from folder_set import Slow

    dataset, seen = Slow(videos), []
    pack(dataset, dataset.sources(), folder, GEOMETRY, progress=lambda done, total, name: seen.append(name))
    result = contents(folder)
    key = packing.read_index(folder).key
    result["index.json"] = result["index.json"].replace(
        key.encode(), packing.content_key(Folder(videos), dataset.sources(), GEOMETRY).encode()
    )
    return result, [name for name in seen if not name.startswith("checking")]


@posix
def test_killed_twenty_times_at_random_with_its_workers(videos, tmp_path):
    for copy in range(5):
        for video in list(videos.glob("??.mp4")):
            shutil.copy(video, videos / f"{video.stem}_{copy}.mp4")
    expected = packed(videos, tmp_path / "whole")
    place, partial = tmp_path / "pack", tmp_path / ".partial-pack"
    random_ = random.Random(0)
    kills = grown = 0
    while kills < 20:
        before = journal_size(partial)
        maker = subprocess.Popen(
            [sys.executable, "-c", PACKING + "run()", str(videos), str(place)], start_new_session=True
        )
        wanted = before + random_.randrange(0, 900)  # bytes of the journal, some 200 a video
        while maker.poll() is None and (journal_size(partial) < wanted or not list(partial.glob("spool-*"))):
            time.sleep(0.005)
        time.sleep(random_.uniform(0, 0.1))
        if maker.poll() is None:
            os.killpg(maker.pid, signal.SIGKILL)
            maker.wait()
            shutil.rmtree(next(partial.glob("spool-*"), tmp_path / "none"), ignore_errors=True)
            kills += 1
            grown += journal_size(partial) > before
        else:
            assert maker.returncode == 0
            assert resumed_slow(videos, place)[0] == expected
            shutil.rmtree(place)
    assert grown > 3
    result, _ = resumed_slow(videos, place)
    assert len(result) > 4  # several shards
    assert result == expected
    # A kill between the last rename and the end leaves the file of the lock, which nobody holds.
    assert {path.name for path in tmp_path.iterdir()} - {".partial-pack.lock"} == {"pack", "videos", "whole"}


def journal_size(partial):
    path = partial / "journal.jsonl"
    return path.stat().st_size if path.exists() else 0


@posix
def test_two_processes_at_once_make_one_pack(videos, tmp_path):
    code = PACKING + "run(); print(packing.read_index(Path(sys.argv[2])).frames)"
    makers = [
        subprocess.Popen([sys.executable, "-c", code, str(videos), str(tmp_path / "pack")], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    assert [int(maker.communicate(timeout=60)[0]) for maker in makers] == [36, 36]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pack", "videos"]
