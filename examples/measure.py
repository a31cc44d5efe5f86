"""Measuring in a loop of your own: how far are damaged clips from real ones?

    python examples/measure.py

The metrics are `torchmetrics.Metric`, so they fit any loop, with any source of clips. Here the clips move and bounce on
their own, and the network is the small random one that comes with gadkit: for numbers to compare with published ones,
install the literature's with `gadkit weights install i3d` and take `gadkit.load_features("i3d")`.
"""

from __future__ import annotations

import torch
from torch import Tensor

import gadkit
from gadkit_plugins.metrics import FrechetVideoDistance, MotionStatistics

CLIPS, BATCH = 160, 20


def squares(first: int) -> Tensor:
    """A batch of clips of bright squares that cross a dark field, uint8 `(B, T, 3, H, W)`; a function of the number."""
    video = torch.full((BATCH, 16, 3, 48, 48), 30, dtype=torch.uint8)
    for number, clip in enumerate(video, start=first):
        top, left, speed, colour = torch.randint(0, 36, (4,), generator=torch.Generator().manual_seed(number)).tolist()
        for time, frame in enumerate(clip):
            y, x = (top + 2 * time) % 36, (left + (1 + speed % 3) * time) % 36
            frame[colour % 3, y : y + 12, x : x + 12] = 230
    return video


def main() -> None:
    network = gadkit.load_features("random-r3d")
    damages = {
        "other clips": lambda video: video,
        "blurred": lambda video: torch.nn.functional.avg_pool3d(video.float(), (1, 5, 5), 1, (0, 2, 2)).byte(),
        "frozen": lambda video: video[:, :1].expand_as(video),
        "shuffled": lambda video: video[:, torch.randperm(16, generator=torch.Generator().manual_seed(0))],
    }
    for name, damage in damages.items():
        fvd, motion = FrechetVideoDistance(network), MotionStatistics()
        for first in range(0, CLIPS, BATCH):
            real, other = squares(first), damage(squares(CLIPS + first))
            for metric in (fvd, motion):
                metric.update(real, real=True)
                metric.update(other, real=False)
        found = motion.compute()
        shares = ", ".join(f"{kind} {float(found[kind]):.0%}" for kind in ("frozen", "shuffled"))
        print(f"{name:12} fvd[random-r3d] {float(fvd.compute()['fvd']):7.2f}   {shares}")


if __name__ == "__main__":
    main()
