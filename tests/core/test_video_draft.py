"""Frames that the decoder makes small look like those that are made small afterwards."""

import av
import numpy as np
import pytest
from clips import LOSSLESS, encode, moving, picture, to_yuv

from gadkit.interfaces.dataset import Footage
from gadkit.video.decode import open_video
from gadkit.video.draft import current, drawn, source_size
from gadkit.video.geometry import Geometry
from gadkit.video.transforms import fit


def both(path, **values):
    """Frames shrunk by the decoder, and by `fit` from full frames; int, `(T, H, W, 3)` each."""
    geometry = Geometry(**values)
    early = np.stack(list(geometry.frames(open_video(path)))).astype(int)
    late = [fit(frame, geometry.height, geometry.width, how=geometry.fit) for frame in open_video(path).frames]
    return early, np.stack(late).astype(int)


def drafted(path, geometry):
    """The shapes in which frames come, and the sizes that they had."""

    def noted():
        for time, frame in open_video(path).timed:
            seen.append((frame.shape[:2], source_size(frame)))
            yield time, frame

    seen = []
    for _ in geometry.frames(Footage(fps=25, timed=noted())):  # whatever lies between does not matter
        pass
    return set(seen)


def h264(path, height=128, width=128, pix_fmt="yuv420p", **options):
    frames = moving(3, height, width)
    return encode(path, frames, codec="libx264", pix_fmt=pix_fmt, options={"qp": "0"}, **options)


@pytest.mark.parametrize(
    ("size", "values", "shape"),
    [
        ((128, 128), {"height": 64, "width": 64}, (64, 64)),
        ((96, 160), {"height": 30, "width": 50}, (30, 50)),
        ((144, 256), {"height": 16, "width": 16}, (36, 64)),
        ((256, 144), {"height": 16, "width": 16, "fit": "letterbox"}, (32, 18)),
        ((144, 256), {"height": 40, "width": 40, "fit": "stretch"}, (40, 40)),
        ((130, 62), {"height": 16, "width": 16}, (130, 62)),
        ((64, 64), {"height": 64, "width": 64}, (64, 64)),
        ((64, 64), {"height": 96, "width": 96}, (64, 64)),
    ],
)
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p"])
def test_smooth_frames_are_the_same(tmp_path, size, values, shape, pix_fmt):
    path = h264(tmp_path / "a.mp4", *size, pix_fmt)
    assert drafted(path, Geometry(**values)) == {(shape, size)}
    early, late = both(path, **values)
    difference = np.abs(early - late)
    # The waves are 8 to 30 pixels long; where little is left of one, filters differ at the borders.
    assert difference.mean() < 0.6
    assert difference[:, 1:-1, 1:-1].max() <= (3 if min(size) >= 96 else 8)


def test_the_finest_detail_is_filtered_alike(tmp_path):
    noise = np.random.default_rng(0).integers(30, 220, (2, 128, 128, 1), dtype=np.uint8).repeat(3, axis=3)
    planes = [to_yuv(frame / 255.0, 6, False) for frame in noise]
    path = encode(
        tmp_path / "a.mkv", [picture(each, "yuv444p") for each in planes], codec="ffv1", pix_fmt="yuv444p", options={}
    )
    early, late = both(path, height=64, width=64)
    assert np.abs(early - late).max() <= 5
    assert abs((early - late).mean()) < 0.1
    board = np.repeat((255 * (np.indices((128, 128)).sum(0) % 2)).astype(np.uint8)[None, ..., None], 3, axis=3)
    path = encode(tmp_path / "b.mp4", board, codec="libx264", pix_fmt="yuv420p", options={"qp": "0"})
    assert np.abs(both(path, height=48, width=48)[0] - 127.5).max() < 4  # it does not alias


@pytest.mark.parametrize("turn", [(90, False, False), (180, False, False), (270, True, False), (0, True, False)])
def test_turned_frames(tmp_path, turn):
    path = h264(tmp_path / "a.mp4", 96, 160, rotation=turn)
    upright = (160, 96) if turn[0] % 180 else (96, 160)
    target = {"height": upright[0] // 4, "width": upright[1] // 4}
    assert drafted(path, Geometry(**target)) == {((target["height"], target["width"]), upright)}
    early, late = both(path, **target)
    assert np.abs(early - late).mean() < 0.6


def test_pixels_that_are_not_square(tmp_path):
    path = h264(tmp_path / "a.mp4", 96, 96, aspect=2)
    assert drafted(path, Geometry(height=24, width=48)) == {((24, 48), (96, 192))}
    early, late = both(path, height=24, width=48)
    assert np.abs(early - late).mean() < 0.6


@pytest.mark.parametrize("transfer", [16, 18])
def test_high_range(tmp_path, transfer):
    planes = [to_yuv(0.4 + 0.15 * frame / 255.0, 9, False, 10) for frame in moving(2, 128, 128)]
    tags = {"colorspace": 9, "color_range": 1, "color_trc": transfer, "color_primaries": 9}
    frames = [picture(each, "yuv444p10le") for each in planes]
    path = encode(tmp_path / "a.mkv", frames, codec="ffv1", pix_fmt="yuv444p10le", options={}, tags=tags)
    assert drafted(path, Geometry(height=32, width=32)) == {((32, 32), (128, 128))}
    early, late = both(path, height=32, width=32)
    assert np.abs(early - late).mean() < 0.8


def test_what_would_change_more_than_its_size_is_left_alone(tmp_path):
    rgba = np.concatenate([moving(2, 64, 64), moving(2, 64, 64, seed=3)[..., :1]], axis=3)
    paths = [
        encode(tmp_path / "rgb.mkv", moving(2, 64, 64), **LOSSLESS["ffv1"]),
        encode(tmp_path / "alpha.mov", rgba, codec="prores_ks", pix_fmt="yuva444p10le", options={"profile": "4444"}),
        encode(
            tmp_path / "fields.mpg", moving(2, 64, 64), codec="mpeg2video", pix_fmt="yuv420p",
            options={"flags": "+ildct+ilme"},
        ),
    ]  # fmt: skip
    with av.open(str(paths[2])) as container:
        assert next(container.decode(video=0)).interlaced_frame
    for path in paths:
        early, late = both(path, height=32, width=32)
        assert np.array_equal(early, late)


def test_the_wish_ends_with_the_drawing(tmp_path):
    path = h264(tmp_path / "a.mp4")
    frames = drawn(open_video(path).frames, lambda height, width: (32, 16))
    assert next(frames).shape == (32, 16, 3)
    assert current() is None
    assert next(open_video(path).frames).shape == (128, 128, 3)
    assert next(frames).shape == (32, 16, 3)
