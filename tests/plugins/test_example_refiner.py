"""The refiner of the documentation conforms, draws from the density that it says, and samples from the command line."""

import math
import sys
from pathlib import Path

import pytest
import torch
from documented import documented_plugin
from small_runs import small

from gadkit import Key, Noise
from gadkit.cli import app
from gadkit.testing import check_refiner


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    with documented_plugin(monkeypatch, tmp_path, "langevin", "class Langevin") as file:
        yield file


def test_it_conforms(plugin):
    from langevin import Langevin

    check_refiner(Langevin)
    check_refiner(Langevin, steps=5, rate=0.1)


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


def test_it_samples_from_the_command_line(plugin, monkeypatch):
    small("run", steps=1)
    for name, more in (("plain", ""), ("refined", f" --plugin {plugin} --refiner langevin --refine 2")):
        command = f"gadkit sample run --num 1 --seed 1 --device cpu --out {name}.mp4{more}"
        monkeypatch.setattr(sys, "argv", command.split())
        assert app.run(app.app) == 0
    assert Path("plain.mp4").read_bytes() != Path("refined.mp4").read_bytes()
