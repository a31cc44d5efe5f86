"""Memory that is short: told from other errors, explained with its numbers, and met by the coarsest cut that fits."""

from __future__ import annotations

import errno
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from gadkit import DeviceError
from gadkit.data.budget import Budget
from gadkit.data.machine import Memory, main_memory
from gadkit.interfaces.footprint import Footprint
from gadkit.runs import memory
from gadkit.runs.memory import Load, Room, auto_accumulate, cuts, explain, is_out_of_memory, largest_micro_batch, probe

GIB = 1 << 30
CPU, CUDA = torch.device("cpu"), torch.device("cuda:0")


# --- telling it -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "attempt",
    [
        lambda: torch.empty(1 << 56, dtype=torch.uint8),
        lambda: np.empty(1 << 56, np.uint8),
        lambda: bytearray(1 << 56),
    ],
)
def test_allocators_that_fail_are_known(attempt):
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        attempt()
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB, max allowed: 9.07 GB)."),
        RuntimeError("Invalid buffer size: 24.00 GB"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("HIP out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_errors_of_other_devices_and_libraries_are_known(error):
    assert is_out_of_memory(error)
    wrapped = ValueError("a step failed")
    wrapped.__cause__ = error
    assert is_out_of_memory(wrapped)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"),
        RuntimeError("CUDA error: device-side assert triggered"),
        OSError(errno.ENOSPC, "No space left on device"),
        ValueError("out of memory"),
        KeyboardInterrupt(),
    ],
)
def test_other_errors_are_not_taken_for_it(error):
    assert not is_out_of_memory(error)


# --- explaining it ----------------------------------------------------------------------------------------------------

PARTS = {"weights": GIB, "gradients": GIB, "optimiser": 2 * GIB}


def explained(
    *, accumulate: int = 1, group: int = 1, per_clip: float = GIB, device=CUDA, now: Room | None = None, **more
) -> str:
    footprint = Footprint(parts=PARTS, per_clip=per_clip)
    load = Load(batch_size=96, accumulate=accumulate, group=group, **({"footprint": footprint} | more))
    now = now or Room(total=40 * GIB, free=GIB, own=37 * GIB)
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.50 GiB. GPU 0 has a total capacity of ...")
    found = explain(error, device, load, now)
    assert isinstance(found, DeviceError)
    assert str(found).endswith(".")
    assert "\n" not in str(found)
    return str(found)


def test_the_sentence_says_what_used_the_memory():
    sentence = explained(resident=6 * GIB)
    assert sentence.startswith("trainer.batch_size: a step with 96 clips at once does not fit the memory of cuda:0, ")
    for part in (
        "which has 40 GiB, when 3.50 GiB more were asked for",
        "weights 1 GiB, gradients 1 GiB, optimiser 2 GiB",
        "activations 96 GiB (96 times 1 GiB, estimated)",
        "resident clips 6 GiB",
        "other processes and the driver 2 GiB",  # 40 - 1 - 37
        "1 GiB free",
    ):
        assert part in sentence
    measured = explained(footprint=Footprint(parts=PARTS, per_clip=GIB, measured=True))
    assert "(96 times 1 GiB, measured)" in measured
    assert "resident" not in measured


def test_what_the_main_memory_s_allocator_says_is_read():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 56, dtype=torch.uint8)
    sentence = str(explain(caught.value, CPU, Load(batch_size=4), Room(total=GIB, free=0, own=GIB)))
    assert f"when {1 << 16} TiB more" in sentence.replace("6.554e+04", "65536")


def test_the_cut_that_is_advised_is_the_coarsest_that_fits():
    # Within reach: 0.9 of the 38 GiB that others leave, less 4 GiB: 30 clips, so of 96 clips at most 24 at once.
    assert "--accumulate 4, which cuts the batch and changes no result" in explained()
    assert "--accumulate 6," in explained(accumulate=4)  # what failed is not advised again
    assert "--accumulate 6," in explained(group=16)  # pieces of 16, of which 32 at once are too many
    assert "--accumulate 6," in explained(resident=8 * GIB)
    assert "--accumulate 2," in explained(footprint=None)
    cpu = explained(device=CPU, now=Room(total=60 * GIB, free=20 * GIB, own=40 * GIB))
    assert "--accumulate 3," in cpu  # 0.8 of 60 GiB less 4: 44 clips


def test_a_cut_that_will_not_do_is_said_to_be_too_little():
    sentence = explained(per_clip=50 * GIB)
    assert "--accumulate 96, which cuts the batch" in sentence
    assert "though the estimate says that it is too little" in sentence
    whole = explained(group=96)
    assert "--accumulate" not in whole
    assert "a smaller --resolution or fewer --frames, or a smaller --batch-size" in whole


def test_what_costs_least_comes_first():
    crowded = explained(now=Room(total=40 * GIB, free=GIB, own=20 * GIB), resident=6 * GIB)
    options = ["end the other programs", "--accumulate", "clips.resident=never", "--precision bf16", "--resolution"]
    places = [crowded.index(option) for option in [*options, "--batch-size"]]
    assert places == sorted(places)
    plain = explained(precision="bf16")
    assert not any(option in plain for option in ("other programs", "clips.resident", "--precision"))
    assert "--precision fp32" in explained(precision="fp64")
    assert "--precision" not in explained(device=CPU)


# --- what there is ----------------------------------------------------------------------------------------------------


def grouped(folder: Path, version: int, path: str, limit: object, used: int, cache: int = 0) -> None:
    """A control group's files."""
    place = folder / path.strip("/") if version == 2 else folder / "memory" / path.strip("/")
    place.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    for name, value in zip(names, (limit, used), strict=True):
        (place / name).write_text(f"{value}\n")
    statistic = "inactive_file" if version == 2 else "total_inactive_file"
    (place / "memory.stat").write_text(f"anon 5\n{statistic} {cache}\nactive_file 7\n")


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine of 64 GiB with 50 free; `limits` reads the memory as a process of some groups sees it."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=64 * GIB, available=50 * GIB))
    own = tmp_path / "own"

    def limits(membership: str) -> Memory:
        own.write_text(membership)
        return main_memory(tmp_path, own)

    return limits


LINE = {2: "0::{}\n", 1: "5:devices:{0}\n4:cpu,memory:{0}\n0::/\n"}


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("path", ["/jobs/7", "/"])
def test_a_container_s_limit_is_the_memory(machine, tmp_path, version, path):
    grouped(tmp_path, version, path, 8 * GIB, 5 * GIB, cache=GIB)
    assert machine(LINE[version].format(path)) == Memory(8 * GIB, 4 * GIB)


@pytest.mark.parametrize("version", [1, 2])
def test_every_group_above_counts_and_what_is_no_limit_does_not(machine, tmp_path, version):
    grouped(tmp_path, version, "/a/b/c", 40 * GIB, GIB)
    grouped(tmp_path, version, "/a/b", "max" if version == 2 else 9223372036854771712, 3 * GIB)
    grouped(tmp_path, version, "/a", 16 * GIB, 14 * GIB)
    assert machine(LINE[version].format("/a/b/c")) == Memory(16 * GIB, 2 * GIB)
    assert machine(LINE[version].format("/")) == Memory(64 * GIB, 50 * GIB)
    grouped(tmp_path, version, "/full", GIB, GIB + 5)
    assert machine(LINE[version].format("/full")) == Memory(GIB, 0)


@pytest.mark.parametrize("version", [1, 2])
def test_in_a_container_the_path_may_be_the_host_s(machine, tmp_path, version):
    grouped(tmp_path, version, "/", 8 * GIB, GIB)
    assert machine(LINE[version].format("/docker/3f2a/../x")) == Memory(8 * GIB, 7 * GIB)


def test_without_groups_it_is_the_machine_s(machine, tmp_path):
    assert machine("") == Memory(64 * GIB, 50 * GIB)
    assert machine("0::/gone\nnonsense\n") == Memory(64 * GIB, 50 * GIB)
    assert main_memory(tmp_path, tmp_path / "missing") == Memory(64 * GIB, 50 * GIB)
    grouped(tmp_path, 2, "/odd", "nonsense", 3)
    assert machine("0::/odd") == Memory(64 * GIB, 50 * GIB)


def test_streams_keep_to_the_container_s_memory(monkeypatch):
    monkeypatch.setattr("gadkit.data.budget.main_memory", lambda: Memory(GIB, GIB // 2))
    assert Budget().limit == GIB // 8


# --- the cut that fits ------------------------------------------------------------------------------------------------


@given(st.integers(1, 200), st.integers(1, 8), st.integers(1, 16))
def test_cuts_are_all_that_are_possible(batch_size, world, group):
    expected = [
        pieces
        for pieces in range(1, batch_size + 1)
        if batch_size % (world * pieces) == 0 and batch_size // (world * pieces) % group == 0
    ]
    assert cuts(batch_size, world, group) == expected


@given(st.lists(st.integers(1, 500), max_size=40), st.integers(0, 510))
def test_the_largest_size_that_fits_is_found_in_few_tries(sizes, limit):
    tried: list[int] = []

    def fits(size: int) -> bool:
        tried.append(size)
        return size <= limit

    assert largest_micro_batch(sizes, fits) == max((size for size in sizes if size <= limit), default=None)
    count = len(set(sizes))
    assert len(tried) == len(set(tried)) <= (1 + math.ceil(math.log2(count)) if count else 0)
    if count and max(sizes) <= limit:
        assert tried == [max(sizes)]


@given(st.sets(st.integers(1, 100)), st.sets(st.integers(1, 100)))
def test_what_is_chosen_was_tried_and_fitted_even_where_larger_is_not_harder(sizes, fitting):
    tried: set[int] = set()

    def fits(size: int) -> bool:
        tried.add(size)
        return size in fitting

    found = largest_micro_batch(list(sizes), fits)
    assert found is None or found in tried & fitting


@given(st.integers(1, 400), st.integers(1, 4), st.integers(1, 16), st.integers(0, 200))
def test_the_fewest_pieces_that_fit_are_found(batch_size, world, group, limit):
    possible = cuts(batch_size, world, group)
    expected = next((pieces for pieces in possible if batch_size // world // pieces <= limit), None)
    seen: list[int] = []

    def fits(pieces: int) -> bool:
        seen.append(pieces)
        return batch_size // world // pieces <= limit

    assert auto_accumulate(batch_size, fits, world=world, group=group) == expected
    assert set(seen) <= set(possible)


@given(st.integers(1, 200), st.lists(st.integers(0, 60), min_size=2, max_size=4))
def test_processes_come_to_one_answer_that_fits_all(share, limits):
    """Each process has another limit; what any of them says, all of them hear."""
    world = len(limits)
    assume(cuts(share * world, world))
    asked: list[list[int]] = [[] for _ in limits]

    def answer(rank: int) -> int | None:
        def fits(pieces: int) -> bool:
            asked[rank].append(pieces)
            return share // pieces <= limits[rank]

        def anywhere(flag: bool) -> bool:
            return any(share // asked[rank][-1] > limit for limit in limits)

        return auto_accumulate(share * world, fits, world=world, anywhere=anywhere)

    answers = [answer(rank) for rank in range(world)]
    assert len(set(answers)) == 1
    assert all(each == asked[0] for each in asked)  # so none waits for another
    assert answers[0] == next((pieces for pieces in cuts(share) if share // pieces <= min(limits)), None)


def test_on_the_cpu_the_estimate_decides_and_nothing_is_tried(monkeypatch):
    monkeypatch.setattr(memory, "room", lambda device: Room(total=20 * GIB, free=10 * GIB, own=2 * GIB))
    load = Load(batch_size=48, world=2, footprint=Footprint(parts=PARTS, per_clip=GIB))

    def rehearse(pieces: int) -> None:
        raise AssertionError("a step was tried")

    # 0.8 of 10 GiB, less gradients and moments, of 3 GiB (the weights are there): 5 of the 24 clips at once.
    fits = probe(load, CPU, rehearse)
    assert [pieces for pieces in cuts(48, 2) if fits(pieces)] == [6, 8, 12, 24]
    assert auto_accumulate(48, fits, world=2) == 6


@pytest.mark.parametrize(("reserve", "expected"), [(0.0, 3), (0.15, 4), (0.5, 6)])
def test_on_a_gpu_a_step_is_tried_and_must_leave_a_reserve(monkeypatch, reserve, expected):
    """A device of 12 GiB of which others hold 2: 10 for this process, and a clip takes one beside 1 GiB of weights."""
    monkeypatch.setattr(memory, "RESERVE", reserve)
    monkeypatch.setattr(memory.gc, "collect", lambda: 0)  # of all that the tests hold
    peak, tried, cleared = [0], [], []

    def rehearse(pieces: int) -> None:
        tried.append(pieces)
        peak[0] = GIB + 24 // pieces * GIB
        if peak[0] > 10 * GIB:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB.")

    fake = {
        "mem_get_info": lambda device: (9 * GIB, 12 * GIB),
        "memory_reserved": lambda device: GIB,
        "reset_peak_memory_stats": lambda device: peak.__setitem__(0, 0),
        "max_memory_allocated": lambda device: peak[0],
        "synchronize": lambda device: None,
        "empty_cache": lambda: cleared.append(len(tried)),
    }
    for name, function in fake.items():
        monkeypatch.setattr(torch.cuda, name, function)
    load = Load(batch_size=24)
    assert auto_accumulate(24, probe(load, CUDA, rehearse)) == expected
    assert cleared == sorted([*range(len(tried)), *range(1, len(tried) + 1)])  # before and after every try


def test_a_fault_of_the_step_is_not_taken_for_short_memory(monkeypatch):
    monkeypatch.setattr(memory, "room", lambda device: Room(total=GIB, free=GIB, own=0))
    for name in ("empty_cache", "reset_peak_memory_stats", "synchronize", "max_memory_allocated"):
        monkeypatch.setattr(torch.cuda, name, lambda *arguments: 0)

    def rehearse(pieces: int) -> None:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        probe(Load(batch_size=4), CUDA, rehearse)(1)
