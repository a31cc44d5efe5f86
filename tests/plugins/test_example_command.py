"""The command of the documentation, installed as a package, keeps the videos that the discriminator finds likely."""

import re
from pathlib import Path

import pytest
import torch
from documented import documented, files_of
from plugins_fixtures import importable, write_metadata
from small_runs import CommandLine, small

import gadkit


@pytest.fixture
def drs(tmp_path, monkeypatch, capsys):
    with documented(monkeypatch, tmp_path, "command"):
        project = files_of("command")["pyproject.toml"]
        assert '[project.entry-points.gadkit]\ndrs = "gadkit_drs"' in project
        write_metadata(tmp_path, "gadkit-drs", "0.1.0", {"drs": "gadkit_drs"})
        with importable(tmp_path):
            yield CommandLine(monkeypatch, capsys)


def test_it_stands_in_the_help_without_being_imported_with_torch(drs):
    assert re.search(r"drs .*draw videos, and keep those", drs("--help").out)
    assert "--percentile" in drs("drs", "--help").out


def test_it_writes_as_many_videos_as_are_asked_for(drs):
    small("run", steps=1)
    done = drs("drs", "run", "--num", 3, "--burn-in", 8, "--percentile", 50, "--out", "kept")
    assert done.code == 0, done.err
    assert len(list(Path("kept").glob("*.mp4"))) == 3
    assert re.search(r"kept 3 of \d+ videos in kept", done.out)


class Uniform:
    """A model of videos whose brightness is uniform in [0, 1)."""

    device, video = torch.device("cpu"), gadkit.VideoSpec(height=1, width=1, frames=1)

    def __init__(self):
        self.discriminator = Ratio(self.video)

    def sample(self, first, seed):
        share = gadkit.Noise(gadkit.Key.of(seed), torch.tensor([first])).uniform("brightness", 1)
        return (share * 256).to(torch.uint8).view(1, 1, 1, 1, 1).expand(1, 1, 3, 1, 1)

    def class_numbers(self, labels, num, first):
        return None


class Ratio(gadkit.Discriminator):
    """Says log 2b of a video of the brightness b: the ratio of the density 2b, the data's, to the model's."""

    def features(self, video, labels=None, times=None):
        return ((video + 1) * 127.5 + 0.5).mean((1, 3, 4))[:, :1] / 256

    def forward(self, video, labels=None, times=None):
        return torch.log(2 * self.features(video))


def test_with_gamma_at_0_the_kept_ones_are_distributed_as_the_data(drs, monkeypatch):
    """F = log(b / (1 - b)) - gamma: its median is 0, and the probability sigmoid(F) is b, the density ratio over 2."""
    import gadkit_drs

    kept = []
    monkeypatch.setattr(gadkit, "load", lambda run: Uniform(), raising=False)
    monkeypatch.setattr(
        gadkit, "write_video", lambda path, video, fps: kept.append(float(video[0, 0, 0, 0]) / 256), raising=False
    )
    means = {}
    for percentile in (20.0, 50.0, 80.0):
        kept.clear()
        gadkit_drs.drs(Path("run"), Path("out"), num=200, burn_in=300, percentile=percentile, seed=3)
        means[percentile] = sum(kept) / len(kept)
    assert means[50.0] == pytest.approx(2 / 3, abs=0.07)  # of the density 2b; its standard deviation is .24
    assert means[20.0] < means[50.0] - 0.03 < means[80.0] - 0.06
