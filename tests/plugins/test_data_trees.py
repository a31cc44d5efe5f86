"""Trees of videos and of frames: what belongs to them, in an order of names alone, and what is said to be missing."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sources
from clips import encode, moving
from PIL import Image

from gadkit import DataError, Dataset
from gadkit_plugins.data.embedded_set import Embedded
from gadkit_plugins.data.frames import Frames
from gadkit_plugins.data.plugin import gadkit_datasets
from gadkit_plugins.data.tree import natural
from gadkit_plugins.data.videos import Videos

VIDEO = moving(5, 16, 16)


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    for name in (
        "clip10.mp4",
        "clip2.mkv",
        "b/x.MOV",
        "a/deep/er/1.webm",
        "a/0.gif",
        ".hidden/no.mp4",
        "a/.no.mp4",
        "notes.txt",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    encode(root / "clip2.mkv", VIDEO)
    return root


def image_folders(root, videos, size=(8, 6)):
    for name, count in videos.items():
        (root / name).mkdir(parents=True)
        for index in range(count):
            Image.new("RGB", size, (index, 0, 0)).save(root / name / f"{index}.png")
    return root


def names(dataset):
    return [source.name for source in dataset.sources()]


def test_every_component_is_a_dataset():
    for component in gadkit_datasets():
        module, _, attribute = component.target.partition(":")
        assert issubclass(getattr(__import__(module, fromlist=["_"]), attribute), Dataset)


def test_listing_imports_no_torch():
    code = "import sys, gadkit_plugins.data.plugin as p; p.gadkit_datasets(); print({'torch', 'av'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_natural_order():
    ordered = ["", "1", "01", "2", "10", "a", "a1b2", "a1b10", "a02", "a10", "b"]
    shuffled = [ordered[index] for index in np.random.default_rng(0).permutation(len(ordered))]
    result = sorted(shuffled, key=natural)
    assert [result.index(name) for name in ("a1b2", "a1b10", "a02", "a10", "b")] == sorted(
        map(result.index, ordered[-5:])
    )
    assert result[3:5] == ["2", "10"]
    assert len({natural(name) for name in ordered}) == len(ordered)


def test_videos_of_a_tree(tree):
    assert names(Videos(tree)) == ["a/0.gif", "a/deep/er/1.webm", "b/x.MOV", "clip2.mkv", "clip10.mp4"]
    source = Videos(tree).sources()[3]
    assert source.files == (tree / "clip2.mkv",)
    footage = Videos(tree).open(source)
    assert footage.fps == 25
    assert np.array_equal(np.stack(list(footage.frames)), VIDEO)


def test_one_file(tree):
    assert names(Videos(tree / "clip2.mkv")) == ["clip2.mkv"]
    with pytest.raises(DataError, match=r"notes\.txt is no video"):
        Videos(tree / "notes.txt").sources()


def test_links_that_lead_out_are_not_followed(tree, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.mp4").write_bytes(b"")
    expected = names(Videos(tree))
    (tree / "out").symlink_to(outside)
    (tree / "out.mp4").symlink_to(outside / "secret.mp4")
    (tree / "up").symlink_to(tree.parent)
    (tree / "a" / "loop").symlink_to(tree)
    (tree / "dangling.mp4").symlink_to(tree / "nothing")
    assert names(Videos(tree)) == expected
    (tree / "inside.mp4").symlink_to(tree / "clip10.mp4")
    (tree / "c").symlink_to(tree / "b")
    assert names(Videos(tree)) == sorted([*expected, "inside.mp4", "c/x.MOV"], key=natural)
    # The root itself may be a link: its owner named it.
    (tmp_path / "link").symlink_to(tree)
    assert names(Videos(tmp_path / "link")) == names(Videos(tree))


def test_two_folders_that_link_to_each_other_end(tmp_path):
    for one, other in (("a", "b"), ("b", "a")):
        (tmp_path / one).mkdir()
        (tmp_path / one / "v.mp4").write_bytes(b"")
        (tmp_path / one / "link").symlink_to(tmp_path / other)
    assert names(Videos(tmp_path)) == ["a/link/v.mp4", "a/v.mp4", "b/link/v.mp4", "b/v.mp4"]


def test_what_is_missing_is_said(tmp_path):
    for kind in (Videos, Frames):
        with pytest.raises(DataError, match="none does not exist"):
            kind(tmp_path / "none")
        with pytest.raises(DataError, match="no files"):
            kind(tmp_path).sources()
    for name in ("a.txt", "b.txt", "c.zip", "README"):
        (tmp_path / name).write_text("")
    for kind in (Videos, Frames):
        with pytest.raises(DataError, match=r"2 \.txt, 1 .*, expected") as error:
            kind(tmp_path).sources()
        assert str(tmp_path) in str(error.value)
    with pytest.raises(DataError, match="is a file"):
        Frames(tmp_path / "a.txt").sources()


def test_frame_folders(tmp_path):
    root = image_folders(tmp_path / "frames", {"v10": 2, "v2": 12, "deep/er": 3})
    dataset = Frames(root, fps=12)
    assert names(dataset) == ["deep/er", "v2", "v10"]
    source = dataset.sources()[1]
    assert [file.name for file in source.files] == [f"{index}.png" for index in range(12)]
    footage = dataset.open(source)
    assert footage.fps == 12
    assert [int(frame[0, 0, 0]) for frame in footage.frames] == list(range(12))
    assert names(Frames(root / "v2")) == ["v2"]


def test_every_kind_of_image(tmp_path):
    folder = tmp_path / "v"
    folder.mkdir()
    colour = Image.new("RGB", (8, 6), (200, 100, 50))
    colour.save(folder / "0.png")
    colour.convert("CMYK").save(folder / "1.tif")
    Image.new("RGBA", (8, 6), (200, 100, 50, 128)).save(folder / "2.png")
    Image.new("L", (8, 6), 77).save(folder / "3.png")
    Image.fromarray(np.full((6, 8), 100 * 257, np.uint16)).save(folder / "4.png")
    clear = Image.new("P", (8, 6), 0)
    clear.putpalette([200, 100, 50, 0, 0, 0])
    clear.save(folder / "5.png", transparency=0)
    turned = Image.new("RGB", (8, 6), (200, 100, 50))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(folder / "6.png", exif=exif)
    dataset = Frames(tmp_path)
    frames = list(dataset.open(dataset.sources()[0]).frames)
    assert [frame.shape for frame in frames] == [(6, 8, c) for c in (3, 3, 4, 3, 3, 4)] + [(8, 6, 3)]
    first = [frame[0, 0].tolist() for frame in frames]
    assert first == [
        [200, 100, 50],
        [200, 100, 50],
        [200, 100, 50, 128],
        [77] * 3,
        [100] * 3,
        [200, 100, 50, 0],
        [200, 100, 50],
    ]


def test_a_broken_image_is_named(tmp_path):
    root = image_folders(tmp_path / "frames", {"v": 3, "w": 3})
    (root / "v" / "1.png").write_bytes((root / "v" / "1.png").read_bytes()[:40])
    dataset = Frames(root)
    broken, whole = dataset.sources()
    with pytest.raises(DataError, match=r"1\.png cannot be read"):
        list(dataset.open(broken).frames)
    assert len(list(dataset.open(whole).frames)) == 3


def test_accepting_looks_at_a_bounded_number_of_entries(tmp_path, monkeypatch):
    monkeypatch.setattr("gadkit_plugins.data.tree._GLIMPSE", 20)
    for index in range(10):
        (tmp_path / f"{index}.txt").write_text("")
        (tmp_path / f"d{index}").mkdir()
        (tmp_path / f"d{index}" / "a.mp4").write_bytes(b"")
    assert not Videos.accepts(tmp_path)
    monkeypatch.setattr("gadkit_plugins.data.tree._GLIMPSE", 21)
    assert Videos.accepts(tmp_path)


@pytest.mark.parametrize("kind", ["video_tree", "frame_tree"])
def test_every_pixel_of_a_tree(tmp_path, kind):
    dataset = (Videos if kind == "video_tree" else Frames)(sources.KINDS[kind](tmp_path))
    found = {source.name.partition(".")[0]: np.stack(list(dataset.open(source).frames)) for source in dataset.sources()}
    assert list(found) == list(sources.NAMES)
    assert all(np.array_equal(found[name], video) for name, video in sources.videos().items())


def test_a_png_is_a_video_where_it_moves(tmp_path):
    path = sources.KINDS["animation_tree"](tmp_path)
    Image.new("RGB", (8, 6)).save(path / "cats" / "still.png")
    Image.new("RGB", (8, 6)).save(path / "cats" / "still.webp")
    dataset = Videos(path)
    assert names(dataset) == ["cats/a.gif", "cats/b.webp", "dogs/c.apng", "dogs/d.png"]
    for source in dataset.sources()[1:]:
        frames = np.stack(list(dataset.open(source).frames))
        assert np.array_equal(frames[..., :3], sources.videos()[source.name.partition(".")[0]])
    assert names(Frames(path)) == ["cats"]
    assert [file.name for file in Frames(path).sources()[0].files] == ["still.png", "still.webp"]


def test_the_embedded_set():
    dataset = Embedded(Path("anything"))
    found = dataset.sources()
    assert len(found) == 56
    folder = found[0].files[0].parent
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 2 * 2**20
    notice = (folder / "NOTICE").read_text()
    assert "Copyright (c) Microsoft Corporation" in notice
    assert "THE SOFTWARE IS PROVIDED" in notice
    assert f"The {len(found)} video clips" in notice
    assert dataset.licence == "MIT"
    # Yellow faces that fill the frame, on white.
    for source in found:
        footage = dataset.open(source)
        frames = np.stack(list(footage.frames)).astype(int)
        assert footage.fps == 25
        assert frames.shape[1:] == (128, 128, 3)
        assert 37 <= len(frames) <= 96
        assert (frames[:, [0, 0, -1, -1], [0, -1, 0, -1]] > 240).mean() > 0.8
        red, green, blue = np.median(frames[:, 24:104, 24:104].reshape(-1, 3), axis=0)
        assert red > 200
        assert green > blue + 20
