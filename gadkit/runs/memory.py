"""Memory that is short: telling so, saying what used it and what to change, and finding the cut that fits."""

from __future__ import annotations

import errno
import gc
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from gadkit.data.machine import main_memory
from gadkit.errors import DeviceError
from gadkit.interfaces.footprint import Footprint
from gadkit.words import count_text, size_text

#: The share of a GPU's memory that a rehearsed step must leave free: fragments, the samples, other batches.
RESERVE = 0.1
#: The share of the main memory that an estimated step may take. Beyond what there is, Linux ends a process unasked.
ESTIMATED_SHARE = 0.8
#: Resident clips are worth a word from this share of the memory on.
_LARGE = 0.1
#: Other programs are worth one from this share on.
_FOREIGN = 0.25

_WORDS = re.compile(
    r"DefaultCPUAllocator: (can't allocate|not enough) memory"
    r"|(CUDA|HIP|MPS|XPU)( backend)?( error)?:? out of memory"
    r"|(CUDNN|CUBLAS|CUFFT|CUSOLVER|CUSPARSE|MIOPEN|HIPBLAS|ROCBLAS)\w*_ALLOC_FAILED|rocblas_status_memory_error"
    r"|(cuda|hip)ErrorMemoryAllocation|hipErrorOutOfMemory"
    r"|Invalid buffer size: ",
    re.IGNORECASE,
)
_ASKED = re.compile(r"ried to allocate ([0-9.]+ ?[KMGT]?i?B)\b|you tried to allocate ([0-9]+) bytes")


@dataclass(frozen=True, kw_only=True)
class Room:
    """The memory of a device, in bytes, at one moment.

    Attributes:
        total: What the device has, or what the container leaves of it.
        free: What nobody has taken.
        own: What this process holds of it.
    """

    total: int
    free: int
    own: int

    @property
    def others(self) -> int:
        """What is neither free nor this process's tensors: other processes, and the driver."""
        return max(0, self.total - self.free - self.own)

    @property
    def reach(self) -> int:
        """What this process can have at most."""
        return self.total - self.others


def room(device: torch.device) -> Room:
    """What a device's memory is taken by, now."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return Room(total=total, free=free, own=torch.cuda.memory_reserved(device))
    if device.type == "mps":
        total, own = torch.mps.recommended_max_memory(), torch.mps.driver_allocated_memory()
        return Room(total=total, free=max(0, total - own), own=own)
    import psutil

    memory = main_memory()
    return Room(total=memory.total, free=memory.available, own=psutil.Process().memory_info().rss)


def most_taken(device: torch.device) -> int | None:
    """The most bytes of a GPU's memory that tensors of this process had at once; `None` where nobody counts them."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one behind it, says that memory could not be had: of any device, by any library."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError | torch.OutOfMemoryError):
            return True
        if isinstance(cause, OSError) and cause.errno == errno.ENOMEM:
            return True
        if isinstance(cause, RuntimeError) and _WORDS.search(str(cause)):
            return True
        cause = cause.__cause__
    return False


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a step asks of one process's device.

    Attributes:
        batch_size: Clips of a step, over all processes.
        world: Processes.
        accumulate: Pieces that each process cuts its share into.
        group: Clips that share batch statistics: a piece holds a multiple of them; 1 where none do.
        footprint: What the training takes; `None` where that is not known.
        resident: Bytes of clips that lie in the device's memory.
        precision: `fp32`, `bf16`, `fp16` or `fp64`.
    """

    batch_size: int
    world: int = 1
    accumulate: int = 1
    group: int = 1
    footprint: Footprint | None = None
    resident: int = 0
    precision: str = "fp32"

    @property
    def micro_batch(self) -> int:
        """Clips of one forward pass."""
        return self.batch_size // (self.world * self.accumulate)

    def cuts(self) -> list[int]:
        """Every number of pieces that the batch can be cut into, the fewest first."""
        return cuts(self.batch_size, self.world, self.group)


def cuts(batch_size: int, world: int = 1, group: int = 1) -> list[int]:
    """Into how many equal pieces a process can cut its share of a batch, the fewest first.

    Args:
        batch_size: Clips of a step, over all processes.
        world: Processes.
        group: A piece holds a multiple of so many clips.
    """
    if batch_size % (world * group):
        return []
    groups = batch_size // (world * group)
    return [pieces for pieces in range(1, groups + 1) if groups % pieces == 0]


def explain(error: BaseException, device: torch.device, load: Load, now: Room) -> DeviceError:
    """The error of a step that does not fit: what used the memory, and what to change, what costs least first.

    Args:
        error: What the library raised.
        device: Where.
        load: The step.
        now: The device's memory (`room`) as soon as the error came.
    """
    asked = _ASKED.search(str(error))
    wanted = (asked[1] or size_text(float(asked[2]))) if asked else ""
    told = f", when {wanted} more were asked for" if wanted else ""
    clips = count_text(load.micro_batch, "clip")
    return DeviceError(
        f"trainer.batch_size: a step with {clips} at once does not fit the memory of {device}, which has "
        f"{size_text(now.total)}{told}: {', '.join(_uses(load, now))}; what makes it fit, the cheapest first: "
        f"{', or '.join(_remedies(load, now, device))}."
    )


def _uses(load: Load, now: Room) -> list[str]:
    """What the memory went to."""
    found = []
    if load.footprint is not None:
        found += [f"{name} {size_text(count)}" for name, count in load.footprint.parts.items() if count]
        each = load.footprint.per_clip
        origin = "measured" if load.footprint.measured else "estimated"
        found.append(
            f"activations {size_text(each * load.micro_batch)} ({load.micro_batch} times {size_text(each)}, {origin})"
        )
    if load.resident:
        found.append(f"resident clips {size_text(load.resident)}")
    if now.others:
        found.append(f"other processes and the driver {size_text(now.others)}")
    return [*found, f"{size_text(now.free)} free"]


def _remedies(load: Load, now: Room, device: torch.device) -> list[str]:
    """What to change, what costs least first."""
    found = []
    if now.others > _FOREIGN * now.total:
        found.append("end the other programs that use it")
    finer = [pieces for pieces in load.cuts() if pieces > load.accumulate]
    if finer:
        fits = (pieces for pieces in finer if _is_in_reach(load, pieces, now, device))
        cut = next(fits, None)
        doubt = "" if cut else ", though the estimate says that it is too little"
        found.append(
            f"--accumulate {cut or finer[-1]}, which cuts the batch and changes no result (--auto-batch finds the "
            f"number){doubt}"
        )
    if load.resident > _LARGE * now.total:
        found.append("--set clips.resident=never, which leaves the clips on the disk")
    if load.precision == "fp64":
        found.append("--precision fp32")
    elif load.precision == "fp32" and device.type == "cuda":
        found.append("--precision bf16, which halves the activations")
    found.append("a smaller --resolution or fewer --frames")
    if load.batch_size > load.world:
        found.append("a smaller --batch-size, which makes another training of it")
    return found


def _is_in_reach(load: Load, pieces: int, now: Room, device: torch.device) -> bool:
    """Whether a cut fits, as far as that is known: without a footprint, the next one is tried."""
    if load.footprint is None:
        return True
    share = ESTIMATED_SHARE if device.type == "cpu" else 1 - RESERVE
    return load.footprint.at(load.batch_size // (load.world * pieces)) <= share * now.reach - load.resident


def largest_micro_batch(candidates: Sequence[int], fits: Callable[[int], bool]) -> int | None:
    """The largest of some sizes that fits, by halves: where a size fits, the smaller ones do.

    Args:
        candidates: Sizes, in any order.
        fits: Tries one; it is asked at most log2(n) + 1 times, rounded up, and each size once. What is returned was
            tried and fitted, whatever it answers to others.

    Returns:
        The size, or `None` where none fits.
    """
    sizes = sorted(set(candidates), reverse=True)
    if sizes and fits(sizes[0]):  # as the whole share mostly does
        return sizes[0]
    low, high = min(1, len(sizes)), len(sizes)  # the answer lies in sizes[low:high], or is sizes[high], which fitted
    while low < high:
        middle = (low + high) // 2
        if fits(sizes[middle]):
            high = middle
        else:
            low = middle + 1
    return sizes[high] if high < len(sizes) else None


def auto_accumulate(
    batch_size: int,
    fits: Callable[[int], bool],
    *,
    world: int = 1,
    group: int = 1,
    anywhere: Callable[[bool], bool] = bool,
) -> int | None:
    """The fewest pieces into which a process can cut its share of a batch so that each fits.

    Args:
        batch_size: Clips of a step, over all processes.
        fits: Tries a number of pieces in this process.
        world: Processes.
        group: A piece holds a multiple of so many clips.
        anywhere: Whether something holds in any process (`gadkit.engine.Engine.any`): a cut has to fit in all of them,
            and with this all try the same ones and come to one answer.

    Returns:
        The number of pieces; `None` where not even the finest cut fits, or no cut is possible.
    """
    share = batch_size // world
    by_size = {share // pieces: pieces for pieces in cuts(batch_size, world, group)}
    found = largest_micro_batch(list(by_size), lambda size: not anywhere(not fits(by_size[size])))
    return None if found is None else by_size[found]


def probe(load: Load, device: torch.device, rehearse: Callable[[int], None]) -> Callable[[int], bool]:
    """How `auto_accumulate` learns whether a number of pieces fits this process's device.

    On a GPU a step is rehearsed, and must leave `RESERVE` of the memory that this process can have. On the CPU nothing
    is rehearsed: Linux promises more memory than there is and ends the process that uses it, so there the footprint's
    estimate decides, against `ESTIMATED_SHARE` of what is available.

    Args:
        load: The step; its footprint is needed on the CPU.
        device: Of this process.
        rehearse: Makes one step of a number of pieces, of which nothing may remain but memory, and in which no process
            waits for another, since some may run out of memory and others not.
    """
    if device.type == "cpu":
        now = room(device)
        held = load.footprint.parts.get("weights", 0) if load.footprint is not None else 0

        def is_estimated(pieces: int) -> bool:
            assert load.footprint is not None
            needs = load.footprint.at(load.batch_size // (load.world * pieces)) - held
            return needs <= ESTIMATED_SHARE * now.free

        return is_estimated
    return lambda pieces: _survives(device, lambda: rehearse(pieces))


def _survives(device: torch.device, attempt: Callable[[], None]) -> bool:
    """Whether something runs on a GPU within the memory that this process can have, less a reserve."""
    _clear(device)
    limit = (1 - RESERVE) * room(device).reach
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(device)
    peak = math.inf
    try:
        attempt()
        if cuda:
            torch.cuda.synchronize(device)
        peak = torch.cuda.max_memory_allocated(device) if cuda else room(device).own
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    _clear(device)  # not before the error is gone, whose frames hold tensors
    return peak <= limit


def _clear(device: torch.device) -> None:
    """Gives back what no tensor holds any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
