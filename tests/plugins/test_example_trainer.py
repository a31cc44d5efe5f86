"""The trainer of the documentation is the algorithm of its paper, and a run of it goes on exactly."""

import json
from pathlib import Path

import pytest
from documented import documented
from small_runs import same_tensors, small, tensors_at_ends
from synthetic import Squares

import gadkit

CHOICES = {"trainer": "wgan", "penalty": "none", "batch_size": None, "log_every": 2}


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    with documented(monkeypatch, tmp_path, "trainer") as file:
        yield file


def choices(plugin, **settings):
    small_nets = {"generator.width": 8, "generator.latent_dim": 8, "generator.motion_dim": 4, "discriminator.width": 8}
    own = {"trainer.batch_size": 4, "trainer.critics": 2, "run.samples": 2}
    return CHOICES | {"plugins": [plugin], "set": small_nets | own | settings}


def test_a_run_of_it_that_was_stopped_goes_on_exactly(plugin):
    small("unbroken", steps=5, **choices(plugin))
    small("stopped", steps=3, **choices(plugin))
    gadkit.train(resume="stopped", steps=5, plugins=[plugin], dataset=Squares)
    assert same_tensors(tensors_at_ends("unbroken")[-1], tensors_at_ends("stopped")[-1])
    assert not same_tensors(tensors_at_ends("unbroken")[-1], tensors_at_ends("unbroken")[0])
    logs = [
        {
            line["step"]: line["loss/generator"]
            for line in map(json.loads, Path(run, "log.jsonl").read_text().splitlines())
        }
        for run in ("unbroken", "stopped")
    ]
    assert logs[0].keys() == {2, 4, 5}
    assert logs[1].keys() == {2, 3, 4, 5}  # and a line for the last step of the first part
    assert {step: logs[1][step] for step in (2, 5)} == {step: logs[0][step] for step in (2, 5)}


def test_the_critics_weights_are_clipped_and_the_generators_are_not(plugin):
    small("run", steps=2, **choices(plugin, **{"trainer.clip": 0.003}))
    critic = gadkit.load("run", plugins=[plugin]).discriminator
    assert max(float(p.abs().max()) for p in critic.parameters()) == pytest.approx(0.003)
    assert max(float(p.abs().max()) for p in gadkit.load("run", plugins=[plugin]).generator.parameters()) > 0.003


def test_the_critic_steps_as_often_as_it_is_told_before_each_step_of_the_generator(plugin, monkeypatch):
    import torch

    steps = []
    monkeypatch.setattr(torch.optim.RMSprop, "step", lambda self: steps.append(len(self.param_groups[0]["params"])))
    small("run", steps=2, **choices(plugin, **{"trainer.critics": 3}))
    critic, maker = steps[0], steps[3]
    assert critic != maker
    assert steps == [critic, critic, critic, maker] * 2
