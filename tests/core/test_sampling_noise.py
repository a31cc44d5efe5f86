"""Noise made of other noise: shrunk, on the way from one to another, or with the content of another."""

import math

import pytest
import torch
from scipy import stats

from gadkit.randomness import ArcNoise, Key, Noise, ScaledNoise, SplitNoise

AT = torch.arange(6)


def noise(seed=0, count=3, **choices):
    return Noise(Key.of(seed, "test"), torch.arange(count), **choices)


def draws(source):
    """One draw of every sort, by name; the content's among them."""
    return {
        "content": source.normal("content", 5),
        "motion": source.normal("motion", 4, AT),
        "phase": source.uniform("phase", 3),
        "phases": source.uniform("phase", 3, AT),
        "which": source.integers("which", 1000),
        "whiches": source.integers("which", 1000, AT),
        "folded": source.fold("part", 2).normal("motion", 4),
        "folded phase": source.fold("part").uniform("phase", 2),
    }


def same(one, other, names=None):
    return {name for name in one if torch.equal(one[name], other[name])} == set(names or one)


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0])
def test_scaling_touches_normals_alone(factor):
    plain, scaled = draws(noise()), draws(ScaledNoise(noise(), factor))
    for name in ("content", "motion", "folded"):
        assert torch.equal(scaled[name], factor * plain[name])
    assert all(torch.equal(scaled[name], plain[name]) for name in plain if "ph" in name or "which" in name)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_arc_begins_and_ends_at_its_noises(dtype):
    one, other = noise(1, dtype=dtype), noise(2, dtype=dtype)
    assert same(draws(ArcNoise(one, other, 0)), draws(one))
    assert same(draws(ArcNoise(one, other, 1)), draws(other))
    assert not same(draws(one), draws(other))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_draws_along_an_arc_are_standard_normal(share):
    count = 40_000
    ends = [noise(seed, count).normal("content", 1)[:, 0] for seed in (1, 2)]
    between = ArcNoise(noise(1, count), noise(2, count), share).normal("content", 1)[:, 0]
    assert stats.kstest(between.numpy(), "norm").pvalue > 1e-3
    angle = share * math.pi / 2
    for end, expected in zip(ends, (math.cos(angle), math.sin(angle)), strict=True):
        assert (end * between).mean().item() == pytest.approx(expected, abs=4.5 * (2 / count) ** 0.5)
    folded = ArcNoise(noise(1), noise(2), share).fold("part").normal("motion", 4)
    parts = [noise(seed).fold("part").normal("motion", 4) for seed in (1, 2)]
    torch.testing.assert_close(folded, math.cos(angle) * parts[0] + math.sin(angle) * parts[1])


def test_what_no_circle_joins_is_the_nearer_ends():
    one, other = noise(1), noise(2)
    rest = {"phase", "phases", "which", "whiches", "folded phase"}
    assert same(draws(ArcNoise(one, other, 0.49)), draws(one), rest)
    assert same(draws(ArcNoise(one, other, 0.5)), draws(other), rest)
    assert ArcNoise(one, other, 0.49).key == one.key
    assert ArcNoise(one, other, 0.5).key == other.key


def test_a_split_takes_the_content_of_one_and_all_else_of_the_other():
    one, other = noise(1), noise(2)
    split = SplitNoise(one, other)
    assert same(draws(split), draws(other), set(draws(other)) - {"content"})
    assert same(draws(split), draws(one), {"content"})
    assert torch.equal(split.fold("part").normal("content", 5), one.fold("part").normal("content", 5))
    assert (split.key, len(split)) == (other.key, 3)


def test_the_type_and_the_samples_are_those_of_the_noise():
    one, other = (Noise(Key.of(seed), torch.tensor([4, 9]), dtype=torch.float64) for seed in (1, 2))
    for made in (ScaledNoise(one, 0.5), ArcNoise(one, other, 0.3), SplitNoise(one, other)):
        assert made.samples.tolist() == [4, 9]
        assert made.normal("content", 2).dtype == made.dtype == torch.float64
        assert made.device == torch.device("cpu")
