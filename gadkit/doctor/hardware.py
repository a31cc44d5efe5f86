"""What the operating system says is in the machine, asked without PyTorch."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_PCI_VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD"}


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A graphics processor that the machine shows, whether or not PyTorch can use it.

    Attributes:
        vendor: `NVIDIA` or `AMD`.
        name: Its name, or where it was seen.
    """

    vendor: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Driver:
    """NVIDIA's driver: its version, and the newest CUDA that it can run; `None` where it does not say."""

    version: str | None = None
    cuda: tuple[int, int] | None = None


def _output(*command: str) -> str:
    """What a program prints, empty where it is not there or fails."""
    program = shutil.which(command[0])
    if program is None:
        return ""
    try:
        done = subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def graphics(root: Path = Path("/")) -> list[Gpu]:
    """The NVIDIA and AMD GPUs of this machine, by the best witness for each vendor.

    `nvidia-smi` where the driver works; else the driver's files; else the PCI bus, where a card shows even without a
    driver. `root` is the top of the file tree that is looked at.
    """
    found = [
        Gpu(vendor="NVIDIA", name=match.group(1).strip())
        for match in re.finditer(r"^GPU \d+: (.*?)(?: \(UUID.*)?$", _output("nvidia-smi", "-L"), re.MULTILINE)
    ]
    if not found:
        for information in sorted((root / "proc/driver/nvidia/gpus").glob("*/information")):
            match = re.search(r"^Model:\s*(.+)$", _read(information), re.MULTILINE)
            found.append(Gpu(vendor="NVIDIA", name=match.group(1) if match else information.parent.name))
    bus = []
    for device in sorted((root / "sys/bus/pci/devices").glob("*")):
        vendor = _PCI_VENDORS.get(_read(device / "vendor"))
        if vendor and _read(device / "class").startswith("0x03"):  # display controllers
            bus.append(Gpu(vendor=vendor, name=f"PCI device {device.name}"))
    found += [gpu for gpu in bus if gpu.vendor == "AMD" or not any(seen.vendor == "NVIDIA" for seen in found)]
    if not found and (root / "dev/nvidia0").exists():
        found.append(Gpu(vendor="NVIDIA", name="/dev/nvidia0"))
    return found


def nvidia_driver(root: Path = Path("/")) -> Driver:
    """NVIDIA's driver as `nvidia-smi` reports it, else the version of the loaded kernel module."""
    text = _output("nvidia-smi")
    version = re.search(r"Driver Version:\s*([\d.]+)", text)
    cuda = re.search(r"CUDA (?:UMD )?Version:\s*(\d+)\.(\d+)", text)
    module = re.search(r"Module.*?\s(\d+\.[\d.]+)", _read(root / "proc/driver/nvidia/version"))
    number = version.group(1) if version else module.group(1) if module else None
    return Driver(version=number, cuda=(int(cuda.group(1)), int(cuda.group(2))) if cuda else None)


def processor() -> str:
    """The processor's name in the words of its maker."""
    match = re.search(r"^model name\s*:\s*(.+)$", _read(Path("/proc/cpuinfo")), re.MULTILINE)
    if match:
        return match.group(1).strip()
    if sys.platform == "darwin":
        return _output("sysctl", "-n", "machdep.cpu.brand_string").strip() or platform.machine()
    return platform.processor() or platform.machine()


def cores() -> int:
    """How many logical processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def translated() -> bool:
    """Whether this Python is an x86 program translated on an Apple silicon Mac, where PyTorch has no GPU."""
    return sys.platform == "darwin" and _output("sysctl", "-n", "sysctl.proc_translated").strip() == "1"


def memory() -> tuple[int, int]:
    """Total and available main memory in bytes."""
    import psutil

    state = psutil.virtual_memory()
    return int(state.total), int(state.available)
