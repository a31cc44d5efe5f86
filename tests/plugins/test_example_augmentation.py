"""The augmentation of the documentation conforms, turns what it says, and trains from the command line."""

import sys
from pathlib import Path

import pytest
import torch
from documented import documented_plugin
from small_runs import folder_of_clips

from gadkit import Key, Noise
from gadkit.cli import app
from gadkit.runs.folder import Run
from gadkit.testing import check_augmentation


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    with documented_plugin(monkeypatch, tmp_path, "turns", "class Turns") as file:
        yield file


def test_it_conforms(plugin):
    from turns import Turns

    check_augmentation(Turns)


def test_it_turns_half_of_the_share_that_is_its_strength(plugin):
    from turns import Turns

    video = torch.arange(6.0).view(1, 1, 1, 2, 3).expand(2000, 1, 1, 2, 3)
    seen = Turns()(video, Noise(Key.of(3), torch.arange(2000)), torch.tensor(0.5))
    turned = seen[:, 0, 0, 0, 0] == 5
    assert torch.equal(seen[turned][0, 0, 0], torch.tensor([[5.0, 4, 3], [2, 1, 0]]))
    assert torch.equal(seen[~turned], video[~turned])
    assert abs(float(turned.float().mean()) - 0.25) < 0.04


def test_it_trains_from_the_command_line(plugin, monkeypatch):
    folder_of_clips(Path("clips"), count=2)
    for name, more in (("plain", "--augmentation none"), ("turned", f"--plugin {plugin} --augmentation turns")):
        command = (
            f"gadkit train --data clips --resolution 16 --frames 8 --batch-size 4 --steps 1 --device cpu --out {name}"
        )
        nets = "--set generator.width=8 --set generator.latent_dim=8 --set generator.motion_dim=4"
        monkeypatch.setattr(sys, "argv", f"{command} {nets} --set discriminator.width=8 {more}".split())
        assert app.run(app.app) == 0
    assert "augmentation/strength" not in Run(Path("plain")).read_log()[-1]
    assert Run(Path("turned")).read_log()[-1]["augmentation/strength"] == 1.0
