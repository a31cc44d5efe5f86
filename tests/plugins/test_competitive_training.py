"""Competitive steps in the trainer: resumed, spread over processes, in bf16, and with the memory that they take."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from competitive_processes import CASES, train
from test_minimax import StopAfter, furthest, small, weights

import gadkit
from gadkit.runs import fitting, memory
from gadkit.runs.folder import Run
from gadkit_plugins.gad.competitive import Competitive
from gadkit_plugins.minimax.trainer import MinimaxTrainer


@pytest.mark.parametrize(("name", "precision"), [("general", "bf16"), ("general", "fp32"), ("zero-sum", "fp32")])
def test_a_stopped_and_resumed_run_equals_the_unbroken_run_bit_for_bit(tmp_path, name, precision):
    choices = {"precision": precision, "steps": 4}
    train(tmp_path / "unbroken", name, **choices)
    watcher = StopAfter(2)
    train(tmp_path / "stopped", name, reporter=watcher, stop=watcher.stop, **choices)
    assert Run(tmp_path / "stopped").find_checkpoint().name == "step-000002"
    gadkit.train(resume=tmp_path / "stopped")
    one, other = weights(tmp_path / "unbroken"), weights(tmp_path / "stopped")
    assert "training.direction.solution" in one
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert all(bool(tensor.isfinite().all()) for tensor in one.values())


def test_two_processes_equal_one(tmp_path):
    script = str(Path(__file__).with_name("competitive_processes.py"))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GADKIT_CACHE": str(tmp_path / "cache")}
    with subprocess.Popen([*launch, str(tmp_path / "two")], env=environment) as two:
        for name in CASES:
            train(tmp_path / "one" / name, name)
        assert two.wait(timeout=280) == 0
    for name in CASES:
        apart = furthest(weights(tmp_path / "one" / name), weights(tmp_path / "two" / name))
        assert apart < 1e-9, f"{name}: {apart}"


def test_bf16_takes_the_steps_of_fp32_up_to_its_rounding(tmp_path):
    """Half the numbers' length is still a solution: the first step points where that of fp32 does."""
    moved = {}
    for precision in ("fp32", "bf16"):
        ends = [
            weights(train(tmp_path / f"{precision}-{steps}", "general", precision=precision, steps=steps).path)
            for steps in (1, 2)
        ]
        names = [key for key in ends[0] if key.startswith("nets.") and ends[0][key].is_floating_point()]
        moved[precision] = torch.cat([(ends[1][key] - ends[0][key]).flatten() for key in names])
    alike = torch.nn.functional.cosine_similarity(moved["fp32"], moved["bf16"], dim=0)
    assert float(alike) > 0.95


def test_the_estimate_holds_what_the_direction_keeps_and_its_graph(tmp_path, monkeypatch):
    found = {}
    footprint = MinimaxTrainer.footprint

    def noted(self, session):
        found[type(session.direction).__name__] = estimate = footprint(self, session)
        return estimate

    monkeypatch.setattr(MinimaxTrainer, "footprint", noted)
    for direction in ("competitive", "alternating"):
        small(tmp_path / direction, direction=direction, penalty="r1r2", steps=1)
    ours, plain = found["Competitive"], found["Alternating"]
    assert ours.parts["direction"] == Competitive.copies * ours.parts["weights"]
    assert "direction" not in plain.parts
    assert {name: size for name, size in ours.parts.items() if name != "direction"} == plain.parts
    assert ours.per_clip > 1.5 * plain.per_clip


def test_auto_batch_keeps_the_batch_whole_or_says_that_it_does_not_fit(tmp_path, monkeypatch):
    train(tmp_path / "fits", "general", steps=1, auto_batch=True)
    monkeypatch.setattr(memory, "room", lambda device: memory.Room(total=2**20, free=2**19, own=0))
    monkeypatch.setattr(fitting, "room", memory.room)
    with pytest.raises(gadkit.DeviceError, match=r"a step with 8 clips at once does not fit .* direction .* MiB"):
        train(tmp_path / "run", "general", auto_batch=True)
    assert not (tmp_path / "run").exists()
