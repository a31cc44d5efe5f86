"""WebDataset through a pipe: from another process and from a FIFO, read once, with every damage named."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import threading
import tracemalloc

import numpy as np
import pytest
import torch
from sources import NAMES, samples, videos, webdataset, write_tar

from gadkit import DataError, Source
from gadkit.data.pipe import open_pipe
from gadkit.video.geometry import Geometry
from gadkit_plugins.data.webdataset.pipe import WebDatasetPipe

READ = """
import sys
from gadkit_plugins.data.webdataset.pipe import WebDatasetPipe
for source, footage in WebDatasetPipe("-").read():
    print(source.name, source.label, source.columns.get("index"), len(list(footage.frames)))
"""


def through(data: bytes, monkeypatch) -> WebDatasetPipe:
    """A dataset whose standard input holds some bytes, and cannot seek."""
    read, write = os.pipe()
    threading.Thread(target=lambda: _fill(write, data), daemon=True).start()
    file = os.fdopen(read, "rb")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(file))
    return WebDatasetPipe("-", class_names=("cats", "dogs"))


def _fill(end: int, data: bytes) -> None:
    with os.fdopen(end, "wb") as file:
        file.write(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return webdataset(tmp_path_factory.mktemp("shards"))


def test_shards_come_from_another_process(folder):
    cat = subprocess.Popen(
        ["cat", folder / "shard-000.tar", folder / "shard-001.tar"], stdout=subprocess.PIPE, bufsize=0
    )
    done = subprocess.run([sys.executable, "-c", READ], stdin=cat.stdout, capture_output=True, text=True, check=True)
    cat.stdout.close()
    assert cat.wait() == 0
    assert done.stdout.splitlines() == [
        "cats/a.mp4 cats 0 20",
        "cats/b.mp4 cats 1 20",
        "1/dogs/c.mp4 dogs 2 20",
        "1/dogs/d.mp4 dogs 3 20",
    ]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no FIFOs")
def test_a_fifo_is_a_pipe_and_nothing_else_is(folder, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    assert WebDatasetPipe.accepts(tmp_path / "fifo")
    assert WebDatasetPipe.accepts("-")
    for place in (folder, folder / "shard-000.tar", tmp_path / "nothing", "http://example.org/a.tar"):
        assert not WebDatasetPipe.accepts(place)
        with pytest.raises(DataError, match="is no pipe"):
            WebDatasetPipe(place)
    data = (folder / "shard-000.tar").read_bytes()
    threading.Thread(target=(tmp_path / "fifo").write_bytes, args=(data,), daemon=True).start()
    read = {source.name: np.stack(list(footage.frames)) for source, footage in WebDatasetPipe(tmp_path / "fifo").read()}
    assert list(read) == ["cats/a.mp4", "cats/b.mp4"]
    assert np.array_equal(read["cats/b.mp4"], videos()["cats/b"])


def test_every_video_of_a_pipe_gives_one_clip(folder, monkeypatch):
    data = b"".join((folder / f"shard-00{number}.tar").read_bytes() for number in (0, 1))
    store = open_pipe(through(data, monkeypatch), Geometry(height=32, width=40), min_frames=20, shuffle=3, labels=True)
    assert store.classes == ("cats", "dogs")
    everything = torch.arange(20)[None]
    drawn = {}
    while not store.exhausted:
        frames, labels = store.clips(torch.tensor([len(drawn)]), torch.tensor([0]), everything, 20)
        name = next(name for name, video in videos().items() if np.array_equal(frames[0].numpy(), video))
        drawn[name] = store.classes[labels[0]]
    assert drawn == {name: name.split("/")[0] for name in NAMES}


def test_a_cut_pipe_gives_what_came_before(folder, monkeypatch):
    data = (folder / "shard-000.tar").read_bytes()
    for length, count, words in ((40_000, 1, "ends after"), (600, 0, "ends after"), (33_000, 1, "end")):
        dataset = through(data[:length], monkeypatch)
        assert len(list(dataset.read())) == count
        assert words in " ".join(reason for _, reason in dataset.faults())
    with pytest.raises(DataError, match="the pipe ended before a video of 8 frames came"):
        open_pipe(through(b"", monkeypatch), Geometry(height=8, width=8), min_frames=8)


def test_broken_members_are_named_and_the_rest_comes(tmp_path, monkeypatch):
    files = samples()
    mixed = {"0.mp4": b"no video", "1.json": b"{", "1.mp4": files["cats/a.mp4"], "../2.mp4": files["cats/b.mp4"]}
    data = write_tar(tmp_path / "a.tar", mixed).read_bytes()
    store = open_pipe(through(data, monkeypatch), Geometry(height=32, width=40), min_frames=8)
    ask = torch.tensor([0]), torch.tensor([0]), torch.tensor([[0]]), 8
    assert np.array_equal(store.clips(*ask)[0][0, 0].numpy(), videos()["cats/a"][0])
    named = {each.name for each in store.skipped}
    assert named == {"the pipe: 0.mp4", "the pipe: 1.json", "the pipe: '../2.mp4'"}


def test_a_lie_about_a_size_costs_no_memory(monkeypatch):
    """Headers that declare gigabytes, with nothing behind them."""
    member = tarfile.TarInfo("0.mp4")
    member.size = 1 << 30
    dataset = through(member.tobuf() + b"x" * 1000, monkeypatch)
    tracemalloc.start()
    assert list(dataset.read()) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 << 20
    assert "it ends after 1000 of its 1073741824 bytes" in dataset.faults()[0][1]
    member.size = 8 << 30
    dataset = through(member.tobuf(tarfile.GNU_FORMAT) + b"x" * 1000, monkeypatch)
    assert list(dataset.read()) == []
    assert "at most" in dataset.faults()[0][1]


def test_a_pipe_has_no_list_and_no_second_reading():
    dataset = WebDatasetPipe("-")
    assert dataset.document("labels.csv") is None
    with pytest.raises(DataError, match="not known before they come"):
        dataset.sources()
    with pytest.raises(DataError, match="gone"):
        dataset.open(Source(name="0.mp4"))


def test_a_compressed_pipe_is_refused(tmp_path, monkeypatch):
    data = write_tar(tmp_path / "a.tar.gz", {"0.mp4": b"x"}, "w:gz").read_bytes()
    with pytest.raises(DataError, match="the pipe is compressed with gzip"):
        list(through(data, monkeypatch).read())
