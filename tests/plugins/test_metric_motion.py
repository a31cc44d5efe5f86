"""Motion statistics: every kind of clip is told from real ones, and the numbers are what they are said to be."""

import itertools

import numpy as np
import pytest
import scipy.stats
import torch
from sklearn.metrics import roc_auc_score

from gadkit import DataError, write_video
from gadkit.video.decode import open_video
from gadkit_plugins.data.embedded_set import Embedded
from gadkit_plugins.metrics import MotionStatistics
from gadkit_plugins.metrics.motion_rows import (
    FLICKER,
    KINDS,
    LOOP,
    MOTION,
    ORDER,
    SPECTRUM,
    STILL,
    distances,
    kinds,
    loop_score,
    motion_rows,
    order_score,
    spectrum,
)

FRAMES = 16
TIMES = torch.arange(FRAMES)


def generator():
    return torch.Generator().manual_seed(3)


def noisy(clips, sigma):
    return (clips + sigma * torch.randn(clips.shape, generator=generator())).round().clamp(0, 255).byte()


def frozen(clips):
    return clips[:, 7:8].expand_as(clips).contiguous()


def shuffled(clips):
    return torch.stack([clip[torch.randperm(FRAMES, generator=random)] for random in [generator()] for clip in clips])


def flickering(clips, depth=0.06):
    return (clips * (1 + depth * (-1.0) ** TIMES)[:, None, None, None]).round().clamp(0, 255).byte()


def flashing(clips):
    clips = clips.clone()
    clips[:, 6] = (clips[:, 6] + 60.0).clamp(max=255).byte()
    return clips


def looping(clips, period):
    return clips[:, TIMES % period]


@pytest.fixture(scope="module")
def faces():
    """Real clips: the middle of every other embedded animation, uint8 `(28, 16, 3, 64, 64)`."""
    dataset, clips = Embedded(), []
    for source in dataset.sources()[::2]:
        frames = torch.from_numpy(np.stack(list(dataset.open(source).frames)))[..., :3]
        start = (len(frames) - FRAMES) // 2
        clips.append(frames[start : start + FRAMES, ::2, ::2].permute(0, 3, 1, 2))
    return torch.stack(clips)


def shares(clips):
    return dict(zip(KINDS, kinds(motion_rows(clips)).double().mean(0).tolist(), strict=True))


@pytest.fixture(params=["as they are", "noisy", "from a file"])
def treated(request, tmp_path):
    """What happens to clips on their way: nothing, camera noise, or H.264."""

    def treat(clips):
        if request.param != "from a file":
            return noisy(clips, 8) if request.param == "noisy" else clips
        path = tmp_path / "clips.mp4"
        write_video(path, clips.flatten(0, 1).permute(0, 2, 3, 1), 25)
        frames = torch.from_numpy(np.stack(list(open_video(path).frames)))[..., :3]
        return frames.permute(0, 3, 1, 2).unflatten(0, (-1, FRAMES))

    return treat


def test_real_clips_are_of_no_kind(faces, treated):
    found = shares(treated(faces))
    assert found["frozen"] == 0
    assert all(share <= 0.08 for share in found.values()), found


@pytest.mark.parametrize(
    ("kind", "damage", "least"),
    [
        ("frozen", frozen, 1.0),
        ("flickering", flickering, 1.0),
        ("flickering", flashing, 1.0),
        ("shuffled", shuffled, 0.8),
        ("looping", lambda clips: looping(clips, 4), 0.85),
        ("looping", lambda clips: looping(clips, 8), 0.9),
        ("looping", lambda clips: clips[:, 3 - (TIMES % 6 - 3).abs()], 0.85),
    ],
    ids=["frozen", "flickering", "flashing", "shuffled", "loop of 4", "loop of 8", "forth and back"],
)
def test_damaged_clips_are_found(faces, treated, kind, damage, least):
    assert shares(treated(damage(faces)))[kind] >= least


def test_a_fade_and_a_cut_are_none_of_it(faces):
    fading = (faces * torch.linspace(1, 0.3, FRAMES)[:, None, None, None]).byte()
    assert shares(fading)["flickering"] <= 0.04
    cut = torch.cat([faces[:, :8], 255 - faces[:, 8:]], dim=1)
    assert shares(cut)["flickering"] <= 0.08
    assert shares(cut)["looping"] <= 0.04


def test_a_still_clip_is_frozen_whatever_its_faint_changes_do_unless_it_flashes():
    clip = torch.full((1, FRAMES, 3, 32, 32), 90, dtype=torch.uint8)
    clip[:, ::3, :, 5, 5] += 3
    assert shares(clip) == {"frozen": 1, "flickering": 0, "shuffled": 0, "looping": 0}
    clip[:, 5] += 6
    assert shares(clip) == {"frozen": 0, "flickering": 1, "shuffled": 0, "looping": 0}


def test_the_order_score_has_mean_0_and_variance_1_over_all_orders():
    points = torch.rand(1, 6, 3, generator=generator(), dtype=torch.float64).cumsum(1)
    orders = torch.tensor(list(itertools.permutations(range(6))))
    scores = order_score(distances(points[0, orders]))
    assert scores.mean().item() == pytest.approx(0, abs=1e-12)
    assert scores.var(correction=0).item() == pytest.approx(1, rel=1e-12)
    assert scores[0] < -1


def test_scores_where_nothing_can_be_told():
    still = torch.zeros(1, 8, 5, dtype=torch.float64)
    equidistant = torch.eye(8, dtype=torch.float64)[None]
    for points in (still, equidistant):
        assert order_score(distances(points)).item() == pytest.approx(0, abs=1e-6)
    assert loop_score(distances(still)).item() == 1e6
    assert loop_score(distances(equidistant)).item() == pytest.approx(1)


def test_the_loop_score_finds_repetition_and_no_other_motion():
    around = 2 * torch.pi * torch.arange(FRAMES, dtype=torch.float64)

    def circle(period):
        return loop_score(distances(torch.stack([torch.cos(around / period), torch.sin(around / period)], 1)[None]))

    assert all(circle(period).item() < 1e-12 for period in range(2, 9))
    assert all(circle(period).item() > 1 for period in (16, 20, 50))
    line = torch.arange(FRAMES, dtype=torch.float64)[None, :, None]
    assert loop_score(distances(line)).item() == pytest.approx(64 / 24.5)  # 8² against half of 7²


def test_the_loop_score_is_its_formula():
    angle = 2 * torch.pi * torch.arange(FRAMES, dtype=torch.float64) / 8
    noise = 0.13 * torch.randn(FRAMES, 50, generator=generator(), dtype=torch.float64)
    squared = distances(torch.cat([torch.stack([angle.cos(), angle.sin()], 1), noise], 1)[None])
    lags = {lag: np.diagonal(squared[0].numpy(), lag) for lag in range(1, 9)}
    scores = []
    for period in range(2, 9):
        unit = max(lags[1].mean(), *(lags[lag].mean() / 2 for lag in range(1, period)))
        scores.append(lags[period].max() / unit)
    assert np.argmin(scores) == 6  # a period of 8
    assert loop_score(squared).item() == pytest.approx(min(scores), rel=1e-12)


def test_distances_and_spectrum_against_scipy_and_numpy():
    points = torch.randn(2, FRAMES, 40, generator=generator(), dtype=torch.float64)
    expected = scipy.spatial.distance.cdist(points[1], points[1], "sqeuclidean") / 40
    np.testing.assert_allclose(distances(points)[1], expected, atol=1e-12)
    steps = np.diff(points.numpy(), axis=1)
    power = (np.abs(np.fft.rfft(steps, n=16, axis=1)) ** 2).mean(2) / 15
    np.testing.assert_allclose(spectrum(points), power, rtol=1e-10)


def test_the_rows_of_a_clip_of_an_odd_size():
    clip = torch.randint(0, 256, (1, 9, 3, 37, 70), generator=generator(), dtype=torch.uint8)
    row = motion_rows(clip)[0]
    x = clip[0].double().numpy()
    assert row[MOTION].item() == pytest.approx(np.abs(np.diff(x, axis=0)).mean(), rel=1e-12)
    down, across = (np.arange(size) * 16 // size for size in (37, 70))
    blocks = np.array([[x[..., down == i, :][..., across == j].mean((2, 3)) for j in range(16)] for i in range(16)])
    assert row[STILL].item() == pytest.approx(blocks.mean(3).std(2).max(), rel=1e-12)
    squared = np.square(blocks[:, :, :, None] - blocks[:, :, None]).mean((0, 1, 4))
    assert row[ORDER].item() == pytest.approx(order_score(torch.from_numpy(squared)[None]).item(), rel=1e-9)
    assert row[LOOP].item() == pytest.approx(loop_score(torch.from_numpy(squared)[None]).item(), rel=1e-9)
    lattice = torch.from_numpy(x[None, ..., ::2, ::3].reshape(1, 9, -1))
    np.testing.assert_allclose(row[SPECTRUM:], spectrum(lattice)[0], rtol=1e-10)


def test_flicker_is_how_far_a_frame_stands_out():
    brightness = torch.tensor([10, 20, 30, 90, 37, 40, 50, 60, 70])
    clip = brightness.byte()[None, :, None, None, None].expand(1, 9, 3, 8, 8)
    assert motion_rows(clip)[0, FLICKER].item() == 52.5  # 60 up, 53 down; 7.5 a frame on the whole


def test_a_clips_row_is_its_own(faces):
    together = motion_rows(faces[:9])
    alone = torch.cat([motion_rows(clip[None]) for clip in faces[:9]])
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-9)
    assert together.dtype == torch.float64


def measured(generated, real):
    metric = MotionStatistics()
    metric.update(generated, real=False)
    metric.update(real, real=True)
    return {name: value.item() for name, value in metric.compute().items()}


def test_values_of_equal_sides_and_of_damaged_ones(faces):
    equal = measured(faces, faces)
    assert equal["spectrum"] == equal["motion"] == 0
    assert equal["disorder"] == pytest.approx(0.5, abs=1e-12)
    assert all(equal[kind] == equal[kind + "_real"] for kind in KINDS)
    half = measured(torch.cat([frozen(faces[:14]), faces[14:]]), faces)
    assert (half["frozen"], half["frozen_real"]) == (0.5, 0)
    assert measured(shuffled(faces), faces)["disorder"] > 0.98
    assert measured(frozen(faces), faces)["disorder"] == 0.5
    assert measured(faces, frozen(faces))["frozen_real"] == 1


def test_values_against_scipy_and_sklearn(faces):
    rows = motion_rows(torch.cat([faces[:18], shuffled(faces[18:])]))
    generated, real = rows[12:], rows[:12]
    found = measured(generated, real)
    assert found["motion"] == pytest.approx(
        scipy.stats.wasserstein_distance(generated[:, MOTION], real[:, MOTION]), abs=1 / 64
    )
    assert found["motion_generated"] == pytest.approx(generated[:, MOTION].mean().item(), rel=1e-12)
    labels = np.repeat([1, 0], [len(generated), len(real)])
    expected = roc_auc_score(labels, torch.cat([generated, real])[:, ORDER])
    assert found["disorder"] == pytest.approx(expected, abs=2e-3)


def test_twice_the_power_is_three_decibels(faces):
    rows = motion_rows(faces)
    louder = rows.clone()
    louder[:, SPECTRUM:] *= 2
    assert measured(louder, rows)["spectrum"] == pytest.approx(10 * np.log10(2), abs=0.01)


def test_memory_and_values_do_not_depend_on_how_clips_come(faces):
    rows = motion_rows(faces)
    whole = measured(rows, rows.flip(0))
    metric = MotionStatistics()
    for row in rows.flip(0).split(1):
        metric.update(row, real=False)
        metric.update(row, real=True)
    assert {name: value.item() for name, value in metric.compute().items()} == pytest.approx(whole, rel=1e-12)
    assert sum(state.nbytes for state in metric.metric_state.values()) < 1 << 20


def test_what_is_too_short_or_no_row_is_refused():
    with pytest.raises(DataError, match="found clips of 7 frames, expected at least 8"):
        MotionStatistics().update(torch.zeros(1, 7, 3, 8, 8, dtype=torch.uint8), real=True)
    with pytest.raises(ValueError, match="found vectors of 5 numbers, expected the 14"):
        MotionStatistics().update(torch.zeros(2, 5), real=True)
