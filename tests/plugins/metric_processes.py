"""The metrics of distances, and rows for them; run by two processes, each of which feeds its part, by a test."""

import json
import sys
from functools import partial
from pathlib import Path

import torch

from gadkit_plugins.metrics import (
    FrameFrechetDistance,
    FrameKernelDistance,
    FrechetVideoDistance,
    InceptionScore,
    KernelVideoDistance,
    PrecisionRecallDensityCoverage,
)

#: Those with a limit below the number of rows keep a sample of them.
METRICS = {
    "fvd": partial(FrechetVideoDistance, divisor="n-1"),
    "kvd": KernelVideoDistance,
    "kvd-sample": partial(KernelVideoDistance, limit=30),
    "fid": FrameFrechetDistance,
    "kid": partial(FrameKernelDistance, subsets=3, subset_size=20, limit=40),
    "is": partial(InceptionScore, splits=4, limit=40),
    "prdc": partial(PrecisionRecallDensityCoverage, nearest_k=3),
}
#: Those that keep rows, and so give equal bits.
EXACT = set(METRICS) - {"fvd", "fid"}


def sides(rows=70, dim=12):
    """Real and generated rows, float64, with duplicates, far from the origin and of a singular covariance."""
    generator = torch.Generator().manual_seed(5)
    mix = torch.randn(2, dim // 2, dim, generator=generator, dtype=torch.float64)
    found = [torch.randn(rows, dim // 2, generator=generator, dtype=torch.float64) @ each + 50 for each in mix]
    found[0][3] = found[0][40] = found[0][0]
    return {"real": found[0], "generated": found[1]}


def feed(metric, parts, batch=1000):
    """Gives the metric rows by side."""
    for side, rows in parts.items():
        for some in rows.split(batch) if len(rows) else ():
            metric.update(some, real=side == "real")
    return metric


def values(metric):
    return {name: value.item() for name, value in metric.compute().items()}


#: The rows of the first of two processes; the other has the others.
SPLITS = {"uneven": slice(0, 9), "none": slice(0, 0)}

if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    for split, first in SPLITS.items():
        results = {}
        for name, make in METRICS.items():
            mine = {side: rows[first] if rank == 0 else rows[first.stop :] for side, rows in sides().items()}
            metric = feed(make(), {side: rows[:-5] for side, rows in mine.items()}, batch=8)
            part = values(metric)
            results[name] = [part, values(feed(metric, {side: rows[-5:] for side, rows in mine.items()}))]
        Path(sys.argv[1], f"{split}.{rank}.json").write_text(json.dumps(results))
    torch.distributed.destroy_process_group()
