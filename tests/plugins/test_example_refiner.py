"""The refiner of the documentation draws from the density that it says."""

import math

import pytest
import torch
from documented import documented

from gadkit import Key, Noise


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    with documented(monkeypatch, tmp_path, "refiner") as file:
        yield file


def test_it_draws_from_the_tilted_normal_distribution(plugin):
    """With D(G(z)) = a.z the density is normal around a; from N(0, 1), the mean is (1 - (1 - rate / 2)^K) a."""
    from langevin import Langevin

    count, rate, steps = 4000, 0.2, 30
    noise = Noise(Key.of(5), torch.arange(count), dtype=torch.float64)
    slope = torch.tensor([1.0, -2.0], dtype=torch.float64)
    refined = Langevin(steps=steps, rate=rate).refine(lambda z: z @ slope, noise.normal("start", 2), noise)
    variance = 1 / (1 - rate / 4)  # of the discretised process at rest
    mean = slope * (1 - (1 - rate / 2) ** steps)
    assert float((refined.mean(0) - mean).abs().max()) < 4 * math.sqrt(variance / count)
    assert float((refined.var(0) - variance).abs().max()) < 4 * variance * math.sqrt(2 / count)
