"""Data that do not answer: given up in time, and no thread that waits for them keeps the process."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from range_server import serve
from small_runs import environment
from vanishing import Files, clips, make, opened

from gadkit import Footage, Source, UnavailableError
from gadkit.data import stream
from gadkit.data.crew import Crew
from gadkit_plugins.data.webdataset import remote


class Hanging(Files):
    """Waits for ever where it reads the video 2, and a moment at every frame of the video 3."""

    release = threading.Event()

    def open(self, source: Source) -> Footage:
        footage = super().open(source)

        def frames() -> Iterator[np.ndarray]:
            for each in footage.frames:
                if source.name[0] in "23":
                    self.release.wait(None if source.name[0] == "2" else 0.05)
                yield each

        return Footage(fps=10, frames=frames())


def test_a_share_that_hangs_is_an_error_and_slow_videos_are_none(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "SILENCE", 0.25)
    videos = make(tmp_path / "videos", "raw")
    store = opened(videos, kind=Hanging)
    assert torch.equal(clips(store, 3), clips(opened(videos), 3))  # takes longer than the patience, and lives
    try:
        with pytest.raises(UnavailableError, match=r"no frame of the videos came in 0\.25 seconds.*does not answer"):
            clips(store, 2)
    finally:
        Hanging.release.set()


ENDING = """
import sys, threading
from gadkit.data.crew import Crew
crew = Crew(2, "crew")
begun = threading.Event()
crew.submit(lambda: (begun.set(), threading.Event().wait()))
begun.wait()
print("said")
sys.exit(3)
"""


def test_a_thread_that_hangs_does_not_keep_the_process():
    done = subprocess.run(
        [sys.executable, "-c", ENDING], capture_output=True, text=True, env=environment(), timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (3, "said\n")


def test_a_crew_gives_results_and_errors_and_goes_with_its_owner():
    crew = Crew(3, "test-crew")
    assert [future.result() for future in [crew.submit(pow, 2, number) for number in range(50)]] == [
        2**number for number in range(50)
    ]
    with pytest.raises(ZeroDivisionError):
        crew.submit(divmod, 1, 0).result()
    gate = threading.Event()
    busy = [crew.submit(gate.wait) for _ in range(3)]
    late = crew.submit(pow, 2, 3)
    assert late.cancel()
    gate.set()
    assert all(future.result() for future in busy)
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("test-crew")]
    assert 1 <= len(threads) <= 3
    del crew
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture
def web(monkeypatch) -> remote.Web:
    monkeypatch.setattr(remote, "TIMEOUT", 0.2)
    monkeypatch.setattr(remote, "TRIES", 2)
    monkeypatch.setattr(remote, "BACK_OFF", 0.001)
    return remote.Web()


def test_a_server_that_falls_silent_is_asked_again_and_then_given_up(tmp_path, web):
    (tmp_path / "a").write_bytes(bytes(range(200)))
    with serve(tmp_path, silent=2) as site:
        assert web.read(f"{site.url}a", 50, 100)[0] == bytes(range(50, 150))
        site.silent = 10**6
        with pytest.raises(UnavailableError, match=r"a cannot be read: timed out \(3 times\); see to the network"):
            web.read(f"{site.url}a", 0, 10)


def test_a_server_that_drips_is_given_up(tmp_path, web):
    """Each byte comes within the time for a byte, and all of them would take an hour."""
    (tmp_path / "a").write_bytes(bytes(60_000))
    with serve(tmp_path, drip=0.05) as site, pytest.raises(UnavailableError, match=r"bytes came in 0\.2 seconds"):
        web.read(f"{site.url}a", 0, 60_000)


def test_a_server_that_goes_away_is_an_error(tmp_path, web):
    (tmp_path / "a").write_bytes(b"abc")
    with serve(tmp_path) as site:
        url = f"{site.url}a"
        web.read(url, 0, 3)
    with pytest.raises(UnavailableError, match=r"a cannot be read: .* \(3 times\); see to the network"):
        remote.Web().read(url, 0, 3)  # over a connection of its own
