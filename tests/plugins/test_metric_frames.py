"""Frame-wise distances and scores against torchmetrics' own, over the same vectors."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore as ImageInceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

import gadkit
from gadkit_plugins.metrics import (
    FrameFrechetDistance,
    FrameKernelDistance,
    FrechetVideoDistance,
    InceptionScore,
    KernelVideoDistance,
)
from gadkit_plugins.metrics.reservoir import Reservoir


class Vectors(nn.Module):
    """Hands on what it is given, as torchmetrics' `feature`."""

    num_features = 10

    def forward(self, rows):
        return rows


def clips(seed=0):
    """Vectors of frames, `(B, T, D)`, float64."""
    generator = torch.Generator().manual_seed(seed)
    real, generated = (torch.randn(count, 5, 10, generator=generator, dtype=torch.float64) for count in (60, 50))
    return real, generated @ torch.diag(torch.linspace(0.5, 1.5, 10, dtype=torch.float64)) + 0.2


def fill(metric, real, generated):
    metric.update(real, real=True)
    metric.update(generated, real=False)
    return metric


def test_fid_is_torchmetrics():
    real, generated = clips()
    theirs = fill(FrechetInceptionDistance(Vectors()), *(rows.flatten(0, 1) for rows in (real, generated)))
    assert fill(FrameFrechetDistance(), real, generated).compute()["fid"].item() == pytest.approx(
        theirs.compute().item(), rel=1e-9
    )


def test_fid_keeps_the_digits_that_torchmetrics_loses_far_from_the_origin():
    real, generated = ((rows * 2**20).round() / 2**20 for rows in clips())
    near = fill(FrameFrechetDistance(), real, generated).compute()["fid"].item()
    assert fill(FrameFrechetDistance(), real + 1e6, generated + 1e6).compute()["fid"].item() == pytest.approx(
        near, rel=1e-9
    )
    own = fill(FrechetVideoDistance(divisor="n-1"), real.flatten(0, 1), generated.flatten(0, 1))
    assert own.compute()["fvd"].item() == near


def test_kid_is_torchmetrics_over_the_same_subsets():
    metric = fill(FrameKernelDistance(subsets=8, subset_size=100, seed=3), *clips())
    found = metric.compute()
    sorted_rows = [metric.summary(side, Reservoir).rows for side in ("real", "generated")]
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(3)
        theirs = fill(KernelInceptionDistance(Vectors(), subsets=8, subset_size=100), *sorted_rows)
        mean, deviation = theirs.compute()
    assert found["kid"].item() == pytest.approx(mean.item(), rel=1e-9)
    assert found["kid_std"].item() == pytest.approx(deviation.item(), rel=1e-9)


def test_kid_over_all_frames_is_the_kernel_distance():
    real, generated = (rows[:40].flatten(0, 1) for rows in clips())
    found = fill(FrameKernelDistance(subsets=2, subset_size=200), real, generated).compute()
    assert found["kid"].item() == pytest.approx(fill(KernelVideoDistance(), real, generated).compute()["kvd"].item())
    assert found["kid_std"].item() < 1e-12


def test_subsets_follow_from_the_seed_alone():
    def kid(seed):
        return fill(FrameKernelDistance(subsets=2, subset_size=20, seed=seed), *clips()).compute()["kid"].item()

    before = torch.random.get_rng_state()
    torch.manual_seed(1)
    first = kid(0)
    torch.manual_seed(2)
    assert kid(0) == first != kid(1)
    torch.random.set_rng_state(before)


def score(rows, **settings):
    metric = InceptionScore(**settings)
    metric.update(rows, real=False)
    return {name: value.item() for name, value in metric.compute().items()}


def by_definition(rows):
    shares = torch.softmax(rows, 1).numpy()
    return np.exp((shares * np.log(shares / shares.mean(0))).sum(1).mean())


def test_the_score_is_its_definition():
    rows = clips()[1].flatten(0, 1) * 2
    assert score(rows, splits=1) == {"is": pytest.approx(by_definition(rows), rel=1e-12), "is_std": 0}


def test_the_score_is_torchmetrics_and_leaves_the_global_generator_alone():
    metric = InceptionScore(splits=7, seed=5)
    metric.update(clips()[1], real=False)
    torch.manual_seed(8)
    before = torch.random.get_rng_state()
    found = metric.compute()
    assert torch.equal(before, torch.random.get_rng_state())
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(5)
        theirs = ImageInceptionScore(Vectors(), splits=7)
        theirs.update(metric.summary("generated", Reservoir).rows)
        mean, deviation = theirs.compute()
    assert found["is"].item() == pytest.approx(mean.item(), rel=1e-12)
    assert found["is_std"].item() == pytest.approx(deviation.item(), rel=1e-9)


def test_the_score_counts_the_classes_and_bears_certain_ones():
    """One sure class each, all K alike: K. All of one class: 1."""
    rows = torch.eye(10, dtype=torch.float64).repeat(6, 1) * 1e4
    assert score(rows, splits=1)["is"] == pytest.approx(10)
    assert score(rows[:1].repeat(12, 1), splits=3) == {"is": pytest.approx(1), "is_std": pytest.approx(0)}


def test_the_score_passes_real_clips_over():
    real, generated = clips()
    metric = fill(InceptionScore(), real, generated)
    assert metric.compute()["is"].item() == score(generated)["is"]


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        (FrameKernelDistance(), "frames: 300 real, 250 generated; expected at least 1000 of each.*smaller subset_size"),
        (InceptionScore(splits=251), "250 generated; expected at least 251 of each"),
    ],
)
def test_too_few_frames_are_named(metric, words):
    with pytest.raises(gadkit.DataError, match=words):
        fill(metric, *clips()).compute()


def test_settings_that_exclude_each_other_are_refused():
    with pytest.raises(ValueError, match="subset_size: found 50, expected at most 40"):
        FrameKernelDistance(subset_size=50, limit=40)
    with pytest.raises(ValueError, match="splits: found 10, expected at most 4"):
        InceptionScore(limit=4)
