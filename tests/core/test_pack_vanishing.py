"""Packs whose files go away under a training: an error before a page is touched, or none where they stay readable."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_runs import environment
from vanishing import GEOMETRY, LENGTHS, SIDE, Made, frame, without_pauses

from gadkit import UnavailableError
from gadkit.data import packing, reach
from gadkit.data.pack import open_pack
from gadkit.data.packing import pack
from gadkit.data.shards import map_shard

PAUSES = len(reach.PAUSES)


@pytest.fixture(autouse=True)
def pauses(monkeypatch) -> list[float]:
    return without_pauses(monkeypatch)


@pytest.fixture(params=["one shard", "three shards"])
def folder(tmp_path, monkeypatch, request) -> Path:
    if request.param == "three shards":
        monkeypatch.setattr(packing, "SHARD_BYTES", 1)
    pack(Made(), Made().sources(), tmp_path / "pack", GEOMETRY)
    return tmp_path / "pack"


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def read(store, way: str = "clips") -> torch.Tensor:
    """The last frame of every video."""
    if way == "to":
        store, way = store.to("cpu"), "gather"
    if way == "gather":
        return store.gather(torch.arange(len(LENGTHS)), store.lengths[:, None] - 1)[:, 0]
    places = torch.full((len(LENGTHS),), 2**32 - 1)
    return store.clips(torch.arange(len(LENGTHS)), places, torch.full((len(LENGTHS), 1), 7), 8)[0][:, 0]


LAST = torch.from_numpy(np.stack([frame(number, length - 1) for number, length in enumerate(LENGTHS)]))
WAYS = pytest.mark.parametrize("way", ["clips", "gather", "to"])


@WAYS
@pytest.mark.parametrize("keep", [100, 0], ids=["descriptor", "path"])
def test_a_shard_that_is_cut_is_an_error_before_it_is_read(folder, way, keep, monkeypatch):
    monkeypatch.setattr("gadkit.data.pack._MOST_OPEN", keep)
    store = open_pack(folder)
    assert torch.equal(read(store, way), LAST)
    path = shards(folder)[-1]
    whole = path.read_bytes()
    os.truncate(path, 300)
    with pytest.raises(UnavailableError) as caught:
        read(store, way)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert f"found 300 bytes, expected {len(whole)}" in sentence
    assert "gadkit train --resume" in sentence
    with path.open("r+b") as file:
        file.write(whole)
    assert torch.equal(read(store, way), LAST)


@WAYS
@pytest.mark.parametrize("keep", [100, 0], ids=["descriptor", "path"])
@pytest.mark.parametrize("deed", ["deleted", "replaced", "replaced by a shorter one", "folder renamed"])
def test_a_mapped_shard_that_is_deleted_or_replaced_is_read_on(folder, way, keep, deed, monkeypatch):
    monkeypatch.setattr("gadkit.data.pack._MOST_OPEN", keep)
    store = open_pack(folder)
    if deed == "folder renamed":
        folder.rename(folder.with_name("moved"))
    for path in shards(folder):
        if deed == "deleted":
            path.unlink()
        else:
            path.with_suffix(".new").write_bytes(b"other" if "short" in deed else bytes(path.stat().st_size))
            path.with_suffix(".new").replace(path)
    assert torch.equal(read(store, way), LAST)


CUT = """
import os, sys
from pathlib import Path
import torch
from gadkit.data.shards import map_shard
path = Path(sys.argv[1])
shard = map_shard(path, (32, 32, 3))
os.truncate(path, 300)
if sys.argv[2] == "look":
    shard.check = lambda: None
print(shard.index_select(0, torch.arange(30, 40)).sum())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems end a process otherwise")
@pytest.mark.parametrize("folder", ["one shard"], indirect=True)
def test_without_the_look_the_process_would_end(folder):
    """The look is what stands between a cut file and SIGBUS."""
    path = shards(folder)[0]
    whole = path.read_bytes()
    done = []
    for way in ("look", "whole"):
        path.write_bytes(whole)
        command = [sys.executable, "-c", CUT, str(path), way]
        done.append(subprocess.run(command, capture_output=True, text=True, env=environment()))
    assert done[0].returncode == -signal.SIGBUS
    assert done[1].returncode == 1
    assert "UnavailableError" in done[1].stderr


def test_what_the_system_says_of_a_shard_is_told(folder, monkeypatch):
    store = open_pack(folder)

    def gone(file: int) -> os.stat_result:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    told = r"shard-00000.* cannot be reached any more: Stale file handle; bring"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", gone)
        with pytest.raises(UnavailableError, match=told):
            read(store)


def test_no_descriptor_is_left_open(folder):
    before = psutil.Process().num_fds() if hasattr(psutil.Process, "num_fds") else 0
    stores = [open_pack(folder) for _ in range(3)]
    assert torch.equal(read(stores[0]), LAST)
    stores.clear()
    assert (psutil.Process().num_fds() if hasattr(psutil.Process, "num_fds") else 0) == before


# --- packs on a share -------------------------------------------------------------------------------------------------

SHARED = pytest.mark.skipif(not hasattr(os, "preadv"), reason="shards are always mapped here")


@pytest.fixture
def share(monkeypatch, tmp_path) -> None:
    """The folder of the test counts as a network share."""
    mounts = [
        SimpleNamespace(mountpoint="/", fstype="ext4", opts="rw"),
        SimpleNamespace(mountpoint=os.path.realpath(tmp_path), fstype="nfs4", opts="rw"),
    ]
    monkeypatch.setattr(psutil, "disk_partitions", lambda all=False: mounts)


def mapped(path: Path) -> bool:
    return str(path) in Path("/proc/self/maps").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_shards_of_this_machine_are_mapped(folder):
    store = open_pack(folder)
    assert all(map(mapped, shards(folder)))
    assert torch.equal(read(store), LAST)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("keep", [100, 1, 0])
def test_shards_of_a_share_are_not(folder, share, keep, monkeypatch):
    monkeypatch.setattr("gadkit.data.pack._MOST_OPEN", keep)
    store = open_pack(folder)
    assert not any(map(mapped, shards(folder)))
    for way in ("clips", "gather", "to"):
        assert torch.equal(read(store, way), LAST)


@SHARED
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
@pytest.mark.parametrize("folder", ["one shard"], indirect=True)
def test_what_is_read_by_system_calls_is_what_is_mapped(folder, data):
    path, count = shards(folder)[0], sum(LENGTHS)
    near, far = (map_shard(path, (SIDE, SIDE, 3), mapped=mapped) for mapped in (True, False))
    start = data.draw(st.integers(0, count))
    runs = data.draw(st.lists(st.integers(0, count - 1), max_size=12))
    index = torch.tensor([*runs, *range(start, min(count, start + 5))], dtype=torch.int64)
    assert torch.equal(near.index_select(0, index), far.index_select(0, index))
    part = slice(start, data.draw(st.integers(start, count)))
    assert torch.equal(near[part], far[part])
    assert (len(near), near.shape, near.device) == (len(far), far.shape, far.device)


@SHARED
@pytest.mark.parametrize("faults", [0, 1, PAUSES])
@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
def test_a_share_that_drops_out_for_a_moment_costs_nothing(folder, share, pauses, monkeypatch, faults, number):
    store = open_pack(folder)
    left, true = [faults], os.preadv

    def flaky(file: int, buffers: list[memoryview], offset: int) -> int:
        if left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number))
        return true(file, [buffers[0][:1000]], offset)  # and gives less than was asked for

    monkeypatch.setattr(os, "preadv", flaky)
    assert torch.equal(read(store), LAST)
    assert pauses == list(reach.PAUSES[:faults])


@SHARED
def test_a_share_that_stays_away_is_an_error_in_time(folder, share, pauses):
    store = open_pack(folder)
    true = os.preadv

    def lost(file: int, buffers: list[memoryview], offset: int) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    os.preadv = lost
    try:
        with pytest.raises(UnavailableError, match=rf"shard-00000.*Input/output error \({PAUSES + 1} times\); bring"):
            read(store)
    finally:
        os.preadv = true
    assert pauses == list(reach.PAUSES)
    moved = folder.rename(folder.with_name("away"))  # the share is gone, and its descriptor with it
    with pytest.raises(UnavailableError, match=r"shard-00000.*No such file"):
        read(store)
    moved.rename(folder)
    assert torch.equal(read(store), LAST)


@SHARED
def test_a_shard_of_a_share_that_is_cut_is_an_error_at_once(folder, share, pauses):
    store = open_pack(folder)
    path = shards(folder)[-1]
    size = path.stat().st_size
    os.truncate(path, size - 1)
    with pytest.raises(UnavailableError, match=f"found {size - 1} bytes, expected {size}"):
        read(store)
    assert pauses == []
