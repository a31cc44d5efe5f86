"""The devices that PyTorch can compute on, and a GPU that it cannot use although it is there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from gadkit.doctor import hardware
from gadkit.doctor.check import Check

_INDEX = "https://download.pytorch.org/whl/"
#: Builds of PyTorch by the CUDA that they need. Within one major version a build runs on every driver.
_CUDA_BUILDS = {13: "cu130", 12: "cu126"}
_ROCM_BUILD = "rocm7.2"
#: Instruction sets that decide how fast this CPU multiplies, the wider first, as PyTorch names them.
_SETS = ("amx_bf16", "avx512_bf16", "avx512_f", "avx2", "sve2", "sve", "bf16", "neon")
_BF16 = ("amx_bf16", "avx512_bf16", "bf16")
_GIB = 2**30


def install_line(build: str) -> str:
    """The pip line that puts another build of PyTorch in the place of the installed one."""
    return f"python -m pip install --force-reinstall torch --index-url {_INDEX}{build}"


def capabilities() -> dict[str, Any]:
    """What PyTorch knows about the CPU: instruction sets and caches."""
    import torch

    return dict(torch.cpu.get_capabilities())


def cpu() -> Check:
    """The processor, its cores, the instruction sets that matter, and the main memory."""
    known = capabilities()
    sets = [name for name in _SETS if known.get(name)]
    total, free = hardware.memory()
    speed = "bf16 in hardware" if any(name in _BF16 for name in sets) else "no bf16 in hardware"
    text = (
        f"{hardware.processor()}, {hardware.cores()} logical cores ({', '.join(sets) or 'baseline'}; {speed}), "
        f"{total / _GIB:.1f} GiB memory, {free / _GIB:.1f} GiB free"
    )
    details = {
        "model": hardware.processor(),
        "cores": hardware.cores(),
        "instruction_sets": sets,
        "memory_total": total,
        "memory_free": free,
    }
    if free < _GIB:
        remedy = "close other programs, or train with a smaller --batch-size"
        return Check(group="devices", name="cpu", status="warn", text=text, remedy=remedy, details=details)
    return Check(group="devices", name="cpu", status="ok", text=text, details=details)


def torch_build() -> dict[str, Any]:
    """PyTorch's version, what it was built for, and what it sees."""
    import torch

    return {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "hip": torch.version.hip,
        "available": torch.cuda.is_available(),
        "architectures": torch.cuda.get_arch_list(),
    }


def cuda_devices() -> Iterator[Check]:
    """Every device that PyTorch sees under `cuda`, with memory, capability and driver."""
    import torch

    architectures = torch_build()["architectures"]
    driver = hardware.nvidia_driver()
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
        capability = f"{properties.major}.{properties.minor}"
        text = f"{properties.name}, {total / _GIB:.1f} GiB memory, {free / _GIB:.1f} GiB free, capability {capability}"
        text += f", driver {driver.version}" if driver.version else ""
        details = {
            "model": properties.name,
            "memory_total": total,
            "memory_free": free,
            "capability": [properties.major, properties.minor],
            "driver": driver.version,
        }
        name = f"cuda:{index}"
        if torch.version.cuda and not supported(properties.major, properties.minor, architectures):
            text += f"; this PyTorch has no code for it ({', '.join(architectures)})"
            build = _CUDA_BUILDS[12 if properties.major < 8 else 13]
            yield Check(
                group="devices", name=name, status="warn", text=text, remedy=install_line(build), details=details
            )
        else:
            yield Check(group="devices", name=name, status="ok", text=text, details=details)


def supported(major: int, minor: int, architectures: list[str]) -> bool:
    """Whether a build for `architectures` (`sm_90`, `compute_90`) runs on a device of this capability.

    Machine code runs on its own major version from its minor version on; portable code, on everything later.
    """
    for name in architectures:
        kind, _, number = name.rstrip("af").partition("_")
        if not number.isdigit():
            continue
        built = (int(number) // 10, int(number) % 10)
        if kind == "sm" and built[0] == major and built[1] <= minor:
            return True
        if kind == "compute" and built <= (major, minor):
            return True
    return False


def unused() -> Iterator[Check]:
    """A GPU that the machine has while this PyTorch can use none, with the reason and its mending.

    One build of PyTorch serves one vendor: beside a card of NVIDIA, AMD's graphics are the processor's as a rule.
    """
    build = torch_build()
    if build["available"]:
        return
    seen = hardware.graphics()
    for vendor in ("NVIDIA", "AMD"):
        names = [gpu.name for gpu in seen if gpu.vendor == vendor]
        if not names:
            continue
        reason, remedy = _nvidia(build) if vendor == "NVIDIA" else _amd(build)
        yield Check(
            group="devices",
            name=f"{vendor} GPU",
            status="warn",
            text=f"{', '.join(names)} is here, but PyTorch {build['version']} cannot use it: {reason}",
            remedy=remedy,
            details={"gpus": names, "torch_cuda": build["cuda"], "torch_hip": build["hip"]},
        )
        return


def _nvidia(build: dict[str, Any]) -> tuple[str, str]:
    driver = hardware.nvidia_driver()
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    newest = driver.cuda
    latest = max(_CUDA_BUILDS)
    fitting = _CUDA_BUILDS.get(min(newest[0], latest) if newest else latest, "")
    if driver.version is None:
        text = "NVIDIA's driver is not loaded"
        return text, "install NVIDIA's driver (https://www.nvidia.com/drivers), restart, and run gadkit doctor again"
    if newest and not fitting:
        text = f"driver {driver.version} runs CUDA {newest[0]}.{newest[1]} at most"
        return text, "update NVIDIA's driver (https://www.nvidia.com/drivers), and run gadkit doctor again"
    if build["cuda"] is None:
        return "it was built without CUDA", install_line(fitting)
    if hidden is not None and (not hidden.strip() or hidden.strip().startswith("-")):
        return f"CUDA_VISIBLE_DEVICES={hidden!r} hides it", "unset CUDA_VISIBLE_DEVICES"
    major = int(build["cuda"].partition(".")[0])
    if newest and major > newest[0]:
        text = f"it was built for CUDA {build['cuda']}, and driver {driver.version} runs CUDA {newest[0]}.{newest[1]}"
        return f"{text} at most", install_line(fitting)
    return "CUDA does not start", "restart the machine; if that does not help, " + install_line(fitting)


def _amd(build: dict[str, Any]) -> tuple[str, str]:
    if build["hip"] is None:
        return "it was built without ROCm", install_line(_ROCM_BUILD) + " (Linux, on the GPUs that ROCm supports)"
    return "ROCm does not start", "see that your user is in the groups render and video, and that ROCm knows this GPU"


def mps() -> Iterator[Check]:
    """Apple's GPU, or why an Apple machine has none."""
    import torch

    backend = torch.backends.mps
    if backend.is_available():
        yield Check(group="devices", name="mps", status="ok", text="Apple GPU, shares the main memory; no float64")
    elif hardware.translated():
        text = "this Python is an Intel program on an Apple silicon Mac, so PyTorch cannot use the GPU"
        remedy = "install gadkit with an arm64 Python, for example from https://www.python.org/downloads/macos/"
        yield Check(group="devices", name="mps", status="warn", text=text, remedy=remedy)
    elif backend.is_built():
        text = "PyTorch was built for Apple GPUs, and sees none"
        yield Check(group="devices", name="mps", status="warn", text=text, remedy="update macOS to 14 or later")


def devices() -> Iterator[Check]:
    """Every device that can be used, then what stands unused."""
    yield cpu()
    yield from cuda_devices()
    yield from mps()
    yield from unused()
