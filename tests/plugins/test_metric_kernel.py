"""The kernel distance of given vectors, against scikit-learn's kernel and against many digits."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import polynomial_kernel

from gadkit_plugins.metrics import KernelVideoDistance


def distance(real, generated, batch=None, **settings):
    metric = KernelVideoDistance(**settings)
    for side, rows in ((True, real), (False, generated)):
        for some in torch.as_tensor(rows).split(batch or len(rows)):
            metric.update(some, real=side)
    return metric.compute()["kvd"].item()


def by_sklearn(x, y, **kernel):
    own = [polynomial_kernel(each, **kernel) for each in (x, y)]
    means = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in own]
    return sum(means) - 2 * polynomial_kernel(x, y, **kernel).mean()


def by_fractions(x, y, degree, coef0=1):
    """The definition without any rounding."""
    x, y = ([[Fraction(entry) for entry in row] for row in rows.tolist()] for rows in (x, y))

    def mean(one, other):
        pairs = [(a, b) for i, a in enumerate(one) for j, b in enumerate(other) if one is not other or i != j]
        products = (sum(p * q for p, q in zip(a, b, strict=True)) / len(a) for a, b in pairs)
        return sum((product + coef0) ** degree for product in products) / len(pairs)

    return float(mean(x, x) + mean(y, y) - 2 * mean(x, y))


def pair(real, generated, dim, seed=0):
    draw = np.random.default_rng(seed)
    return draw.normal(size=(real, dim)), draw.normal(size=(generated, dim)) * 1.1 + 0.3


@pytest.mark.parametrize("counts", [(60, 80, 12), (20, 30, 50), (700, 1100, 6), (2, 2, 3), (40, 40, 1)])
@pytest.mark.parametrize("kernel", [{}, {"degree": 1}, {"degree": 2, "gamma": 0.3}, {"degree": 5, "coef0": 0.0}])
def test_it_is_scikit_learns(counts, kernel):
    """With fewer clips than dimensions, and with more rows than a block of the kernel's matrix holds."""
    real, generated = pair(*counts)
    expected = by_sklearn(real, generated, **{"degree": 3, "gamma": None, "coef0": 1} | kernel)
    assert distance(real, generated, **kernel) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
@pytest.mark.parametrize("offset", [0, 100, 1e6])
def test_an_offset_costs_no_digits(offset, degree):
    """At a million the kernel is 1e36 and the distance 1e24 or less: scikit-learn's is right to three digits."""
    real, generated = (rows + offset for rows in pair(9, 7, 4))
    found = distance(real, generated, degree=degree)
    assert found == pytest.approx(by_fractions(real, generated, degree), rel=1e-10)


def test_singular_covariances_and_constant_rows():
    draw = np.random.default_rng(1)
    real, generated = (draw.normal(size=(30, 2)) @ draw.normal(size=(2, 20)) for _ in range(2))
    assert distance(real, generated) == pytest.approx(by_sklearn(real, generated, degree=3, coef0=1), rel=1e-9)
    ones = np.ones((4, 5))
    assert distance(ones, 2 * ones) == pytest.approx(2**3 + 5**3 - 2 * 3**3)
    assert distance(ones, ones) == 0


def test_it_is_unbiased():
    """Disjoint sets of one distribution are at 0 on average, however few the clips; some are below."""
    rows = np.random.default_rng(2).normal(size=(8000, 3))
    found = [distance(rows[i : i + 10], rows[i + 10 : i + 20]) for i in range(0, 8000, 20)]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(len(found))
    assert min(found) < 0 < max(found)


def test_a_sample_is_as_far_on_average_as_all():
    real, generated = pair(3000, 3000, 4)
    whole = distance(real, generated)
    samples = [distance(real + 1e-9 * i, generated + 1e-9 * i, limit=200) for i in range(20)]
    assert len(set(samples)) == 20
    assert abs(np.mean(samples) - whole) < 4 * np.std(samples) / np.sqrt(20)


@pytest.mark.parametrize(("setting", "words"), [({"degree": 0}, "degree: found 0"), ({"limit": 1}, "limit: found 1")])
def test_settings_out_of_range_are_refused(setting, words):
    with pytest.raises(ValueError, match=words):
        distance(*pair(5, 5, 3), **setting)
