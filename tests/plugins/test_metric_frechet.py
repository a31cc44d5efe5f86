"""The Fréchet distance of given vectors, against references that share nothing with it."""

import mpmath
import numpy as np
import pytest
import scipy.linalg
import torch

from gadkit_plugins.metrics import FrechetVideoDistance


def distance(real, generated, batch=None, **settings):
    metric = FrechetVideoDistance(**settings)
    for side, rows in ((True, real), (False, generated)):
        for some in torch.as_tensor(rows).split(batch or len(rows)):
            metric.update(some, real=side)
    return metric.compute()["fvd"].item()


def by_square_root(real, generated, ddof):
    """The definition, by SciPy's matrix square root."""
    one, other = (np.cov(rows, rowvar=False, ddof=ddof) for rows in (real, generated))
    mean = real.mean(0) - generated.mean(0)
    return mean @ mean + np.trace(one + other - 2 * scipy.linalg.sqrtm(one @ other).real)


def by_singular_values(real, generated, ddof):
    """From the centred rows alone: tr (Σ₁Σ₂)^½ is the sum of the singular values of X Yᵀ; exact at any rank."""
    x, y = ((rows - rows.mean(0)) / np.sqrt(len(rows) - ddof) for rows in (real, generated))
    mean = real.mean(0) - generated.mean(0)
    cross = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    return mean @ mean + (x**2).sum() + (y**2).sum() - 2 * cross


def by_many_digits(real, generated):
    """The definition with 80 digits: the square root's trace from the eigenvalues of Σ₁Σ₂."""
    with mpmath.workdps(80):
        means, covariances = [], []
        for rows in (real, generated):
            x = mpmath.matrix(rows.tolist())
            mean = mpmath.matrix([sum(x[:, j]) / len(rows) for j in range(x.cols)])
            centred = x - mpmath.ones(len(rows), 1) * mean.T
            means.append(mean)
            covariances.append(centred.T * centred / len(rows))
        roots = sum(mpmath.sqrt(abs(value)) for value in mpmath.eig(covariances[0] * covariances[1], right=False))
        traces = sum(each[i, i] for each in covariances for i in range(each.rows))
        return float(sum(entry**2 for entry in means[0] - means[1]) + traces - 2 * roots)


def pair(real, generated, dim, seed=0):
    """Rows of two Gaussians whose covariances do not commute."""
    draw = np.random.default_rng(seed)
    mixes = [np.eye(dim) + draw.normal(size=(dim, dim)) * 0.3 for _ in range(2)]
    return draw.normal(size=(real, dim)) @ mixes[0], draw.normal(size=(generated, dim)) @ mixes[1] + 0.2


@pytest.mark.parametrize(("divisor", "ddof"), [("n", 0), ("n-1", 1)])
@pytest.mark.parametrize("counts", [(200, 150, 12), (90, 300, 40), (25, 30, 40), (3, 200, 40), (2, 2, 6)])
def test_it_is_the_definition(counts, divisor, ddof):
    """Also with fewer clips than dimensions."""
    real, generated = pair(*counts)
    found = distance(real, generated, divisor=divisor)
    assert found == pytest.approx(by_square_root(real, generated, ddof), rel=1e-6)
    assert found == pytest.approx(by_singular_values(real, generated, ddof), rel=1e-11)


def exact_rows(mean, axes, scales):
    """Two rows an axis, whose mean and covariance (divided by their number) are those asked for: A diag(s²) Aᵀ."""
    half = np.sqrt(len(axes)) * scales[:, None] * axes
    return mean + np.concatenate([half, -half])


@pytest.mark.parametrize("dim", [5, 60])
def test_covariances_that_commute_have_a_closed_form(dim):
    """‖μ₁ − μ₂‖² + Σ (sᵢ − tᵢ)², of scales from 1e-6 to 1e3."""
    draw = np.random.default_rng(dim)
    axes = np.linalg.qr(draw.normal(size=(dim, dim)))[0].T
    scales = [10 ** draw.uniform(-6, 3, size=dim) for _ in range(2)]
    means = draw.normal(size=(2, dim))
    real, generated = (exact_rows(mean, axes, scale) for mean, scale in zip(means, scales, strict=True))
    expected = ((means[0] - means[1]) ** 2).sum() + ((scales[0] - scales[1]) ** 2).sum()
    assert distance(real, generated) == pytest.approx(expected, rel=1e-11)


def test_the_square_root_keeps_its_digits_where_covariances_are_ill_conditioned():
    """Where one is wide the other is narrow: 4 · 1e-8 of the distance hang on variances of 1e-16."""
    draw = np.random.default_rng(3)
    axes = np.linalg.qr(draw.normal(size=(4, 4)))[0].T
    scales = [np.array([1, 1e-8, 1, 1e-4]), np.array([1e-8, 1, 1e-2, 1])]
    tilt = np.linalg.qr(np.eye(4) + 1e-3 * draw.normal(size=(4, 4)))[0]
    real, generated = (
        exact_rows(np.zeros(4), each, scale) for each, scale in zip((axes, axes @ tilt), scales, strict=True)
    )
    assert distance(real, generated) == pytest.approx(by_many_digits(real, generated), rel=1e-12)


@pytest.mark.parametrize("offset", [1e6, 2**30])
@pytest.mark.parametrize("batch", [1, 13, None])
@pytest.mark.parametrize("counts", [(60, 50, 12), (20, 30, 40)])
def test_an_offset_changes_nothing(counts, batch, offset):
    """Rows on a grid, to which an offset of a million, or of a billion, can be added without rounding."""
    real, generated = (np.round(rows * 2**20) / 2**20 for rows in pair(*counts))
    found = distance(real + offset, generated + offset, batch=batch)
    assert found == pytest.approx(distance(real, generated), rel=1e-12)
    apart = by_singular_values(real + offset, generated, 0)
    assert distance(real + offset, generated, batch=batch) == pytest.approx(apart, rel=1e-12)


@pytest.mark.parametrize("batch", [1, 7, 64, None])
@pytest.mark.parametrize("counts", [(500, 300, 12), (20, 30, 40)])
def test_batches_change_nothing(counts, batch):
    real, generated = pair(*counts)
    assert distance(real[::-1].copy(), generated, batch=batch) == pytest.approx(distance(real, generated), rel=1e-12)


@pytest.mark.parametrize("counts", [(100, 10), (8, 40)])
def test_equal_sets_are_at_no_distance_and_near_ones_at_theirs(counts):
    rows, _ = pair(counts[0], 2, counts[1])
    spread = rows.var(0).sum()
    assert 0 <= distance(rows, rows) < 1e-25 * spread
    assert 0 <= distance(rows, rows[::-1].copy(), batch=3) < 1e-25 * spread
    assert distance(rows, rows + 1e-7) == pytest.approx(counts[1] * 1e-14, rel=1e-6)
    mean = rows.mean(0)
    assert distance(rows, mean + (rows - mean) * (1 + 1e-6)) == pytest.approx(1e-12 * spread, rel=1e-6)


def test_it_is_symmetric_and_scales_with_the_square():
    real, generated = pair(50, 70, 20)
    found = distance(real, generated)
    assert distance(generated, real) == pytest.approx(found, rel=1e-12)
    assert distance(real * 1000, generated * 1000) == pytest.approx(found * 1e6, rel=1e-12)


def test_constant_rows_have_a_mean_alone():
    assert distance(np.full((4, 3), 2.0), np.full((5, 3), 5.0)) == 27


def test_half_precision_rows_are_what_they_hold():
    rows = [torch.from_numpy(each).half() for each in pair(40, 50, 8)]
    assert distance(*rows) == distance(*(each.double() for each in rows))


def test_fewer_clips_are_further_apart():
    """The bias that the docstring states: disjoint sets of one distribution, by their size."""
    rows = np.random.default_rng(1).normal(size=(4000, 16))
    floors = [
        np.mean([distance(rows[i : i + n], rows[i + n : i + 2 * n]) for i in range(0, 4000, 2 * n)][:10])
        for n in (20, 100, 500)
    ]
    assert floors[0] > 2 * floors[1] > 4 * floors[2] > 0


def test_an_unknown_divisor_is_refused():
    with pytest.raises(ValueError, match="divisor: found 'N', expected 'n' or 'n-1'"):
        FrechetVideoDistance(divisor="N")
