"""The dataset of the documentation reads the published file, and refuses another in a sentence."""

import numpy as np
import pytest
from documented import documented

from gadkit import DataError
from gadkit.testing import check_dataset


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    with documented(monkeypatch, tmp_path, "dataset"):
        yield tmp_path


def test_a_video_is_a_column_of_the_file(plugin):
    from moving_mnist import MovingMnist

    clips = np.random.default_rng(0).integers(0, 256, (20, 4, 64, 64), dtype=np.uint8)
    np.save(plugin / "mnist_test_seq.npy", clips)
    assert MovingMnist.accepts(plugin)
    assert MovingMnist.accepts(plugin / "mnist_test_seq.npy")
    assert not MovingMnist.accepts(plugin / "elsewhere")
    check_dataset(MovingMnist, plugin)
    dataset = MovingMnist(plugin, fps=8.0)
    footage = dataset.open(dataset.sources()[2])
    frames = np.stack(list(footage.frames))
    assert footage.fps == 8
    assert np.array_equal(frames, np.repeat(clips[:, 2, :, :, None], 3, axis=3))


def test_another_file_is_refused_with_what_was_found(plugin):
    from moving_mnist import MovingMnist

    np.save(plugin / "mnist_test_seq.npy", np.zeros((20, 4, 64), np.uint8))
    with pytest.raises(DataError, match=r"holds uint8 \(20, 4, 64\), expected uint8 \(frames, videos"):
        MovingMnist(plugin)
    with pytest.raises(DataError, match="cannot be read as an array"):
        MovingMnist(plugin / "nothing.npy")
    (plugin / "mnist_test_seq.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match="cannot be read as an array"):
        MovingMnist(plugin)
