"""What i3d's features cost beside the straightforward loop over the same network, and whether distances stay equal.

    python benchmarks/features.py DATA [--clips 64] [--pairs 8] [--precision fp32] [--device cpu]

The straightforward side is the network as one would write it down: clip by clip, in float32 and PyTorch's default
layout, convolution, batch normalisation and ReLU one after another, pooling behind explicit padding. The other is
`gadkit.load_features("i3d")`, four clips a call. Both have the same tensors, those that `gadkit weights install i3d`
installed. They run alternately on clips of 16 frames at 64×64, one of each video of DATA, on one thread, in process CPU
time (on other devices, until the device is done), so that a busy machine blurs little.

Printed are the ratio of the times of a clip with its spread, the largest difference of logits, and Fréchet distances
of both sides: of two halves of the clips, and of all of them against themselves blurred and with noise.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from damages import damaged
from ladder import one_a_video
from torch import Tensor
from torch.nn import functional as F

import gadkit
from gadkit_plugins.metrics import FrechetVideoDistance

FRAMES, SIZE, BATCH = 16, 64, 4


class Straightforward:
    """I3D from its tensors, operation by operation."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        self._state = {name: value.contiguous() for name, value in state.items()}
        self._blocks = dict.fromkeys(name.split(".")[1] for name in state if name.startswith("mixed."))

    @torch.no_grad()
    def __call__(self, video: Tensor) -> Tensor:
        """Logits `(1, 400)` of one clip, uint8 `(1, T, 3, H, W)`."""
        frames = F.interpolate(video[0].float(), size=(224, 224), mode="bilinear", align_corners=False)
        x = (2 * frames / 255 - 1).transpose(0, 1)[None].contiguous()
        x = self._pool(self._unit("conv_1a", x, stride=2), (1, 3, 3), (1, 2, 2))
        x = self._pool(self._unit("conv_2c", self._unit("conv_2b", x)), (1, 3, 3), (1, 2, 2))
        for block in self._blocks:
            if block in ("4b", "5b"):
                x = self._pool(x, (3, 3, 3) if block == "4b" else (2, 2, 2), (2, 2, 2))
            x = self._mixed(f"mixed.{block}.", x)
        x = F.avg_pool3d(x, (2, 7, 7), stride=1)
        weight, bias = self._state["head.weight"], self._state["head.bias"]
        return F.conv3d(x, weight[..., None, None, None], bias)[..., 0, 0].mean(dim=2)

    def _mixed(self, name: str, x: Tensor) -> Tensor:
        second = self._unit(f"{name}branch_1b", self._unit(f"{name}branch_1a", x))
        third = self._unit(f"{name}branch_2b", self._unit(f"{name}branch_2a", x))
        fourth = self._unit(f"{name}branch_3", self._pool(x, (3, 3, 3), (1, 1, 1)))
        return torch.cat([self._unit(f"{name}branch_0", x), second, third, fourth], dim=1)

    def _unit(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        kernel, bias, mean, variance = (
            self._state[f"{name}.{part}"] for part in ("weight", "bias", "mean", "variance")
        )
        x = F.conv3d(self._padded(x, tuple(kernel.shape[2:]), (stride,) * 3, 0.0), kernel, stride=stride)
        return F.relu(F.batch_norm(x, mean, variance, bias=bias, eps=1e-3))

    def _pool(self, x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
        return F.max_pool3d(self._padded(x, kernel, stride, -math.inf), kernel, stride)

    @staticmethod
    def _padded(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...], value: float) -> Tensor:
        sides: list[int] = []
        for length, k, s in zip(x.shape[:1:-1], kernel[::-1], stride[::-1], strict=True):
            total = max((-(-length // s) - 1) * s + k - length, 0)
            sides += [total // 2, total - total // 2]
        return F.pad(x, sides, value=value) if any(sides) else x


def timed(call: Callable[[], Tensor], device: torch.device) -> float:
    """Seconds of a call: of this process on the CPU, else until the device is done."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    start = clock()
    call().sum().item()
    return clock() - start


def distance(real: Tensor, generated: Tensor) -> float:
    """Fréchet distance of logits `(N, 400)`."""
    metric = FrechetVideoDistance()
    metric.update(real, real=True)
    metric.update(generated, real=False)
    return float(metric.compute()["fvd"])


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path, help="a folder of videos")
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    net = gadkit.load_features("i3d", device=options.device, precision=options.precision)
    state = net.state_dict()
    device = state["head.bias"].device
    plain = Straightforward(state)
    clips = one_a_video(options.data, SIZE, FRAMES, seed=0)[0][: options.clips]
    print(f"{len(clips)} clips of {FRAMES} frames at {SIZE}×{SIZE}, {options.precision}, {device}")

    batch = clips[:BATCH].to(device)
    sides = {"plain": lambda: plain(batch[:1]), "gadkit": lambda: net(batch)}
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(options.pairs + 1):
        for name in sides if turn % 2 else reversed(sides):
            seconds = timed(sides[name], device)
            if turn:  # the first warms up
                times[name].append(seconds / (1 if name == "plain" else len(batch)))
    ratios = [slow / fast for slow, fast in zip(times["plain"], times["gadkit"], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"  {1000 * statistics.median(times['plain']):.0f} ms a clip straightforward, ", end="")
    print(f"{1000 * statistics.median(times['gadkit']):.0f} ms by gadkit")
    print(f"  {middle:.2f} times as fast (quartiles {low:.2f} to {high:.2f}, {options.pairs} pairs)")

    kinds = {name: damaged(name, clips, torch.arange(len(clips)), seed=0) for name in ("blur ½", "noise σ8")}
    kinds["real"] = clips
    logits: dict[str, tuple[Tensor, Tensor]] = {}
    for kind, video in kinds.items():
        slow = torch.cat([plain(clip[None].to(device)) for clip in video])
        logits[kind] = slow, torch.cat([net(part.to(device)) for part in video.split(BATCH)])
    worst = max((slow - fast).abs().max().item() for slow, fast in logits.values())
    print(f"  logits differ by at most {worst:.1e}, of {logits['real'][0].abs().max():.1f}")
    half = len(clips) // 2
    pairs = {"two halves": [(rows[:half], rows[half:]) for rows in logits["real"]]}
    for kind in ("blur ½", "noise σ8"):
        pairs[kind] = list(zip(logits["real"], logits[kind], strict=True))
    for name, ((first, second), (third, fourth)) in pairs.items():
        slow_one, fast_one = distance(first, second), distance(third, fourth)
        print(f"  {name:10}  {slow_one:9.3f}  {fast_one:9.3f}  differ by {abs(fast_one / slow_one - 1):.1e} of it")


if __name__ == "__main__":
    main()
