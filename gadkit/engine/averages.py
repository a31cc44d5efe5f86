"""Averages that stay on the device: of weights over time, of logged values between two reads."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from gadkit.engine.devices import Engine


class Average:
    """An exponential moving average of modules' parameters, with its half-life in samples.

    The half-life grows with the run, at most `ramp` times the samples seen, so that early videos do not show
    the initial weights (Karras et al. 2020, appendix B). Buffers are copied, not averaged.

    Args:
        modules: Module by name.
        half_life: Samples after which a weight counts half; 0 keeps the modules' own weights.
        ramp: The half-life's share of the samples seen.
    """

    def __init__(self, modules: dict[str, nn.Module], half_life: float, ramp: float = 0.05) -> None:
        self.modules = {name: copy.deepcopy(module).requires_grad_(False).eval() for name, module in modules.items()}
        self.half_life = half_life
        self.ramp = ramp
        pairs = [(self.modules[name], module) for name, module in modules.items()]
        self._averaged: list[Tensor] = [p for average, _ in pairs for p in average.parameters()]
        self._live = [p for _, live in pairs for p in live.parameters()]
        self._copied = [b for average, _ in pairs for b in average.buffers()]
        self._buffers = [b for _, live in pairs for b in live.buffers()]

    @torch.no_grad()
    def update(self, samples: int, batch: int) -> None:
        """Moves the average after a step of `batch` samples; `samples` were seen in all."""
        half_life = min(self.half_life, self.ramp * samples)
        weight = 1.0 if half_life <= 0 else 1.0 - 0.5 ** (batch / half_life)
        torch._foreach_lerp_(self._averaged, [p.detach() for p in self._live], weight)
        if self._copied:
            torch._foreach_copy_(self._copied, self._buffers)


class Meter:
    """Sums of values on the device, read all at once when they are logged."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, name: str, value: Tensor) -> None:
        """Adds a scalar; nothing is read on the host.

        Args:
            name: Under which it is logged.
            value: The scalar, on the device.
        """
        value = value.detach()
        if value.dtype in (torch.bfloat16, torch.float16):
            value = value.float()
        if name in self._sums:
            self._sums[name] += value
            self._counts[name] += 1
        else:
            self._sums[name] = value.clone()
            self._counts[name] = 1

    def read(self, engine: Engine) -> dict[str, float]:
        """The means since the last read, over all processes; one transfer from the device.

        Args:
            engine: The processes. All call it together.
        """
        if not self._sums:
            return {}
        means = torch.stack([(self._sums[name] / self._counts[name]).to(engine.dtype) for name in self._sums])
        engine.average_([means])
        values = dict(zip(self._sums, means.tolist(), strict=True))
        self._sums.clear()
        self._counts.clear()
        return values

    def state_dict(self, engine: Engine) -> dict[str, Any]:
        """What was added since the last read, of every process. All must call it together.

        Args:
            engine: The processes.
        """
        if not self._sums:
            return {"names": []}
        sums = engine.gather(torch.stack([value.to(engine.dtype) for value in self._sums.values()]))
        return {"names": list(self._sums), "counts": list(self._counts.values()), "sums": sums}

    def load_state_dict(self, state: dict[str, Any], engine: Engine) -> None:
        """Takes back what `state_dict` gave; where the number of processes is another, each takes the mean.

        Args:
            state: As `state_dict` gave it.
            engine: The processes.
        """
        self._sums, self._counts = {}, {}
        if not state["names"]:
            return
        sums = state["sums"].to(engine.device)
        own = sums[engine.rank] if len(sums) == engine.world else sums.mean(0)
        self._sums = dict(zip(state["names"], own.clone().unbind(), strict=True))
        self._counts = dict(zip(state["names"], state["counts"], strict=True))
