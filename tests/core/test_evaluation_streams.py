"""Sets that are streamed, or have no end: measured like others, and nothing is kept of what cannot be told apart."""

import os
import tarfile

from clips import encode
from small_evaluations import (
    Pooled,
    footage,
    measured,
    numbers,
    quick,  # noqa: F401
)
from small_runs import small
from synthetic import Squares

from gadkit.data.cache import FEATURES, cache_folder
from gadkit.evaluation.protocol import ProtocolSettings
from gadkit.evaluation.subjects import DataSubject, Split
from gadkit.interfaces.dataset import locate
from gadkit.registry import get_registry
from gadkit.runs.opening import choose


class Streamed(Squares):
    """Opened again at every visit."""

    access = "stream"


def given(*arguments, **changes):
    """How many clips the network was given, and the result."""
    before = Pooled.seen
    result = measured(*arguments, **changes)
    return Pooled.seen - before, result


def test_a_run_on_a_set_without_end_is_measured_against_its_first_videos(tmp_path):
    small(tmp_path / "run", dataset="bouncing-shapes", frames=4, steps=1)
    first, result = given(tmp_path / "run", clips=8, real_clips=8)
    assert first == 16
    assert [clip["number"] for clip in result.clips["real"]] == list(range(8))
    assert "videos" not in result.manifest["real"]  # nobody counts them
    again, same = given(tmp_path / "run", clips=8, real_clips=8)
    assert (again, numbers(same)) == (8, numbers(result))  # the real ones are kept
    other, _ = given(tmp_path / "run", clips=8, real_clips=8, seed=1)
    assert other == 16


def test_a_stream_gives_the_number_of_the_same_videos_in_a_pack(tmp_path):
    results = []
    for kind in (Streamed, Squares):
        small(tmp_path / kind.__name__, dataset=kind, frames=4, steps=1, seed=3)
        one = {"clips": 8, "real_clips": 8, "clips_per_video": 1, "metrics": ["fvd"]}
        results.append(measured(tmp_path / kind.__name__, **one))
    assert numbers(results[0]) == numbers(results[1])
    names = [clip["video"] for clip in results[1].clips["real"]]
    assert [f"{clip['number']:03d}" for clip in results[0].clips["real"]] == names


def test_of_a_stream_whose_code_may_change_nothing_is_kept(tmp_path):
    small(tmp_path / "run", dataset=Streamed, frames=4, steps=1)
    kept = len(list((cache_folder() / FEATURES).glob("*")))
    first, _ = given(tmp_path / "run", clips=8, real_clips=8)
    assert given(tmp_path / "run", clips=8, real_clips=8)[0] == first
    assert len(list((cache_folder() / FEATURES).glob("*"))) == kept


def shard(folder, seeds):
    """A tar file of videos."""
    folder.mkdir(exist_ok=True)
    with tarfile.open(folder / "shard.tar", "w") as archive:
        for seed in seeds:
            archive.add(encode(folder / f"{seed:03d}.mp4", footage(seed), rate=10), f"{seed:03d}.mp4")
    return folder / "shard.tar"


def test_a_stream_of_files_is_told_by_names_sizes_and_times_of_change(tmp_path):
    settings = ProtocolSettings(frames=4)

    def content(path, **more):
        opened = choose(get_registry(), "webdataset", locate(path), {})
        subject = DataSubject(opened, "videos", **more)
        subject.open(settings, 16, 16)
        return subject.content

    path = shard(tmp_path / "one", range(4))
    first = content(path)
    assert content(path) == first
    assert content(path, stride=2) != first
    parts = [content(path, split=Split(part=part, group="file", fraction=0.5)) for part in ("training", "held-out")]
    assert len({first, *parts}) == 3
    moved = tmp_path / "two"
    (tmp_path / "one").rename(moved)
    assert content(moved / "shard.tar") == first
    status = (moved / "shard.tar").stat()
    shard(moved, range(1, 5))
    os.utime(moved / "shard.tar", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert content(moved / "shard.tar") != first
