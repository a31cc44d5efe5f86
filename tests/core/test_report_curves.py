"""Curves that are made small keep what matters: peaks, gaps and ends; scales hold every value."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gadkit.pages.numbers import number_text
from gadkit.report.curves import decimated, path, round_numbers, scales
from gadkit.report.log import Series

FINITE = st.floats(-1e300, 1e300, allow_nan=False)


def series(values, steps=None, parts=None):
    count = len(values)
    return Series(
        np.arange(count) if steps is None else np.array(steps, np.int64),
        np.array(values, np.float64),
        np.ones(count, np.int64) if parts is None else np.array(parts, np.int64),
    )


@st.composite
def long_series(draw):
    """Many values, with single ones far away, and with places where the run went back."""
    count = draw(st.integers(50, 3000))
    values = np.random.default_rng(draw(st.integers(0, 99))).normal(size=count)
    for place in draw(st.lists(st.integers(0, count - 1), max_size=5)):
        values[place] = draw(FINITE)
    steps = np.sort(np.random.default_rng(1).choice(count * 3, count, replace=False))
    parts = np.zeros(count, np.int64)
    for cut in draw(st.lists(st.integers(1, count - 1), max_size=3)):
        parts[cut:] += 1
        steps[cut:] -= draw(st.integers(0, 100))
    return series(values, np.abs(steps), parts)


@settings(max_examples=60, deadline=None)
@given(long_series(), st.integers(2, 50))
def test_each_column_keeps_its_extremes(found, columns):
    low, high = int(found.steps.min()), int(found.steps.max())
    curve = decimated(found, low, high, columns)
    points = set(zip(found.parts.tolist(), found.steps.tolist(), found.values.tolist(), strict=True))
    kept = set(zip(curve.parts.tolist(), curve.steps.tolist(), curve.values.tolist(), strict=True))
    assert kept <= points
    assert curve.values.min() == found.values.min()
    assert curve.values.max() == found.values.max()
    assert set(curve.parts.tolist()) == set(found.parts.tolist())
    for part in np.unique(found.parts):
        own, drawn = found.parts == part, curve.parts == part
        for column in range(columns):
            first, last = (low + (high - low) * (column + end) / columns for end in (0, 1))
            inside = own & (found.steps >= first) & ((found.steps < last) | (column == columns - 1))
            shown = drawn & (curve.steps >= first) & ((curve.steps < last) | (column == columns - 1))
            if inside.any():
                assert curve.values[shown].min() == found.values[inside].min()
                assert curve.values[shown].max() == found.values[inside].max()


@settings(max_examples=30, deadline=None)
@given(long_series(), st.integers(2, 50))
def test_a_curve_is_as_small_as_was_asked(found, columns):
    curve = decimated(found, int(found.steps.min()), int(found.steps.max()), columns)
    stretches = len(np.unique(found.parts))
    assert len(curve.values) <= max(2 * columns, 2 * (columns + 200 * stretches))
    if len(found.values) <= 2 * columns:
        assert curve.middle is None
        assert np.array_equal(curve.values, found.values)


def test_the_middle_of_a_column_is_its_mean():
    values = np.arange(1000.0)
    curve = decimated(series(values), 0, 1000, 10)
    assert curve.middle is not None
    steps, means, lows, highs, _ = curve.middle
    assert means == pytest.approx(values.reshape(10, 100).mean(1), rel=1e-12)
    assert np.array_equal(lows, values.reshape(10, 100).min(1))
    assert np.array_equal(highs, values.reshape(10, 100).max(1))
    assert np.array_equal(steps, np.arange(99, 1000, 100))
    assert len(curve.values) == 20


@settings(max_examples=200, deadline=None)
@given(st.lists(FINITE, min_size=1, max_size=80))
def test_scales_hold_every_value_in_its_order(values):
    found = np.array(sorted(values))
    shown = scales(found)
    assert [scale.name for scale in shown].count("linear") == 1
    for scale in shown:
        places = scale.place(found)
        assert ((places >= 0) & (places <= 1)).all()
        assert (np.diff(places) >= 0).all()
        assert scale.low < scale.high
        assert all(scale.low <= value <= scale.high for value, _ in scale.ticks)
        assert len(scale.ticks) <= 25
        if scale.name != "middle":
            assert scale.low <= found[0]
            assert found[-1] <= scale.high


def test_a_logarithmic_scale_comes_first_where_values_span_much():
    assert [scale.name for scale in scales(np.array([0.001, 1.0]))] == ["log", "linear"]
    assert [scale.name for scale in scales(np.array([0.03, 1.0]))] == ["linear", "log"]
    assert [scale.name for scale in scales(np.array([0.5, 1.0]))] == ["linear"]
    assert [scale.name for scale in scales(np.array([-1.0, 1000.0]))] == ["linear"]
    log = scales(np.array([1e-4, 1e4]))[0]
    assert [value for value, _ in log.ticks] == pytest.approx([1e-4, 1e-2, 1, 1e2, 1e4])
    first, *others = np.diff(log.place(np.array([1e-4, 1e-2, 1, 1e2, 1e4])))
    assert others == pytest.approx([first] * 3)


def test_a_lone_peak_gets_a_scale_without_it():
    values = np.concatenate([np.sin(np.arange(200.0)), [1000.0]])
    (linear, middle) = scales(values)
    assert linear.high >= 1000
    assert middle.name == "middle"
    assert middle.high < 3


@given(FINITE, st.floats(0, 1e300))
def test_round_numbers_lie_between_and_rise(low, size):
    found = round_numbers(low, low + size, 4)
    assert 1 <= len(found) <= 21
    assert all(low <= value <= low + size for value in found)
    assert found == sorted(found)


def test_a_path_begins_anew_with_each_part():
    steps, parts = np.array([0, 5, 10, 10, 20]), np.array([1, 1, 1, 2, 3])
    heights = np.array([0.0, 0.5, 1.0, 0.25, 0.5])
    assert path(steps, heights, parts, 0, 20) == "M0,1000L250,500L500,0M500,750h0M1000,500h0"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.87716, "0.8772"),
        (-0.5, "−0.5"),
        (12345.6, "12,350"),
        (1234567.0, "1.235e6"),
        (2e-7, "2e−7"),
        (1e300, "1e300"),
        (100.0, "100"),
        (0.99996, "1"),
        (math.nan, "not a number"),
        (math.inf, "∞"),
        (5e-324, "4.941e−324"),
    ],
)
def test_numbers_are_short(value, text):
    assert number_text(value) == text


@given(FINITE)
def test_a_short_number_is_nearly_the_number(value):
    text = number_text(value, 4)
    assert re.fullmatch(r"−?[\d,]+(\.\d*[1-9])?(e−?\d+)?", text)
    again = float(text.replace(",", "").replace("−", "-"))
    assert again == pytest.approx(value, rel=6e-4, abs=0)
