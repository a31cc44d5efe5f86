"""The memorisation check: copies are found, fresh clips are not accused, and the statistics are those of the books."""

import itertools

import pytest
import scipy.stats
import torch
from scipy.spatial.distance import cdist

from gadkit import DataError
from gadkit_plugins.metrics import Memorisation
from gadkit_plugins.metrics.memorisation import mann_whitney, nearest, neighbour_scale
from gadkit_plugins.metrics.reservoir import Reservoir

DIM = 8


def normal(count, seed, offset=0.0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, DIM, generator=generator, dtype=torch.float64) + offset


def measured(generated, real, training, **settings):
    metric = Memorisation(**settings)
    metric.update(generated, real=False)
    metric.update(real, real=True)
    metric.update(training, real=True, training=True)
    return {name: value.item() for name, value in metric.compute().items()}


def test_fresh_clips_are_as_near_as_held_out_ones():
    found = measured(normal(600, 1), normal(500, 2), normal(800, 3))
    assert found["nearer"] == pytest.approx(0.5, abs=0.06)
    assert abs(found["z_u"]) < 3
    assert found["nearest_ratio"] == pytest.approx(1, abs=0.05)
    assert found["memorised"] == pytest.approx(found["memorised_by_chance"], abs=0.03)
    assert found["copies"] == found["copies_real"] == 0


@pytest.mark.parametrize(("noise", "copies"), [(0.0, 1.0), (0.01, 1.0), (0.3, 0.0)])
def test_copies_are_found(noise, copies):
    training = normal(800, 3)
    found = measured(training[:300] + noise * normal(300, 4), normal(500, 2), training)
    assert found["nearer"] > 0.9
    assert found["z_u"] < -15
    assert found["memorised"] > 0.6
    assert found["nearest_ratio"] < 0.6
    assert (found["copies"], found["copies_real"]) == (copies, 0)


def test_a_few_copies_among_fresh_clips_are_counted():
    training = normal(800, 3)
    found = measured(torch.cat([training[:40], normal(360, 1)]), normal(500, 2), training)
    assert found["copies"] == 0.1
    assert found["memorised"] == pytest.approx(0.1 + 0.9 * found["memorised_by_chance"], abs=0.03)
    assert found["nearer"] == pytest.approx(0.55, abs=0.05)


def test_clips_away_from_the_data_are_no_copies():
    found = measured(normal(300, 1, offset=3), normal(500, 2), normal(800, 3))
    assert found["nearer"] < 0.05
    assert found["z_u"] > 15
    assert found["memorised"] == found["copies"] == 0


def test_a_leaking_split_shows():
    training = normal(200, 3)
    found = measured(normal(100, 1), torch.cat([training[:50], normal(50, 2)]), training)
    assert found["copies_real"] == 0.5


def test_copies_in_the_training_set_itself_do_not_set_the_scale():
    training = normal(300, 3).repeat(3, 1)
    found = measured(torch.cat([training[:30], normal(30, 1)]), normal(100, 2), training)
    assert found["copies"] == 0.5
    equal = torch.ones(20, DIM, dtype=torch.float64)
    assert neighbour_scale(equal) == 0
    found = measured(torch.cat([equal, equal + 1]), equal, equal)
    assert (found["copies"], found["nearer"], found["nearest_ratio"]) == (0.5, 0.25, 1)


def test_what_memorised_finds_by_chance_is_the_mean_over_all_ways_to_draw():
    """Exchangeable clips: any 2 of 12 could have been the generated ones."""
    distances = normal(12, 5)[:, :1].abs()
    training = torch.zeros(10, 1, dtype=torch.float64)
    shares = []
    for chosen in itertools.combinations(range(12), 2):
        one = torch.zeros(12, dtype=torch.bool)
        one[list(chosen)] = True
        found = measured(distances[one].repeat(5, 1), distances[~one], training, quantile=0.3)
        shares.append(found["memorised"])
    assert sum(shares) / len(shares) == pytest.approx(found["memorised_by_chance"], rel=1e-12)
    assert found["memorised_by_chance"] == 3 / 11


def test_the_quantile_of_few_held_out_clips_is_the_nearest_of_them():
    found = measured(normal(10, 1), normal(10, 2), normal(20, 3))
    assert found["memorised_by_chance"] == pytest.approx(1 / 11)
    found = measured(normal(10, 1), normal(99, 2), normal(20, 3), quantile=0.29)
    assert found["memorised_by_chance"] == pytest.approx(29 / 100)  # .29 · 100 is rounded down in float64


@pytest.mark.parametrize("digits", [0, 1, 8])
def test_mann_whitney_against_scipy(digits):
    x, y = normal(9, 1).flatten().round(decimals=digits), normal(11, 2, 0.3).flatten().round(decimals=digits)
    greater, z = mann_whitney(x, y)
    expected = scipy.stats.mannwhitneyu(x, y, method="asymptotic", use_continuity=False)
    assert greater.item() * len(x) * len(y) == pytest.approx(expected.statistic, rel=1e-12)
    assert 2 * scipy.stats.norm.sf(abs(z.item())) == pytest.approx(expected.pvalue, rel=1e-9)
    assert z.item() * (greater.item() - 0.5) > 0


def test_mann_whitney_of_equal_numbers():
    greater, z = mann_whitney(torch.ones(4, dtype=torch.float64), torch.ones(5, dtype=torch.float64))
    assert (greater, z) == (0.5, 0)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_nearest_against_brute_force(offset):
    x, y = normal(700, 1, offset), normal(90, 2, offset)
    expected = cdist(x, y).min(1)
    torch.testing.assert_close(nearest(x, y), torch.from_numpy(expected), rtol=1e-9, atol=0)
    assert nearest(y, y).count_nonzero() == 0
    others = cdist(y, y)
    others[range(90), range(90)] = float("inf")
    torch.testing.assert_close(nearest(y, y, apart=True), torch.from_numpy(others.min(1)), rtol=1e-9, atol=0)


def test_values_do_not_depend_on_how_clips_come():
    sides = normal(60, 1), normal(70, 2), normal(300, 3)
    whole = measured(*sides, limit=40, training_limit=100)
    halves = [Memorisation(limit=40, training_limit=100) for _ in range(2)]
    for side, (real, training) in zip(sides, [(False, False), (True, False), (True, True)], strict=True):
        for number, row in enumerate(side.flip(0).split(7)):
            halves[number % 2].update(row, real=real, training=training)
    halves[0].merge_state(halves[1])
    assert {name: value.item() for name, value in halves[0].compute().items()} == pytest.approx(whole, rel=1e-9)
    assert len(halves[0].summary("training", Reservoir).rows) == 100


def test_a_limit_keeps_copies_of_what_was_left_out_from_being_seen():
    training = normal(400, 3)
    found = measured(training, normal(100, 2), training, training_limit=100)
    assert found["copies"] == 0.25


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((20, 20, 0), "found no training clips, .* with real=True and training=True"),
        ((20, 0, 20), "found no held-out clips, .* with real=True"),
        ((20, 9, 20), "found clips: 9 real, 20 generated, 20 training; expected at least 10 of each"),
    ],
)
def test_missing_sides_are_named(counts, words):
    metric = Memorisation()
    for count, (real, training) in zip(counts, [(False, False), (True, False), (True, True)], strict=True):
        if count:
            metric.update(normal(count, 1), real=real, training=training)
    with pytest.raises(DataError, match=words):
        metric.compute()


def test_vectors_of_different_networks_are_refused():
    with pytest.raises(ValueError, match="found vectors of 8 and of 5 numbers"):
        nearest(normal(3, 1), normal(3, 1)[:, :5])
