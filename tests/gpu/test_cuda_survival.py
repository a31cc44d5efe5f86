"""Runs on a CUDA device are killed, get sick and run out of memory, and survive."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_runs import NETS, SMALL, config, environment, folder_of_clips, same_tensors, small

import gadkit
from gadkit import DeviceError
from gadkit.checkpoints.store import read_tensors
from gadkit.engine import Clips
from gadkit.runs.folder import COSTS, Run

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def end(run):
    return read_tensors(Run(Path(run)).find_checkpoint(), "training.safetensors")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_runs_that_are_killed_end_like_the_unbroken_one(tmp_path, precision):
    clips = folder_of_clips(tmp_path / "clips")
    line = [sys.executable, "-m", "gadkit", "train", "--data", str(clips), *SMALL, *NETS, "--device", "cuda"]
    line += ["--precision", precision, "--steps", "60", "--checkpoint-every", "7", "--log-every", "5"]
    line += ["--set", "run.deterministic=true", "--resume", "auto", "--out"]
    variables = environment(CUBLAS_WORKSPACE_CONFIG=":4096:8")
    assert subprocess.run([*line, "unbroken"], cwd=tmp_path, env=variables).returncode == 0
    run = tmp_path / "killed"
    for step in (7, 21, 42):
        process = subprocess.Popen([*line, "killed"], cwd=tmp_path, env=variables)
        while process.poll() is None and not (run / "checkpoints" / f"step-{step:06d}").exists():
            pass
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert subprocess.run([*line, "killed"], cwd=tmp_path, env=variables).returncode == 0
    assert same_tensors(end(tmp_path / "unbroken"), end(run))
    logs = []
    for name in ("unbroken", "killed"):
        lines = [json.loads(text) for text in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        logs.append([{k: v for k, v in each.items() if k not in COSTS} for each in lines])
        assert all(each["memory"] > 0 for each in lines if "event" not in each)
    assert logs[0] == logs[1]


def test_numbers_that_are_not_finite_are_noticed_and_the_run_goes_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    batch, calls = Clips.batch, []

    def poisoned(self, *arguments):
        frames, labels = batch(self, *arguments)
        calls.append(frames.device.type)
        if len(calls) == 13:
            frames[0, 0, 0, 0, 0] = float("nan")
        return frames, labels

    monkeypatch.setattr(Clips, "batch", poisoned)
    small("run", device="cuda", steps=30, checkpoint_every=4)
    assert set(calls) >= {"cuda"}
    (event,) = [line for line in Run(Path("run")).read_log() if line.get("event") == "rollback"]
    assert "was not finite" in event["text"]
    assert all(tensor.isfinite().all() for tensor in end("run").values() if tensor.is_floating_point())


def test_a_batch_that_does_not_fit_is_explained_or_cut(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    total = torch.cuda.get_device_properties(0).total_memory
    large = {"device": "cuda", "precision": "fp32", "batch_size": 256, "steps": 2, "resolution": 64}
    large |= {"set": {"trainer.norm_group": 8, "run.samples": 1}}
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, 1.5 * 2**30 / total))
    try:
        with pytest.raises(DeviceError, match=r"does not fit the memory of cuda.*activations.*--accumulate"):
            small("short", **large)
        small("cut", auto_batch=True, **large)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert config("cut")["trainer"]["accumulate"] > 1
    assert gadkit.load("cut", device="cpu").sample().shape[0] == 1
