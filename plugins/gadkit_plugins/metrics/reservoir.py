"""A bounded sample of rows that does not depend on their order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import Tensor

#: Rows of a side that metrics keep by default.
LIMIT = 10_000
#: Rows that are collected before they are sorted in, so that small batches do not copy all the others.
_FRESH = 1024


@dataclass(frozen=True)
class Reservoir:
    """The rows with the smallest keys, at most `limit` of them.

    Until they are sorted in, it holds up to as many others, and no more than about a thousand.

    A key is a hash of a clip's content, so these rows are a uniform sample of the distinct clips, and neither the
    order of clips, nor how they were batched, nor which process saw them changes it. Equal clips are kept as often as
    they came; where they would pass the limit, some of them are.

    Attributes:
        sorted_keys: int64 `(N,)`, ascending.
        sorted_rows: Their rows, float64 `(N, D)`; `(0, 0)` where there are none.
        fresh_keys: Keys of the rows that are yet to be sorted in.
        fresh_rows: These rows.
        count: Rows that were offered, int64 scalar.
        limit: Rows that are kept at most, int64 scalar; a tensor, so that reservoirs of different limits never pass
            for equal.
    """

    keyed: ClassVar[bool] = True

    sorted_keys: Tensor
    sorted_rows: Tensor
    fresh_keys: Tensor
    fresh_rows: Tensor
    count: Tensor
    limit: Tensor

    @classmethod
    def empty(cls, limit: int) -> Self:
        """A reservoir of no row.

        Raises:
            ValueError: The limit is less than 2.
        """
        if limit < 2:
            raise ValueError(f"limit: found {limit}, expected at least 2")
        keys = torch.empty(0, dtype=torch.int64, device="cpu")
        rows = torch.empty(0, 0, dtype=torch.float64, device="cpu")
        count, most = (torch.tensor(number, device="cpu") for number in (0, limit))
        return cls(keys, rows, keys.clone(), rows.clone(), count, most)

    @property
    def keys(self) -> Tensor:
        """Keys of the kept rows, int64 `(N,)`, ascending."""
        return self._sorted().sorted_keys

    @property
    def rows(self) -> Tensor:
        """The kept rows, float64 `(N, D)`, in the order of their keys."""
        return self._sorted().sorted_rows

    def add(self, rows: Tensor, keys: Tensor) -> Self:
        """With more rows, float64 `(N, D)`, and their keys, int64 `(N,)`.

        Raises:
            ValueError: D is another than before.
        """
        return self._joined(rows, keys, self.count + len(rows))

    def merge(self, other: Self) -> Self:
        """As if the other's rows had been offered too.

        Raises:
            ValueError: The two are of different D.
        """
        other = other._sorted()
        return self._joined(other.sorted_rows, other.sorted_keys, self.count + other.count)

    def _joined(self, rows: Tensor, keys: Tensor, count: Tensor) -> Self:
        for known in (self.sorted_rows, self.fresh_rows):
            if len(known) and len(rows) and rows.shape[1] != known.shape[1]:
                raise ValueError(f"found vectors of {rows.shape[1]} numbers, expected {known.shape[1]} as before")
        if len(self.sorted_keys) == int(self.limit):
            early = keys < self.sorted_keys[-1]
            rows, keys = rows[early], keys[early]
        if not len(keys):
            return replace(self, count=count)
        if len(self.fresh_keys):
            rows, keys = torch.cat([self.fresh_rows, rows]), torch.cat([self.fresh_keys, keys])
        whole = replace(self, fresh_keys=keys, fresh_rows=rows, count=count)
        return whole._sorted() if len(keys) >= min(_FRESH, int(self.limit)) else whole

    def _sorted(self) -> Self:
        if not len(self.fresh_keys):
            return self
        rows, keys = self.fresh_rows, self.fresh_keys
        if len(self.sorted_keys):
            rows, keys = torch.cat([self.sorted_rows, rows]), torch.cat([self.sorted_keys, keys])
        order = keys.argsort(stable=True)[: int(self.limit)]
        return replace(
            self,
            sorted_keys=keys[order],
            sorted_rows=rows[order],
            fresh_keys=keys[:0].clone(),
            fresh_rows=rows.new_empty(0, 0),
        )
