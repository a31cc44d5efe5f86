"""Precision, recall, density and coverage against their definitions, written as loops."""

import numpy as np
import pytest
import torch

import gadkit
from gadkit_plugins.metrics import PrecisionRecallDensityCoverage
from gadkit_plugins.metrics.distances import nearest, within


def found(real, generated, batch=None, **settings):
    metric = PrecisionRecallDensityCoverage(**settings)
    for side, rows in ((True, real), (False, generated)):
        for some in torch.as_tensor(rows).split(batch or len(rows)):
            metric.update(some, real=side)
    return {name: value.item() for name, value in metric.compute().items()}


def squared(a, b):
    return float(((a - b) ** 2).sum())


def by_loops(real, generated, k):
    """The definitions of the papers, one comparison at a time."""

    def reach(rows):
        return [
            sorted(squared(row, other) for j, other in enumerate(rows) if j != i)[k - 1] for i, row in enumerate(rows)
        ]

    real_reach, generated_reach = reach(real), reach(generated)
    inside = [[squared(y, x) <= r for x, r in zip(real, real_reach, strict=True)] for y in generated]
    back = [[squared(x, y) <= r for y, r in zip(generated, generated_reach, strict=True)] for x in real]
    return {
        "precision": sum(any(row) for row in inside) / len(generated),
        "recall": sum(any(row) for row in back) / len(real),
        "density": sum(sum(row) for row in inside) / (k * len(generated)),
        "coverage": sum(any(row[i] for row in inside) for i in range(len(real))) / len(real),
    }


def pair(real, generated, dim, seed=0):
    draw = np.random.default_rng(seed)
    return draw.normal(size=(real, dim)), draw.normal(size=(generated, dim)) * 0.8 + 0.3


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("counts", [(60, 80, 4), (80, 60, 30), (30, 40, 100), (6, 6, 2)])
def test_they_are_the_definitions(counts, k):
    real, generated = pair(*counts)
    assert found(real, generated, nearest_k=k) == pytest.approx(by_loops(real, generated, k), rel=1e-12)


@pytest.mark.parametrize("offset", [0, 2**20])
def test_points_on_the_border_are_inside(offset):
    """A coarse grid, on which most distances are shared by many and every one is exact; with copies, and far away."""
    draw = np.random.default_rng(4)
    real, generated = (draw.integers(0, 4, size=(count, 3)).astype(float) for count in (70, 50))
    expected = by_loops(real, generated, 3)
    assert 0 < expected["coverage"] < 1 or 0 < expected["precision"] < 1
    assert found(real + offset, generated + offset, nearest_k=3) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("copies", [1, 2, 12])
def test_copies_of_real_clips_are_covered(copies):
    """Their distance is 0 and not rounding, though nothing of a cloud of copies is wide."""
    real = np.random.default_rng(5).normal(size=(30, 50)).repeat(copies, axis=0) * 1e-3 + 1e3
    assert found(real, real.copy(), nearest_k=3) == pytest.approx(by_loops(real, real, 3), rel=1e-12)
    values = found(real, real.copy(), nearest_k=3)
    assert values["precision"] == values["recall"] == values["coverage"] == 1


def test_more_rows_than_a_block_holds():
    """Against distances by subtraction of all pairs at once."""
    real, generated = (torch.from_numpy(rows) for rows in pair(1100, 700, 6))
    own = torch.cdist(real, real, compute_mode="donot_use_mm_for_euclid_dist").sort(1).values[:, 5]
    torch.testing.assert_close(nearest(real, 5).sqrt(), own, rtol=1e-12, atol=0)
    inside = torch.cdist(generated, real, compute_mode="donot_use_mm_for_euclid_dist") <= own
    held = within(generated, real, nearest(real, 5))
    assert torch.equal(held.each, inside.sum(1))
    assert torch.equal(held.held, inside.sum(0))
    assert found(real, generated)["density"] == pytest.approx(inside.double().sum().item() / (5 * 700), rel=1e-12)


def test_far_sets_share_nothing_and_equal_ones_all():
    real, _ = pair(40, 2, 5)
    assert set(found(real, real + 100).values()) == {0}
    assert found(real, real)["coverage"] == 1


def test_expectations_where_both_are_of_one_distribution():
    """Density 1, and coverage 1 − Π (m − i) / (m + n − i), as the docstring has it."""
    m, n, k = 30, 20, 3
    draw = np.random.default_rng(6)
    values = [found(draw.normal(size=(m, 2)), draw.normal(size=(n, 2)), nearest_k=k) for _ in range(150)]
    expected = {"density": 1, "coverage": 1 - np.prod([(m - i) / (m + n - i) for i in range(1, k + 1)])}
    for name, mean in expected.items():
        each = [value[name] for value in values]
        assert abs(np.mean(each) - mean) < 4 * np.std(each) / np.sqrt(len(each))


def test_precision_and_recall_change_places_with_the_sides():
    real, generated = pair(50, 60, 3)
    one, other = found(real, generated), found(generated, real)
    assert (one["precision"], one["recall"]) == (other["recall"], other["precision"])


def test_too_few_clips_for_the_neighbours_are_named():
    real, generated = pair(5, 60, 3)
    with pytest.raises(gadkit.DataError, match="clips: 5 real, 60 generated; expected at least 6 of each"):
        found(real, generated)
    with pytest.raises(ValueError, match="nearest_k: found 9, expected less than 9"):
        PrecisionRecallDensityCoverage(nearest_k=9, limit=9)
