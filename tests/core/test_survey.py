"""What a survey measures of a video, against what is known of it."""

from __future__ import annotations

import base64
import gc
import io
import itertools
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
from clips import encode, moving
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from gadkit.errors import DataError
from gadkit.interfaces.dataset import Dataset, Footage, Source
from gadkit.survey.measure import Measure, measure, spread, survey
from gadkit.video.decode import open_video
from gadkit.video.geometry import Geometry

SIZE = Geometry(height=16, width=24)


class Timed(Dataset):
    """Videos in memory: frames, and the time of each."""

    def __init__(self, videos, access="pack"):
        self.videos = videos
        self.access = access

    def sources(self):
        return [Source(name=name) for name in self.videos]

    def open(self, source):
        return self._footage(source.name)

    def read(self):
        return ((source, self._footage(source.name)) for source in self.sources())

    def _footage(self, name):
        fps, times, frames = self.videos[name]
        return Footage(fps=fps, timed=(_good(pair) for pair in zip(times, frames, strict=True)))


def _good(pair):
    if pair[1] is None:
        raise DataError("the frame is damaged.")
    return pair


def steady(frames, fps=25.0):
    return fps, [number / fps for number in range(len(frames))], frames


def one(video, geometry=SIZE, frames=4, stride=1, pictures=False) -> Measure:
    arguments = {"geometry": geometry.to_dict(), "frames": frames, "stride": stride, "pictures": pictures}
    return Measure(**measure(Timed({"v": video}), Source(name="v"), arguments, lambda: None))


def survey_of(videos, access="pack", **options):
    dataset = Timed(videos, access)
    return survey(dataset, dataset.sources(), SIZE, **{"frames": 4, "workers": 1, **options})


def pixels(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"))


@pytest.mark.parametrize("fps", [None, 7.5, 25.0, 60.0])
def test_a_survey_counts_what_training_would_get(fps):
    frames = moving(31, 20, 30)
    times = np.cumsum(np.random.default_rng(0).uniform(0.02, 0.06, len(frames))).tolist()
    video = 25.0, times, frames
    geometry = Geometry(height=16, width=24, fps=fps)
    found = one(video, geometry)
    assert found.kept == len(list(geometry.frames(Footage(fps=25.0, timed=zip(times, frames, strict=True)))))
    assert (found.frames, found.height, found.width, found.alpha) == (31, 20, 30, False)
    assert found.seconds == pytest.approx(times[-1] - times[0] + 1 / 25)


def test_every_frame_is_a_sign_of_life():
    beats = []
    arguments = {"geometry": SIZE.to_dict(), "frames": 4, "stride": 1, "pictures": False}
    measure(Timed({"v": steady(moving(9))}), Source(name="v"), arguments, lambda: beats.append(1))
    assert len(beats) == 9


def test_a_video_that_fails_at_its_last_frame_is_broken():
    found = survey_of({"good": steady(moving(5)), "bad": steady([*moving(5), None])})
    assert [video.measure is None for video in found.videos] == [False, True]
    assert "damaged" in found.videos[1].reason


@pytest.mark.parametrize(
    ("times", "variable"),
    [
        ([0, 0.04, 0.08, 0.12, 0.16], False),
        ([0, 0.03, 0.06, 0.1, 0.13, 0.16, 0.2], False),  # 30 Hz in the hundredths of a second of a GIF
        ([0.033, 0.067, 0.1, 0.133, 0.167], False),  # 30 Hz in milliseconds
        ([0, 0.04, 0.08, 0.12, 0.5], True),
        ([0, 0.04, 0.08, 0.16, 0.24, 0.32], True),  # half the rate from the middle on
        ([0, 5], False),
    ],
)
def test_a_rate_is_variable_where_frames_leave_the_constant_one_by_half_a_frame(times, variable):
    assert one((25.0, times, moving(len(times)))).variable == variable


def test_frozen_plain_and_repeating_videos_are_told_apart():
    frames = moving(8)
    noise = np.random.default_rng(0).integers(-3, 4, (8, *frames[0].shape))
    frozen = one(steady(np.clip(frames[0] + noise, 0, 255).astype(np.uint8)))
    assert frozen.moving == 0
    assert not frozen.plain
    plain = one(steady(np.full((8, 16, 16, 3), 90, np.uint8)))
    assert plain.plain
    assert plain.repeated == 7
    doubled = one(steady(np.repeat(frames, 2, axis=0)))
    assert doubled.repeated == 8
    assert doubled.moving > 0.1
    assert one(steady(frames)).repeated == 0


def test_a_dot_that_moves_is_motion():
    frames = np.zeros((6, 64, 64, 3), np.uint8)
    for number in range(6):
        frames[number, 10:16, 8 * number : 8 * number + 6] = 255
    assert one(steady(frames)).moving >= 72 / 64**2 * 0.99


def test_a_fade_of_alpha_alone_is_motion_and_is_no_plain_colour():
    frames = np.full((6, 16, 16, 4), 100, np.uint8)
    frames[3:, :8, :, 3] = 255
    found = one(steady(frames))
    assert (found.alpha, found.plain) == (True, False)
    assert found.moving == 0.5


def test_equal_pixels_have_one_digest_whatever_file_they_come_from(tmp_path):
    frames = moving(6, 32, 48)
    files = [encode(tmp_path / "a.mp4", frames), encode(tmp_path / "b.mkv", frames, codec="ffv1", pix_fmt="bgr0")]
    changed = frames.copy()
    changed[5, 31, 47, 2] ^= 1
    files.append(encode(tmp_path / "c.mp4", changed))
    digests = [one((25.0, *zip(*open_video(file).timed, strict=True))).digest for file in files]
    assert digests[0] == digests[1] != digests[2]


def test_equal_bytes_of_another_shape_have_another_digest():
    frames = moving(3, 16, 32)
    assert one(steady(frames)).digest != one(steady(frames.reshape(3, 32, 16, 3))).digest


@pytest.mark.parametrize("length", [1, 2, 3, 16, 200])
def test_stills_are_the_first_the_middle_and_the_last_frame_of_training(length):
    frames = [np.full((20, 30, 3), number, np.uint8) for number in range(length)]
    stills = [pixels(still) for still in one(steady(frames), pictures=True).stills]
    assert all(still.shape == (16, 24, 3) for still in stills)
    shown = [int(still[0, 0, 0]) for still in stills]
    assert (shown[0], shown[2]) == (0, length - 1)
    assert abs(shown[1] - (length - 1) / 2) <= max(0.5, length / 16)


def test_the_clip_plays_the_frames_of_a_training_clip_at_its_rate():
    frames = [np.full((16, 24, 3), 20 * number, np.uint8) for number in range(12)]
    found = one(steady(frames, 20.0), frames=4, stride=3, pictures=True)
    played = Image.open(io.BytesIO(base64.b64decode(found.clip)))
    shown = [(np.asarray(frame.convert("RGB")), frame.info["duration"]) for frame in ImageSequence.Iterator(played)]
    assert [duration for _, duration in shown] == [150] * 4
    for (frame, _), number in zip(shown, (0, 3, 6, 9), strict=True):
        assert np.abs(frame.astype(int) - 20 * number).max() <= 3


def test_pictures_of_large_frames_are_small():
    found = one(steady(moving(4, 300, 200)), Geometry(height=300, width=200), pictures=True)
    assert pixels(found.stills[0]).shape == (160, 107, 3)
    assert Image.open(io.BytesIO(base64.b64decode(found.clip))).size == (107, 160)


def test_a_long_video_is_never_held_in_memory():
    alive = [0, 0]

    def frames() -> Iterator[np.ndarray]:
        for number in range(3000):
            frame = np.full((16, 24, 3), number % 251, np.uint8)
            alive[0] += 1
            weakref.finalize(frame, lambda: alive.__setitem__(0, alive[0] - 1))
            alive[1] = max(alive)
            yield frame

    gc.collect()
    found = one((25.0, [number / 25 for number in range(3000)], frames()), frames=8, pictures=True)
    assert found.frames == 3000
    assert alive[1] < 100


@given(st.integers(0, 10**15), st.integers(0, 50) | st.none())
def test_a_sample_is_spread_evenly(total, limit):
    places = spread(total, limit)
    if limit is None or limit >= total:
        assert places == range(total)
        return
    assert len(places) == limit
    assert all(0 <= place < total for place in places)
    gaps = [after - before for before, after in itertools.pairwise([*places, total])]
    assert not gaps or min(gaps) >= 1
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_pictures_are_of_usable_videos_evenly_and_as_many_as_were_asked_for():
    good, bad = steady(moving(5)), steady([*moving(3), None])
    videos = {f"v{number}": bad if number % 4 == 0 else good for number in range(16)}
    found = survey_of(videos, pictures=4)  # the evenly chosen ones are the broken ones
    pictured = [video.source.name for video in found.videos if video.measure and video.measure.clip]
    assert len(pictured) == 4
    assert {int(name[1:]) // 4 for name in pictured} == {0, 1, 2, 3}
    assert sum(bool(video.measure and video.measure.clip) for video in survey_of(videos, pictures=99).videos) == 12
    assert not any(video.measure and video.measure.clip for video in survey_of(videos).videos)


def test_progress_tells_every_video():
    seen = []
    survey_of({f"v{number}": steady(moving(3)) for number in range(3)}, progress=lambda *told: seen.append(told))
    assert seen == [(1, 3, "v0"), (2, 3, "v1"), (3, 3, "v2")]


def test_a_limit_takes_a_sample_of_what_is_there():
    found = survey_of({f"v{number}": steady(moving(3)) for number in range(9)}, limit=3)
    assert [video.source.name for video in found.videos] == ["v0", "v3", "v6"]
    assert found.total == 9


@pytest.mark.parametrize(("limit", "total"), [(2, None), (9, 4)])
def test_a_pipe_is_read_once_and_no_further_than_its_limit(limit, total):
    good, bad = steady(moving(5)), steady([*moving(3), None])
    videos = {"a": good, "b": bad, "c": good, "d": good}
    found = survey_of(videos, "pipe", limit=limit, pictures=1)
    assert [video.source.name for video in found.videos] == list("abcd")[:limit]
    assert found.total == total
    assert found.videos[1].reason == "the frame is damaged."
    assert found.videos[0].measure.clip
