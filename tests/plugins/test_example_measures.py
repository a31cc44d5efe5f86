"""The feature network and the metric of the documentation are what they say, against references of their own."""

import math

import numpy as np
import pytest
import torch
from documented import documented
from sklearn.neighbors import NearestNeighbors


@pytest.fixture
def page(request, tmp_path, monkeypatch):
    with documented(monkeypatch, tmp_path, request.param):
        yield


def histograms(frame):
    """HOG of a grey frame `(64, 64)`, vote by vote, as Dalal & Triggs describe it."""
    edged = np.pad(frame.astype(float), 1, mode="edge")
    cells = np.zeros((8, 8, 9))
    for y in range(64):
        for x in range(64):
            across = edged[y + 1, x + 2] - edged[y + 1, x]
            down = edged[y + 2, x + 1] - edged[y, x + 1]
            place = (math.degrees(math.atan2(down, across)) % 180) / 20 - 0.5
            low = math.floor(place)
            row, column = (y + 0.5) / 8 - 0.5, (x + 0.5) / 8 - 0.5
            for number, share in ((low, 1 - (place - low)), (low + 1, place - low)):
                for r in (math.floor(row), math.floor(row) + 1):
                    for c in (math.floor(column), math.floor(column) + 1):
                        if 0 <= r < 8 and 0 <= c < 8:
                            weight = (1 - abs(row - r)) * (1 - abs(column - c)) * share
                            cells[r, c, number % 9] += weight * math.hypot(across, down)
    found = np.zeros((4, 9, 7, 7))
    for r in range(7):
        for c in range(7):
            block = cells[r : r + 2, c : c + 2].reshape(-1)
            block = np.minimum(block / np.linalg.norm(block), 0.2)
            found[:, :, r, c] = (block / np.linalg.norm(block)).reshape(4, 9)
    return found.reshape(-1)


@pytest.mark.parametrize("page", ["features"], indirect=True)
def test_histograms_are_those_that_are_voted_pixel_by_pixel(page):
    from hog import Hog

    frame = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    video = torch.from_numpy(frame).expand(1, 1, 3, 64, 64)
    assert np.abs(Hog()(video)[0, 0].numpy() - histograms(frame)).max() < 1e-4


@pytest.mark.parametrize("page", ["features"], indirect=True)
def test_a_light_edge_and_a_dark_one_are_one_orientation(page):
    from hog import Hog

    edge = torch.zeros(1, 1, 3, 64, 64, dtype=torch.uint8)
    edge[..., 32:] = 200
    assert torch.allclose(Hog()(edge), Hog()(200 - edge), atol=1e-5)


def told_right(real, generated):
    """The share of rows whose nearest neighbour is of their side, by scikit-learn."""
    rows = np.concatenate([real, generated])
    side = np.arange(len(rows)) >= len(real)
    nearest = NearestNeighbors(n_neighbors=2).fit(rows).kneighbors(rows)[1][:, 1]
    return [float((side[nearest] == side)[side == which].mean()) for which in (False, True)]


def measured(real, generated):
    from c2st import NearestNeighbour

    metric = NearestNeighbour()
    metric.update(torch.as_tensor(real), real=True)
    metric.update(torch.as_tensor(generated), real=False)
    return {name: float(value) for name, value in metric.compute().items()}


@pytest.mark.parametrize("page", ["metric"], indirect=True)
def test_the_two_sample_test_is_that_of_another_library(page):
    rng = np.random.default_rng(1)
    real, generated = rng.normal(size=(80, 3)), rng.normal(0.7, 1, size=(60, 3))
    found = measured(real, generated)
    assert [found["c2st_real"], found["c2st_generated"]] == pytest.approx(told_right(real, generated))
    assert found["c2st"] == pytest.approx((found["c2st_real"] + found["c2st_generated"]) / 2)


@pytest.mark.parametrize("page", ["metric"], indirect=True)
def test_copies_are_told_by_nobody_and_mode_collapse_is_seen_on_one_side(page):
    real = np.random.default_rng(2).normal(size=(60, 3))
    assert measured(real, real)["c2st"] == 0.0  # each one's nearest is its own copy, of the other side
    collapsed = np.zeros((60, 3)) + np.random.default_rng(3).normal(size=(60, 3)) * 1e-3
    found = measured(real, collapsed)
    assert found["c2st_generated"] == 1.0
    assert found["c2st_real"] < 1.0
    assert measured(real, real + 100)["c2st"] == 1.0


@pytest.mark.parametrize("page", ["metric"], indirect=True)
def test_equally_near_clips_vote_together_in_whatever_order_they_came(page):
    real, generated = np.zeros((2, 1)), np.array([[0.0], [5.0]])
    for order in (1, -1):
        found = measured(real, generated[::order].copy())
        assert found["c2st_real"] == pytest.approx(1 / 2)  # a real and a generated copy
        assert found["c2st_generated"] == pytest.approx((0 + 1 / 3) / 2)


@pytest.mark.parametrize("page", ["metric"], indirect=True)
def test_of_one_distribution_the_value_has_the_mean_that_the_page_says(page):
    """(n - 1) / (2n - 1), over many small draws."""
    rng = np.random.default_rng(4)
    values = [measured(rng.normal(size=(5, 2)), rng.normal(size=(5, 2)))["c2st"] for _ in range(400)]
    assert np.mean(values) == pytest.approx(4 / 9, abs=4 * np.std(values) / 20)
