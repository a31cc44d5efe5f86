"""Footage keeps its pace at every frame rate."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gadkit.errors import DataError
from gadkit.interfaces.dataset import Footage
from gadkit.video.resample import MAX_GAP, resample

RATES = [1.0, 10.0, 12.5, 23.976, 24000 / 1001, 25.0, 29.97, 30000 / 1001, 30.0, 50.0, 60.0, 120.0, 240.0]


def shown(times, source_fps, fps):
    """Which frames come out, by their numbers."""
    frames = ((time, np.full((1, 1, 3), number, np.int64)) for number, time in enumerate(times))
    return [int(frame[0, 0, 0]) for frame in resample(Footage(fps=source_fps, timed=frames), fps)]


def to_milliseconds(times):
    return [round(time, 3) for time in times]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(RATES), st.integers(1, 400), st.floats(0, 1e4), st.booleans())
def test_the_same_rate_is_the_identity(rate, count, start, rounded):
    times = [start + number / rate for number in range(count)]
    assert shown(to_milliseconds(times) if rounded else times, rate, rate) == list(range(count))


@pytest.mark.parametrize("pair", [(29.97, 30000 / 1001), (23.976, 24000 / 1001), (59.94, 60000 / 1001)])
def test_two_names_of_one_rate_are_the_same_for_minutes(pair):
    for source, target in (pair, pair[::-1]):
        times = to_milliseconds(number / source for number in range(10_000))
        assert shown(times, source, target) == list(range(10_000))


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(RATES), st.integers(2, 6), st.integers(1, 100), st.floats(0, 100), st.booleans())
def test_integer_ratios_repeat_and_leave_out_exactly(rate, ratio, count, start, rounded):
    assume(rate * ratio <= 240)
    slow = [start + number / rate for number in range(count)]
    assert shown(to_milliseconds(slow) if rounded else slow, rate, rate * ratio) == [
        number for number in range(count) for _ in range(ratio)
    ]
    fast = [start + number / (rate * ratio) for number in range(count)]
    kept = max(1, math.floor(count / ratio + 0.5))
    assert (
        shown(to_milliseconds(fast) if rounded else fast, rate * ratio, rate)
        == list(range(0, count + ratio, ratio))[:kept]
    )


def reference(times, source_fps, fps):
    """By search instead of in one pass: for every tick, the last frame that counts as having appeared."""
    times = np.array(times) - times[0]
    period = min(1 / fps, 1 / source_fps)
    rounding = min(1.1e-3, period / 8)
    wanted = max(1, math.floor((times[-1] + 1 / source_fps) * fps + 0.5 + min(1.1e-3 * fps, 1 / 8)))
    return [int(np.flatnonzero(times <= tick / fps + period / 2 - rounding).max()) for tick in range(wanted)]


STEPS = st.lists(st.sampled_from([0.0, 0.001, 0.01, 1 / 60, 1 / 30, 0.04, 0.1, 0.37, 2.0]), max_size=60)


@settings(max_examples=300, deadline=None)
@given(STEPS, st.floats(0, 1e3), st.sampled_from(RATES))
def test_a_variable_rate_agrees_with_a_search(steps, start, fps):
    times = [start, *itertools.accumulate(steps, initial=start)]
    source_fps = len(times) / max(times[-1] - times[0], 0.01)
    assume(source_fps <= 1000)
    numbers = shown(times, source_fps, fps)
    assert numbers == reference(times, source_fps, fps)
    assert numbers == sorted(numbers)
    duration = times[-1] - times[0] + 1 / source_fps
    assert len(numbers) == 1 or abs(len(numbers) - duration * fps) <= 0.5 + 1 / 8
    # No frame is shown earlier than half a tick before its time, nor kept longer than half a tick beyond the next.
    for tick, number in enumerate(numbers):
        assert times[number] - times[0] <= (tick + 0.5) / fps
        if number + 1 < len(times):
            assert times[number + 1] - times[0] > tick / fps + min(1 / fps, 1 / source_fps) / 4


def test_a_phone_that_drops_to_half_its_rate():
    # 30 Hz, then 15 Hz in the dark, then 30 Hz: at 30 Hz the slow part is doubled and the pace stays.
    times = [n / 30 for n in range(30)] + [1 + n / 15 for n in range(15)] + [2 + n / 30 for n in range(30)]
    expected = [*range(30), *(30 + n // 2 for n in range(30)), *range(45, 75)]
    assert shown(to_milliseconds(times), 25.0, 30) == expected


def test_at_most_two_frames_are_held():
    alive = []

    class Counted(np.ndarray):
        def __del__(self):
            alive.remove(id(self))

    def frames():
        for number in range(200):
            frame = np.zeros(3, np.uint8).view(Counted)
            alive.append(id(frame))
            yield number / 30, frame
            del frame

    most = 0
    for _ in resample(Footage(fps=30, timed=frames()), 47.0):
        most = max(most, len(alive))
    assert most <= 3  # one held back, one current, one on its way


@pytest.mark.parametrize("jump", [-0.5, -1e-6, MAX_GAP * 1.001, 7200.0, 1e12, math.nan, math.inf])
def test_an_absurd_step_is_an_error_and_no_film_of_one_picture(jump):
    times = [0.0, 1.0, 1.0 + jump, 2.0 + jump]
    footage = Footage(fps=25, timed=((time, np.array(number)) for number, time in enumerate(times)))
    frames = resample(footage, 25)
    for _ in range(23):  # what comes before the step is not lost
        next(frames)
    with pytest.raises(DataError, match="later; expected steps"):
        [next(frames) for _ in range(4)]


def test_a_long_still_picture_is_kept():
    assert len(shown([0.0, MAX_GAP, MAX_GAP + 1], 1.0, 2.0)) == 2 * MAX_GAP + 4


def test_nothing_comes_of_nothing():
    assert shown([], 25.0, 30.0) == []
    assert shown([7.5], 25.0, 1.0) == [0]
    assert shown([7.5], 1.0, 25.0) == [0] * 25
