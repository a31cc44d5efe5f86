"""Euclidean distances between many rows: exact to the last decision, in blocks."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

#: Rows of a block of the distance matrix, and pairs that are subtracted at a time: bound the memory.
_BLOCK = 512
_PAIRS = 16384
#: Candidates beyond k, for rows that are all but equally near.
_SPARE = 8
#: Squared distances by products are surer than this share of the squared norms.
_NOISE = 1e-11


class Held(NamedTuple):
    """Which points lie in which balls, counted both ways.

    Attributes:
        each: Balls that hold a point, int64 `(N,)`.
        held: Points that a ball holds, int64 `(M,)`.
    """

    each: Tensor
    held: Tensor


def nearest(rows: Tensor, k: int) -> Tensor:
    """The squared distance of each row to its k-th nearest other row.

    Args:
        rows: float64 `(N, D)`, N greater than k. Equal rows are neighbours at distance 0.
        k: At least 1.

    Returns:
        float64 `(N,)`.

    Raises:
        ValueError: N is k or less.
    """
    if len(rows) <= k:
        raise ValueError(f"found {len(rows)} rows, expected more than {k}: a row's neighbours are others")
    centred = rows - rows.mean(0)
    found = []
    for start in range(0, len(rows), _BLOCK):
        block = _by_products(centred[start : start + _BLOCK], centred)
        own = torch.arange(len(block), device=rows.device)
        block[own, start + own] = torch.inf
        candidates = block.topk(min(k + _SPARE, len(rows) - 1), largest=False).indices
        own = (start + own)[:, None].expand_as(candidates)
        found.append(_squared(rows, own.flatten(), rows, candidates.flatten()).view_as(candidates).kthvalue(k).values)
    return torch.cat(found)


def within(points: Tensor, centres: Tensor, radii: Tensor) -> Held:
    """Which points lie in which closed balls.

    Distances by matrix products decide where they are sure; the others, such as a ball's border and copies of its
    centre, by subtraction, in which `nearest` works out radii too: equal distances are equal here.

    Args:
        points: float64 `(N, D)`.
        centres: float64 `(M, D)`.
        radii: The balls' squared radii, float64 `(M,)`.

    Raises:
        ValueError: The two are of different D.
    """
    if points.shape[1] != centres.shape[1]:
        raise ValueError(f"found vectors of {points.shape[1]} and {centres.shape[1]} numbers: expected as many")
    origin = centres.mean(0)
    others = centres - origin
    noise = _NOISE * others.square().sum(1)
    each, held = [], torch.zeros(len(centres), dtype=torch.int64, device=points.device)
    for start in range(0, len(points), _BLOCK):
        block = points[start : start + _BLOCK] - origin
        beyond = _by_products(block, others) - radii
        inside = beyond <= 0
        unsure = beyond.abs() <= noise + _NOISE * block.square().sum(1, keepdim=True)
        rows, columns = unsure.nonzero(as_tuple=True)
        inside[rows, columns] = _squared(points, rows + start, centres, columns) <= radii[columns]
        each.append(inside.sum(1))
        held += inside.sum(0)
    return Held(torch.cat(each), held)


def _by_products(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances `(N, M)`, to rounding of the squared norms."""
    return torch.addmm(x.square().sum(1, keepdim=True) + y.square().sum(1), x, y.T, alpha=-2)


def _squared(x: Tensor, rows: Tensor, y: Tensor, columns: Tensor) -> Tensor:
    """Squared distances of pairs `(P,)`, to rounding of themselves."""
    pairs = zip(rows.split(_PAIRS), columns.split(_PAIRS), strict=True)
    return torch.cat([(x[row] - y[column]).square().sum(1) for row, column in pairs])
