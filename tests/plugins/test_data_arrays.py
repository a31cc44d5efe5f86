"""NumPy's files give their frames exactly, stay on disk where they can, and never run what they hold."""

import zipfile

import numpy as np
import psutil
import pytest
from sources import KINDS, NAMES, videos, write_zip

from gadkit import DataError
from gadkit_plugins.data import npy
from gadkit_plugins.data.arrays import Arrays

VIDEOS = np.stack(list(videos().values()))


def read(dataset):
    return {source.name: np.stack(list(dataset.open(source).frames)) for source in dataset.sources()}


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_rows_are_videos(tmp_path, kind):
    path = KINDS[kind](tmp_path)
    dataset = Arrays(path, fps=12)
    assert list(read(dataset)) == ["0", "1", "2", "3"]
    assert np.array_equal(np.stack(list(read(dataset).values())), VIDEOS)
    one = dataset.sources()[2]
    assert (one.files, one.locator, dataset.open(one).fps) == ((path,), "2", 12)
    assert np.array_equal(next(Arrays(path).open(one).frames), VIDEOS[2, 0])
    labels = [None] * 4 if kind == "npy" else [name.split("/")[0] for name in NAMES]
    assert [source.label for source in dataset.sources()] == labels


def test_a_tree_of_arrays(tmp_path):
    path = KINDS["npy_tree"](tmp_path)
    np.save(path / "dogs" / "two.npy", VIDEOS[:2])
    (path / "dogs" / "bad.npy").write_bytes(b"no array")
    np.save(path / "dogs" / "names.npy", np.arange(4))
    dataset = Arrays(path)
    names = [source.name for source in dataset.sources()]
    assert names == [
        "cats/a.npy",
        "cats/b.npy",
        "dogs/bad.npy",
        "dogs/c.npy",
        "dogs/d.npy",
        "dogs/names.npy",
        "dogs/two.npy/0",
        "dogs/two.npy/1",
    ]
    for source in dataset.sources():
        if source.name in ("dogs/bad.npy", "dogs/names.npy"):
            with pytest.raises(DataError, match=source.name):
                dataset.open(source)
        elif source.locator:
            assert np.array_equal(np.stack(list(dataset.open(source).frames)), VIDEOS[int(source.locator)])
        else:
            assert np.array_equal(np.stack(list(dataset.open(source).frames)), videos()[source.name[:-4]])


def test_one_video(tmp_path):
    np.save(tmp_path / "a.npy", VIDEOS[1])
    np.savez(tmp_path / "b.npz", video=VIDEOS[1], other=np.arange(3))
    assert [(name, len(frames)) for name, frames in read(Arrays(tmp_path / "a.npy")).items()] == [("a.npy", 20)]
    assert np.array_equal(read(Arrays(tmp_path / "b.npz"))["b.npz"], VIDEOS[1])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels(tmp_path, channels):
    video = np.random.default_rng(0).integers(0, 256, (5, 6, 7, channels), np.uint8)
    np.save(tmp_path / "a.npy", video)
    found = read(Arrays(tmp_path / "a.npy"))["a.npy"]
    assert np.array_equal(found, np.repeat(video, 3, axis=3) if channels == 1 else video)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("save", ["npy", "npz", "compressed"])
def test_both_orders_of_memory(tmp_path, order, save):
    array = np.asarray(VIDEOS, order=order)
    path = tmp_path / ("a.npy" if save == "npy" else "a.npz")
    {"npy": np.save, "npz": np.savez, "compressed": np.savez_compressed}[save](path, array)
    assert np.array_equal(np.stack(list(read(Arrays(path)).values())), VIDEOS)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<f2"])
@pytest.mark.parametrize(("values", "low"), [("0..1", 0), ("-1..1", -1)])
def test_floating_point_of_a_stated_range(tmp_path, dtype, values, low):
    scaled = VIDEOS[0].astype(np.float64) / 255 * (1 - low) + low
    np.save(tmp_path / "a.npy", scaled.astype(dtype))
    assert np.array_equal(read(Arrays(tmp_path / "a.npy", values=values))["a.npy"], VIDEOS[0])
    with pytest.raises(DataError, match=r"float\d+; expected uint8, or set data\.values"):
        Arrays(tmp_path / "a.npy").sources()


@pytest.mark.parametrize("wrong", [-0.5, 1.5, np.nan, np.inf])
def test_values_out_of_range_are_told(tmp_path, wrong):
    video = np.zeros((3, 4, 5, 3), np.float32)
    video[2, 1, 1, 1] = wrong
    np.save(tmp_path / "a.npy", video)
    dataset = Arrays(tmp_path / "a.npy", values="0..1")
    with pytest.raises(DataError, match=r"a\.npy.*frame 2"):
        list(dataset.open(dataset.sources()[0]).frames)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3, 4, 5, 2), np.uint8), r"\(2, 3, 4, 5, 2\).*C 1, 3 or 4"),
        (np.zeros((2, 3, 3, 8, 9), np.uint8), "move the channels to the end"),
        (np.zeros((3, 4, 5), np.uint8), r"expected \(N, T, H, W, C\)"),
        (np.zeros((0, 3, 4, 5, 3), np.uint8), "no video at all"),
        (np.zeros((2, 0, 4, 5, 3), np.uint8), "empty"),
        (np.zeros((2, 3, 4, 5, 3), np.int64), "int64; expected uint8"),
        (np.zeros((2, 3, 4, 5, 3), bool), "bool; expected uint8"),
        (np.zeros((2, 3, 4, 5, 3), "u1,u1"), "expected uint8"),
    ],
)
def test_arrays_that_are_no_videos(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", a=array)
    for path in (tmp_path / "a.npy", tmp_path / "a.npz"):
        with pytest.raises(DataError, match=message if path.suffix == ".npy" or array.ndim > 3 else "a .3, 4, 5."):
            Arrays(path).sources()
    np.save(tmp_path / "b.npy", VIDEOS)
    with pytest.raises(DataError, match="leave the setting out"):
        Arrays(tmp_path / "b.npy", values="0..1").sources()


def test_which_array_of_several(tmp_path):
    np.savez(tmp_path / "a.npz", train=VIDEOS, test=VIDEOS[:1], notes=np.arange(3))
    with pytest.raises(DataError, match=r"train \(4, 20, 32, 40, 3\).*set data\.key"):
        Arrays(tmp_path / "a.npz").sources()
    assert len(Arrays(tmp_path / "a.npz", key="test").sources()) == 1
    with pytest.raises(DataError, match="no array none"):
        Arrays(tmp_path / "a.npz", key="none").sources()


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.array([3, 0, 3, 12]), ["3", "0", "3", "12"]),
        (np.array(["a", "bé", "a", "c"]), ["a", "bé", "a", "c"]),
        (np.array([b"a", b"b", b"c", b"a"]), ["a", "b", "c", "a"]),
    ],
)
def test_labels_beside_the_videos(tmp_path, labels, expected):
    np.savez_compressed(tmp_path / "a.npz", videos=VIDEOS, labels=labels)
    assert [source.label for source in Arrays(tmp_path / "a.npz").sources()] == expected


@pytest.mark.parametrize("labels", [np.arange(3), np.zeros((4, 2), int), np.zeros(4)])
def test_labels_that_do_not_fit(tmp_path, labels):
    np.savez(tmp_path / "a.npz", videos=VIDEOS, labels=labels)
    with pytest.raises(DataError, match="expected 4 whole numbers or names"):
        Arrays(tmp_path / "a.npz").sources()


class Trap:
    """Unpickling it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_objects_are_never_unpickled(tmp_path):
    trap = np.empty((1, 1, 1, 1, 3), object)
    trap[:] = Trap(tmp_path / "sprung")
    np.save(tmp_path / "a.npy", trap, allow_pickle=True)
    np.savez(tmp_path / "b.npz", videos=VIDEOS, labels=np.array([Trap(tmp_path / "sprung")] * 4, object))
    (tmp_path / "c.npy").write_bytes(b"cos\nsystem\n(S'touch sprung'\ntR.")
    for name in ("a.npy", "b.npz", "c.npy"):
        with pytest.raises(DataError, match=name):
            Arrays(tmp_path / name).sources()
    assert not (tmp_path / "sprung").exists()
    np.load(tmp_path / "a.npy", allow_pickle=True)  # the trap works
    assert (tmp_path / "sprung").exists()


def header(shape, descr="|u1"):
    """An `.npy` file that declares a shape and holds 100 bytes."""
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(100)


HOSTILE = [
    b"",
    b"words " * 100,
    header((10**9, 10**6, 100, 100, 3)),
    header((1, 2, 5, 5, 3)),
    header((-1, 2, 5, 5, 3)),
    header("(1,) * 9**9"),
    header((1, 1, 5, 5, 3), "O"),
    header((1, 1, 5, 5, 3), "|u1")[:40],
    header((2**62, 2, 2, 2, 3)),
]


@pytest.mark.parametrize("method", [None, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("content", HOSTILE)
def test_damaged_files_are_named(tmp_path, content, method):
    path = tmp_path / ("a.npy" if method is None else "a.npz")
    if method is None:
        path.write_bytes(content)
    else:
        write_zip(path, {"videos.npy": content}, method)
    with pytest.raises(DataError, match=path.name) as error:
        read(Arrays(path))
    assert "\n" not in str(error.value)


def test_a_compressed_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(npy, "MAX_COMPRESSED", 1 << 20)
    np.savez_compressed(tmp_path / "a.npz", np.zeros((4, 100, 50, 50, 3), np.uint8))
    with pytest.raises(DataError, match="at most 1048576 are read into memory"):
        Arrays(tmp_path / "a.npz").sources()


@pytest.mark.parametrize("save", [np.save, np.savez])
def test_what_is_not_compressed_is_mapped(tmp_path, save):
    path = tmp_path / ("a.npy" if save is np.save else "a.npz")
    count = 1_000
    block = np.lib.format.open_memmap(tmp_path / "big.npy", "w+", np.uint8, (count, 16, 64, 64, 3))  # 197 MB, sparse
    block[-1] = 7
    block.flush()
    if save is np.save:
        path = tmp_path / "big.npy"
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.write(tmp_path / "big.npy", "videos.npy")
    before = psutil.Process().memory_info().rss
    dataset = Arrays(path)
    assert (np.stack(list(dataset.open(dataset.sources()[-1]).frames)) == 7).all()
    assert psutil.Process().memory_info().rss - before < 60e6
