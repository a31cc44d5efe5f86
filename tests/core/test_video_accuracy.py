"""Decoding agrees with an `ffmpeg` program: which frames, when, and every pixel within 2 levels."""

from fractions import Fraction

import av
import ffmpeg
import numpy as np
import pytest
from clips import encode, moving, picture, to_yuv

from gadkit.video.decode import open_video

COUNT = 24
_BLOCK = 8


def stamped(count=COUNT, height=48, width=64):
    """Frames that carry their number: a row of five blocks, black for 0 and white for 1, and a sixth that is grey."""
    frames = moving(count, height, width)
    for number, frame in enumerate(frames):
        for bit in range(5):
            frame[:_BLOCK, bit * _BLOCK : (bit + 1) * _BLOCK] = 255 * (number >> bit & 1)
    return frames


def numbers(frames):
    """The numbers that `stamped` wrote."""
    middles = [frames[:, 2:6, bit * _BLOCK + 2 : bit * _BLOCK + 6, 0].mean((1, 2)) > 127 for bit in range(5)]
    return [int(sum(values[t] << bit for bit, values in enumerate(middles))) for t in range(len(frames))]


def read(path):
    timed = list(open_video(path).timed)
    return [time for time, _ in timed], np.stack([frame for _, frame in timed])


def check(path, expected, turns=0, **options):
    """Compares with `ffmpeg`, and returns the times; `turns` quarter turns lead to the numbers."""
    times, frames = read(path)
    assert numbers(np.rot90(frames, -turns, axes=(1, 2))) == expected
    other = ffmpeg.pixels(path, frames.shape[1:], "rgba" if frames.shape[3] == 4 else "rgb24", **options)
    assert other.shape == frames.shape
    assert np.abs(frames.astype(int) - other).max() <= 2
    assert times == pytest.approx(ffmpeg.times(path), abs=1e-6)
    return times


#: What H.264 and MPEG mean where they say nothing: chroma in line with the left of two pixels, BT.601, limited range.
MPEG = {"matrix": "bt601", "rng": "tv", "chroma": "left"}
B_FRAMES = {"codec": "libx264", "pix_fmt": "yuv420p"}
OPEN_GOP = {"qp": "10", "x264-params": "bframes=3:b-adapt=0:b-pyramid=normal:open-gop=1:keyint=8:scenecut=0"}
RATE = {"a.mp4": Fraction(30000, 1001), "a.mkv": 25, "a.ts": 50, "a.mov": 12}


@pytest.mark.parametrize("name", RATE)
def test_b_frames_and_open_groups(tmp_path, name):
    path = encode(tmp_path / name, stamped(), **B_FRAMES, options=OPEN_GOP, rate=RATE[name])
    with av.open(str(path)) as container:
        order = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert order != sorted(order)
    times = check(path, list(range(COUNT)), **MPEG)
    assert np.diff(times) == pytest.approx(np.full(COUNT - 1, 1 / float(RATE[name])), abs=1.1e-3)


# AVI has no times of presentation; what libav makes of the order of decoding is what ffmpeg shows as well.
@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.avi", "mpeg4", {"qscale": "2", "bf": "2"}),
        ("b.mp4", "mpeg4", {"qscale": "2", "bf": "2"}),
        ("c.mpg", "mpeg2video", {"qscale": "2", "bf": "2"}),
        ("d.webm", "libvpx-vp9", {"crf": "8", "b": "0", "cpu-used": "8", "auto-alt-ref": "1", "lag-in-frames": "10"}),
        ("e.mkv", "libx265", {"x265-params": "qp=8:bframes=3:open-gop=1:keyint=8:log-level=none:pools=1"}),
        ("f.mov", "prores_ks", {}),
        ("g.avi", "mjpeg", {"qscale": "2"}),
    ],
)
def test_codecs(tmp_path, name, codec, options):
    layout = {"prores_ks": "yuv422p10le", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
    path = encode(tmp_path / name, stamped(), codec=codec, pix_fmt=layout, options={**options, "flags": "+qscale"})
    middle = codec in ("libvpx-vp9", "prores_ks", "mjpeg")  # where nobody tells, chroma is taken to lie in the middle
    check(path, list(range(COUNT)), matrix="bt601", chroma="center" if middle else "left")


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_a_variable_rate(tmp_path, name):
    steps = np.random.default_rng(3).integers(10, 200, COUNT)
    told = np.cumsum(steps) - steps[0]
    with av.open(str(tmp_path / name), "w") as output:
        stream = output.add_stream("libx264", rate=25, options=OPEN_GOP)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for milliseconds, frame in zip(told, stamped(), strict=True):
            frame = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = int(milliseconds), Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    times = check(tmp_path / name, list(range(COUNT)), **MPEG)
    assert np.array(times) - times[0] == pytest.approx(told / 1000, abs=2e-4)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation(tmp_path, degrees):
    turned = (degrees, False, False)
    path = encode(tmp_path / "a.mp4", stamped(), codec="libx264", pix_fmt="yuv444p", options=OPEN_GOP, rotation=turned)
    check(path, list(range(COUNT)), turns=degrees // 90, **MPEG)


@pytest.mark.parametrize(("codec", "pix_fmt"), [("ffv1", "yuv420p"), ("libvpx-vp9", "yuv420p"), ("ffv1", "yuv410p")])
@pytest.mark.parametrize("size", [(47, 65), (33, 63), (48, 61)])
def test_odd_sizes(tmp_path, codec, pix_fmt, size):
    options = {"crf": "8", "b": "0", "cpu-used": "8"} if codec == "libvpx-vp9" else {}
    path = encode(tmp_path / "a.mkv", stamped(12, *size), codec=codec, pix_fmt=pix_fmt, options=options)
    check(path, list(range(12)), matrix="bt601", rng="tv")


def frames_of(matrix, full, pix_fmt, bits=8, count=4):
    """`av.VideoFrame`s of stamped pictures, by the definition of H.273; chroma of 4:2:0 lies in the middle."""
    for frame in stamped(count):
        planes = to_yuv(frame / 255.0, matrix, full, bits)
        if "420" in pix_fmt:
            halves = [plane.reshape(24, 2, 32, 2).mean((1, 3)).round() for plane in planes[1:]]
            planes[1:] = [half.astype(planes[0].dtype) for half in halves]
        yield picture(planes, pix_fmt)


@pytest.mark.parametrize(("matrix", "name"), [(1, "bt709"), (5, "bt470bg"), (6, "smpte170m"), (9, "bt2020nc")])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv444p", "yuv420p10le"])
def test_matrices_and_ranges(tmp_path, matrix, name, full, pix_fmt):
    tags = {"colorspace": matrix, "color_range": 2 if full else 1}
    frames = frames_of(matrix, full, pix_fmt, bits=10 if "10" in pix_fmt else 8)
    path = encode(tmp_path / "a.mkv", frames, codec="ffv1", pix_fmt=pix_fmt, options={}, tags=tags)
    check(path, list(range(4)))
    if pix_fmt == "yuv444p":  # and both are right
        assert np.abs(read(path)[1].astype(int) - stamped(4)).max() <= 2


@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
@pytest.mark.parametrize("full", [False, True])
def test_the_range_that_h264_itself_tells(tmp_path, name, full):
    tags = {"colorspace": 1, "color_range": 2 if full else 1, "color_primaries": 1, "color_trc": 1}
    path = encode(
        tmp_path / name,
        frames_of(1, full, "yuv420p"),
        codec="libx264",
        pix_fmt="yuv420p",
        options={"qp": "0"},
        tags=tags,
    )
    check(path, list(range(4)), chroma="left")


@pytest.mark.parametrize("pix_fmt", ["gray", "gray10le", "gray16le"])
def test_grey(tmp_path, pix_fmt):
    path = encode(tmp_path / "a.mkv", stamped(), codec="ffv1", pix_fmt=pix_fmt, options={})
    check(path, list(range(COUNT)))
    frames = read(path)[1]
    assert (frames == frames[..., :1]).all()


ALPHA = {
    "vp9.webm": ("libvpx-vp9", "yuva420p", {"crf": "4", "b": "0"}, {"decoder": "libvpx-vp9", "matrix": "bt601"}),
    "png.mov": ("png", "rgba", {}, {}),
    "prores.mov": ("prores_ks", "yuva444p10le", {"profile": "4444"}, {"matrix": "bt601"}),
    "ffv1.mkv": ("ffv1", "bgra", {}, {}),
    "animation.mov": ("qtrle", "argb", {}, {}),
}


@pytest.mark.parametrize("name", ALPHA)
def test_alpha(tmp_path, name):
    codec, pix_fmt, options, told = ALPHA[name]
    frames = stamped(8)
    opacity = np.broadcast_to(np.linspace(255, 40, 64).round().astype(np.uint8)[:, None], (8, 48, 64, 1))
    frames = np.concatenate([frames, opacity], axis=3)
    path = encode(tmp_path / name, frames, codec=codec, pix_fmt=pix_fmt, options=options)
    assert read(path)[1].shape[3] == 4
    check(path, list(range(8)), **told)


def with_sound(path, rate=25):
    """A video with a track of sound that starts earlier and ends later."""
    with av.open(str(path), "w") as output:
        sound = output.add_stream("aac", rate=16000, layout="mono")
        video = output.add_stream("libx264", rate=rate, options=OPEN_GOP)
        video.height, video.width, video.pix_fmt = 48, 64, "yuv420p"
        noise = np.random.default_rng(0).standard_normal((1, 1024 * 20)).astype(np.float32) * 0.1
        for start in range(0, noise.shape[1], 1024):
            samples = av.AudioFrame.from_ndarray(noise[:, start : start + 1024], format="fltp", layout="mono")
            samples.sample_rate, samples.pts = 16000, start
            output.mux(sound.encode(samples))
        for frame in stamped():
            output.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="yuv420p")))
        output.mux(video.encode())
        output.mux(sound.encode())
    return path


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_sound_is_left_out(tmp_path, name):
    check(with_sound(tmp_path / name), list(range(COUNT)), **MPEG)


def test_an_edit_list_that_cuts_the_start(tmp_path):
    # Cut without coding anew: the frames before the cut are in the file, and the edit list leaves them out.
    ffmpeg.run("-ss", "0.44", "-i", with_sound(tmp_path / "a.mp4"), "-c", "copy", tmp_path / "b.mp4")
    check(tmp_path / "b.mp4", list(range(11, COUNT)), **MPEG)


@pytest.mark.parametrize("name", ["b.mp4", "b.mkv", "b.ts", "b.mov"])
def test_a_start_after_zero(tmp_path, name):
    source = encode(tmp_path / "a.mp4", stamped(), **B_FRAMES, options=OPEN_GOP)
    ffmpeg.run("-itsoffset", "3.5", "-i", source, "-c", "copy", "-copyts", tmp_path / name)
    times = check(tmp_path / name, list(range(COUNT)), **MPEG)
    assert times[0] >= 3.4


def test_interlaced_frames_are_left_as_they_are(tmp_path):
    options = {"qscale": "2", "flags": "+ildct+ilme+qscale"}
    path = encode(tmp_path / "a.mpg", stamped(), codec="mpeg2video", pix_fmt="yuv420p", options=options)
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).interlaced_frame
    frames = read(path)[1]
    assert numbers(frames) == list(range(COUNT))
    # Every line is the progressive picture's: nothing is blended between fields.
    other = ffmpeg.pixels(path, frames.shape[1:], interlaced=True, **MPEG)
    assert np.abs(frames.astype(int) - other).max() <= 2


TAGS = {"colorspace": 9, "color_primaries": 9}


def display(signal, transfer):
    """The documented curve in float64: R'G'B' `(..., 3)` to bytes, not rounded (BT.2100-2, BT.2390-9, BT.2087)."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875

    def eotf(e):
        root = e ** (1 / m2)
        return 10000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)

    def inverse(light):
        power = (light / 10000) ** m1
        return ((c1 + c2 * power) / (1 + c3 * power)) ** m2

    signal = np.clip(signal, 0, 1)
    if transfer == 16:
        light = np.minimum(eotf(signal), 1000)
    else:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
        light = 1000 * scene * (scene @ [0.2627, 0.6780, 0.0593])[..., None] ** 0.2
    brightest = np.maximum(light.max(-1, keepdims=True), 1e-9)
    top = inverse(1000.0)
    e, most = inverse(np.minimum(brightest, 1000)) / top, inverse(203.0) / top
    knee = 1.5 * most - 0.5
    t = (e - knee) / (1 - knee)
    bent = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    light = light * eotf(np.where(e < knee, e, bent) * top) / brightest / 203
    return curve(light, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046))


def curve(linear, *primaries):
    """Linear light of some primaries and white D65 to bytes of sRGB, not rounded; from the chromaticities."""

    def to_xyz(points):
        columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in points]).T
        return columns * np.linalg.solve(columns, [0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])

    matrix = np.linalg.solve(to_xyz([(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)]), to_xyz(primaries))
    linear = np.clip(linear @ matrix.T, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("transfer", [16, 18])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("pix_fmt", ["yuv444p10le", "yuv420p10le"])
def test_high_range_is_the_documented_curve_of_the_signal_that_ffmpeg_sees(tmp_path, transfer, full, pix_fmt):
    tags = {**TAGS, "color_trc": transfer, "color_range": 2 if full else 1}
    path = encode(
        tmp_path / "a.mkv", frames_of(9, full, pix_fmt, bits=10), codec="ffv1", pix_fmt=pix_fmt, options={}, tags=tags
    )
    times, frames = read(path)
    assert numbers(frames) == list(range(4))
    assert times == pytest.approx(ffmpeg.times(path), abs=1e-6)
    y, u, v = np.moveaxis(ffmpeg.pixels(path, (3, *frames.shape[1:3]), "yuv444p16le").astype(float), 1, 0)
    y, u, v = (
        (y / 65535, (u - 32768) / 65535, (v - 32768) / 65535)
        if full
        else ((y / 256 - 16) / 219, (u / 256 - 128) / 224, (v / 256 - 128) / 224)
    )
    red, blue = y + 1.4746 * v, y + 1.8814 * u
    signal = np.stack([red, (y - 0.2627 * red - 0.0593 * blue) / 0.6780, blue], axis=-1)
    assert np.abs(frames - display(signal, transfer)).max() <= 2


@pytest.mark.parametrize(
    ("number", "primaries"),
    [(9, ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))), (12, ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)))],
)
def test_a_wide_gamut_becomes_srgb(tmp_path, number, primaries):
    tags = {"colorspace": 1, "color_range": 1, "color_primaries": number, "color_trc": 1}
    path = encode(
        tmp_path / "a.mkv", frames_of(1, False, "yuv444p"), codec="ffv1", pix_fmt="yuv444p", options={}, tags=tags
    )
    frames = read(path)[1]
    seen = ffmpeg.pixels(path, frames.shape[1:]) / 255.0
    linear = np.where(seen <= 0.04045, seen / 12.92, ((seen + 0.055) / 1.055) ** 2.4)
    assert np.abs(frames - curve(linear, *primaries)).max() <= 2
    assert np.abs(frames - 255 * seen).max() > 20  # it does something
