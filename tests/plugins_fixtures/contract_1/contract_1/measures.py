"""A feature network and a metric of contract 1."""

import torch

from gadkit import DataError, Features, VideoMetric


class Means(Features):
    """The mean of each colour in each quarter."""

    preparation = {"grid": 2}

    def __init__(self) -> None:
        super().__init__()
        self.dim = 12

    def forward(self, video):
        return torch.nn.functional.adaptive_avg_pool2d(video.float().mean(1), 2).flatten(1) / 255


class Gap(VideoMetric):
    """The squared distance of the means."""

    best = {"gap": "lowest"}

    def __init__(self, features=None, **kwargs) -> None:
        super().__init__(features, **kwargs)
        for side in ("real", "generated"):
            self.add_state(side, torch.zeros(1, dtype=torch.float64), dist_reduce_fx="sum")
            self.add_state(f"{side}_clips", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, x, real, training=False):
        rows = self.rows(x) if x.ndim == 5 else x
        side = "real" if real else "generated"
        setattr(self, side, getattr(self, side) + rows.double().sum(0))
        setattr(self, f"{side}_clips", getattr(self, f"{side}_clips") + len(rows))

    def compute(self):
        if not (self.real_clips and self.generated_clips):
            raise DataError("gap needs real and generated clips.")
        return {"gap": (self.real / self.real_clips - self.generated / self.generated_clips).square().sum()}
