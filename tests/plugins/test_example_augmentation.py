"""The augmentation of the documentation turns and mirrors as often as it says, on square clips and on others."""

import pytest
import torch
from documented import documented

from gadkit import Key, Noise


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    with documented(monkeypatch, tmp_path, "augmentation"):
        yield


def changed(video, strength, count=4000):
    from blit import Blit

    clips = video.expand(count, 1, 1, *video.shape)
    return Blit()(clips, Noise(Key.of(3), torch.arange(count)), torch.tensor(strength))[:, 0, 0]


def test_every_turn_and_mirror_image_comes_as_often_as_it_should(plugin):
    """With the probability p: a mirror image in half of the cases, and each of the four turns in a quarter."""
    square, strength = torch.arange(9.0).view(3, 3), 0.5
    seen = changed(square, strength)
    for mirrored, chance in ((False, 1 - strength / 2), (True, strength / 2)):
        for quarters in range(4):
            expected = (square.flip(1) if mirrored else square).rot90(quarters)
            share = float((seen == expected).all(2).all(1).float().mean())
            turn = strength / 4 + (1 - strength if quarters == 0 else 0)
            assert share == pytest.approx(chance * turn, abs=4 * (0.25 / 4000) ** 0.5)


def test_clips_that_are_not_square_are_turned_by_halves(plugin):
    wide = torch.arange(6.0).view(2, 3)
    seen = changed(wide, 1.0)
    ways = [wide, wide.flip(1), wide.flip(0, 1), wide.flip(0)]
    shares = [float((seen == way).all(2).all(1).float().mean()) for way in ways]
    assert sum(shares) == pytest.approx(1)
    assert all(share == pytest.approx(0.25, abs=0.03) for share in shares)
