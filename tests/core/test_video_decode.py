"""Videos decode to the pixels that were put in, whatever their container says about them."""

import io
import itertools
import os
from fractions import Fraction
from pathlib import Path

import av
import ffmpeg
import numpy as np
import pytest
from clips import LOSSLESS, encode, moving, patches, picture, to_yuv
from PIL import Image

from gadkit.errors import DataError
from gadkit.video import limits
from gadkit.video.decode import open_video
from gadkit.video.hdr import WHITE, nits_to_pq, pq_to_nits, roll_off

COLOURS = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1), (0, 0, 0), (0.5, 0.5, 0.5), (0.8, 0.4, 0.2), (0.1, 0.6, 0.9)]


def read(path):
    return np.stack(list(open_video(path).frames))


@pytest.mark.parametrize(("name", "kind"), [("a.mp4", "x264"), ("a.mkv", "ffv1"), ("a.mov", "x264"), ("b.mkv", "x264")])
@pytest.mark.parametrize("size", [(48, 64), (33, 47)])
def test_lossless_video_returns_exactly(tmp_path, name, kind, size):
    frames = moving(15, *size)
    assert np.array_equal(read(encode(tmp_path / name, frames, **LOSSLESS[kind])), frames)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_frames_stored_out_of_order_come_in_order(tmp_path, name):
    frames = moving(20)
    options = {"qp": "4", "bf": "3", "b_strategy": "0", "sc_threshold": "0"}
    path = encode(tmp_path / name, frames, codec="libx264", pix_fmt="yuv444p", options=options)
    with av.open(str(path)) as container:
        times = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert times != sorted(times)
    distance = np.abs(read(path)[:, None].astype(int) - frames).mean((2, 3, 4))
    assert distance.argmin(1).tolist() == list(range(20))


@pytest.mark.parametrize("matrix", [1, 5, 6, 7, 9])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("pix_fmt", ["yuv444p", "yuv420p"])
def test_matrix_and_range_are_honoured(tmp_path, matrix, full, pix_fmt):
    planes = to_yuv(patches(COLOURS), matrix, full)
    if pix_fmt == "yuv420p":
        planes[1:] = [plane[::2, ::2] for plane in planes[1:]]
    path = encode(
        tmp_path / "a.mkv",
        [picture(planes, pix_fmt)] * 2,
        codec="ffv1",
        pix_fmt=pix_fmt,
        tags={"colorspace": matrix, "color_range": 2 if full else 1},
        options={},
    )
    inner = read(path)[1].reshape(16, 8, 16, 3)[4:12, :, 4:12]
    error = inner - 255 * np.array(COLOURS)[None, :, None]
    assert np.abs(error).max() <= 2
    assert abs(error.mean()) < 0.3


@pytest.mark.parametrize(("height", "matrix"), [(96, 6), (718, 6), (720, 1)])
def test_without_a_matrix_the_height_decides(tmp_path, height, matrix):
    colour = np.broadcast_to(np.array([0.2, 0.7, 0.3]), (height, 64, 3))
    frame = picture(to_yuv(colour, matrix, False), "yuv444p")
    path = encode(tmp_path / "a.mkv", [frame], codec="ffv1", pix_fmt="yuv444p", options={})
    assert np.abs(read(path)[0, 20, 20] - 255 * colour[0, 0]).max() <= 1.5


def test_an_unknown_matrix_is_refused(tmp_path):
    frame = picture(to_yuv(patches(COLOURS), 1, False), "yuv444p")
    path = encode(tmp_path / "a.mkv", [frame], codec="ffv1", pix_fmt="yuv444p", tags={"colorspace": 8}, options={})
    with pytest.raises(DataError, match=r"a\.mkv.*matrix 8"):
        read(path)


@pytest.mark.parametrize(
    ("degrees", "hflip", "vflip"), list(itertools.product([0, 90, 180, 270], [False, True], [False, True]))
)
def test_the_display_matrix_is_applied(tmp_path, degrees, hflip, vflip):
    frames = moving(2, 32, 48)
    path = encode(tmp_path / "a.mp4", frames, rotation=(degrees, hflip, vflip))
    # "A counter-clockwise rotation; the flips mirror after it."
    expected = np.rot90(frames, degrees // 90, axes=(1, 2))
    expected = expected[:, :, ::-1] if hflip else expected
    expected = expected[:, ::-1] if vflip else expected
    assert np.array_equal(read(path), expected)


def test_pixels_become_square(tmp_path):
    path = encode(tmp_path / "a.mp4", moving(2, 48, 64), aspect=Fraction(3, 2))
    assert read(path).shape == (2, 48, 96, 3)


ALPHA = {
    "vp9.webm": ("libvpx-vp9", "yuva420p", {"crf": "4", "b": "0"}, 3),
    "vp8.webm": ("libvpx", "yuva420p", {"crf": "4", "b": "2M", "auto-alt-ref": "0"}, 3),
    "prores.mov": ("prores_ks", "yuva444p10le", {"profile": "4444"}, 3),
    "png.mov": ("png", "rgba", {}, 0),
    "animation.mov": ("qtrle", "argb", {}, 0),
    "ffv1.mkv": ("ffv1", "yuva444p", {}, 2),
}


@pytest.mark.parametrize("name", ALPHA)
def test_alpha_is_kept(tmp_path, name):
    codec, pix_fmt, options, tolerance = ALPHA[name]
    frame = (255 * patches([(0.8, 0.2, 0.3, 1), (0.8, 0.2, 0.3, 0.4), (0.1, 0.5, 0.9, 0)])).round().astype(np.uint8)
    path = encode(tmp_path / name, [frame] * 5, codec=codec, pix_fmt=pix_fmt, options=options)
    frames = read(path)
    assert frames.shape == (5, 16, 48, 4)
    inner = np.abs(frames.astype(int) - frame)[:, 4:12, 4:28]
    assert inner[..., 3].max() <= tolerance
    assert inner[..., :3].max() <= tolerance
    assert frames[:, 4:12, 40, 3].max() <= tolerance


def test_animated_images(tmp_path):
    frames = moving(6)
    images = [Image.fromarray(frame) for frame in frames]
    for name in ("a.webp", "a.png", "a.gif"):
        path = tmp_path / name
        images[0].save(
            path,
            save_all=True,
            append_images=images[1:],
            duration=50,
            loop=0,
            **({"lossless": True} if name == "a.webp" else {}),
        )
        assert open_video(path).fps == pytest.approx(20)
        assert len(read(path)) == 6
        if name != "a.gif":
            assert np.array_equal(read(path)[..., :3], frames)


def test_a_still_webp_is_no_video(tmp_path):
    Image.fromarray(moving(1)[0]).save(tmp_path / "a.webp")
    with pytest.raises(DataError, match="still image"):
        open_video(tmp_path / "a.webp")


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("transfer", ["pq", "hlg"])
def test_hdr_greys_have_a_closed_form(tmp_path, transfer, full):
    nits = [0.0, 5.0, 40.0, 90.0, 203.0, 600.0, 1000.0]
    if transfer == "pq":
        signals = nits_to_pq(np.array(nits))
    else:
        scene = (np.array(nits) / 1000) ** (1 / 1.2)
        upper = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
        signals = np.where(scene <= 1 / 12, np.sqrt(3 * scene), upper)
    planes = to_yuv(patches([(s, s, s) for s in signals]), 9, full, bits=10)
    path = encode(
        tmp_path / "a.mkv",
        [picture(planes, "yuv444p10le")] * 2,
        codec="ffv1",
        pix_fmt="yuv444p10le",
        tags={
            "colorspace": 9,
            "color_range": 2 if full else 1,
            "color_trc": 16 if transfer == "pq" else 18,
            "color_primaries": 9,
        },
        options={},
    )
    shown = read(path)[0, 8, 8::16].astype(int)
    linear = roll_off(np.array(nits)) / WHITE
    expected = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(shown - expected[:, None]).max() <= 1.5


def test_hdr_of_a_camera(tmp_path):
    # HEVC, 10 bits, 4:2:0, limited range: what telephones write. A PQ red keeps red.
    nits = np.array([80.0, 10.0, 5.0])
    planes = to_yuv(patches([tuple(nits_to_pq(nits))], 64), 9, False, bits=10)
    planes[1:] = [plane[::2, ::2] for plane in planes[1:]]
    path = encode(
        tmp_path / "a.mp4",
        [picture(planes, "yuv420p10le")] * 3,
        codec="libx265",
        pix_fmt="yuv420p10le",
        tags={"colorspace": 9, "color_range": 1, "color_trc": 16, "color_primaries": 9},
        options={"x265-params": "lossless=1:log-level=none"},
    )
    to_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
    linear = np.clip(to_709 @ pq_to_nits(nits_to_pq(nits)) / WHITE, 0, 1)
    expected = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(read(path)[1, 32, 32] - expected).max() <= 4


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(24000, 1001), Fraction(10), Fraction(60)])
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_frame_rate(tmp_path, name, rate):
    path = encode(tmp_path / name, moving(8), rate=rate)
    assert open_video(path).fps == pytest.approx(float(rate), rel=2e-3)


def test_sound_is_left_out(tmp_path):
    frames = moving(10)
    with av.open(str(tmp_path / "a.mkv"), "w") as output:
        sound = output.add_stream("pcm_s16le", rate=8000, layout="mono")
        video = output.add_stream("ffv1", rate=25)
        video.height, video.width, video.pix_fmt = 48, 64, "bgr0"
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 3200), np.int16), format="s16", layout="mono")
        samples.sample_rate = 8000
        output.mux(sound.encode(samples))
        for frame in frames:
            output.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="bgr0")))
        output.mux(video.encode())
        output.mux(sound.encode())
    assert np.array_equal(read(tmp_path / "a.mkv"), frames)


def test_frames_come_one_by_one(tmp_path):
    path = encode(tmp_path / "a.mkv", moving(400, 32, 32), **LOSSLESS["ffv1"])
    frames = open_video(path).frames
    with path.open("r+b") as file:  # what was not asked for was not read
        file.truncate(path.stat().st_size // 2)
    assert np.array_equal(next(frames), moving(1, 32, 32)[0])
    with pytest.raises(DataError):
        list(frames)


CUTS = {
    "front.mp4": {"container": {"movflags": "+faststart"}},
    "end.mp4": {},
    "a.mkv": {},
    "a.webm": {"codec": "libvpx-vp9", "pix_fmt": "yuv420p", "options": {"cpu-used": "8", "deadline": "realtime"}},
    "a.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le", "options": {}, "container": {"movflags": "+faststart"}},
}


@pytest.mark.parametrize("name", CUTS)
@pytest.mark.parametrize("part", [0.0, 0.02, 0.4, 0.6, 0.8])
def test_a_truncated_file_is_an_error_that_names_it(tmp_path, name, part):
    path = encode(
        tmp_path / name, np.random.default_rng(0).integers(0, 256, (60, 32, 48, 3), dtype=np.uint8), **CUTS[name]
    )
    assert len(read(path)) == 60
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(DataError, match=name):
        read(path)


def test_a_file_cut_between_two_frames_is_an_error(tmp_path):
    path = encode(tmp_path / "a.mp4", moving(20), container={"movflags": "+faststart"}, options={"qp": "0", "bf": "0"})
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    path.write_bytes(path.read_bytes()[: places[12]])
    with pytest.raises(DataError, match="12 of its 20 frames"):
        read(path)


def test_what_is_no_video_is_named(tmp_path):
    text = tmp_path / "notes.mp4"
    text.write_text("no video at all, but words " * 100)
    with av.open(str(tmp_path / "sound.wav"), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=8000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        samples.sample_rate = 8000
        output.mux(stream.encode(samples))
    for path in (text, tmp_path / "sound.wav", tmp_path / "missing.mp4", tmp_path):
        with pytest.raises(DataError) as error:
            read(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)


def test_threads_change_no_pixel(tmp_path):
    # Large enough that the decoder uses threads.
    frames = moving(6, 720, 1280)
    path = encode(tmp_path / "a.mp4", frames, options={"qp": "0", "preset": "ultrafast", "bf": "2"})
    assert np.array_equal(read(path), frames)


def test_an_open_file_is_read_in_place_of_the_path(tmp_path):
    frames = moving(6)
    for name, kind in (("a.mp4", "x264"), ("a.mkv", "ffv1")):
        encode(tmp_path / name, frames, **LOSSLESS[kind])
        with (tmp_path / name).open("rb") as file:
            footage = open_video(tmp_path / f"not-there/{name}", file)
            assert np.array_equal(np.stack(list(footage.frames)), frames)
            assert not file.closed
            with pytest.raises(DataError, match=r"b\.mp4"):
                open_video(tmp_path / "b.mp4", io.BytesIO(b"no video"))


def test_an_animation_in_an_open_file(tmp_path):
    images = [Image.fromarray(frame) for frame in moving(3)]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=[40, 120, 40])
    for given in ({}, {"file": io.BytesIO((tmp_path / "a.gif").read_bytes())}):
        times = [time for time, _ in open_video(tmp_path / "a.gif", **given).timed]
        assert times == pytest.approx([0, 0.04, 0.16])


@pytest.mark.parametrize("name", ["50%d.mp4", "a:b.mkv", "http:x.mkv", "ä ö #?.mp4", "-i.mp4"])
def test_any_name_is_a_name(tmp_path, name, monkeypatch):
    frames = moving(2)
    encode(tmp_path / f"a{Path(name).suffix}", frames).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert np.array_equal(read(Path(name)), frames)


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{}'\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><BaseURL>{}</BaseURL></MPD>',
        "\x1b[31mwords in colour\x1b[0m\n" * 100,
    ],
)
@pytest.mark.parametrize("name", ["a.mp4", "a.m3u8", "a.ts", "a.ans"])
def test_a_list_of_other_files_is_no_video(tmp_path, name, text):
    (tmp_path / name).write_text(text.format(encode(tmp_path / "other.mp4", moving(2))))
    with pytest.raises(DataError, match=name):
        open_video(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.mp4")
    with pytest.raises(DataError, match="is no file"):
        open_video(tmp_path / "a.mp4")


def test_times_that_are_missing_or_fall_go_on_at_the_mean_rate(tmp_path):
    # Two recordings glued together: the clock of the stream starts anew in the middle.
    encode(tmp_path / "a.mpg", moving(10), codec="mpeg2video", pix_fmt="yuv420p", options={})
    (tmp_path / "c.mpg").write_bytes((tmp_path / "a.mpg").read_bytes() * 2)
    # An elementary stream has no times at all.
    encode(tmp_path / "d.h264", moving(20), codec="libx264", pix_fmt="yuv420p", options={"bf": "0"})
    for name in ("c.mpg", "d.h264"):
        times = [time for time, _ in open_video(tmp_path / name).timed]
        assert len(times) == 20
        assert np.diff(times) == pytest.approx(np.full(19, 0.04), abs=2e-3)


def test_one_picture_in_a_container_is_a_video_of_one_frame(tmp_path):
    frames = moving(1)
    assert np.array_equal(read(encode(tmp_path / "a.mp4", frames)), frames)


def test_covers_and_data_are_passed_over(tmp_path):
    cover = tmp_path / "cover.png"
    Image.fromarray(moving(1, 64, 96)[0]).save(cover)
    sound = ["-f", "lavfi", "-i", "anullsrc=duration=0.2"]
    pasted = ["-map", "0", "-map", "1", "-c:v", "copy", "-disposition:v:0", "attached_pic"]
    ffmpeg.run("-i", cover, *sound, *pasted, tmp_path / "song.m4a")
    with pytest.raises(DataError, match="holds no video"):
        open_video(tmp_path / "song.m4a")
    (tmp_path / "a.srt").write_text("1\n00:00:00,000 --> 00:00:00,100\nwords\n")
    video = encode(tmp_path / "a.mp4", moving(4))
    ffmpeg.run(
        "-i", cover, "-i", video, "-i", tmp_path / "a.srt", *pasted, "-map", "2", "-c:s", "mov_text", tmp_path / "b.mp4"
    )
    assert np.array_equal(read(tmp_path / "b.mp4"), moving(4))


def test_a_frame_larger_than_the_limit_is_refused(tmp_path, monkeypatch):
    path = encode(tmp_path / "a.mp4", moving(2, 48, 64))
    monkeypatch.setattr(limits, "MAX_PIXELS", 48 * 64)
    assert len(read(path)) == 2
    monkeypatch.setattr(limits, "MAX_PIXELS", 48 * 64 - 1)
    with pytest.raises(DataError, match=r"a\.mp4 has frames of 64×48 pixels, and at most 3,071"):
        open_video(path)
    # Pixels that are not square count as they are shown.
    wide = encode(tmp_path / "b.mp4", moving(2, 32, 64), aspect=Fraction(2))
    with pytest.raises(DataError, match="128×32"):
        read(wide)
