"""The device, the processes and the precision of a run, on Hugging Face accelerate."""

from __future__ import annotations

import atexit
import json
import os
import platform
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from accelerate import PartialState
from torch import Tensor, nn

from gadkit.errors import DeviceError

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Engine:
    """Where a run computes: one device a process, any number of processes, one precision.

    `torchrun` and `accelerate launch` set the environment from which accelerate finds the processes. Averages over
    processes are explicit (`average_`), one flat all-reduce a call.

    Args:
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`; `auto` takes the first of cuda, mps and cpu that works.
        precision: `auto`, `fp32`, `bf16`, `fp16` or `fp64`; `auto` is bf16 where the device multiplies bf16 in
            hardware, else fp32.

    Raises:
        DeviceError: The device is not there, or cannot compute in that precision.
    """

    def __init__(self, device: str = "auto", precision: str = "auto") -> None:
        wanted = resolve_device(device)
        state = PartialState._shared_state
        if state and (state.get("_cpu", False) != (wanted.type == "cpu")):
            PartialState._reset_state()  # another run of this process used another kind of device
        self._state = PartialState(cpu=wanted.type == "cpu")
        self.device = torch.device(self._state.device) if self._state.num_processes > 1 else wanted
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        if self.world > 1:
            atexit.unregister(_leave)
            atexit.register(_leave)
        self.precision = resolve_precision(precision, self.device)
        self.dtype = torch.float64 if self.precision == "fp64" else torch.float32

    def place(self, module: nn.Module, dtype: torch.dtype | None = None) -> None:
        """Moves a module to the device and the run's type (or `dtype`), its weights laid out as the module likes."""
        module.to(self.device, dtype or self.dtype)
        lay_out(module)

    @property
    def rank(self) -> int:
        """The number of this process, 0 for the one that writes."""
        return int(self._state.process_index)

    @property
    def world(self) -> int:
        """How many processes train together."""
        return int(self._state.num_processes)

    @property
    def main(self) -> bool:
        """Whether this process writes the run's files."""
        return self.rank == 0

    def autocast(self) -> AbstractContextManager[None]:
        """The context of forward passes: bf16 or fp16 where the precision asks for it."""
        dtype = _AUTOCAST.get(self.precision)
        return nullcontext() if dtype is None else torch.autocast(self.device.type, dtype=dtype)

    def full_precision(self) -> AbstractContextManager[None]:
        """A context inside `autocast` that switches it off again."""
        return torch.autocast(self.device.type, enabled=False) if self.precision in _AUTOCAST else nullcontext()

    def scaler(self) -> torch.amp.GradScaler | None:
        """A gradient scaler for fp16, one for each player; `None` in other precisions."""
        return torch.amp.GradScaler(self.device.type) if self.precision == "fp16" else None

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Replaces tensors of one type by their means over the processes, in one flat all-reduce."""
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        flat /= self.world
        parts = flat.split([tensor.numel() for tensor in tensors])
        torch._foreach_copy_(
            list(tensors), [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]
        )

    def any(self, *flags: bool) -> list[bool]:
        """Whether each flag is set in any process. Every process must call it; with one process it costs nothing."""
        if self.world == 1:
            return list(flags)
        values = torch.tensor([float(flag) for flag in flags], device=self.device)
        dist.all_reduce(values)
        return [value > 0 for value in values.tolist()]

    def share(self, value: Any) -> Any:
        """The first process's `value`, plain values as JSON has them, in every process. All must call it."""
        if self.world == 1:
            return value
        text = torch.tensor(list(json.dumps(value).encode()), dtype=torch.uint8, device=self.device)
        size = torch.tensor(len(text), device=self.device)
        dist.broadcast(size, 0)
        if not self.main:
            text = torch.empty(int(size), dtype=torch.uint8, device=self.device)
        dist.broadcast(text, 0)
        return json.loads(bytes(text.tolist()))

    def gather(self, values: Tensor) -> Tensor:
        """The tensors `(...)` of all processes, equal in shape, as one `(world, ...)`. All must call it.

        Args:
            values: This process's tensor.
        """
        if self.world == 1:
            return values.unsqueeze(0)
        found = [torch.empty_like(values) for _ in range(self.world)]
        dist.all_gather(found, values)
        return torch.stack(found)

    def main_first(self) -> AbstractContextManager[None]:
        """A block that the first process runs before the others."""
        return self._state.main_process_first()  # type: ignore[no-any-return]

    def barrier(self) -> None:
        """Waits for every process."""
        self._state.wait_for_everyone()


def _leave() -> None:
    """Ends the group of processes: its threads must not be running any more when the interpreter goes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def leave(code: int) -> None:
    """Ends this process with an exit code where it is one of several; returns where it is not.

    PyTorch keeps the threads of a process group beyond `destroy_process_group`, and now and then they abort an
    interpreter that shuts down under them. So nothing is left to shut down: call it last, when all files are written.
    """
    if dist.is_initialized():
        dist.destroy_process_group()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def lay_out(module: nn.Module) -> None:
    """Lays out a module's weights in its `memory_format`, where it names one."""
    module.to(memory_format=getattr(module, "memory_format", torch.preserve_format))  # type: ignore[call-overload]


def resolve_device(name: str) -> torch.device:
    """The device that a name stands for; `DeviceError` says what is there where it is not."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceError(
            f"device: found {name!r}, expected auto, cpu, cuda, cuda:N or mps; this machine has {_available()}."
        ) from None
    if device.type == "cuda":
        if not torch.cuda.is_available():
            build = f"was built for CUDA {torch.version.cuda}" if torch.version.cuda else "was built without CUDA"
            raise DeviceError(
                f"device: found {name!r}, but PyTorch {torch.__version__} {build} and sees no CUDA device; "
                f"this machine has {_available()}: use --device auto, or see `gadkit doctor` for the install line."
            )
        if (device.index or 0) >= torch.cuda.device_count():
            raise DeviceError(f"device: found {name!r}, but this machine has {_available()}.")
        return torch.device("cuda", device.index if device.index is not None else torch.cuda.current_device())
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(f"device: found 'mps', Apple's GPU, but this machine has {_available()}: use --device auto.")
    if device.type not in {"cpu", "mps"}:
        raise DeviceError(f"device: found {name!r}, expected auto, cpu, cuda, cuda:N or mps.")
    return device


def resolve_precision(name: str, device: torch.device) -> str:
    """The precision that a name stands for on a device; `DeviceError` where the device cannot compute in it."""
    if name == "auto":
        return "bf16" if _multiplies_bf16(device) else "fp32"
    if name == "fp64" and device.type == "mps":
        raise DeviceError("precision: found 'fp64', but mps has no float64; use fp32, or --device cpu.")
    return name


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False


def _available() -> str:
    names = ["cpu"]
    if torch.cuda.is_available():
        names += [f"cuda:{index} ({torch.cuda.get_device_name(index)})" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("mps")
    return ", ".join(names)


def describe_device(device: torch.device) -> str:
    """A device in words, such as `cpu (x86_64, 8 threads)`."""
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        return f"{device} ({torch.cuda.get_device_name(device)}, {total / 2**30:.0f} GiB)"
    if device.type == "cpu":
        return f"cpu ({platform.machine()}, {torch.get_num_threads()} threads)"
    return str(device)
