"""A step is cut until it fits the memory, with the same result; where it does not fit, the error says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_runs import SETTINGS, config, own_registry, small

import gadkit
from gadkit import ConfigError, DeviceError
from gadkit.checkpoints.store import read_tensors
from gadkit.runs import fitting, memory
from gadkit.runs.folder import Run
from gadkit_plugins.gad.alternating import Alternating
from gadkit_plugins.minimax.trainer import MinimaxTrainer


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with own_registry():
        yield


def short_of_memory(monkeypatch, clips):
    """What is free holds a step with so many clips at once, and not one more."""
    footprint = MinimaxTrainer.footprint

    def measured(self, session):
        found = footprint(self, session)
        free = (found.at(clips) - found.parts["weights"] + found.per_clip / 2) / memory.ESTIMATED_SHARE
        monkeypatch.setattr(memory, "room", lambda device: memory.Room(total=int(2 * free), free=int(free), own=0))
        monkeypatch.setattr(fitting, "room", memory.room)
        return found

    monkeypatch.setattr(MinimaxTrainer, "footprint", measured)


def test_the_batch_is_cut_into_the_fewest_pieces_and_the_result_stays(monkeypatch):
    exact = {"precision": "fp64", "batch_size": 8, "steps": 3, "set": SETTINGS | {"trainer.norm_group": 2}}
    small("whole", **exact)
    short_of_memory(monkeypatch, clips=3)
    small("cut", auto_batch=True, **exact)
    assert config("whole")["trainer"]["accumulate"] == 1
    assert config("cut")["trainer"]["accumulate"] == 4  # pieces of 2 fit, pieces of 4 do not
    whole, cut = (read_tensors(Run(Path(run)).find_checkpoint(), "model.safetensors") for run in ("whole", "cut"))
    assert max(float((whole[name] - cut[name]).abs().max()) for name in whole) < 1e-9


def test_groups_that_nobody_chose_are_made_smaller_in_a_new_run_only(monkeypatch):
    small("old", batch_size=8)
    short_of_memory(monkeypatch, clips=3)
    small("new", auto_batch=True, batch_size=8)
    settings = config("new")["trainer"]
    assert (settings["accumulate"], settings["norm_group"]) == (4, 2)
    with pytest.raises(DeviceError, match="a step with 8 clips at once does not fit"):
        gadkit.train(resume="old", steps=4, auto_batch=True)


def test_a_batch_that_fits_is_not_cut():
    small("run", auto_batch=True, batch_size=8)
    assert config("run")["trainer"]["accumulate"] == 1


def test_groups_of_batch_statistics_are_not_cut(monkeypatch):
    short_of_memory(monkeypatch, clips=3)
    settings = SETTINGS | {"discriminator.norm": "batch", "trainer.norm_group": 4}
    with pytest.raises(DeviceError, match=r"a step with 4 clips at once does not fit the memory of cpu"):
        small("run", auto_batch=True, batch_size=8, set=settings)
    assert not Path("run").exists()


def test_where_nothing_fits_the_error_says_what_used_the_memory(monkeypatch):
    short_of_memory(monkeypatch, clips=0)
    with pytest.raises(DeviceError, match=r"a step with 1 clip at once .* activations .* a smaller --resolution"):
        small("run", auto_batch=True)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9000 bytes."),
    ],
)
def test_a_step_that_does_not_fit_is_explained_and_the_checkpoint_is_whole(monkeypatch, error):
    def fail(self, game):
        raise error

    monkeypatch.setattr(Alternating, "step", fail)
    with pytest.raises(DeviceError) as caught:
        small("run")
    sentence = str(caught.value)
    assert sentence.startswith("trainer.batch_size: a step with 4 clips at once does not fit the memory of cpu")
    for part in ("weights", "gradients", "optimiser", "average", "activations", "--accumulate 2", "--auto-batch"):
        assert part in sentence
    assert Run(Path("run")).find_checkpoint().name == "step-000000"


def test_other_errors_stay_what_they_are(monkeypatch):
    monkeypatch.setattr(Alternating, "step", lambda self, game: torch.ones(2) @ torch.ones(3))
    with pytest.raises(RuntimeError, match="inconsistent tensor size"):
        small("run")


def test_a_trainer_that_cannot_cut_its_batch_says_so(monkeypatch):
    monkeypatch.setattr(MinimaxTrainer, "footprint", lambda self, session: None)
    with pytest.raises(ConfigError, match="--auto-batch: trainer 'minimax' cannot cut its batch into pieces"):
        small("run", auto_batch=True)


def test_a_rehearsal_leaves_nothing_behind(monkeypatch):
    def rehearsed(session, trainer, footprint):
        for pieces in (1, 2, 4):
            trainer.rehearse(session, pieces)
        return {}

    choices = {"batch_size": 8, "set": SETTINGS | {"discriminator.norm": "batch", "trainer.norm_group": 2}}
    small("plain", **choices)
    monkeypatch.setattr("gadkit.runs.training.find_cut", rehearsed)
    small("rehearsed", auto_batch=True, **choices)
    ends = (read_tensors(Run(Path(run)).find_checkpoint(), "training.safetensors") for run in ("plain", "rehearsed"))
    plain, after = ends
    assert all(torch.equal(plain[name], after[name]) for name in plain)
