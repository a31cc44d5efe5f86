"""Memorisation."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from gadkit import DataError, VideoMetric

from .reservoir import LIMIT, Reservoir

#: Rows of a block of the matrix of distances: bounds the memory.
_BLOCK = 512
#: Training clips whose own nearest neighbours set the scale of copies.
_SCALE_FROM = 2_000
#: Clips nearer than this part of that scale are copies.
_COPY = 0.1
#: Squared distances below this part of the squared lengths are rounding.
_EQUAL = 1e-12


class Memorisation(VideoMetric):
    """Whether generated clips lie nearer to the training clips than unseen real clips do.

    Of every generated and every held-out real clip, the Euclidean distance of its vector to that of the nearest
    training clip. Held-out clips are as near as clips of the same kind come without having been seen; a generator that
    learned and did not copy gives clips as far away. Values:

    - `nearer`: the probability that a generated clip lies nearer to the training clips than a held-out one, equal ones
      counted half: the area under the ROC curve. .5: as near as unseen clips; 1: all are copies; well below .5: the
      clips lie away from the data, which is a fault too, though no memorisation.
    - `z_u`: the same as the deviation of Mann and Whitney's U from its mean in standard deviations, with the correction
      for ties: Z_U of Meehan et al. 2020, arXiv:2004.05675, section 3.1, with its sign. Below −3, copying is certain by
      the usual standards; above 3, the clips lie too far away. It grows with the number of clips, `nearer` does not.
    - `nearest_ratio`: the median distance of the generated clips over that of the held-out ones; 1 where the latter
      is 0.
    - `memorised`: the share of the generated clips that are nearer than the k-th nearest of the n held-out ones,
      k = max(1, ⌊quantile (n + 1)⌋), beside `memorised_by_chance`, k / (n + 1): what it is on average, whatever the
      distribution, where generated clips are like unseen ones. It finds a few copies among many fresh clips.
    - `copies`: the share of the generated clips within a tenth of the distance that the training clips have, in the
      median, to their own nearest neighbours, exact duplicates among these aside; and `copies_real`, that of the
      held-out clips, which tells whether the split leaks.

    What "near" means is the network's to decide: one that does not see a difference calls clips equal, and copies that
    were shifted or recoloured are found as far as its vectors do not mind. Held-out clips have to be drawn as the
    training clips were: where they come from other videos and the training clips share theirs, say, they lie further
    away for that reason. More than `limit` clips of a side, or `training_limit` training clips, are represented by a
    uniform sample of as many, chosen by a hash of their content: copies of the clips left out are not seen, so
    `training_limit` should hold the training set.
    """

    needs_training = True
    fewest = 10
    best = {
        "nearer": "lowest",
        "z_u": "highest",
        "nearest_ratio": "highest",
        "memorised": "lowest",
        "memorised_by_chance": None,
        "copies": "lowest",
        "copies_real": None,
    }

    def __init__(
        self,
        features: nn.Module | None = None,
        *,
        quantile: Annotated[float, Field(gt=0, lt=1)] = 0.05,
        limit: Annotated[int, Field(ge=10)] = LIMIT,
        training_limit: Annotated[int, Field(ge=10)] = 5 * LIMIT,
        **kwargs: Any,
    ) -> None:
        """An empty metric.

        Args:
            features: As for `gadkit.VideoMetric`.
            quantile: Which quantile of the held-out distances `memorised` asks for.
            limit: Generated, and held-out, clips that are kept at most.
            training_limit: Training clips that are kept at most.
            **kwargs: As for `torchmetrics.Metric`.
        """
        super().__init__(features, **kwargs)
        self.quantile = quantile
        self.add_summary("real", Reservoir.empty(limit))
        self.add_summary("generated", Reservoir.empty(limit))
        self.add_summary("training", Reservoir.empty(training_limit))

    def compute(self) -> dict[str, Tensor]:
        """The values, float64 scalars.

        Raises:
            DataError: There are fewer than 10 generated, held-out or training clips.
        """
        real, generated, training = (self.summary(side, Reservoir) for side in ("real", "generated", "training"))
        if not int(training.count):
            raise DataError(
                "Memorisation: found no training clips, expected those that the generator was trained on: "
                "give them with real=True and training=True."
            )
        if not int(real.count):
            raise DataError(
                "Memorisation: found no held-out clips, expected real ones that the generator was not trained on: "
                "keep some back from training, and give them with real=True."
            )
        self.enough()
        near, unseen = (nearest(side.rows, training.rows) for side in (generated, real))
        further, z_u = mann_whitney(near, unseen)
        typical, usual = near.quantile(0.5), unseen.quantile(0.5)
        rank = max(1, int(self.quantile * (len(unseen) + 1) + 1e-9))  # spares .05 · 20 from rounding down
        same = _COPY * neighbour_scale(training.rows)
        return {
            "nearer": 1 - further,
            "z_u": z_u,
            "nearest_ratio": typical / usual if usual > 0 else torch.ones_like(usual),
            "memorised": (near < unseen.kthvalue(rank).values).double().mean(),
            "memorised_by_chance": unseen.new_tensor(rank / (len(unseen) + 1)),
            "copies": (near <= same).double().mean(),
            "copies_real": (unseen <= same).double().mean(),
        }


def nearest(x: Tensor, y: Tensor, *, apart: bool = False) -> Tensor:
    """The Euclidean distance of every row to the nearest of others.

    The nearest is found by ‖x‖² + ‖y‖² − 2 x·y about the mean, and its distance then taken from the difference itself,
    so that equal rows have distance 0.

    Args:
        x: float64 `(M, D)`.
        y: float64 `(N, D)`.
        apart: Whether rows of y that equal the one of x, to rounding, do not count: what is found then in a set that
            holds x itself are its neighbours.

    Returns:
        float64 `(M,)`; infinite where no row counts.

    Raises:
        ValueError: The two are of different D.
    """
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"found vectors of {x.shape[1]} and of {y.shape[1]} numbers: expected as many")
    centre = y.mean(0)
    others = y - centre
    squares = others.square().sum(1)
    found = []
    for rows in x.split(_BLOCK):
        centred = rows - centre
        size = centred.square().sum(1, keepdim=True)
        squared = torch.addmm(squares, centred, others.T, alpha=-2).add_(size)
        if apart:
            squared.masked_fill_(squared <= _EQUAL * (squares + size), torch.inf)
        least, which = squared.min(1)
        distance = torch.linalg.vector_norm(rows - y[which], dim=1)
        found.append(distance.masked_fill(least.isinf(), torch.inf))
    return torch.cat(found)


def neighbour_scale(rows: Tensor) -> Tensor:
    """The median distance of rows to their nearest neighbours, duplicates aside; 0 where all are equal.

    Args:
        rows: float64 `(N, D)`; the median is that of the first 2,000.
    """
    found = nearest(rows[:_SCALE_FROM], rows, apart=True)
    found = found[found.isfinite()]
    return found.quantile(0.5) if len(found) else rows.new_zeros(())


def mann_whitney(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """How often numbers of one sample exceed those of another, and how surprising that is.

    Args:
        x: float64 `(M,)`.
        y: float64 `(N,)`.

    Returns:
        P(x > y) + ½ P(x = y) over all pairs; and Z_U, U's deviation from its mean in standard deviations, with the
        correction of its variance for ties, 0 where all numbers are equal. Float64 scalars.
    """
    m, n = len(x), len(y)
    ordered = y.sort().values
    u = (torch.searchsorted(ordered, x) + torch.searchsorted(ordered, x, right=True)).sum() / 2
    u = u.double()
    ties = torch.cat([x, y]).unique(return_counts=True)[1].double()
    variance = m * n / 12 * ((m + n + 1) - (ties**3 - ties).sum() / ((m + n) * (m + n - 1)))
    z = (u - m * n / 2) / variance.sqrt() if variance > 0 else torch.zeros_like(u)
    return u / (m * n), z
