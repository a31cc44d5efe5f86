"""Streams and pipes whose data vanish or change under a training: one sentence, and nothing left out for it."""

from __future__ import annotations

import errno
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from vanishing import GEOMETRY, Files, Made, clips, make, opened, without_pauses, write

from gadkit import DataError, Footage, Source, UnavailableError
from gadkit.data import reach
from gadkit.data.pipe import open_pipe

PAUSES = len(reach.PAUSES)


@pytest.fixture(autouse=True)
def pauses(monkeypatch) -> list[float]:
    return without_pauses(monkeypatch)


# --- streams ----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["raw", "mkv"])
def videos(tmp_path, request) -> Path:
    return make(tmp_path / "videos", request.param)


def vanish(folder: Path, deed: str) -> None:
    if deed == "file deleted":
        sorted(folder.iterdir())[2].unlink()
    elif deed == "folder renamed":
        folder.rename(folder.with_name("away"))
    elif deed == "folder replaced by a file":
        folder.rename(folder.with_name("away"))
        folder.write_text("")


VANISHING = pytest.mark.parametrize("deed", ["file deleted", "folder renamed", "folder replaced by a file"])


@VANISHING
@pytest.mark.parametrize("seen", [False, True])
def test_a_file_that_vanishes_is_named_and_not_left_out(videos, deed, seen, pauses):
    store = opened(videos)
    if seen:
        clips(store, 2)
    missing = sorted(videos.iterdir())[2]
    vanish(videos, deed)
    with pytest.raises(UnavailableError) as caught:
        clips(store, 2)
    assert str(missing) in str(caught.value)
    assert f"({PAUSES + 1} times); bring it back, and go on with `gadkit train --resume`." in str(caught.value)
    assert pauses == list(reach.PAUSES)
    assert store.skipped == []


@VANISHING
def test_a_file_that_comes_back_in_time_is_read(videos, deed, monkeypatch):
    store = opened(videos)
    expected = clips(store, 0, 1, 2, 3)
    kept = videos.with_name("kept")
    subprocess.run(["cp", "-rp", str(videos), str(kept)], check=True)
    vanish(videos, deed)
    waited = threading.Lock()

    def come_back(seconds: float) -> None:
        with waited:
            if kept.exists():
                subprocess.run(["rm", "-rf", str(videos)], check=True)
                kept.rename(videos)

    monkeypatch.setattr(reach, "sleep", come_back)
    assert torch.equal(clips(store, 0, 1, 2, 3), expected)


@pytest.mark.parametrize("number", sorted(reach.GONE - {errno.ENOENT}))
def test_what_a_disk_or_a_share_says_is_no_fault_of_a_video(videos, number, monkeypatch, pauses):
    store = opened(videos)
    true = Files.open

    def fail(self: Files, source: Source) -> Footage:
        if source.name[0] == "2":
            raise DataError(f"{source.name} cannot be opened.") from OSError(number, os.strerror(number))
        return true(self, source)

    monkeypatch.setattr(Files, "open", fail)
    with pytest.raises(UnavailableError, match=os.strerror(number)):
        clips(store, 2)
    assert len(pauses) == PAUSES
    assert store.skipped == []


def test_an_error_in_the_middle_of_a_video_is_one_of_its_disk(videos, monkeypatch, pauses):
    """Reading frames may fail as opening does, on the first visit and on the next ones."""
    true, left = Files.open, [1]

    def fail(self: Files, source: Source) -> Footage:
        footage = true(self, source)

        def frames() -> Iterator[np.ndarray]:
            for number, each in enumerate(footage.frames):
                if number == 3 and source.name[0] == "2" and left[0]:
                    left[0] -= 1
                    raise OSError(errno.EIO, os.strerror(errno.EIO))
                yield each

        return Footage(fps=10, frames=frames())

    expected = clips(opened(videos), 2)
    monkeypatch.setattr(Files, "open", fail)
    store = opened(videos)
    assert torch.equal(clips(store, 2), expected)
    left[0] = 2
    assert torch.equal(clips(store, 2), expected)
    assert pauses == [*reach.PAUSES[:1], *reach.PAUSES[:2]]
    left[0] = 100
    with pytest.raises(UnavailableError, match="Input/output error"):
        clips(store, 2)
    assert store.skipped == []


@pytest.mark.parametrize("memory", [0, 1 << 30])
@pytest.mark.parametrize("how", ["damaged", "shorter", "longer", "cut"])
def test_a_video_that_changes_after_it_was_read_is_an_error(videos, how, memory):
    store = opened(videos, memory)
    path = sorted(videos.iterdir())[2]
    before = clips(store, 2)
    store._began = time.time() + 60  # what was read is known, whatever the file system says
    if how == "damaged":
        path.write_bytes(b"no video")
    elif how == "cut":
        os.truncate(path, path.stat().st_size // 2 + 1)
    else:
        write(path, 2, 8 if how == "shorter" else 11)
    if memory:  # it is held
        assert torch.equal(clips(store, 2), before)
        return
    if how == "longer":  # its beginning may be all that is read
        return
    with pytest.raises(UnavailableError, match=rf"{path.name} has changed under the training: .*; bring it back"):
        clips(store, 2)
    assert store.skipped == []


def test_a_video_is_left_out_only_for_damage_that_was_there_at_the_start(videos):
    paths = sorted(videos.iterdir())
    paths[1].write_bytes(b"no video")
    hour = time.time() - 3600
    os.utime(paths[1], (hour, hour))
    store = opened(videos)
    store._began = time.time() + 60  # the file system's time of change cannot be set
    assert torch.equal(clips(store, 1), clips(store, 2))
    assert [each.name for each in store.skipped] == [paths[1].name]
    store._began = hour
    paths[3].write_bytes(b"no video")
    with pytest.raises(UnavailableError, match=f"{paths[3].name} has changed under the training: .* was written to"):
        clips(store, 3)
    assert len(store.skipped) == 1


def test_an_error_of_a_program_is_not_taken_for_one_of_the_data(videos, monkeypatch, pauses):
    store = opened(videos)

    def fail(self: Files, source: Source) -> Footage:
        raise OSError("a fault of its own")

    monkeypatch.setattr(Files, "open", fail)
    with pytest.raises(OSError, match="a fault of its own"):
        clips(store, 2)
    assert pauses == []


# --- pipes ------------------------------------------------------------------------------------------------------------


class Pipe(Made):
    access = "pipe"

    def __init__(self, error: Exception) -> None:
        self.error = error

    def read(self) -> Iterator[tuple[Source, Footage]]:
        for source in self.sources():
            yield source, self.open(source)
        raise self.error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EIO, "Input/output error"), "the pipe cannot be read any more: Input/output error"),
        (DataError("the pipe holds no tar."), "the pipe holds no tar"),
    ],
)
def test_a_pipe_that_breaks_has_not_come_to_its_end(error, words):
    store = open_pipe(Pipe(error), GEOMETRY, min_frames=8, shuffle=2)
    arguments = torch.tensor([0]), torch.tensor([0]), torch.arange(8)[None], 8
    store.clips(*arguments)
    for _ in range(2):
        with pytest.raises(DataError, match=words):
            store.clips(*arguments)
        assert not store.exhausted
