"""Videos are written as they were made, whole or not at all."""

import os
import subprocess
import sys

import av
import numpy as np
import pytest
import torch
from clips import moving
from PIL import Image

from gadkit.errors import ConfigError, DataError, RunError
from gadkit.video import encode
from gadkit.video.decode import open_video
from gadkit.video.encode import tile, write_strip, write_video

MOVING = [".mp4", ".webm", ".gif", ".webp"]
COLOURS = [(255, 255, 255), (0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 100, 50), (128, 128, 128)]


def read(path):
    return np.stack([frame[:, :, :3] for frame in open_video(path).frames])


@pytest.mark.parametrize("ending", MOVING)
@pytest.mark.parametrize("size", [(48, 64), (33, 47)])
def test_what_is_written_is_read(tmp_path, ending, size):
    frames = moving(20, *size)
    write_video(tmp_path / f"a{ending}", frames, 25)
    result = read(tmp_path / f"a{ending}")
    even = tuple(side + side % 2 for side in size) if ending in (".mp4", ".webm") else size
    assert result.shape == (20, *even, 3)
    distance = np.abs(result[:, None, : size[0], : size[1]].astype(int) - frames).mean((2, 3, 4))
    assert distance.argmin(1).tolist() == list(range(20))
    assert distance.diagonal().max() < (7 if ending == ".gif" else 2.5)
    if even != size:  # the padding repeats the edge
        assert np.abs(result[:, size[0]].astype(int) - result[:, size[0] - 1]).mean() < 4


@pytest.mark.parametrize("ending", MOVING)
def test_colours_are_kept(tmp_path, ending):
    frames = np.stack([np.full((32, 32, 3), colour, np.uint8) for colour in COLOURS])
    write_video(tmp_path / f"a{ending}", frames, 5)
    assert np.abs(read(tmp_path / f"a{ending}").astype(int) - frames).max() <= 2


@pytest.mark.parametrize("ending", [".mp4", ".webm"])
def test_the_file_says_how_its_colours_are_meant(tmp_path, ending):
    write_video(tmp_path / f"a{ending}", moving(3), 25)
    with av.open(str(tmp_path / f"a{ending}")) as container:
        frame = next(container.decode(video=0))
        assert (int(frame.colorspace), int(frame.color_range), frame.format.name) == (1, 1, "yuv420p")


def test_mp4_can_be_played_while_it_loads(tmp_path):
    write_video(tmp_path / "a.mp4", moving(3), 25)
    data = (tmp_path / "a.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("ending", MOVING)
@pytest.mark.parametrize("fps", [8, 25, 29.97, 50])
def test_frame_rate_and_duration(tmp_path, ending, fps):
    write_video(tmp_path / f"a{ending}", moving(30, 16, 16), fps)
    if ending == ".gif":
        image = Image.open(tmp_path / "a.gif")
        durations = []
        for index in range(image.n_frames):
            image.seek(index)
            durations.append(image.info["duration"])
        assert sum(durations) == pytest.approx(30_000 / fps, abs=25)  # hundredths of a second do not add up to a drift
        assert image.info["loop"] == 0
    else:
        assert open_video(tmp_path / f"a{ending}").fps == pytest.approx(fps, rel=0.01)


def test_repeated_frames_are_kept(tmp_path):
    frames = np.repeat(moving(2, 16, 16), 5, axis=0)
    for ending in (".mp4", ".webm", ".gif"):
        write_video(tmp_path / f"a{ending}", frames, 25)
        assert len(read(tmp_path / f"a{ending}")) == 10


def test_strip(tmp_path):
    frames = moving(5, 8, 6)
    write_video(tmp_path / "a.png", frames, 25)
    write_strip(tmp_path / "b.png", frames)
    for name in ("a.png", "b.png"):
        strip = np.asarray(Image.open(tmp_path / name))
        assert strip.shape == (8, 30, 3)
        assert np.array_equal(strip[:, 12:18], frames[2])


@pytest.mark.parametrize("ending", [".gif", ".png"])
def test_chunks_tensors_and_grey_are_the_same_video(tmp_path, ending):
    frames = np.repeat(moving(7, 16, 16)[..., :1], 3, axis=3)
    tensor = torch.from_numpy(frames)
    forms = [frames, tensor, iter([tensor[:3], frames[3:4], tensor[4:]]), tensor[..., :1]]
    contents = set()
    for number, form in enumerate(forms):
        path = tmp_path / f"{number}{ending}"
        write_video(path, form, 25)
        contents.add(path.read_bytes())
    assert len(contents) == 1


@pytest.mark.parametrize(("ending", "limit"), [(".webp", "WEBP_FRAMES"), (".png", "STRIP_FRAMES")])
def test_limits_are_checked_before_and_while_frames_are_made(tmp_path, monkeypatch, ending, limit):
    number = getattr(encode, limit)
    made = 0

    def frames():
        nonlocal made
        while True:
            made += 1
            yield np.zeros((1, 2, 2, 3), np.uint8)

    with pytest.raises(DataError, match=rf"{number} frames.*\.mp4, \.webm and \.gif"):
        write_video(tmp_path / f"a{ending}", frames(), 25, length=number + 1)
    assert made == 0
    with pytest.raises(DataError, match=f"{number} frames"):
        write_video(tmp_path / f"a{ending}", frames(), 25)
    assert made == number + 1
    assert not list(tmp_path.iterdir())
    write_video(tmp_path / f"a{ending}", np.zeros((number, 2, 2, 3), np.uint8), 25, length=number)


@pytest.mark.parametrize("ending", [*MOVING, ".png"])
def test_a_failure_leaves_nothing_and_keeps_the_old_file(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    path.write_bytes(b"old")

    def frames():
        yield moving(3)
        raise ArithmeticError("in the generator")

    with pytest.raises(ArithmeticError):
        write_video(path, frames(), 25)
    for bad in (iter([moving(2), moving(2, 20, 20)]), moving(2).astype(np.float32), moving(2)[0], [], moving(2)[:0]):
        with pytest.raises(DataError, match=path.name):
            write_video(path, bad, 25)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"old"
    write_video(path, moving(3), 25)
    assert path.read_bytes() != b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_bad_requests_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"'\.avi'.*\.mp4, \.webm, \.gif, \.webp, \.png"):
        write_video(tmp_path / "a.avi", moving(2), 25)
    for fps in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="fps"):
            write_video(tmp_path / "a.mp4", moving(2), fps)
    with pytest.raises(ConfigError, match="50 frames a second"):
        write_video(tmp_path / "a.gif", moving(2), 60)
    with pytest.raises(ConfigError, match="png"):
        write_strip(tmp_path / "a.mp4", moving(2))
    with pytest.raises(RunError, match="no folder"):
        write_video(tmp_path / "none" / "a.mp4", moving(2), 25)


LIMITED = """
import resource, sys
import numpy as np
from gadkit.errors import RunError
from gadkit.video.encode import write_video
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
noise = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), dtype=np.uint8)
try:
    write_video(sys.argv[1], noise, 25)
except RunError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs a limit on the size of files")
@pytest.mark.parametrize("ending", [*MOVING, ".png"])
def test_a_full_disk_is_one_sentence(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, check=True)
    assert f"a{ending} cannot be written" in done.stdout
    assert done.stdout.count("\n") == 1
    assert not list(tmp_path.iterdir())


MEASURED = """
import sys
from pathlib import Path
import numpy as np
from gadkit.video.encode import write_video
path, count = sys.argv[1], int(sys.argv[2])
ramp = np.arange(160, dtype=np.uint8)
def frames():
    for t in range(count // 10):
        yield np.broadcast_to((ramp + t)[None, :, None, None], (10, 160, 160, 3))
write_video(path, frames(), 25)
print(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of a process's memory from /proc")
@pytest.mark.parametrize("ending", [".mp4", ".gif"])
def test_memory_does_not_grow_with_the_length(tmp_path, ending):
    peaks = []
    for count in (100, 1000):
        command = [sys.executable, "-c", MEASURED, str(tmp_path / f"a{ending}"), str(count)]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    assert peaks[1] - peaks[0] < 900 * 160 * 160 * 3 / 1024 / 4  # a quarter of the frames that were added, in KiB


@pytest.mark.parametrize(
    ("count", "columns", "rows_columns"), [(1, None, (1, 1)), (5, None, (2, 3)), (9, None, (3, 3)), (5, 2, (3, 2))]
)
def test_tile(count, columns, rows_columns):
    videos = np.random.default_rng(0).integers(1, 256, (count, 3, 4, 6, 3), dtype=np.uint8)
    grid = tile(torch.from_numpy(videos), columns)
    rows, columns = rows_columns
    assert grid.shape == (3, rows * 4, columns * 6, 3)
    for place in range(rows * columns):
        row, column = divmod(place, columns)
        cell = grid[:, 4 * row : 4 * row + 4, 6 * column : 6 * column + 6]
        assert np.array_equal(cell, videos[place] if place < count else np.zeros_like(cell))


@pytest.mark.parametrize("ending", ["webm", "gif", "webp", "png"])
def test_equal_frames_make_equal_files(tmp_path, ending):
    # MP4 is left out: x264 itself now and then codes the same tiny frames in another way.
    frames = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    written = []
    for name in ("one", "two"):
        path = tmp_path / f"{name}.{ending}"
        write_video(path, frames, 10.0)
        written.append(path.read_bytes())
    assert written[0] == written[1]
