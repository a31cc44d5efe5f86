"""Streams and pipes: clips are a function of their arguments, whatever the threads, the memory and the order."""

from __future__ import annotations

import itertools
import os
import threading
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from gadkit import DataError, Dataset, Footage, Source, UnavailableError
from gadkit.data import stream
from gadkit.data.cache import clear
from gadkit.data.pipe import open_pipe
from gadkit.data.stream import open_stream
from gadkit.interfaces.dataset import ENDLESS
from gadkit.video.geometry import Geometry

SIZE = 8
GEOMETRY = Geometry(height=SIZE, width=SIZE)


def frame(video: int, number: int, size: int = SIZE) -> np.ndarray:
    """A frame from which its video and its number can be read."""
    return np.full((size, size, 3), (video % 256, video // 256, number % 256), np.uint8)


class Numbered(Dataset):
    """Videos of given lengths, whose frames tell where they come from; a length of `None` is a broken one.

    Attributes:
        opened: How often each video was opened.
        decoded: How many frames were decoded.
    """

    access = "stream"

    def __init__(self, lengths: Sequence[int | None], size: int = SIZE) -> None:
        self.lengths = lengths
        self.size = size
        self.opened = [0] * len(lengths)
        self.decoded = 0
        self.gone: set[int] = set()

    def sources(self) -> list[Source]:
        return [Source(name=f"v{i}", label=f"class {i % 3}", locator=str(i)) for i in range(len(self.lengths))]

    def open(self, source: Source) -> Footage:
        number = int(source.locator)
        self.opened[number] += 1
        if number in self.gone:
            raise UnavailableError("the server is gone.")
        return Footage(fps=10 + number % 2, frames=self._frames(number))

    def _frames(self, number: int) -> Iterator[np.ndarray]:
        length = self.lengths[number]
        for moment in range(5 if length is None else length):
            self.decoded += 1
            yield frame(number, moment, self.size)
        if length is None:
            raise DataError(f"v{number} is broken.")

    def read(self) -> Iterator[tuple[Source, Footage]]:
        for source in self.sources():
            yield source, self.open(source)


def expected(lengths: Sequence[int], videos: torch.Tensor, places: torch.Tensor, times: torch.Tensor, span: int):
    """The clips by the contract's own words."""
    rows = []
    for video, place, wanted in zip(videos.tolist(), places.tolist(), times.tolist(), strict=True):
        start = place * (lengths[video] - span + 1) // 2**32
        rows.append(np.stack([frame(video, start + time) for time in wanted]))
    return torch.from_numpy(np.stack(rows))


def asked(count: int, videos: int, span: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Some clips; times in no order, some of them twice."""
    rng = np.random.default_rng(seed)
    return (
        torch.from_numpy(rng.integers(0, videos, count)),
        torch.from_numpy(rng.integers(0, 2**32, count)),
        torch.from_numpy(rng.integers(0, span, (count, 5))),
    )


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("memory", [0, 20_000, 1 << 30])
def test_clips_are_what_the_contract_says(threads, memory):
    lengths = [9 + 7 * i for i in range(20)]
    store = open_stream(
        data := Numbered(lengths), data.sources(), GEOMETRY, min_frames=8, threads=threads, memory=memory
    )
    for seed in range(4):
        videos, places, times = asked(12, 20, 8, seed)
        frames, labels = store.clips(videos, places, times, 8)
        assert torch.equal(frames, expected(lengths, videos, places, times, 8))
        assert [store.classes[label] for label in labels] == [f"class {video % 3}" for video in videos]
        assert frames.is_contiguous()


def test_a_clip_reaches_the_first_and_the_last_frame_of_its_video():
    store = open_stream(data := Numbered([30]), data.sources(), GEOMETRY, min_frames=8)
    places = torch.tensor([0, 2**32 - 1])
    frames, _ = store.clips(torch.zeros(2, dtype=torch.int64), places, torch.arange(8).expand(2, 8), 8)
    assert frames[:, :, 0, 0, 2].tolist() == [list(range(8)), list(range(22, 30))]


def test_many_threads_at_once_get_what_one_gets():
    lengths = [10 + i % 5 for i in range(40)]
    lengths[3::7] = [None] * len(lengths[3::7])
    batches = [asked(16, 40, 8, seed) for seed in range(24)]
    one = open_stream(data := Numbered(lengths), data.sources(), GEOMETRY, min_frames=8, threads=1, memory=50_000)
    calm = [one.clips(*batch, 8) for batch in batches]
    many = open_stream(data := Numbered(lengths), data.sources(), GEOMETRY, min_frames=8, threads=4, memory=50_000)
    with ThreadPoolExecutor(6) as pool:
        busy = list(pool.map(lambda batch: many.clips(*batch, 8), reversed(batches)))[::-1]
    for (frames, labels), (others, their_labels) in zip(calm, busy, strict=True):
        assert torch.equal(frames, others)
        assert torch.equal(labels, their_labels)
    assert sorted(each.name for each in one.skipped) == sorted(each.name for each in many.skipped)


def test_what_cannot_be_used_is_replaced_by_the_next_and_named_once():
    lengths = [20, None, 3, 20, None]
    store = open_stream(data := Numbered(lengths), data.sources(), GEOMETRY, min_frames=8)
    for _ in range(2):
        frames, labels = store.clips(torch.arange(5), torch.zeros(5, dtype=torch.int64), torch.zeros(5, 1).long(), 8)
        assert frames[:, 0, 0, 0, 0].tolist() == [0, 3, 3, 3, 0]
        assert labels.tolist() == [0, 0, 0, 0, 0]
    assert {each.name: each.reason for each in store.skipped} == {
        "v1": "v1 is broken.",
        "v2": "v2 has 3 frames, and 8 are needed.",
        "v4": "v4 is broken.",
    }
    assert len(store.skipped) == 3
    assert data.opened[1] == data.opened[2] == 1


def test_a_longer_clip_than_a_video_takes_the_next_without_naming_it():
    store = open_stream(data := Numbered([8, 20]), data.sources(), GEOMETRY, min_frames=8)
    frames, _ = store.clips(torch.tensor([0]), torch.tensor([0]), torch.tensor([[0]]), 12)
    assert frames[0, 0, 0, 0, 0] == 1
    assert store.skipped == []


def test_a_row_of_bad_videos_is_an_error(monkeypatch):
    with pytest.raises(DataError, match=r"none of the 3 videos from v0 on .* v0 is broken"):
        open_stream(data := Numbered([None] * 3), data.sources(), GEOMETRY, min_frames=8)
    monkeypatch.setattr(stream, "PATIENCE", 4)
    data = Numbered([20, None, None, None, None, 20])
    store = open_stream(data, data.sources(), GEOMETRY, min_frames=8)
    one = torch.tensor([[0]])
    assert store.clips(torch.tensor([2]), torch.tensor([0]), one, 8)[0][0, 0, 0, 0, 0] == 5
    with pytest.raises(DataError, match="not one of 4 videos from v1 on"):
        store.clips(torch.tensor([1]), torch.tensor([0]), one, 8)
    with pytest.raises(DataError, match="no videos"):
        open_stream(data, [], GEOMETRY, min_frames=8)


def test_what_is_unavailable_is_an_error_and_replaced_by_nothing():
    store = open_stream(data := Numbered([20, 20]), data.sources(), GEOMETRY, min_frames=8)
    data.gone.add(1)
    ask = torch.tensor([1]), torch.tensor([0]), torch.tensor([[0]]), 8
    with pytest.raises(UnavailableError, match="gone"):
        store.clips(*ask)
    data.gone.clear()
    assert store.clips(*ask)[0][0, 0, 0, 0, 0] == 1
    assert store.skipped == []


@pytest.mark.parametrize(("videos", "times"), [([2], [[0]]), ([-1], [[0]]), ([0], [[8]]), ([0], [[-1]])])
def test_numbers_out_of_range_are_errors(videos, times):
    store = open_stream(data := Numbered([20, 20]), data.sources(), GEOMETRY, min_frames=8)
    with pytest.raises(DataError, match="must lie in"):
        store.clips(torch.tensor(videos), torch.tensor([0]), torch.tensor(times), 8)


class Endless(Sequence[Source]):
    """More sources than anyone may walk through."""

    def __init__(self) -> None:
        self.made = 0

    def __len__(self) -> int:
        return 1 << 40

    def __getitem__(self, number):
        self.made += 1
        assert self.made < 1000
        return Source(name=f"v{number}", label=f"class {number % 3}", locator=str(number % 4))


def test_endless_sources_are_not_walked():
    data = Numbered([10, 11, 12, 13])
    data.classes = lambda: ["class 2", "class 1", "class 0"]
    assert len(Endless()) > ENDLESS
    store = open_stream(data, Endless(), GEOMETRY, min_frames=8)
    videos = torch.tensor([2**39 + 1, 5, 2**40 - 1])
    frames, labels = store.clips(videos, torch.zeros(3, dtype=torch.int64), torch.zeros(3, 1).long(), 8)
    assert frames[:, 0, 0, 0, 0].tolist() == (videos % 4).tolist()
    assert labels.tolist() == [2 - int(video) % 3 for video in videos]


def test_frames_are_kept_as_far_as_the_memory_reaches():
    data = Numbered([100] * 8, size=64)  # 1.2 MB each, and half of the memory holds five
    store = open_stream(data, data.sources(), Geometry(height=64, width=64), min_frames=8, memory=12 << 20)
    for _ in range(3):
        for video in range(8):
            store.clips(torch.tensor([video]), torch.tensor([0]), torch.tensor([[2]]), 8)
    assert data.opened == [1] * 5 + [3] * 3
    # The second and the third visits read as far as the wanted frame alone.
    assert data.decoded == 8 * 100 + 2 * 3 * 3


def test_memory_is_bounded_with_a_long_video():
    """Twelve megabytes and more of frames in a store of one."""
    geometry = Geometry(height=64, width=64)
    data = Numbered([1000, 1000], size=64)
    tracemalloc.start()
    try:
        store = open_stream(data, data.sources(), geometry, min_frames=8, memory=1 << 20, threads=2)
        places = torch.tensor([0, 2**31, 2**32 - 1, 2**31])
        frames, _ = store.clips(torch.tensor([0, 0, 0, 1]), places, torch.arange(8).expand(4, 8), 8)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    starts = [0, 993 // 2, 992, 993 // 2]
    assert frames[:, 0, 0, 0, 2].tolist() == [start % 256 for start in starts]
    assert peak < 3 << 20
    assert store._budget.held <= 1 << 20


def test_the_rate_is_the_geometry_s_or_that_of_the_first_video():
    data = Numbered([None, 20, 20])
    assert open_stream(data, data.sources(), GEOMETRY, min_frames=8).fps == 11
    slow = open_stream(data, data.sources(), Geometry(height=SIZE, width=SIZE, fps=5.5), min_frames=8)
    assert slow.fps == 5.5
    frames, _ = slow.clips(torch.tensor([1]), torch.tensor([0]), torch.tensor([[0, 1, 2]]), 8)
    assert frames[0, :, 0, 0, 2].tolist() == [0, 2, 4]


def test_without_labels_there_are_no_classes():
    data = Numbered([20, 20])
    store = open_stream(data, [Source(name="a", locator="0"), Source(name="b", locator="1")], GEOMETRY, min_frames=8)
    assert store.classes == ()
    assert store.clips(torch.tensor([0]), torch.tensor([0]), torch.tensor([[0]]), 8)[1] is None


def draw(store, count: int, seed: int = 0) -> list[int]:
    """Which videos the next clips come from."""
    rng = np.random.default_rng(seed)
    numbers = torch.from_numpy(rng.integers(0, len(store), count))
    frames, labels = store.clips(numbers, torch.zeros(count, dtype=torch.int64), torch.zeros(count, 1).long(), 8)
    videos = frames[:, 0, 0, 0, 0].tolist()
    if labels is not None:
        assert labels.tolist() == [video % 3 for video in videos]
    return videos


@pytest.mark.parametrize("shuffle", [1, 4, 16, 100])
def test_every_video_of_a_pipe_gives_one_clip_before_it_is_exhausted(shuffle):
    data = Numbered([10] * 40)
    store = open_pipe(data, GEOMETRY, min_frames=8, shuffle=shuffle, labels=True)
    assert not store.ordered
    assert len(store) == shuffle
    drawn = []
    while not store.exhausted:
        drawn += draw(store, 1, seed=len(drawn))
    assert sorted(drawn) == list(range(40))
    assert (drawn != sorted(drawn)) == (shuffle > 1)
    again = draw(store, 50)  # it goes on with what it holds
    assert set(again) <= set(range(40))
    assert store.exhausted


def test_a_pipe_leaves_out_what_it_cannot_use():
    lengths = [None, 3, 10, None, 10, 10]
    store = open_pipe(data := Numbered(lengths), GEOMETRY, min_frames=8, shuffle=2)
    assert store.fps == 10
    assert sorted(itertools.chain.from_iterable(draw(store, 1) for _ in range(3))) == [2, 4, 5]
    assert [each.name for each in store.skipped] == ["v0", "v1", "v3"]
    assert data.opened == [1] * 6
    with pytest.raises(DataError, match=r"ended before a video of 8 frames came\. v0 has 2 frames"):
        open_pipe(Numbered([2]), GEOMETRY, min_frames=8)
    with pytest.raises(DataError, match="100 videos in a row"):
        open_pipe(Numbered([2] * 100 + [10]), GEOMETRY, min_frames=8)


def test_a_pipe_is_read_under_a_lock():
    """Each video comes once, though many threads draw."""

    class Slow(Numbered):
        def read(self):
            for each in super().read():
                time.sleep(1e-4)  # lets the other threads in
                yield each

    store = open_pipe(Slow([10] * 200), GEOMETRY, min_frames=8, shuffle=20)
    gate = threading.Barrier(4)

    def work(seed: int) -> list[int]:
        gate.wait()
        return [video for step in range(10) for video in draw(store, 5, seed=10 * seed + step)]

    with ThreadPoolExecutor(4) as pool:
        drawn = [video for videos in pool.map(work, range(4)) for video in videos]
    assert sorted(drawn) == list(range(200))
    assert store.exhausted


def test_the_memory_of_a_pipe_is_bounded():
    data = Numbered([100] * 60, size=64)
    each = 100 * 64 * 64 * 3
    geometry = Geometry(height=64, width=64)
    store = open_pipe(data, geometry, min_frames=8, shuffle=50, memory=10 * each + (8 << 20))
    drawn = draw(store, 60)
    assert len(set(drawn)) == 60
    assert store._budget.held <= 10 * each + (8 << 20)
    assert len(store._held) < 15
    small = open_pipe(Numbered([500, 10], size=64), geometry, min_frames=8, shuffle=50, memory=5 << 20)
    assert draw(small, 3) == [1, 1, 1]
    assert "more than the memory" in small.skipped[0].reason


def test_indexes_of_streams_are_cleared_with_the_packs(tmp_path):
    folder = tmp_path / "indexes"
    folder.mkdir()
    for name in ("old", "new"):
        (folder / f"{name}.json").write_text("{}")
    os.utime(folder / "old.json", (1e9, 1e9))
    clear(older_than=3600, cache=tmp_path)
    assert [path.name for path in folder.iterdir()] == ["new.json"]
    clear(everything=True, cache=tmp_path)
    assert list(folder.iterdir()) == []
