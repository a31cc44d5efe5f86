"""Animations keep every frame's pixels, transparency and time; what is broken is named."""

import contextlib
import io
import struct
import zlib
from itertools import accumulate

import numpy as np
import pytest
from clips import moving
from PIL import Image

from gadkit.errors import DataError
from gadkit.video import stills
from gadkit.video.decode import open_video

FRAMES = moving(6, 24, 32)
ENDINGS = (".gif", ".webp", ".png")


def write(path, frames=FRAMES, duration=40, **options):
    """An animation by Pillow, without loss but for the 256 colours of GIF."""
    images = [Image.fromarray(frame) for frame in frames]
    if path.suffix == ".webp":
        options = {"lossless": True, "exact": True, **options}
    images[0].save(path, save_all=True, append_images=images[1:], duration=duration, **options)
    return path


def read(path, file=None):
    return np.stack(list(stills.open_animation(path, file).frames))


@pytest.mark.parametrize("name", ["a.webp", "a.png", "a.apng"])
def test_every_pixel(tmp_path, name):
    path = write(tmp_path / name, **({"format": "png"} if name == "a.apng" else {}))
    assert np.array_equal(read(path)[..., :3], FRAMES)
    assert np.array_equal(np.stack(list(open_video(path).frames))[..., :3], FRAMES)


def test_every_pixel_of_a_gif_of_few_colours(tmp_path):
    frames = np.random.default_rng(0).choice(np.array([0, 85, 170, 255], np.uint8), (6, 24, 32, 3))
    assert np.array_equal(read(write(tmp_path / "a.gif", frames))[..., :3], frames)


@pytest.mark.parametrize("ending", ENDINGS)
def test_each_frame_has_its_time(tmp_path, ending):
    durations = [40, 120, 30, 500, 20, 90]
    path = write(tmp_path / f"a{ending}", duration=durations)
    times = [time for time, _ in stills.open_animation(path).timed]
    assert times == pytest.approx([0, *accumulate(seconds / 1000 for seconds in durations[:-1])], abs=1e-9)
    assert stills.open_animation(path).fps == pytest.approx(6 / 0.8)


def test_durations_of_nothing_are_a_tenth_of_a_second(tmp_path):
    gif = write(tmp_path / "a.gif", duration=[0, 10, 20, 0, 10, 40])
    assert [time for time, _ in stills.open_animation(gif).timed] == pytest.approx([0, 0.1, 0.2, 0.22, 0.32, 0.42])
    webp = write(tmp_path / "a.webp", duration=[10, 0, 20, 20, 20, 20])
    assert [time for time, _ in stills.open_animation(webp).timed] == pytest.approx([0, 0.01, 0.11, 0.13, 0.15, 0.17])
    png = write(tmp_path / "a.png", duration=0)
    assert stills.open_animation(png).fps == pytest.approx(10)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def apng(frames, delays, still=None):
    """An animated PNG by the specification: RGBA, unfiltered; `still` is what other viewers show."""
    height, width = frames[0].shape[:2]
    packed = [zlib.compress(b"".join(b"\0" + line.tobytes() for line in frame)) for frame in frames]
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
    out += chunk(b"tEXt", b"Comment\0x") + chunk(b"acTL", struct.pack(">II", len(frames), 0))
    if still is not None:
        out += chunk(b"IDAT", zlib.compress(b"".join(b"\0" + line.tobytes() for line in still)))
    number = 0
    for index, (data, (top, bottom)) in enumerate(zip(packed, delays, strict=True)):
        out += chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, 0, 0, top, bottom, 0, 0))
        number += 1
        if index == 0 and still is None:
            out += chunk(b"IDAT", data)
        else:
            out += chunk(b"fdAT", struct.pack(">I", number) + data)
            number += 1
    return out + chunk(b"IEND", b"")


@pytest.mark.parametrize("still", [False, True])
def test_an_animated_png_of_the_specification(tmp_path, still):
    frames = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 4), np.uint8)
    path = tmp_path / "a.png"
    # A denominator of 0 stands for 100.
    path.write_bytes(apng(frames, [(1, 30), (3, 0), (1, 25)], np.zeros((5, 7, 4), np.uint8) if still else None))
    assert stills.is_animation(path)
    footage = stills.open_animation(path)
    assert footage.fps == pytest.approx(3 / (1 / 30 + 0.03 + 0.04))
    timed = list(footage.timed)
    assert [time for time, _ in timed] == pytest.approx([0, 1 / 30, 1 / 30 + 0.03])
    assert np.array_equal(np.stack([frame for _, frame in timed]), frames)


@pytest.mark.parametrize("ending", [".webp", ".png"])
def test_alpha_is_straight(tmp_path, ending):
    frames = np.random.default_rng(0).integers(0, 256, (4, 9, 11, 4), np.uint8)
    found = read(write(tmp_path / f"a{ending}", frames))
    seen = frames[..., 3] > 0  # a decoder may give what nobody sees any colour
    assert np.array_equal(found[..., 3], frames[..., 3])
    assert np.array_equal(found[seen], frames[seen])


def gif(frames):
    """A GIF whose every frame is one block of one colour of the palette: red, green, blue, transparent."""
    out = b"GIF89a" + struct.pack("<HHBBB", 4, 4, 0xF1, 0, 0)
    out += bytes([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    for left, top, size, colour, disposal in frames:
        out += b"!\xf9\4" + bytes([disposal << 2 | 1]) + struct.pack("<H", 5) + b"\3\0"
        out += b"," + struct.pack("<HHHHB", left, top, size, size, 0) + b"\2"
        # A clear code before every pixel, so that codes stay 3 bits wide.
        codes = [*[4, colour] * (size * size), 5]
        value = sum(code << (3 * place) for place, code in enumerate(codes))
        data = value.to_bytes((3 * len(codes) + 7) // 8, "little")
        out += bytes([len(data)]) + data + b"\0"
    return out + b";"


def test_disposal_of_a_gif(tmp_path):
    path = tmp_path / "a.gif"
    # Red all over, left; green at the corner, then removed; blue at the corner, then what was before it; nothing.
    path.write_bytes(gif([(0, 0, 4, 0, 1), (0, 0, 2, 1, 2), (1, 1, 2, 2, 3), (3, 3, 1, 3, 1)]))
    frames = list(stills.open_animation(path).frames)
    red, green, blue = [255, 0, 0], [0, 255, 0], [0, 0, 255]
    assert frames[0][..., :3].reshape(-1, 3).tolist() == [red] * 16
    assert frames[1][0, 0, :3].tolist() == green
    assert frames[1][3, 3, :3].tolist() == red
    assert frames[2].shape[2] == 4
    assert frames[2][0, 0, 3] == 0
    assert frames[2][1, 1].tolist() == [*blue, 255]
    assert frames[2][3, 0].tolist() == [*red, 255]
    assert frames[3][0, 0, 3] == frames[3][1, 1, 3] == 0
    assert frames[3][2, 2].tolist() == frames[3][3, 3].tolist() == [*red, 255]


@pytest.mark.parametrize("ending", ENDINGS)
def test_only_what_moves_is_an_animation(tmp_path, ending):
    path = write(tmp_path / f"a{ending}")
    assert stills.is_animation(path)
    with path.open("rb") as file:
        file.seek(9)
        assert stills.is_animation(tmp_path / "other", file)
        assert file.tell() == 0
    assert not stills.is_animation(tmp_path / "none.png")
    (tmp_path / "words.png").write_text("words")
    assert not stills.is_animation(tmp_path / "words.png")
    Image.fromarray(FRAMES[0]).save(tmp_path / f"still{ending}")
    assert stills.is_animation(tmp_path / f"still{ending}") == (ending == ".gif")
    with pytest.raises(DataError, match=rf"still\{ending} is a still image"):
        stills.open_animation(tmp_path / f"still{ending}")


def test_a_look_reads_little_of_a_still(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (500, 500, 3), np.uint8)).save(tmp_path / "a.png")

    class Counted(io.BytesIO):
        count = 0

        def read(self, size=-1):
            data = super().read(size)
            self.count += len(data)
            return data

    file = Counted((tmp_path / "a.png").read_bytes())
    assert not stills.is_animation(tmp_path / "a.png", file)
    assert file.count < 100


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_file_stands_for_the_path(tmp_path, ending):
    path = write(tmp_path / f"a{ending}")
    expected = read(path)
    with path.open("rb") as file:
        assert np.array_equal(read(tmp_path / "named", file), expected)
        assert not file.closed
    Image.fromarray(FRAMES[0]).save(tmp_path / "still.png")
    with (tmp_path / "still.png").open("rb") as file:
        assert np.array_equal(stills.read_image(tmp_path / "named", file), FRAMES[0])
        assert not file.closed
        file.seek(0)
        with pytest.raises(DataError, match="named is a still"):
            stills.open_animation(tmp_path / "named", file)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("part", [0.0, 0.05, 0.3, 0.6, 0.97])
def test_a_cut_animation_is_named(tmp_path, ending, part):
    path = write(tmp_path / f"a{ending}")
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(DataError, match=rf"a\{ending}") as error:
        read(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("ending", ENDINGS)
def test_damage_never_crashes(tmp_path, ending):
    data = write(tmp_path / f"a{ending}").read_bytes()
    rng = np.random.default_rng(0)
    for number in range(120):
        broken = bytearray(data)
        for place in rng.integers(0, len(data) if number % 2 else 200, 1 + number % 5):
            broken[place] = rng.integers(0, 256)
        path = tmp_path / f"b{ending}"
        path.write_bytes(broken)
        for function in (lambda path: list(stills.open_animation(path).frames), stills.read_image):
            with contextlib.suppress(DataError):
                function(path)


def test_other_formats_are_not_started(tmp_path):
    # Pillow would start another program for PostScript.
    (tmp_path / "a.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n")
    with pytest.raises(DataError, match="cannot identify image file"):
        stills.read_image(tmp_path / "a.png")


@pytest.mark.parametrize("animated", [False, True])
def test_a_large_picture_is_refused_by_its_header(tmp_path, animated):
    data = bytearray(apng(np.zeros((2, 4, 4, 4), np.uint8), [(1, 25)] * 2))
    data[16:24] = struct.pack(">II", 30_000, 30_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.png"):
        (stills.open_animation if animated else stills.read_image)(tmp_path / "a.png")
