"""From rows to numbers: halves that share nothing, and values, spreads and floors as direct computation has them."""

import math
import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_evaluations import Gap

from gadkit.evaluation.scores import FEWEST_VIDEOS, Score, Side, score
from gadkit.randomness import Key


def side(clips_per_video, seed=0):
    """Rows `(N, 2)`, of so many clips of each video."""
    videos = torch.tensor([video for video, count in enumerate(clips_per_video) for _ in range(count)])
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(videos), generator=generator)
    return Side(torch.randn(len(videos), 2, generator=generator, dtype=torch.float64), videos[order])


COUNTS = st.lists(st.integers(1, 9), min_size=1, max_size=24).filter(lambda counts: sum(counts) > 1)


@given(COUNTS, st.integers(0, 2**32))
@settings(deadline=None, max_examples=200)
def test_halves_are_disjoint_of_one_size_and_of_different_videos_where_these_are_many(counts, seed):
    one = side(counts, seed)
    first, second = one.halves(Key.of(seed, "halves"), one.half)
    assert len(first) == len(second) == one.half
    assert one.half >= (sum(counts) - (max(counts) if len(counts) >= FEWEST_VIDEOS else 1)) // 2
    assert len({*first.tolist(), *second.tolist()}) == 2 * one.half
    if len(counts) >= FEWEST_VIDEOS:
        assert not set(one.videos[first].tolist()) & set(one.videos[second].tolist())


def test_halves_differ_between_resamplings_and_take_every_clip_in_turn():
    one = side([3] * 12)
    halves = [one.halves(Key.of(0, "halves", number), one.half)[0] for number in range(40)]
    assert len({tuple(sorted(half.tolist())) for half in halves}) == 40
    counts = torch.bincount(torch.cat(halves), minlength=36)
    assert (counts > 5).all()
    assert (counts < 35).all()


def direct(generated, real, resamplings, seed):
    """The values of `Gap` by the definition: of halves, and between halves of the real clips."""
    half = min(generated.half, real.half)
    gaps, floors = [], []
    for number in range(resamplings):
        key = Key.of(seed, "evaluation", "halves", number)
        mine = generated.rows[generated.halves(key.fold("generated"), half)[0], 0]
        theirs, others = (real.rows[which, 0] for which in real.halves(key.fold("real"), half))
        gaps.append(float((theirs.mean() - mine.mean()).abs()))
        floors.append(float((theirs.mean() - others.mean()).abs()))
    return half, gaps, floors


@pytest.mark.parametrize("resamplings", [1, 2, 7])
@pytest.mark.parametrize("counts", [([1] * 20, [2] * 9), ([5, 5], [1] * 11)])
def test_value_spread_and_floor_are_those_of_direct_computation(resamplings, counts):
    generated, real = side(counts[0], 1), side(counts[1], 2)
    half, gaps, floors = direct(generated, real, resamplings, seed=3)
    found = score(Gap, generated, real, None, resamplings=resamplings, floor=True, seed=3)
    gap = found["gap"]
    assert gap.value == pytest.approx(statistics.fmean(gaps), rel=1e-12)
    assert gap.floor == pytest.approx(statistics.fmean(floors), rel=1e-12)
    spreads = (statistics.stdev(gaps), statistics.stdev(floors)) if resamplings > 1 else (None, None)
    assert (gap.std, gap.floor_std) == (pytest.approx(spreads) if resamplings > 1 else spreads)
    assert (gap.clips, gap.best, found["count"].best) == ((half, half), "lowest", "highest")
    assert found["count"].value == half
    assert score(Gap, generated, real, None, resamplings=resamplings, floor=False, seed=3)["gap"].floor is None


def test_without_resampling_all_clips_are_taken_once():
    generated, real = side([1] * 5, 1), side([2] * 9, 2)
    found = score(lambda: Gap(scale=2.0), generated, real, None, resamplings=0, floor=True, seed=0)["gap"]
    assert found.value == pytest.approx(2 * float((real.rows[:, 0].mean() - generated.rows[:, 0].mean()).abs()))
    assert (found.std, found.floor, found.clips) == (None, None, (5, 18))


def test_resampling_depends_on_the_seed_and_on_no_other_draw():
    generated, real = side([1] * 20, 1), side([1] * 20, 2)

    def found(seed):
        return score(Gap, generated, real, None, resamplings=3, floor=True, seed=seed)

    torch.manual_seed(1)
    one = found(5)
    torch.manual_seed(2)
    assert one == found(5)
    assert one["gap"].value != found(6)["gap"].value


class Endless(Gap):
    """Gives what is no number."""

    def compute(self):
        return {"gap": torch.tensor(math.inf, dtype=torch.float64), "count": torch.tensor(math.nan)}


def test_what_is_not_finite_is_no_error_and_nothing_in_json():
    found = score(Endless, side([1] * 9), side([1] * 9), None, resamplings=3, floor=True, seed=0)
    told = found["gap"].to_dict()
    assert (told["value"], told["std"], told["floor"]) == (None, None, None)
    assert found["count"].to_dict()["value"] is None
    assert Score(value=1.5).to_dict()["value"] == 1.5
