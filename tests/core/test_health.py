"""Signs of trouble are told in words: each once, none in a healthy run, and the same after a resume."""

import itertools
import math
import random
import re

import pytest

from gadkit.runs.health import Health

NAMES = (
    *("logits/real", "logits/fake", "logits/spread", "accuracy"),
    *("difference/real", "difference/fake", "gradient/generator"),
)


def lines(rows):
    return [(step, dict(zip(NAMES, numbers, strict=True))) for step, *numbers in rows]


#: Means of recorded runs of the recipe demo: as it is (seed 0, every 100 steps) ...
DEMO = lines([
    (100, 3.1, -0.138, 1.81, 0.989, 0.193, 0.069, 6.84),
    (200, 1.79, -0.336, 1.29, 0.993, 0.192, 0.106, 5.26),
    (300, 1.25, -0.563, 1.14, 0.990, 0.195, 0.143, 6.33),
    (400, 0.856, -0.499, 0.912, 0.964, 0.192, 0.167, 6.9),
    (500, 0.636, -0.45, 0.765, 0.948, 0.194, 0.193, 5.34),
    (600, 0.588, -0.461, 0.765, 0.941, 0.194, 0.203, 5.55),
    (700, 0.601, -0.465, 0.753, 0.933, 0.193, 0.205, 5.76),
    (800, 0.59, -0.499, 0.78, 0.924, 0.196, 0.204, 5.9),
    (900, 0.583, -0.499, 0.788, 0.918, 0.193, 0.204, 5.9),
    (1000, 0.64, -0.549, 0.826, 0.924, 0.193, 0.201, 6.11),
    (1100, 0.704, -0.587, 0.878, 0.946, 0.194, 0.201, 5.92),
    (1200, 0.728, -0.64, 0.904, 0.926, 0.195, 0.205, 6.36),
    (1300, 0.765, -0.642, 0.951, 0.938, 0.194, 0.204, 6.36),
    (1400, 0.814, -0.701, 0.97, 0.932, 0.194, 0.207, 6.74),
    (1500, 0.92, -0.814, 1.06, 0.958, 0.194, 0.207, 7),
])  # fmt: skip
#: ... with --loss lsgan --penalty none, every 50 steps ...
LSGAN = lines([
    (50, 0.932, 0.204, 0.572, 0.980, 0.193, 0.0857, 2.31),
    (100, 0.939, 0.176, 0.558, 1.000, 0.194, 0.0738, 1.87),
    (150, 0.872, 0.237, 0.556, 1.000, 0.191, 0.0994, 1.62),
    (200, 0.838, 0.267, 0.554, 1.000, 0.194, 0.116, 1.74),
    (250, 0.848, 0.223, 0.537, 1.000, 0.196, 0.122, 1.94),
    (300, 0.857, 0.206, 0.54, 1.000, 0.194, 0.129, 2.2),
    (350, 0.817, 0.229, 0.53, 0.988, 0.193, 0.146, 2.4),
    (400, 0.819, 0.242, 0.536, 0.993, 0.191, 0.175, 2.48),
])  # fmt: skip
#: ... with --loss wasserstein --penalty wgan-gp ...
WASSERSTEIN = lines([
    (50, 183, 123, 153, 0.980, 0.193, 0.063, 143),
    (100, 149, 124, 136, 0.985, 0.194, 0.13, 75),
    (150, 98.8, 85.7, 92.3, 0.970, 0.191, 0.168, 46.4),
    (200, 90.2, 74.3, 82.2, 0.973, 0.194, 0.199, 56.7),
    (250, 74, 59.6, 66.8, 0.980, 0.196, 0.179, 51.7),
    (300, 67.5, 57.2, 62.3, 0.950, 0.194, 0.16, 52.5),
    (350, 56.1, 50.6, 53.4, 0.875, 0.193, 0.155, 45.2),
    (400, 49.7, 46.1, 47.9, 0.823, 0.191, 0.167, 42.4),
])  # fmt: skip
#: ... spoiled by --loss minimax --penalty none --discriminator-lr .003 ...
SATURATED = lines([
    (50, 6.21, -0.242, 3.7, 0.970, 0.193, 0.101, 6.1),
    (100, 4.89, 0.191, 3.87, 0.928, 0.194, 0.116, 6.55),
    (150, 2.68, -0.00206, 1.77, 0.980, 0.191, 0.122, 3.93),
    (200, 23.9, 19.3, 30, 0.948, 0.194, 0.112, 72.3),
    (250, 66.3, -135, 101, 1.000, 0.196, 0.0654, 0),
    (300, 66.1, -136, 101, 1.000, 0.194, 0.0645, 0),
    (350, 65.9, -135, 100, 1.000, 0.193, 0.0648, 0),
    (400, 66, -135, 101, 1.000, 0.191, 0.0641, 0),
    (450, 66.2, -135, 101, 1.000, 0.194, 0.0654, 0),
    (500, 66.2, -135, 101, 1.000, 0.194, 0.0647, 0),
])  # fmt: skip
#: ... by --penalty none --generator-lr 1e-5 ...
WON = lines([
    (50, 6.87, -4.44, 5.66, 0.980, 0.193, 0.121, 84.2),
    (100, 11.4, -6.74, 9.05, 1.000, 0.194, 0.118, 183),
    (150, 25, -4.25, 14.9, 0.995, 0.191, 0.112, 249),
    (200, 18.1, -4.53, 11.3, 1.000, 0.194, 0.105, 264),
    (250, 13.4, -4.81, 9.11, 1.000, 0.196, 0.0944, 243),
    (300, 13.1, -4.99, 9.06, 1.000, 0.194, 0.083, 233),
    (350, 13.1, -5.44, 9.25, 1.000, 0.193, 0.072, 206),
    (400, 14.2, -6.2, 10.2, 1.000, 0.191, 0.0638, 182),
    (450, 12.8, -6.52, 9.68, 1.000, 0.194, 0.057, 169),
])  # fmt: skip
#: ... and by a generator at fifty times the discriminator's rate.
LOST = lines([
    (50, 0.804, 0.848, 0.974, 0.558, 0.193, 0.157, 3.58),
    (100, 1.05, -1.04, 1.05, 1.000, 0.194, 0.103, 3.49),
    (150, 0.708, -0.656, 0.943, 0.833, 0.191, 0.193, 4.38),
    (200, 0.451, 0.941, 0.888, 0.230, 0.194, 0.194, 4.13),
    (250, 0.667, 1.44, 1.06, 0.000, 0.196, 0.13, 1.75),
    (300, 0.7, 1.16, 0.929, 0.000, 0.194, 0.103, 1.55),
    (350, 0.699, 1.02, 0.859, 0.013, 0.193, 0.0919, 1.49),
    (400, 0.716, 0.944, 0.83, 0.060, 0.191, 0.0864, 1.5),
])  # fmt: skip

WELL = dict(DEMO[6][1])


def told(series, health=None):
    """(step, kind) of what is told."""
    health = health or Health()
    return [(step, kind) for step, values in series for kind, _ in health.see(step, values)]


def series(*parts, every=10):
    """Lines every so many steps: healthy values changed by a function of the step, for a number of steps each."""
    found, step = [], 0
    for steps, change in parts:
        for _ in range(steps // every):
            step += every
            found.append((step, WELL | change(step)))
    return found


def as_ever(step):
    return {}


def flat(step):
    return {"logits/real": 80.0, "logits/fake": -80.0, "logits/spread": 80.0, "gradient/generator": 1e-6}


def ahead(step):
    return {"accuracy": 1.0, "logits/real": 1.0 + step / 100, "logits/fake": -1.0 - step / 100}


def behind(step):
    return {"accuracy": 0.02}


def alike(step):
    return {"difference/fake": 0.01}


#: A trouble of each kind, and how many steps it lasts until it is told; winning, up to 20 fewer.
TROUBLES = {"saturation": (flat, 100), "winning": (ahead, 200), "losing": (behind, 100), "diversity": (alike, 200)}


@pytest.mark.parametrize("healthy", [DEMO, LSGAN, WASSERSTEIN])
def test_recorded_healthy_runs_are_left_in_peace(healthy):
    assert told(healthy) == []


@pytest.mark.parametrize(
    ("spoiled", "expected"),
    [(SATURATED, [(300, "saturation")]), (WON, [(400, "winning")]), (LOST, [(300, "losing")])],
)
def test_recorded_spoiled_runs_are_told_what_is_wrong_with_them(spoiled, expected):
    assert told(spoiled) == expected


@pytest.mark.parametrize("kind", TROUBLES)
@pytest.mark.parametrize("every", [1, 10, 50])
def test_each_trouble_is_told_once_when_it_has_lasted(kind, every):
    change, lasts = TROUBLES[kind]
    ((step, found),) = told(series((500, as_ever), (2000, change), every=every))
    assert found == kind
    assert 0 <= 500 + lasts - step <= (20 if kind == "winning" else 0)
    short = lasts - max(every, 20 if kind == "winning" else 0)
    assert told(series((500, as_ever), (short, change), (500, as_ever), every=every)) == []


@pytest.mark.parametrize("kind", TROUBLES)
def test_sparse_lines_are_judged_as_well(kind):
    change, _ = TROUBLES[kind]
    assert [kind for _, kind in told(series((2000, as_ever), (4000, change), every=500))] == [kind]


@pytest.mark.parametrize("kind", TROUBLES)
def test_trouble_that_passed_and_came_again_is_told_again(kind):
    change, _ = TROUBLES[kind]
    found = told(series((500, as_ever), (500, change), (500, as_ever), (500, change)))
    assert [(step > 1500, kind) for step, kind in found] == [(False, kind), (True, kind)]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("saturation", lambda step: {"gradient/generator": 0.03}),
        ("winning", lambda step: {"accuracy": 0.985}),
        ("losing", lambda step: {"accuracy": 0.2}),
        ("diversity", lambda step: {"difference/fake": 0.03}),
    ],
)
def test_trouble_that_only_eased_is_not_told_again(kind, change):
    trouble, _ = TROUBLES[kind]

    def eased(step):
        return trouble(step) | change(step)

    found = told(series((500, as_ever), (500, trouble), (500, eased), (500, trouble)))
    assert [kind for _, kind in found] == [kind]


@pytest.mark.parametrize("kind", TROUBLES)
def test_the_first_steps_are_left_in_peace(kind):
    change, lasts = TROUBLES[kind]
    grown = {"gradient/generator": 6.0} if kind == "saturation" else {}
    parts = [(10, lambda step: grown), (190 + lasts - 10, change)]
    assert told(series(*parts)) == []
    assert told(series(*parts, (10, change))) == [(200 + lasts, kind)]


def test_large_logits_alone_are_no_saturation():
    def unbounded(step):
        return {"logits/real": 3.0 * step, "logits/fake": 3.0 * step - 5, "logits/spread": 3.0 * step}

    assert told(series((3000, unbounded))) == []


def test_logits_that_explode_are_told_at_once_and_again_once_they_were_calm():
    health = Health()
    told = [
        [sign.kind for sign in health.see(step, {"logits/spread": spread})]
        for step, spread in enumerate((200.0, 2e6, 9e22, 5e5, 3e6, 9e3, 2e6, 1e7), 1)
    ]
    assert told == [[], ["explosion"], [], [], [], [], ["explosion"], []]
    assert health.see(9, {}) == []


def test_a_small_gradient_alone_is_no_saturation():
    assert told(series((500, as_ever), (1000, lambda step: {"gradient/generator": 1e-9}))) == []


def test_an_accuracy_of_one_alone_is_no_victory():
    def shrinking(step):
        return {"accuracy": 1.0, "logits/real": 1 + 500 / step, "logits/fake": -1.0}

    assert told(series((3000, shrinking))) == []
    assert told(series((3000, lambda step: ahead(step) | {"accuracy": 0.99}))) == []


def test_clips_that_are_all_the_same_by_nature_are_no_collapse():
    assert told(series((1000, lambda step: {"difference/real": 0.0, "difference/fake": 0.0}))) == []


@pytest.mark.parametrize("missing", [*NAMES, None])
def test_missing_values_leave_the_rest_judged(missing):
    needs = {
        "saturation": {"logits/spread", "gradient/generator"},
        "winning": {"accuracy", "logits/real", "logits/fake"},
        "losing": {"accuracy"},
        "diversity": {"difference/real", "difference/fake"},
    }
    for kind, (change, _) in TROUBLES.items():
        whole = series((500, as_ever), (500, change))
        found = told([(step, {k: v for k, v in values.items() if k != missing}) for step, values in whole])
        assert [kind for _, kind in found] == ([] if missing in needs[kind] else [kind])
    assert told([(step, {"loss/vae": 1.0}) for step in range(10, 2000, 10)]) == []


def test_a_line_without_a_value_does_not_end_what_lasts():
    lasting = series((500, as_ever), (500, alike))
    gaps = [(s, {} if s % 30 == 20 else v) for s, v in lasting]
    assert told(gaps) == told(lasting)


def test_a_resumed_run_goes_on_as_if_it_had_not_stopped():
    rng = random.Random(0)
    changes = [as_ever, *(change for change, _ in TROUBLES.values())]
    parts = [(rng.randrange(50, 500, 10), rng.choice(changes)) for _ in range(40)]
    whole = [
        (step, {name: value * rng.uniform(0.9, 1.1) if name != "accuracy" else value for name, value in values.items()})
        for step, values in series(*parts)
    ]
    unbroken = told(whole)
    assert {kind for _, kind in unbroken} == set(TROUBLES)
    for cut in rng.sample(range(len(whole)), 20):
        again = Health()
        before = told(whole[:cut], again)
        assert before + told(whole[cut:], again) == unbroken
        fresh = Health()
        told(whole[:cut], fresh)
        assert told(whole[cut:], fresh) == unbroken[len(before) :]


def test_it_keeps_no_more_than_a_window_of_lines():
    health = Health()
    for step in itertools.islice(itertools.count(10, 10), 5000):
        health.see(step, WELL)
    assert len(health._window) <= 30


@pytest.mark.parametrize("kind", TROUBLES)
def test_a_sentence_has_the_numbers_and_what_helps(kind):
    change, _ = TROUBLES[kind]
    health = Health()
    (sentence,) = [text for step, v in series((500, as_ever), (500, change)) for _, text in health.see(step, v)]
    assert re.search(r"what usually helps is .*(--|penalty\.gamma).*\.$", sentence)
    seen = {"saturation": ["80", "1e-06", "5.8"], "winning": ["99.7%", "10.7", "15.3"], "losing": ["98.0%"]}
    for number in seen.get(kind, ["0.01", "0.19"]):
        assert number in sentence


def test_numbers_that_are_not_finite_are_no_sign():
    assert told(series((2000, lambda step: dict.fromkeys(NAMES, math.nan)))) == []
