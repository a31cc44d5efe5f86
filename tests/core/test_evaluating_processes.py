"""Two processes whose run is measured: the first measures while the other waits, and both know what was found."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from small_evaluations import plugin_file, write_videos
from small_runs import environment

from gadkit.runs.folder import Run

SCRIPT = Path(__file__).with_name("evaluating_processes.py")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same run by one process and by two."""
    root = tmp_path_factory.mktemp("processes")
    data, plugin = write_videos(root / "real", range(12)), plugin_file(root)
    variables = environment(GADKIT_CACHE=str(root / "cache"))
    started = [
        subprocess.Popen([*command, str(SCRIPT), str(data), str(plugin), str(root / name)], env=variables)
        for name, command in (("one", [sys.executable]), ("two", TORCHRUN))
    ]
    try:
        assert [process.wait(timeout=120) for process in started] == [0, 0]
    finally:
        for process in started:
            process.terminate()  # torchrun ends its processes
    return [Run(root / name) for name in ("one", "two")]


def test_both_are_measured_at_the_same_steps_with_the_same_numbers(runs):
    curves = [{line["step"]: line["fvd[pooled]"] for line in run.read_log() if "fvd[pooled]" in line} for run in runs]
    assert list(curves[0]) == [1, 2, 3, 4]
    assert curves[1] == pytest.approx(curves[0], rel=1e-4)  # processes change rounding


def test_both_keep_the_same_best_checkpoint(runs):
    one, two = (json.loads((run.path / "best.json").read_text()) for run in runs)
    assert (one["step"], one["metric"]) == (two["step"], two["metric"])
    assert [path.name for path in runs[0].checkpoints()] == [path.name for path in runs[1].checkpoints()]
    assert runs[1].find_checkpoint("best").is_dir()
