"""`gadkit doctor` finds a GPU that PyTorch cannot use, and a device that computes wrong; faults are planted."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from gadkit.doctor import Check, devices, hardware, steps
from gadkit.doctor.hardware import Driver, Gpu

CPU_BUILD = {"version": "2.13.0+cpu", "cuda": None, "hip": None, "available": False, "architectures": []}
CUDA_BUILD = {"version": "2.13.0", "cuda": "13.0", "hip": None, "available": False, "architectures": ["sm_90"]}

# A GPU that PyTorch cannot use.


def beside(monkeypatch: pytest.MonkeyPatch, build: dict[str, Any], driver: Driver, *gpus: Gpu) -> list[Check]:
    monkeypatch.setattr(devices, "torch_build", lambda: build)
    monkeypatch.setattr(hardware, "graphics", lambda: list(gpus))
    monkeypatch.setattr(hardware, "nvidia_driver", lambda: driver)
    return list(devices.unused())


RTX = Gpu(vendor="NVIDIA", name="NVIDIA GeForce RTX 4090")


@pytest.mark.parametrize(
    ("cuda", "build"), [((13, 1), "cu130"), ((12, 4), "cu126"), ((14, 0), "cu130"), (None, "cu130")]
)
def test_gpu_beside_a_cpu_build_gets_the_build_for_its_driver(
    monkeypatch: pytest.MonkeyPatch, cuda: tuple[int, int] | None, build: str
) -> None:
    (check,) = beside(monkeypatch, CPU_BUILD, Driver(version="580.65", cuda=cuda), RTX)
    assert check.status == "warn"
    assert "RTX 4090" in check.text
    assert "built without CUDA" in check.text
    assert check.remedy.startswith("python -m pip install")
    assert check.remedy.endswith(f"https://download.pytorch.org/whl/{build}")


def test_gpu_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    (check,) = beside(monkeypatch, CUDA_BUILD, Driver(), RTX)
    assert "driver is not loaded" in check.text
    assert "drivers" in check.remedy


def test_driver_too_old_for_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (check,) = beside(monkeypatch, CUDA_BUILD, Driver(version="550.54", cuda=(12, 4)), RTX)
    assert "built for CUDA 13.0" in check.text
    assert check.remedy.endswith("/cu126")


def test_driver_too_old_for_every_build(monkeypatch: pytest.MonkeyPatch) -> None:
    (check,) = beside(monkeypatch, CPU_BUILD, Driver(version="470.82", cuda=(11, 4)), RTX)
    assert "CUDA 11.4 at most" in check.text
    assert check.remedy.startswith("update NVIDIA's driver")


@pytest.mark.parametrize("value", ["", "-1"])
def test_gpu_hidden_by_a_variable(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    (check,) = beside(monkeypatch, CUDA_BUILD, Driver(version="580.65", cuda=(13, 0)), RTX)
    assert "CUDA_VISIBLE_DEVICES" in check.text
    assert check.remedy == "unset CUDA_VISIBLE_DEVICES"


def test_amd_gpu_beside_a_build_without_rocm(monkeypatch: pytest.MonkeyPatch) -> None:
    (check,) = beside(monkeypatch, CPU_BUILD, Driver(), Gpu(vendor="AMD", name="Radeon"))
    assert "without ROCm" in check.text
    assert "whl/rocm" in check.remedy


def test_gpu_in_use_is_not_complained_of(monkeypatch: pytest.MonkeyPatch) -> None:
    assert beside(monkeypatch, {**CUDA_BUILD, "available": True}, Driver(version="580.65"), RTX) == []
    assert beside(monkeypatch, CPU_BUILD, Driver()) == []


def test_graphics_of_the_processor_are_not_complained_of_beside_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    radeon = Gpu(vendor="AMD", name="Radeon Graphics")
    assert beside(monkeypatch, {**CUDA_BUILD, "available": True}, Driver(version="580.65"), RTX, radeon) == []
    (check,) = beside(monkeypatch, CPU_BUILD, Driver(version="580.65", cuda=(13, 0)), RTX, radeon)
    assert check.name == "NVIDIA GPU"


# Where the operating system shows a GPU.


def pci(root: Path, address: str, vendor: str, kind: str) -> None:
    folder = root / "sys/bus/pci/devices" / address
    folder.mkdir(parents=True)
    (folder / "vendor").write_text(f"{vendor}\n")
    (folder / "class").write_text(f"{kind}\n")


def test_pci_bus_shows_cards_without_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hardware, "_output", lambda *command: "")
    pci(tmp_path, "0000:01:00.0", "0x10de", "0x030000")
    pci(tmp_path, "0000:01:00.1", "0x10de", "0x040300")  # the card's sound
    pci(tmp_path, "0000:02:00.0", "0x1002", "0x038000")
    pci(tmp_path, "0000:00:02.0", "0x8086", "0x030000")
    assert [(gpu.vendor, gpu.name) for gpu in hardware.graphics(tmp_path)] == [
        ("NVIDIA", "PCI device 0000:01:00.0"),
        ("AMD", "PCI device 0000:02:00.0"),
    ]


def test_driver_files_name_the_card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hardware, "_output", lambda *command: "")
    card = tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0"
    card.mkdir(parents=True)
    (card / "information").write_text("Model: \t\t NVIDIA H100 PCIe\nIRQ: 24\n")
    (tmp_path / "proc/driver/nvidia/version").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15  Thu Jan 23\n"
    )
    pci(tmp_path, "0000:01:00.0", "0x10de", "0x030200")
    assert hardware.graphics(tmp_path) == [Gpu(vendor="NVIDIA", name="NVIDIA H100 PCIe")]
    assert hardware.nvidia_driver(tmp_path) == Driver(version="570.86.15")


def test_device_file_is_the_last_witness(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hardware, "_output", lambda *command: "")
    assert hardware.graphics(tmp_path) == []
    assert hardware.nvidia_driver(tmp_path) == Driver()
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidia0").touch()
    assert hardware.graphics(tmp_path) == [Gpu(vendor="NVIDIA", name="/dev/nvidia0")]


def test_nvidia_smi_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers = {
        ("nvidia-smi", "-L"): "GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-6d)\nGPU 1: NVIDIA L4 (UUID: GPU-7e)\n",
        ("nvidia-smi",): "| NVIDIA-SMI 550.54.15    Driver Version: 550.54.15    CUDA Version: 12.4   |",
    }
    monkeypatch.setattr(hardware, "_output", lambda *command: answers[command])
    pci(tmp_path, "0000:01:00.0", "0x10de", "0x030200")
    assert [gpu.name for gpu in hardware.graphics(tmp_path)] == ["NVIDIA A100-SXM4-80GB", "NVIDIA L4"]
    assert hardware.nvidia_driver(tmp_path) == Driver(version="550.54.15", cuda=(12, 4))


@pytest.mark.parametrize(
    ("capability", "architectures", "runs"),
    [
        ((9, 0), ["sm_80", "sm_90"], True),
        ((8, 6), ["sm_80"], True),  # a later minor version of the same major one
        ((8, 0), ["sm_86"], False),
        ((6, 1), ["sm_75", "sm_80"], False),
        ((12, 0), ["sm_90", "compute_90"], True),  # portable code
        ((12, 0), ["sm_90a"], False),
        ((10, 3), ["sm_100"], True),
    ],
)
def test_which_build_runs_on_which_card(capability: tuple[int, int], architectures: list[str], runs: bool) -> None:
    assert devices.supported(*capability, architectures) is runs


def test_cuda_device_without_code_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (2**30, 2**33))
    card = SimpleNamespace(name="Tesla P100", major=6, minor=0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: card)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(devices, "torch_build", lambda: {**CUDA_BUILD, "available": True})
    monkeypatch.setattr(hardware, "nvidia_driver", lambda: Driver(version="580.65", cuda=(13, 0)))
    (check,) = devices.cuda_devices()
    assert check.status == "warn"
    assert "Tesla P100, 8.0 GiB memory, 1.0 GiB free, capability 6.0, driver 580.65" in check.text
    assert check.remedy.endswith("/cu126")


def test_little_memory_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "memory", lambda: (8 * 2**30, 2**29))
    assert devices.cpu().status == "warn"
    monkeypatch.setattr(hardware, "memory", lambda: (8 * 2**30, 4 * 2**30))
    assert devices.cpu().status == "ok"


@pytest.mark.parametrize(("known", "told"), [({"amx_bf16": True}, "bf16 in"), ({"avx2": True}, "no bf16")])
def test_cpu_says_whether_it_multiplies_bf16(
    monkeypatch: pytest.MonkeyPatch, known: dict[str, bool], told: str
) -> None:
    monkeypatch.setattr(devices, "capabilities", lambda: known)
    assert f"; {told}" in devices.cpu().text


def test_translated_python_on_apple_silicon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(hardware, "translated", lambda: True)
    (check,) = devices.mps()
    assert check.status == "warn"
    assert "arm64" in check.remedy


# The double-backward step.


def test_gradient_is_the_penalised_loss_by_finite_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    """Along a random direction of the weights, the loss rises as the gradient says: the second backward is right."""
    losses: list[float] = []
    from torch import autograd

    grad = autograd.grad
    shift = 0.0
    direction: list[torch.Tensor] = []

    def watched(outputs: Any, inputs: Any, **settings: Any) -> Any:
        if not isinstance(inputs, list):
            return grad(outputs, inputs, **settings)
        losses.append(outputs.item())
        return grad(outputs, inputs, **settings)

    linear = torch.nn.functional.linear

    def shifted(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        if not direction:
            generator = torch.Generator().manual_seed(1)
            direction.append(torch.randn(weight.shape, generator=generator, dtype=weight.dtype))
        return linear(x, weight + shift * direction[0], bias)

    monkeypatch.setattr(autograd, "grad", watched)
    monkeypatch.setattr(torch.nn.functional, "linear", shifted)
    flat, _ = steps.gradient("cpu", "fp64")
    size = direction[0].numel()
    slope = float(flat[-size - 1 : -1] @ direction[0].flatten())
    h = 1e-4
    shift = h
    steps.gradient("cpu", "fp64")
    shift = -h
    steps.gradient("cpu", "fp64")
    numeric = (losses[2] - losses[4]) / (2 * h)
    assert math.isclose(slope, numeric, rel_tol=1e-6)


def test_step_that_raises_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(device: str, precision: str) -> tuple[torch.Tensor, float]:
        if precision != "fp64":
            raise NotImplementedError("derivative for aten::slow_conv is not implemented\nmore")
        return torch.ones(3, dtype=torch.float64), 1.0

    monkeypatch.setattr(steps, "gradient", broken)
    check = steps.step("cpu", "fp32")
    assert check.status == "fail"
    assert "derivative for aten::slow_conv is not implemented" in check.text
    assert "more" not in check.text
    assert steps.step("cpu", "bf16").status == "warn"


@pytest.mark.parametrize(("factor", "status"), [(1.0, "ok"), (1.005, "ok"), (1.05, "fail"), (math.nan, "fail")])
def test_step_with_a_wrong_gradient_is_told(monkeypatch: pytest.MonkeyPatch, factor: float, status: str) -> None:
    def scaled(device: str, precision: str) -> tuple[torch.Tensor, float]:
        return torch.ones(3, dtype=torch.float64) * (1.0 if precision == "fp64" else factor), 1.0

    monkeypatch.setattr(steps, "gradient", scaled)
    assert steps.step("cpu", "fp32").status == status
