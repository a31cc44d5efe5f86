"""Comparisons that do not go well: a training that fails, and a comparison that is killed."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from small_evaluations import own_run, quick, write_videos  # noqa: F401
from small_runs import environment, own_registry

import gadkit
from gadkit.comparison.budget import standing
from gadkit.comparison.plan import read_plan
from gadkit.comparison.training import read_turns

NETS = ("generator.width=8", "discriminator.width=8", "generator.latent_dim=8", "generator.motion_dim=4")
FLAGS = {"resolution": 16, "frames": 8, "held-out": 0.5, "clips": 12, "curve": 1, "videos": 4, "seeds": "0,"}
MORE = {"metrics": ["fvd"], "features": ["random-r3d"], "device": "cpu", "precision": "fp32"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_videos(tmp_path_factory.mktemp("data"), range(36), length=9)


def compare(data, *entries, **changes):
    flags = {key.replace("-", "_"): value for key, value in FLAGS.items()} | MORE | {"seeds": (0,), "set": NETS}
    with own_registry():
        return gadkit.compare(*entries, data=data, **{**flags, **changes})


def test_a_run_that_fails_costs_only_itself_and_one_that_is_there_is_shown(data, tmp_path):
    """Micro-batches that do not divide the batch are refused by the training itself."""
    run = own_run(tmp_path / "mine", data, held_out=0.5, frames=8)
    found = compare(data, "bad=demo,trainer.accumulate=3", str(run), out=tmp_path / "out", steps=2)
    (failed,) = found.failures
    assert failed.job.name == "bad-seed0"
    assert failed.failure.startswith("trainer.batch_size: found 8, expected a multiple of 3")
    assert [row.name for row in found.rows] == ["mine", "bad"]
    assert found.rows[0].runs[0].facts.step == 1
    assert not (tmp_path / "out/runs/mine").exists()
    table = (tmp_path / "out/table.md").read_text()
    assert "| bad | failed |" in table
    assert "0 of 1, 1 failed |" in table
    assert "failed: bad-seed0: trainer.batch_size" in table
    assert "there is nothing to compare it with" in table
    assert "trainer.batch_size: found 8" in (tmp_path / "out/comparison.html").read_text()


def test_a_killed_comparison_ends_its_training_and_goes_on_with_what_is_left_of_the_budget(data, tmp_path):
    out, seconds = tmp_path / "out", 6.0
    words = ["compare", "demo", "--data", str(data), "--out", str(out), "--minutes", str(seconds / 60)]
    for name, value in FLAGS.items():
        words += [f"--{name}", str(value)]
    for setting in NETS:
        words += ["--set", setting]
    words += ["--metric", "fvd", "--features", "random-r3d", "--device", "cpu", "--precision", "fp32"]
    process = subprocess.Popen([sys.executable, "-m", "gadkit", *words], env=environment())
    log = out / "runs/demo-seed0/log.jsonl"
    until(lambda: log.exists() and log.stat().st_size > 0, process)
    process.kill()
    process.wait()
    plan = read_plan(out)
    (job,) = plan.jobs(out)
    until(lambda: read_turns(out, job))
    assert [turn.code for turn in read_turns(out, job)] == [143]
    first = standing(job.folder)
    assert first.step > 0
    assert 0 < first.seconds < seconds
    found = compare(data, "demo", out=out, minutes=seconds / 60)
    assert found.failures == []
    last = standing(job.folder)
    assert [turn.code for turn in read_turns(out, job)] == [143, 0]
    assert last.step > first.step
    assert seconds <= last.seconds < seconds + 0.5 * first.seconds + 3  # not the whole budget once more
    steps = [line["step"] for line in map(json.loads, log.read_text().splitlines()) if "event" not in line]
    assert steps == sorted(set(steps))


def until(true, process=None, seconds=120.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        assert process is None or process.poll() is None
        time.sleep(0.05)
