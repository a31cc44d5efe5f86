"""Directions in the trainer: what a step is does not depend on how it is cut, interrupted or spread."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from direction_processes import CASES, train
from test_minimax import StopAfter, furthest, weights

import gadkit
from gadkit.engine import Clips
from gadkit.runs.folder import Run
from gadkit_plugins.minimax.game import MinimaxGame

FOLDER = Path(__file__).parent


def same(one, other):
    """Whether two runs ended with the same bits, the directions' memory included."""
    left, right = weights(one), weights(other)
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def remembers(path):
    return any(key.startswith("training.direction.") for key in weights(path))


RESUMED = [(name, "fp32") for name in CASES]
RESUMED += [("optimistic", "bf16"), ("conjugate", "bf16"), ("optimistic", "fp16"), ("extragradient", "fp16")]


@pytest.mark.parametrize(("name", "precision"), RESUMED)
def test_a_stopped_and_resumed_run_equals_the_unbroken_run_bit_for_bit(tmp_path, name, precision):
    train(tmp_path / "unbroken", name, precision=precision, steps=4)
    watcher = StopAfter(2)
    train(tmp_path / "stopped", name, precision=precision, steps=4, reporter=watcher, stop=watcher.stop)
    assert Run(tmp_path / "stopped").find_checkpoint().name == "step-000002"
    assert remembers(tmp_path / "stopped") == name.startswith(("optimistic", "conjugate"))
    gadkit.train(resume=tmp_path / "stopped")
    assert same(tmp_path / "unbroken", tmp_path / "stopped")


@pytest.mark.parametrize("name", CASES)
def test_accumulation_changes_nothing(tmp_path, name):
    train(tmp_path / "whole", name)
    train(tmp_path / "cut", name, accumulate=2)
    assert furthest(weights(tmp_path / "whole"), weights(tmp_path / "cut")) < 1e-9


def test_two_processes_equal_one(tmp_path):
    script = str(FOLDER / "direction_processes.py")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GADKIT_CACHE": str(tmp_path / "cache")}
    with subprocess.Popen([*launch, str(tmp_path / "two")], env=environment) as two:
        for name in CASES:
            train(tmp_path / "one" / name, name)
        assert two.wait(timeout=280) == 0
    for name in CASES:
        apart = furthest(weights(tmp_path / "one" / name), weights(tmp_path / "two" / name))
        assert apart < 1e-9, f"{name}: {apart}"


def test_each_direction_is_another_step(tmp_path):
    ends = []
    for name in ("simultaneous", "optimistic", "optimistic-alternating", "extragradient", "extragradient-fresh"):
        train(tmp_path / name, name, steps=2)
        ends.append(weights(tmp_path / name, "model.safetensors"))
    apart = [furthest(a, b) for index, a in enumerate(ends) for b in ends[:index]]
    assert min(apart) > 1e-6


@pytest.mark.parametrize("name", ["optimistic", "conjugate"])
def test_going_back_takes_back_what_the_direction_remembered(tmp_path, monkeypatch, name):
    """Numbers that are not finite would stay in the memory: each step after them would be none."""
    batch, begin, began = Clips.batch, MinimaxGame.begin, []

    def poisoned(self, *arguments):
        frames, labels = batch(self, *arguments)
        return frames * float("nan") if began[-1:] == [2] and began.count(2) == 1 else frames, labels

    monkeypatch.setattr(Clips, "batch", poisoned)
    monkeypatch.setattr(MinimaxGame, "begin", lambda self, step: began.append(step) or begin(self, step))
    train(tmp_path / "run", name, precision="fp32", steps=4, set={"run.log_every": 1, "run.checkpoint_every": 1})
    log = Run(tmp_path / "run").read_log()
    assert [line["step"] for line in log if line.get("event") == "rollback"] == [2]
    end = weights(tmp_path / "run")
    assert remembers(tmp_path / "run")
    assert all(bool(tensor.isfinite().all()) for tensor in end.values())
