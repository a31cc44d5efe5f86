"""Random numbers are a function of a key and a place."""

import math

import pytest
import torch
from scipy import stats

from gadkit.randomness import Key, Noise, bits, integers, normal, permutation, philox4x32, seeded, uniform

ZERO = torch.zeros((), dtype=torch.int64)

# Known-answer vectors published with Random123 (Salmon et al. 2011): counter, key, result.
VECTORS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_philox_gives_the_published_vectors(counter, key, expected):
    assert tuple(int(word) for word in philox4x32(tuple(map(torch.tensor, counter)), key)) == expected


def test_a_place_does_not_depend_on_its_neighbours():
    key = Key.of(7, "test")
    whole = bits(key, torch.arange(100), torch.arange(100) * 3, 9)
    for index in (0, 13, 99):
        alone = bits(key, torch.tensor([index]), torch.tensor([index * 3]), 9)
        assert torch.equal(alone[0], whole[index])
    assert torch.equal(bits(key, torch.arange(100), torch.arange(100) * 3, 5), whole[:, :5])


def test_every_coordinate_counts():
    key = Key.of(0, "test")
    seen = {
        tuple(bits(k, torch.tensor(s), torch.tensor(a), 4).tolist())
        for k in (key, key.fold("x"), key.fold(0), Key.of(1, "test"))
        for s in (0, 1, 2**32, 2**40 + 1)
        for a in (0, 1, -1)
    }
    assert len(seen) == 4 * 4 * 3


def test_keys_tell_numbers_from_names_and_groupings_apart():
    keys = [Key.of(1), Key.of(0, 1), Key.of(0, "1"), Key.of(0, "ab", "c"), Key.of(0, "a", "bc"), Key.of(0, "abc")]
    assert len({key.value for key in keys}) == len(keys)
    assert Key.of(3, "a").fold("b") == Key.of(3, "a").fold("b")


def test_draws_follow_their_distributions():
    key, places = Key.of(0, "statistics"), torch.arange(2000)
    assert stats.kstest(uniform(key, places, ZERO, 50).flatten().double().numpy(), "uniform").pvalue > 1e-3
    assert stats.kstest(normal(key, places, ZERO, 50).flatten().double().numpy(), "norm").pvalue > 1e-3
    counts = torch.bincount(integers(key, torch.arange(70000), ZERO, 7), minlength=7)
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_neighbouring_places_are_uncorrelated():
    draws = normal(Key.of(1, "x"), torch.arange(4000), ZERO, 8)
    correlation = torch.corrcoef(torch.cat((draws[:-1], draws[1:]), dim=1).T) - torch.eye(16)
    assert correlation.abs().max() < 5 / math.sqrt(4000)


def test_uniforms_are_the_same_numbers_in_single_and_double_precision():
    key, places = Key.of(0, "u"), torch.arange(1000)
    single, double = uniform(key, places, ZERO, 8), uniform(key, places, ZERO, 8, torch.float64)
    assert torch.equal(single.double(), double)
    assert double.min() >= 0
    assert double.max() < 1
    assert torch.equal(normal(key, places, ZERO, 8), normal(key, places, ZERO, 8, torch.float64).float())


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_permutation_visits_everything_once_and_depends_on_the_key(size):
    order = permutation(Key.of(0, "order"), size)
    assert torch.equal(order.sort().values, torch.arange(size))
    if size == 1000:
        assert not torch.equal(order, permutation(Key.of(1, "order"), size))
        assert abs(stats.spearmanr(order.numpy(), range(size)).statistic) < 0.15


def test_seeded_leaves_the_global_generator_as_it_was():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded(Key.of(0, "init")):
        first = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with seeded(Key.of(0, "init")):
        assert torch.equal(torch.rand(3), first)


def test_the_noise_of_a_sample_is_its_own():
    whole = Noise(Key.of(0, "n"), torch.arange(10))
    part = Noise(Key.of(0, "n"), torch.arange(4, 6))
    frames = torch.arange(-2, 5)
    assert torch.equal(whole.normal("a", 3, frames)[4:6], part.normal("a", 3, frames))
    assert torch.equal(whole.normal("a", 3, frames)[:, 2:4], whole.normal("a", 3, frames[2:4]))
    assert torch.equal(whole.uniform("a", 3)[4:6], part.uniform("a", 3))
    assert not torch.equal(whole.normal("a", 3), whole.normal("b", 3))
    assert not torch.equal(whole.normal("a", 3), whole.fold("c").normal("a", 3))
